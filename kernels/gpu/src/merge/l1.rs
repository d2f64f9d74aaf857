//! The L1 norms of a task vector: [`braid_kernels::l1`].

use braid_kernels::{GRANULE, Keep, L1, Slice};

use super::{
    Lane,
    operand::{Table, same_length},
    rule::Rule,
};
use crate::{
    Argument::{U32, U64},
    GpuError, Kernel,
};

impl Lane {
    /// As [`braid_kernels::l1`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn l1(&mut self, base: &Slice<'_>, theta: &Slice<'_>, keep: Keep<'_>) -> Result<Vec<L1>, GpuError> {
        const NAME: &str = "l1";
        same_length(NAME, base.len(), theta.len())?;
        let length = base.len();
        if length == 0 {
            return Ok(Vec::new());
        }
        self.call(|call| {
            let (base, theta) = (call.operand(NAME, base)?, call.operand(NAME, theta)?);
            let mut term = Table::default();
            Rule::of(&keep, (base, theta), length, call)?.write(theta, 1.0, 1.0, &mut term);
            let granules = length.div_ceil(GRANULE);
            let (term, norms) = (call.copy(term.bytes())?, call.room(granules * 16)?);
            let arguments = [base.place.into(), U32(base.kind), term.into(), U64(length as u64), norms.into()];
            call.launch(Kernel::L1, (granules as u32, 1), &arguments)?;
            let norms = call.numbers(norms, granules * 2)?;
            Ok(norms.as_chunks::<2>().0.iter().map(|[total, kept]| L1 { total: *total, kept: *kept }).collect())
        })
    }
}
