//! Drift, for people: a line for each feature, the most drifted first.

use std::fmt::Write;

use super::text::{count, figure, table};
use crate::model::drift::{Drift, FeatureDrift, Verdict};
use crate::order;

/// Features beyond this many are counted, if they are stable.
const MAX_LISTED: usize = 40;

/// A share as a percentage, empty if there is none.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or(String::new(), |share| format!("{:.1} %", 100.0 * share))
}

/// The features, those that drifted most first.
pub(super) fn worst_first(drift: &Drift) -> Vec<&FeatureDrift> {
    let mut features: Vec<&FeatureDrift> = drift.features.iter().collect();
    order::sort_by(&mut features, |a, b| {
        let key = |f: &FeatureDrift| (f.verdict, f.psi.unwrap_or(f64::NEG_INFINITY));
        let (a, b) = (key(a), key(b));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    features
}

/// What the domain classifier found, if there is one.
pub(super) fn domain_words(drift: &Drift) -> Option<String> {
    let auc = drift.domain_auc?;
    let named = drift.domain_features.iter();
    let named: Vec<String> =
        named.map(|found| format!("{} {:.0}%", found.feature, 100.0 * found.share)).collect();
    let by = if named.is_empty() { String::new() } else { format!(", by {}", named.join(", ")) };
    let tells = if named.is_empty() { "does not tell" } else { "tells" };
    let below = match &drift.known_rows {
        _ if auc >= 0.5 => "",
        Some(known) if known.held_out > 0 => "; below 0.5 as held-out rows are among the new ones",
        _ => "; below 0.5 by chance: it learned nothing that holds for other rows",
    };
    Some(format!(
        "a classifier {tells} new rows from held-out ones: ROC AUC {}{by}{below}",
        figure(Some(auc))
    ))
}

/// The whole comparison.
pub(crate) fn text(drift: &Drift) -> String {
    let percent = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.1}%", 100.0 * share));
    let number = |value: Option<f64>| value.map_or("-".into(), |value| figure(Some(value)));
    let features = worst_first(drift);
    let header = ["feature", "type", "psi", "test", "statistic", "p (Holm)", "missing", "unseen", "verdict"];
    let mut rows = vec![header.map(String::from).to_vec()];
    let is_listed = |(i, f): &(usize, &&FeatureDrift)| *i < MAX_LISTED || f.verdict > Some(Verdict::Stable);
    for (_, feature) in features.iter().enumerate().filter(is_listed) {
        let missing = match (feature.missing.train, feature.missing.new) {
            (train, new) if train == new => percent(new),
            (train, new) => format!("{} → {}", percent(train), percent(new)),
        };
        rows.push(vec![
            feature.feature.clone(),
            feature.column_type.name().into(),
            number(feature.psi),
            feature.test.unwrap_or("-").into(),
            number(feature.statistic),
            number(feature.p_adjusted),
            missing,
            percent(Some(feature.unseen).filter(|unseen| *unseen > 0.0)),
            feature.verdict.map_or("-", Verdict::name).into(),
        ]);
    }
    let n_listed = rows.len() - 1;
    let mut out = table(&rows, 2, false);
    // Writing to a String does not fail.
    if features.len() > n_listed {
        let _ = writeln!(out, "  … and {} more, which are stable", features.len() - n_listed);
    }
    let of = |verdict| drift.features.iter().filter(|f| f.verdict == Some(verdict)).count();
    let rows = count(drift.n_rows as usize, "new row", "new rows");
    let _ = writeln!(
        out,
        "\n  {rows}: {} drifted, {} drifting, of {}",
        of(Verdict::Drifted),
        of(Verdict::Drifting),
        count(drift.features.len(), "feature", "features")
    );
    if let Some(index) = drift.predictions.psi {
        let verdict = drift.predictions.verdict.map_or("-", Verdict::name);
        let p = number(drift.predictions.p_value);
        let _ = writeln!(out, "  predictions: psi {}, p {p}, {verdict}", figure(Some(index)));
    }
    if let Some(words) = domain_words(drift) {
        let _ = writeln!(out, "  {words}");
    }
    let _ = writeln!(
        out,
        "  drifted: psi above 0.25, drifting: above 0.1, both only if the corrected p-value is below 0.05"
    );
    if drift.features.iter().any(|feature| feature.statistic_bound.is_some()) {
        let _ = writeln!(out, "  ks is a lower bound: the model file holds the deciles of the training rows");
    }
    out
}
