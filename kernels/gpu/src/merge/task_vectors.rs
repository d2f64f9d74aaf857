//! Combinations of task vectors: [`braid_kernels::task_vectors`].

use braid_kernels::{Combine, Keep, Slice, SliceMut, TaskVector};

use super::{
    Call, Lane,
    call::Operand,
    operand::{Table, kind, same_count, same_length},
    rule::Rule,
};
use crate::{
    Argument::{Struct, U32, U64},
    GpuError, Kernel,
};

const NAME: &str = "task_vectors";

/// A [`TaskVector`] whose expert is on the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term<'a> {
    pub(crate) theta: Operand,
    pub(crate) keep: Keep<'a>,
    pub(crate) scale: f32,
    pub(crate) weight: f32,
}

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
        self.call(|call| {
            let base = call.operand(NAME, base)?;
            let mut terms = Vec::with_capacity(experts.len());
            for TaskVector { theta, keep, scale, weight } in experts {
                let theta = call.operand(NAME, theta)?;
                terms.push(Term { theta, keep: *keep, scale: *scale, weight: *weight });
            }
            call.task_vectors(base, &terms, combine, out)
        })
    }
}

impl Call<'_> {
    /// As [`Lane::task_vectors`], of what is on the device.
    pub(crate) fn task_vectors(
        &mut self,
        base: Operand,
        experts: &[Term<'_>],
        combine: &Combine,
        out: &mut SliceMut<'_>,
    ) -> Result<(), GpuError> {
        let (length, to) = (out.len(), kind(NAME, out.dtype())?);
        same_length(NAME, length, base.length)?;
        same_count(NAME, "experts", experts.len().max(1), experts.len())?;
        for expert in experts {
            same_length(NAME, length, expert.theta.length)?;
        }
        if length == 0 {
            return Ok(());
        }
        let weights = match experts.iter().map(|expert| expert.weight).sum::<f32>() {
            small if small.abs() < 1e-8 => 1.0,
            weights => weights,
        };
        let mut terms = Table::default();
        for Term { theta, keep, scale, weight } in experts {
            Rule::of(keep, (base, *theta), length, self)?.write(*theta, *scale, *weight, &mut terms);
        }
        let (terms, target, bad) = (self.copy(terms.bytes())?, self.room(out.bytes().len())?, self.filled(8, 0xff)?);
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
        self.over(Kernel::TaskVectors, length, &arguments)?;
        self.finish(target, bad, out)
    }
}
