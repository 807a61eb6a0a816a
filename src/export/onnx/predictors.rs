//! The inference forms but trees as operators, from their arrays in the model file (docs/model-file.md).

use anyhow::{Context, Result, bail, ensure};

use super::proto::{Attribute, Graph, Kind, Value};
use super::trees;
use crate::model::predictor::neighbours::Neighbours;
use crate::model::predictor::network::{Activation, Network};
use crate::model::predictor::{Array, Arrays, Link, Predictor, take_f64, take_u32};

/// Bounds of the forms, as `naive_bayes.rs`, `kernel.rs` and `pairwise.rs` have them.
const MOST_AGAINST: f64 = 1e290;
const MOST_AGAINST_SINGLE: f64 = 1e37;
const MAX_KERNEL: f64 = 1e30;
const MIN_PAIR_PROBABILITY: f64 = 1e-7;

/// What a predictor makes of prepared rows: the probability of each class, or a number.
///
/// # Errors
/// Arrays that are not as docs/model-file.md says; a form that operators do not say.
pub(super) fn predictions(graph: &mut Graph, predictor: &Predictor, x: &str) -> Result<Value> {
    let mut arrays = Arrays::new();
    if !matches!(predictor, Predictor::Trees(_)) {
        predictor.write_arrays(&mut arrays);
    }
    match predictor {
        Predictor::Linear(model) => {
            let (coefficients, intercepts) = model.coefficients();
            let n_scores = intercepts.len();
            let weights = graph.reals(&[n_scores, coefficients.len() / n_scores], coefficients);
            let bias = graph.reals(&[n_scores], intercepts);
            let scores = graph.dense(x, &weights, &bias, true);
            Ok(linked(graph, model.link(), scores))
        }
        Predictor::Trees(model) => {
            let scores = trees::scores(graph, model.parts(), x)?;
            Ok(linked(graph, model.parts().link, scores))
        }
        Predictor::Network(model) => {
            let link = Network::link_of_form(model.form());
            let scores = network(graph, &mut arrays, x)?;
            Ok(linked(graph, link.unwrap_or(Link::Identity), scores))
        }
        Predictor::NaiveBayes(_) => naive_bayes(graph, &mut arrays, x),
        Predictor::SupportVectors(model) => support_vectors(graph, &mut arrays, model.form(), x),
        // Also what comes to be: no form is said that is not known here.
        _ => {
            let form = predictor.form();
            ensure!(
                form == Neighbours::FORM,
                "the form {form:?} of the model is not one that the export says"
            );
            neighbours(graph, &mut arrays, x)
        }
    }
}

fn linked(graph: &mut Graph, link: Link, scores: Value) -> Value {
    match link {
        Link::Identity => scores,
        Link::Exponential => graph.op("Exp", &[&scores]),
        Link::Softmax => softmax(graph, &scores),
        Link::Sigmoid => {
            let against = graph.op("Neg", &[&scores]);
            let both = graph.side_by_side(&[against, scores]);
            graph.op("Sigmoid", &[&both])
        }
        Link::Share => {
            let one = graph.real(1.0);
            let other = graph.op("Sub", &[&one, &scores]);
            graph.side_by_side(&[other, scores])
        }
    }
}

fn softmax(graph: &mut Graph, scores: &str) -> Value {
    graph.op_with("Softmax", &[scores], vec![("axis", Attribute::Int(1))])
}

/// The first sizes of an array.
fn shape(arrays: &Arrays, name: &str) -> Vec<usize> {
    match arrays.get(name) {
        Some(Array::F64(shape, _)) => shape.clone(),
        _ => Vec::new(),
    }
}

fn network(graph: &mut Graph, arrays: &mut Arrays, x: &str) -> Result<Value> {
    let activation = take_u32(arrays, "net.activation")?;
    let activation = activation.first().and_then(|&code| Activation::ALL.get(code as usize));
    let sizes = take_u32(arrays, "net.sizes")?;
    let parameters = take_f64(arrays, "net.parameters")?;
    let mut rest = parameters.as_slice();
    let mut x = x.to_string();
    for (layer, pair) in sizes.windows(2).enumerate() {
        let [inputs, units] = [pair[0] as usize, pair[1] as usize];
        let (weights, after) = rest.split_at(inputs * units);
        let (biases, after) = after.split_at(units);
        rest = after;
        let (weights, biases) = (graph.reals(&[inputs, units], weights), graph.reals(&[units], biases));
        x = graph.dense(&x, &weights, &biases, false);
        if layer + 2 < sizes.len() {
            x = match activation.context("the network has no activation")? {
                Activation::Identity => x,
                Activation::Logistic => graph.op("Sigmoid", &[&x]),
                Activation::Tanh => graph.op("Tanh", &[&x]),
                Activation::Relu => graph.op("Relu", &[&x]),
            };
        }
    }
    Ok(x)
}

