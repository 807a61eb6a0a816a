//! The curves of a classification: ROC, precision-recall, calibration, scores, gain and lift.

use super::super::charts::matrix::percent;
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::{Table, thinned};
use super::super::markup::{Ids, push};
use super::steps;
use super::subject::Subject;
use super::{label, labels};
use crate::model::evaluation::bands;
use crate::model::evaluation::curves::{CalibrationCurve, Curves, PrecisionRecallCurve, RocCurve};

/// Rows of the table behind a curve.
const MAX_ROWS: usize = 21;
/// Classes whose histograms of scores are drawn: the most frequent.
const MAX_HISTOGRAMS: usize = 6;

/// All curves; nothing for a regression.
pub(super) fn curves(subject: &Subject, ids: &mut Ids) -> String {
    let Some(curves) = &subject.detailed.curves else { return String::new() };
    let training = subject.detailed.training.as_ref().and_then(|training| training.curves.as_ref());
    let mut out = String::new();
    if curves.n_classes_left_out > 0 {
        push(
            &mut out,
            format_args!(
                "<p>The most frequent classes have curves; {} others are left out.</p>",
                curves.n_classes_left_out
            ),
        );
    }
    out += "<div class=\"charts\">";
    if !curves.roc.is_empty() {
        out += &roc(subject, curves, training).html(ids);
    }
    if !curves.precision_recall.is_empty() {
        out += &precision_recall(subject, curves, training).html(ids);
    }
    out += "</div>";
    out
}

/// Whether probabilities mean what they say.
pub(super) fn calibration(subject: &Subject, ids: &mut Ids) -> String {
    let calibrated = steps::calibrated(subject);
    let Some(curves) = &subject.detailed.curves else { return calibrated };
    let training = subject.detailed.training.as_ref().and_then(|training| training.curves.as_ref());
    let mut out = calibrated + "<div class=\"charts\">";
    if !curves.calibration.is_empty() {
        out += &calibration_plot(&curves.calibration, training).html(ids);
        out += &counts_of_bins(&curves.calibration).html(ids);
    }
    out += &steps::before_and_after(subject, ids);
    for scores in curves.scores.iter().take(MAX_HISTOGRAMS) {
        out += &histogram(&label(&scores.label), &scores.positives, &scores.negatives).html(ids);
    }
    out += "</div>";
    out
}

/// What the rows of the highest scores hold of a class.
pub(super) fn gain(subject: &Subject, ids: &mut Ids) -> String {
    let Some(curves) = subject.detailed.curves.as_ref().filter(|curves| !curves.gain.is_empty()) else {
        return String::new();
    };
    let names: Vec<String> = curves.gain.iter().map(|gain| label(&gain.label)).collect();
    let mut gains = Table::new("Gain and lift", &["class", "share of rows", "gain", "lift"]);
    let (mut gain_marks, mut lift_marks) = (Vec::new(), Vec::new());
    for (i, gain) in curves.gain.iter().enumerate() {
        let (name, look) = series(i, &names);
        let points = |values: &[f64]| gain.share.iter().copied().zip(values.iter().copied()).collect();
        gain_marks.push(Mark::new(&name, look, Shape::Line(points(&gain.gain))));
        lift_marks.push(Mark::new(&name, look, Shape::Line(points(&gain.lift))));
        for at in thinned(gain.share.len(), if names.len() > 6 { 5 } else { 11 }) {
            gains.rows.push(vec![
                names[i].clone(),
                percent(gain.share[at]),
                percent(gain.gain[at]),
                short(gain.lift[at]),
            ]);
        }
    }
    // One class has room for both.
    let training = subject.detailed.training.as_ref().and_then(|training| training.curves.as_ref());
    if let (Some([of_training]), [_]) = (training.map(|training| training.gain.as_slice()), names.as_slice())
    {
        for (marks, values) in [(&mut gain_marks, &of_training.gain), (&mut lift_marks, &of_training.lift)] {
            let line = Shape::Line(zip(&of_training.share, values));
            marks.push(Mark::new("training rows", Look::Beside(0), line));
        }
    }
    gain_marks.push(Mark::new("at random", Look::Reference, Shape::Line(vec![(0.0, 0.0), (1.0, 1.0)])));
    lift_marks.push(Mark::new("at random", Look::Reference, Shape::Line(vec![(0.0, 1.0), (1.0, 1.0)])));
    let shown = curves.gain.iter().chain(training.iter().flat_map(|training| &training.gain));
    let lifts = shown.flat_map(|gain| gain.lift.iter().copied());
    let of_lift = Scale::from_zero(lifts, 5);
    let first =
        |what: &str| format!("Rows sorted by the probability of the class, the highest first: {what}");
    let gain = Plot {
        title: "Gain".into(),
        description: first("the share of the class that is found among the first rows."),
        x: ("share of all rows".into(), Scale::unit()),
        y: ("share of the class".into(), Scale::unit()),
        marks: gain_marks,
        table: gains.clone(),
    };
    let lift = Plot {
        title: "Lift".into(),
        description: first("how many times more of the class they hold than rows taken at random."),
        x: ("share of all rows".into(), Scale::unit()),
        y: ("lift".into(), of_lift),
        marks: lift_marks,
        table: gains,
    };
    format!("<div class=\"charts\">{}{}</div>", gain.html(ids), lift.html(ids))
}

