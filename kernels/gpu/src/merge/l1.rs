//! The L1 norms of a task vector: [`braid_kernels::l1`].

use braid_kernels::{GRANULE, Keep, L1, Slice};

use super::{
    Call, Lane,
    call::Operand,
    operand::{Table, same_length},
    rule::Rule,
};
use crate::{Argument::U32, Argument::U64, GpuError, Kernel};

const NAME: &str = "l1";

impl Lane {
    /// As [`braid_kernels::l1`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn l1(&mut self, base: &Slice<'_>, theta: &Slice<'_>, keep: Keep<'_>) -> Result<Vec<L1>, GpuError> {
        self.call(|call| {
            let (base, theta) = (call.operand(NAME, base)?, call.operand(NAME, theta)?);
            call.l1(base, theta, keep)
        })
    }
}

impl Call<'_> {
    /// As [`Lane::l1`], of what is on the device.
    pub(crate) fn l1(&mut self, base: Operand, theta: Operand, keep: Keep<'_>) -> Result<Vec<L1>, GpuError> {
        let length = base.length;
        same_length(NAME, length, theta.length)?;
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut term = Table::default();
        Rule::of(&keep, (base, theta), length, self)?.write(theta, 1.0, 1.0, &mut term);
        let granules = length.div_ceil(GRANULE);
        let (term, norms) = (self.copy(term.bytes())?, self.room(granules * 16)?);
        let arguments = [base.place.into(), U32(base.kind), term.into(), U64(length as u64), norms.into()];
        self.launch(Kernel::L1, (granules as u32, 1), &arguments)?;
        let norms = self.numbers(norms, granules * 2)?;
        Ok(norms.as_chunks::<2>().0.iter().map(|[total, kept]| L1 { total: *total, kept: *kept }).collect())
    }
}
