//! Tensors of the Open Inference Protocol, JSON or binary, element by element as cells.
//!
//! Nothing is stored: the sink writes the code of each element at once, with
//! [`crate::data::cells::schema::Feature::code`]. Source: the protocol's HTTP/REST chapter and its binary tensor
//! data extension (KServe and Triton documentation).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::data::cells::cell::Cell;

/// The data type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    /// True or false.
    Bool,
    /// A signed whole number of so many bytes.
    Int(usize),
    /// An unsigned whole number of so many bytes.
    Uint(usize),
    /// An IEEE 754 number of so many bytes.
    Float(usize),
    /// The upper half of a 32-bit number.
    Bfloat16,
    /// Text in UTF-8.
    Bytes,
}

const DATATYPES: [(&str, Datatype); 14] = [
    ("BOOL", Datatype::Bool),
    ("INT8", Datatype::Int(1)),
    ("INT16", Datatype::Int(2)),
    ("INT32", Datatype::Int(4)),
    ("INT64", Datatype::Int(8)),
    ("UINT8", Datatype::Uint(1)),
    ("UINT16", Datatype::Uint(2)),
    ("UINT32", Datatype::Uint(4)),
    ("UINT64", Datatype::Uint(8)),
    ("FP16", Datatype::Float(2)),
    ("FP32", Datatype::Float(4)),
    ("FP64", Datatype::Float(8)),
    ("BF16", Datatype::Bfloat16),
    ("BYTES", Datatype::Bytes),
];

impl Datatype {
    /// The data type of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        DATATYPES.iter().find(|(known, _)| *known == name).map(|(_, datatype)| *datatype)
    }

    /// All names.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        DATATYPES.iter().map(|(name, _)| *name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        DATATYPES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// Bytes per element; `None` if elements differ in length.
    fn width(self) -> Option<usize> {
        match self {
            Self::Bool => Some(1),
            Self::Int(n) | Self::Uint(n) | Self::Float(n) => Some(n),
            Self::Bfloat16 => Some(2),
            Self::Bytes => None,
        }
    }

    /// The bytes that an element takes at least: a text has its length before it.
    pub(crate) fn least_bytes(self) -> usize {
        self.width().unwrap_or(4)
    }

    /// The cell of a JSON number, rounded to the precision of the data type, as it would be if it had come as
    /// bytes.
    fn number<'a>(self, value: f64) -> Result<Cell<'a>, String> {
        let whole = |from: f64, below: f64| value.fract() == 0.0 && value >= from && value < below;
        let fits = match self {
            Self::Bool if value == 0.0 || value == 1.0 => return Ok(Cell::Boolean(value == 1.0)),
            Self::Bool | Self::Bytes => false,
            Self::Int(n) => whole(-(2_f64.powi(8 * n as i32 - 1)), 2_f64.powi(8 * n as i32 - 1)),
            Self::Uint(n) => whole(0.0, 2_f64.powi(8 * n as i32)),
            Self::Float(4) => return Ok(Cell::Number(f64::from(value as f32))),
            Self::Float(_) | Self::Bfloat16 => true,
        };
        if fits { Ok(Cell::Number(value)) } else { Err(format!("{value} is not {}", self.name())) }
    }

    /// The cell of one element's bytes, of which there are [`Datatype::width`].
    fn decode<'a>(self, bytes: &[u8]) -> Result<Cell<'a>, String> {
        // Least byte first; a sign is the highest bit of the last.
        let unsigned = bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let number = match self {
            Self::Bool if unsigned <= 1 => return Ok(Cell::Boolean(unsigned == 1)),
            Self::Bool => return Err(format!("the byte {unsigned} is not BOOL")),
            Self::Int(n) => {
                let unused = 64 - 8 * n as u32;
                ((unsigned << unused) as i64 >> unused) as f64
            }
            Self::Uint(_) => unsigned as f64,
            Self::Float(8) => f64::from_bits(unsigned),
            Self::Float(4) => f64::from(f32::from_bits(unsigned as u32)),
            Self::Bfloat16 => f64::from(f32::from_bits((unsigned as u32) << 16)),
            Self::Float(_) => half(unsigned as u16),
            Self::Bytes => return Err("text has no fixed width".into()),
        };
        // Bytes, unlike JSON, can hold a NaN.
        Ok(if number.is_nan() { Cell::Missing } else { Cell::Number(number) })
    }
}

/// The value of 16 bits as a half-precision number (IEEE 754-2019, section 3.4: binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

/// The receiver of elements: the index in row-major order, and the cell or the reason why there is none.
pub(crate) type Sink<'a> = dyn FnMut(usize, Result<Cell, String>) + 'a;

