//! Operators that make each element of those at the same place.

use anyhow::{Result, bail, ensure};

use super::proto::{self, NodeDef};
use super::step::{Outer, Run, one};
use super::tensor::{Data, Tensor, broadcast, stretched};

/// Numbers of both precisions, as the operators see them.
pub(super) trait Float: Copy {
    fn of(x: f64) -> Self;
    fn to(self) -> f64;
}

impl Float for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn to(self) -> f64 {
        f64::from(self)
    }
}

impl Float for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn to(self) -> f64 {
        self
    }
}

/// A function of one number. Single precision is worked out in double and rounded once.
fn function(node: &NodeDef) -> Result<Box<dyn Fn(f64) -> f64 + Send + Sync>> {
    let alpha = |default| f64::from(node.float("alpha", default));
    Ok(match node.op.as_str() {
        "Abs" => Box::new(f64::abs),
        "Acos" => Box::new(f64::acos),
        "Asin" => Box::new(f64::asin),
        "Atan" => Box::new(f64::atan),
        "Ceil" => Box::new(f64::ceil),
        "Cos" => Box::new(f64::cos),
        "Erf" => Box::new(erf),
        "Exp" => Box::new(super::super::exp),
        "Floor" => Box::new(f64::floor),
        "Log" => Box::new(f64::ln),
        "Neg" => Box::new(|x| -x),
        "Reciprocal" => Box::new(|x| 1.0 / x),
        "Relu" => Box::new(|x| if x > 0.0 || x.is_nan() { x } else { 0.0 }),
        "Round" => Box::new(f64::round_ties_even),
        "Sigmoid" => Box::new(super::super::sigmoid),
        "Sign" => Box::new(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        "Sin" => Box::new(f64::sin),
        "Softplus" => Box::new(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Softsign" => Box::new(|x| x / (1.0 + x.abs())),
        "Sqrt" => Box::new(f64::sqrt),
        "Swish" => {
            let alpha = alpha(1.0);
            Box::new(move |x| x * super::super::sigmoid(alpha * x))
        }
        "Tan" => Box::new(f64::tan),
        "Tanh" => Box::new(f64::tanh),
        "Mish" => Box::new(|x| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh()),
        "Gelu" if node.text("approximate", "none") == "tanh" => Box::new(|x| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }),
        "Gelu" => Box::new(|x| 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))),
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "HardSigmoid" => {
            let (alpha, beta) = (alpha(0.2), f64::from(node.float("beta", 0.5)));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "LeakyRelu" => {
            let alpha = alpha(0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "Elu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "Selu" => {
            let (alpha, gamma) = (alpha(1.673_263_2), f64::from(node.float("gamma", 1.050_701)));
            Box::new(move |x| gamma * if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        other => bail!("the operator {other} is not known"),
    })
}

/// The error function: the series of Abramowitz and Stegun (1964), 7.1.6, up to 3, and the continued fraction of 7.1.14
/// behind it; relative error below 1e-14.
fn erf(x: f64) -> f64 {
    let size = x.abs();
    if size >= 6.0 {
        return x.signum();
    }
    if size.is_nan() {
        return x;
    }
    if size < 3.0 {
        let (mut term, mut sum, mut n) = (size, size, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * size * size / (2.0 * n + 1.0);
            sum += term;
        }
        return x.signum() * 2.0 / std::f64::consts::PI.sqrt() * (-size * size).exp() * sum;
    }
    let mut fraction = 0.0;
    for n in (1..=40).rev() {
        fraction = f64::from(n) / 2.0 / (size + fraction);
    }
    x.signum() * (1.0 - (-size * size).exp() / (std::f64::consts::PI.sqrt() * (size + fraction)))
}

pub(super) fn unary(node: &NodeDef, _: &Outer) -> Result<Run> {
    let f = function(node)?;
    let op = node.op.clone();
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let data = match &x.data {
            Data::F32(v) => Data::F32(v.iter().map(|&x| f(f64::from(x)) as f32).collect()),
            Data::F64(v) => Data::F64(v.iter().map(|&x| f(x)).collect()),
            Data::I64(v) => match op.as_str() {
                "Abs" => Data::I64(v.iter().map(|x| x.wrapping_abs()).collect()),
                "Neg" => Data::I64(v.iter().map(|x| x.wrapping_neg()).collect()),
                "Sign" => Data::I64(v.iter().map(|x| x.signum()).collect()),
                "Relu" => Data::I64(v.iter().map(|&x| x.max(0)).collect()),
                _ => bail!("it takes no whole numbers"),
            },
            other => bail!("it takes no {}s", other.kind()),
        };
        one(Tensor::new(x.shape.clone(), data))
    }))
}

