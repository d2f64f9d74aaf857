//! Which sequences go to which group of workers, for each step.
//!
//! ```text
//! Cluster + ModelProfile + context ─ CostModel ┐
//! lengths ─ Batch (rounded, overlong dropped) ─┴─ plan() ─ Plan (plain data, checked by Plan::check)
//! ```
//!
//! Not a scheduler of workers and no runtime: it decides, and others carry out.

pub mod baseline;
mod bound;
mod check;
mod chunk;
mod cluster;
mod cost;
mod instance;
mod knapsack;
mod layout;
mod lengths;
mod model;
mod no_barrier;
mod options;
mod pack;
#[allow(clippy::module_inception)]
mod plan;
pub(crate) mod profile_file;
pub mod simulate;
mod solve;
mod target;
#[cfg(test)]
mod tests;
mod uniform;
mod units;
mod write;

pub use cluster::{Charge, Cluster, Exchange, MAX_GPUS, Pool};
pub use cost::{CostModel, Degrees, GroupKind, Load, PoolShape};
pub use lengths::{Batch, MAX_LENGTH, Sequence, parse_lengths};
pub use model::{LinearLayers, ModelProfile, ParameterCount, Speed};
pub use options::{Effort, PlanOptions};
pub use plan::{Group, MicroBatch, Plan};
pub use solve::{Stop, plan, plan_until};
pub use units::{Bytes, Degree, Millis, Rank, Tokens};