/// Reads elements from the bytes of the binary extension.
///
/// # Errors
/// There are more or fewer bytes than `n` elements take.
pub(crate) fn read_bytes(bytes: &[u8], n: usize, datatype: Datatype, sink: &mut Sink) -> Result<(), String> {
    let Some(width) = datatype.width() else {
        return read_texts(bytes, n, sink);
    };
    if n.checked_mul(width) != Some(bytes.len()) {
        return Err(format!(
            "{} bytes where {n} elements of {} take {width} each",
            bytes.len(),
            datatype.name()
        ));
    }
    bytes.chunks_exact(width).enumerate().for_each(|(i, element)| sink(i, datatype.decode(element)));
    Ok(())
}

/// Reads texts, each of which follows its length in four bytes.
fn read_texts(mut bytes: &[u8], n: usize, sink: &mut Sink) -> Result<(), String> {
    for i in 0..n {
        let text = bytes.split_first_chunk().and_then(|(length, rest)| {
            let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            bytes = rest;
            Some(text)
        });
        let text = text.ok_or_else(|| format!("the bytes end in element {i} of {n}"))?;
        sink(i, std::str::from_utf8(text).map(Cell::Text).map_err(|_| "the text is not UTF-8".into()));
    }
    if bytes.is_empty() { Ok(()) } else { Err(format!("{} bytes follow the last element", bytes.len())) }
}

/// Reads elements from JSON, a flat array or one that is nested as `shape` says.
///
/// # Errors
/// The array has another shape.
pub(crate) fn read_json(
    json: &str,
    shape: &[usize],
    datatype: Datatype,
    sink: &mut Sink,
) -> Result<(), String> {
    let n = shape.iter().product();
    let mut walk = Walk { shape, n, datatype, next: 0, leaf_depth: None, wrong: None, sink };
    let parsed =
        Level { walk: &mut walk, depth: 0 }.deserialize(&mut serde_json::Deserializer::from_str(json));
    match (walk.wrong, parsed) {
        (Some(wrong), _) => Err(wrong),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(())) if walk.next != n => Err(format!("{} elements where the shape has {n}", walk.next)),
        (None, Ok(())) => Ok(()),
    }
}

struct Walk<'a, 's> {
    shape: &'a [usize],
    n: usize,
    datatype: Datatype,
    next: usize,
    /// The depth of arrays around the first element.
    leaf_depth: Option<usize>,
    /// The reason why the walk was stopped.
    wrong: Option<String>,
    sink: &'a mut Sink<'s>,
}

impl Walk<'_, '_> {
    fn fail<T, E: Error>(&mut self, wrong: String) -> Result<T, E> {
        self.wrong = Some(wrong);
        Err(E::custom("wrong shape"))
    }

    fn element<E: Error>(&mut self, depth: usize, cell: Result<Cell, String>) -> Result<(), E> {
        if *self.leaf_depth.get_or_insert(depth) != depth || (depth != 1 && depth != self.shape.len()) {
            return self.fail("the data is neither flat nor nested as its shape says".into());
        }
        if self.next == self.n {
            return self.fail(format!("more elements than the {} of the shape", self.n));
        }
        (self.sink)(self.next, cell);
        self.next += 1;
        Ok(())
    }
}

