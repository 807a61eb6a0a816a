//! How an algorithm and its settings were chosen, for people: leaderboard, tuning, cross-validation.

use super::text::{count, figure, table};
use crate::model::selection::{CrossValidation, Selection, Spread, Standing};

/// The other figures that a first look needs.
const BRIEF: [&str; 8] =
    ["accuracy", "balanced_accuracy", "f1.macro", "log_loss", "roc_auc", "r2", "rmse", "mae"];

/// The figures beside the one that decides.
const BESIDE: [&str; 2] = ["accuracy", "r2"];

/// `mean ± standard deviation`, or the mean alone of one split.
fn spread(spread: Spread) -> String {
    match spread.std {
        Some(std) => format!("{} ± {}", figure(spread.mean), figure(Some(std))),
        None => figure(spread.mean),
    }
}

/// A line of the leaderboard as it is shown while others are compared.
pub(crate) fn line(standing: &Standing) -> String {
    let mut out = standing.algorithm.clone();
    if !standing.variant.is_empty() {
        out += &format!(", {}", standing.variant);
    }
    match (&standing.scores, &standing.error) {
        (Some(scores), _) => out += &format!("  {} {}", scores.metric, spread(scores.spread)),
        (None, Some(error)) => out += &format!("  {}", error.replace('\n', " ")),
        (None, None) => {}
    }
    out + &format!("  ({:.1} s)", standing.seconds)
}

/// The way of a comparison: `by 5-fold cross-validation on 120 training rows`.
fn how(scores: &CrossValidation) -> String {
    match scores.scores.len() {
        1 => format!("on one split of {} training rows", scores.n_rows),
        n => format!("by {n}-fold cross-validation on {} training rows", scores.n_rows),
    }
}

/// Leaderboard, tuning and cross-validation, as far as there are any, each with an empty line before it.
pub(crate) fn selection(selection: &Selection, with_seconds: bool) -> String {
    let mut out = String::new();
    // The first is one of all folds.
    let compared = selection.leaderboard.iter().find_map(|standing| standing.scores.as_ref());
    if let Some(scores) = compared {
        let deviation = if scores.scores.len() > 1 { " ± std" } else { "" };
        let beside: Vec<&str> =
            BESIDE.into_iter().filter(|name| scores.metrics.contains_key(*name)).collect();
        let mut rows = vec![vec!["algorithm".into(), format!("{}{deviation}", scores.metric)]];
        rows[0].extend(beside.iter().map(|name| name.to_string()));
        if with_seconds {
            rows[0].push("seconds".into());
        }
        let figures = |scores: Option<&CrossValidation>| {
            let mut cells = vec![scores.map_or("-".into(), |scores| spread(scores.spread))];
            let of_beside = |name: &&str| scores.and_then(|scores| scores.metrics.get(*name)?.mean);
            cells.extend(
                beside.iter().map(|name| of_beside(name).map_or("-".into(), |mean| figure(Some(mean)))),
            );
            cells
        };
        if let Some(blend) = &selection.blend {
            let mut row = vec!["ensemble".into()];
            row.extend(figures(Some(blend)));
            if with_seconds {
                row.push(String::new());
            }
            row.push("chosen".into());
            rows.push(row);
        }
        for standing in &selection.leaderboard {
            let variant =
                if standing.variant.is_empty() { String::new() } else { format!(", {}", standing.variant) };
            let mut row = vec![format!("{}{variant}", standing.algorithm)];
            row.extend(figures(standing.scores.as_ref()));
            if with_seconds {
                row.push(format!("{:.3}", standing.seconds));
            }
            let error = standing.error.as_deref().map(|error| error.replace('\n', " "));
            row.push(match standing.weight {
                Some(weight) => format!("weight {weight:.2}"),
                None if standing.chosen => "chosen".into(),
                None => error.unwrap_or_default(),
            });
            rows.push(row);
        }
        out += &format!("\nCompared {}:\n{}", how(scores), table(&rows, 2, false));
        let best = selection.leaderboard.first();
        if best.is_some_and(|best| !best.chosen && best.scores.is_some()) && selection.blend.is_none() {
            out += "  chosen: the simplest that is as good as the best, row for row\n";
        }
    }
    if let Some(tuning) = &selection.tuning {
        let rounds = tuning.rounds.iter();
        let rounds = rounds.map(|r| format!("{} on {} rows", count(r.n_trials, "trial", "trials"), r.n_rows));
        let rows = [
            ("rounds".to_string(), rounds.collect::<Vec<_>>().join(", ")),
            (format!("{} of the defaults", tuning.before.metric), spread(tuning.before.spread)),
            (format!("{} of trial {}", tuning.after.metric, tuning.trial), spread(tuning.after.spread)),
        ];
        let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
        out += &format!("\nTuned {}:\n{}", how(&tuning.after), table(&rows, 2, false));
    }
    if let Some(cv) = &selection.cv {
        let mut rows = vec![["", "mean", "std"].map(String::from).to_vec()];
        let mut add = |name: &str, spread: Spread| {
            rows.push(vec![name.into(), figure(spread.mean), figure(spread.std)]);
        };
        add(&cv.metric, cv.spread);
        let others = BRIEF.iter().filter_map(|name| Some((name, cv.metrics.get(*name)?)));
        others.for_each(|(name, spread)| add(name, *spread));
        out += &format!("\nScored {}:\n{}", how(cv), table(&rows, 2, true));
    }
    out
}

