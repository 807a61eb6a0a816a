//! The page of `mlapi drift --report` and of `GET /drift` in a browser: verdicts, figures of each feature, its distribution
//! in training and now, drift of the predictions, and what a classifier tells the rows by.

use super::super::charts::bars::{Bar, Bars};
use super::super::charts::plot::{Look, Mark, Plot, Shape, short};
use super::super::charts::scale::Scale;
use super::super::charts::table::Table;
use super::super::drift::{domain_words, share, worst_first};
use super::super::markup::{Ids, escaped, push, shortened};
use super::super::text::{count, figure};
use super::page::Page;
use crate::model::drift::distribution::{Distribution, Names};
use crate::model::drift::{Drift, FeatureDrift, Verdict};

/// Features whose distributions are drawn: those that drifted most.
const MAX_DRAWN: usize = 40;
/// Features that the headline names.
const MAX_NAMED: usize = 5;
/// Characters of a level beside an axis.
const NAME: usize = 18;

/// What the page is about.
#[derive(Debug)]
pub(crate) struct Compared<'a> {
    /// The name of the model.
    pub(crate) model: &'a str,
    /// The new rows, as in "new.csv compared with …".
    pub(crate) rows: &'a str,
    pub(crate) drift: &'a Drift,
    /// Of each feature, as far as it may be shown.
    pub(crate) features: &'a [Option<Distribution>],
    pub(crate) predictions: Option<&'a Distribution>,
    /// Where the same is as JSON.
    pub(crate) json: &'a str,
}

/// The document.
pub(crate) fn page(compared: &Compared) -> String {
    let drift = compared.drift;
    let mut page = Page::default();
    page.part("Summary");
    page.push(&verdict(drift));
    page.section("Features", |_| features(drift));
    page.section("Distributions", |ids| distributions(compared, ids));
    page.section("Predictions", |ids| predictions(compared, ids));
    page.section("Domain classifier", |ids| domain(drift, ids));
    let title = format!("{}: {} compared with the training rows", compared.model, compared.rows);
    page.html(&shortened(&title, 120), compared.json)
}

fn n_of(drift: &Drift, verdict: Verdict) -> usize {
    drift.features.iter().filter(|feature| feature.verdict == Some(verdict)).count()
}

fn verdict(drift: &Drift) -> String {
    let (drifted, drifting) = (n_of(drift, Verdict::Drifted), n_of(drift, Verdict::Drifting));
    let rows = count(drift.n_rows as usize, "new row", "new rows");
    let all = count(drift.features.len(), "feature", "features");
    let said = match drift.verdict {
        _ if drift.n_rows == 0 => "There are no new rows yet.".to_string(),
        None => format!("There is no verdict on {rows} of {all}."),
        Some(_) if drifted + drifting == 0 => format!("None of {all} has drifted in {rows}."),
        Some(_) => format!("Of {all}, {drifted} drifted and {drifting} are drifting in {rows}."),
    };
    let class = if drift.verdict > Some(Verdict::Stable) { "verdict warn" } else { "verdict" };
    let mut out = format!("<div class=\"{class}\"><p>{}</p><ul>", escaped(&said));
    let mut remarks = Vec::new();
    let shifted: Vec<String> = (worst_first(drift).into_iter())
        .filter(|feature| feature.verdict > Some(Verdict::Stable))
        .map(|feature| format!("{} ({})", feature.feature, figure(feature.psi)))
        .collect();
    if !shifted.is_empty() {
        let more = match shifted.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let named = shifted.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
        remarks.push(format!("Largest stability index: {named}{more}."));
    }
    if let Some(verdict) = drift.predictions.verdict {
        remarks.push(format!(
            "The predictions are {}: stability index {}.",
            verdict.name(),
            figure(drift.predictions.psi)
        ));
    }
    remarks.extend(domain_sentence(drift));
    remarks.extend(drift.notes.iter().cloned());
    remarks.iter().for_each(|remark| push(&mut out, format_args!("<li>{}</li>", escaped(remark))));
    out.push_str("</ul></div>\n");
    out
}

