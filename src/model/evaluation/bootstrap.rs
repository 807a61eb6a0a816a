//! Rows drawn again and again with replacement (Efron 1979), as counts: how often each row is in a replicate.
//!
//! Drawing `n` of `n` rows one by one costs a random access to memory each. The counts of such draws have the law of
//! independent Poisson counts of mean 1 whose sum is `n` (the multinomial law is that of Poisson counts given their sum).
//! So each row gets a Poisson count, in the order of memory, and the few draws by which their sum is not `n` are added or
//! taken back at random.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::data::cells::target::Truth;
use crate::parallel;
use crate::random::{below, generator, seed_of_child};

/// Replicates of few rows, and of many: their number times the rows is at most [`MAX_DRAWS`] between the two, so that the
/// intervals take about as long as the evaluation.
const MAX_REPLICATES: usize = 1000;
const MIN_REPLICATES: usize = 200;
const MAX_DRAWS: usize = 20_000_000;

/// Is told how many replicates are done, of how many.
pub(crate) type Told<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Replicates that are done sooner are not worth telling anybody of.
const SOON: Duration = Duration::from_millis(500);

/// Seed of all draws.
pub(super) const SEED: u64 = 1;

/// Rows that are drawn again and again with replacement: within their class, or by whole groups.
pub(super) struct Bootstrap {
    n_rows: usize,
    /// The rows of each class, or all if they have none.
    strata: Vec<Range<usize>>,
    /// The rows of each group.
    groups: Option<Vec<Vec<u32>>>,
    pub(super) replicates: usize,
}

impl Bootstrap {
    /// Of rows with these true values and groups. The rows of a class stand together.
    pub(super) fn new(truth: &Truth, groups: Option<&[u32]>) -> Self {
        let n_rows = truth.len();
        let of_groups = groups.map(|groups| {
            let mut lists = vec![Vec::new(); groups.iter().max().map_or(0, |&last| last as usize + 1)];
            groups.iter().zip(0..).for_each(|(&group, row)| lists[group as usize].push(row));
            lists.retain(|rows: &Vec<u32>| !rows.is_empty());
            lists
        });
        let mut strata = Vec::new();
        let (codes, _) = truth.strata();
        for rows in codes.chunk_by(|a, b| a == b) {
            let start = strata.last().map_or(0, |last: &Range<usize>| last.end);
            strata.push(start..start + rows.len());
        }
        debug_assert!(of_groups.is_some() || codes.is_sorted(), "the rows of a class stand together");
        Self {
            n_rows,
            strata,
            groups: of_groups,
            replicates: (MAX_DRAWS / n_rows.max(1)).clamp(MIN_REPLICATES, MAX_REPLICATES),
        }
    }

    /// With fewer replicates, if that many parts of rows have theirs.
    pub(super) fn shared_by(self, n_parts: usize) -> Self {
        let affordable = MAX_DRAWS / n_parts.max(1) / self.n_rows.max(1);
        Self { replicates: affordable.clamp(MIN_REPLICATES, self.replicates), ..self }
    }

    pub(super) fn n_groups(&self) -> Option<usize> {
        self.groups.as_ref().map(Vec::len)
    }

    /// Parts of the rows, or of the groups, whose number of draws is fixed.
    pub(super) fn n_strata(&self) -> usize {
        if self.groups.is_some() { 1 } else { self.strata.len() }
    }

    /// How often each row is drawn in a replicate.
    pub(super) fn draw(&self, replicate: usize, weights: &mut [u16]) {
        let seed = seed_of_child(SEED, replicate);
        let mut random = generator(seed);
        if let Some(groups) = &self.groups {
            weights.fill(0);
            for _ in 0..groups.len() {
                groups[below(groups.len(), &mut random)].iter().for_each(|&row| weights[row as usize] += 1);
            }
            return;
        }
        poisson(seed, weights);
        for rows in &self.strata {
            let n = rows.len();
            let weights = &mut weights[rows.clone()];
            let drawn: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
            for _ in drawn as usize..n {
                weights[below(n, &mut random)] += 1;
            }
            let mut surplus = (drawn as usize).saturating_sub(n);
            while surplus > 0 {
                // Each draw is as likely to be taken back as any other: rows in proportion to their counts.
                let weight = &mut weights[below(n, &mut random)];
                if below(UPPER_BITS.len(), &mut random) < usize::from(*weight) {
                    *weight -= 1;
                    surplus -= 1;
                }
            }
        }
    }

