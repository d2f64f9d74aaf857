//! Long-context training on documents of very unequal length.
//!
//! ```text
//! lengths, cluster, model ─ planner/ (which sequences go to which group of workers) ─ a plan for each step
//! ```
//!
//! The planner is pure: it reads no file, has no clock and draws no random numbers of its own.

mod error;
pub mod gantt;
pub mod model;
pub mod parallel;
pub mod planner;
pub mod profile;
pub mod train;

pub use error::{LengthProblem, SequenceError};
