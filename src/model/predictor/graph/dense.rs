//! Products of matrices, convolutions, and what stands between them in networks.

use anyhow::{Context, Result, bail, ensure};

use super::elementwise::Float;
use super::proto::NodeDef;
use super::step::{Budget, Outer, Run, one};
use super::tensor::{Data, Tensor, broadcast, n_elements, stretched};

/// Rows × inner, times inner × columns, added to `out`.
fn multiply<T>(a: &[T], b: &[T], inner: usize, columns: usize, out: &mut [T])
where
    T: Copy + std::ops::Mul<Output = T> + std::ops::Add<Output = T>,
{
    const STEP: usize = 4;
    if inner == 0 || columns == 0 {
        return;
    }
    if columns == 1 {
        for (row, out) in a.chunks_exact(inner.max(1)).zip(out) {
            for (&x, &w) in row.iter().zip(b) {
                *out = *out + x * w;
            }
        }
        return;
    }
    for (row, out) in a.chunks_exact(inner.max(1)).zip(out.chunks_exact_mut(columns.max(1))) {
        let (steps, rest) = row.as_chunks::<STEP>();
        // Several inputs in one pass over the columns, which are then loaded and stored less often.
        for (x, w) in steps.iter().zip(b.chunks_exact((STEP * columns).max(1))) {
            let (w0, w) = w.split_at(columns);
            let (w1, w) = w.split_at(columns);
            let (w2, w3) = w.split_at(columns);
            for ((((out, &w0), &w1), &w2), &w3) in out.iter_mut().zip(w0).zip(w1).zip(w2).zip(w3) {
                *out = *out + x[0] * w0 + x[1] * w1 + x[2] * w2 + x[3] * w3;
            }
        }
        for (&x, w) in rest.iter().zip(b[steps.len() * STEP * columns..].chunks_exact(columns.max(1))) {
            out.iter_mut().zip(w).for_each(|(out, &w)| *out = *out + x * w);
        }
    }
}

pub(super) fn mat_mul(_: &NodeDef, _: &Outer) -> Result<Run> {
    Ok(Box::new(|inputs| one(product(inputs.get(0)?, inputs.get(1)?, inputs.budget)?)))
}

/// The product as numpy's `matmul` has it.
fn product(a: &Tensor, b: &Tensor, budget: &Budget) -> Result<Tensor> {
    ensure!(!a.shape.is_empty() && !b.shape.is_empty(), "it multiplies numbers without a dimension");
    let mut a_shape = a.shape.clone();
    let mut b_shape = b.shape.clone();
    if a.shape.len() == 1 {
        a_shape.insert(0, 1);
    }
    if b.shape.len() == 1 {
        b_shape.push(1);
    }
    let (a_outer, a_last) = a_shape.split_at(a_shape.len() - 2);
    let (b_outer, b_last) = b_shape.split_at(b_shape.len() - 2);
    let (rows, inner, columns) = (a_last[0], a_last[1], b_last[1]);
    ensure!(inner == b_last[0], "matrices of shapes {:?} and {:?} do not fit each other", a.shape, b.shape);
    let outer = broadcast(a_outer, b_outer)?;
    let full = [&outer[..], &[rows, columns]].concat();
    let n = n_elements(&full)?;
    budget.spend(n.saturating_mul(inner))?;
    let places = stretched(a_outer, &outer).into_iter().zip(stretched(b_outer, &outer));
    macro_rules! multiply {
        ($a:expr, $b:expr, $zero:expr) => {{
            let mut out = vec![$zero; n];
            for (out, (i, j)) in out.chunks_exact_mut((rows * columns).max(1)).zip(places) {
                let a = &$a[i * rows * inner..(i + 1) * rows * inner];
                let b = &$b[j * inner * columns..(j + 1) * inner * columns];
                multiply(a, b, inner, columns, out);
            }
            out
        }};
    }
    let data = match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => Data::F32(multiply!(a, b, 0.0)),
        (Data::F64(a), Data::F64(b)) => Data::F64(multiply!(a, b, 0.0)),
        (a, b) => bail!("it multiplies no {}s with {}s", a.kind(), b.kind()),
    };
    let mut shape = outer;
    if a.shape.len() > 1 {
        shape.push(rows);
    }
    if b.shape.len() > 1 {
        shape.push(columns);
    }
    Ok(Tensor::new(shape, data))
}