    /// The result of `run` for the weights of every replicate, with memory that one leaves to the next.
    pub(super) fn map<S: Default, T: Send>(
        &self,
        told: Told,
        run: &(dyn Fn(&[u16], &mut S) -> T + Sync),
    ) -> Vec<T> {
        let (began, done) = (Instant::now(), AtomicUsize::new(0));
        // Few tasks, as each has memory of its own.
        const TASKS: usize = 16;
        let parts = parallel::map_indices(TASKS, &|task| {
            let (mut weights, mut scratch) = (vec![0; self.n_rows], S::default());
            let replicates = task * self.replicates / TASKS..(task + 1) * self.replicates / TASKS;
            let of_task = replicates.map(|replicate| {
                self.draw(replicate, &mut weights);
                let found = run(&weights, &mut scratch);
                let n_done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if began.elapsed() > SOON {
                    told(n_done, self.replicates);
                }
                found
            });
            of_task.collect::<Vec<T>>()
        });
        parts.into_iter().flatten().collect()
    }
}

/// The largest 16 bits, read as a signed number, that stand for 0, 1, … 7 draws; more stand for 8. They cut the 65,536
/// numbers in the shares of the Poisson law of mean 1, of which 8 and more have a share of 0.7.
const UPPER_BITS: [i16; 8] = [-8660, 15450, 27504, 31523, 32527, 32728, 32762, 32766];

/// Fills `weights` with Poisson counts of mean 1, four from each 64 random bits.
fn poisson(seed: u64, weights: &mut [u16]) {
    const BLOCK: usize = 32;
    for (block, weights) in weights.chunks_mut(BLOCK).enumerate() {
        let mut bits = [0_i16; BLOCK];
        for (at, four) in bits.chunks_exact_mut(4).enumerate() {
            let drawn = seed_of_child(seed, block * (BLOCK / 4) + at);
            four.iter_mut().zip([0, 16, 32, 48]).for_each(|(bits, shift)| *bits = (drawn >> shift) as i16);
        }
        let mut counts = [0_u16; BLOCK];
        for upper in UPPER_BITS {
            counts.iter_mut().zip(&bits).for_each(|(count, &bits)| *count += u16::from(bits > upper));
        }
        weights.copy_from_slice(&counts[..weights.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_keep_the_classes_or_take_whole_groups() {
        let truth = Truth::Classes { codes: vec![0, 0, 0, 1, 1], labels: vec!["a".into(), "b".into()] };
        let mut weights = vec![0; 5];
        for replicate in 0..50 {
            Bootstrap::new(&truth, None).draw(replicate, &mut weights);
            assert_eq!((weights[..3].iter().sum::<u16>(), weights[3..].iter().sum::<u16>()), (3, 2));
            let groups = Bootstrap::new(&truth, Some(&[0, 1, 0, 1, 1]));
            groups.draw(replicate, &mut weights);
            assert!(weights[0] == weights[2] && weights[1] == weights[3] && weights[3] == weights[4]);
            assert_eq!(weights[0] + weights[1], 2, "two groups are drawn");
        }
    }

    #[test]
    fn counts_are_those_of_rows_drawn_one_by_one() {
        for n in [2, 5, 40, 1000] {
            let bootstrap = Bootstrap::new(&Truth::Values(vec![0.0; n]), None);
            let replicates = 200_000 / n.min(40);
            let (mut weights, mut seen) = (vec![0_u16; n], [0.0; 6]);
            let (mut first, mut both) = (0.0, 0.0);
            for replicate in 0..replicates {
                bootstrap.draw(replicate, &mut weights);
                assert_eq!(weights.iter().map(|&weight| usize::from(weight)).sum::<usize>(), n);
                weights.iter().for_each(|&weight| seen[usize::from(weight).min(5)] += 1.0);
                first += f64::from(weights[0]);
                both += (f64::from(weights[0]) - 1.0) * (f64::from(weights[n - 1]) - 1.0);
            }
            // The binomial law of n draws with a chance of 1/n each.
            let (rows, p) = ((n * replicates) as f64, 1.0 / n as f64);
            let mut share = (1.0 - p).powi(n as i32);
            for (count, seen) in seen.iter().take(5.min(n + 1)).enumerate() {
                // Four standard errors of independent rows, which those of a replicate nearly are.
                let error = 4.0 * (share * (1.0 - share) / rows).sqrt() * if n < 10 { 1.5 } else { 1.0 };
                assert!((seen / rows - share).abs() < error, "{n} rows, {count} draws: {}", seen / rows);
                share *= (n - count) as f64 / (count + 1) as f64 * p / (1.0 - p);
            }
            let replicates = replicates as f64;
            assert!((first / replicates - 1.0).abs() < 4.0 / replicates.sqrt(), "{n} rows");
            // The covariance of two counts is −1/n.
            assert!((both / replicates + p).abs() < 6.0 / replicates.sqrt(), "{n} rows: {both}");
        }
    }
}
