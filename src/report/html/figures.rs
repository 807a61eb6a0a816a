//! Metrics, classes, confusion matrix and thresholds: the tables of a report.

use super::super::charts::matrix::Matrix;
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::{Table, thinned};
use super::super::markup::{Ids, escaped, push};
use super::super::text::{baseline_words, count, figure};
use super::label;
use super::steps;
use super::subject::Subject;
use crate::model::evaluation::Metrics;
use crate::model::evaluation::comparison::Verdict;
use crate::model::evaluation::thresholds::Objective;
use crate::order;

/// Rows of the table of thresholds.
const MAX_THRESHOLDS: usize = 21;

/// Classes whose metrics are not behind a summary.
const MAX_OPEN_CLASSES: usize = 20;

/// The meaning of a metric, for those who do not know its name.
fn meaning(name: &str) -> &'static str {
    match name {
        "accuracy" => "share of rows predicted right",
        "balanced_accuracy" => "mean over classes of the share predicted right",
        "precision.macro" => "share of a class's predictions that are right, mean over classes",
        "precision.micro" => "the same over all rows",
        "precision.weighted" => "the same, weighted by rows of the class",
        "recall.macro" => "share of a class's rows that are found, mean over classes",
        "recall.micro" => "the same over all rows",
        "recall.weighted" => "the same, weighted by rows of the class",
        "f1.macro" => "harmonic mean of precision and recall, mean over classes",
        "f1.micro" => "the same over all rows",
        "f1.weighted" => "the same, weighted by rows of the class",
        "log_loss" => "how surprised the probabilities are by the truth; 0 is best",
        "roc_auc" => "chance that a row of the class is scored above another one; 0.5 is a coin",
        "average_precision" => "precision averaged over the recalls",
        "brier" => "mean squared error of the probability; 0 is best",
        "mcc" => "correlation of truth and prediction (Matthews); 0 is a guess",
        "r2" => "share of the variance that is explained; 1 is best",
        "rmse" => "root of the mean squared error: large errors count more",
        "mae" => "mean absolute error",
        "median_ae" => "half of the rows are off by less",
        "mape" => "mean absolute error as a share of the true value",
        "poisson_deviance" => "error for counts; 0 is best",
        _ => "",
    }
}

/// Metrics with intervals, compared with the baseline and with the training rows.
pub(super) fn metrics(subject: &Subject) -> String {
    let detailed = &subject.detailed;
    let evaluation = &detailed.evaluation;
    let training = detailed.training.as_ref().map(|training| training.evaluation.metrics.figures());
    let base = evaluation.baseline.figures();
    let intervals = detailed.intervals.as_ref();
    let mut head = vec!["metric", "model"];
    if intervals.is_some() {
        head.push("95 % interval");
    }
    head.push("baseline");
    if training.is_some() {
        head.push("training rows");
    }
    head.push("meaning");
    let rows = count(evaluation.n_rows, "row", "rows");
    let mut table = Table::new(format!("Metrics on {rows}; {}", baseline_words(evaluation)), &head);
    for (i, (name, value)) in evaluation.metrics.figures().into_iter().enumerate() {
        let two_classes_only = matches!(name, "average_precision" | "brier");
        if two_classes_only && evaluation.positive.is_none() || name == "poisson_deviance" && value.is_none()
        {
            continue;
        }
        let mut row = vec![name.to_string(), figure(value)];
        if let Some(intervals) = intervals {
            let shown = |[low, high]: [f64; 2]| format!("[{}, {}]", figure(Some(low)), figure(Some(high)));
            row.push(intervals.of(name).map_or(String::new(), shown));
        }
        row.push(figure(base.get(i).and_then(|base| base.1)));
        if let Some(training) = &training {
            row.push(figure(training.get(i).and_then(|training| training.1)));
        }
        row.push(meaning(name).into());
        table.rows.push(row);
    }
    let mut out = table.html();
    if let Some(resampling) = &detailed.resampling {
        let groups =
            resampling.groups.map_or(String::new(), |n| format!(" in {n} groups that are resampled whole"));
        let exact = match evaluation.metrics {
            Metrics::Classification(_) => {
                "; accuracy, and precision and recall of a class, by Wilson’s formula"
            }
            Metrics::Regression(_) => "",
        };
        push(
            &mut out,
            format_args!(
                "<p>Intervals: {} bootstrap replicates of {}{groups}{exact}.</p>",
                resampling.replicates,
                count(resampling.rows, "row", "rows")
            ),
        );
    }
    if let Some(positive) = subject.positive() {
        let threshold = evaluation
            .threshold
            .map_or(String::new(), |t| format!(", predicted from a probability of {}", short(t)));
        push(
            &mut out,
            format_args!("<p>Positive class: <strong>{}</strong>{threshold}.</p>", escaped(&positive)),
        );
    }
    if let Some(costs) = &detailed.costs {
        push(
            &mut out,
            format_args!(
                "<p>Cost: {} in all, {} a row; {} a row if each row were predicted as the class of least expected cost, {} if \
                 all were predicted as the one class that costs least.</p>",
                short(costs.total),
                short(costs.mean),
                short(costs.mean_least_expected),
                short(costs.mean_constant)
            ),
        );
    }
    if let Some(top_k) = &detailed.top_k {
        let of_training = detailed.training.as_ref().and_then(|training| training.top_k.as_ref());
        let mut head = vec!["classes counted", "share"];
        if of_training.is_some() {
            head.push("training rows");
        }
        let mut table = Table::new("Share of rows whose class is among the most probable", &head);
        for top in top_k {
            let same = of_training.and_then(|all| all.iter().find(|known| known.k == top.k));
            let figures = [Some(top), same].into_iter().flatten().map(|top| figure(Some(top.accuracy)));
            table.rows.push(std::iter::once(format!("top {}", top.k)).chain(figures).collect());
        }
        out += &table.html();
    }
    out
}

