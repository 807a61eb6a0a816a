//! Operators that make one of many: sums and extremes along axes, places of extremes, and softmax.

use std::cmp::Ordering;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::proto::NodeDef;
use super::shape::axes;
use super::step::{Outer, Run, one};
use super::tensor::{Data, Tensor, around, axis};

pub(super) fn reduce(node: &NodeDef, _: &Outer) -> Result<Run> {
    let op = node.op.clone();
    let of_attribute = node.ints("axes").to_vec();
    let keeps = node.int("keepdims", 1) != 0;
    let none_is_none = node.int("noop_with_empty_axes", 0) != 0;
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let rank = x.shape.len();
        let given = axes(inputs, 1, &of_attribute)?.filter(|axes| !axes.is_empty());
        if given.is_none() && none_is_none {
            return Ok(vec![Arc::clone(x)]);
        }
        let mut gone: Vec<usize> = match given {
            Some(axes) => axes.into_iter().map(|at| axis(at, rank)).collect::<Result<_>>()?,
            None => (0..rank).collect(),
        };
        gone.sort_unstable();
        gone.dedup();
        let shape: Vec<usize> = (0..rank).map(|i| if gone.contains(&i) { 1 } else { x.shape[i] }).collect();
        let values = x.to_f64()?;
        let n: usize = shape.iter().product();
        let n_each = gone.iter().map(|&at| x.shape[at]).product::<usize>();
        // The last axes: every result is made of neighbours.
        let is_last = gone.iter().rev().enumerate().all(|(i, &at)| at + i + 1 == rank);
        let made: Vec<f64> = if is_last && n_each > 0 {
            values.chunks_exact(n_each.max(1)).map(|part| fold(&op, part)).collect()
        } else {
            let mut parts: Vec<Vec<f64>> = vec![Vec::with_capacity(n_each); n];
            for (value, at) in values.iter().zip(super::tensor::stretched(&shape, &x.shape)) {
                parts[at].push(*value);
            }
            parts.iter().map(|part| fold(&op, part)).collect()
        };
        let shape: Vec<usize> =
            if keeps { shape } else { (0..rank).filter(|i| !gone.contains(i)).map(|i| shape[i]).collect() };
        one(match x.data {
            Data::I64(_) => Tensor::i64(&shape, made.into_iter().map(|x| x as i64).collect()),
            _ => Tensor::float_like(x, &shape, made),
        })
    }))
}

/// Many numbers to one.
fn fold(op: &str, part: &[f64]) -> f64 {
    let values = || part.iter().copied();
    let extreme = |start: f64, f: fn(f64, f64) -> f64| {
        if part.iter().any(|x| x.is_nan()) { f64::NAN } else { values().fold(start, f) }
    };
    match op {
        "ReduceSum" => values().sum(),
        "ReduceMean" => values().sum::<f64>() / part.len() as f64,
        "ReduceMax" => extreme(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => extreme(f64::INFINITY, f64::min),
        "ReduceProd" => values().product(),
        "ReduceL1" => values().map(f64::abs).sum(),
        "ReduceL2" => values().map(|x| x * x).sum::<f64>().sqrt(),
        "ReduceSumSquare" => values().map(|x| x * x).sum(),
        "ReduceLogSum" => values().sum::<f64>().ln(),
        _ => {
            let largest = extreme(f64::NEG_INFINITY, f64::max);
            let shift = if largest.is_finite() { largest } else { 0.0 };
            shift + values().map(|x| (x - shift).exp()).sum::<f64>().ln()
        }
    }
}

pub(super) fn arg(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (along, keeps) = (node.int("axis", 0), node.int("keepdims", 1) != 0);
    let (is_max, last) = (node.op == "ArgMax", node.int("select_last_index", 0) != 0);
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let along = axis(along, x.shape.len())?;
        let (before, n, behind) = around(&x.shape, along);
        ensure!(n > 0, "there is nothing to choose from");
        let values = x.to_f64()?;
        let mut made = Vec::with_capacity(before * behind);
        for i in 0..before {
            for j in 0..behind {
                let value = |k: usize| values[(i * n + k) * behind + j];
                let mut best = 0;
                for k in 1..n {
                    let (a, b) = if is_max { (value(k), value(best)) } else { (value(best), value(k)) };
                    if a > b || (last && a == b) {
                        best = k;
                    }
                }
                made.push(best as i64);
            }
        }
        let mut shape = x.shape.clone();
        if keeps {
            shape[along] = 1;
        } else {
            shape.remove(along);
        }
        one(Tensor::i64(&shape, made))
    }))
}

