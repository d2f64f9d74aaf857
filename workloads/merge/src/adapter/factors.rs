//! The two factors of a module, where they lie, and how their product lies in the base's tensor.

use super::Unfit;
use crate::{
    MergeError,
    checkpoint::{DataFile, TensorInfo},
};
use blake3::{Hash, Hasher};
use braid_kernels::{LowRank, Slice, decode};

/// How the product of the factors lies in the tensor that it is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// As output × input: `B · A`.
    Plain,
    /// As input × output, as embeddings and GPT-2's layers are kept: `(B · A)ᵀ`.
    Turned,
}

/// A module of an adapter: `A` is r × input, `B` is output × r.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// The name of `A` in the adapter.
    pub a_name: String,
    /// The name of `B` in the adapter.
    pub b_name: String,
    /// Where `A` lies.
    pub a: TensorInfo,
    /// Where `B` lies.
    pub b: TensorInfo,
    /// The rank r.
    pub rank: u64,
    /// What the product is multiplied by.
    pub scale: f64,
    /// How it lies in the base's tensor.
    pub orientation: Orientation,
}

impl Factors {
    /// Brings two tensors together as factors.
    pub(super) fn new(
        (a_name, a): (&str, &TensorInfo),
        (b_name, b): (&str, &TensorInfo),
        scale: f64,
        orientation: Orientation,
    ) -> Result<Self, Unfit> {
        let fits = match (a.shape.as_slice(), b.shape.as_slice()) {
            ([rank, rest @ ..], [_, other]) => rank == other && !rest.is_empty(),
            // a convolution: the second factor has a window of one
            ([rank, _, _, _], [_, other, 1, 1]) => rank == other,
            _ => false,
        };
        if !fits || a.shape.contains(&0) || b.shape.contains(&0) {
            let (a, b) = (&a.shape, &b.shape);
            return Err(Unfit::new(format!("{a_name:?} {a:?} and {b_name:?} {b:?} are no factors of one product")));
        }
        if let Some((name, tensor)) = [(a_name, a), (b_name, b)].into_iter().find(|(_, tensor)| !tensor.dtype.is_float()) {
            return Err(Unfit::new(format!("{name:?} holds {}, not floats", tensor.dtype)));
        }
        let rank = a.shape.first().copied().unwrap_or(0);
        let (a, b) = (a.clone(), b.clone());
        Ok(Self { a_name: a_name.into(), b_name: b_name.into(), a, b, rank, scale, orientation })
    }

    /// The length of `A`'s rows.
    fn inputs(&self) -> u64 {
        // a header has checked that the elements of a tensor can be counted, and none of its axes is empty
        self.a.shape.iter().skip(1).product()
    }

    fn outputs(&self) -> u64 {
        self.b.shape.first().copied().unwrap_or(0)
    }

    /// The rows of the product as it lies in the base's tensor.
    pub fn rows(&self) -> u64 {
        if self.orientation == Orientation::Plain { self.outputs() } else { self.inputs() }
    }

    /// The columns of the product as it lies in the base's tensor.
    pub fn cols(&self) -> u64 {
        if self.orientation == Orientation::Plain { self.inputs() } else { self.outputs() }
    }

    /// Whether the product has the elements of a tensor of this shape.
    pub fn fits(&self, shape: &[u64]) -> bool {
        let elements = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        shape.len() > 1 && shape.first() == Some(&self.rows()) && elements == self.rows().checked_mul(self.cols())
    }

    /// The bytes of both factors as f32.
    pub fn memory(&self) -> u64 {
        self.rows().saturating_add(self.cols()).saturating_mul(self.rank).saturating_mul(4)
    }

    /// The digest of all that decides the product, the bytes of both factors in the file of the adapter among it.
    ///
    /// # Errors
    /// A read that failed.
    pub(crate) fn digest(&self, file: &DataFile) -> Result<Hash, MergeError> {
        let mut hasher = Hasher::new();
        for (info, name) in [(&self.a, &self.a_name), (&self.b, &self.b_name)] {
            hasher.update(format!("{} {:?}\n", info.dtype.name(), info.shape).as_bytes());
            hasher.update(&read_bytes(file, info, name)?);
        }
        let orientation = match self.orientation {
            Orientation::Plain => 0,
            Orientation::Turned => 1,
        };
        Ok(hasher.update(&self.scale.to_le_bytes()).update(&[orientation]).finalize())
    }

    /// Reads both from the file of the adapter, as the product `up · down` that is added to the base's tensor; the scale is in
    /// `up`.
    ///
    /// # Errors
    /// A read that failed.
    pub(crate) fn read(&self, file: &DataFile) -> Result<LowRank, MergeError> {
        let (a, b) = (read_f32(file, &self.a, &self.a_name)?, read_f32(file, &self.b, &self.b_name)?);
        let (rank, inputs, outputs) = (self.rank as usize, self.inputs() as usize, self.outputs() as usize);
        let scale = self.scale as f32;
        let (up, down) = match self.orientation {
            Orientation::Plain => (b, a),
            Orientation::Turned => (turned(&a, rank, inputs), turned(&b, outputs, rank)),
        };
        let up = up.into_iter().map(|value| value * scale).collect();
        let refuse = |source| MergeError::Kernel { tensor: self.a_name.clone(), source };
        LowRank::new(up, down, rank).map_err(refuse)
    }
}

/// All elements of a tensor of floats, as f32.
pub(crate) fn read_f32(file: &DataFile, info: &TensorInfo, name: &str) -> Result<Vec<f32>, MergeError> {
    let refuse = |source| MergeError::Kernel { tensor: name.to_owned(), source };
    let bytes = read_bytes(file, info, name)?;
    Slice::new(info.dtype, &bytes).and_then(|slice| decode(&slice)).map_err(refuse)
}

/// All bytes of a tensor.
pub(crate) fn read_bytes(file: &DataFile, info: &TensorInfo, name: &str) -> Result<Vec<u8>, MergeError> {
    let length = usize::try_from(info.bytes).map_err(|_| MergeError::Task(format!("tensor {name:?} does not fit the memory")))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, info.offset)?;
    Ok(bytes)
}

/// The transpose of `rows` × `cols` elements.
fn turned(matrix: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|col| (0..rows).map(move |row| matrix[row * cols + col])).collect()
}
