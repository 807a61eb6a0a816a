//! What the columns of each tensor of a graph are: a column of the table after some steps of arithmetic, or whether it is a
//! level. As far as that can be said, models behind it are read as models of the table's columns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::predictor::graph::proto::{self, GraphDef, NodeDef};
use crate::model::predictor::graph::tensor::{Data, Tensor};

/// A step of arithmetic with one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Add(f64),
    Times(f64),
    By(f64),
    /// A missing value becomes this.
    Fill(f64),
    /// Rounding to single precision.
    Round,
}

/// A column of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Slot {
    /// A number of the table, and what is done to it.
    Number(usize, Vec<Step>),
    /// Whether a category of the table is this level.
    Level(usize, Arc<str>),
    /// A text or category of the table.
    Text(usize),
}

impl Slot {
    /// What the slot is for a number of the table, step by step as the graph works it out. `single`: in single precision.
    pub(super) fn value(steps: &[Step], single: bool, x: f64) -> f64 {
        let round = |x: f64| if single { f64::from(x as f32) } else { x };
        let mut single_now = single;
        steps.iter().fold(round(x), |x, step| {
            let made = match *step {
                Step::Add(by) => x + by,
                Step::Times(by) => x * by,
                Step::By(by) => x / by,
                Step::Fill(value) => {
                    if x.is_nan() {
                        value
                    } else {
                        x
                    }
                }
                Step::Round => {
                    single_now = true;
                    x
                }
            };
            if single_now { f64::from(made as f32) } else { made }
        })
    }

    /// Factor and summand that the steps come to, and what is filled in, in units of the table; `None` if it is filled
    /// after other steps.
    pub(super) fn line(steps: &[Step]) -> Option<(f64, f64, Option<f64>)> {
        let (mut factor, mut summand, mut fill) = (1.0, 0.0, None);
        for step in steps {
            match *step {
                Step::Add(by) => summand += by,
                Step::Times(by) => (factor, summand) = (factor * by, summand * by),
                Step::By(by) => (factor, summand) = (factor / by, summand / by),
                Step::Fill(value) if fill.is_none() && factor != 0.0 => {
                    fill = Some((value - summand) / factor)
                }
                Step::Fill(_) => return None,
                Step::Round => {}
            }
        }
        (factor != 0.0 && factor.is_finite() && summand.is_finite()).then_some((factor, summand, fill))
    }
}

/// The slots of the tensors of a graph.
pub(super) struct Slots<'a> {
    pub(super) of: HashMap<&'a str, Vec<Slot>>,
    /// The levels of each text column that is only ever looked up among levels.
    pub(super) levels: BTreeMap<usize, BTreeSet<Arc<str>>>,
    /// Text columns of which the graph takes these levels and refuses all else, missing values included.
    pub(super) closed: BTreeMap<usize, BTreeSet<Arc<str>>>,
    /// Text columns that are read as texts.
    pub(super) texts: BTreeSet<usize>,
    /// Constants, those of nodes included.
    pub(super) constants: HashMap<&'a str, Arc<Tensor>>,
}

