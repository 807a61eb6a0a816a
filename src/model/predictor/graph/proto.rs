//! The bytes of an ONNX file: protocol buffers (Google, "Encoding", version 3) of the messages in `onnx.proto`, as far as
//! a graph is run by them.
//!
//! Every length is checked against what is left before anything is allocated, so that memory is in proportion to the
//! file. Weights in a second file are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::tensor::{Data, Tensor};

/// Graphs within graphs.
const MAX_DEPTH: usize = 8;

/// Nodes of a file.
const MAX_NODES: usize = 100_000;

/// A model.
#[derive(Debug, Default)]
pub(crate) struct ModelDef {
    pub(crate) producer: String,
    pub(crate) version: String,
    /// The version of each set of operators.
    pub(crate) opsets: BTreeMap<String, i64>,
    pub(crate) graph: GraphDef,
}

/// A graph.
#[derive(Debug, Default, Clone)]
pub(crate) struct GraphDef {
    pub(crate) nodes: Vec<NodeDef>,
    pub(crate) constants: BTreeMap<String, Arc<Tensor>>,
    pub(crate) inputs: Vec<Info>,
    pub(crate) outputs: Vec<Info>,
}

/// A node.
#[derive(Debug, Default, Clone)]
pub(crate) struct NodeDef {
    pub(crate) name: String,
    pub(crate) op: String,
    pub(crate) domain: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

/// The value of an attribute; only what it has is filled in.
#[derive(Debug, Default, Clone)]
pub(crate) struct Attribute {
    float: Option<f32>,
    int: Option<i64>,
    text: Option<Arc<str>>,
    tensor: Option<Arc<Tensor>>,
    graph: Option<Box<GraphDef>>,
    floats: Vec<f32>,
    ints: Vec<i64>,
    texts: Vec<Arc<str>>,
}

/// What a graph tells of an input or output.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Info {
    pub(crate) name: String,
    /// Number of the element type in `TensorProto.DataType`; 0 if it is no tensor.
    pub(crate) element: u64,
    /// Dimensions; `None` if they may be any.
    pub(crate) shape: Option<Vec<Option<usize>>>,
}

impl Info {
    /// Whether the elements are numbers with a fraction.
    pub(crate) fn is_float(&self) -> bool {
        matches!(self.element, FLOAT | FLOAT16 | DOUBLE | BFLOAT16)
    }

    /// Whether it is no tensor: the sequence of maps of a `ZipMap`.
    pub(crate) fn is_sequence(&self) -> bool {
        self.element == 0
    }
}

pub(crate) const FLOAT: u64 = 1;
pub(crate) const STRING: u64 = 8;
pub(crate) const BOOL: u64 = 9;
pub(crate) const FLOAT16: u64 = 10;
pub(crate) const DOUBLE: u64 = 11;
pub(crate) const BFLOAT16: u64 = 16;
/// All whole numbers: uint8, int8, uint16, int16, int32, int64, uint32, uint64.
pub(crate) const INTS: [u64; 8] = [2, 3, 4, 5, 6, 7, 12, 13];

