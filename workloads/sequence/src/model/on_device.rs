//! Layers whose attention a GPU computes where one is free, and the family itself elsewhere. Not which layers, nor which GPU.
//!
//! The maps that ranks gather stay with the family, as do the sums over ranks: a GPU has outputs, states and gradients of one rank's tokens.
//! Its queries and keys come as kernels want them: scaled, and of length one where the family has it so.

use braid_gpu::{
    Attending,
    attention::{Attention, AttentionGradients, Rule, SoftmaxAttention},
};
use braid_kernels::{
    Dtype, KernelError, Slice, SliceMut,
    attention::{Carry, Gathered, Gradients, Halo, Mixer, Softmax, Span, StateShape, Tensor},
};
use std::sync::Arc;

/// Added under the root of a norm, as the families do.
const EPSILON: f32 = 1e-6;

/// A family with a state that there are kernels for.
pub(super) struct OnDevice {
    pub(super) family: Box<dyn Mixer<f32>>,
    pub(super) gpus: Arc<Attending>,
    pub(super) heads: usize,
    /// Channels of a key, and of a value.
    pub(super) width: usize,
    pub(super) kernel: Recurrence,
}

/// What a kernel has to know of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recurrence {
    /// Gated sums without a decay; queries scaled.
    Plain,
    /// Constant decay: the first parameter has the slopes.
    Decay,
    /// A gate for each key channel, which is the fourth input; queries scaled.
    Gated,
    /// The delta rule; the fourth input has the betas. Queries and keys of length one, and queries then scaled.
    Delta,
}

/// What a kernel reads of a span.
struct Features {
    q: Vec<f32>,
    k: Option<Vec<f32>>,
    slopes: Vec<f32>,
}

impl OnDevice {
    fn scale(&self) -> f32 {
        if self.kernel == Recurrence::Decay { 1.0 } else { (self.width as f64).powf(-0.5) as f32 }
    }

    fn features(&self, span: &Span<'_, f32>) -> Features {
        let (mut q, mut k) = (span.inputs[0].to_vec(), None);
        if self.kernel == Recurrence::Delta {
            let mut keys = span.inputs[1].to_vec();
            [&mut q, &mut keys].into_iter().for_each(|rows| normalise(rows, self.width));
            k = Some(keys);
        }
        q.iter_mut().for_each(|q| *q *= self.scale());
        let slopes = match self.kernel {
            Recurrence::Decay => span.params[0].to_vec(),
            _ => vec![0.0; self.heads],
        };
        Features { q, k, slopes }
    }

    fn attention<'a>(&self, span: &Span<'a, f32>, features: &'a Features) -> Result<Attention<'a>, KernelError> {
        Ok(Attention {
            heads: self.heads,
            key: self.width,
            value: self.width,
            documents: span.documents,
            own: span.own.clone(),
            q: slice(&features.q)?,
            k: slice(features.k.as_deref().unwrap_or(span.inputs[1]))?,
            v: slice(span.inputs[2])?,
            rule: match self.kernel {
                Recurrence::Plain | Recurrence::Decay => Rule::Decay(&features.slopes),
                Recurrence::Gated => Rule::Gated(slice(span.inputs[3])?),
                Recurrence::Delta => Rule::Delta(slice(span.inputs[3])?),
            },
        })
    }

    fn forward_there(&self, span: &Span<'_, f32>, state: &mut [f32], out: &mut [f32]) -> Result<bool, KernelError> {
        let features = self.features(span);
        let attention = self.attention(span, &features)?;
        Ok(self.gpus.attend(&attention, state, &mut SliceMut::new(Dtype::F32, bytemuck::cast_slice_mut(out))?))
    }

    fn backward_there(
        &self,
        span: &Span<'_, f32>,
        (states, d_out, d_after): (&[f32], &[f32], &[f32]),
    ) -> Result<Option<AttentionGradients>, KernelError> {
        let features = self.features(span);
        Ok(self.gpus.attend_backward(&self.attention(span, &features)?, states, d_out, d_after))
    }
}