impl<'a> Slots<'a> {
    /// Walks through a graph whose inputs have these slots. Nodes are in the order in which they are run, as ONNX has it.
    pub(super) fn new(graph: &'a GraphDef, inputs: Vec<(&'a str, Vec<Slot>)>) -> Self {
        let mut constants: HashMap<&str, Arc<Tensor>> =
            graph.constants.iter().map(|(name, constant)| (name.as_str(), Arc::clone(constant))).collect();
        for node in graph.nodes.iter().filter(|node| node.op == "Constant") {
            if let (Some(value), Some(output)) = (node.tensor("value"), node.outputs.first()) {
                constants.insert(output, Arc::clone(value));
            }
        }
        let mut slots = Self {
            of: inputs.into_iter().collect(),
            levels: BTreeMap::new(),
            closed: BTreeMap::new(),
            texts: BTreeSet::new(),
            constants,
        };
        for node in &graph.nodes {
            let made = slots.made(node);
            if made.is_none() {
                // What looks at a text in any other way reads it as a text.
                for name in &node.inputs {
                    let of_input = slots.of.get(name.as_str()).into_iter().flatten();
                    let texts: Vec<usize> = of_input
                        .filter_map(|slot| if let Slot::Text(column) = slot { Some(*column) } else { None })
                        .collect();
                    slots.texts.extend(texts);
                }
            }
            if let (Some(made), Some(output)) = (made, node.outputs.first()) {
                slots.of.insert(output, made);
            }
        }
        slots
    }

    pub(super) fn get(&self, name: &str) -> Option<&Vec<Slot>> {
        self.of.get(name)
    }

    fn made(&mut self, node: &'a NodeDef) -> Option<Vec<Slot>> {
        let input = |i: usize| node.inputs.get(i).and_then(|name| self.of.get(name.as_str()));
        match node.op.as_str() {
            "Identity" | "Dropout" => input(0).cloned(),
            "Cast" => {
                let (to, slots) = (node.int("to", 0) as u64, input(0)?);
                let is_text = matches!(slots.first(), Some(Slot::Text(_)));
                match to {
                    proto::STRING if is_text => Some(slots.clone()),
                    proto::DOUBLE if !is_text => Some(slots.clone()),
                    proto::FLOAT if !is_text => Some(stepped(slots, |_| vec![Step::Round])?),
                    _ => None,
                }
            }
            "Concat" | "FeatureVectorizer" => {
                let along = if node.op == "Concat" { node.int("axis", 1) } else { 1 };
                let parts: Option<Vec<&Vec<Slot>>> = (0..node.inputs.len()).map(input).collect();
                (along == 1 || along == -1)
                    .then(|| parts.map(|parts| parts.into_iter().flatten().cloned().collect()))?
            }
            "Reshape" => {
                let slots = input(0)?;
                let shape = self.constants.get(node.inputs.get(1)?.as_str())?;
                let n = slots.len() as i64;
                match shape.ints().ok()? {
                    [-1, k] if *k == n => Some(slots.clone()),
                    [0, k] if *k == n || *k == -1 => Some(slots.clone()),
                    _ => None,
                }
            }
            "Flatten" if node.int("axis", 1) == 1 => input(0).cloned(),
            "Scaler" => {
                let (offset, scale) = (node.floats("offset"), node.floats("scale"));
                let slots = input(0)?;
                let at = |v: &[f32], i: usize| if v.len() == 1 { Some(v[0]) } else { v.get(i).copied() };
                let steps: Option<Vec<Vec<Step>>> = (0..slots.len())
                    .map(|i| {
                        let (offset, scale) = (f64::from(at(offset, i)?), f64::from(at(scale, i)?));
                        Some(vec![Step::Round, Step::Add(-offset), Step::Times(scale)])
                    })
                    .collect();
                let steps = steps?;
                stepped(slots, |i| steps[i].clone())
            }
            "Imputer" => {
                let values = node.floats("imputed_value_floats");
                let slots = input(0)?;
                let fits = node.float("replaced_value_float", 0.0).is_nan()
                    && [1, slots.len()].contains(&values.len());
                let at = |i: usize| f64::from(if values.len() == 1 { values[0] } else { values[i] });
                fits.then(|| stepped(slots, |i| vec![Step::Fill(at(i))]))?
            }
            "Add" | "Sub" | "Mul" | "Div" => {
                let (first, second) = (node.inputs.first()?.as_str(), node.inputs.get(1)?.as_str());
                let (slots, constant) = match (self.of.get(first), self.constants.get(second)) {
                    (Some(slots), Some(constant)) => (slots, constant),
                    _ if node.op == "Add" || node.op == "Mul" => {
                        (self.of.get(second)?, self.constants.get(first)?)
                    }
                    _ => return None,
                };
                let values = constant.to_f64().ok()?;
                // Values of a row, not of a column.
                let is_row = constant.shape.iter().rev().skip(1).all(|&dim| dim == 1);
                if !is_row || ![1, slots.len()].contains(&values.len()) {
                    return None;
                }
                let at = |i: usize| if values.len() == 1 { values[0] } else { values[i] };
                let op = node.op.as_str();
                stepped(slots, |i| {
                    vec![match op {
                        "Add" => Step::Add(at(i)),
                        "Sub" => Step::Add(-at(i)),
                        "Mul" => Step::Times(at(i)),
                        _ => Step::By(at(i)),
                    }]
                })
            }
            "ArrayFeatureExtractor" | "Gather" => {
                let slots = input(0)?;
                let places = self.constants.get(node.inputs.get(1)?.as_str())?;
                let is_vector = node.op == "ArrayFeatureExtractor"
                    || (matches!(node.int("axis", 0), 1 | -1) && places.shape.len() == 1);
                let places = places.ints().ok().filter(|_| is_vector)?;
                places.iter().map(|&at| slots.get(usize::try_from(at).ok()?).cloned()).collect()
            }
            "OneHotEncoder" => {
                let levels = node.texts("cats_strings");
                let columns = input(0)?
                    .iter()
                    .map(|slot| if let Slot::Text(column) = slot { Some(*column) } else { None });
                let columns: Vec<usize> = columns.collect::<Option<_>>()?;
                if levels.is_empty() {
                    return None;
                }
                let is_closed = node.int("zeros", 1) == 0;
                columns.iter().for_each(|column| {
                    self.levels.entry(*column).or_default().extend(levels.iter().cloned());
                    if is_closed {
                        let own: BTreeSet<Arc<str>> = levels.iter().cloned().collect();
                        let taken = self.closed.entry(*column).or_insert_with(|| own.clone());
                        taken.retain(|level| own.contains(level));
                    }
                });
                let each =
                    |column: usize| levels.iter().map(move |level| Slot::Level(column, Arc::clone(level)));
                Some(columns.into_iter().flat_map(each).collect())
            }
            "LabelEncoder" => {
                let given =
                    if node.texts("keys_strings").is_empty() { "classes_strings" } else { "keys_strings" };
                let of_tensor = match node.tensor("keys_tensor").map(|tensor| &tensor.data) {
                    Some(Data::Text(keys)) => keys.as_slice(),
                    _ => &[],
                };
                let levels = if of_tensor.is_empty() { node.texts(given) } else { of_tensor };
                let columns = input(0)?
                    .iter()
                    .map(|slot| if let Slot::Text(column) = slot { Some(*column) } else { None });
                let columns: Vec<usize> = columns.collect::<Option<_>>()?;
                if levels.is_empty() {
                    return None;
                }
                columns.iter().for_each(|column| {
                    self.levels.entry(*column).or_default().extend(levels.iter().cloned())
                });
                // Its places among the levels are no slots that a model is read by.
                Some(Vec::new())
            }
            _ => None,
        }
    }
}

/// Slots of numbers after further steps.
fn stepped(slots: &[Slot], steps: impl Fn(usize) -> Vec<Step>) -> Option<Vec<Slot>> {
    let each = slots.iter().enumerate().map(|(i, slot)| match slot {
        Slot::Number(column, before) => {
            Some(Slot::Number(*column, before.iter().copied().chain(steps(i)).collect()))
        }
        // A level that is rounded is the same level.
        Slot::Level(..) if steps(i) == [Step::Round] => Some(slot.clone()),
        _ => None,
    });
    each.collect()
}
