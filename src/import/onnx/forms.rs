//! The parts of a graph that the product's own forms can say: trees, linear models, networks, support vectors.
//!
//! A graph is read from its output backwards: what only passes numbers on, the link, then the model itself, whose input has
//! to be columns of the table ([`super::slots`]). What does not fit stays a graph.

use std::collections::HashMap;
use std::sync::Arc;

use super::slots::{Slot, Slots};
use super::trees::{self, Purpose};
use crate::data::prepare::recipe::{Encoding, MAX_LEVEL_SLOTS, Parts};
use crate::import::forest::{ForeignColumn, Forest};
use crate::model::predictor::graph::ensemble::Ensemble;
use crate::model::predictor::graph::learned::{LinearScores, Machine, Similarity, classes};
use crate::model::predictor::graph::proto::{GraphDef, NodeDef};
use crate::model::predictor::kernel::Kernel;
use crate::model::predictor::network::{Activation, Network};
use crate::model::predictor::support_vectors::{self, MAX_DEGREE, SupportVectors};
use crate::model::predictor::{Linear, Link, Predictor};

/// A model in one of the product's own forms.
pub(super) enum Form {
    Trees(Forest),
    Other(Predictor, Encoding, Box<Parts>),
}

/// A graph, its slots, and its columns.
pub(super) struct Reading<'a> {
    makers: HashMap<&'a str, &'a NodeDef>,
    slots: &'a Slots<'a>,
    columns: &'a [ForeignColumn],
    levels: Vec<Vec<Arc<str>>>,
    single: bool,
}

impl<'a> Reading<'a> {
    /// `single`: the graph takes numbers in single precision.
    pub(super) fn new(
        graph: &'a GraphDef,
        slots: &'a Slots<'a>,
        columns: &'a [ForeignColumn],
        single: bool,
    ) -> Self {
        let makers =
            graph.nodes.iter().flat_map(|node| node.outputs.iter().map(move |name| (name.as_str(), node)));
        let of_column = |column: &ForeignColumn| {
            column.levels.iter().flatten().map(|level| Arc::from(level.as_str())).collect()
        };
        Self {
            makers: makers.collect(),
            slots,
            columns,
            levels: columns.iter().map(of_column).collect(),
            single,
        }
    }