/// The transpose of a matrix.
fn transposed(x: &Tensor) -> Tensor {
    let (rows, columns) = x.matrix();
    let places = (0..columns).flat_map(|j| (0..rows).map(move |i| i * columns + j));
    Tensor::new(vec![columns, rows], x.data.pick(places))
}

pub(super) fn gemm(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    let (turn_a, turn_b) = (node.int("transA", 0) != 0, node.int("transB", 0) != 0);
    Ok(Box::new(move |inputs| {
        let (a, b) = (inputs.get(0)?, inputs.get(1)?);
        ensure!(a.shape.len() == 2 && b.shape.len() == 2, "it multiplies what are no matrices");
        let (turned_a, turned_b);
        let a = if turn_a {
            turned_a = transposed(a);
            &turned_a
        } else {
            a
        };
        let (rows, inner) = a.matrix();
        // The rows of a transposed matrix are its columns: one product of two rows after the other.
        let mut made = match (&a.data, &b.data) {
            (Data::F32(x), Data::F32(w)) if turn_b && rows == 1 && b.shape[1] == inner => {
                inputs.budget.spend(w.len())?;
                let out = w.chunks_exact(inner.max(1)).map(|w| dot(x, w)).collect();
                Tensor::f32(&[1, b.shape[0]], out)
            }
            _ => {
                let b = if turn_b {
                    turned_b = transposed(b);
                    &turned_b
                } else {
                    b
                };
                product(a, b, inputs.budget)?
            }
        };
        let added = inputs.optional(2);
        let from = added.map(|c| -> Result<_> {
            ensure!(broadcast(&c.shape, &made.shape)? == made.shape, "what it adds has shape {:?}", c.shape);
            Ok(stretched(&c.shape, &made.shape))
        });
        let from = from.transpose()?;
        match (&mut made.data, added.map(|c| &c.data)) {
            (Data::F32(v), None) => v.iter_mut().for_each(|x| *x *= alpha),
            (Data::F64(v), None) => v.iter_mut().for_each(|x| *x *= f64::from(alpha)),
            (Data::F32(v), Some(Data::F32(c))) => {
                let from = from.unwrap_or_default();
                v.iter_mut().zip(from).for_each(|(x, at)| *x = alpha * *x + beta * c[at]);
            }
            (Data::F64(v), Some(Data::F64(c))) => {
                let from = from.unwrap_or_default();
                v.iter_mut()
                    .zip(from)
                    .for_each(|(x, at)| *x = f64::from(alpha) * *x + f64::from(beta) * c[at]);
            }
            _ => bail!("what it adds is of another kind"),
        }
        one(made)
    }))
}

/// The dot product in eight sums, which fit vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}

/// Applies a factor and a summand per channel, the second dimension.
fn per_channel<T: Float>(v: &[T], channels: usize, behind: usize, factor: &[f64], summand: &[f64]) -> Vec<T> {
    let of = |(i, x): (usize, &T)| {
        let channel = i / behind.max(1) % channels.max(1);
        T::of(x.to() * factor[channel] + summand[channel])
    };
    v.iter().enumerate().map(of).collect()
}

