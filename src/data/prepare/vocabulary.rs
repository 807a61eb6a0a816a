//! The terms of a text column that a model knows, and the numbers a text becomes.

use rayon::prelude::*;

use crate::data::cells::matrix::Matrix;
use crate::data::cells::target::Truth;
use crate::data::cells::text::Terms;
use crate::order;

/// A vocabulary holds at most this many terms, those of the most training rows.
pub(crate) const MAX_TERMS: usize = 65_536;

/// For learners of dense rows a text becomes the counts of at most this many terms, those that say most about
/// the target.
pub(crate) const MAX_DENSE_TERMS: usize = 256;

/// Rows whose terms are counted together, and the rows of that which a thread takes at a time.
const COUNTED_ROWS: usize = 65_536;
const BLOCK_ROWS: usize = 512;

/// The known terms and their weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vocabulary {
    /// Their hashes, ascending.
    pub terms: Vec<u32>,
    /// The factor of the count of each before a row is scaled to length 1; empty if counts are passed on as they
    /// are.
    pub idf: Vec<f64>,
}

impl Vocabulary {
    /// The terms of column `feature` of rows of codes. With `weighted`, their inverse document frequencies,
    /// ln((1 + rows) / (1 + rows with the term)) + 1, as in scikit-learn's `TfidfVectorizer` (1.9, `smooth_idf`).
    /// With `telling`, only those that say most about this target of the rows.
    pub fn fit(codes: &Matrix, feature: usize, weighted: bool, telling: Option<&Truth>) -> Self {
        let mut counted = count_documents(codes, feature);
        if counted.len() > MAX_TERMS {
            counted.sort_unstable_by_key(|&(term, n)| (std::cmp::Reverse(n), term));
            counted.truncate(MAX_TERMS);
            counted.sort_unstable();
        }
        if let Some(truth) = telling
            && counted.len() > MAX_DENSE_TERMS
        {
            let scores = scores(codes, feature, &counted, truth, MAX_SUMS);
            let mut order: Vec<usize> = (0..counted.len()).collect();
            order::sort_by(&mut order, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            order.truncate(MAX_DENSE_TERMS);
            order.sort_unstable();
            counted = order.into_iter().map(|i| counted[i]).collect();
        }
        let n_rows = codes.n_rows() as f64;
        let idf = |&(_, n): &(u32, u32)| ((1.0 + n_rows) / (1.0 + f64::from(n))).ln() + 1.0;
        let idf = if weighted { counted.iter().map(idf).collect() } else { Vec::new() };
        Self { terms: counted.into_iter().map(|(term, _)| term).collect(), idf }
    }

    /// Number of terms.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether no term is known.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The known terms of a text, ascending by index, and the weight of each before scaling.
    pub fn of<'a>(&'a self, text: &str, terms: &'a mut Terms) -> impl Iterator<Item = (usize, f64)> + 'a {
        terms.of(text).filter_map(|(term, count)| {
            let index = self.terms.binary_search(&term).ok()?;
            Some((index, count * self.idf.get(index).copied().unwrap_or(1.0)))
        })
    }
}

/// In how many rows each term occurs, ascending by term.
fn count_documents(codes: &Matrix, feature: usize) -> Vec<(u32, u32)> {
    let mut counted: Vec<(u32, u32)> = Vec::new();
    for first in (0..codes.n_rows()).step_by(COUNTED_ROWS) {
        let rows = first..(first + COUNTED_ROWS).min(codes.n_rows());
        let blocks: Vec<usize> = rows.clone().step_by(BLOCK_ROWS).collect();
        let of_block = |&block: &usize| {
            let mut terms = Terms::default();
            let rows = block..(block + BLOCK_ROWS).min(rows.end);
            let mut found = Vec::new();
            for row in rows {
                let text = codes.texts().get(codes.row(row)[feature]);
                found.extend(terms.of(text).map(|(term, _)| term));
            }
            found
        };
        let mut found = blocks.par_iter().map(of_block).collect::<Vec<_>>().concat();
        found.par_sort_unstable();
        counted.extend(found.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u32)));
        counted.sort_unstable();
        counted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
    }
    counted
}

/// Sums of terms within classes that are held at a time.
const MAX_SUMS: usize = MAX_TERMS * 256;

/// How much the presence of each term says about the target: χ² of classes, the squares between the rows with
/// and without it of numbers, which order terms as the F statistic does.
fn scores(
    codes: &Matrix,
    feature: usize,
    counted: &[(u32, u32)],
    truth: &Truth,
    max_sums: usize,
) -> Vec<f64> {
    let n_classes = match truth {
        Truth::Classes { labels, .. } => labels.len(),
        Truth::Values(_) => 1,
    };
    // Of many classes the sums of some terms are looked at, then those of others.
    let blocks = counted.chunks((max_sums / n_classes).max(1));
    blocks.flat_map(|counted| scores_of(codes, feature, counted, truth)).collect()
}