    fn maker(&self, name: &str) -> Option<&'a NodeDef> {
        self.makers.get(name).copied()
    }

    /// Goes back over nodes that pass numbers on as they are.
    fn passed_on(&self, mut name: &'a str) -> &'a str {
        // No chain is longer than there are nodes.
        for _ in 0..self.makers.len() {
            let Some(node) = self.maker(name) else { break };
            let passes = match node.op.as_str() {
                "Identity" | "Cast" | "ZipMap" | "Reshape" | "Flatten" | "Dropout" => true,
                // As onnxmltools ends models of LightGBM.
                "Mul" | "Div" => node.inputs.get(1).is_some_and(|factor| self.is_one(factor)),
                _ => false,
            };
            match node.inputs.first() {
                Some(input) if passes && !self.slots.of.contains_key(name) => name = input,
                _ => break,
            }
        }
        name
    }

    /// Whether a constant is the number 1.
    fn is_one(&self, name: &str) -> bool {
        let constant = self.slots.constants.get(name);
        constant.is_some_and(|constant| constant.to_f64().is_ok_and(|numbers| numbers == [1.0]))
    }

    /// The node that makes the scores of an output, and whether a link stands behind it.
    pub(super) fn last(&self, output: &'a str) -> Option<&'a NodeDef> {
        self.maker(self.passed_on(output))
    }

    /// The model whose output this is. `k`: the number of classes; 0 for a number.
    pub(super) fn form(&self, output: &'a str, k: usize) -> Option<Form> {
        // A missing text is the level of the empty one in a graph; the forms tell them apart.
        if self.levels.iter().flatten().any(|level| level.is_empty()) {
            return None;
        }
        let mut name = self.passed_on(output);
        let mut node = self.maker(name)?;
        // Probabilities that add up to 1 already.
        if node.op == "Normalizer" && node.text("norm", "MAX") == "L1" {
            name = self.passed_on(node.inputs.first()?);
            let inner = self.maker(name)?;
            let adds_up = match inner.text("post_transform", "NONE") {
                "SOFTMAX" => true,
                "LOGISTIC" => k == 2,
                _ => false,
            };
            if inner.op != "LinearClassifier" || !adds_up {
                return None;
            }
            node = inner;
        }
        match node.op.as_str() {
            "TreeEnsembleClassifier" => {
                let n = classes(node).ok()?.len();
                let ensemble = Ensemble::of(node, "class", n).ok()?;
                return self.trees(&ensemble, node, Purpose::Classes(n)).filter(|_| n == k);
            }
            "LinearClassifier" => return self.linear_classifier(node, k),
            "SVMRegressor" if k == 0 => return self.svm(node),
            "Div" if k == 2 => return self.opposite(node),
            _ => {}
        }
        let (link, scores) = self.link(node, name, k)?;
        let node = self.maker(scores)?;
        match node.op.as_str() {
            "TreeEnsembleRegressor" => {
                let n = usize::try_from(node.int("n_targets", 1)).ok()?;
                self.trees(&Ensemble::of(node, "target", n).ok()?, node, Purpose::Number(link))
            }
            "TreeEnsemble" => self.trees(&Ensemble::of_version_5(node).ok()?, node, Purpose::Number(link)),
            "LinearRegressor" if node.text("post_transform", "NONE") == "NONE" => {
                let linear = LinearScores::of(node, 1).ok()?;
                let n = linear.intercepts.len();
                self.dense(
                    node.inputs.first()?,
                    link,
                    vec![Layer::of_rows(&linear.coefficients, &linear.intercepts, n)],
                )
            }
            "Gemm" | "MatMul" | "Add" => self.network(scores, link),
            _ => None,
        }
    }

    /// The link at the end of a graph, and what it is applied to.
    fn link(&self, node: &'a NodeDef, name: &'a str, k: usize) -> Option<(Link, &'a str)> {
        let input = |node: &'a NodeDef, i: usize| node.inputs.get(i).map(|name| self.passed_on(name));
        match (node.op.as_str(), k) {
            ("Softmax", 2..) if matches!(node.int("axis", -1), 1 | -1) => {
                Some((Link::Softmax, input(node, 0)?))
            }
            ("Sigmoid", 2) => Some((Link::Sigmoid, input(node, 0)?)),
            ("Exp", 0) => Some((Link::Exponential, input(node, 0)?)),
            // 1 − p beside p.
            ("Concat", 2) if node.inputs.len() == 2 => {
                let (first, second) = (input(node, 0)?, input(node, 1)?);
                let (rest, p) = (self.maker(first)?, self.maker(second)?);
                let is_one = rest.inputs.first().is_some_and(|one| self.is_one(one));
                let is_rest = rest.op == "Sub" && is_one && input(rest, 1)? == second;
                (is_rest && p.op == "Sigmoid").then(|| Some((Link::Sigmoid, input(p, 0)?)))?
            }
            (_, 0) => Some((Link::Identity, name)),
            _ => None,
        }
    }

    fn trees(&self, ensemble: &Ensemble, node: &'a NodeDef, purpose: Purpose) -> Option<Form> {
        let slots = self.slots.get(node.inputs.first()?)?;
        // Trees send every row to some leaf, so they refuse no level.
        let is_closed =
            |slot: &Slot| matches!(slot, Slot::Level(column, _) if self.slots.closed.contains_key(column));
        if slots.len() < ensemble.n_columns || slots.iter().any(is_closed) {
            return None;
        }
        trees::forest(ensemble, purpose, slots, &self.levels, self.single).map(Form::Trees)
    }

    fn linear_classifier(&self, node: &'a NodeDef, k: usize) -> Option<Form> {
        let linear = LinearScores::of(node, k).ok()?;
        let n = linear.intercepts.len();
        let layer = Layer::of_rows(&linear.coefficients, &linear.intercepts, n);
        let input = node.inputs.first()?;
        match (node.text("post_transform", "NONE"), n, k) {
            ("SOFTMAX", n, k) if n == k && k >= 2 => self.dense(input, Link::Softmax, vec![layer]),
            ("LOGISTIC", 1, 2) => self.dense(input, Link::Sigmoid, vec![layer]),
            ("LOGISTIC", 2, 2) => {
                let (first, second) = linear.coefficients.split_at(linear.n_columns);
                let opposite = first.iter().zip(second).all(|(a, b)| *a == -*b)
                    && linear.intercepts[0] == -linear.intercepts[1];
                let layer = Layer::of_rows(second, &linear.intercepts[1..], 1);
                opposite.then(|| self.dense(input, Link::Sigmoid, vec![layer]))?
            }
            _ => None,
        }
    }

    /// The sigmoids of two opposite scores, divided by their sum, which is 1: a logistic regression in double precision.
    fn opposite(&self, node: &'a NodeDef) -> Option<Form> {
        let made_by = |name: &'a str, op: &str| self.maker(self.passed_on(name)).filter(|node| node.op == op);
        let (shares, sum) = (node.inputs.first()?, node.inputs.get(1)?);
        let sizes = made_by(made_by(sum, "ReduceSum")?.inputs.first()?, "Abs")?;
        let is_of_shares = self.passed_on(sizes.inputs.first()?) == self.passed_on(shares);
        let scores = made_by(shares, "Sigmoid").filter(|_| is_of_shares)?.inputs.first()?;
        let (layer, input) = self.layer(self.passed_on(scores))?;
        let of_unit = |unit: usize| layer.weights.iter().skip(unit).step_by(layer.units);
        let biases: [f64; 2] = layer.biases.as_slice().try_into().ok()?;
        let is_opposite = of_unit(0).zip(of_unit(1)).all(|(a, b)| *a == -*b) && biases[0] == -biases[1];
        let second = Layer {
            inputs: layer.inputs,
            units: 1,
            weights: of_unit(1).copied().collect(),
            biases: vec![biases[1]],
        };
        is_opposite.then(|| self.dense(input, Link::Sigmoid, vec![second]))?
    }

    /// Layers from the last to the first, found backwards.
    fn network(&self, scores: &'a str, link: Link) -> Option<Form> {
        let mut layers = Vec::new();
        let mut activation: Option<Activation> = None;
        let mut name = scores;
        for _ in 0..64 {
            let (layer, input) = self.layer(name)?;
            layers.push(layer);
            if self.slots.get(input).is_some() {
                layers.reverse();
                return self.dense_with(input, link, activation.unwrap_or(Activation::Identity), layers);
            }
            let node = self.maker(self.passed_on(input))?;
            let found = match node.op.as_str() {
                "Relu" => Activation::Relu,
                "Tanh" => Activation::Tanh,
                "Sigmoid" => Activation::Logistic,
                _ => return None,
            };
            if *activation.get_or_insert(found) != found {
                return None;
            }
            name = self.passed_on(node.inputs.first()?);
        }
        None
    }

    /// The dense layer that makes a tensor, and its input.
    fn layer(&self, name: &'a str) -> Option<(Layer, &'a str)> {
        let node = self.maker(name)?;
        let constant = |name: &str| self.slots.constants.get(name);
        let matrix = |name: &str, turned: bool| {
            let tensor = constant(name)?;
            let (rows, columns) = match tensor.shape.as_slice() {
                [rows, columns] => (rows, columns),
                // A vector, which a product takes for one column.
                [rows] if !turned => (rows, &1),
                _ => return None,
            };
            let values = tensor.to_f64().ok()?;
            Some(if turned {
                let at = |i: usize, j: usize| values[j * columns + i];
                let turned = (0..*columns).flat_map(|i| (0..*rows).map(move |j| (i, j)));
                (turned.map(|(i, j)| at(i, j)).collect(), *columns, *rows)
            } else {
                (values, *rows, *columns)
            })
        };
        let biases = |name: &str, n: usize| -> Option<Vec<f64>> {
            let values = constant(name)?.to_f64().ok()?;
            match values.as_slice() {
                [only] => Some(vec![*only; n]),
                values if values.len() == n => Some(values.to_vec()),
                _ => None,
            }
        };
        match node.op.as_str() {
            "Gemm" => {
                let is_plain = node.float("alpha", 1.0) == 1.0
                    && node.float("beta", 1.0) == 1.0
                    && node.int("transA", 0) == 0;
                let (weights, inputs, units) = matrix(node.inputs.get(1)?, node.int("transB", 0) != 0)?;
                let biases = match node.inputs.get(2).map(String::as_str) {
                    None | Some("") => vec![0.0; units],
                    Some(name) => biases(name, units)?,
                };
                is_plain.then(|| {
                    Some((Layer { inputs, units, weights, biases }, self.passed_input(&node.inputs[0])))
                })?
            }
            "MatMul" => {
                let (weights, inputs, units) = matrix(node.inputs.get(1)?, false)?;
                let layer = Layer { inputs, units, weights, biases: vec![0.0; units] };
                Some((layer, self.passed_input(&node.inputs[0])))
            }
            "Add" => {
                let (first, second) = (node.inputs.first()?, node.inputs.get(1)?);
                let (product, bias) =
                    if constant(second).is_some() { (first, second) } else { (second, first) };
                let product = self.passed_on(product);
                let inner = self.maker(product).filter(|inner| inner.op == "MatMul")?;
                let (mut layer, input) = self.layer(inner.outputs.first()?)?;
                layer.biases = biases(bias, layer.units)?;
                Some((layer, input))
            }
            _ => None,
        }
    }

    /// The input of a layer: slots if it has any, else what is behind nodes that pass it on.
    fn passed_input(&self, name: &'a str) -> &'a str {
        if self.slots.get(name).is_some() { name } else { self.passed_on(name) }
    }

    fn dense(&self, input: &str, link: Link, layers: Vec<Layer>) -> Option<Form> {
        self.dense_with(input, link, Activation::Identity, layers)
    }

    /// A linear model or a network whose first layer reads slots: the arithmetic of the slots goes into its weights, what
    /// is filled and the levels into the recipe.
    fn dense_with(
        &self,
        input: &str,
        link: Link,
        activation: Activation,
        mut layers: Vec<Layer>,
    ) -> Option<Form> {
        let slots = self.slots.get(input)?;
        let first = layers.first()?;
        let fits = |pair: &[Layer]| pair[0].units == pair[1].inputs;
        if slots.len() != first.inputs || !layers.windows(2).all(fits) {
            return None;
        }
        let (encoding, parts, places) = self.recipe(slots)?;
        let n_inputs: usize = places.n_inputs;
        let units = first.units;
        let mut weights = vec![0.0; n_inputs * units];
        let mut biases = first.biases.clone();
        for (i, slot) in slots.iter().enumerate() {
            let of_slot = &first.weights[i * units..(i + 1) * units];
            let (at, factor, summand) = match slot {
                Slot::Number(column, steps) => {
                    let (factor, summand, _) = Slot::line(steps)?;
                    (places.of_column[*column], factor, summand)
                }
                Slot::Level(column, level) => {
                    let at = self.levels[*column].binary_search(level).ok()?;
                    (places.of_column[*column] + at, 1.0, 0.0)
                }
                Slot::Text(_) => return None,
            };
            for (j, weight) in of_slot.iter().enumerate() {
                weights[at * units + j] += weight * factor;
                biases[j] += weight * summand;
            }
        }
        layers[0] = Layer { inputs: n_inputs, units, weights, biases };
        let last = layers.last()?.units;
        let fits = match link {
            Link::Softmax => last >= 2,
            _ => last == 1,
        };
        if !fits {
            return None;
        }
        let predictor = match layers.as_slice() {
            [only] => {
                let row = |unit: usize| only.weights.iter().skip(unit).step_by(only.units).copied();
                let coefficients = (0..only.units).flat_map(row).collect();
                Predictor::Linear(Linear::new(link, n_inputs, coefficients, only.biases.clone()))
            }
            // The form of networks has no such link.
            _ if link == Link::Exponential => return None,
            layers => {
                let sizes = [n_inputs].into_iter().chain(layers.iter().map(|layer| layer.units)).collect();
                let parameters =
                    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases).copied());
                Predictor::Network(Box::new(Network::new(link, activation, sizes, parameters.collect())))
            }
        };
        Some(Form::Other(predictor, encoding, Box::new(parts)))
    }

    /// The recipe of slots: codes as they are if nothing is filled and nothing is a level. Otherwise a missing value of a
    /// number that is not filled stays one, and so becomes a value of a closed category that is none of its levels: what the
    /// model makes of these is no number, as in the graph.
    fn recipe(&self, slots: &[Slot]) -> Option<(Encoding, Parts, Places)> {
        let n = self.columns.len();
        // What each column is filled with: with nothing, if its slots are not.
        let mut fills: Vec<Option<f64>> = vec![None; n];
        for slot in slots {
            let (column, fill) = match slot {
                Slot::Number(column, steps) => (*column, Slot::line(steps)?.2.unwrap_or(f64::NAN)),
                Slot::Level(column, _) => {
                    let closed = self.slots.closed.get(column);
                    // Nodes that take different levels of a column have no one recipe.
                    if closed.is_some_and(|closed| !closed.iter().eq(&self.levels[*column])) {
                        return None;
                    }
                    (*column, if closed.is_some() { f64::NAN } else { 0.0 })
                }
                Slot::Text(_) => return None,
            };
            // Nor have two fills.
            if fills[column].replace(fill).is_some_and(|before| before.to_bits() != fill.to_bits()) {
                return None;
            }
        }
        let is_as_it_is = |fill: &Option<f64>| fill.is_some_and(f64::is_nan);
        if self.columns.iter().all(|column| column.levels.is_none()) && fills.iter().all(is_as_it_is) {
            let places = Places { n_inputs: n, of_column: (0..n).collect() };
            return Some((Encoding::Raw, Parts::default(), places));
        }
        if self.levels.iter().any(|of| of.len() > MAX_LEVEL_SLOTS) {
            return None;
        }
        let is_number = |i: usize| self.columns[i].levels.is_none();
        let mut of_column = Vec::with_capacity(n);
        let mut n_inputs = 0;
        for (i, levels) in self.levels.iter().enumerate() {
            of_column.push(n_inputs);
            n_inputs += if is_number(i) { 1 } else { levels.len() + 1 };
        }
        let parts = Parts {
            fill: fills.into_iter().map(|fill| fill.unwrap_or(0.0)).collect(),
            mean: vec![0.0; n],
            scale: vec![1.0; n],
            indicator: vec![0; n],
            level_slot: self.levels.iter().flat_map(|levels| 0..levels.len() as u32).collect(),
            ..Parts::default()
        };
        Some((Encoding::Standardised, parts, Places { n_inputs, of_column }))
    }

    /// Support vectors that read numbers as they are. Classifiers stay graphs: their probabilities come from an iteration
    /// that stops early, which the product's own form solves to the end.
    fn svm(&self, node: &'a NodeDef) -> Option<Form> {
        let machine = Machine::of(node, None).ok()?;
        let slots = self.slots.get(node.inputs.first()?)?;
        let as_is = |(i, slot): (usize, &Slot)| matches!(slot, Slot::Number(column, steps) if *column == i && Slot::line(steps) == Some((1.0, 0.0, None)));
        let is_plain = node.text("post_transform", "NONE") == "NONE" && node.int("one_class", 0) == 0;
        if !is_plain || slots.len() != self.columns.len() || !slots.iter().enumerate().all(as_is) {
            return None;
        }
        let kernel = match machine.kernel {
            Similarity::Rbf { gamma } => Kernel::Rbf { gamma },
            Similarity::Poly { gamma, coef0, degree }
                if degree == degree.trunc()
                    && (0.0..=f64::from(MAX_DEGREE)).contains(&degree)
                    && gamma >= 0.0 =>
            {
                Kernel::Poly { gamma, coef0, degree: degree as u32 }
            }
            // A linear kernel of vectors: a polynomial of the first degree.
            Similarity::Linear => Kernel::Poly { gamma: 1.0, coef0: 0.0, degree: 1 },
            _ => return None,
        };
        let machine = SupportVectors::new(support_vectors::Parts {
            kernel,
            outcome: support_vectors::Outcome::Value,
            n_inputs: machine.n_columns,
            n_outputs: 1,
            counts: vec![machine.coefficients.len() as u32],
            vectors: machine.vectors,
            coefficients: machine.coefficients,
            intercepts: machine.rho,
            calibration: Vec::new(),
            classes: Vec::new(),
        });
        Some(Form::Other(Predictor::SupportVectors(Box::new(machine.ok()?)), Encoding::Raw, Box::default()))
    }
}

/// Where the columns lie among the inputs of a predictor.
struct Places {
    n_inputs: usize,
    of_column: Vec<usize>,
}

/// A dense layer: inputs × units.
#[derive(Debug, Clone)]
struct Layer {
    inputs: usize,
    units: usize,
    weights: Vec<f64>,
    biases: Vec<f64>,
}

impl Layer {
    /// Of coefficients row by row of the scores.
    fn of_rows(coefficients: &[f64], intercepts: &[f64], units: usize) -> Self {
        let inputs = coefficients.len() / units.max(1);
        let weights = (0..inputs).flat_map(|i| (0..units).map(move |j| coefficients[j * inputs + i]));
        Self { inputs, units, weights: weights.collect(), biases: intercepts.to_vec() }
    }
}
