//! Where layers of attention are computed in a training: on lanes of devices as far as there are any; where not, the caller computes.
//!
//! Other than [`Arithmetic`](crate::Arithmetic) the two are close and not the same: sums in f32, in another order. Which layers there are
//! kernels for is known to those who ask.

use std::sync::Arc;

use crate::{
    Accelerator, GpuError, Lane,
    attention::{Attention, AttentionGradients, SoftmaxAttention, SoftmaxGradients},
    lanes::Lanes,
    proof,
};
use braid_kernels::SliceMut;

/// Elements of queries below which a layer is not worth the way.
const LEAST: usize = 1 << 15;

/// Attention, where a device computes it.
#[derive(Debug)]
pub struct Attending {
    lanes: Lanes,
    products: bool,
    least: usize,
}

impl Default for Attending {
    fn default() -> Self {
        Self::cpu()
    }
}

impl Attending {
    /// Nowhere: callers compute all of it.
    pub const fn cpu() -> Self {
        Self { lanes: Lanes::none(), products: false, least: LEAST }
    }

    /// On these devices, those of them whose answers to a few questions are close to the CPU's; and what is wrong with the others.
    /// Softmax attention too, if their streams multiply matrices (`products`). Where one of them cannot after all, none is asked for
    /// softmax attention, and [`GpuError::NoSoftmax`] is among what is wrong.
    pub fn on(devices: Vec<Arc<dyn Accelerator>>, mut products: bool) -> (Self, Vec<GpuError>) {
        let mut without = None;
        let prove = |name: &str, lane: &mut Lane| {
            proof::of_attention(name, lane)?;
            if !products {
                return Ok(());
            }
            match proof::of_softmax(name, lane) {
                // such a device is trusted with nothing else either
                Err(error @ (GpuError::Lost { .. } | GpuError::WrongAnswer { .. })) => Err(error),
                Err(problem) => {
                    products = false;
                    without = Some(GpuError::NoSoftmax { problem: Box::new(problem) });
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        };
        let (lanes, mut problems) = Lanes::of("trainings", devices, prove);
        problems.extend(without);
        (Self { lanes, products, least: LEAST }, problems)
    }

    /// The same, with layers of so many elements of queries worth the way.
    pub fn with_least(self, elements: usize) -> Self {
        Self { least: elements, ..self }
    }

    /// Whether there is a device at all.
    pub fn has_devices(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// How many calls a device has answered.
    pub fn answered_by_devices(&self) -> u64 {
        self.lanes.answered()
    }

    /// As [`Lane::attend`](Lane::attend); false where no device has done it. `out` then holds anything, and `state` what it did.
    pub fn attend(&self, attention: &Attention<'_>, state: &mut [f32], out: &mut SliceMut<'_>) -> bool {
        if attention.q.len() < self.least {
            return false;
        }
        let mut after = state.to_vec();
        let done = self.lanes.ask(|lane| lane.attend(attention, &mut after, out));
        if let Some(Ok(())) = done {
            state.copy_from_slice(&after);
        }
        matches!(done, Some(Ok(())))
    }

    /// As [`Lane::attend_backward`](Lane::attend_backward); none where no device has done it.
    pub fn attend_backward(
        &self,
        attention: &Attention<'_>,
        state: &[f32],
        d_out: &[f32],
        d_state: &[f32],
    ) -> Option<AttentionGradients> {
        if attention.q.len() < self.least {
            return None;
        }
        self.lanes.ask(|lane| lane.attend_backward(attention, state, d_out, d_state))?.ok()
    }

    /// As [`Lane::softmax`](Lane::softmax); false where no device has done it. `out` then holds anything.
    pub fn softmax(&self, attention: &SoftmaxAttention<'_>, out: &mut [f32]) -> bool {
        let worth = self.products && attention.q.len() >= self.least;
        worth && matches!(self.lanes.ask(|lane| lane.softmax(attention, out)), Some(Ok(_)))
    }

    /// As [`Lane::softmax_backward`](Lane::softmax_backward); none where no device has done it.
    pub fn softmax_backward(&self, attention: &SoftmaxAttention<'_>, d_out: &[f32]) -> Option<SoftmaxGradients> {
        if !self.products || attention.q.len() < self.least {
            return None;
        }
        self.lanes.ask(|lane| lane.softmax_backward(attention, d_out, None))?.ok()
    }
}