pub(super) fn is_nan(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let x = inputs.get(0)?;
        let data = x.to_f64()?.into_iter().map(f64::is_nan).collect();
        one(Tensor::new(x.shape.clone(), Data::Bool(data)))
    }))
}

pub(super) fn is_inf(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (positive, negative) = (node.int("detect_positive", 1) != 0, node.int("detect_negative", 1) != 0);
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let is = |x: f64| x.is_infinite() && if x > 0.0 { positive } else { negative };
        one(Tensor::new(x.shape.clone(), Data::Bool(x.to_f64()?.into_iter().map(is).collect())))
    }))
}

pub(super) fn not(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let x = inputs.get(0)?;
        let Data::Bool(v) = &x.data else { bail!("it takes no {}s", x.data.kind()) };
        one(Tensor::new(x.shape.clone(), Data::Bool(v.iter().map(|x| !x).collect())))
    }))
}

/// Pairs of elements of two tensors that are stretched to each other.
fn zip<T: Clone, U>(
    (a, a_shape): (&[T], &[usize]),
    (b, b_shape): (&[T], &[usize]),
    shape: &[usize],
    f: impl Fn(&T, &T) -> U,
) -> Vec<U> {
    if a_shape == b_shape {
        return a.iter().zip(b).map(|(a, b)| f(a, b)).collect();
    }
    if let [b] = b
        && a_shape == shape
    {
        return a.iter().map(|a| f(a, b)).collect();
    }
    if let [a] = a
        && b_shape == shape
    {
        return b.iter().map(|b| f(a, b)).collect();
    }
    // A row beside a matrix.
    if a_shape == shape && shape.ends_with(b_shape) && !b.is_empty() {
        return a
            .chunks_exact(b.len().max(1))
            .flat_map(|row| row.iter().zip(b))
            .map(|(a, b)| f(a, b))
            .collect();
    }
    let (from_a, from_b) = (stretched(a_shape, shape), stretched(b_shape, shape));
    from_a.into_iter().zip(from_b).map(|(i, j)| f(&a[i], &b[j])).collect()
}

/// A value of one kind for each kind of two tensors of the same.
fn binary<A, B, C>(a: &Tensor, b: &Tensor, single: A, double: B, whole: C) -> Result<Tensor>
where
    A: Fn(&f32, &f32) -> f32,
    B: Fn(&f64, &f64) -> f64,
    C: Fn(&i64, &i64) -> i64,
{
    let shape = broadcast(&a.shape, &b.shape)?;
    let data = match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) => Data::F32(zip((x, &a.shape), (y, &b.shape), &shape, single)),
        (Data::F64(x), Data::F64(y)) => Data::F64(zip((x, &a.shape), (y, &b.shape), &shape, double)),
        (Data::I64(x), Data::I64(y)) => Data::I64(zip((x, &a.shape), (y, &b.shape), &shape, whole)),
        (a, b) => bail!("it takes no {}s with {}s", a.kind(), b.kind()),
    };
    Ok(Tensor::new(shape, data))
}

