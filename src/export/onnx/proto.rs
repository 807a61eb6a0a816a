//! The bytes of an ONNX file: a graph is added to node by node and written as protocol buffers.
//!
//! Source: `onnx/onnx.proto` of ONNX 1.16, whose field numbers these are.

use anyhow::{Result, ensure};

/// The largest file: readers of protocol buffers take no message of 2 GiB.
const MAX_BYTES: usize = 1 << 31;

/// Types of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float = 1,
    Uint8 = 2,
    Int64 = 7,
    String = 8,
    Double = 11,
}

/// A message of protocol buffers.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 127 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A whole number.
    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    /// Bytes: a text, a message, or packed numbers.
    pub(super) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        let mut packed = Self::default();
        values.into_iter().for_each(|value| packed.varint(value as u64));
        self.message(field, &packed)
    }
}

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Text(&'a str),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<&'a str>),
    Tensor(Message),
}

impl Attribute<'_> {
    fn message(self, name: &str) -> Message {
        let message = Message::default().text(1, name);
        let float = |value: f32| value.to_le_bytes();
        let (message, kind) = match self {
            Self::Float(value) => {
                let mut message = message;
                message.varint(2 << 3 | 5);
                message.0.extend(float(value));
                (message, 1)
            }
            Self::Int(value) => (message.int(3, value), 2),
            Self::Text(value) => (message.text(4, value), 3),
            Self::Tensor(tensor) => (message.message(5, &tensor), 4),
            Self::Floats(values) => {
                let bytes: Vec<u8> = values.into_iter().flat_map(float).collect();
                (message.bytes(7, &bytes), 6)
            }
            Self::Ints(values) => (message.ints(8, values), 7),
            Self::Texts(values) => {
                (values.into_iter().fold(message, |message, value| message.text(9, value)), 8)
            }
        };
        message.int(20, kind)
    }
}

/// A tensor of bytes that lie as in memory.
pub(super) fn tensor(kind: Kind, shape: &[usize], bytes: &[u8]) -> Message {
    let shape = shape.iter().map(|&n| n as i64);
    Message::default().ints(1, shape).int(2, kind as i64).bytes(9, bytes)
}

/// A tensor of texts.
pub(super) fn texts(shape: &[usize], values: &[String]) -> Message {
    let message = Message::default().ints(1, shape.iter().map(|&n| n as i64)).int(2, Kind::String as i64);
    values.iter().fold(message, |message, value| message.text(6, value))
}

/// The sets of operators, and how numbers are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The version of the file format.
    pub(super) format: i64,
    /// The version of the operators.
    pub(super) operators: i64,
    /// The version of the operators of `ai.onnx.ml`.
    pub(super) ml: i64,
    /// The type of numbers.
    pub(super) real: Kind,
}

/// The name of a value of the graph.
pub(super) type Value = String;

/// A graph that is added to.
pub(super) struct Graph {
    pub(super) dialect: Dialect,
    /// What the names of values within begin with, and no column.
    prefix: String,
    n_values: usize,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
}

