//! One layer: norm, mixing of tokens, norm, gated MLP; each added to the residual stream.
//!
//! ```text
//! x ─┬─ norm ─ projections ─ family (all ranks of the group) ─ norm ─ o_proj ─(+)─┬─ norm ─ SwiGLU ─(+)─ x'
//!    └──────────────────────────────────────────────────────────────────────────┘└──────────────────┘
//! ```

use super::{
    Family, ModelConfig, ModelError, Projection, Table,
    dense::{linear, linear_backward, rms_norm, rms_norm_backward, swiglu, swiglu_backward},
    mix::{self, Mixed},
};
use crate::parallel::SequenceGroup;
use braid_gpu::Attending;
use std::{ops::Range, sync::Arc};

/// A layer's family and where its parameters lie.
pub(super) struct Layer {
    family: Family,
    projections: Vec<(Projection, Range<usize>, Option<Range<usize>>)>,
    mixer_norm: Range<usize>,
    out_norm: Range<usize>,
    o_proj: Range<usize>,
    mlp_norm: Range<usize>,
    gate_proj: Range<usize>,
    up_proj: Range<usize>,
    down_proj: Range<usize>,
    width: usize,
    inner: usize,
    mlp: usize,
    epsilon: f32,
}

/// What backward needs of a forward pass.
pub(super) struct Kept {
    x: Vec<f32>,
    normed: Vec<f32>,
    projected: Vec<Vec<f32>>,
    inputs: Vec<Vec<f32>>,
    mixed: Mixed,
    out_normed: Vec<f32>,
    between: Vec<f32>,
    mlp_normed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    gated: Vec<f32>,
}

impl Layer {
    pub(super) fn new(config: &ModelConfig, table: &Table, index: usize, gpus: &Arc<Attending>) -> Self {
        let mixing = config.layers[index];
        let range = |part: &str| table.range(&format!("model.layers.{index}.{part}"));
        let projections = mixing.projections(config).into_iter().map(|projection| {
            let name = projection.input.name;
            let bias = projection.bias.map(|_| range(&format!("mixer.{name}_proj.bias")));
            (projection, range(&format!("mixer.{name}_proj.weight")), bias)
        });
        Self {
            family: mixing.family_on(config, gpus),
            projections: projections.collect(),
            mixer_norm: range("mixer_norm.weight"),
            out_norm: range("mixer.out_norm.weight"),
            o_proj: range("mixer.o_proj.weight"),
            mlp_norm: range("mlp_norm.weight"),
            gate_proj: range("mlp.gate_proj.weight"),
            up_proj: range("mlp.up_proj.weight"),
            down_proj: range("mlp.down_proj.weight"),
            width: config.width,
            inner: config.inner(),
            mlp: config.mlp_width,
            epsilon: config.norm_epsilon.0,
        }
    }

    /// The residual stream after this layer, of the shard's own tokens.
    pub(super) fn forward(
        &self,
        parameters: &[f32],
        group: &SequenceGroup<'_>,
        x: Vec<f32>,
    ) -> Result<(Vec<f32>, Kept), ModelError> {
        let weight = |range: &Range<usize>| &parameters[range.clone()];
        let normed = rms_norm(&x, weight(&self.mixer_norm), self.epsilon);
        let (mut projected, mut inputs) = (vec![], vec![]);
        for (projection, matrix, bias) in &self.projections {
            let mut y = linear(&normed, weight(matrix), self.width);
            if let Some(bias) = bias {
                let bias = weight(bias);
                y.chunks_mut(bias.len()).for_each(|row| row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias));
            }
            let mut input = y.clone();
            projection.activation.apply(&mut input);
            projected.push(y);
            inputs.push(input);
        }
        let mixed = mix::forward(&self.family, group, &inputs)?;
        let out_normed = rms_norm(&mixed.out, weight(&self.out_norm), self.epsilon);
        let mut between = linear(&out_normed, weight(&self.o_proj), self.inner);
        add(&mut between, &x);
        let mlp_normed = rms_norm(&between, weight(&self.mlp_norm), self.epsilon);
        let gate = linear(&mlp_normed, weight(&self.gate_proj), self.width);
        let up = linear(&mlp_normed, weight(&self.up_proj), self.width);
        let gated = swiglu(&gate, &up);
        let mut out = linear(&gated, weight(&self.down_proj), self.mlp);
        add(&mut out, &between);
        Ok((out, Kept { x, normed, projected, inputs, mixed, out_normed, between, mlp_normed, gate, up, gated }))
    }

    /// The gradient of the residual stream before this layer; those of the parameters are added to `gradient`.
    pub(super) fn backward(
        &self,
        parameters: &[f32],
        group: &SequenceGroup<'_>,
        kept: Kept,
        d_out: Vec<f32>,
        gradient: &mut [f32],
    ) -> Result<Vec<f32>, ModelError> {
        let weight = |range: &Range<usize>| &parameters[range.clone()];
        let d_gated =
            linear_backward(&kept.gated, weight(&self.down_proj), &d_out, &mut gradient[self.down_proj.clone()], self.mlp);
        let (d_gate, d_up) = swiglu_backward(&kept.gate, &kept.up, &d_gated);
        let mut d_normed = linear_backward(
            &kept.mlp_normed,
            weight(&self.gate_proj),
            &d_gate,
            &mut gradient[self.gate_proj.clone()],
            self.width,
        );
        add(
            &mut d_normed,
            &linear_backward(&kept.mlp_normed, weight(&self.up_proj), &d_up, &mut gradient[self.up_proj.clone()], self.width),
        );
        let mut d_between = d_out;
        let norm = &mut gradient[self.mlp_norm.clone()];
        add(&mut d_between, &rms_norm_backward(&kept.between, weight(&self.mlp_norm), &d_normed, norm, self.epsilon));

        let o_proj = &mut gradient[self.o_proj.clone()];
        let d_out_normed = linear_backward(&kept.out_normed, weight(&self.o_proj), &d_between, o_proj, self.inner);
        let norm = &mut gradient[self.out_norm.clone()];
        let d_mixed = rms_norm_backward(&kept.mixed.out, weight(&self.out_norm), &d_out_normed, norm, self.epsilon);
        let mut d_inputs = mix::backward(&self.family, group, &kept.inputs, &kept.mixed, &d_mixed)?;
        let mut d_normed = vec![0.0; kept.normed.len()];
        for (((projection, matrix, bias), d_input), projected) in self.projections.iter().zip(&mut d_inputs).zip(&kept.projected)
        {
            projection.activation.backward(projected, d_input);
            if let Some(bias) = bias {
                let bias = &mut gradient[bias.clone()];
                let width = bias.len();
                d_input.chunks(width).for_each(|row| add(bias, row));
            }
            let d_matrix = &mut gradient[matrix.clone()];
            add(&mut d_normed, &linear_backward(&kept.normed, weight(matrix), d_input, d_matrix, self.width));
        }
        let mut d_x = d_between;
        let norm = &mut gradient[self.mixer_norm.clone()];
        add(&mut d_x, &rms_norm_backward(&kept.x, weight(&self.mixer_norm), &d_normed, norm, self.epsilon));
        Ok(d_x)
    }
}

fn add(to: &mut [f32], values: &[f32]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += value);
}