/// An array or element in `depth` arrays.
struct Level<'r, 'a, 's> {
    walk: &'r mut Walk<'a, 's>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the elements of a tensor")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { walk, depth } = self;
        let mut count = 0;
        while seq.next_element_seed(Level { walk: &mut *walk, depth: depth + 1 })?.is_some() {
            count += 1;
        }
        let flat = depth == 0 && walk.leaf_depth.is_none_or(|leaf| leaf == 1);
        if !flat && walk.shape.get(depth) != Some(&count) {
            return walk.fail(format!("an array of {count} where the shape is {:?}", walk.shape));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.walk.element(self.depth, Err("an object is not an element".into()))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.walk.element(self.depth, Ok(Cell::Missing))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let cell = match self.walk.datatype {
            Datatype::Bool => Ok(Cell::Boolean(value)),
            other => Err(format!("{value} is not {}", other.name())),
        };
        self.walk.element(self.depth, cell)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let cell = self.walk.datatype.number(value);
        self.walk.element(self.depth, cell)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let cell = match self.walk.datatype {
            Datatype::Bytes => Ok(Cell::Text(value)),
            other => Err(format!("a text is not {}", other.name())),
        };
        self.walk.element(self.depth, cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cell: Result<Cell, String>) -> String {
        match cell {
            Ok(Cell::Missing) => "-".into(),
            Ok(Cell::Number(value)) => value.to_string(),
            Ok(Cell::Boolean(value)) => value.to_string(),
            Ok(Cell::Text(text)) => format!("{text:?}"),
            Err(wrong) => wrong,
        }
    }

    fn json(json: &str, shape: &[usize], datatype: &str) -> Result<Vec<String>, String> {
        let mut cells = Vec::new();
        let datatype = Datatype::named(datatype).unwrap();
        read_json(json, shape, datatype, &mut |_, cell| cells.push(text(cell))).map(|()| cells)
    }

    fn bytes(bytes: &[u8], n: usize, datatype: &str) -> Result<Vec<String>, String> {
        let mut cells = Vec::new();
        let datatype = Datatype::named(datatype).unwrap();
        read_bytes(bytes, n, datatype, &mut |_, cell| cells.push(text(cell))).map(|()| cells)
    }

    #[test]
    fn data_is_flat_or_nested_as_its_shape_says_and_nothing_else() {
        let flat = json("[1,2,3,4,5,6]", &[3, 2], "INT32").unwrap();
        assert_eq!(json("[[1,2],[3,4],[5,6]]", &[3, 2], "INT32").unwrap(), flat);
        assert_eq!(json("[[1],[2]]", &[2, 1], "INT32").unwrap(), ["1", "2"]);
        for wrong in [
            "[[1,2,3],[4,5,6]]",
            "[[1,2],[3,4],[5,6],[7,8]]",
            "[[1,2],[3,4]]",
            "[1,2,3,4,5]",
            "[1,2,3,4,5,6,7]",
            "[[1,2],[3,4],5,6]",
            "[1,2,[3,4],[5,6]]",
            "[[[1,2],[3,4],[5,6]]]",
            "[[[1],[2]],[[3],[4]],[[5],[6]]]",
            "5",
            "[]",
            "{}",
            "[[],[],[]]",
        ] {
            assert!(json(wrong, &[3, 2], "INT32").is_err(), "{wrong}");
        }
    }

    #[test]
    fn elements_are_checked_against_the_data_type() {
        assert_eq!(json("[1,0,true,null,2]", &[5], "BOOL").unwrap()[..4], ["true", "false", "true", "-"]);
        let found = json("[127,-128,1.5,300,\"1\",true]", &[6], "INT8").unwrap();
        assert_eq!(
            found,
            ["127", "-128", "1.5 is not INT8", "300 is not INT8", "a text is not INT8", "true is not INT8"]
        );
        assert_eq!(json("[-1]", &[1], "UINT64").unwrap(), ["-1 is not UINT64"]);
        assert_eq!(json("[\"é\",1]", &[2], "BYTES").unwrap(), ["\"é\"", "1 is not BYTES"]);
        assert_eq!(json("[0.1]", &[1], "FP64").unwrap(), ["0.1"]);
        assert_eq!(json("[0.1]", &[1], "FP32").unwrap(), [f64::from(0.1_f32).to_string()]);
    }

    #[test]
    fn bytes_are_read_least_first_whatever_the_data_type() {
        assert_eq!(bytes(&[0xff, 0x80], 2, "INT8").unwrap(), ["-1", "-128"]);
        assert_eq!(bytes(&[0xff, 0xff], 1, "UINT16").unwrap(), ["65535"]);
        assert_eq!(bytes(&(-70_000_i32).to_le_bytes(), 1, "INT32").unwrap(), ["-70000"]);
        assert_eq!(bytes(&(-5_i64).to_le_bytes(), 1, "INT64").unwrap(), ["-5"]);
        assert_eq!(bytes(&0.1_f32.to_le_bytes(), 1, "FP32").unwrap(), [f64::from(0.1_f32).to_string()]);
        assert_eq!(bytes(&f64::NAN.to_le_bytes(), 1, "FP64").unwrap(), ["-"]);
        assert_eq!(bytes(&[0, 1, 7], 3, "BOOL").unwrap(), ["false", "true", "the byte 7 is not BOOL"]);
        // 1, -2, the largest, the smallest above 0, ∞: the examples of IEEE 754.
        let halves: Vec<u8> =
            [0x3c00_u16, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x7e00].map(u16::to_le_bytes).concat();
        assert_eq!(
            bytes(&halves, 6, "FP16").unwrap(),
            ["1", "-2", "65504", "0.00000005960464477539063", "inf", "-"]
        );
        assert_eq!(bytes(&[0x80, 0x3f], 1, "BF16").unwrap(), ["1"]);
        assert!(bytes(&[0; 7], 2, "FP32").is_err() && bytes(&[], usize::MAX, "FP64").is_err());
    }

    #[test]
    fn texts_follow_their_lengths() {
        let two = [&3_u32.to_le_bytes()[..], b"red", &0_u32.to_le_bytes()].concat();
        assert_eq!(bytes(&two, 2, "BYTES").unwrap(), ["\"red\"", "\"\""]);
        for (wrong, n) in [(&two[..], 1), (&two[..], 3), (&two[..5], 1), (&[0xff; 4][..], 1)] {
            assert!(bytes(wrong, n, "BYTES").is_err());
        }
        assert_eq!(bytes(&[1, 0, 0, 0, 0xff], 1, "BYTES").unwrap(), ["the text is not UTF-8"]);
    }
}
