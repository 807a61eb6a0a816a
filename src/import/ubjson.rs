//! UBJSON, the binary form of XGBoost's model files, as a source for serde.
//!
//! A container of known type and length is read only if the rest of the file can hold it, types that take no bytes cannot
//! be those of a container, and nesting is bounded, so a short file cannot ask for much memory.
//! Source: Universal Binary JSON specification, draft 12 (ubjson.org).

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Depth of containers; the files of XGBoost have eight.
const MAX_DEPTH: usize = 64;

/// What is wrong with a file, and where.
#[derive(Debug)]
pub(super) struct Fault(String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Reads one value, which is the whole of `bytes`.
///
/// # Errors
/// Bytes that are no UBJSON, or a value of another shape.
pub(super) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Fault> {
    let mut reader = Reader { rest: bytes, length: bytes.len(), depth: 0 };
    let value = reader.marker().and_then(|marker| T::deserialize(Value { reader: &mut reader, marker }));
    let value = value.map_err(|Fault(fault)| Fault(format!("{fault}, near byte {}", reader.at())))?;
    if reader.rest.iter().any(|&byte| byte != b'N') {
        return Err(Fault(format!("bytes follow the value that ends at byte {}", reader.at())));
    }
    Ok(value)
}

struct Reader<'de> {
    rest: &'de [u8],
    length: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    fn take(&mut self, n: usize) -> Result<&'de [u8], Fault> {
        let (taken, rest) =
            self.rest.split_at_checked(n).ok_or_else(|| Fault("the file ends too early".into()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// The next marker; `N` means nothing.
    fn marker(&mut self) -> Result<u8, Fault> {
        loop {
            let [marker] = self.array()?;
            if marker != b'N' {
                return Ok(marker);
            }
        }
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Fault> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(Fault(format!("{:?} where a whole number belongs", char::from(other)))),
        })
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let marker = self.marker()?;
        usize::try_from(self.integer(marker)?).map_err(|_| Fault("a negative length".into()))
    }

    fn text(&mut self) -> Result<&'de str, Fault> {
        let n = self.length()?;
        std::str::from_utf8(self.take(n)?).map_err(|_| Fault("a text that is not UTF-8".into()))
    }

    /// The type and length of a container, as far as they stand at its beginning.
    fn container(&mut self) -> Result<(Option<u8>, Option<usize>), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault(format!("containers nested more than {MAX_DEPTH} deep")));
        }
        let mut of_type = None;
        if self.rest.first() == Some(&b'$') {
            self.take(1)?;
            let marker = self.array::<1>()?[0];
            if n_bytes(marker) == 0 {
                return Err(Fault(format!("an array of the type {:?}", char::from(marker))));
            }
            of_type = Some(marker);
        }
        let mut length = None;
        if self.rest.first() == Some(&b'#') {
            self.take(1)?;
            let n = self.length()?;
            if n.checked_mul(of_type.map_or(1, n_bytes)).is_none_or(|bytes| bytes > self.rest.len()) {
                return Err(Fault("a container longer than the rest of the file".into()));
            }
            length = Some(n);
        } else if of_type.is_some() {
            return Err(Fault("a container of a type without its length".into()));
        }
        Ok((of_type, length))
    }
}

/// The fewest bytes that a value of this type takes after its marker.
fn n_bytes(marker: u8) -> usize {
    match marker {
        b'i' | b'U' | b'C' | b'[' | b'{' => 1,
        b'I' | b'S' | b'H' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => 0,
    }
}

struct Value<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: u8,
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Self { reader, marker } = self;
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(reader.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(reader.array()?)),
            b'C' => visitor.visit_char(char::from(reader.array::<1>()?[0])),
            b'S' | b'H' => visitor.visit_borrowed_str(reader.text()?),
            b'[' | b'{' => {
                let (of_type, left) = reader.container()?;
                let mut items =
                    Items { reader, of_type, left, end: if marker == b'[' { b']' } else { b'}' } };
                let value = match marker {
                    b'[' => visitor.visit_seq(&mut items)?,
                    _ => visitor.visit_map(&mut items)?,
                };
                items.finish()?;
                Ok(value)
            }
            _ => visitor.visit_i64(reader.integer(marker)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.marker == b'Z' { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// What is in a container.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    of_type: Option<u8>,
    /// How many are left, if the container says so.
    left: Option<usize>,
    end: u8,
}

impl<'de> Items<'_, 'de> {
    /// Whether there is another item; the mark of the end is taken.
    fn more(&mut self) -> Result<bool, Fault> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => {
                while self.reader.rest.first() == Some(&b'N') {
                    self.reader.take(1)?;
                }
                if self.reader.rest.first() != Some(&self.end) {
                    return Ok(true);
                }
                self.reader.take(1)?;
                self.left = Some(0);
                Ok(false)
            }
        }
    }

    fn item<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let marker = self.of_type.map_or_else(|| self.reader.marker(), Ok)?;
        seed.deserialize(Value { reader: self.reader, marker })
    }

    fn finish(&mut self) -> Result<(), Fault> {
        if self.left != Some(0) && self.more()? {
            return Err(Fault("a container with more items than it may have".into()));
        }
        self.reader.depth -= 1;
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        if self.more()? { self.item(seed).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        if !self.more()? {
            return Ok(None);
        }
        let name = self.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        self.item(seed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(bytes: &[u8]) -> Result<serde_json::Value, Fault> {
        from_slice(bytes)
    }

    #[test]
    fn values_of_every_type_are_read() {
        let value = read(b"{U\x01a[TFZi\xffU\xffI\x01\x00l\x00\x01\x00\x00d\x3f\x80\x00\x00Si\x02hiC!]U\x01b{}U\x01c[$d#U\x02\x3f\x80\x00\x00\x40\x00\x00\x00}");
        let expected =
            json!({"a": [true, false, null, -1, 255, 256, 65536, 1.0, "hi", "!"], "b": {}, "c": [1.0, 2.0]});
        assert_eq!(value.unwrap(), expected);
        assert_eq!(read(b"[#U\x02Si\x01xL\x00\x00\x00\x00\x00\x00\x00\x07").unwrap(), json!(["x", 7]));
        assert_eq!(read(b"D\x3f\xf8\x00\x00\x00\x00\x00\x00").unwrap(), json!(1.5));
    }

    #[test]
    fn lengths_and_depths_that_a_file_cannot_have_are_refused_before_memory_is_taken() {
        for bytes in [
            &b"[$d#l\x7f\xff\xff\xff"[..],
            b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"[$Z#l\x7f\xff\xff\xff",
            b"[$T#i\x01",
            b"SL\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"Si\xff",
            b"[$d",
            b"{U\x01a",
            b"?",
            b"",
            b"[]]",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&[b'['; 100]).unwrap_err().to_string().contains("deep"));
    }
}