impl Mixer<f32> for OnDevice {
    fn name(&self) -> &'static str {
        self.family.name()
    }

    fn inputs(&self) -> Vec<Tensor> {
        self.family.inputs()
    }

    fn params(&self) -> Vec<Tensor> {
        self.family.params()
    }

    fn output_width(&self) -> usize {
        self.family.output_width()
    }

    fn halo(&self) -> Halo {
        self.family.halo()
    }

    fn states(&self) -> Vec<StateShape> {
        self.family.states()
    }

    fn adjoint_states(&self) -> Vec<StateShape> {
        self.family.adjoint_states()
    }

    fn summarize(&self, span: &Span<'_, f32>, map: &mut [f32]) {
        self.family.summarize(span, map);
    }

    fn forward(&self, span: &Span<'_, f32>, carry: Carry<'_, f32>, out: &mut [f32]) -> Vec<f32> {
        let mut state = vec![0.0; self.states().iter().map(StateShape::state_len).sum()];
        carry(&mut state);
        let mut after = state.clone();
        // what kernels do not take, the family says more about
        if self.forward_there(span, &mut after, out).unwrap_or(false) {
            return after;
        }
        self.family.forward(span, &mut |given| given.copy_from_slice(&state), out)
    }

    fn recurrent(&self, span: &Span<'_, f32>, states: &mut [f32], out: &mut [f32]) {
        self.family.recurrent(span, states, out);
    }

    fn adjoint(&self, span: &Span<'_, f32>, states: &[f32], d_out: &[f32], map: &mut [f32]) {
        self.family.adjoint(span, states, d_out, map);
    }

    fn backward(
        &self,
        span: &Span<'_, f32>,
        states: &[f32],
        d_out: &[f32],
        carry: Carry<'_, f32>,
        gradients: &mut Gradients<f32>,
    ) -> Vec<f32> {
        let mut d_after = vec![0.0; states.len()];
        carry(&mut d_after);
        let Ok(Some(mut found)) = self.backward_there(span, (states, d_out, &d_after)) else {
            return self.family.backward(span, states, d_out, &mut |given| given.copy_from_slice(&d_after), gradients);
        };
        found.q.iter_mut().for_each(|q| *q *= self.scale());
        if self.kernel == Recurrence::Delta {
            normalise_backward(span.inputs[0], &mut found.q, self.width);
            normalise_backward(span.inputs[1], &mut found.k, self.width);
        }
        for (gradient, found) in gradients.inputs.iter_mut().zip([&found.q, &found.k, &found.v]) {
            add(gradient, found);
        }
        match self.kernel {
            Recurrence::Plain => {}
            Recurrence::Decay => add(&mut gradients.params[0], &found.rule),
            Recurrence::Gated | Recurrence::Delta => add(&mut gradients.inputs[3], &found.rule),
        }
        found.state
    }
}

/// Softmax attention, whose products a library of the GPU's has.
pub(super) struct SoftmaxOnDevice {
    pub(super) family: Softmax,
    pub(super) gpus: Arc<Attending>,
}

impl SoftmaxOnDevice {
    fn attention<'a>(&self, span: &Span<'a, f32>, shared: &'a [f32]) -> Result<SoftmaxAttention<'a>, KernelError> {
        let heads = self.family.heads;
        let (documents, own) = (span.documents, span.own.clone());
        Ok(SoftmaxAttention { heads, documents, own, q: slice(span.inputs[0])?, pairs: slice(shared)? })
    }

    fn family(&self) -> &dyn Gathered<f32> {
        &self.family
    }
}

impl Gathered<f32> for SoftmaxOnDevice {
    fn name(&self) -> &'static str {
        self.family().name()
    }

    fn inputs(&self) -> Vec<Tensor> {
        self.family().inputs()
    }

    fn output_width(&self) -> usize {
        self.family().output_width()
    }

    fn contribution_len(&self, span: &Span<'_, f32>) -> usize {
        self.family().contribution_len(span)
    }

    fn contribute(&self, span: &Span<'_, f32>) -> Vec<f32> {
        self.family().contribute(span)
    }

    fn forward(&self, span: &Span<'_, f32>, shared: &[f32], out: &mut [f32]) {
        let there = self.attention(span, shared).is_ok_and(|attention| self.gpus.softmax(&attention, out));
        if !there {
            self.family().forward(span, shared, out);
        }
    }

    fn backward(
        &self,
        span: &Span<'_, f32>,
        shared: &[f32],
        d_out: &[f32],
        d_shared: &mut [f32],
        gradients: &mut Gradients<f32>,
    ) {
        let found = self.attention(span, shared).ok().and_then(|attention| self.gpus.softmax_backward(&attention, d_out));
        let Some(found) = found else { return self.family().backward(span, shared, d_out, d_shared, gradients) };
        let width = self.family.heads.keys * (self.family.heads.key_width + self.family.heads.value_width);
        add(&mut gradients.inputs[0], &found.q);
        add(&mut d_shared[found.seen.start * width..found.seen.end * width], &found.pairs);
    }

    fn contribute_backward(&self, span: &Span<'_, f32>, d_own: &[f32], gradients: &mut Gradients<f32>) {
        self.family().contribute_backward(span, d_own, gradients);
    }
}

fn slice(values: &[f32]) -> Result<Slice<'_>, KernelError> {
    Slice::new(Dtype::F32, bytemuck::cast_slice(values))
}

fn add(to: &mut [f32], values: &[f32]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += value);
}

fn inverse_norm(row: &[f32]) -> f32 {
    (row.iter().map(|x| x * x).sum::<f32>() + EPSILON).sqrt().recip()
}

/// Divides each row by its length.
fn normalise(rows: &mut [f32], width: usize) {
    for row in rows.chunks_mut(width) {
        let scale = inverse_norm(row);
        row.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Turns the gradients of normalised rows into those of the rows before.
fn normalise_backward(raw: &[f32], gradients: &mut [f32], width: usize) {
    for (row, gradient) in raw.chunks(width).zip(gradients.chunks_mut(width)) {
        let scale = inverse_norm(row);
        let along = row.iter().zip(&*gradient).map(|(x, d)| x * d).sum::<f32>() * scale * scale;
        gradient.iter_mut().zip(row).for_each(|(d, x)| *d = scale * (*d - along * x));
    }
}

#[cfg(test)]
mod tests;