pub(super) fn batch_normalization(node: &NodeDef, _: &Outer) -> Result<Run> {
    let epsilon = f64::from(node.float("epsilon", 1e-5));
    ensure!(node.int("training_mode", 0) == 0, "it is in training; export the model for inference");
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let parts: Vec<Vec<f64>> = (1..5).map(|i| inputs.get(i)?.to_f64()).collect::<Result<_>>()?;
        let channels = *x.shape.get(1).context("it has no channels")?;
        ensure!(parts.iter().all(|part| part.len() == channels), "it has no numbers for every channel");
        let each = || (0..channels).map(|i| parts[0][i] / (parts[3][i] + epsilon).sqrt());
        let factor: Vec<f64> = each().collect();
        let summand: Vec<f64> = each().enumerate().map(|(i, f)| parts[1][i] - parts[2][i] * f).collect();
        let behind = x.shape[2..].iter().product();
        let data = match &x.data {
            Data::F32(v) => Data::F32(per_channel(v, channels, behind, &factor, &summand)),
            Data::F64(v) => Data::F64(per_channel(v, channels, behind, &factor, &summand)),
            other => bail!("it takes no {}s", other.kind()),
        };
        one(Tensor::new(x.shape.clone(), data))
    }))
}

pub(super) fn layer_normalization(node: &NodeDef, _: &Outer) -> Result<Run> {
    let (at, epsilon) = (node.int("axis", -1), f64::from(node.float("epsilon", 1e-5)));
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let at = super::tensor::axis(at, x.shape.len())?;
        let n: usize = x.shape[at..].iter().product();
        let scale = inputs.get(1)?.to_f64()?;
        let bias = inputs.optional(2).map(|bias| bias.to_f64()).transpose()?.unwrap_or_else(|| vec![0.0; n]);
        ensure!(n > 0 && scale.len() == n && bias.len() == n, "its scale does not fit the input");
        let mut values = x.to_f64()?;
        for part in values.chunks_exact_mut(n) {
            let mean = part.iter().sum::<f64>() / n as f64;
            let variance = part.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
            let size = (variance + epsilon).sqrt();
            part.iter_mut().zip(&scale).zip(&bias).for_each(|((x, s), b)| *x = (*x - mean) / size * s + b);
        }
        one(Tensor::float_like(x, &x.shape, values))
    }))
}

/// A window that moves over the dimensions behind the first two.
#[derive(Clone)]
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<usize>,
    auto: String,
    rounds_up: bool,
}

/// What a window comes to on an input.
struct Laid {
    /// Steps along each dimension.
    steps: Vec<usize>,
    /// Padding before each dimension.
    before: Vec<usize>,
    /// As long as the padded input, without what `ceil_mode` adds behind it.
    padded: Vec<usize>,
}

impl Window {
    fn new(node: &NodeDef, kernel: Vec<usize>) -> Result<Self> {
        let n = kernel.len();
        let sizes = |name: &str, default: usize, n: usize| -> Result<Vec<usize>> {
            let given = node.ints(name);
            if given.is_empty() {
                return Ok(vec![default; n]);
            }
            ensure!(given.len() == n, "{name} has {} numbers for {n} dimensions", given.len());
            Ok(given.iter().map(|&x| usize::try_from(x)).collect::<Result<_, _>>()?)
        };
        let window = Self {
            strides: sizes("strides", 1, n)?,
            dilations: sizes("dilations", 1, n)?,
            pads: sizes("pads", 0, 2 * n)?,
            auto: node.text("auto_pad", "NOTSET").to_string(),
            rounds_up: node.int("ceil_mode", 0) != 0,
            kernel,
        };
        ensure!(
            ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"].contains(&window.auto.as_str()),
            "auto_pad {:?}",
            window.auto
        );
        let all = [&window.kernel, &window.strides, &window.dilations, &window.pads];
        ensure!(
            (1..=3).contains(&n)
                && all.iter().all(|sizes| sizes.iter().all(|&x| x <= 1 << 20))
                && all[..3].iter().all(|sizes| !sizes.contains(&0)),
            "its window of {:?} is out of range",
            window.kernel
        );
        Ok(window)
    }