/// The k largest or smallest along an axis, in order, and their places; the first of equals comes first.
pub(super) fn top_k(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (along, of_attribute) = (node.int("axis", -1), node.int("k", 0));
    let largest = node.int("largest", 1) != 0;
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let k = match inputs.optional(1) {
            Some(k) => *k.ints()?.first().context("it has no k")?,
            None => of_attribute,
        };
        let along = axis(along, x.shape.len())?;
        let (before, n, behind) = around(&x.shape, along);
        let k = usize::try_from(k).ok().filter(|&k| k <= n).context("k is larger than the axis")?;
        let values = x.to_f64()?;
        let mut shape = x.shape.clone();
        shape[along] = k;
        let mut places = vec![0; before * k * behind];
        let mut order: Vec<usize> = Vec::with_capacity(n);
        for i in 0..before {
            for j in 0..behind {
                let value = |at: usize| values[(i * n + at) * behind + j];
                let compare = |&a: &usize, &b: &usize| -> Ordering {
                    let (first, second) = if largest { (value(b), value(a)) } else { (value(a), value(b)) };
                    first.total_cmp(&second).then(a.cmp(&b))
                };
                order.clear();
                order.extend(0..n);
                if k > 0 && k < n {
                    order.select_nth_unstable_by(k - 1, compare);
                }
                order.truncate(k);
                order.sort_unstable_by(compare);
                for (rank, &at) in order.iter().enumerate() {
                    places[(i * k + rank) * behind + j] = at;
                }
            }
        }
        let taken = places.iter().enumerate().map(|(at, &place)| {
            let (i, j) = (at / (k * behind).max(1), at % behind);
            (i * n + place) * behind + j
        });
        let data = x.data.pick(taken);
        let places = Tensor::i64(&shape, places.iter().map(|&at| at as i64).collect());
        Ok(vec![Arc::new(Tensor::new(shape, data)), Arc::new(places)])
    }))
}

pub(super) fn softmax(node: &NodeDef, outer: &Outer) -> Result<Run> {
    // Before version 13 all axes from this one on were one.
    let is_flat = outer.version("") < 13;
    let along = node.int("axis", if is_flat { 1 } else { -1 });
    let is_log = node.op == "LogSoftmax";
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let at = axis(along, x.shape.len())?;
        let (before, n, behind) = if is_flat {
            (x.shape[..at].iter().product(), x.shape[at..].iter().product(), 1)
        } else {
            around(&x.shape, at)
        };
        let mut values = x.to_f64()?;
        let mut part = vec![0.0; n];
        for i in 0..before {
            for j in 0..behind {
                let place = |k: usize| (i * n + k) * behind + j;
                part.iter_mut().enumerate().for_each(|(k, x)| *x = values[place(k)]);
                let log_sum = super::super::softmax(&mut part);
                for (k, p) in part.iter().enumerate() {
                    values[place(k)] = if is_log { values[place(k)] - log_sum } else { *p };
                }
            }
        }
        one(Tensor::float_like(x, &x.shape, values))
    }))
}

pub(super) fn cumulative_sum(node: &NodeDef, _: &Outer) -> Result<Run> {
    let exclusive = node.int("exclusive", 0) != 0;
    ensure!(node.int("reverse", 0) == 0, "sums from the end are not read");
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let along = *inputs.get(1)?.ints()?.first().context("it has no axis")?;
        let (before, n, behind) = around(&x.shape, axis(along, x.shape.len())?);
        let mut values = x.to_f64()?;
        for i in 0..before {
            for j in 0..behind {
                let mut sum = 0.0;
                for k in 0..n {
                    let value = &mut values[(i * n + k) * behind + j];
                    let before = sum;
                    sum += *value;
                    *value = if exclusive { before } else { sum };
                }
            }
        }
        one(match x.data {
            Data::I64(_) => Tensor::i64(&x.shape, values.into_iter().map(|x| x as i64).collect()),
            _ => Tensor::float_like(x, &x.shape, values),
        })
    }))
}