fn scores_of(codes: &Matrix, feature: usize, counted: &[(u32, u32)], truth: &Truth) -> Vec<f64> {
    let width = match truth {
        Truth::Classes { labels, .. } => labels.len(),
        Truth::Values(_) => 1,
    };
    let n_rows = codes.n_rows() as f64;
    let (mut sums, mut total) = (vec![0.0; counted.len() * width], vec![0.0; width]);
    let mut terms = Terms::default();
    for row in 0..codes.n_rows() {
        let (column, value) = match truth {
            Truth::Classes { codes, .. } => (codes[row] as usize, 1.0),
            Truth::Values(values) => (0, values[row]),
        };
        total[column] += value;
        for (term, _) in terms.of(codes.texts().get(codes.row(row)[feature])) {
            if let Ok(index) = counted.binary_search_by_key(&term, |(term, _)| *term) {
                sums[index * width + column] += value;
            }
        }
    }
    let score = |(&(_, n), sums): (&(u32, u32), &[f64])| {
        let n = f64::from(n);
        match truth {
            Truth::Classes { .. } => {
                let of_class = |(sum, total): (&f64, &f64)| {
                    let expected = n * total / n_rows;
                    if expected > 0.0 { (sum - expected) * (sum - expected) / expected } else { 0.0 }
                };
                sums.iter().zip(&total).map(of_class).sum()
            }
            Truth::Values(_) => {
                let mean = total[0] / n_rows;
                let away = sums[0] - n * mean;
                let without = n_rows - n;
                away * away * (1.0 / n + if without > 0.0 { 1.0 / without } else { 0.0 })
            }
        }
    };
    counted.iter().zip(sums.chunks_exact(width)).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(texts: &[&str]) -> Matrix {
        let mut codes = Matrix::zeros(texts.len(), 1);
        for (i, text) in texts.iter().enumerate() {
            codes.row_mut(i)[0] = codes.texts_mut().push(text);
        }
        codes
    }

    #[test]
    fn terms_of_many_classes_are_scored_a_few_at_a_time_alike() {
        let texts: Vec<String> = (0..60).map(|i| format!("w{} w{} w{}", i % 7, i % 11, i % 13)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (codes, labels) = (codes(&texts), ["a", "b", "c"].map(String::from).to_vec());
        let counted = count_documents(&codes, 0);
        let classes = Truth::Classes { codes: (0..60).map(|i| i % 5 % 3).collect(), labels };
        let values = Truth::Values((0..60).map(|i| f64::from(i % 11)).collect());
        for truth in [classes, values] {
            let [all, few, one] = [1000, 20, 1].map(|max| scores(&codes, 0, &counted, &truth, max));
            assert!(all.len() == counted.len() && all == few && all == one);
        }
    }

    #[test]
    fn a_term_of_more_rows_counts_less_and_rows_without_words_have_no_vocabulary() {
        let of = |texts: &[&str]| Vocabulary::fit(&codes(texts), 0, true, None);
        let vocabulary = of(&["red red", "red pear", "green"]);
        // red, red red, pear, red pear, green.
        assert_eq!(vocabulary.len(), 5);
        let mut terms = Terms::default();
        let red: Vec<f64> = vocabulary.of("Red", &mut terms).map(|(_, value)| value).collect();
        assert_eq!(red, [(4.0_f64 / 3.0).ln() + 1.0]);
        let green: Vec<f64> = vocabulary.of("green blue", &mut terms).map(|(_, value)| value).collect();
        assert_eq!(green, [2.0_f64.ln() + 1.0]);
        assert!(of(&["!", "?"]).is_empty());
    }

    #[test]
    fn the_terms_that_tell_most_about_the_target_are_kept_for_dense_rows() {
        let texts: Vec<String> = (0..2000)
            .map(|i| format!("w{} x{} {}", i % 499, i % 251, if i % 2 == 0 { "yes" } else { "no" }))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let codes = codes(&texts);
        let classes = (0..2000).map(|i| u32::from(i % 2 == 0)).collect();
        let classes = Truth::Classes { codes: classes, labels: vec!["n".into(), "y".into()] };
        let values = Truth::Values((0..2000).map(|i| f64::from(u8::from(i % 2 == 0))).collect());
        for truth in [classes, values] {
            let vocabulary = Vocabulary::fit(&codes, 0, false, Some(&truth));
            assert_eq!(vocabulary.len(), MAX_DENSE_TERMS);
            let mut terms = Terms::default();
            assert_eq!(vocabulary.of("yes", &mut terms).count(), 1);
            assert_eq!(vocabulary.of("no", &mut terms).count(), 1);
        }
    }
}