fn naive_bayes(graph: &mut Graph, arrays: &mut Arrays, x: &str) -> Result<Value> {
    let levels = take_u32(arrays, "bayes.levels")?;
    let mut take = |name: &str| match arrays.contains_key(name) {
        true => take_f64(arrays, name),
        false => Ok(Vec::new()),
    };
    let (priors, frequencies) = (take("bayes.priors")?, take("bayes.frequencies")?);
    let (means, variances) = (take("bayes.means")?, take("bayes.variances")?);
    let rates = take("bayes.rates")?;
    let n_classes = priors.len();
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<_>>();
    let mut scores = graph.reals(&[n_classes], &logs(&priors));
    // Numbers that are not skipped, by their place in the row and among the numbers.
    let of_row =
        levels.iter().enumerate().filter(|(_, levels)| **levels == 0).map(|(column, _)| column as i64);
    let numbers: Vec<(i64, usize)> =
        of_row.zip(0..).filter(|&(_, at)| !rates.is_empty() || variances[at * n_classes] > 0.0).collect();
    if !numbers.is_empty() {
        let places: Vec<i64> = numbers.iter().map(|(place, _)| *place).collect();
        let x = graph.columns(x, &places);
        let missing = graph.op("IsNaN", &[&x]);
        let zero = graph.real(0.0);
        let n = numbers.len();
        let of = |values: &[f64]| -> Vec<f64> {
            numbers.iter().flat_map(|(_, at)| values[at * n_classes..(at + 1) * n_classes].to_vec()).collect()
        };
        let said = if rates.is_empty() {
            // Rows, numbers, classes.
            let last = graph.ints(&[1], &[2]);
            let wide = graph.op("Unsqueeze", &[&x, &last]);
            let mean = graph.reals(&[n, n_classes], &of(&means));
            let away = graph.op("Sub", &[&wide, &mean]);
            let root = of(&variances)
                .iter()
                .map(|variance| (0.5 / variance).min(f64::MAX).sqrt())
                .collect::<Vec<_>>();
            let root = graph.reals(&[n, n_classes], &root);
            let away = graph.op("Mul", &[&away, &root]);
            let square = graph.op("Mul", &[&away, &away]);
            let most = graph.real(match graph.dialect.real {
                Kind::Float => MOST_AGAINST_SINGLE,
                _ => MOST_AGAINST,
            });
            let square = graph.op("Min", &[&square, &most]);
            let offset = of(&variances)
                .iter()
                .map(|variance| -0.5 * (2.0 * std::f64::consts::PI).ln() - 0.5 * variance.ln())
                .collect::<Vec<_>>();
            let offset = graph.reals(&[n, n_classes], &offset);
            let said = graph.op("Sub", &[&offset, &square]);
            let missing = graph.op("Unsqueeze", &[&missing, &last]);
            let said = graph.op("Where", &[&missing, &zero, &said]);
            graph.sum(&said, 1, false)
        } else {
            let counts = graph.op("Where", &[&missing, &zero, &x]);
            let slopes = graph.reals(&[n, n_classes], &logs(&of(&rates)));
            graph.op("MatMul", &[&counts, &slopes])
        };
        scores = graph.op("Add", &[&said, &scores]);
    }
    let mut first = 0;
    for (column, &levels) in levels.iter().enumerate().filter(|(_, levels)| **levels > 0) {
        let levels = levels as usize;
        // What is no level, a missing value among them, says nothing.
        let mut table = logs(&frequencies[first * n_classes..(first + levels) * n_classes]);
        table.extend(vec![0.0; n_classes]);
        first += levels;
        let table = graph.reals(&[levels + 1, n_classes], &table);
        let column = graph.int(column as i64);
        let code = graph.op_with("Gather", &[x, &column], vec![("axis", Attribute::Int(1))]);
        let none = graph.real(levels as f64);
        let missing = graph.op("IsNaN", &[&code]);
        let code = graph.op("Where", &[&missing, &none, &code]);
        let place = graph.cast(&code, Kind::Int64);
        let said = graph.op_with("Gather", &[&table, &place], vec![("axis", Attribute::Int(0))]);
        scores = graph.op("Add", &[&said, &scores]);
    }
    Ok(softmax(graph, &scores))
}