/// The name and the look of the curve of a class: one of many is faint and shares its name with the others.
fn series(i: usize, names: &[String]) -> (String, Look) {
    match names.len() {
        1 => (names[0].clone(), Look::Series(0)),
        n if n <= Look::N_SERIES => (names[i].clone(), Look::Series(i)),
        _ => ("each class".into(), Look::Faint),
    }
}

fn zip(x: &[f64], y: &[f64]) -> Vec<(f64, f64)> {
    x.iter().copied().zip(y.iter().copied()).collect()
}

fn roc(subject: &Subject, curves: &Curves, training: Option<&Curves>) -> Plot {
    let names = labels(curves.roc.iter().map(|curve| curve.label.as_ref()));
    let mut table = Table::new(
        "Points of the ROC curves",
        &["class", "false positive rate", "true positive rate", "from probability"],
    );
    let mut marks = Vec::new();
    let area = |curve: &RocCurve| curve.auc.map_or("undefined".into(), short);
    let only = curves.roc.len() == 1;
    for (i, curve) in curves.roc.iter().enumerate() {
        let (name, look) = series(i, &names);
        if only && let Some(n) = curve.label.as_ref().and_then(|label| subject.support(label)) {
            marks.push(Mark::new("95 % band", look, Shape::Band(bands::roc(curve, n))));
        }
        let name = match look {
            Look::Faint => name,
            _ if only => format!("these rows, area {}", area(curve)),
            _ => format!("{name}, area {}", area(curve)),
        };
        let title =
            if look == Look::Faint { format!("{}, area {}", names[i], area(curve)) } else { String::new() };
        marks.push(Mark::new(name, look, Shape::Line(zip(&curve.fpr, &curve.tpr))).titled(title));
        push_rows(&mut table, &names[i], names.len(), [&curve.fpr, &curve.tpr, &curve.thresholds]);
    }
    if let Some(averages) = &curves.roc_averages {
        let average = &averages.macro_average;
        let look = if names.len() > Look::N_SERIES { Look::Series(0) } else { Look::Strong };
        let name = format!("mean of all classes (macro), area {}", area(average));
        marks.push(Mark::new(name, look, Shape::Line(zip(&average.fpr, &average.tpr))));
        if names.len() > Look::N_SERIES {
            let name = format!("all rows at once (micro), area {}", area(&averages.micro));
            marks.push(Mark::new(
                name,
                Look::Series(1),
                Shape::Line(zip(&averages.micro.fpr, &averages.micro.tpr)),
            ));
        }
    }
    if let Some(training) = training {
        let beside = match (&training.roc_averages, training.roc.first()) {
            (Some(averages), _) => Some(&averages.macro_average),
            (None, first) => first,
        };
        if let Some(curve) = beside {
            let name = format!("training rows, area {}", area(curve));
            marks.push(Mark::new(name, Look::Beside(0), Shape::Line(zip(&curve.fpr, &curve.tpr))));
        }
    }
    marks.push(Mark::new("a coin", Look::Reference, Shape::Line(vec![(0.0, 0.0), (1.0, 1.0)])));
    let of =
        if only { format!(" of “{}”", names[0]) } else { " of each class against all others".into() };
    let band =
        if only { " The band is Wilson’s for the true positive rate at each threshold." } else { "" };
    Plot {
        title: format!("ROC curve{}", if only { "" } else { "s" }),
        description: format!(
            "How much{of} is found (true positive rate) for how many false alarms (false positive rate). The nearer to the \
             upper left corner, the better.{band}"
        ),
        x: ("false positive rate".into(), Scale::unit()),
        y: ("true positive rate".into(), Scale::unit()),
        marks,
        table,
    }
}

