//! Inner products: [`braid_kernels::gram`], [`braid_kernels::dots`].

use braid_kernels::{Dots, GRANULE, Gram, Slice};

use super::{
    Call, Lane, THREADS,
    call::Operand,
    operand::{Table, same_count, same_length},
};
use crate::{
    Argument::{Address, U32, U64},
    GpuError, Kernel,
};

/// Values staged at a time, and lanes of a pair: as in `gram.cu`.
const STAGED: usize = 4096;
const LANES: usize = 16;
/// What they are called in errors.
const GRAM: &str = "gram";
const DOTS: &str = "dots";

impl Lane {
    /// As [`braid_kernels::gram`].
    ///
    /// # Errors
    /// As there; [`GpuError::Unsupported`] for more than 256 inputs; those of the device.
    pub fn gram(&mut self, base: Option<&Slice<'_>>, inputs: &[Slice<'_>]) -> Result<Vec<Gram>, GpuError> {
        few(GRAM, inputs.len())?;
        self.call(|call| {
            let base = base.map(|base| call.operand(GRAM, base)).transpose()?;
            let inputs = call.operands(GRAM, inputs)?;
            call.gram(base.as_ref(), &inputs)
        })
    }

    /// As [`braid_kernels::dots`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn dots(&mut self, a: &Slice<'_>, b: &Slice<'_>) -> Result<Vec<Dots>, GpuError> {
        self.call(|call| {
            let (a, b) = (call.operand(DOTS, a)?, call.operand(DOTS, b)?);
            call.dots(a, b)
        })
    }
}

impl Call<'_> {
    /// As [`Lane::gram`], of what is on the device.
    pub(crate) fn gram(&mut self, base: Option<&Operand>, inputs: &[Operand]) -> Result<Vec<Gram>, GpuError> {
        let count = inputs.len();
        let place = |i: usize, j: usize| i * count - i * i.saturating_sub(1) / 2 + j - i;
        let products = self.products(GRAM, base, inputs)?;
        Ok(products.iter().map(|row| Gram::of(count, |i, j| row[place(i, j)])).collect())
    }

    /// As [`Lane::dots`], of what is on the device.
    pub(crate) fn dots(&mut self, a: Operand, b: Operand) -> Result<Vec<Dots>, GpuError> {
        let products = self.products(DOTS, None, &[a, b])?;
        Ok(products.iter().map(|row| Dots { aa: row[0], ab: row[1], bb: row[2] }).collect())
    }

    /// For each granule, the upper triangle of products, row by row.
    fn products(
        &mut self,
        operation: &'static str,
        base: Option<&Operand>,
        inputs: &[Operand],
    ) -> Result<Vec<Vec<f64>>, GpuError> {
        few(operation, inputs.len())?;
        let length = inputs[0].length;
        for input in inputs.iter().chain(base) {
            same_length(operation, length, input.length)?;
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut table = Table::default();
        for input in inputs {
            table.u64(input.place.address).u32(input.kind).u32(0);
        }
        let (granules, pairs) = (length.div_ceil(GRANULE), inputs.len() * (inputs.len() + 1) / 2);
        let (table, sums) = (self.copy(table.bytes())?, self.room(granules * pairs * 8)?);
        let arguments = [
            Address(base.map_or(0, |base| base.place.address)),
            U32(base.map_or(0, |base| base.kind)),
            table.into(),
            U32(inputs.len() as u32),
            U64(length as u64),
            sums.into(),
        ];
        let grid = (granules as u32, pairs.div_ceil(THREADS as usize / LANES) as u32);
        self.launch(Kernel::Gram, grid, &arguments)?;
        Ok(self.numbers(sums, granules * pairs)?.chunks(pairs).map(<[f64]>::to_vec).collect())
    }
}

/// Refuses no inputs, and more than a block has room for.
fn few(operation: &'static str, inputs: usize) -> Result<(), GpuError> {
    let most = STAGED / LANES;
    same_count(operation, "inputs", inputs.max(1), inputs)?;
    if inputs > most {
        return Err(GpuError::Unsupported { operation, what: format!("{inputs} operands, of at most {most}") });
    }
    Ok(())
}
