//! Inner products: [`braid_kernels::gram`], [`braid_kernels::dots`].

use braid_kernels::{Dots, GRANULE, Gram, Slice};

use super::{
    Lane, THREADS,
    operand::{Table, same_count, same_length},
};
use crate::{
    Argument::{Address, U32, U64},
    GpuError, Kernel,
};

/// Values staged at a time, and lanes of a pair: as in `gram.cu`.
const STAGED: usize = 4096;
const LANES: usize = 16;

impl Lane {
    /// As [`braid_kernels::gram`].
    ///
    /// # Errors
    /// As there; [`GpuError::Unsupported`] for more than 256 inputs; those of the device.
    pub fn gram(&mut self, base: Option<&Slice<'_>>, inputs: &[Slice<'_>]) -> Result<Vec<Gram>, GpuError> {
        let count = inputs.len();
        let place = |i: usize, j: usize| i * count - i * i.saturating_sub(1) / 2 + j - i;
        let products = self.products("gram", base, inputs)?;
        Ok(products.iter().map(|row| Gram::of(count, |i, j| row[place(i, j)])).collect())
    }

    /// As [`braid_kernels::dots`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn dots(&mut self, a: &Slice<'_>, b: &Slice<'_>) -> Result<Vec<Dots>, GpuError> {
        let products = self.products("dots", None, &[*a, *b])?;
        Ok(products.iter().map(|row| Dots { aa: row[0], ab: row[1], bb: row[2] }).collect())
    }

    /// For each granule, the upper triangle of products, row by row.
    fn products(
        &mut self,
        operation: &'static str,
        base: Option<&Slice<'_>>,
        inputs: &[Slice<'_>],
    ) -> Result<Vec<Vec<f64>>, GpuError> {
        let most = STAGED / LANES;
        same_count(operation, "inputs", inputs.len().max(1), inputs.len())?;
        if inputs.len() > most {
            return Err(GpuError::Unsupported { operation, what: format!("{} operands, of at most {most}", inputs.len()) });
        }
        let length = inputs[0].len();
        for input in inputs.iter().chain(base) {
            same_length(operation, length, input.len())?;
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        self.call(|call| {
            let base = base.map(|base| call.operand(operation, base)).transpose()?;
            let mut table = Table::default();
            for input in inputs {
                let data = call.operand(operation, input)?;
                table.u64(data.place.address).u32(data.kind).u32(0);
            }
            let (granules, pairs) = (length.div_ceil(GRANULE), inputs.len() * (inputs.len() + 1) / 2);
            let (table, sums) = (call.copy(table.bytes())?, call.room(granules * pairs * 8)?);
            let arguments = [
                Address(base.map_or(0, |base| base.place.address)),
                U32(base.map_or(0, |base| base.kind)),
                table.into(),
                U32(inputs.len() as u32),
                U64(length as u64),
                sums.into(),
            ];
            let grid = (granules as u32, pairs.div_ceil(THREADS as usize / LANES) as u32);
            call.launch(Kernel::Gram, grid, &arguments)?;
            Ok(call.numbers(sums, granules * pairs)?.chunks(pairs).map(<[f64]>::to_vec).collect())
        })
    }
}
