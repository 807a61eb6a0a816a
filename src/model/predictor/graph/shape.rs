//! Operators that move elements about without working them out.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::proto::NodeDef;
use super::step::{Inputs, Outer, Run, one};
use super::tensor::{Data, Tensor, Value, around, axis, broadcast, n_elements, stretched, walk};

pub(super) fn identity(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| Ok(vec![Arc::clone(inputs.get(0)?)])))
}

pub(super) fn constant(node: &NodeDef, _: &Outer) -> Result<Run> {
    let value = if let Some(tensor) = node.tensor("value") {
        Arc::clone(tensor)
    } else if node.has("value_float") {
        Arc::new(Tensor::f32(&[], vec![node.float("value_float", 0.0)]))
    } else if node.has("value_int") {
        Arc::new(Tensor::i64(&[], vec![node.int("value_int", 0)]))
    } else if node.has("value_floats") {
        let values = node.floats("value_floats").to_vec();
        Arc::new(Tensor::f32(&[values.len()], values))
    } else if node.has("value_ints") {
        let values = node.ints("value_ints").to_vec();
        Arc::new(Tensor::i64(&[values.len()], values))
    } else if node.has("value_string") {
        Arc::new(Tensor::new(Vec::new(), Data::Text(vec![node.text("value_string", "").into()])))
    } else if node.has("value_strings") {
        let values = node.texts("value_strings").to_vec();
        Arc::new(Tensor::new(vec![values.len()], Data::Text(values)))
    } else {
        bail!("it has no value that is read")
    };
    Ok(Box::new(move |_| Ok(vec![Arc::clone(&value)])))
}

/// A shape that is given as a tensor.
fn shape_of(value: &Tensor) -> Result<Vec<usize>> {
    let dims = value.ints()?.iter().map(|&dim| usize::try_from(dim));
    let shape: Vec<usize> = dims.collect::<Result<_, _>>().context("a dimension is negative")?;
    n_elements(&shape)?;
    Ok(shape)
}

pub(super) fn constant_of_shape(node: &NodeDef, _: &Outer) -> Result<Run> {
    let value = node.tensor("value").cloned().unwrap_or_else(|| Arc::new(Tensor::f32(&[1], vec![0.0])));
    ensure!(value.len() == 1, "its value has {} elements", value.len());
    Ok(Box::new(move |inputs| {
        let shape = shape_of(inputs.get(0)?)?;
        let n = n_elements(&shape)?;
        one(Tensor::new(shape, value.data.pick(std::iter::repeat_n(0, n))))
    }))
}

pub(super) fn shape(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (start, end) = (node.int("start", 0), node.has("end").then(|| node.int("end", 0)));
    Ok(Box::new(move |inputs| {
        let shape = &inputs.get(0)?.shape;
        let rank = shape.len() as i64;
        let at = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
        let dims = shape.get(at(start)..end.map_or(shape.len(), at)).unwrap_or(&[]);
        one(Tensor::i64(&[dims.len()], dims.iter().map(|&dim| dim as i64).collect()))
    }))
}

pub(super) fn size(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| one(Tensor::i64(&[], vec![inputs.get(0)?.len() as i64]))))
}

pub(super) fn range(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let bound = |i: usize| -> Result<f64> {
            inputs.get(i)?.to_f64()?.first().copied().context("a bound of it has no value")
        };
        let (start, limit, step) = (bound(0)?, bound(1)?, bound(2)?);
        let n = ((limit - start) / step).ceil().max(0.0);
        let n = n_elements(&[if n.is_finite() { n as usize } else { usize::MAX }])?;
        let numbers = (0..n).map(|i| start + i as f64 * step);
        one(match inputs.get(0)?.data {
            Data::I64(_) => Tensor::i64(&[n], numbers.map(|x| x as i64).collect()),
            _ => Tensor::float_like(inputs.get(0)?, &[n], numbers.collect()),
        })
    }))
}

/// Tensors one behind the other along an axis.
pub(super) fn joined(parts: &[&Value], along: usize) -> Result<Tensor> {
    let first = parts.first().context("it has no inputs")?;
    let mut shape = first.shape.clone();
    shape[along] = 0;
    for part in parts {
        ensure!(
            part.shape.len() == shape.len()
                && (0..shape.len()).all(|i| i == along || part.shape[i] == shape[i])
                && std::mem::discriminant(&part.data) == std::mem::discriminant(&first.data),
            "its inputs of shapes {:?} and {:?} ({} and {}) do not fit each other",
            first.shape,
            part.shape,
            first.data.kind(),
            part.data.kind()
        );
        shape[along] += part.shape[along];
    }
    let n = n_elements(&shape)?;
    let (before, _, behind) = around(&shape, along);
    macro_rules! join {
        ($kind:ident) => {{
            let mut all = Vec::with_capacity(n);
            for i in 0..before {
                for part in parts {
                    let Data::$kind(v) = &part.data else { continue };
                    let width = part.shape[along] * behind;
                    all.extend_from_slice(&v[i * width..(i + 1) * width]);
                }
            }
            Data::$kind(all)
        }};
    }
    let data = match first.data {
        Data::F32(_) => join!(F32),
        Data::F64(_) => join!(F64),
        Data::I64(_) => join!(I64),
        Data::Bool(_) => join!(Bool),
        Data::Text(_) => join!(Text),
    };
    Ok(Tensor::new(shape, data))
}

