//! Operands as kernels know them: kinds of elements, and tables of structs.

use braid_kernels::{Dtype, KernelError};

use crate::GpuError;

/// The number of a type of elements in `kernels/cuda/element.cuh`.
pub(crate) fn kind(operation: &'static str, dtype: Dtype) -> Result<u32, GpuError> {
    match dtype {
        Dtype::F64 => Ok(0),
        Dtype::F32 => Ok(1),
        Dtype::F16 => Ok(2),
        Dtype::BF16 => Ok(3),
        _ => Err(KernelError::NotFloat { operation, dtype }.into()),
    }
}

/// Refuses operands of unequal length.
pub(crate) fn same_length(operation: &'static str, expected: usize, found: usize) -> Result<(), GpuError> {
    if expected == found { Ok(()) } else { Err(KernelError::LengthMismatch { operation, expected, found }.into()) }
}

/// Refuses operands that do not come in equal numbers, or none of them.
pub(crate) fn same_count(operation: &'static str, what: &'static str, expected: usize, found: usize) -> Result<(), GpuError> {
    if expected > 0 && expected == found {
        return Ok(());
    }
    Err(KernelError::CountMismatch { operation, what, expected: expected.max(1), found }.into())
}

/// Structs one after the other, field by field, each at a multiple of its size.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<u8>);

impl Table {
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn f32(&mut self, value: f32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
