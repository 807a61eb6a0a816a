//! Linear models and support vector machines of `ai.onnx.ml`, and distances.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::super::kernel::{Kernel, LANES, Tiles, squared_norm};
use super::super::pairwise::pair;
use super::super::{sigmoid, softmax};
use super::proto::NodeDef;
use super::step::{Inputs, Outer, Run, one};
use super::tensor::{Data, Tensor, n_elements};

/// What happens to the scores of a row at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
}

impl Transform {
    pub(crate) fn of(word: &str) -> Result<Self> {
        Ok(match word {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            other => {
                bail!("post_transform {other} is not known; NONE, LOGISTIC, SOFTMAX and SOFTMAX_ZERO are")
            }
        })
    }

    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = sigmoid(*score)),
            Self::Softmax => {
                softmax(scores);
            }
            Self::SoftmaxZero => {
                // A score of 0 stands for no score, and stays 0.
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let power =
                    |score: f64| if score.abs() > 1e-7 { (score - max).exp() } else { score * (-max).exp() };
                scores.iter_mut().for_each(|score| *score = power(*score));
                let sum: f64 = scores.iter().sum();
                scores.iter_mut().for_each(|score| *score /= sum);
            }
        }
    }
}

/// The classes of a classifier.
///
/// # Errors
/// It has none.
pub(crate) fn classes(node: &NodeDef) -> Result<Data> {
    let texts = node.texts("classlabels_strings");
    let ints = node.ints("classlabels_int64s");
    let old = node.ints("classlabels_ints");
    Ok(if !texts.is_empty() {
        Data::Text(texts.to_vec())
    } else if !ints.is_empty() {
        Data::I64(ints.to_vec())
    } else if !old.is_empty() {
        Data::I64(old.to_vec())
    } else {
        bail!("it has no class labels")
    })
}

/// The labels of the largest scores, and the scores in single precision: the outputs of a classifier.
pub(super) fn labelled(classes: &Data, rows: usize, scores: &[f64]) -> Result<Vec<super::tensor::Value>> {
    let k = classes.len();
    let best = |row: &[f64]| (1..k).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    let labels = classes.pick(scores.chunks_exact(k.max(1)).map(best));
    let scores = scores.iter().map(|&score| score as f32).collect();
    Ok(vec![Arc::new(Tensor::new(vec![rows], labels)), Arc::new(Tensor::f32(&[rows, k], scores))])
}

/// Coefficients and intercepts of linear scores.
pub(crate) struct LinearScores {
    /// Scores × columns.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercepts: Vec<f64>,
    pub(crate) n_columns: usize,
}

impl LinearScores {
    pub(crate) fn of(node: &NodeDef, n_scores: usize) -> Result<Self> {
        let wide = |name: &str| -> Vec<f64> { node.floats(name).iter().map(|&x| f64::from(x)).collect() };
        let (coefficients, mut intercepts) = (wide("coefficients"), wide("intercepts"));
        if intercepts.is_empty() {
            intercepts = vec![0.0; n_scores];
        }
        let n = intercepts.len();
        ensure!(
            n > 0 && !coefficients.is_empty() && coefficients.len() % n == 0,
            "it has {} coefficients for {n} scores",
            coefficients.len()
        );
        Ok(Self { n_columns: coefficients.len() / n, coefficients, intercepts })
    }

    fn scores(&self, inputs: &Inputs) -> Result<(usize, Vec<f64>)> {
        let x = inputs.get(0)?;
        let (rows, columns) = x.matrix();
        ensure!(columns == self.n_columns, "it reads {} columns and is given {columns}", self.n_columns);
        let values = x.to_f64()?;
        inputs.budget.spend(rows.saturating_mul(self.coefficients.len()))?;
        let mut scores = Vec::with_capacity(rows * self.intercepts.len());
        for x in values.chunks_exact(columns.max(1)) {
            let each = self.coefficients.chunks_exact(columns.max(1)).zip(&self.intercepts);
            scores.extend(each.map(|(w, intercept)| super::super::linear::dot(w, x) + intercept));
        }
        Ok((rows, scores))
    }
}

/// One score for two classes is that of the second.
pub(super) fn second_of_two(scores: Vec<f64>, transform: Transform) -> Vec<f64> {
    let both = |s: f64| match transform {
        Transform::Logistic => [sigmoid(-s), sigmoid(s)],
        _ => [-s, s],
    };
    scores.into_iter().flat_map(both).collect()
}