/// The pair of places `a < b` among `k` classes.
fn pair(a: usize, b: usize, k: usize) -> usize {
    a * (2 * k - a - 1) / 2 + (b - a - 1)
}

fn support_vectors(graph: &mut Graph, arrays: &mut Arrays, form: &str, x: &str) -> Result<Value> {
    let n_inputs = shape(arrays, "kernel.vectors").get(1).copied().unwrap_or(0);
    let [vectors, intercepts, function] =
        ["vectors", "intercepts", "function"].map(|name| take_f64(arrays, &format!("kernel.{name}")));
    let (vectors, intercepts, function) = (vectors?, intercepts?, function?);
    let n_vectors = vectors.len() / n_inputs.max(1);
    let n_scores = intercepts.len();
    let classes: Vec<usize> = match arrays.contains_key("kernel.classes") {
        true => take_u32(arrays, "kernel.classes")?.into_iter().map(|class| class as usize).collect(),
        false => Vec::new(),
    };
    let k = classes.len();
    let intercepts = graph.reals(&[n_scores], &intercepts);
    let [kind, gamma, coef0, degree] = function[..] else { bail!("the kernel has no function") };
    let scores = if kind == 0.0 {
        let weights = graph.reals(&[n_scores, n_inputs], &vectors);
        graph.dense(x, &weights, &intercepts, true)
    } else {
        let transposed: Vec<f64> = (0..n_inputs)
            .flat_map(|c| vectors.iter().skip(c).step_by(n_inputs).copied().collect::<Vec<_>>())
            .collect();
        let by_input = graph.reals(&[n_inputs, n_vectors], &transposed);
        let dots = graph.op("MatMul", &[x, &by_input]);
        let gamma_value = graph.real(if kind == 1.0 { -gamma } else { gamma });
        let kernel = if kind == 1.0 {
            let squares: Vec<f64> =
                vectors.chunks_exact(n_inputs).map(|row| row.iter().map(|v| v * v).sum()).collect();
            let norms = graph.reals(&[n_vectors], &squares);
            let square = graph.op("Mul", &[x, x]);
            let norm = graph.sum(&square, 1, true);
            let both = graph.op("Add", &[&norm, &norms]);
            let two = graph.real(2.0);
            let twice = graph.op("Mul", &[&dots, &two]);
            let distance = graph.op("Sub", &[&both, &twice]);
            let zero = graph.real(0.0);
            let distance = graph.op("Max", &[&distance, &zero]);
            let exponent = graph.op("Mul", &[&distance, &gamma_value]);
            graph.op("Exp", &[&exponent])
        } else {
            let scaled = graph.op("Mul", &[&dots, &gamma_value]);
            let coef0 = graph.real(coef0);
            let base = graph.op("Add", &[&scaled, &coef0]);
            let degree = graph.real(degree);
            let power = graph.op("Pow", &[&base, &degree]);
            let (low, high) = (graph.real(-MAX_KERNEL), graph.real(MAX_KERNEL));
            graph.op("Clip", &[&power, &low, &high])
        };
        let coefficients = take_f64(arrays, "kernel.coefficients")?;
        let counts = take_u32(arrays, "kernel.counts")?;
        // Each vector takes part in the pairs of its own class.
        let mut weights = vec![0.0; n_vectors * n_scores];
        let width = k.max(2) - 1;
        let mut vector = 0;
        for (place, &count) in counts.iter().enumerate() {
            let others: Vec<usize> = (0..k).filter(|&other| other != place).collect();
            for _ in 0..count {
                for (o, coefficient) in coefficients[vector * width..(vector + 1) * width].iter().enumerate()
                {
                    let score = others.get(o).map_or(0, |&other| pair(place.min(other), place.max(other), k));
                    weights[vector * n_scores + score] = *coefficient;
                }
                vector += 1;
            }
        }
        let weights = graph.reals(&[n_vectors, n_scores], &weights);
        let sums = graph.op("MatMul", &[&kernel, &weights]);
        graph.op("Add", &[&sums, &intercepts])
    };
    let of_classes = match form {
        "kernel" => return Ok(scores),
        "kernel-coupled" => {
            let calibration = take_f64(arrays, "kernel.calibration")?;
            let of = |at: usize| calibration.iter().skip(at).step_by(2).map(|v| -v).collect::<Vec<_>>();
            let (slopes, offsets) = (graph.reals(&[n_scores], &of(0)), graph.reals(&[n_scores], &of(1)));
            let scaled = graph.op("Mul", &[&scores, &slopes]);
            let odds = graph.op("Add", &[&scaled, &offsets]);
            match k {
                2 => linked(graph, Link::Sigmoid, odds),
                _ => coupled(graph, &odds, k),
            }
        }
        "kernel-votes" if k == 2 => linked(graph, Link::Sigmoid, scores),
        "kernel-votes" => {
            let votes = votes(graph, &scores, k);
            softmax(graph, &votes)
        }
        other => bail!("the form {other:?} is not known"),
    };
    // A class may be without vectors.
    let n_outputs = take_u32(arrays, "kernel.outputs")?.first().map_or(k, |&n| n as usize);
    if n_outputs == k {
        return Ok(of_classes);
    }
    let mut places = vec![0.0; k * n_outputs];
    classes.iter().enumerate().for_each(|(place, class)| places[place * n_outputs + class] = 1.0);
    let places = graph.reals(&[k, n_outputs], &places);
    Ok(graph.op("MatMul", &[&of_classes, &places]))
}

