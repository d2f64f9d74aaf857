//! Combinations of task vectors: [`braid_kernels::task_vectors`].

use braid_kernels::{Combine, Slice, SliceMut, TaskVector};

use super::{
    Lane,
    operand::{Table, kind, same_count, same_length},
    rule::Rule,
};
use crate::{
    Argument::{Struct, U32, U64},
    GpuError, Kernel,
};

impl Lane {
    /// As [`braid_kernels::task_vectors`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn task_vectors(
        &mut self,
        base: &Slice<'_>,
        experts: &[TaskVector<'_>],
        combine: &Combine,
        out: &mut SliceMut<'_>,
    ) -> Result<(), GpuError> {
        const NAME: &str = "task_vectors";
        let (length, to) = (out.len(), kind(NAME, out.dtype())?);
        same_length(NAME, length, base.len())?;
        same_count(NAME, "experts", experts.len().max(1), experts.len())?;
        for expert in experts {
            same_length(NAME, length, expert.theta.len())?;
        }
        if length == 0 {
            return Ok(());
        }
        let weights = match experts.iter().map(|expert| expert.weight).sum::<f32>() {
            small if small.abs() < 1e-8 => 1.0,
            weights => weights,
        };
        self.call(|call| {
            let base = call.operand(NAME, base)?;
            let mut terms = Table::default();
            for expert in experts {
                let theta = call.operand(NAME, &expert.theta)?;
                Rule::of(&expert.keep, (base, theta), length, call)?.write(theta, expert.scale, expert.weight, &mut terms);
            }
            let (terms, target, bad) = (call.copy(terms.bytes())?, call.room(out.bytes().len())?, call.filled(8, 0xff)?);
            let mut rule = Table::default();
            rule.u32(combine.elect_sign.into()).u32(combine.normalize.into()).f32(combine.lambda).f32(weights);
            let arguments = [
                base.place.into(),
                U32(base.kind),
                terms.into(),
                U32(experts.len() as u32),
                Struct(rule.bytes().to_vec()),
                target.into(),
                U32(to),
                U64(length as u64),
                bad.into(),
            ];
            call.over(Kernel::TaskVectors, length, &arguments)?;
            call.finish(target, bad, out)
        })
    }
}