/// The confusion matrix and the metrics of each class.
pub(super) fn classes(subject: &Subject, ids: &mut Ids) -> String {
    let evaluation = &subject.detailed.evaluation;
    let mut out = String::new();
    if let Some(confusion) = &evaluation.confusion_matrix {
        let labels: Vec<String> = confusion.labels.iter().map(label).collect();
        let caption = "Rows by true and predicted class, and their share of the true class";
        let matrix = Matrix { labels: &labels, counts: &confusion.counts, caption };
        out += &matrix.html(ids);
    }
    if let Some(classes) = &evaluation.classes {
        let training =
            subject.detailed.training.as_ref().and_then(|training| training.evaluation.classes.as_ref());
        let mut head = vec!["class", "rows", "precision", "recall", "f1"];
        if training.is_some() {
            head.extend(["precision, training rows", "recall, training rows", "f1, training rows"]);
        }
        let mut table = Table::new("Metrics of each class", &head);
        let intervals = subject.detailed.class_intervals.as_ref();
        let with = |value: f64, interval: Option<[f64; 2]>| match interval {
            Some([low, high]) => format!("{value:.3} [{low:.3}, {high:.3}]"),
            None => format!("{value:.3}"),
        };
        for (i, class) in classes.iter().enumerate() {
            let m = class.metrics;
            let own = intervals.and_then(|intervals| intervals.get(i));
            let mut row = vec![
                label(&class.label),
                m.support.to_string(),
                with(m.precision, own.and_then(|own| own.precision)),
                with(m.recall, own.and_then(|own| own.recall)),
                format!("{:.3}", m.f1),
            ];
            if let Some(training) = training {
                let of_training =
                    training.iter().find(|known| known.label == class.label).map(|known| known.metrics);
                row.extend(match of_training {
                    Some(m) => [m.precision, m.recall, m.f1].map(|value| format!("{value:.3}")),
                    None => Default::default(),
                });
            }
            table.rows.push(row);
        }
        out += &if classes.len() > MAX_OPEN_CLASSES {
            table.folded_as("Metrics of each class")
        } else {
            table.html()
        };
    }
    out
}

/// What each threshold means.
pub(super) fn thresholds(subject: &Subject, ids: &mut Ids) -> String {
    let detailed = &subject.detailed;
    let Some(rows) = detailed.thresholds.as_ref().filter(|rows| !rows.is_empty()) else {
        return steps::threshold(subject);
    };
    let positive = subject.positive().unwrap_or_default();
    let mut out = steps::threshold(subject);
    if let Some(best) = &detailed.best_threshold {
        let by = match best.by {
            Objective::F1 => "F1",
            Objective::Cost => "cost",
        };
        push(
            &mut out,
            format_args!(
                "<p>Best by {by}: predict “{}” from a probability of <strong>{}</strong>, with precision {}, recall {} and F1 \
                 {}. A threshold chosen on these rows looks a little better here than on others.</p>",
                escaped(&positive),
                short(best.row.threshold),
                short(best.row.precision),
                short(best.row.recall),
                short(best.row.f1)
            ),
        );
    }
    let has_cost = rows.iter().any(|row| row.cost.is_some());
    let mut head = vec!["threshold", "precision", "recall", "F1", "specificity", "predicted positive"];
    if has_cost {
        head.push("cost of a row");
    }
    let mut table = Table::new(format!("Predicting “{positive}” from a threshold on its probability"), &head);
    for i in thinned(rows.len(), MAX_THRESHOLDS) {
        let row = &rows[i];
        let figures = [row.precision, row.recall, row.f1, row.specificity].map(|v| format!("{v:.3}"));
        let mut cells = vec![short(row.threshold)];
        cells.extend(figures);
        cells.push((row.true_positives + row.false_positives).to_string());
        if has_cost {
            cells.push(row.cost.map_or(String::new(), short));
        }
        table.rows.push(cells);
    }
    let line =
        |name: &str, i: usize, value: fn(&crate::model::evaluation::thresholds::ThresholdRow) -> f64| {
            Mark::new(
                name,
                Look::Series(i),
                Shape::Line(rows.iter().map(|row| (row.threshold, value(row))).collect()),
            )
        };
    let mut marks = vec![
        line("precision", 0, |row| row.precision),
        line("recall", 1, |row| row.recall),
        line("F1", 2, |row| row.f1),
        line("specificity", 3, |row| row.specificity),
    ];
    if let Some(training) = detailed.training.as_ref().and_then(|training| training.thresholds.as_ref()) {
        let f1 = training.iter().map(|row| (row.threshold, row.f1)).collect();
        marks.push(Mark::new("F1, training rows", Look::Beside(2), Shape::Line(f1)));
    }
    if let Some(best) = &detailed.best_threshold {
        let at = best.row.threshold;
        marks.push(Mark::new("best on these rows", Look::Reference, Shape::Line(vec![(at, 0.0), (at, 1.0)])));
    }
    let stored = subject.model.and_then(|(model, _)| model.pipeline.postprocessing.threshold.as_ref());
    if let Some(stored) = stored {
        // It is one on the probability of the second class.
        let is_second = subject.model.is_some_and(|(model, _)| model.labels().get(1) == Some(&positive));
        let at = if is_second { stored.threshold } else { 1.0 - stored.threshold };
        marks.push(Mark::new("stored", Look::Strong, Shape::Line(vec![(at, 0.0), (at, 1.0)])));
    }
    let plot = Plot {
        title: "Metrics by threshold".into(),
        description: "A lower threshold finds more rows of the class and is wrong more often.".into(),
        x: ("threshold on the probability".into(), Scale::unit()),
        y: ("metric".into(), Scale::unit()),
        marks,
        table,
    };
    push(&mut out, format_args!("<div class=\"charts\">{}</div>", plot.html(ids)));
    out
}