/// A number for each pair of classes and each class: `of` the pair and the class's being its second.
fn by_pair(k: usize, of: impl Fn(bool) -> f64) -> Vec<f64> {
    let mut values = Vec::new();
    for a in 0..k {
        for b in a + 1..k {
            values.extend((0..k).map(|class| if class == a || class == b { of(class == b) } else { 0.0 }));
        }
    }
    values
}

/// The pairs that each class wins, and by how much.
fn votes(graph: &mut Graph, scores: &str, k: usize) -> Value {
    let n_pairs = k * (k - 1) / 2;
    let zero = graph.real(0.0);
    let second = graph.op("Greater", &[scores, &zero]);
    let second = graph.as_real(&second);
    let sign = graph.reals(&[n_pairs, k], &by_pair(k, |is_second| if is_second { 1.0 } else { -1.0 }));
    let won = graph.op("MatMul", &[&second, &sign]);
    // Of those pairs of which it is the first, a class wins what the second does not.
    let firsts: Vec<f64> = (0..k).map(|class| (k - 1 - class) as f64).collect();
    let firsts = graph.reals(&[k], &firsts);
    let won = graph.op("Add", &[&won, &firsts]);
    let confidence = graph.op("MatMul", &[scores, &sign]);
    let size = graph.op("Abs", &[&confidence]);
    let (one, three) = (graph.real(1.0), graph.real(3.0));
    let size = graph.op("Add", &[&size, &one]);
    let size = graph.op("Mul", &[&size, &three]);
    let part = graph.op("Div", &[&confidence, &size]);
    graph.op("Add", &[&won, &part])
}

/// The probabilities of classes from those of pairs, as `pairwise.rs`: (Q + eeᵀ) p ∝ e, solved by elimination.
fn coupled(graph: &mut Graph, odds: &str, k: usize) -> Value {
    let n_pairs = k * (k - 1) / 2;
    let p = graph.op("Sigmoid", &[odds]);
    let (low, high) = (graph.real(MIN_PAIR_PROBABILITY), graph.real(1.0 - MIN_PAIR_PROBABILITY));
    let second = graph.op("Clip", &[&p, &low, &high]);
    let one = graph.real(1.0);
    let first = graph.op("Sub", &[&one, &second]);
    let products =
        [[&second, &second], [&first, &first], [&first, &second]].map(|[a, b]| graph.op("Mul", &[a, b]));
    let products = graph.side_by_side(&products);
    // The matrix is linear in the products; its last column is e.
    let width = k + 1;
    let mut parts = vec![0.0; 3 * n_pairs * k * width];
    for a in 0..k {
        for b in a + 1..k {
            let at = pair(a, b, k);
            let mut put = |product: usize, row: usize, column: usize, value: f64| {
                parts[(product * n_pairs + at) * k * width + row * width + column] = value;
            };
            put(0, a, a, 1.0);
            put(1, b, b, 1.0);
            put(2, a, b, -1.0);
            put(2, b, a, -1.0);
        }
    }
    let parts = graph.reals(&[3 * n_pairs, k * width], &parts);
    let matrix = graph.op("MatMul", &[&products, &parts]);
    let matrix = graph.op("Add", &[&matrix, &one]);
    let shape = graph.ints(&[3], &[-1, k as i64, width as i64]);
    let mut matrix = graph.op("Reshape", &[&matrix, &shape]);
    // Gauss and Jordan; a matrix of this kind needs no pivoting.
    let axis = |n: i64| vec![("axis", Attribute::Int(n))];
    for j in 0..k {
        let place = graph.ints(&[1], &[j as i64]);
        let row = graph.op_with("Gather", &[&matrix, &place], axis(1));
        let pivot = graph.op_with("Gather", &[&row, &place], axis(2));
        let row = graph.op("Div", &[&row, &pivot]);
        let column = graph.op_with("Gather", &[&matrix, &place], axis(2));
        // Of the row itself only the scaled one remains.
        let mut own = vec![0.0; k];
        own[j] = 1.0;
        let own = graph.reals(&[k, 1], &own);
        let factor = graph.op("Sub", &[&column, &own]);
        let change = graph.op("Mul", &[&factor, &row]);
        matrix = graph.op("Sub", &[&matrix, &change]);
    }
    let last = graph.int(k as i64);
    let p = graph.op_with("Gather", &[&matrix, &last], axis(2));
    let zero = graph.real(0.0);
    let p = graph.op("Max", &[&p, &zero]);
    let sum = graph.sum(&p, 1, true);
    graph.op("Div", &[&p, &sum])
}

