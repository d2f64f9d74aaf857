//! Attention on a stream: outputs, states and gradients of the families whose recurrence is a gated sum or the delta rule, and softmax
//! attention ([`SoftmaxAttention`]), whose products are a library's.
//!
//! ```text
//!   forward    state before ──▶ chunk ──▶ chunk ──▶ … ──▶ state after        a block for each head and sixteen value columns
//!                                │          │
//!   backward   state before ◀── chunk ◀── chunk ◀── … ◀── gradient of it     from the states before each chunk
//! ```
//!
//! The maps of sequence parallelism are made of these: M is the state after the tokens from an empty one; a delta rule's transition is
//! what it makes of the identity, with values of zero. What tokens bring are features: normalising and scaling is the caller's.
//!
//! Sums are in f32, so results are close to the f64 oracle and the same on every device of one kind, but not the CPU's bytes. The outputs
//! of constant decay over bfloat16 are computed on tensor cores where channels are multiples of eight; operands are then rounded to
//! bfloat16. Their gradients are those of the exact sums.

mod backward;
mod forward;
mod shape;
mod softmax;

pub use backward::AttentionGradients;
pub use shape::{Attention, Rule};
pub use softmax::{SoftmaxAttention, SoftmaxGradients};