pub(super) fn arithmetic(node: &NodeDef, outer: &Outer) -> Result<Run> {
    let op = node.op.clone();
    ensure!(
        outer.version("") >= 7 || !node.has("broadcast"),
        "broadcasting of operator set {} is not read; export with opset 7 or later",
        outer.version("")
    );
    let truncates = node.int("fmod", 0) != 0;
    Ok(Box::new(move |inputs| {
        let apply = |a: &Tensor, b: &Tensor| match op.as_str() {
            "Add" | "Sum" | "Mean" => binary(a, b, |a, b| a + b, |a, b| a + b, |a, b| a.wrapping_add(*b)),
            "Sub" => binary(a, b, |a, b| a - b, |a, b| a - b, |a, b| a.wrapping_sub(*b)),
            "Mul" => binary(a, b, |a, b| a * b, |a, b| a * b, |a, b| a.wrapping_mul(*b)),
            "Div" => binary(a, b, |a, b| a / b, |a, b| a / b, |a, b| a.checked_div(*b).unwrap_or(0)),
            "Max" => binary(a, b, |a, b| larger(*a, *b), |a, b| larger(*a, *b), |a, b| *a.max(b)),
            "Min" => binary(a, b, |a, b| -larger(-*a, -*b), |a, b| -larger(-*a, -*b), |a, b| *a.min(b)),
            "PRelu" => binary(
                a,
                b,
                |a, b| if *a < 0.0 { a * b } else { *a },
                |a, b| if *a < 0.0 { a * b } else { *a },
                |a, _| *a,
            ),
            "Mod" if truncates => {
                binary(a, b, |a, b| a % b, |a, b| a % b, |a, b| a.checked_rem(*b).unwrap_or(0))
            }
            "Mod" => {
                binary(
                    a,
                    b,
                    |a, b| a % b,
                    |a, b| a % b,
                    |a, b| {
                        // The sign of the divisor, as in Python.
                        let rest = a.checked_rem(*b).unwrap_or(0);
                        if rest != 0 && (rest < 0) != (*b < 0) { rest + b } else { rest }
                    },
                )
            }
            "Pow" => {
                // The kinds may differ; the result is of the first.
                let shape = broadcast(&a.shape, &b.shape)?;
                let (x, y) = (a.to_f64()?, b.to_f64()?);
                let power = |x: &f64, y: &f64| if *y == 2.0 { x * x } else { x.powf(*y) };
                let values = zip((&x, &a.shape), (&y, &b.shape), &shape, power);
                let data = match &a.data {
                    Data::F32(_) => Data::F32(values.into_iter().map(|x| x as f32).collect()),
                    Data::I64(_) => Data::I64(values.into_iter().map(|x| x as i64).collect()),
                    _ => Data::F64(values),
                };
                Ok(Tensor::new(shape, data))
            }
            other => bail!("the operator {other} is not known"),
        };
        if inputs.len() == 2 {
            let mut made = apply(inputs.get(0)?, inputs.get(1)?)?;
            if op == "Mean" {
                divide(&mut made, 2.0);
            }
            return one(made);
        }
        // Sums and extremes of any number of tensors.
        ensure!(
            ["Sum", "Max", "Min", "Mean"].contains(&op.as_str()) && inputs.len() > 0,
            "it has {} inputs",
            inputs.len()
        );
        let mut made = Tensor::clone(inputs.get(0)?);
        for i in 1..inputs.len() {
            made = apply(&made, inputs.get(i)?)?;
        }
        if op == "Mean" {
            divide(&mut made, inputs.len() as f64);
        }
        one(made)
    }))
}

fn divide(tensor: &mut Tensor, by: f64) {
    match &mut tensor.data {
        Data::F32(v) => v.iter_mut().for_each(|x| *x /= by as f32),
        Data::F64(v) => v.iter_mut().for_each(|x| *x /= by),
        _ => {}
    }
}

/// The larger; no number if either is none.
fn larger<T: Float + PartialOrd>(a: T, b: T) -> T {
    if a.to().is_nan() || a > b { a } else { b }
}

pub(super) fn compare(node: &NodeDef, _: &Outer) -> Result<Run> {
    let op = node.op.clone();
    Ok(Box::new(move |inputs| {
        let (a, b) = (inputs.get(0)?, inputs.get(1)?);
        let shape = broadcast(&a.shape, &b.shape)?;
        fn by<T: PartialOrd>(op: &str, a: &T, b: &T) -> bool {
            match op {
                "Equal" => a == b,
                "Greater" => a > b,
                "GreaterOrEqual" => a >= b,
                "Less" => a < b,
                _ => a <= b,
            }
        }
        let op = op.as_str();
        let values = match (&a.data, &b.data) {
            (Data::Bool(x), Data::Bool(y)) => {
                let f = |a: &bool, b: &bool| match op {
                    "And" => *a && *b,
                    "Or" => *a || *b,
                    "Xor" => a != b,
                    _ => by(op, a, b),
                };
                zip((x, &a.shape), (y, &b.shape), &shape, f)
            }
            _ if ["And", "Or", "Xor"].contains(&op) => bail!("it takes truths alone"),
            (Data::F32(x), Data::F32(y)) => zip((x, &a.shape), (y, &b.shape), &shape, |a, b| by(op, a, b)),
            (Data::F64(x), Data::F64(y)) => zip((x, &a.shape), (y, &b.shape), &shape, |a, b| by(op, a, b)),
            (Data::I64(x), Data::I64(y)) => zip((x, &a.shape), (y, &b.shape), &shape, |a, b| by(op, a, b)),
            (Data::Text(x), Data::Text(y)) => zip((x, &a.shape), (y, &b.shape), &shape, |a, b| by(op, a, b)),
            (a, b) => bail!("it takes no {}s with {}s", a.kind(), b.kind()),
        };
        one(Tensor::new(shape, Data::Bool(values)))
    }))
}