impl Graph {
    /// `names`: those of the inputs.
    pub(super) fn new<'a>(dialect: Dialect, names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut prefix = "_".to_string();
        while names.clone().any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        let [nodes, constants, inputs, outputs] = std::array::from_fn(|_| Vec::new());
        Self { dialect, prefix, n_values: 0, nodes, constants, inputs, outputs }
    }

    fn fresh(&mut self) -> Value {
        self.n_values += 1;
        format!("{}{}", self.prefix, self.n_values)
    }

    /// An input or output of any number of rows, of this width or without a second dimension.
    fn interface(name: &str, kind: Kind, width: Option<usize>, says: &str) -> Message {
        let rows = Message::default().text(2, "N");
        let mut shape = Message::default().message(1, &rows);
        if let Some(width) = width {
            shape = shape.message(1, &Message::default().int(1, width as i64));
        }
        let tensor = Message::default().int(1, kind as i64).message(2, &shape);
        let message = Message::default().text(1, name).message(2, &Message::default().message(1, &tensor));
        if says.is_empty() { message } else { message.text(3, says) }
    }

    pub(super) fn input(&mut self, name: &str, kind: Kind, says: &str) {
        self.inputs.push(Self::interface(name, kind, Some(1), says));
    }

    /// Makes a value an output of this name.
    pub(super) fn output(&mut self, name: &str, value: &str, kind: Kind, width: Option<usize>) {
        let node = Message::default().text(1, value).text(2, name).text(4, "Identity");
        self.nodes.push(node);
        self.outputs.push(Self::interface(name, kind, width, ""));
    }

    fn add(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
        n_outputs: usize,
    ) -> Vec<Value> {
        let outputs: Vec<Value> = (0..n_outputs).map(|_| self.fresh()).collect();
        let mut node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        node = outputs.iter().fold(node, |node, output| node.text(2, output));
        node = node.text(4, operator);
        for (name, attribute) in attributes {
            node = node.message(5, &attribute.message(name));
        }
        if !domain.is_empty() {
            node = node.text(7, domain);
        }
        self.nodes.push(node);
        outputs
    }

    fn single(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> Value {
        self.add(domain, operator, inputs, attributes, 1).swap_remove(0)
    }

    /// The output of an operator without attributes.
    pub(super) fn op(&mut self, operator: &str, inputs: &[&str]) -> Value {
        self.single("", operator, inputs, Vec::new())
    }

    /// The output of an operator.
    pub(super) fn op_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> Value {
        self.single("", operator, inputs, attributes)
    }

    /// Both outputs of an operator.
    pub(super) fn op_of_two(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> [Value; 2] {
        let mut outputs = self.add("", operator, inputs, attributes, 2).into_iter();
        std::array::from_fn(|_| outputs.next().unwrap_or_default())
    }

    /// The output of an operator of `ai.onnx.ml`.
    pub(super) fn ml(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> Value {
        self.single("ai.onnx.ml", operator, inputs, attributes)
    }

    fn constant(&mut self, tensor: Message) -> Value {
        let name = self.fresh();
        self.constants.push(tensor.text(8, &name));
        name
    }

    /// A tensor of numbers of the dialect's type, as an attribute takes it.
    pub(super) fn real_tensor(&self, shape: &[usize], values: &[f64]) -> Message {
        let bytes: Vec<u8> = match self.dialect.real {
            Kind::Float => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        tensor(self.dialect.real, shape, &bytes)
    }

    /// Numbers of the dialect's type.
    pub(super) fn reals(&mut self, shape: &[usize], values: &[f64]) -> Value {
        let tensor = self.real_tensor(shape, values);
        self.constant(tensor)
    }

    /// One number.
    pub(super) fn real(&mut self, value: f64) -> Value {
        self.reals(&[], &[value])
    }

    /// Numbers in double precision, whatever the dialect.
    pub(super) fn double(&mut self, value: f64) -> Value {
        self.constant(tensor(Kind::Double, &[], &value.to_le_bytes()))
    }

    /// Whole numbers.
    pub(super) fn ints(&mut self, shape: &[usize], values: &[i64]) -> Value {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(tensor(Kind::Int64, shape, &bytes))
    }

    pub(super) fn int(&mut self, value: i64) -> Value {
        self.ints(&[], &[value])
    }

    pub(super) fn texts(&mut self, values: &[String]) -> Value {
        self.constant(texts(&[values.len()], values))
    }

    pub(super) fn cast(&mut self, value: &str, kind: Kind) -> Value {
        self.op_with("Cast", &[value], vec![("to", Attribute::Int(kind as i64))])
    }

    /// As a number of the dialect's type.
    pub(super) fn as_real(&mut self, value: &str) -> Value {
        self.cast(value, self.dialect.real)
    }

    /// Values side by side.
    pub(super) fn side_by_side(&mut self, values: &[Value]) -> Value {
        match values {
            [only] => only.clone(),
            _ => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                self.op_with("Concat", &values, vec![("axis", Attribute::Int(1))])
            }
        }
    }

    /// Columns of a matrix, as a matrix.
    pub(super) fn columns(&mut self, matrix: &str, columns: &[i64]) -> Value {
        let columns = self.ints(&[columns.len()], columns);
        self.op_with("Gather", &[matrix, &columns], vec![("axis", Attribute::Int(1))])
    }

    /// The sum over an axis, which stays with length 1 if `keep`.
    pub(super) fn sum(&mut self, value: &str, axis: i64, keep: bool) -> Value {
        let axes = self.ints(&[1], &[axis]);
        self.op_with("ReduceSum", &[value, &axes], vec![("keepdims", Attribute::Int(i64::from(keep)))])
    }

    /// x · weights + bias: `weights` has a row per output if `transposed`, else one per input.
    pub(super) fn dense(&mut self, x: &str, weights: &str, bias: &str, transposed: bool) -> Value {
        let attributes = vec![("transB", Attribute::Int(i64::from(transposed)))];
        self.op_with("Gemm", &[x, weights, bias], attributes)
    }

    /// The file.
    ///
    /// # Errors
    /// More than readers take.
    pub(super) fn finish(self, name: &str, says: &str) -> Result<Vec<u8>> {
        let mut graph = self.nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
        graph = graph.text(2, name);
        for (field, messages) in [(5, &self.constants), (11, &self.inputs), (12, &self.outputs)] {
            graph = messages.iter().fold(graph, |graph, message| graph.message(field, message));
        }
        let mut model = Message::default()
            .int(1, self.dialect.format)
            .text(2, "mlapi")
            .text(3, env!("CARGO_PKG_VERSION"))
            .text(6, says)
            .message(7, &graph);
        for (domain, version) in [("", self.dialect.operators), ("ai.onnx.ml", self.dialect.ml)] {
            model = model.message(8, &Message::default().text(1, domain).int(2, version));
        }
        ensure!(model.0.len() < MAX_BYTES, "the model is larger than the 2 GiB that an ONNX file holds");
        Ok(model.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `onnx.helper.make_attribute("axis", -1).SerializeToString()` and `make_tensor("", 11, [2], [1.0, -2.0])` with
    /// raw data, of onnx 1.23.2.
    #[test]
    fn messages_are_those_of_protocol_buffers() {
        let attribute = Attribute::Int(-1).message("axis");
        let mut wanted = b"\x0a\x04axis\x18".to_vec();
        wanted.extend([255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        wanted.extend([0xa0, 1, 2]);
        assert_eq!(attribute.0, wanted);
        let bytes: Vec<u8> = [1.0_f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut wanted = vec![0x0a, 1, 2, 0x10, 11, 0x4a, 16];
        wanted.extend(&bytes);
        assert_eq!(tensor(Kind::Double, &[2], &bytes).0, wanted);
    }

    #[test]
    fn no_value_within_has_the_name_of_a_column() {
        let dialect = Dialect { format: 10, operators: 18, ml: 5, real: Kind::Double };
        let mut graph = Graph::new(dialect, ["a", "_1", "__"].into_iter());
        assert_eq!(graph.op("Neg", &["a"]), "___1");
    }
}
