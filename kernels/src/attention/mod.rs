//! Linear-time attention: pure functions over packed documents, forward and backward, in f32 and f64.
//!
//! Every family is a [`Mixer`]: it reads a [`Span`] of tokens and carries a state whose change over any span is an affine map
//! ([`StateShape`]). So one program runs all of them on one rank or on many.
//!
//! Unlike merging, these functions promise no bits: products go through a matrix library that orders its sums by the machine. They
//! promise the f64 oracle to rounding, and the same bits for the same inputs on the same machine, whatever the number of threads.

mod gathered;
mod matrix;
mod mixer;
mod real;
mod span;
mod state;

pub use gathered::Gathered;
pub use matrix::{Matrix, MatrixMut, Update, product};
pub use mixer::{Carry, Mixer, Tensor};
pub use real::Real;
pub use span::{Documents, Gradients, Halo, Segment, Span};
pub use state::{Direction, StateShape, Transition};
