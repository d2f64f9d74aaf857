//! The threshold of the k largest elements of a task vector, by three histograms: the answer of [`braid_kernels::Selection`].

use braid_kernels::{Slice, TileTrim};

use super::{
    Lane,
    operand::{Table, same_length},
};
use crate::{
    Argument::{U32, U64},
    GpuError, Kernel,
};

/// The bits of a magnitude that each pass looks at: how far from the right, and how many.
const PASSES: [(u32, u32); 3] = [(20, 11), (10, 10), (0, 10)];
/// Counters: as many as the widest pass needs.
const BUCKETS: usize = 1 << 11;

impl Lane {
    /// What the `k` largest magnitudes (at least one) of the whole task vector `theta - base` are: those above a threshold, and the
    /// first few that equal it.
    ///
    /// # Errors
    /// Operands of unequal length or without arithmetic; those of the device.
    pub fn largest(&mut self, base: &Slice<'_>, theta: &Slice<'_>, k: u64) -> Result<TileTrim, GpuError> {
        const NAME: &str = "selection";
        same_length(NAME, base.len(), theta.len())?;
        let length = base.len();
        if k >= length as u64 {
            return Ok(TileTrim::EVERYTHING);
        }
        self.call(|call| {
            let (base, theta) = (call.operand(NAME, base)?, call.operand(NAME, theta)?);
            let mut search = Table::default();
            search.u32(0).u32(0).u64(k.max(1));
            let (search, counts) = (call.copy(search.bytes())?, call.filled(BUCKETS * 8, 0)?);
            for (shift, bits) in PASSES {
                let arguments = [
                    base.place.into(),
                    U32(base.kind),
                    theta.place.into(),
                    U32(theta.kind),
                    U64(length as u64),
                    search.into(),
                    U32(shift),
                    U32(bits),
                    counts.into(),
                ];
                call.over(Kernel::Histogram, length, &arguments)?;
                call.launch(Kernel::Narrow, (1, 1), &[search.into(), U32(bits), counts.into()])?;
            }
            let mut found = [0; 16];
            call.fetch(search, &mut found)?;
            let [threshold, _] = *found.as_chunks::<4>().0.first_chunk().unwrap_or(&[[0; 4]; 2]);
            let ties = found.last_chunk().copied().unwrap_or_default();
            Ok(TileTrim { threshold: u32::from_le_bytes(threshold), ties: u64::from_le_bytes(ties) })
        })
    }
}
