//! The contract between a kind of job and the house around it.
//!
//! A kind of job is two halves that meet only through bytes:
//!
//! * [`Workload`] — the deciding half, called by the coordinator. Pure: no clock, no files, no randomness. It turns a
//!   spec into tasks, and the outcome of a task into more tasks or a result.
//! * [`Execute`] — the doing half, called by a worker on a compute thread. It may read and write files and take hours.
//!
//! While they run, the tasks of a gang tell each other things through an [`Exchange`].
//!
//! Beside that it has what both sides of the house need on a machine: which folders jobs may use ([`Roots`]), and how a process holds
//! a file ([`lock`]).
//!
//! This crate holds these traits, what passes between them ([`TaskSpec`], [`TaskOutcome`], [`JobResult`]), the typed
//! ids ([`JobId`], [`TaskId`], …) and units of the whole house. It is not a scheduler and knows no kind of job.

mod context;
pub mod exchange;
mod execute;
mod ids;
mod key_at;
pub mod lock;
mod membership;
mod reach;
mod registry;
mod roots;
mod task;
mod workload;

pub use context::{LogLine, LogSink, LogSource, Progress, TaskContext};
pub use exchange::{Exchange, ExchangeError};
pub use execute::Execute;
pub use ids::{AttemptId, IdParseError, JobId, LeaseId, NodeId, TaskId};
pub use key_at::{key_at, plainly, with_key};
pub use membership::{Join, Membership};
pub use reach::Reach;
pub use registry::Registry;
pub use roots::{OutOfBounds, Roots, Use};
pub use task::{Demand, Failure, FailureKind, Gang, Input, JobResult, Member, Space, TaskOutcome, TaskSpec};
pub use workload::{Advance, Plan, SpecError, Workload};

/// The size of a payload, a state or a result that the store accepts; bulk data never enters it.
pub const MAX_RECORD: usize = 64 << 10;