fn features(drift: &Drift) -> String {
    let head = [
        "feature",
        "type",
        "verdict",
        "stability index",
        "test",
        "statistic",
        "p",
        "p (Holm)",
        "missing in training",
        "missing now",
        "unseen",
        "out of range",
    ];
    let mut table = Table::new("All features, those that drifted most first", &head);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| figure(Some(value)));
    for feature in worst_first(drift) {
        // At deciles the distributions differ by this much at least.
        let bound = if feature.test == Some("ks") { "≥ " } else { "" };
        let statistic =
            feature.statistic.map_or(String::new(), |value| format!("{bound}{}", figure(Some(value))));
        table.rows.push(vec![
            feature.feature.clone(),
            feature.column_type.name().into(),
            feature.verdict.map_or("none", Verdict::name).into(),
            number(feature.psi),
            feature.test.unwrap_or_default().into(),
            statistic,
            number(feature.p_value),
            number(feature.p_adjusted),
            share(feature.missing.train),
            share(feature.missing.new),
            share(Some(feature.unseen)),
            share(Some(feature.out_of_range)),
        ]);
    }
    let bound = match drift.features.iter().any(|feature| feature.statistic_bound.is_some()) {
        true => "is a lower bound, as the model file holds only the deciles of the training rows",
        false => "compares numbers at the percentiles of the training rows",
    };
    format!(
        "{}<p>Drifted: a stability index above 0.25 and a corrected p-value below 0.05; drifting: above 0.1 and below 0.05. \
         The stability index (PSI) sums up how far the shares of the bins below have moved. The Kolmogorov-Smirnov \
         statistic (ks) {bound}.</p>",
        table.html()
    )
}

fn distributions(compared: &Compared, ids: &mut Ids) -> String {
    let drift = compared.drift;
    if drift.n_rows == 0 {
        return String::new();
    }
    let known = |feature: &&FeatureDrift| {
        let index = drift.features.iter().position(|known| std::ptr::eq(known, *feature));
        index.and_then(|index| compared.features.get(index)).and_then(Option::as_ref)
    };
    let all = worst_first(drift);
    let drawable = || all.iter().filter_map(|feature| Some((*feature, known(feature)?)));
    let (n_all, n_drawable) = (all.len(), drawable().count());
    let mut out = String::from("<div class=\"charts\">");
    for (feature, distribution) in drawable().take(MAX_DRAWN) {
        let title = match feature.verdict {
            Some(verdict) => format!("{}: {}", feature.feature, verdict.name()),
            None => feature.feature.clone(),
        };
        out += &picture(title, &feature.feature, distribution).html(ids);
    }
    out += "</div>";
    let hidden = n_drawable.saturating_sub(MAX_DRAWN);
    if hidden > 0 {
        push(
            &mut out,
            format_args!("<p>{} drifted less and are not drawn.</p>", count(hidden, "feature", "features")),
        );
    }
    if n_all > n_drawable {
        let rest = count(n_all - n_drawable, "feature has", "features have");
        push(
            &mut out,
            format_args!("<p>{rest} no distribution to show: texts, dates and private columns.</p>"),
        );
    }
    out
}

fn predictions(compared: &Compared, ids: &mut Ids) -> String {
    let found = &compared.drift.predictions;
    let (Some(distribution), Some(test)) = (compared.predictions, found.test) else { return String::new() };
    let verdict = found.verdict.map_or("no verdict", Verdict::name);
    let description = "What the model predicts for the rows held out at training, and for the new ones.";
    let plot = Plot {
        description: description.into(),
        ..picture(format!("Predictions: {verdict}"), "prediction", distribution)
    };
    format!(
        "<p>Stability index {}, {test} statistic {}, p {}.</p><div class=\"charts\">{}</div>",
        figure(found.psi),
        figure(found.statistic),
        figure(found.p_value),
        plot.html(ids)
    )
}

