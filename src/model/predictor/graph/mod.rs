//! A graph of ONNX operators as an inference form, for what no other form can say. In builds with the feature `import`.
//!
//! `proto` decodes the bytes, `run` makes steps of the nodes, `step` is what they share, `operators` lists what is known; `shape`, `elementwise`,
//! `reduce`, `dense`, `encoders`, `learned`, `ensemble` and `text` hold the operators, `tensor` what flows between them.
//! The operators are those of the ONNX specification (ONNX 1.23: operator set 26, ai.onnx.ml 5); where it leaves something
//! open, they do as onnxruntime 1.32 does.
//!
//! The arrays of the model file:
//!
//! | array | holds |
//! |---|---|
//! | `graph.onnx` | the bytes of the file that was imported |
//! | `graph.plan` | JSON: which columns each input takes, and what the output means |

pub(crate) mod dense;
pub(crate) mod elementwise;
pub(crate) mod encoders;
pub(crate) mod ensemble;
pub(crate) mod learned;
pub(crate) mod operators;
pub(crate) mod proto;
pub(crate) mod reduce;
pub(crate) mod run;
pub(crate) mod shape;
pub(crate) mod step;
pub(crate) mod tensor;
pub(crate) mod text;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::arrays::{Array, Arrays, take_u8};
use super::link::Link;
use crate::data::cells::cell::UNSEEN;
use crate::data::cells::text::Texts;
use proto::ModelDef;
use run::Program;
use step::{Budget, Outer};
use tensor::{Data, Tensor, Value, n_elements};

/// Name of the array of the bytes.
const BYTES: &str = "graph.onnx";

/// Name of the array of the plan.
const PLAN: &str = "graph.plan";

/// A text that no level is equal to, in place of an unseen one.
const NO_LEVEL: &str = "\u{0}";

/// The elements of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Float,
    Double,
    Int64,
    Bool,
    String,
}

/// An input of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The dimensions behind that of the rows.
    pub(crate) shape: Vec<usize>,
    /// The columns that fill a row of it.
    pub(crate) columns: Vec<usize>,
}

/// A column of the schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Column {
    Number,
    /// A category, by its levels in order.
    Levels(Vec<String>),
    Text,
}

/// What the numbers of the output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The predicted value.
    Value,
    /// The probability of each class.
    Probabilities,
    /// The probability of the second of two classes.
    Second,
    /// The log-odds of the second of two classes.
    Score,
    /// A score for each class, whose softmax is taken.
    Scores,
}

/// How rows go into a graph and predictions come out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Input>,
    pub(crate) columns: Vec<Column>,
    pub(crate) output: String,
    pub(crate) outcome: Outcome,
    pub(crate) n_outputs: usize,
    /// Whether the graph takes one row at a time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_row: bool,
}

/// A graph and how it is used.
#[derive(Clone)]
pub struct Graph {
    bytes: Arc<[u8]>,
    plan: Plan,
    program: Arc<Program>,
    /// The levels of each category as texts of the graph.
    levels: Vec<Vec<Arc<str>>>,
}

impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.plan == other.plan
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Graph").field("plan", &self.plan).field("bytes", &self.bytes.len()).finish()
    }
}

/// The steps of a model that make an output of it.
///
/// # Errors
/// What is not known, by its name and node.
pub(crate) fn program(model: &ModelDef, output: &str) -> Result<Program> {
    Program::new(&model.graph, &[output], &Outer { opsets: Some(&model.opsets), is_inner: false })
}

impl Graph {
    /// The name of the form in the model file.
    pub(crate) const FORM: &str = "onnx";

    /// A graph of the bytes of a file.
    ///
    /// # Errors
    /// A file that is damaged or says what is not known; a plan that does not fit it.
    pub(crate) fn new(bytes: &[u8], plan: Plan) -> Result<Self> {
        Self::of_model(bytes.into(), &proto::read(bytes)?, plan)
    }

