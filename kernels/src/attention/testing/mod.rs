//! The proof that a family is what its formula says, the same for all: chunks, ranks, documents and gradients against an oracle.
//!
//! An oracle is a plain token recurrence or a dense formula in f64. It takes a span and the states before it, leaves the states
//! after it and returns the outputs; so finite differences of it are gradients. All inputs are drawn from a seed that messages name.

mod case;
mod check;
mod gathered;
mod mixer;

use super::{Mixer, Span};

/// A plain oracle: states before the span become those after it, outputs are returned.
pub(crate) type Oracle<'a> = &'a dyn Fn(&Span<'_, f64>, &mut [f64]) -> Vec<f64>;

/// How a number is drawn: from the name of its tensor (`state` for states) and a standard normal number.
pub(crate) type Draw = fn(&str, f64) -> f64;

/// Gates are negative, betas lie between 0 and 1, and all else is normal.
pub(crate) fn draw(name: &str, normal: f64) -> f64 {
    match name {
        "g" => -normal.abs() / 4.0,
        "beta" => 1.0 / (1.0 + (-normal).exp()),
        _ => normal,
    }
}

/// Proves a [`Mixer`] in both precisions against an oracle, with tensors drawn by [`draw`].
pub(crate) fn prove(f32: &dyn Mixer<f32>, f64: &dyn Mixer<f64>, oracle: Oracle<'_>) {
    prove_with(f32, f64, oracle, Proof::default());
}

pub(crate) use gathered::prove_gathered;
pub(crate) use mixer::prove_with;

/// What a proof may do otherwise than by default.
#[derive(Clone, Copy)]
pub(crate) struct Proof {
    /// How tensors and states are drawn.
    pub(crate) draw: Draw,
    /// Names of tensors whose gradient is by definition not that of the function (straight-through).
    pub(crate) straight_through: &'static [&'static str],
    /// Whether the returned gradient of the states is laid out as the states are, so that it can be held against differences.
    pub(crate) state_gradient: bool,
    /// The largest f32 error of outputs, relative to the largest output.
    pub(crate) f32_tolerance: f64,
}

impl Default for Proof {
    fn default() -> Self {
        Self { draw, straight_through: &[], state_gradient: true, f32_tolerance: 1e-5 }
    }
}