/// The shares of each bin, in training and now.
fn picture(title: String, name: &str, distribution: &Distribution) -> Plot {
    let shares = distribution.trained.iter().chain(&distribution.new).copied();
    let scale = Scale::from_zero(shares, 4);
    let n = distribution.trained.len();
    let (names, is_upright) = match &distribution.names {
        Names::Levels(names) => (names.clone(), false),
        Names::Edges(edges) => (bins(edges, n), true),
    };
    let mut table = Table::new(format!("Share of the rows by {name}"), &["value", "training", "now"]);
    for (i, name) in names.iter().enumerate() {
        let cells = [distribution.trained[i], distribution.new[i]].map(|value| share(Some(value)));
        table.rows.push(std::iter::once(name.clone()).chain(cells).collect());
    }
    let mut marks = Vec::new();
    for (series, (label, side)) in
        [("training", &distribution.trained), ("now", &distribution.new)].into_iter().enumerate()
    {
        let boxes = side.iter().enumerate().filter(|(_, value)| **value > 0.0).map(|(i, &value)| {
            let title = format!("{}, {label}: {}", names[i], share(Some(value)));
            let i = if is_upright { i as f64 - 0.5 } else { (n - 1 - i) as f64 };
            // Of two bars of a bin the first is on the left, or above.
            let (from, to) = match (series, is_upright) {
                (0, true) | (1, false) => (i - 0.42, i),
                _ => (i, i + 0.42),
            };
            let area = if is_upright { [from, to, 0.0, value] } else { [0.0, value, from, to] };
            (area, title)
        });
        marks.push(Mark::new(label, Look::Series(series), Shape::Boxes(boxes.collect())));
    }
    let share_of = ("share of the rows".to_string(), scale);
    let (x, y) = match &distribution.names {
        Names::Edges(edges) => {
            let mut labels: Vec<String> = edges.iter().map(|edge| short(*edge)).collect();
            // Missing values stand behind the bin of the largest numbers.
            if n > edges.len() + 1 {
                labels.push(String::new());
            }
            ((name.to_string(), Scale::between_bins(labels)), share_of)
        }
        Names::Levels(_) => {
            // The first name is at the top.
            let labels = names.iter().rev().map(|name| shortened(name, NAME)).collect();
            (share_of, (String::new(), Scale::named(labels)))
        }
    };
    let description = match &distribution.names {
        Names::Levels(_) => "The most frequent values.",
        Names::Edges(edges) if n > edges.len() + 1 => {
            "Bins between the deciles of the training rows, and on the right one of missing values."
        }
        Names::Edges(_) => "Bins between the deciles of the training rows.",
    };
    Plot { title, description: description.into(), x, y, marks, table }
}

/// The names of `n` bins: those between edges, and of missing values behind them.
fn bins(edges: &[f64], n: usize) -> Vec<String> {
    let between = edges.windows(2).map(|ends| format!("{} to {}", short(ends[0]), short(ends[1])));
    let first = edges.first().map(|edge| format!("up to {}", short(*edge)));
    let last = edges.last().map(|edge| format!("above {}", short(*edge)));
    let mut names: Vec<String> = first.into_iter().chain(between).chain(last).collect();
    if names.is_empty() {
        names.push("any".into());
    }
    names.push("missing".into());
    names.truncate(n);
    names
}

fn domain_sentence(drift: &Drift) -> Option<String> {
    domain_words(drift).map(|words| format!("{}.", words.replacen("a classifier", "A classifier", 1)))
}

fn domain(drift: &Drift, ids: &mut Ids) -> String {
    let Some(words) = domain_sentence(drift) else { return String::new() };
    let mut out = format!("<p>{}</p>", escaped(&words));
    if drift.domain_features.is_empty() {
        return out;
    }
    let mut table = Table::new("Importance in the domain classifier", &["feature", "share"]);
    table.rows = drift
        .domain_features
        .iter()
        .map(|found| vec![found.feature.clone(), share(Some(found.share))])
        .collect();
    let bars = drift.domain_features.iter();
    let bars = Bars {
        title: "Features that tell new rows".into(),
        description: "Their shares of the classifier’s importance.".into(),
        unit: "share of the importance".into(),
        bars: bars
            .map(|found| Bar { name: found.feature.clone(), value: found.share, between: None })
            .collect(),
        table,
    };
    push(&mut out, format_args!("<div class=\"charts\">{}</div>", bars.html(ids)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_named_by_their_ends() {
        assert_eq!(bins(&[1.0, 2.5], 4), ["up to 1", "1 to 2.5", "above 2.5", "missing"]);
        assert_eq!(bins(&[1.0], 2), ["up to 1", "above 1"]);
        assert_eq!(bins(&[], 2), ["any", "missing"]);
    }

    #[test]
    fn both_sides_of_a_bin_are_drawn_and_levels_stay_text() {
        let distribution = Distribution {
            names: Names::Levels(vec!["<b>".into(), "y".into()]),
            trained: vec![0.25, 0.75],
            new: vec![1.0, 0.0],
        };
        let html = picture("t".into(), "<i>", &distribution).html(&mut Ids::default());
        assert_eq!(html.matches("<rect class=\"fill s").count(), 3 + 2, "three bars and two keys: {html}");
        assert!(html.contains("&lt;b&gt;, now: 100.0 %") && !html.contains("<b>") && !html.contains("<i>"));
        let distribution =
            Distribution { names: Names::Edges(vec![1.0]), trained: vec![0.5; 3], new: vec![0.5; 3] };
        let html = picture("t".into(), "x", &distribution).html(&mut Ids::default());
        assert!(html.contains("above 1, now: 50.0 %"), "{html}");
    }
}
