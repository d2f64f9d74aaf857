//! A small hybrid language model with its backward pass written out: linear-time and softmax layers over the kernels of this house.
//!
//! ```text
//! tokens ─ embedding ─ layers (layer.rs: mixing.rs across ranks, dense.rs within) ─ norm ─ head ─ loss.rs
//! ```
//!
//! Five kinds of layer do not need an automatic differentiator: what each backward does is a few lines beside its forward, and the
//! one layer that talks to other ranks decides when. It is no framework; `train` drives it over ranks. A
//! [`Learner`] is a model with its optimizer on one thread, for those who train many small ones. Only `tensors` knows files, and only
//! `on_device` GPUs.

mod config;
mod dense;
mod error;
mod hybrid;
mod layer;
mod learner;
mod loss;
mod mix;
mod mixing;
mod on_device;
mod optimizer;
mod parameters;
pub mod tensors;
#[cfg(test)]
mod tests;

pub use config::{Epsilon, ModelConfig};
pub use error::ModelError;
pub use hybrid::Model;
pub use learner::{Learner, LearnerError};
pub use loss::Loss;
pub use mixing::{Activation, Family, Mixing, Projection};
pub use optimizer::{AdamW, Moments};
pub use parameters::{Place, Start, Table};