pub(super) fn concat(node: &NodeDef, _: &Outer) -> Result<Run> {
    let along = node.int("axis", 1);
    Ok(Box::new(move |inputs| {
        let parts: Vec<&Value> = (0..inputs.len()).map(|i| inputs.get(i)).collect::<Result<_>>()?;
        let rank = parts.first().map_or(0, |part| part.shape.len());
        one(joined(&parts, axis(along, rank)?)?)
    }))
}

pub(super) fn reshape(node: &NodeDef, _: &Outer) -> Result<Run> {
    let of_attribute = node.ints("shape").to_vec();
    let keeps_zero = node.int("allowzero", 0) != 0;
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let wanted = match inputs.optional(1) {
            Some(shape) => shape.ints()?,
            None => &of_attribute,
        };
        let mut shape = Vec::with_capacity(wanted.len());
        let mut open = None;
        for (i, &dim) in wanted.iter().enumerate() {
            shape.push(match dim {
                -1 => {
                    ensure!(open.replace(i).is_none(), "two dimensions are left open");
                    1
                }
                0 if !keeps_zero => *x.shape.get(i).context("there is no such dimension to keep")?,
                dim => usize::try_from(dim).context("a dimension is negative")?,
            });
        }
        if let Some(open) = open {
            shape[open] = x.len().checked_div(n_elements(&shape)?).unwrap_or(0);
        }
        one(x.reshaped(shape)?)
    }))
}

pub(super) fn flatten(node: &NodeDef, _: &Outer) -> Result<Run> {
    let at = node.int("axis", 1);
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let rank = x.shape.len();
        let at = if at == rank as i64 { rank } else { axis(at, rank)? };
        let (before, behind) = x.shape.split_at(at);
        one(x.reshaped(vec![before.iter().product(), behind.iter().product()])?)
    }))
}

/// Axes that are an attribute in older versions and an input in newer ones.
pub(super) fn axes(inputs: &Inputs, input: usize, of_attribute: &[i64]) -> Result<Option<Vec<i64>>> {
    Ok(match inputs.optional(input) {
        Some(axes) => Some(axes.ints()?.to_vec()),
        None if of_attribute.is_empty() => None,
        None => Some(of_attribute.to_vec()),
    })
}

pub(super) fn squeeze(node: &NodeDef, _: &Outer) -> Result<Run> {
    let of_attribute = node.ints("axes").to_vec();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let rank = x.shape.len();
        let gone: Vec<usize> = match axes(inputs, 1, &of_attribute)? {
            Some(axes) => axes.into_iter().map(|at| axis(at, rank)).collect::<Result<_>>()?,
            None => (0..rank).filter(|&i| x.shape[i] == 1).collect(),
        };
        let kept = x.shape.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, &dim)| dim);
        one(x.reshaped(kept.collect())?)
    }))
}

pub(super) fn unsqueeze(node: &NodeDef, _: &Outer) -> Result<Run> {
    let of_attribute = node.ints("axes").to_vec();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let axes = axes(inputs, 1, &of_attribute)?.unwrap_or_default();
        let rank = x.shape.len() + axes.len();
        let new: Vec<usize> = axes.into_iter().map(|at| axis(at, rank)).collect::<Result<_>>()?;
        let mut old = x.shape.iter().copied();
        let shape = (0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().unwrap_or(1) });
        one(x.reshaped(shape.collect())?)
    }))
}

pub(super) fn transpose(node: &NodeDef, _: &Outer) -> Result<Run> {
    let order = node.ints("perm").to_vec();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let rank = x.shape.len();
        let order: Vec<usize> = match order.as_slice() {
            [] => (0..rank).rev().collect(),
            order => order.iter().map(|&at| axis(at, rank)).collect::<Result<_>>()?,
        };
        let mut seen = order.clone();
        seen.sort_unstable();
        ensure!(seen.iter().copied().eq(0..rank), "its axes {order:?} are not those of {rank} dimensions");
        let stride = |at: usize| x.shape[at + 1..].iter().product::<usize>();
        let strides: Vec<usize> = order.iter().map(|&at| stride(at)).collect();
        let shape: Vec<usize> = order.iter().map(|&at| x.shape[at]).collect();
        let data = x.data.pick(walk(&shape, &strides).into_iter());
        one(Tensor::new(shape, data))
    }))
}