    /// As [`Graph::new`], of bytes that were decoded already.
    ///
    /// # Errors
    /// As [`Graph::new`].
    pub(crate) fn of_model(bytes: Arc<[u8]>, model: &ModelDef, plan: Plan) -> Result<Self> {
        let program = Arc::new(program(model, &plan.output)?);
        Self::of_program(bytes, program, plan)
    }

    /// The same graph, whose output means something else.
    ///
    /// # Errors
    /// A plan that does not fit the graph.
    pub(crate) fn meaning(&self, outcome: Outcome, n_outputs: usize) -> Result<Self> {
        let plan = Plan { outcome, n_outputs, ..self.plan.clone() };
        Self::of_program(Arc::clone(&self.bytes), Arc::clone(&self.program), plan)
    }

    fn of_program(bytes: Arc<[u8]>, program: Arc<Program>, plan: Plan) -> Result<Self> {
        ensure!(program.n_inputs() == plan.inputs.len(), "the plan does not fit the graph");
        let mut seen = vec![false; plan.columns.len()];
        for input in &plan.inputs {
            ensure!(
                n_elements(&input.shape)? == input.columns.len()
                    && input.columns.iter().all(|&column| column < plan.columns.len()),
                "the plan has no column for every number of {:?}",
                input.name
            );
            input.columns.iter().for_each(|&column| seen[column] = true);
            let is_text = |column: usize| plan.columns[column] != Column::Number;
            ensure!(
                input.columns.iter().all(|&column| is_text(column) == (input.kind == Kind::String)),
                "the columns of {:?} are not of its type",
                input.name
            );
        }
        ensure!(!seen.is_empty() && !seen.contains(&false), "the graph does not read every column");
        let of_classes = match plan.outcome {
            Outcome::Value => plan.n_outputs == 1,
            Outcome::Second | Outcome::Score => plan.n_outputs == 2,
            Outcome::Probabilities | Outcome::Scores => (2..=1 << 16).contains(&plan.n_outputs),
        };
        ensure!(of_classes, "the graph has {} outputs for each row", plan.n_outputs);
        let of_column = |column: &Column| match column {
            Column::Levels(levels) => levels.iter().map(|level| Arc::from(level.as_str())).collect(),
            _ => Vec::new(),
        };
        let levels = plan.columns.iter().map(of_column).collect();
        Ok(Self { bytes, plan, program, levels })
    }

    /// Numbers per row that go in, texts aside.
    pub(super) fn n_inputs(&self) -> usize {
        self.plan.columns.iter().filter(|column| **column != Column::Text).count()
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.plan.n_outputs
    }

    /// Scores rows of codes, and the texts that these stand for. A row that the graph cannot take gets scores that are no
    /// numbers.
    pub(crate) fn scores_block(&self, codes: &[f64], texts: &Texts, out: &mut [f64]) {
        let (n_columns, k) = (self.plan.columns.len(), self.plan.n_outputs);
        let n_rows = codes.len() / n_columns;
        let together = if self.plan.by_row { 1 } else { n_rows.max(1) };
        for (codes, out) in codes.chunks(together * n_columns).zip(out.chunks_mut(together * k)) {
            if self.scores(codes, texts, out).is_ok() {
                continue;
            }
            // One row may be at fault; it is found, and the others are scored.
            let rows = codes.chunks_exact(n_columns).zip(out.chunks_exact_mut(k));
            rows.for_each(|(codes, out)| {
                if self.scores(codes, texts, out).is_err() {
                    out.fill(f64::NAN);
                }
            });
        }
    }

