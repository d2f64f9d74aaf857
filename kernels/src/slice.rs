//! Typed views of raw bytes: what a kernel reads and writes. Bytes need no alignment and are little-endian, as in a file.

use std::ops::Range;

use crate::convert::Float;
use crate::{Dtype, KernelError};

/// Elements of one type, to read.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    dtype: Dtype,
    bytes: &'a [u8],
}

/// Elements of one type, to write.
#[derive(Debug)]
pub struct SliceMut<'a> {
    dtype: Dtype,
    bytes: &'a mut [u8],
}

impl<'a> Slice<'a> {
    /// A view of `bytes`, which must be a whole number of elements.
    pub fn new(dtype: Dtype, bytes: &'a [u8]) -> Result<Self, KernelError> {
        whole(dtype, bytes.len())?;
        Ok(Self { dtype, bytes })
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The bytes of all elements.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements of a range.
    pub fn part(&self, range: Range<usize>) -> Result<Self, KernelError> {
        let bytes = byte_range(self.dtype, &range, self.len())?;
        Ok(Self { dtype: self.dtype, bytes: &self.bytes[bytes] })
    }

    pub(crate) fn floats(&self, operation: &'static str) -> Result<Floats<'a>, KernelError> {
        let kind = Float::of(self.dtype).ok_or(KernelError::NotFloat { operation, dtype: self.dtype })?;
        Ok(Floats { kind, bytes: self.bytes })
    }
}

impl<'a> SliceMut<'a> {
    /// A view of `bytes`, which must be a whole number of elements.
    pub fn new(dtype: Dtype, bytes: &'a mut [u8]) -> Result<Self, KernelError> {
        whole(dtype, bytes.len())?;
        Ok(Self { dtype, bytes })
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The bytes of all elements.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The bytes of all elements, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements of a range, borrowed from this view.
    pub fn part_mut(&mut self, range: Range<usize>) -> Result<SliceMut<'_>, KernelError> {
        let bytes = byte_range(self.dtype, &range, self.len())?;
        Ok(SliceMut { dtype: self.dtype, bytes: &mut self.bytes[bytes] })
    }

    pub(crate) fn floats_mut(&mut self, operation: &'static str) -> Result<FloatsMut<'_>, KernelError> {
        let kind = Float::of(self.dtype).ok_or(KernelError::NotFloat { operation, dtype: self.dtype })?;
        Ok(FloatsMut { kind, bytes: self.bytes })
    }
}

/// A slice known to hold floats: what the inner loops see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floats<'a> {
    pub(crate) kind: Float,
    pub(crate) bytes: &'a [u8],
}

/// As [`Floats`], to write.
#[derive(Debug)]
pub(crate) struct FloatsMut<'a> {
    pub(crate) kind: Float,
    pub(crate) bytes: &'a mut [u8],
}

impl Floats<'_> {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.kind.size()
    }

    /// The elements of a range.
    #[inline(always)]
    pub(crate) fn part(&self, range: &Range<usize>) -> Self {
        let size = self.kind.size();
        Self { kind: self.kind, bytes: &self.bytes[range.start * size..range.end * size] }
    }

    /// Decodes elements `range`; `out` has as many.
    #[inline(always)]
    pub(crate) fn decode(&self, range: &Range<usize>, out: &mut [f32]) {
        let size = self.kind.size();
        self.kind.decode(&self.bytes[range.start * size..range.end * size], out);
    }
}

impl FloatsMut<'_> {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.kind.size()
    }

    /// Encodes `values` as elements `range`, which are as many.
    #[inline(always)]
    pub(crate) fn encode(&mut self, range: &Range<usize>, values: &[f32]) {
        let size = self.kind.size();
        self.kind.encode(values, &mut self.bytes[range.start * size..range.end * size]);
    }
}

/// Refuses operands of unequal length.
pub(crate) fn same_length(operation: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::LengthMismatch { operation, expected, found }) }
}

fn whole(dtype: Dtype, bytes: usize) -> Result<(), KernelError> {
    if bytes.is_multiple_of(dtype.size()) { Ok(()) } else { Err(KernelError::Ragged { dtype, bytes }) }
}

fn byte_range(dtype: Dtype, range: &Range<usize>, length: usize) -> Result<Range<usize>, KernelError> {
    if range.start > range.end || range.end > length {
        return Err(KernelError::OutOfRange { first: range.start, end: range.end, length });
    }
    Ok(range.start * dtype.size()..range.end * dtype.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_be_whole_elements_and_ranges_inside() {
        let bytes = [0u8; 12];
        assert_eq!(Slice::new(Dtype::F64, &bytes).unwrap_err(), KernelError::Ragged { dtype: Dtype::F64, bytes: 12 });
        let slice = Slice::new(Dtype::F32, &bytes).unwrap();
        assert_eq!(slice.len(), 3);
        assert_eq!(slice.part(1..3).unwrap().bytes().len(), 8);
        assert!(slice.part(2..4).is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "the range under test")]
        let reversed = 2..1;
        assert!(slice.part(reversed).is_err());
    }
}
