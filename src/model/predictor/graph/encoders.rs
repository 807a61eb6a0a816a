//! Operators of `ai.onnx.ml` that prepare columns: scaling, filling, one slot per level.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::proto::NodeDef;
use super::step::{Outer, Run, one};
use super::tensor::{Data, Tensor, n_elements};

/// One number for all columns, or one for each.
fn at<T: Copy>(numbers: &[T], column: usize) -> T {
    if let [only] = numbers { *only } else { numbers[column] }
}

fn fits(n: usize, columns: usize, name: &str) -> Result<()> {
    ensure!(n == 1 || n == columns, "{name} has {n} numbers for {columns} columns");
    Ok(())
}

pub(super) fn scaler(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (offset, scale) = (node.floats("offset").to_vec(), node.floats("scale").to_vec());
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let (_, columns) = x.matrix();
        fits(offset.len(), columns, "offset")?;
        fits(scale.len(), columns, "scale")?;
        let values = x.to_f32()?;
        let of = |(i, x): (usize, f32)| (x - at(&offset, i % columns)) * at(&scale, i % columns);
        one(Tensor::f32(&x.shape, values.into_iter().enumerate().map(of).collect()))
    }))
}

pub(super) fn normalizer(node: &NodeDef, _: &Outer) -> Result<Run> {
    let norm = node.text("norm", "MAX").to_string();
    ensure!(["L1", "L2", "MAX"].contains(&norm.as_str()), "the norm {norm:?} is not known");
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let (_, columns) = x.matrix();
        let mut values = x.to_f32()?;
        for row in values.chunks_exact_mut(columns.max(1)) {
            let size = match norm.as_str() {
                "L1" => row.iter().map(|x| x.abs()).sum(),
                "L2" => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
                _ => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            };
            if size != 0.0 {
                row.iter_mut().for_each(|x| *x /= size);
            }
        }
        one(Tensor::f32(&x.shape, values))
    }))
}

pub(super) fn imputer(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (floats, ints) =
        (node.floats("imputed_value_floats").to_vec(), node.ints("imputed_value_int64s").to_vec());
    let (gone, gone_int) = (node.float("replaced_value_float", 0.0), node.int("replaced_value_int64", 0));
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let (_, columns) = x.matrix();
        let is_gone = |x: f64| if gone.is_nan() { x.is_nan() } else { x == f64::from(gone) };
        let data = match &x.data {
            Data::I64(v) => {
                fits(ints.len(), columns, "imputed_value_int64s")?;
                let of = |(i, &x): (usize, &i64)| if x == gone_int { at(&ints, i % columns) } else { x };
                Data::I64(v.iter().enumerate().map(of).collect())
            }
            Data::F64(v) => {
                fits(floats.len(), columns, "imputed_value_floats")?;
                let of =
                    |(i, &x): (usize, &f64)| if is_gone(x) { f64::from(at(&floats, i % columns)) } else { x };
                Data::F64(v.iter().enumerate().map(of).collect())
            }
            Data::F32(v) => {
                fits(floats.len(), columns, "imputed_value_floats")?;
                let of =
                    |(i, &x): (usize, &f32)| if is_gone(f64::from(x)) { at(&floats, i % columns) } else { x };
                Data::F32(v.iter().enumerate().map(of).collect())
            }
            other => bail!("it takes no {}s", other.kind()),
        };
        one(Tensor::new(x.shape.clone(), data))
    }))
}

pub(super) fn one_hot(node: &NodeDef, _: &Outer) -> Result<Run> {
    let texts: HashMap<Arc<str>, usize> =
        node.texts("cats_strings").iter().enumerate().map(|(i, level)| (Arc::clone(level), i)).collect();
    let ints: HashMap<i64, usize> =
        node.ints("cats_int64s").iter().enumerate().map(|(i, &level)| (level, i)).collect();
    let zeros = node.int("zeros", 1) != 0;
    let n = texts.len().max(ints.len());
    ensure!(n > 0, "it has no levels");
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let found: Vec<Option<usize>> = match &x.data {
            Data::Text(v) => v.iter().map(|text| texts.get(text).copied()).collect(),
            _ => {
                let level = |x: f64| if x == x.trunc() { ints.get(&(x as i64)).copied() } else { None };
                x.to_f64()?.into_iter().map(level).collect()
            }
        };
        ensure!(zeros || found.iter().all(Option::is_some), "a level is not one of those that it knows");
        let mut shape = x.shape.clone();
        shape.push(n);
        let mut out = vec![0.0; n_elements(&shape)?];
        for (out, found) in out.chunks_exact_mut(n).zip(found) {
            if let Some(at) = found {
                out[at] = 1.0;
            }
        }
        one(Tensor::f32(&shape, out))
    }))
}

