//! How many rounds of boosting a table is worth: as many as predict rows best that the trees did not see.
//!
//! The loss of held-out rows falls, comes to a least and rises again as trees begin to fit noise (Zhang and Yu 2005,
//! "Boosting with early stopping: convergence and consistency"). A part held out of few rows has its least by chance, so
//! there the mean over folds decides, and all rows are fitted afterwards.

use super::bins::Bins;
use super::booster::{Booster, Rules};
use super::loss::Loss;
use crate::data::split::Split;
use crate::model::learn::{Dataset, Watch};
use crate::parallel;

/// Up to so many rows the mean of folds decides, beyond that one part that is held out: folds would take several times
/// as long, and a tenth of so many rows says enough.
pub(crate) const MAX_FOLD_ROWS: usize = 10_000;

/// Up to so many rows there are five folds, else three.
const MAX_FIVE_FOLD_ROWS: usize = 1_000;

/// Fewer rows are not split.
const MIN_ROWS: usize = 20;

/// Most rounds, and rounds without a lower loss that end the search, on folds.
pub(crate) const MOST_ROUNDS: usize = 1000;
const PATIENCE: usize = 50;

/// The number of rounds whose loss, as a mean over folds, is least. `None` if the rows cannot be split, or the search
/// was interrupted before it said anything.
pub(crate) fn by_folds(
    rules: &Rules,
    data: &Dataset,
    bins: &Bins,
    loss: Loss,
    watch: &dyn Watch,
) -> Option<usize> {
    let rows = data.counted_rows();
    let n_folds = if rows.len() <= MAX_FIVE_FOLD_ROWS { 5 } else { 3 };
    if rows.len() < MIN_ROWS {
        return None;
    }
    let folds = data.folds(&rows, n_folds, data.seed);
    let narrow = |part: Vec<usize>| part.into_iter().map(|row| row as u32).collect::<Vec<u32>>();
    let usable = folds.into_iter().filter(|Split { train, test }| !train.is_empty() && !test.is_empty());
    let parts = usable.map(|Split { train, test }| (narrow(train), narrow(test)));
    let mut boosters: Vec<Booster> =
        parts.map(|parts| Booster::new(rules, data, bins, loss, parts)).collect();
    let n_folds = boosters.len();
    // Rounds and loss.
    let mut best: Option<(usize, f64)> = None;
    // The score of a further class costs a tree per round.
    let most = (2 * MOST_ROUNDS / loss.n_scores().max(2)).max(MOST_ROUNDS / 5);
    for n_rounds in 1..=most {
        if boosters.is_empty() || watch.stopped() {
            break;
        }
        let losses = parallel::map(boosters.iter_mut().collect(), &|booster: &mut Booster| {
            booster.round();
            booster.mean_loss(booster.held_out())
        });
        let loss = losses.iter().sum::<f64>() / n_folds as f64;
        watch.progress(n_rounds as u64, most as u64, format_args!("loss of {n_folds} folds {loss:.6}"));
        match best {
            Some((best_round, least)) if least <= loss => {
                if n_rounds - best_round >= PATIENCE {
                    break;
                }
            }
            // Without a loss that is a number one round is as good as any.
            _ if loss.is_finite() || best.is_none() => best = Some((n_rounds, loss)),
            _ => break,
        }
    }
    best.map(|(n_rounds, _)| n_rounds)
}