/// The differences from another model on the same rows, as `--compare` finds them.
pub(super) fn comparison(subject: &Subject) -> String {
    let Some(found) = &subject.detailed.comparison else { return String::new() };
    let head = ["metric", "this model", &found.other, "difference", "95 % interval", "p", "verdict"];
    let mut table =
        Table::new(format!("Compared with {} on {}", found.other, count(found.rows, "row", "rows")), &head);
    for (name, of) in &found.metrics {
        let verdict = match of.verdict {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifferenceShown => "no difference shown",
        };
        let [low, high] = of.interval.map(|end| figure(Some(end)));
        table.rows.push(vec![
            name.clone(),
            figure(Some(of.value)),
            figure(Some(of.other)),
            figure(Some(of.difference)),
            format!("[{low}, {high}]"),
            short(of.p_value),
            verdict.into(),
        ]);
    }
    let decision = found.decision.as_ref().map(|decision| format!("<p>{}</p>", escaped(decision)));
    format!("{}<p>{}</p>{}", decision.unwrap_or_default(), escaped(&found.verdict), table.html())
}

/// The main figures of several models on one table, best first.
pub(super) fn leaderboard(subjects: &[Subject], same_rows: bool) -> String {
    let mut names: Vec<&str> = Vec::new();
    let wanted = |metrics: &Metrics| match metrics {
        Metrics::Classification(_) => {
            ["log_loss", "accuracy", "balanced_accuracy", "f1.macro", "roc_auc"].to_vec()
        }
        Metrics::Regression(_) => ["rmse", "mae", "median_ae", "r2"].to_vec(),
    };
    for subject in subjects {
        let metrics = wanted(&subject.detailed.evaluation.metrics);
        names.extend(metrics.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    let value = |subject: &Subject, name: &str| {
        let figures = subject.detailed.evaluation.metrics.figures();
        figures.iter().find(|figure| figure.0 == name).and_then(|figure| figure.1)
    };
    let mut order: Vec<&Subject> = subjects.iter().collect();
    if same_rows && let Some(first) = names.first() {
        order::sort_by(&mut order, |a, b| {
            let loss = |subject: &Subject| value(subject, first).unwrap_or(f64::INFINITY);
            loss(a).total_cmp(&loss(b))
        });
    }
    let mut head = vec!["model", "algorithm", "rows"];
    head.extend(&names);
    let caption = match same_rows {
        true => {
            format!("On the same rows, sorted by {}; with 95 % intervals", names.first().unwrap_or(&"name"))
        }
        false => {
            "On different rows, so the figures cannot be compared one to one; with 95 % intervals".into()
        }
    };
    let mut table = Table::new(caption, &head);
    for subject in order {
        let evaluation = &subject.detailed.evaluation;
        let mut row = vec![subject.name.clone(), evaluation.algorithm.clone(), evaluation.n_rows.to_string()];
        for name in &names {
            let interval = subject.detailed.intervals.as_ref().and_then(|intervals| intervals.of(name));
            let interval = interval.map_or(String::new(), |[low, high]| {
                format!(" [{}, {}]", figure(Some(low)), figure(Some(high)))
            });
            row.push(value(subject, name).map_or(String::new(), |v| figure(Some(v)) + &interval));
        }
        table.rows.push(row);
    }
    table.html()
}