pub(super) fn linear_classifier(node: &NodeDef, _: &Outer) -> Result<Run> {
    let classes = classes(node)?;
    let transform = Transform::of(node.text("post_transform", "NONE"))?;
    let linear = LinearScores::of(node, classes.len())?;
    let n = linear.intercepts.len();
    ensure!(
        n == classes.len() || (n == 1 && classes.len() == 2),
        "it has {n} scores for {} classes",
        classes.len()
    );
    Ok(Box::new(move |inputs| {
        let (rows, mut scores) = linear.scores(inputs)?;
        if n == 1 && classes.len() == 2 {
            scores = second_of_two(scores, transform);
        } else {
            scores.chunks_exact_mut(n).for_each(|scores| transform.apply(scores));
        }
        labelled(&classes, rows, &scores)
    }))
}

pub(super) fn linear_regressor(node: &NodeDef, _: &Outer) -> Result<Run> {
    let transform = Transform::of(node.text("post_transform", "NONE"))?;
    let n = usize::try_from(node.int("targets", 1))
        .ok()
        .filter(|&n| n > 0 && n < 1 << 20)
        .context("it has no targets")?;
    let linear = LinearScores::of(node, n)?;
    Ok(Box::new(move |inputs| {
        let (rows, mut scores) = linear.scores(inputs)?;
        let n = linear.intercepts.len();
        scores.chunks_exact_mut(n).for_each(|scores| transform.apply(scores));
        one(Tensor::f32(&[rows, n], scores.into_iter().map(|score| score as f32).collect()))
    }))
}

/// The similarity of two rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Similarity {
    Linear,
    Rbf { gamma: f64 },
    Poly { gamma: f64, coef0: f64, degree: f64 },
    Tanh { gamma: f64, coef0: f64 },
}

impl Similarity {
    fn of(&self, a: &[f64], b: &[f64]) -> f64 {
        match *self {
            Self::Rbf { gamma } => {
                let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
                super::super::exp(-gamma * distance)
            }
            Self::Linear => super::super::linear::dot(a, b),
            Self::Poly { gamma, coef0, degree } => {
                let base = gamma * super::super::linear::dot(a, b) + coef0;
                if degree == degree.trunc() && degree.abs() < 1000.0 {
                    base.powi(degree as i32)
                } else {
                    base.powf(degree)
                }
            }
            Self::Tanh { gamma, coef0 } => (gamma * super::super::linear::dot(a, b) + coef0).tanh(),
        }
    }
}

/// A support vector machine as its attributes give it.
pub(crate) struct Machine {
    pub(crate) kernel: Similarity,
    pub(crate) n_columns: usize,
    /// Vectors × columns.
    pub(crate) vectors: Vec<f64>,
    /// The same for a kernel that is worked out for many at once, and the largest squared norm.
    tiles: Option<(Kernel, Tiles, f64)>,
    /// Of a classifier (classes − 1) × vectors.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) counts: Vec<usize>,
    pub(crate) rho: Vec<f64>,
    pub(crate) prob_a: Vec<f64>,
    pub(crate) prob_b: Vec<f64>,
}