    /// Scores rows of codes.
    ///
    /// # Errors
    /// Rows that the graph cannot take, with the node.
    pub(crate) fn scores(&self, codes: &[f64], texts: &Texts, out: &mut [f64]) -> Result<()> {
        let values = self.values(codes, texts)?;
        let k = self.plan.n_outputs;
        let n_rows = codes.len() / self.plan.columns.len();
        let width = match self.plan.outcome {
            Outcome::Second | Outcome::Score => 1,
            _ => k,
        };
        ensure!(values.len() == n_rows * width, "the graph makes {} numbers of {n_rows} rows", values.len());
        for (values, out) in values.chunks_exact(width).zip(out.chunks_exact_mut(k)) {
            out[..width].copy_from_slice(values);
            match self.plan.outcome {
                Outcome::Value | Outcome::Probabilities => {}
                Outcome::Second => Link::Share.apply(out),
                Outcome::Score => Link::Sigmoid.apply(out),
                Outcome::Scores => Link::Softmax.apply(out),
            }
        }
        // A whole number that is missing or has a fraction goes into no graph.
        for input in self.plan.inputs.iter().filter(|input| matches!(input.kind, Kind::Int64 | Kind::Bool)) {
            for (codes, out) in codes.chunks_exact(self.plan.columns.len()).zip(out.chunks_exact_mut(k)) {
                if input.columns.iter().any(|&column| codes[column] != codes[column].trunc()) {
                    out.fill(f64::NAN);
                }
            }
        }
        Ok(())
    }

    /// The numbers of the output for rows of codes.
    ///
    /// # Errors
    /// As [`Graph::scores`].
    pub(crate) fn values(&self, codes: &[f64], texts: &Texts) -> Result<Vec<f64>> {
        self.output(codes, texts)?.to_f64()
    }

    /// The output for rows of codes, whatever it is made of.
    ///
    /// # Errors
    /// As [`Graph::scores`].
    pub(crate) fn output(&self, codes: &[f64], texts: &Texts) -> Result<Value> {
        let inputs: Vec<Value> =
            self.plan.inputs.iter().map(|input| self.input(input, codes, texts)).collect::<Result<_>>()?;
        let made = self.program.run(&inputs, &[], &Budget::of_rows(codes.len() / self.plan.columns.len()))?;
        made.into_iter().next().context("the graph makes nothing")
    }

    fn input(&self, input: &Input, codes: &[f64], texts: &Texts) -> Result<Value> {
        let n_columns = self.plan.columns.len();
        let rows = codes.chunks_exact(n_columns);
        let shape = [&[rows.len()], input.shape.as_slice()].concat();
        n_elements(&shape)?;
        let cells = rows.flat_map(|row| input.columns.iter().map(|&column| (column, row[column])));
        let data = match input.kind {
            Kind::Float => Data::F32(cells.map(|(_, code)| code as f32).collect()),
            Kind::Double => Data::F64(cells.map(|(_, code)| code).collect()),
            Kind::Int64 => Data::I64(cells.map(|(_, code)| code as i64).collect()),
            Kind::Bool => Data::Bool(cells.map(|(_, code)| code != 0.0).collect()),
            Kind::String => {
                let text = |(column, code): (usize, f64)| -> Arc<str> {
                    match &self.plan.columns[column] {
                        Column::Levels(_) if code.is_nan() => "".into(),
                        Column::Levels(_) if code == UNSEEN => NO_LEVEL.into(),
                        Column::Levels(_) => {
                            self.levels[column].get(code as usize).cloned().unwrap_or_else(|| NO_LEVEL.into())
                        }
                        _ => texts.get(code).into(),
                    }
                };
                Data::Text(cells.map(text).collect())
            }
        };
        Ok(Arc::new(Tensor::new(shape, data)))
    }

    pub(super) fn write_arrays(&self, arrays: &mut Arrays) {
        arrays.insert(BYTES.into(), Array::U8(vec![self.bytes.len()], self.bytes.to_vec()));
        let plan = serde_json::to_vec(&self.plan).unwrap_or_default();
        arrays.insert(PLAN.into(), Array::U8(vec![plan.len()], plan));
    }

    pub(super) fn read_arrays(arrays: &mut Arrays) -> Result<Self> {
        let (bytes, plan) = (take_u8(arrays, BYTES)?, take_u8(arrays, PLAN)?);
        Self::new(&bytes, serde_json::from_slice(&plan).context("the plan of the graph is damaged")?)
    }
}