/// An index that counts from the end if it is negative.
fn index(i: i64, n: usize) -> Result<usize> {
    let at = if i < 0 { i + n as i64 } else { i };
    ensure!((0..n as i64).contains(&at), "there is no element {i} among {n}");
    Ok(at as usize)
}

pub(super) fn gather(node: &NodeDef, _: &Outer) -> Result<Run> {
    let along = node.int("axis", 0);
    Ok(Box::new(move |inputs| {
        let (x, places) = (inputs.get(0)?, inputs.get(1)?);
        let along = axis(along, x.shape.len())?;
        let (before, n, behind) = around(&x.shape, along);
        let taken: Vec<usize> = places.ints()?.iter().map(|&i| index(i, n)).collect::<Result<_>>()?;
        let shape = [&x.shape[..along], &places.shape, &x.shape[along + 1..]].concat();
        n_elements(&shape)?;
        let places = (0..before).flat_map(|i| {
            taken.iter().flat_map(move |at| (0..behind).map(move |j| (i * n + at) * behind + j))
        });
        one(Tensor::new(shape, x.data.pick(places)))
    }))
}

pub(super) fn gather_elements(node: &NodeDef, _: &Outer) -> Result<Run> {
    let along = node.int("axis", 0);
    Ok(Box::new(move |inputs| {
        let (x, places) = (inputs.get(0)?, inputs.get(1)?);
        let along = axis(along, x.shape.len())?;
        ensure!(
            places.shape.len() == x.shape.len()
                && (0..x.shape.len()).all(|i| i == along || places.shape[i] <= x.shape[i]),
            "its indices of shape {:?} do not fit {:?}",
            places.shape,
            x.shape
        );
        let stride = |at: usize| x.shape[at + 1..].iter().product::<usize>();
        let strides: Vec<usize> =
            (0..x.shape.len()).map(|at| if at == along { 0 } else { stride(at) }).collect();
        let taken = walk(&places.shape, &strides).into_iter().zip(places.ints()?);
        let taken: Vec<usize> = taken
            .map(|(place, &i)| Ok(place + index(i, x.shape[along])? * stride(along)))
            .collect::<Result<_>>()?;
        one(Tensor::new(places.shape.clone(), x.data.pick(taken.into_iter())))
    }))
}

pub(super) fn slice(node: &NodeDef, _: &Outer) -> Result<Run> {
    let attributes = ["starts", "ends", "axes"].map(|name| node.ints(name).to_vec());
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let given = |i: usize| axes(inputs, i, attributes.get(i - 1).map_or(&[], Vec::as_slice));
        let (starts, ends) = (given(1)?.unwrap_or_default(), given(2)?.unwrap_or_default());
        let along = given(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = match inputs.optional(4) {
            Some(steps) => steps.ints()?.to_vec(),
            None => vec![1; starts.len()],
        };
        ensure!([ends.len(), along.len(), steps.len()] == [starts.len(); 3], "its bounds differ in number");
        let mut made = Tensor::clone(x);
        for (((start, end), along), step) in starts.into_iter().zip(ends).zip(along).zip(steps) {
            let along = axis(along, made.shape.len())?;
            let (before, n, behind) = around(&made.shape, along);
            ensure!(step != 0, "a step is 0");
            let n_signed = n as i64;
            let at = |i: i64| if i < 0 { i.saturating_add(n_signed) } else { i };
            let (low, high) = if step > 0 { (0, n_signed) } else { (-1, n_signed - 1) };
            let (start, end) = (at(start).clamp(low.max(0), high.max(0)), at(end).clamp(low, high));
            let end = if step < 0 && end == n_signed { -1 } else { end };
            let mut taken = Vec::new();
            let mut i = start;
            while (step > 0 && i < end) || (step < 0 && i > end && i >= 0 && i < n_signed) {
                taken.push(i as usize);
                i = i.saturating_add(step);
            }
            let mut shape = made.shape.clone();
            shape[along] = taken.len();
            let places = (0..before).flat_map(|b| {
                taken.iter().flat_map(move |at| (0..behind).map(move |j| (b * n + at) * behind + j))
            });
            let data = made.data.pick(places);
            made = Tensor::new(shape, data);
        }
        one(made)
    }))
}