/// The distance to each training row is added up column by column, in the order of the product, so that equally distant
/// rows stay so.
fn neighbours(graph: &mut Graph, arrays: &mut Arrays, x: &str) -> Result<Value> {
    let settings = take_u32(arrays, "neighbours.settings")?;
    let [k, manhattan, by_distance, _, n_classes] = settings[..] else {
        bail!("the neighbours have no settings")
    };
    let rows = take_f64(arrays, "neighbours.x")?;
    let (values, width) = match n_classes as usize {
        0 => (take_f64(arrays, "neighbours.values")?, 1),
        n => {
            let codes = take_u32(arrays, "neighbours.codes")?;
            let mut values = vec![0.0; codes.len() * n];
            codes.iter().enumerate().for_each(|(row, &code)| values[row * n + code as usize] = 1.0);
            (values, n)
        }
    };
    let n_rows = values.len() / width;
    let n_inputs = rows.len() / n_rows;
    let mut sum: Option<Value> = None;
    for c in 0..n_inputs {
        let column: Vec<f64> = rows.iter().skip(c).step_by(n_inputs).copied().collect();
        let column = graph.reals(&[1, n_rows], &column);
        let own = graph.columns(x, &[c as i64]);
        let away = graph.op("Sub", &[&own, &column]);
        let term = if manhattan == 1 { graph.op("Abs", &[&away]) } else { graph.op("Mul", &[&away, &away]) };
        sum = Some(match sum {
            Some(sum) => graph.op("Add", &[&sum, &term]),
            None => term,
        });
    }
    let sum = sum.context("the neighbours have no numbers")?;
    let n_nearest = graph.ints(&[1], &[i64::from(k)]);
    let attributes =
        vec![("axis", Attribute::Int(1)), ("largest", Attribute::Int(0)), ("sorted", Attribute::Int(1))];
    let [distance, nearest] = graph.op_of_two("TopK", &[&sum, &n_nearest], attributes);
    let table = graph.reals(&[n_rows, width], &values);
    // Rows, neighbours, classes.
    let known = graph.op_with("Gather", &[&table, &nearest], vec![("axis", Attribute::Int(0))]);
    if by_distance == 0 {
        let total = graph.sum(&known, 1, false);
        let k = graph.real(f64::from(k));
        return Ok(graph.op("Div", &[&total, &k]));
    }
    let distance = if manhattan == 1 { distance } else { graph.op("Sqrt", &[&distance]) };
    let (zero, one) = (graph.real(0.0), graph.real(1.0));
    let same = graph.op("Equal", &[&distance, &zero]);
    let same = graph.as_real(&same);
    let n_same = graph.sum(&same, 1, true);
    let has_same = graph.op("Greater", &[&n_same, &zero]);
    let weight = graph.op("Div", &[&one, &distance]);
    let weight = graph.op("Where", &[&has_same, &same, &weight]);
    let last = graph.ints(&[1], &[2]);
    let total = graph.sum(&weight, 1, true);
    let weight = graph.op("Unsqueeze", &[&weight, &last]);
    let weighted = graph.op("Mul", &[&known, &weight]);
    let weighted = graph.sum(&weighted, 1, false);
    Ok(graph.op("Div", &[&weighted, &total]))
}
