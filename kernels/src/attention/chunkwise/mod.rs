//! The frame of all families that are computed chunk by chunk: what they have in common, and how heads, carries and gradients go
//! together. Not here: what a chunk does to a state (`gated`, `delta`), and what makes a family.
//!
//! ```text
//! inputs ─ load: columns of tensors, features ─► Sheet (q, k, v, log g, β) ─ Rule ─► rows of out
//! gradients ◄─ merge ─ pull back: features ─◄─ Sheet of gradients ◄─ Rule ─◄─ rows of d_out
//! ```
//!
//! A [`Rule`] is written for one head and reads its tokens through [`Head`]; families differ in what they load. Whoever implements
//! [`Family`] becomes a [`Mixer`](super::Mixer) by naming its rule: `chunkwise!(Gla, Gated)`.

mod decay;
pub(super) mod driver;
mod elementwise;
mod family;
mod features;
mod head;
mod merge;
mod mixer;
mod output;
mod prefetch;
mod recurrent;
mod route;
mod scores;
mod sheet;
mod stretch;
mod tiles;

pub(super) use decay::{Decay, add_scaled, gate_gradient};
pub(super) use elementwise::difference_of_products;
pub(super) use family::{Chunkwise, Family, Pass, Rule, Stripe, Tokens};
pub(super) use features::{l2_normalise, l2_pull_back, softmax, softmax_pull_back};
pub(super) use head::Head;
pub(super) use merge::merge_stripes;
pub(super) use mixer::chunkwise;
pub(super) use output::Output;
pub(super) use route::{Cut, Route};
pub(super) use scores::{Mask, Scores};
pub(super) use sheet::{Part, Sheet, Widths};
pub(super) use stretch::Stretch;