pub(super) fn split(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (along, of_attribute) = (node.int("axis", 0), node.ints("split").to_vec());
    let n_outputs = node.outputs.len();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let along = axis(along, x.shape.len())?;
        let (before, n, behind) = around(&x.shape, along);
        let sizes: Vec<usize> = match axes(inputs, 1, &of_attribute)? {
            Some(sizes) => sizes.into_iter().map(usize::try_from).collect::<Result<_, _>>()?,
            None => {
                let each = n.div_ceil(n_outputs.max(1));
                (0..n_outputs).map(|i| each.min(n.saturating_sub(i * each))).collect()
            }
        };
        let total = sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size));
        ensure!(total == Some(n), "its parts {sizes:?} do not add up to {n}");
        let mut first = 0;
        let parts = sizes.into_iter().map(|size| {
            let from = first;
            first += size;
            let places = (0..before)
                .flat_map(|b| (from * behind..(from + size) * behind).map(move |j| b * n * behind + j));
            let mut shape = x.shape.clone();
            shape[along] = size;
            Arc::new(Tensor::new(shape, x.data.pick(places)))
        });
        Ok(parts.collect())
    }))
}

pub(super) fn expand(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let x = inputs.get(0)?;
        let shape = broadcast(&x.shape, &shape_of(inputs.get(1)?)?)?;
        let places = stretched(&x.shape, &shape);
        one(Tensor::new(shape, x.data.pick(places.into_iter())))
    }))
}

pub(super) fn tile(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let x = inputs.get(0)?;
        let times = shape_of(inputs.get(1)?)?;
        ensure!(times.len() == x.shape.len(), "it repeats other dimensions than there are");
        let sizes = x.shape.iter().zip(&times).map(|(dim, times)| dim.checked_mul(*times));
        let shape: Vec<usize> = sizes.collect::<Option<_>>().context("the tensor is too large")?;
        n_elements(&shape)?;
        let mut places = vec![0];
        for (&dim, &long) in x.shape.iter().zip(&shape) {
            places = places.into_iter().flat_map(|at| (0..long).map(move |i| at * dim + i % dim)).collect();
        }
        one(Tensor::new(shape, x.data.pick(places.into_iter())))
    }))
}

pub(super) fn pad(node: &NodeDef, _: &Outer) -> Result<Run> {
    let mode = node.text("mode", "constant");
    ensure!(mode == "constant", "it pads by {mode:?}; constant is known");
    let (of_attribute, fill) = (node.ints("pads").to_vec(), node.float("value", 0.0));
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let rank = x.shape.len();
        let pads = axes(inputs, 1, &of_attribute)?.unwrap_or_default();
        let along: Vec<usize> = match inputs.optional(3) {
            Some(axes) => axes.ints()?.iter().map(|&at| axis(at, rank)).collect::<Result<_>>()?,
            None => (0..rank).collect(),
        };
        ensure!(pads.len() == 2 * along.len(), "it has {} pads for {} axes", pads.len(), along.len());
        let (mut before, mut shape) = (vec![0_i64; rank], x.shape.clone());
        for (i, &at) in along.iter().enumerate() {
            before[at] = pads[i];
            let dim = (shape[at] as i64)
                .checked_add(pads[i])
                .and_then(|dim| dim.checked_add(pads[along.len() + i]));
            shape[at] = dim
                .and_then(|dim| usize::try_from(dim).ok())
                .context("a padded dimension is out of range")?;
        }
        let n = n_elements(&shape)?;
        // The place of each element in the input; none of the padding.
        let mut places = vec![Some(0_usize)];
        for (at, &long) in shape.iter().enumerate() {
            let dim = x.shape[at];
            places = places
                .into_iter()
                .flat_map(|place| {
                    let first = before[at];
                    (0..long as i64).map(move |i| {
                        let i = usize::try_from(i - first).ok().filter(|&i| i < dim)?;
                        Some(place? * dim + i)
                    })
                })
                .collect();
        }
        debug_assert_eq!(places.len(), n);
        let of_input = inputs.optional(2);
        macro_rules! fill {
            ($v:expr, $fill:expr) => {
                places.iter().map(|place| place.map_or($fill, |at| $v[at])).collect()
            };
        }
        let number = match of_input {
            Some(value) if !matches!(value.data, Data::Text(_)) => {
                value.to_f64()?.first().copied().unwrap_or(0.0)
            }
            _ => f64::from(fill),
        };
        let data = match &x.data {
            Data::F32(v) => Data::F32(fill!(v, number as f32)),
            Data::F64(v) => Data::F64(fill!(v, number)),
            Data::I64(v) => Data::I64(fill!(v, number as i64)),
            other => bail!("it takes no {}s", other.kind()),
        };
        one(Tensor::new(shape, data))
    }))
}