pub(super) fn choose(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let (condition, a, b) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
        let Data::Bool(choices) = &condition.data else {
            bail!("its condition is made of {}s", condition.data.kind())
        };
        let shape = broadcast(&broadcast(&condition.shape, &a.shape)?, &b.shape)?;
        let places = stretched(&condition.shape, &shape);
        let (from_a, from_b) = (stretched(&a.shape, &shape), stretched(&b.shape, &shape));
        fn pick<T: Clone>(choices: impl Iterator<Item = (bool, usize, usize)>, a: &[T], b: &[T]) -> Vec<T> {
            choices.map(|(first, i, j)| if first { a[i].clone() } else { b[j].clone() }).collect()
        }
        let choices = places.into_iter().zip(from_a).zip(from_b).map(|((at, i), j)| (choices[at], i, j));
        let data = match (&a.data, &b.data) {
            (Data::F32(a), Data::F32(b)) => Data::F32(pick(choices, a, b)),
            (Data::F64(a), Data::F64(b)) => Data::F64(pick(choices, a, b)),
            (Data::I64(a), Data::I64(b)) => Data::I64(pick(choices, a, b)),
            (Data::Bool(a), Data::Bool(b)) => Data::Bool(pick(choices, a, b)),
            (Data::Text(a), Data::Text(b)) => Data::Text(pick(choices, a, b)),
            (a, b) => bail!("it takes no {}s with {}s", a.kind(), b.kind()),
        };
        one(Tensor::new(shape, data))
    }))
}

/// A tensor of another kind of elements, given by its number in `TensorProto.DataType`.
fn converted(x: &Tensor, to: u64) -> Result<Tensor> {
    let number = |text: &str| match text.trim() {
        "INF" | "+INF" => Ok(f64::INFINITY),
        "-INF" => Ok(f64::NEG_INFINITY),
        text => match text.parse::<f64>() {
            Ok(number) => Ok(number),
            Err(_) => bail!("{text:?} is no number"),
        },
    };
    let numbers = || match &x.data {
        Data::Text(v) => v.iter().map(|text| number(text)).collect(),
        _ => x.to_f64(),
    };
    let data = match (to, &x.data) {
        (proto::FLOAT, Data::Text(_)) => Data::F32(numbers()?.into_iter().map(|x| x as f32).collect()),
        (proto::FLOAT, _) => Data::F32(x.to_f32()?),
        (proto::DOUBLE, _) => Data::F64(numbers()?),
        (proto::BOOL, _) => Data::Bool(numbers()?.into_iter().map(|x| x != 0.0).collect()),
        (proto::STRING, Data::Text(v)) => Data::Text(v.clone()),
        (proto::STRING, Data::I64(v)) => Data::Text(v.iter().map(|x| x.to_string().into()).collect()),
        (proto::STRING, Data::F32(v)) => Data::Text(v.iter().map(|x| x.to_string().into()).collect()),
        (to, Data::I64(v)) if proto::INTS.contains(&to) => Data::I64(v.clone()),
        (to, _) if proto::INTS.contains(&to) => Data::I64(numbers()?.into_iter().map(|x| x as i64).collect()),
        (to, data) => bail!("{}s are not made into type {to} of onnx.proto", data.kind()),
    };
    Ok(Tensor::new(x.shape.clone(), data))
}

pub(super) fn cast(node: &NodeDef, _: &Outer) -> Result<Run> {
    let to = node.int("to", 0) as u64;
    Ok(Box::new(move |inputs| one(converted(inputs.get(0)?, to)?)))
}

pub(super) fn cast_like(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| {
        let to = match inputs.get(1)?.data {
            Data::F32(_) => proto::FLOAT,
            Data::F64(_) => proto::DOUBLE,
            Data::I64(_) => 7,
            Data::Bool(_) => proto::BOOL,
            Data::Text(_) => proto::STRING,
        };
        one(converted(inputs.get(0)?, to)?)
    }))
}

pub(super) fn clip(node: &NodeDef, _: &Outer) -> Result<Run> {
    let of_attribute = |name| node.has(name).then(|| f64::from(node.float(name, 0.0)));
    let (low, high) = (of_attribute("min"), of_attribute("max"));
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let bound = |i, of_attribute: Option<f64>| -> Result<Option<f64>> {
            match inputs.optional(i) {
                Some(bound) => Ok(bound.to_f64()?.first().copied()),
                None => Ok(of_attribute),
            }
        };
        let low = bound(1, low)?.unwrap_or(f64::NEG_INFINITY);
        let high = bound(2, high)?.unwrap_or(f64::INFINITY);
        fn clip<T: Float + PartialOrd>(v: &[T], low: f64, high: f64) -> Vec<T> {
            let (low, high) = (T::of(low), T::of(high));
            v.iter()
                .map(|&x| {
                    if x < low {
                        low
                    } else if x > high {
                        high
                    } else {
                        x
                    }
                })
                .collect()
        }
        let data = match &x.data {
            Data::F32(v) => Data::F32(clip(v, low, high)),
            Data::F64(v) => Data::F64(clip(v, low, high)),
            Data::I64(v) => Data::I64(v.iter().map(|&x| (x as f64).max(low).min(high) as i64).collect()),
            other => bail!("it takes no {}s", other.kind()),
        };
        one(Tensor::new(x.shape.clone(), data))
    }))
}