impl Machine {
    pub(crate) fn of(node: &NodeDef, n_classes: Option<usize>) -> Result<Self> {
        let wide = |name: &str| -> Vec<f64> { node.floats(name).iter().map(|&x| f64::from(x)).collect() };
        let parameters = wide("kernel_params");
        let parameter = |i: usize| parameters.get(i).copied().unwrap_or(0.0);
        let (gamma, coef0, degree) = (parameter(0), parameter(1), parameter(2));
        let kernel = match node.text("kernel_type", "LINEAR") {
            "LINEAR" => Similarity::Linear,
            "RBF" => Similarity::Rbf { gamma },
            "POLY" => Similarity::Poly { gamma, coef0, degree },
            "SIGMOID" => Similarity::Tanh { gamma, coef0 },
            other => bail!("the kernel {other} is not known; LINEAR, RBF, POLY and SIGMOID are"),
        };
        let counts: Vec<usize> =
            node.ints("vectors_per_class").iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>()?;
        let (vectors, coefficients) = (wide("support_vectors"), wide("coefficients"));
        let (n, rows) = match n_classes {
            Some(k) => {
                let n = counts
                    .iter()
                    .try_fold(0_usize, |sum, &n| sum.checked_add(n))
                    .context("too many vectors")?;
                ensure!(counts.len() == k && k >= 2, "it has no support vectors for each of {k} classes");
                (n, k - 1)
            }
            None => (usize::try_from(node.int("n_supports", 0))?, 1),
        };
        let n_pairs = n_classes.map_or(1, |k| k * (k - 1) / 2);
        let mut machine = Self {
            kernel,
            n_columns: vectors.len().checked_div(n).unwrap_or(0),
            vectors,
            tiles: None,
            coefficients,
            counts,
            rho: wide("rho"),
            prob_a: wide("prob_a"),
            prob_b: wide("prob_b"),
        };
        ensure!(
            n > 0
                && machine.n_columns > 0
                && machine.vectors.len() == n * machine.n_columns
                && n.checked_mul(rows) == Some(machine.coefficients.len())
                && machine.rho.len() == n_pairs,
            "its {} numbers of support vectors, {} coefficients and {} intercepts do not fit each other; a linear machine \
             without support vectors is not read",
            machine.vectors.len(),
            machine.coefficients.len(),
            machine.rho.len()
        );
        let tiled = match machine.kernel {
            Similarity::Rbf { gamma } if gamma >= 0.0 => Some(Kernel::Rbf { gamma }),
            Similarity::Linear => Some(Kernel::Linear),
            _ => None,
        };
        let tiles = Tiles::new(machine.n_columns, machine.vectors.chunks_exact(machine.n_columns));
        let largest = (0..tiles.n_rows()).map(|i| tiles.norm(i)).fold(0.0, f64::max);
        let is_finite = tiles.is_finite() && parameters.iter().all(|parameter| parameter.is_finite());
        machine.tiles = tiled.filter(|_| is_finite).map(|kernel| (kernel, tiles, largest));
        Ok(machine)
    }

    /// The similarity of a row with each vector.
    fn kernels(&self, x: &[f64]) -> Vec<f64> {
        let norm = squared_norm(x);
        match &self.tiles {
            Some((kernel, tiles, largest)) if is_exact(*kernel, norm + largest) => {
                let mut values = vec![[0.0; LANES]; tiles.n_tiles()];
                tiles.kernels(*kernel, x, norm, 0, &mut values);
                let mut values = values.into_flattened();
                values.truncate(tiles.n_rows());
                values
            }
            _ => self.vectors.chunks_exact(self.n_columns).map(|v| self.kernel.of(x, v)).collect(),
        }
    }

    /// The scores of the pairs, each for the first of the pair.
    fn pairs(&self, x: &[f64], scores: &mut [f64]) {
        let k = self.counts.len();
        let n: usize = self.counts.iter().sum();
        let kernels = self.kernels(x);
        let starts: Vec<usize> =
            self.counts.iter().scan(0, |sum, &count| Some(std::mem::replace(sum, *sum + count))).collect();
        let part = |class: usize, row: usize| -> f64 {
            let places = starts[class]..starts[class] + self.counts[class];
            places.map(|at| self.coefficients[row * n + at] * kernels[at]).sum()
        };
        for a in 0..k {
            for b in a + 1..k {
                scores[pair(a, b, k)] = part(a, b - 1) + part(b, a) + self.rho[pair(a, b, k)];
            }
        }
    }
}

/// Whether a distance that comes of products, |x|² + |v|² − 2x·v, is as good as one of differences; `norms`: |x|² + |v|².
fn is_exact(kernel: Kernel, norms: f64) -> bool {
    match kernel {
        Kernel::Rbf { gamma } => 8.0 * f64::EPSILON * gamma * norms < 1e-10,
        _ => norms.is_finite(),
    }
}