impl NodeDef {
    /// How messages name the node.
    pub(crate) fn title(&self) -> String {
        match (self.name.as_str(), self.outputs.first()) {
            ("", Some(output)) => format!("{} (of {output:?})", self.op),
            ("", None) => self.op.clone(),
            (name, _) => format!("{} ({name:?})", self.op),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attributes.get(name).and_then(|a| a.int).unwrap_or(default)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.attributes.get(name).and_then(|a| a.float).unwrap_or(default)
    }

    pub(crate) fn text(&self, name: &str, default: &'static str) -> &str {
        self.attributes.get(name).and_then(|a| a.text.as_deref()).unwrap_or(default)
    }

    pub(crate) fn ints(&self, name: &str) -> &[i64] {
        self.attributes.get(name).map_or(&[], |a| &a.ints)
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.attributes.get(name).map_or(&[], |a| &a.floats)
    }

    pub(crate) fn texts(&self, name: &str) -> &[Arc<str>] {
        self.attributes.get(name).map_or(&[], |a| &a.texts)
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&Arc<Tensor>> {
        self.attributes.get(name)?.tensor.as_ref()
    }

    pub(crate) fn graph(&self, name: &str) -> Option<&GraphDef> {
        self.attributes.get(name)?.graph.as_deref()
    }

    /// Numbers that are given in single precision or, as `NAME_as_tensor`, in double precision.
    ///
    /// # Errors
    /// A tensor of texts.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let double = self.tensor(&format!("{name}_as_tensor"));
        match double.or_else(|| self.tensor(name)) {
            Some(tensor) => tensor.to_f64(),
            None => Ok(self.floats(name).iter().map(|&x| f64::from(x)).collect()),
        }
    }
}

/// A field of a message.
enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

const CUT: &str = "the file is cut off or damaged";

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).context(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!(CUT)
    }

    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.take(8)?.try_into()?),
            2 => {
                let n = usize::try_from(self.varint()?).context(CUT)?;
                Field::Bytes(self.take(n)?)
            }
            5 => Field::Fixed32(self.take(4)?.try_into()?),
            _ => bail!(CUT),
        };
        ensure!(tag >> 3 > 0, CUT);
        Ok(Some((tag >> 3, field)))
    }
}

impl<'a> Field<'a> {
    fn bytes(&self) -> Result<&'a [u8]> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => bail!(CUT),
        }
    }

    fn text(&self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).context("a name or text of the file is not UTF-8")
    }

    fn int(&self) -> Result<i64> {
        match self {
            Field::Varint(value) => Ok(*value as i64),
            _ => bail!(CUT),
        }
    }

    /// Adds whole numbers, one or several packed together.
    fn add_ints(&self, to: &mut Vec<i64>) -> Result<()> {
        match self {
            Field::Varint(value) => to.push(*value as i64),
            Field::Bytes(bytes) => {
                let mut rest = Fields(bytes);
                while !rest.0.is_empty() {
                    to.push(rest.varint()? as i64);
                }
            }
            _ => bail!(CUT),
        }
        Ok(())
    }

    fn add_f32(&self, to: &mut Vec<f32>) -> Result<()> {
        match self {
            Field::Fixed32(bytes) => to.push(f32::from_le_bytes(*bytes)),
            Field::Bytes(bytes) => {
                let (numbers, rest) = bytes.as_chunks::<4>();
                ensure!(rest.is_empty(), CUT);
                to.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            _ => bail!(CUT),
        }
        Ok(())
    }

    fn add_f64(&self, to: &mut Vec<f64>) -> Result<()> {
        match self {
            Field::Fixed64(bytes) => to.push(f64::from_le_bytes(*bytes)),
            Field::Bytes(bytes) => {
                let (numbers, rest) = bytes.as_chunks::<8>();
                ensure!(rest.is_empty(), CUT);
                to.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            _ => bail!(CUT),
        }
        Ok(())
    }
}

/// Reads a model.
///
/// # Errors
/// A file that is cut off or damaged, or that has what is not read.
pub(crate) fn read(bytes: &[u8]) -> Result<ModelDef> {
    let mut model = ModelDef::default();
    let mut has_graph = false;
    let mut n_nodes = 0;
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            2 => model.producer = field.text()?.to_string(),
            3 => model.version = field.text()?.to_string(),
            7 => {
                model.graph = graph(field.bytes()?, 0, &mut n_nodes)?;
                has_graph = true;
            }
            8 => {
                let (mut domain, mut version) = ("", 1);
                let mut fields = Fields(field.bytes()?);
                while let Some((number, field)) = fields.next()? {
                    match number {
                        1 => domain = field.text()?,
                        2 => version = field.int()?,
                        _ => {}
                    }
                }
                model.opsets.insert(plain_domain(domain).to_string(), version);
            }
            _ => {}
        }
    }
    ensure!(has_graph && !model.opsets.is_empty(), "it is no ONNX model: it has no graph or no operator set");
    Ok(model)
}