pub(super) fn label_encoder(node: &NodeDef, outer: &Outer) -> Result<Run> {
    // Version 1: texts to their places and back.
    if outer.version("ai.onnx.ml") < 2 {
        let classes = node.texts("classes_strings").to_vec();
        let (no_int, no_text) =
            (node.int("default_int64", -1), Arc::from(node.text("default_string", "_Unused")));
        let places: HashMap<Arc<str>, i64> = classes.iter().cloned().zip(0..).collect();
        return Ok(Box::new(move |inputs| {
            let x = inputs.get(0)?;
            let data = match &x.data {
                Data::Text(v) => {
                    Data::I64(v.iter().map(|text| places.get(text).copied().unwrap_or(no_int)).collect())
                }
                _ => {
                    let text =
                        |&i: &i64| usize::try_from(i).ok().and_then(|i| classes.get(i)).unwrap_or(&no_text);
                    Data::Text(x.ints()?.iter().map(|i| Arc::clone(text(i))).collect())
                }
            };
            one(Tensor::new(x.shape.clone(), data))
        }));
    }
    let list = |what: &str| -> Option<Data> {
        let name = |kind: &str| format!("{what}_{kind}");
        if !node.texts(&name("strings")).is_empty() {
            Some(Data::Text(node.texts(&name("strings")).to_vec()))
        } else if !node.ints(&name("int64s")).is_empty() {
            Some(Data::I64(node.ints(&name("int64s")).to_vec()))
        } else if !node.floats(&name("floats")).is_empty() {
            Some(Data::F32(node.floats(&name("floats")).to_vec()))
        } else {
            node.tensor(&name("tensor")).map(|tensor| tensor.data.clone())
        }
    };
    let (keys, values) =
        (list("keys").context("it has no keys")?, list("values").context("it has no values")?);
    ensure!(keys.len() == values.len(), "it has {} keys and {} values", keys.len(), values.len());
    // What stands for a key that is not there is the last value.
    let given = node.tensor("default_tensor").map(|tensor| tensor.data.clone());
    let other = given.filter(|data| data.len() == 1);
    let values = match (values, other) {
        (Data::Text(mut v), other) => {
            v.push(match other {
                Some(Data::Text(other)) => Arc::clone(&other[0]),
                _ => node.text("default_string", "_Unused").into(),
            });
            Data::Text(v)
        }
        (Data::I64(mut v), other) => {
            v.push(match other {
                Some(Data::I64(other)) => other[0],
                _ => node.int("default_int64", -1),
            });
            Data::I64(v)
        }
        (Data::F32(mut v), other) => {
            v.push(match other {
                Some(Data::F32(other)) => other[0],
                _ => node.float("default_float", -0.0),
            });
            Data::F32(v)
        }
        (Data::F64(mut v), other) => {
            v.push(match other {
                Some(Data::F64(other)) => other[0],
                _ => f64::from(node.float("default_float", -0.0)),
            });
            Data::F64(v)
        }
        (other, _) => bail!("its values are {}s", other.kind()),
    };
    let none = values.len() - 1;
    let mut texts: HashMap<Arc<str>, usize> = HashMap::new();
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    // Equal numbers have equal bits here: one zero, one NaN.
    let bits = |x: f64| if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() };
    match &keys {
        Data::Text(keys) => {
            for (i, key) in keys.iter().enumerate() {
                texts.entry(Arc::clone(key)).or_insert(i);
            }
        }
        keys => {
            let tensor = Tensor::new(vec![keys.len()], keys.clone());
            for (i, key) in tensor.to_f64()?.into_iter().enumerate() {
                numbers.entry(bits(key)).or_insert(i);
            }
        }
    }
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let places: Vec<usize> = match &x.data {
            Data::Text(v) => v.iter().map(|text| texts.get(text).copied().unwrap_or(none)).collect(),
            _ => x.to_f64()?.into_iter().map(|x| numbers.get(&bits(x)).copied().unwrap_or(none)).collect(),
        };
        one(Tensor::new(x.shape.clone(), values.pick(places.into_iter())))
    }))
}

/// Columns side by side, in single precision.
pub(super) fn feature_vectorizer(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let mut parts = Vec::new();
        for i in 0..inputs.len() {
            let x = inputs.get(i)?;
            let (rows, columns) = if x.shape.len() == 1 { (x.len(), 1) } else { x.matrix() };
            parts.push(Arc::new(Tensor::f32(&[rows, columns], x.to_f32()?)));
        }
        one(super::shape::joined(&parts.iter().collect::<Vec<_>>(), 1)?)
    }))
}

/// Elements of the last axis by their places.
pub(super) fn array_feature_extractor(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let (x, places) = (inputs.get(0)?, inputs.get(1)?);
        let (rows, columns) = x.matrix();
        let places = places.ints()?;
        ensure!(
            places.iter().all(|&at| usize::try_from(at).is_ok_and(|at| at < columns)),
            "it takes a column that is not there"
        );
        let shape = match x.shape.as_slice() {
            [] | [_] => vec![1, places.len()],
            [before @ .., _] => [before, &[places.len()]].concat(),
        };
        n_elements(&shape)?;
        let taken = (0..rows).flat_map(|row| places.iter().map(move |&at| row * columns + at as usize));
        one(Tensor::new(shape, x.data.pick(taken)))
    }))
}

pub(super) fn binarizer(node: &NodeDef, _: &Outer) -> Result<Run> {
    let threshold = node.float("threshold", 0.0);
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let is = |x: f64| f64::from(u8::from(x > f64::from(threshold)));
        let values = x.to_f64()?.into_iter().map(is).collect();
        one(match &x.data {
            Data::I64(_) => {
                let values: Vec<f64> = values;
                Tensor::i64(&x.shape, values.into_iter().map(|x| x as i64).collect())
            }
            _ => Tensor::float_like(x, &x.shape, values),
        })
    }))
}
