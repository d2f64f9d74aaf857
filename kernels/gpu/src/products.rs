//! A product as libraries want it that have columns one after the other: C turned round, Cᵀ = Bᵀ Aᵀ. Not who multiplies.

use braid_kernels::{Dtype, KernelError};

use crate::{GpuError, Matrices, Product};

/// A product of matrices whose columns lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Turned {
    /// Rows and columns of the result, the inner index, and how many products there are.
    pub(crate) size: [i32; 4],
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    pub(crate) a: Factor,
    pub(crate) b: Factor,
    pub(crate) c: Factor,
}

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(crate) address: u64,
    /// `cudaDataType` of its elements.
    pub(crate) number: u32,
    pub(crate) transposed: bool,
    /// Elements from one column to the next.
    pub(crate) column: i32,
    /// Elements from one matrix to the next.
    pub(crate) matrix: i64,
}

impl Turned {
    /// # Errors
    /// Types that no library multiplies, or sizes that it cannot count.
    pub(crate) fn of(product: &Product) -> Result<Self, GpuError> {
        let Product { size: (rows, columns), inner, count, scale, a, b, add, c } = *product;
        if a.dtype != b.dtype || c.dtype != Dtype::F32 || c.transposed {
            let what = format!("{} times {} into {}, transposed: {}", a.dtype, b.dtype, c.dtype, c.transposed);
            return Err(GpuError::Unsupported { operation: NAME, what });
        }
        let size = [int(columns)?, int(rows)?, int(inner)?, int(count)?];
        let beta = if add { 1.0 } else { 0.0 };
        Ok(Self { size, alpha: scale, beta, a: Factor::of(&b)?, b: Factor::of(&a)?, c: Factor::of(&c)? })
    }
}

const NAME: &str = "products";

impl Factor {
    fn of(matrices: &Matrices) -> Result<Self, GpuError> {
        let Matrices { address, dtype, transposed, stride, step } = *matrices;
        let number = match dtype {
            Dtype::F32 => 0,
            Dtype::F16 => 2,
            Dtype::BF16 => 14,
            _ => return Err(GpuError::Unsupported { operation: NAME, what: format!("matrices of {dtype}") }),
        };
        Ok(Self { address, number, transposed, column: int(stride)?, matrix: i64::from(int(step)?) })
    }
}

fn int(size: usize) -> Result<i32, GpuError> {
    i32::try_from(size).map_err(|_| KernelError::OutOfRange { first: 0, end: size, length: i32::MAX as usize }.into())
}
