//! Arrays of numbers, truths or texts with a shape: what flows through a graph.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};

/// Elements of a tensor that a graph may make: 64 MiB of single precision.
const MAX_ELEMENTS: usize = 1 << 24;

/// A tensor, shared by all that read it.
pub(crate) type Value = Arc<Tensor>;

/// The elements of a tensor, row-major. All whole numbers are held in 64 bits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<Arc<str>>),
}

/// A tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

/// The number of elements of a shape.
///
/// # Errors
/// More than a graph may make.
pub(crate) fn n_elements(shape: &[usize]) -> Result<usize> {
    let n = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim)).filter(|&n| n <= MAX_ELEMENTS);
    match n {
        Some(n) => Ok(n),
        None => bail!("a tensor of shape {shape:?} has more than {MAX_ELEMENTS} elements"),
    }
}

/// The place of an axis, which counts from the end if it is negative.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let at = if axis < 0 { axis + rank as i64 } else { axis };
    ensure!((0..rank as i64).contains(&at), "there is no axis {axis} among {rank}");
    Ok(at as usize)
}

/// The product of the dimensions before an axis, the dimension itself, and the product of those behind it.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// Applies an expression to the vector of a [`Data`] and wraps the result in the same kind.
macro_rules! each_kind {
    ($data:expr, $v:ident => $made:expr) => {
        match $data {
            Data::F32($v) => Data::F32($made),
            Data::F64($v) => Data::F64($made),
            Data::I64($v) => Data::I64($made),
            Data::Bool($v) => Data::Bool($made),
            Data::Text($v) => Data::Text($made),
        }
    };
}
pub(super) use each_kind;

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// The elements at these places, which have to exist.
    pub(crate) fn pick(&self, places: impl Iterator<Item = usize>) -> Self {
        fn picked<T: Clone>(v: &[T], places: impl Iterator<Item = usize>) -> Vec<T> {
            places.map(|at| v[at].clone()).collect()
        }
        each_kind!(self, v => picked(v, places))
    }

    /// The word for the kind in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::I64(_) => "int64",
            Self::Bool(_) => "bool",
            Self::Text(_) => "string",
        }
    }
}

impl Tensor {
    pub(crate) fn new(shape: Vec<usize>, data: Data) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape, data }
    }

    pub(crate) fn f32(shape: &[usize], values: Vec<f32>) -> Self {
        Self::new(shape.to_vec(), Data::F32(values))
    }

    pub(crate) fn i64(shape: &[usize], values: Vec<i64>) -> Self {
        Self::new(shape.to_vec(), Data::I64(values))
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// A shape of another number of elements.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Result<Self> {
        ensure!(
            n_elements(&shape)? == self.len(),
            "a tensor of shape {:?} does not become one of shape {shape:?}",
            self.shape
        );
        Ok(Self { shape, data: self.data.clone() })
    }

    /// Rows and columns: all dimensions but the last, and the last; a single row of one dimension.
    pub(crate) fn matrix(&self) -> (usize, usize) {
        match self.shape.as_slice() {
            [] => (1, 1),
            [n] => (1, *n),
            [rows @ .., columns] => (rows.iter().product(), *columns),
        }
    }

    /// The elements as numbers of single precision.
    ///
    /// # Errors
    /// Texts.
    pub(crate) fn to_f32(&self) -> Result<Vec<f32>> {
        Ok(match &self.data {
            Data::F32(v) => v.clone(),
            Data::F64(v) => v.iter().map(|&x| x as f32).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f32).collect(),
            Data::Bool(v) => v.iter().map(|&x| f32::from(u8::from(x))).collect(),
            Data::Text(_) => bail!("texts stand where numbers belong"),
        })
    }

    /// The elements as numbers of double precision.
    ///
    /// # Errors
    /// Texts.
    pub(crate) fn to_f64(&self) -> Result<Vec<f64>> {
        Ok(match &self.data {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(v) => v.clone(),
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
            Data::Text(_) => bail!("texts stand where numbers belong"),
        })
    }

    /// The elements, if they are whole numbers.
    ///
    /// # Errors
    /// Others.
    pub(crate) fn ints(&self) -> Result<&[i64]> {
        match &self.data {
            Data::I64(v) => Ok(v),
            other => bail!("{}s stand where whole numbers belong", other.kind()),
        }
    }

    /// The elements, if they are texts.
    ///
    /// # Errors
    /// Others.
    pub(crate) fn texts(&self) -> Result<&[Arc<str>]> {
        match &self.data {
            Data::Text(v) => Ok(v),
            other => bail!("{}s stand where texts belong", other.kind()),
        }
    }

    /// Numbers of single or of double precision, as `like` has them.
    pub(crate) fn float_like(like: &Self, shape: &[usize], values: Vec<f64>) -> Self {
        let data = match like.data {
            Data::F64(_) => Data::F64(values),
            _ => Data::F32(values.into_iter().map(|x| x as f32).collect()),
        };
        Self::new(shape.to_vec(), data)
    }
}

/// The shape of two that are stretched to each other (numpy's broadcasting).
///
/// # Errors
/// Dimensions that differ, neither of them 1.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let dims = (0..rank).map(|i| match (dim(a, i), dim(b, i)) {
        (a, b) if a == b || b == 1 => Ok(a),
        (1, b) => Ok(b),
        _ => bail!("shapes {a:?} and {b:?} do not fit each other"),
    });
    let shape: Vec<usize> = dims.collect::<Result<_>>()?;
    n_elements(&shape)?;
    Ok(shape)
}

/// For each element of `shape` in turn its place in a tensor of the shape `from` that is stretched to it.
pub(crate) fn stretched(from: &[usize], shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    let offset = shape.len() - from.len();
    for (i, &dim) in from.iter().enumerate().rev() {
        strides[offset + i] = if dim == 1 { 0 } else { stride };
        stride *= dim;
    }
    walk(shape, &strides)
}

/// The places that a walk over `shape` with these strides comes by.
pub(crate) fn walk(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (&dim, &stride) in shape.iter().zip(strides) {
        let mut next = Vec::with_capacity(places.len() * dim);
        for &place in &places {
            next.extend((0..dim).map(|i| place + i * stride));
        }
        places = next;
    }
    places
}
