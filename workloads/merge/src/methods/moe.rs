//! What a mixture of experts does with a tensor of a model: takes it as it is, or with noise and a factor. No recipe names it as its method;
//! one with `experts` has it.

use super::{BaseRule, Class, Contract, Method, Parameter, Scalar, Scope, TensorParameters, Values};
use crate::{MergeError, run::Tiles};
use braid_kernels::{Noise, convert, noisy, scale};

/// Puts models side by side.
pub(crate) struct Moe;

const NOISE: Parameter = Parameter::number("noise_scale", Scope::Input, 0.0);
const SCALE: Parameter = Parameter::number("residual_scale", Scope::Input, 1.0);

/// What becomes of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// The standard deviation of what is added to its elements.
    pub(crate) noise: f64,
    /// What they are multiplied by after that.
    pub(crate) scale: f64,
}

impl Part {
    /// As it is.
    pub(crate) const PLAIN: Self = Self { noise: 0.0, scale: 1.0 };

    /// What decides it, for an expert with this number.
    pub(crate) fn parameters(self, seed: u64, expert: u32) -> TensorParameters {
        let mut values = Values::default();
        values.set(&NOISE, Scalar::Number(self.noise));
        values.set(&SCALE, Scalar::Number(self.scale));
        TensorParameters { seed, identities: vec![expert], inputs: vec![values], ..TensorParameters::default() }
    }

    fn of(parameters: &TensorParameters) -> Self {
        let number = |parameter| parameters.inputs.first().map_or(f64::NAN, |values| values.number(parameter));
        Self { noise: number(&NOISE), scale: number(&SCALE) }
    }
}

impl Method for Moe {
    fn name(&self) -> &'static str {
        "moe"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[NOISE, SCALE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Unused, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    /// `(θ + σ·ε)·s` with ε from the standard normal distribution, an element's own: it depends on (seed, expert, tensor, element) alone.
    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let part = Part::of(parameters);
        if part == Part::PLAIN {
            return match tiles.inputs().next() == Some(tiles.dtype()) {
                true => tiles.copy(0),
                false => tiles.write(|tile, mut out| convert(&tile.inputs[0], &mut out)),
            };
        }
        if part.noise == 0.0 {
            return tiles.write(|tile, mut out| scale(&tile.inputs[0], part.scale as f32, &mut out));
        }
        let expert = parameters.identities.first().copied().unwrap_or(0);
        let noise = Noise::new(parameters.seed, expert, tiles.name(), part.noise as f32);
        tiles.write(|tile, mut out| noisy(&tile.inputs[0], &noise, tile.first, part.scale as f32, &mut out))
    }
}