    fn lay(&self, dims: &[usize]) -> Result<Laid> {
        ensure!(dims.len() == self.kernel.len(), "its window has {} dimensions", self.kernel.len());
        let mut laid = Laid { steps: Vec::new(), before: Vec::new(), padded: Vec::new() };
        for (i, &dim) in dims.iter().enumerate() {
            let reach = (self.kernel[i] - 1) * self.dilations[i] + 1;
            let stride = self.strides[i];
            let (before, after) = match self.auto.as_str() {
                "NOTSET" => (self.pads[i], self.pads[self.kernel.len() + i]),
                "VALID" => (0, 0),
                auto => {
                    let total = ((dim.div_ceil(stride).max(1) - 1) * stride + reach).saturating_sub(dim);
                    if auto == "SAME_UPPER" {
                        (total / 2, total - total / 2)
                    } else {
                        (total - total / 2, total / 2)
                    }
                }
            };
            let padded = dim + before + after;
            let room = padded.checked_sub(reach).context("its window is larger than the input")?;
            let mut steps = room / stride + 1;
            // A last window that begins beyond the input is none.
            if self.rounds_up && room % stride != 0 && steps * stride < dim + before {
                steps += 1;
            }
            laid.steps.push(steps);
            laid.before.push(before);
            laid.padded.push(padded);
        }
        Ok(laid)
    }
}

/// The places of the window's elements in an input of these dimensions, for one step: none in the padding.
fn places(window: &Window, laid: &Laid, dims: &[usize], mut step: usize) -> Vec<Option<usize>> {
    let mut starts = vec![0; dims.len()];
    for i in (0..dims.len()).rev() {
        starts[i] = step % laid.steps[i] * window.strides[i];
        step /= laid.steps[i];
    }
    let mut found = vec![Some(0_usize)];
    for (i, &dim) in dims.iter().enumerate() {
        let mut next = Vec::with_capacity(found.len() * window.kernel[i]);
        for place in found {
            for k in 0..window.kernel[i] {
                let at =
                    (starts[i] + k * window.dilations[i]).checked_sub(laid.before[i]).filter(|&at| at < dim);
                next.push(place.zip(at).map(|(place, at)| place * dim + at));
            }
        }
        found = next;
    }
    found
}

fn sizes(shape: &[usize]) -> Result<(usize, usize, &[usize])> {
    match shape {
        [n, channels, dims @ ..] if !dims.is_empty() => Ok((*n, *channels, dims)),
        _ => bail!("its input of shape {shape:?} has no channels and places"),
    }
}

pub(super) fn conv(node: &NodeDef, _: &Outer) -> Result<Run> {
    let group =
        usize::try_from(node.int("group", 1)).ok().filter(|&group| group > 0).context("it has no groups")?;
    let node = node.clone();
    Ok(Box::new(move |inputs| {
        let (x, w) = (inputs.get(0)?, inputs.get(1)?);
        let (n, channels, dims) = sizes(&x.shape)?;
        let (n_out, per_group, kernel) = sizes(&w.shape)?;
        ensure!(
            per_group.checked_mul(group) == Some(channels) && n_out % group == 0,
            "its weights of shape {:?} do not fit an input of shape {:?}",
            w.shape,
            x.shape
        );
        let window = Window::new(&node, kernel.to_vec())?;
        let laid = window.lay(dims)?;
        let (Data::F32(x), Data::F32(w)) = (&x.data, &w.data) else {
            bail!("it takes single precision alone")
        };
        let bias =
            inputs.optional(2).map(|bias| bias.to_f32()).transpose()?.unwrap_or_else(|| vec![0.0; n_out]);
        ensure!(bias.len() == n_out, "it has no bias for every channel");
        let (n_steps, n_kernel) = (n_elements(&laid.steps)?, n_elements(kernel)?);
        let n_dims: usize = dims.iter().product();
        let shape = [&[n, n_out], laid.steps.as_slice()].concat();
        let mut out = vec![0.0; n_elements(&shape)?];
        let inner = per_group * n_kernel;
        n_elements(&[inner, n_steps])?;
        inputs.budget.spend(out.len().saturating_mul(inner))?;
        // The patches of an image side by side, each a column: the convolution is a product with the weights.
        let of_steps: Vec<Vec<Option<usize>>> =
            (0..n_steps).map(|step| places(&window, &laid, dims, step)).collect();
        let mut patches = vec![0.0; inner * n_steps];
        let out_per_group = n_out / group;
        for i in 0..n {
            for g in 0..group {
                for c in 0..per_group {
                    let first = (i * channels + g * per_group + c) * n_dims;
                    let image = &x[first..first + n_dims];
                    for (step, places) in of_steps.iter().enumerate() {
                        for (k, place) in places.iter().enumerate() {
                            patches[(c * n_kernel + k) * n_steps + step] = place.map_or(0.0, |at| image[at]);
                        }
                    }
                }
                let first = (i * n_out + g * out_per_group) * n_steps;
                let out = &mut out[first..first + out_per_group * n_steps];
                for (out, bias) in out.chunks_exact_mut(n_steps.max(1)).zip(&bias[g * out_per_group..]) {
                    out.fill(*bias);
                }
                multiply(
                    &w[g * out_per_group * inner..][..out_per_group * inner],
                    &patches,
                    inner,
                    n_steps,
                    out,
                );
            }
        }
        one(Tensor::f32(&shape, out))
    }))
}