fn precision_recall(subject: &Subject, curves: &Curves, training: Option<&Curves>) -> Plot {
    let names = labels(curves.precision_recall.iter().map(|curve| curve.label.as_ref()));
    let mut table = Table::new(
        "Points of the precision-recall curves",
        &["class", "recall", "precision", "from probability"],
    );
    let mut marks = Vec::new();
    let area = |curve: &PrecisionRecallCurve| curve.average_precision.map_or("undefined".into(), short);
    let only = curves.precision_recall.len() == 1;
    let n_rows = subject.detailed.evaluation.n_rows;
    for (i, curve) in curves.precision_recall.iter().enumerate() {
        let (name, look) = series(i, &names);
        if only && let Some(n) = curve.label.as_ref().and_then(|label| subject.support(label)) {
            marks.push(Mark::new("95 % band", look, Shape::Band(bands::precision_recall(curve, n))));
            let share = n as f64 / n_rows.max(1) as f64;
            let name = format!("at random: {}", percent(share));
            marks.push(Mark::new(name, Look::Reference, Shape::Line(vec![(0.0, share), (1.0, share)])));
        }
        let name = match look {
            Look::Faint => name,
            _ if only => format!("these rows, average precision {}", area(curve)),
            _ => format!("{name}, average precision {}", area(curve)),
        };
        let title = if look == Look::Faint {
            format!("{}, average precision {}", names[i], area(curve))
        } else {
            String::new()
        };
        marks.push(Mark::new(name, look, Shape::Line(zip(&curve.recall, &curve.precision))).titled(title));
        push_rows(&mut table, &names[i], names.len(), [&curve.recall, &curve.precision, &curve.thresholds]);
    }
    if let Some(averages) = &curves.precision_recall_averages {
        let look = if names.len() > Look::N_SERIES { Look::Series(0) } else { Look::Strong };
        let average = &averages.micro;
        let name = format!("all rows at once (micro), average precision {}", area(average));
        marks.push(Mark::new(name, look, Shape::Line(zip(&average.recall, &average.precision))));
    }
    if let Some(training) = training {
        let beside = match (&training.precision_recall_averages, training.precision_recall.first()) {
            (Some(averages), _) => Some(&averages.micro),
            (None, first) => first,
        };
        if let Some(curve) = beside {
            let name = format!("training rows, average precision {}", area(curve));
            marks.push(Mark::new(name, Look::Beside(0), Shape::Line(zip(&curve.recall, &curve.precision))));
        }
    }
    let band = if only { " The band is Wilson’s for the precision at each threshold." } else { "" };
    Plot {
        title: format!("Precision-recall curve{}", if only { "" } else { "s" }),
        description: format!(
            "How many of the rows predicted as the class are right (precision), by how much of it is found (recall). The \
             nearer to the upper right corner, the better.{band}"
        ),
        x: ("recall".into(), Scale::unit()),
        y: ("precision".into(), Scale::unit()),
        marks,
        table,
    }
}

/// Some points of a curve as rows: fewer of each where there are many curves.
fn push_rows(table: &mut Table, name: &str, n_curves: usize, [x, y, thresholds]: [&[f64]; 3]) {
    let most = if n_curves > Look::N_SERIES { 5 } else { MAX_ROWS };
    for at in thinned(x.len().min(y.len()), most) {
        let threshold = match thresholds.get(at) {
            Some(threshold) if threshold.is_finite() => short(*threshold),
            _ => "none".into(),
        };
        table.rows.push(vec![name.to_string(), short(x[at]), short(y[at]), threshold]);
    }
}

fn calibration_plot(curves: &[CalibrationCurve], training: Option<&Curves>) -> Plot {
    let names = labels(curves.iter().map(|curve| Some(&curve.label)));
    let head = ["class", "mean probability", "observed share", "95 % interval", "rows"];
    let mut table = Table::new("Bins of predicted probability", &head);
    let mut marks =
        vec![Mark::new("exactly right", Look::Reference, Shape::Line(vec![(0.0, 0.0), (1.0, 1.0)]))];
    let only = curves.len() == 1;
    for (i, curve) in curves.iter().enumerate() {
        let (name, look) = series(i, &names);
        let bins = &curve.equal_width;
        let name = match (look, bins.ece) {
            (Look::Faint, _) | (_, None) => name,
            (_, Some(ece)) if only => format!("these rows, calibration error {}", short(ece)),
            (_, Some(ece)) => format!("{name}, calibration error {}", short(ece)),
        };
        let points = zip(&bins.predicted, &bins.observed);
        if only {
            let errors =
                bins.predicted.iter().zip(&bins.observed_interval).map(|(&x, &[low, high])| (x, low, high));
            marks.push(Mark::silent(look, Shape::Errors(errors.collect())));
        }
        if look != Look::Faint {
            let dots = points.iter().zip(&bins.rows).map(|(&(x, y), n)| {
                (x, y, format!("{}: predicted {}, observed {}, {n} rows", names[i], short(x), short(y)))
            });
            marks.push(Mark::silent(look, Shape::Dots(dots.collect())));
        }
        marks.push(Mark::new(name, look, Shape::Line(points)));
        for (at, rows) in bins.rows.iter().enumerate() {
            let [low, high] = bins.observed_interval.get(at).copied().unwrap_or([f64::NAN; 2]);
            table.rows.push(vec![
                names[i].clone(),
                short(bins.predicted[at]),
                short(bins.observed[at]),
                format!("{} to {}", short(low), short(high)),
                rows.to_string(),
            ]);
        }
    }
    if names.len() > Look::N_SERIES {
        let name = "all classes at once";
        marks.push(Mark::new(name, Look::Series(0), Shape::Line(pooled(curves))));
    }
    if let Some(curve) = training.and_then(|training| training.calibration.first()).filter(|_| only) {
        let bins = &curve.equal_width;
        marks.push(Mark::new(
            "training rows",
            Look::Beside(0),
            Shape::Line(zip(&bins.predicted, &bins.observed)),
        ));
    }
    Plot {
        title: format!("Calibration{}", if only { format!(" of “{}”", names[0]) } else { String::new() }),
        description: "Of the rows that get a probability of about 0.8, 80 % should be of the class: above the dashed line the \
                      model is too careful, below it too sure."
            .into(),
        x: ("mean predicted probability of the bin".into(), Scale::unit()),
        y: ("observed share of the class".into(), Scale::unit()),
        marks,
        table,
    }
}