/// The first domain has two names.
fn plain_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn graph(bytes: &[u8], depth: usize, n_nodes: &mut usize) -> Result<GraphDef> {
    ensure!(depth < MAX_DEPTH, "its graphs lie more than {MAX_DEPTH} deep within each other");
    let mut graph = GraphDef::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => {
                *n_nodes += 1;
                ensure!(*n_nodes <= MAX_NODES, "it has more than {MAX_NODES} nodes");
                graph.nodes.push(node(field.bytes()?, depth, n_nodes)?);
            }
            5 => {
                let (name, tensor) = tensor(field.bytes()?)?;
                graph.constants.insert(name, Arc::new(tensor));
            }
            11 => graph.inputs.push(info(field.bytes()?)?),
            12 => graph.outputs.push(info(field.bytes()?)?),
            15 => bail!("it has sparse constants, which are not read"),
            _ => {}
        }
    }
    Ok(graph)
}

fn node(bytes: &[u8], depth: usize, n_nodes: &mut usize) -> Result<NodeDef> {
    let mut node = NodeDef::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => node.inputs.push(field.text()?.to_string()),
            2 => node.outputs.push(field.text()?.to_string()),
            3 => node.name = field.text()?.to_string(),
            4 => node.op = field.text()?.to_string(),
            5 => {
                let (name, attribute) = attribute(field.bytes()?, depth, n_nodes)?;
                node.attributes.insert(name, attribute);
            }
            7 => node.domain = plain_domain(field.text()?).to_string(),
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(bytes: &[u8], depth: usize, n_nodes: &mut usize) -> Result<(String, Attribute)> {
    let mut name = String::new();
    let mut attribute = Attribute::default();
    let mut fields = Fields(bytes);
    // Texts are bytes, and need not be read unless an operator asks for them.
    let text = |field: &Field| -> Result<Arc<str>> { Ok(String::from_utf8_lossy(field.bytes()?).into()) };
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text()?.to_string(),
            2 => {
                let mut value = Vec::new();
                field.add_f32(&mut value)?;
                attribute.float = value.first().copied();
            }
            3 => attribute.int = Some(field.int()?),
            4 => attribute.text = Some(text(&field)?),
            5 => attribute.tensor = Some(Arc::new(tensor(field.bytes()?)?.1)),
            6 => attribute.graph = Some(Box::new(graph(field.bytes()?, depth + 1, n_nodes)?)),
            7 => field.add_f32(&mut attribute.floats)?,
            8 => field.add_ints(&mut attribute.ints)?,
            9 => attribute.texts.push(text(&field)?),
            _ => {}
        }
    }
    Ok((name, attribute))
}

