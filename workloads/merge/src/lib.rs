//! Merging checkpoints: several models in, one out, byte for byte the same however it is run.
//!
//! ```text
//! recipe text ─ recipe/ (typed, with positions) ─┐
//! checkpoint folders ─ checkpoint/ (headers) ────┴─ plan/ (what each output tensor is made of)
//!                                                     │
//!                                  survey/ (what some methods ask about whole models first)
//!                                                     │
//!                                  run/ (passes over tiles) with methods/ (one file a method)
//!                                                     │
//!                              output/ (staging folder, progress, publishing at once)
//! ```
//!
//! Of a file of several recipes each goes this way, those before others that use them; or its tiles are computed as they are read
//! (`opened.rs`, `run/composed.rs`).
//!
//! Everything up to the plan is pure but for the reading of headers; what touches files is at the edges.

pub mod adapter;
pub mod checkpoint;
mod cloud;
mod dry_run;
mod error;
mod execute;
mod groups;
mod hub;
pub mod methods;
mod moe;
mod open_files;
mod opened;
pub mod output;
pub mod plan;
pub mod recipe;
mod reuse;
pub mod run;
mod spec;
mod step;
pub mod survey;
#[cfg(test)]
mod testing;
pub mod tokenizer;
mod workload;

pub use checkpoint::url;
pub use dry_run::{DryRun, StageRun, dry_run};
pub use error::MergeError;
pub use execute::MergeExecute;
pub use recipe::Recipe;
pub use spec::{DEFAULT_MAX_SHARD, KIND, MergeSpec};
pub use workload::MergeWorkload;
