//! Linear-time attention: pure functions over packed documents, forward and backward, in f32 and f64.
//!
//! Every family is a [`Mixer`]: it reads a [`Span`] of tokens and carries a state whose change over any span is an affine map
//! ([`StateShape`]). So one program runs all of them on one rank or on many.
//!
//! Unlike merging, these functions promise no bits: products go through a matrix library that orders its sums by the machine. They
//! promise the f64 oracle to rounding, and the same bits for the same inputs on the same machine, whatever the number of threads.

mod chunkwise;
mod combiner;
mod conv;
mod delta;
mod exp;
mod features;
mod gated;
mod gathered;
mod gsa;
mod heads;
mod hedgehog;
mod hydra;
mod liger_hybrid;
mod lightnet;
mod lolcats;
mod matrix;
mod mixer;
mod real;
mod softmax;
mod span;
mod state;
mod sweep;
#[cfg(test)]
mod testing;
mod vq;

pub use combiner::{AxialCombiner, Combiner, LogsparseCombiner};
pub use conv::ShortConvolution;
pub use delta::{DeltaNet, GatedDeltaNet, Kda, Memories, MixtureOfMemories};
pub use features::HedgehogForm;
pub use gated::{Gla, Liger, Lightning, LinearAttention, ScalarGate};
pub use gathered::Gathered;
pub use gsa::GatedSlots;
pub use hedgehog::Hedgehog;
pub use hydra::Hydra;
pub use liger_hybrid::LigerHybrid;
pub use lightnet::LightNet;
pub use lolcats::Lolcats;
pub use matrix::{Matrix, MatrixMut, Update, product};
pub use mixer::{Carry, Mixer, Tensor};
pub use real::Real;
pub use softmax::{SlidingWindow, Softmax, SoftmaxHeads};
pub use span::{Documents, Gradients, Halo, Segment, Span};
pub use state::{Direction, StateShape, Transition};
pub use vq::VqAttention;