/// The flags that make the tuned settings again.
pub(crate) fn set_flags(algorithm: &str, selection: &Selection) -> Option<String> {
    let tuning = selection.tuning.as_ref()?;
    let pairs = tuning.set.iter().map(|pair| format!(" --set {pair}"));
    Some(format!("--algorithm {algorithm}{}", pairs.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selection::Tuning;

    #[test]
    fn the_leaderboard_names_the_chosen_the_failed_and_the_rule() {
        let scores = |mean, n: usize| CrossValidation {
            metric: "accuracy".into(),
            scores: vec![Some(mean); n],
            spread: Spread::of(&vec![Some(mean); n]),
            standard_error: Some(0.02),
            n_rows: 90,
            metrics: Default::default(),
        };
        let standing = |algorithm: &str, chosen, scores, error: Option<&str>| Standing {
            algorithm: algorithm.into(),
            variant: String::new(),
            weight: None,
            chosen,
            scores,
            error: error.map(String::from),
            seconds: 0.25,
        };
        let mut found = Selection {
            leaderboard: vec![
                standing("random-forest", false, Some(scores(0.75, 5)), None),
                standing("ridge", true, Some(scores(0.74, 5)), None),
                standing("knn", false, None, Some("too\nfew rows")),
            ],
            ..Selection::default()
        };
        assert_eq!(
            selection(&found, true),
            "\nCompared by 5-fold cross-validation on 90 training rows:\n\
             \x20 algorithm      accuracy ± std   seconds\n\
             \x20 random-forest  0.7500 ± 0.0000  0.250\n\
             \x20 ridge          0.7400 ± 0.0000  0.250    chosen\n\
             \x20 knn            -                0.250    too few rows\n\
             \x20 chosen: the simplest that is as good as the best, row for row\n"
        );
        found.leaderboard.iter_mut().for_each(|s| s.scores = s.scores.take().map(|_| scores(0.7, 1)));
        let text = selection(&found, false);
        assert!(text.contains("on one split of 90 training rows"), "{text}");
        assert!(!text.contains('±') && !text.contains("seconds"), "{text}");
    }

    #[test]
    fn the_flags_name_every_tuned_setting_and_there_are_none_without_tuning() {
        assert_eq!(set_flags("ridge", &Selection::default()), None);
        let scores = CrossValidation {
            metric: "r2".into(),
            scores: vec![Some(0.5)],
            spread: Spread::of(&[Some(0.5)]),
            standard_error: None,
            n_rows: 9,
            metrics: Default::default(),
        };
        let set = vec!["max_depth=3".to_string(), "min_samples_leaf=7".into()];
        let tuning = Tuning { rounds: vec![], trial: 4, before: scores.clone(), after: scores, set };
        let found = Selection { tuning: Some(tuning), ..Selection::default() };
        let flags = set_flags("decision-tree", &found).unwrap();
        assert_eq!(flags, "--algorithm decision-tree --set max_depth=3 --set min_samples_leaf=7");
    }
}
