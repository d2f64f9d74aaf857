//! A training job that runs: a small hybrid language model on documents of unequal length, by a gang of workers.
//!
//! ```text
//!            plan of step n+1, while step n runs (rank 0)
//!   corpus ─────────────┐
//!                       ▼
//!   each micro-batch: the groups of the plan ─ forward, backward (sequence-parallel within a group)
//!   each step:        all_reduce of the gradient over all ranks ─ AdamW on each ─ now and then a checkpoint (rank 0)
//! ```
//!
//! What a step computes depends on the spec, the documents and the checkpoint before it alone: a training that was killed goes on
//! from its last checkpoint and writes the same losses again.

mod checkpoint;
mod corpus;
mod cost;
mod error;
mod execute;
mod journal;
mod planned;
mod rank;
mod spec;
#[cfg(test)]
mod tests;
mod tokenizer;
mod tokens;
mod workload;

pub use corpus::Corpus;
pub use cost::{Profile, measured_profile};
pub use error::TrainError;
pub use execute::TrainExecute;
pub use spec::{KIND, MAX_RANKS, TrainJob, TrainSpec};
pub use tokenizer::Tokenizer;
pub use tokens::Tokens;
pub use workload::TrainWorkload;
