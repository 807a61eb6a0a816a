//! The arrays that a predictor is written as in the model file.
//!
//! Each inference form puts its numbers into [`Arrays`] and takes them out again; `model::file` does the
//! reading and writing.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// A named array of the model file.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Doubles and their shape.
    F64(Vec<usize>, Vec<f64>),
    /// Whole numbers and their shape.
    U32(Vec<usize>, Vec<u32>),
    /// Bytes and their shape.
    U8(Vec<usize>, Vec<u8>),
}

/// The arrays of a model file by name; sorted, so that a file is always written in the same order.
pub type Arrays = BTreeMap<String, Array>;

/// Removes an array of doubles.
///
/// # Errors
/// There is none of that name and kind.
pub(crate) fn take_f64(arrays: &mut Arrays, name: &str) -> Result<Vec<f64>> {
    match arrays.remove(name) {
        Some(Array::F64(_, values)) => Ok(values),
        _ => bail!("the array {name:?} is missing or of another kind"),
    }
}

/// Removes an array of whole numbers.
///
/// # Errors
/// There is none of that name and kind.
pub(crate) fn take_u32(arrays: &mut Arrays, name: &str) -> Result<Vec<u32>> {
    match arrays.remove(name) {
        Some(Array::U32(_, values)) => Ok(values),
        _ => bail!("the array {name:?} is missing or of another kind"),
    }
}

/// Removes an array of bytes.
///
/// # Errors
/// There is none of that name and kind.
pub(crate) fn take_u8(arrays: &mut Arrays, name: &str) -> Result<Vec<u8>> {
    match arrays.remove(name) {
        Some(Array::U8(_, values)) => Ok(values),
        _ => bail!("the array {name:?} is missing or of another kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_taken_once_and_only_as_what_it_is() {
        let mut arrays = Arrays::new();
        arrays.insert("a".into(), Array::U32(vec![2], vec![1, 2]));
        arrays.insert("b".into(), Array::F64(vec![1], vec![0.5]));
        assert_eq!(take_u32(&mut arrays, "a").unwrap(), [1, 2]);
        let message = take_u32(&mut arrays, "a").unwrap_err().to_string();
        assert_eq!(message, "the array \"a\" is missing or of another kind");
        assert!(take_u8(&mut arrays, "b").is_err());
    }
}