fn info(bytes: &[u8]) -> Result<Info> {
    let mut info = Info::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => info.name = field.text()?.to_string(),
            2 => {
                let mut kinds = Fields(field.bytes()?);
                while let Some((kind, field)) = kinds.next()? {
                    if kind == 1 {
                        tensor_type(field.bytes()?, &mut info)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(info)
}

fn tensor_type(bytes: &[u8], info: &mut Info) -> Result<()> {
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => info.element = field.int()? as u64,
            2 => {
                let mut shape = Vec::new();
                let mut dims = Fields(field.bytes()?);
                while let Some((number, field)) = dims.next()? {
                    if number != 1 {
                        continue;
                    }
                    let mut dim = None;
                    let mut fields = Fields(field.bytes()?);
                    while let Some((number, field)) = fields.next()? {
                        if number == 1 {
                            // Some exporters write 0 or −1 for any.
                            dim = usize::try_from(field.int()?).ok().filter(|&dim| dim > 0);
                        }
                    }
                    shape.push(dim);
                }
                info.shape = Some(shape);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads a tensor and its name.
fn tensor(bytes: &[u8]) -> Result<(String, Tensor)> {
    let (mut name, mut kind, mut dims) = (String::new(), 0, Vec::new());
    let (mut floats, mut doubles, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut raw: Option<&[u8]> = None;
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => field.add_ints(&mut dims)?,
            2 => kind = field.int()? as u64,
            4 => field.add_f32(&mut floats)?,
            5 | 7 | 11 => field.add_ints(&mut ints)?,
            6 => texts.push(Arc::from(field.text()?)),
            8 => name = field.text()?.to_string(),
            9 => raw = Some(field.bytes()?),
            10 => field.add_f64(&mut doubles)?,
            13 => external(&name)?,
            14 if field.int()? == 1 => external(&name)?,
            _ => {}
        }
    }
    let shape: Vec<usize> = dims
        .iter()
        .map(|&dim| usize::try_from(dim))
        .collect::<Result<_, _>>()
        .with_context(|| format!("the constant {name:?} has a negative dimension"))?;
    let data = match (kind, raw) {
        (FLOAT, None) => Data::F32(floats),
        (DOUBLE, None) => Data::F64(doubles),
        (STRING, None) => Data::Text(texts),
        (BOOL, None) => Data::Bool(ints.into_iter().map(|x| x != 0).collect()),
        (FLOAT16, None) => Data::F32(ints.into_iter().map(|x| half(x as u16)).collect()),
        (kind, None) if INTS.contains(&kind) => Data::I64(ints),
        (FLOAT, Some(raw)) => Data::F32(numbers(raw, f32::from_le_bytes)?),
        (DOUBLE, Some(raw)) => Data::F64(numbers(raw, f64::from_le_bytes)?),
        (BOOL, Some(raw)) => Data::Bool(raw.iter().map(|&x| x != 0).collect()),
        (FLOAT16, Some(raw)) => Data::F32(numbers(raw, |x| half(u16::from_le_bytes(x)))?),
        (BFLOAT16, Some(raw)) => {
            Data::F32(numbers(raw, |x| f32::from_bits(u32::from(u16::from_le_bytes(x)) << 16))?)
        }
        (2, Some(raw)) => Data::I64(raw.iter().map(|&x| i64::from(x)).collect()),
        (3, Some(raw)) => Data::I64(raw.iter().map(|&x| i64::from(x.cast_signed())).collect()),
        (4, Some(raw)) => Data::I64(numbers(raw, |x| i64::from(u16::from_le_bytes(x)))?),
        (5, Some(raw)) => Data::I64(numbers(raw, |x| i64::from(i16::from_le_bytes(x)))?),
        (6, Some(raw)) => Data::I64(numbers(raw, |x| i64::from(i32::from_le_bytes(x)))?),
        (12, Some(raw)) => Data::I64(numbers(raw, |x| i64::from(u32::from_le_bytes(x)))?),
        (7 | 13, Some(raw)) => Data::I64(numbers(raw, i64::from_le_bytes)?),
        _ => bail!("the constant {name:?} has elements of type {kind} of onnx.proto, which are not read"),
    };
    let n = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
    ensure!(n == Some(data.len()), "the constant {name:?} of shape {shape:?} has {} elements", data.len());
    Ok((name, Tensor::new(shape, data)))
}

fn external(name: &str) -> Result<()> {
    bail!(
        "the constant {name:?} lies in a second file (external data), which is not read; save the model whole, with \
         onnx.save(onnx.load(\"model.onnx\"), \"whole.onnx\") or torch.onnx.export(…, external_data=False)"
    )
}

fn numbers<const N: usize, T>(raw: &[u8], number: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let (chunks, rest) = raw.as_chunks::<N>();
    ensure!(rest.is_empty(), CUT);
    Ok(chunks.iter().map(|bytes| number(*bytes)).collect())
}

/// A number of half precision (IEEE 754, binary16).
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}