/// The probabilities of the classes of pairs, by the iteration of LIBSVM (Wu, Lin and Weng 2004, algorithm 2), which stops
/// when it is near: the exact solution would differ from what trainers predict by up to 0.005 / k. `first`: the probability
/// of the first of a pair.
fn couple(first: impl Fn(usize) -> f64, workspace: &mut [f64], p: &mut [f64]) {
    const LEAST: f64 = 1e-7;
    let k = p.len();
    let (r, rest) = workspace.split_at_mut(k * k);
    let (q, qp) = rest.split_at_mut(k * k);
    for a in 0..k {
        for b in a + 1..k {
            r[a * k + b] = first(pair(a, b, k)).clamp(LEAST, 1.0 - LEAST);
            r[b * k + a] = 1.0 - r[a * k + b];
        }
    }
    for t in 0..k {
        p[t] = 1.0 / k as f64;
        q[t * k + t] = (0..k).filter(|&j| j != t).map(|j| r[j * k + t] * r[j * k + t]).sum();
        for j in (0..k).filter(|&j| j != t) {
            q[t * k + j] = -r[j * k + t] * r[t * k + j];
        }
    }
    let near = 0.005 / k as f64;
    for _ in 0..k.max(100) {
        let mut pqp = 0.0;
        for t in 0..k {
            qp[t] = (0..k).map(|j| q[t * k + j] * p[j]).sum();
            pqp += p[t] * qp[t];
        }
        if qp.iter().all(|qp| (qp - pqp).abs() < near) {
            break;
        }
        for t in 0..k {
            let diff = (pqp - qp[t]) / q[t * k + t];
            p[t] += diff;
            pqp = (pqp + diff * (diff * q[t * k + t] + 2.0 * qp[t])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..k {
                qp[j] = (qp[j] + diff * q[t * k + j]) / (1.0 + diff);
                p[j] /= 1.0 + diff;
            }
        }
    }
}

fn rows_of(inputs: &Inputs, machine: &Machine) -> Result<(usize, Vec<f64>)> {
    let x = inputs.get(0)?;
    let (rows, columns) = x.matrix();
    ensure!(columns == machine.n_columns, "it reads {} columns and is given {columns}", machine.n_columns);
    inputs.budget.spend(rows.saturating_mul(machine.vectors.len()))?;
    Ok((rows, x.to_f64()?))
}

pub(super) fn svm_classifier(node: &NodeDef, _: &Outer) -> Result<Run> {
    let classes = classes(node)?;
    let k = classes.len();
    let machine = Machine::of(node, Some(k))?;
    let n_pairs = machine.rho.len();
    ensure!(
        machine.prob_a.len() == n_pairs && machine.prob_b.len() == n_pairs,
        "it gives no probabilities; train with SVC(probability=True)"
    );
    ensure!(node.text("post_transform", "NONE") == "NONE", "a post_transform of it is not read");
    Ok(Box::new(move |inputs| {
        let (rows, values) = rows_of(inputs, &machine)?;
        let mut scores = vec![0.0; n_elements(&[rows, k])?];
        let (mut pairs, mut matrix) = (vec![0.0; n_pairs], vec![0.0; 2 * k * k + k]);
        for (x, out) in values.chunks_exact(machine.n_columns.max(1)).zip(scores.chunks_exact_mut(k.max(1))) {
            machine.pairs(x, &mut pairs);
            let first = |pair: usize| sigmoid(-(machine.prob_a[pair] * pairs[pair] + machine.prob_b[pair]));
            couple(first, &mut matrix, out);
        }
        labelled(&classes, rows, &scores)
    }))
}

pub(super) fn svm_regressor(node: &NodeDef, _: &Outer) -> Result<Run> {
    let machine = Machine::of(node, None)?;
    ensure!(
        node.int("one_class", 0) == 0 && node.text("post_transform", "NONE") == "NONE",
        "one class, or a post_transform, is not read"
    );
    Ok(Box::new(move |inputs| {
        let (rows, values) = rows_of(inputs, &machine)?;
        let score = |x: &[f64]| {
            let terms = machine
                .kernels(x)
                .into_iter()
                .zip(&machine.coefficients)
                .map(|(kernel, weight)| kernel * weight);
            (terms.sum::<f64>() + machine.rho[0]) as f32
        };
        one(Tensor::f32(&[rows, 1], values.chunks_exact(machine.n_columns.max(1)).map(score).collect()))
    }))
}

/// The distance of every row of the first input from every row of the second.
pub(super) fn distances(node: &NodeDef, _: &Outer) -> Result<Run> {
    let metric = node.text("metric", "sqeuclidean").to_string();
    ensure!(["euclidean", "sqeuclidean"].contains(&metric.as_str()), "the metric {metric} is not known");
    Ok(Box::new(move |inputs| {
        let (a, b) = (inputs.get(0)?, inputs.get(1)?);
        let ((rows, columns), (others, same)) = (a.matrix(), b.matrix());
        ensure!(columns == same && columns > 0, "rows of {columns} and of {same} columns have no distance");
        let n = n_elements(&[rows, others])?;
        inputs.budget.spend(n.saturating_mul(columns))?;
        let (x, y) = (a.to_f64()?, b.to_f64()?);
        let mut out = Vec::with_capacity(n);
        for x in x.chunks_exact(columns.max(1)) {
            out.extend(y.chunks_exact(columns.max(1)).map(|y| {
                let squared: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
                if metric == "euclidean" { squared.sqrt() } else { squared }
            }));
        }
        one(Tensor::float_like(a, &[rows, others], out))
    }))
}
