//! How a layer mixes tokens: which family of attention, and what makes its inputs of the residual stream.

use super::{
    ModelConfig,
    on_device::{OnDevice, Recurrence, SoftmaxOnDevice},
};
use braid_gpu::Attending;
use braid_kernels::attention::{
    DeltaNet, GatedDeltaNet, Gathered, Gla, Lightning, LinearAttention, Mixer, Softmax, SoftmaxHeads, Tensor,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How one layer mixes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixing {
    /// Causal softmax attention: quadratic, keys and values gathered (LASP-2H).
    Softmax,
    /// Linear attention without decay.
    Linear,
    /// Linear attention with one constant decay a head (Lightning Attention-2).
    Lightning,
    /// Gated linear attention: a decay for each key channel and token.
    Gla,
    /// The delta rule.
    DeltaNet,
    /// The delta rule with a scalar gate.
    GatedDeltaNet,
}

/// One input of a family and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Its name and width.
    pub input: Tensor,
    /// What the projected channels go through.
    pub activation: Activation,
    /// What its bias begins with, if it has one.
    pub bias: Option<f32>,
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Itself.
    Identity,
    /// x · sigmoid(x).
    Silu,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// ln sigmoid(x) / 16: the logarithm of a gate that begins close to 1 (GLA, arXiv 2312.06635).
    LogGate,
}

/// A layer's family, ready to run.
pub enum Family {
    /// With a state of fixed size.
    State {
        /// What it computes.
        mixer: Box<dyn Mixer<f32>>,
        /// Its parameters, which are not trained.
        params: Vec<Vec<f32>>,
    },
    /// With a tensor that grows with the sequence.
    Gathered(Box<dyn Gathered<f32>>),
}

const GATE_SHARPNESS: f32 = 16.0;

impl Mixing {
    /// The family, for the heads of a model.
    pub fn family(self, config: &ModelConfig) -> Family {
        let (heads, dim) = (config.heads, config.head_dim);
        let plain = |mixer: Box<dyn Mixer<f32>>| Family::State { mixer, params: vec![] };
        match self {
            Self::Softmax => Family::Gathered(Box::new(Softmax { heads: SoftmaxHeads::equal(heads, dim, dim) })),
            Self::Linear => plain(Box::new(LinearAttention::new(heads, dim, dim))),
            Self::Lightning => {
                let slopes = Lightning::alibi_slopes(heads).into_iter().map(|slope| slope as f32).collect();
                Family::State { mixer: Box::new(Lightning::new(heads, dim, dim)), params: vec![slopes] }
            }
            Self::Gla => plain(Box::new(Gla::new(heads, dim, dim))),
            Self::DeltaNet => plain(Box::new(DeltaNet::new(heads, dim, dim))),
            Self::GatedDeltaNet => plain(Box::new(GatedDeltaNet::new(heads, dim, dim))),
        }
    }

    /// The same, computed on GPUs as far as these have kernels for it.
    pub(super) fn family_on(self, config: &ModelConfig, gpus: &Arc<Attending>) -> Family {
        let kernel = match self {
            _ if !gpus.has_devices() => None,
            Self::Softmax => {
                let family = Softmax { heads: SoftmaxHeads::equal(config.heads, config.head_dim, config.head_dim) };
                return Family::Gathered(Box::new(SoftmaxOnDevice { family, gpus: Arc::clone(gpus) }));
            }
            Self::Linear => Some(Recurrence::Plain),
            Self::Lightning => Some(Recurrence::Decay),
            Self::Gla => Some(Recurrence::Gated),
            Self::DeltaNet => Some(Recurrence::Delta),
            Self::GatedDeltaNet => None,
        };
        match (self.family(config), kernel) {
            (Family::State { mixer: family, params }, Some(kernel)) => {
                let (gpus, heads, width) = (Arc::clone(gpus), config.heads, config.head_dim);
                Family::State { mixer: Box::new(OnDevice { family, gpus, heads, width, kernel }), params }
            }
            (family, _) => family,
        }
    }

    /// The inputs of the family, each with what makes it.
    pub fn projections(self, config: &ModelConfig) -> Vec<Projection> {
        let inputs = match self.family(config) {
            Family::State { mixer, .. } => mixer.inputs(),
            Family::Gathered(family) => family.inputs(),
        };
        inputs
            .into_iter()
            .map(|input| {
                let (activation, bias) = self.activation(input.name);
                Projection { input, activation, bias }
            })
            .collect()
    }

    fn activation(self, input: &str) -> (Activation, Option<f32>) {
        match (self, input) {
            (_, "beta") => (Activation::Sigmoid, Some(0.0)),
            (_, "g") => (Activation::LogGate, Some(0.0)),
            (Self::Linear | Self::Lightning | Self::DeltaNet | Self::GatedDeltaNet, "q" | "k") => (Activation::Silu, None),
            _ => (Activation::Identity, None),
        }
    }
}

impl Activation {
    /// Applies it in place.
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Silu => values.iter_mut().for_each(|x| *x = super::dense::silu(*x)),
            Self::Sigmoid => values.iter_mut().for_each(|x| *x = super::dense::sigmoid(*x)),
            Self::LogGate => values.iter_mut().for_each(|x| *x = -softplus(-*x) / GATE_SHARPNESS),
        }
    }

    /// Turns the gradient of its result into that of `x`, what it was applied to.
    pub(super) fn backward(self, x: &[f32], gradient: &mut [f32]) {
        let slope: fn(f32) -> f32 = match self {
            Self::Identity => return,
            Self::Silu => super::dense::silu_slope,
            Self::Sigmoid => |x| super::dense::sigmoid(x) * super::dense::sigmoid(-x),
            Self::LogGate => |x| super::dense::sigmoid(-x) / GATE_SHARPNESS,
        };
        gradient.iter_mut().zip(x).for_each(|(gradient, &x)| *gradient *= slope(x));
    }
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