pub(super) fn pool(node: &NodeDef, _: &Outer) -> Result<Run> {
    let kernel: Vec<usize> =
        node.ints("kernel_shape").iter().map(|&x| usize::try_from(x)).collect::<Result<_, _>>()?;
    let window = Window::new(node, kernel)?;
    let is_max = node.op == "MaxPool";
    let counts_padding = node.int("count_include_pad", 0) != 0;
    ensure!(
        node.outputs.iter().skip(1).all(String::is_empty) && !(counts_padding && window.rounds_up),
        "its indices, and padding that counts in windows that are rounded up, are not read"
    );
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let (n, channels, dims) = sizes(&x.shape)?;
        let laid = window.lay(dims)?;
        let n_steps = n_elements(&laid.steps)?;
        let n_dims: usize = dims.iter().product();
        let shape = [&[n, channels], laid.steps.as_slice()].concat();
        n_elements(&shape)?;
        inputs.budget.spend((n * channels * n_steps).saturating_mul(n_elements(&window.kernel)?))?;
        let values = x.to_f64()?;
        let of_steps: Vec<Vec<Option<usize>>> =
            (0..n_steps).map(|step| places(&window, &laid, dims, step)).collect();
        let mut out = Vec::with_capacity(n * channels * n_steps);
        for image in values.chunks_exact(n_dims.max(1)) {
            for places in &of_steps {
                let found = places.iter().flatten().map(|&at| image[at]);
                out.push(if is_max {
                    found.fold(f64::NEG_INFINITY, f64::max)
                } else {
                    let n = if counts_padding { places.len() } else { places.iter().flatten().count() };
                    found.sum::<f64>() / n as f64
                });
            }
        }
        one(Tensor::float_like(x, &shape, out))
    }))
}

pub(super) fn global_pool(node: &NodeDef, _: &Outer) -> Result<Run> {
    let is_max = node.op == "GlobalMaxPool";
    Ok(Box::new(move |inputs| {
        let x = inputs.get(0)?;
        let (n, channels, dims) = sizes(&x.shape)?;
        let size = dims.iter().product::<usize>().max(1);
        let pooled = x.to_f64()?;
        let pooled = pooled.chunks_exact(size).map(|part| match is_max {
            true => part.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            false => part.iter().sum::<f64>() / size as f64,
        });
        let mut shape = vec![n, channels];
        shape.resize(x.shape.len(), 1);
        one(Tensor::float_like(x, &shape, pooled.collect()))
    }))
}