/// Bins of equal width of the curves that are put together.
const BINS: usize = 10;

/// The bin of a probability.
fn bin(predicted: f64) -> usize {
    ((predicted * BINS as f64) as usize).min(BINS - 1)
}

/// The bins of all classes as those of one, each weighted by its rows.
fn pooled(curves: &[CalibrationCurve]) -> Vec<(f64, f64)> {
    let mut sums = [(0.0, 0.0, 0.0); BINS];
    for bins in curves.iter().map(|curve| &curve.equal_width) {
        for ((&predicted, &observed), &rows) in bins.predicted.iter().zip(&bins.observed).zip(&bins.rows) {
            let (n, sum) = (rows as f64, &mut sums[bin(predicted)]);
            *sum = (sum.0 + n, sum.1 + n * predicted, sum.2 + n * observed);
        }
    }
    sums.into_iter()
        .filter(|sum| sum.0 > 0.0)
        .map(|(n, predicted, observed)| (predicted / n, observed / n))
        .collect()
}

/// How many rows each bin of the calibration curve has.
fn counts_of_bins(curves: &[CalibrationCurve]) -> Plot {
    let mut rows = [0_u64; BINS];
    for curve in curves {
        let bins = &curve.equal_width;
        for (predicted, n) in bins.predicted.iter().zip(&bins.rows) {
            rows[bin(*predicted)] += n;
        }
    }
    let edge = |i: usize| i as f64 / BINS as f64;
    let mut table = Table::new("Rows by predicted probability", &["probability", "rows"]);
    table.rows = (0..BINS)
        .map(|i| vec![format!("{} to {}", short(edge(i)), short(edge(i + 1))), rows[i].to_string()])
        .collect();
    let columns = rows.iter().enumerate().map(|(i, &n)| (edge(i), edge(i + 1), n as f64)).collect();
    Plot {
        title: "Rows of each calibration bin".into(),
        description: "Bins with few rows say little about calibration.".into(),
        x: ("predicted probability".into(), Scale::unit()),
        y: ("rows".into(), Scale::from_zero(rows.iter().map(|&n| n as f64), 5)),
        marks: vec![Mark::new("rows", Look::Series(0), Shape::Columns(columns))],
        table,
    }
}

fn histogram(name: &str, positives: &[u64], negatives: &[u64]) -> Plot {
    let n = positives.len().max(1);
    let edge = |i: usize| i as f64 / n as f64;
    let share = |rows: &[u64], i: usize| {
        let all: u64 = rows.iter().sum();
        if all == 0 { 0.0 } else { rows[i] as f64 / all as f64 }
    };
    let columns = |rows: &[u64]| (0..rows.len()).map(|i| (edge(i), edge(i + 1), share(rows, i))).collect();
    let largest = (0..positives.len()).map(|i| share(positives, i).max(share(negatives, i)));
    let mut table = Table::new(format!("Rows by probability of “{name}”"), &["probability", name, "others"]);
    table.rows = (0..positives.len())
        .map(|i| {
            let bin = format!("{} to {}", short(edge(i)), short(edge(i + 1)));
            vec![bin, positives[i].to_string(), negatives[i].to_string()]
        })
        .collect();
    Plot {
        title: format!("Probabilities of “{name}”"),
        description: "Of the rows of the class and of all others; the less they overlap, the better.".into(),
        x: (format!("predicted probability of {name}"), Scale::unit()),
        y: ("share of the rows".into(), Scale::from_zero(largest, 5)),
        marks: vec![
            Mark::new("others", Look::Series(1), Shape::Columns(columns(negatives))),
            Mark::new(name, Look::Series(0), Shape::Columns(columns(positives))),
        ],
        table,
    }
}
