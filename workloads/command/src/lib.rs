//! Any program as a job: alone, as an array of equal tasks, or as a gang with what `torch.distributed` expects.
//!
//! ```text
//!   CommandSpec ──plan──▶ tasks ──▶ CommandExecute ──▶ a process in a group of its own
//!   (YAML, flags,          one a        │ lines of its output ──▶ the task's log
//!    another kind)         program      │ signals at a deadline, a cancel, too much memory
//!                                       └ its exit code ──▶ a value, or a failure that says what a shell should see
//! ```
//! * [`CommandSpec`] — what to run: read from YAML, from flags, or built by another kind of job ([`CommandSpec::new`]).
//! * [`CommandWorkload`], [`CommandExecute`] — the two halves of the kind.
//! * [`Guard`] — the process beside a worker that ends its programs when the worker is gone.
//! * [`Launcher`] — how programs get into the cgroup that bounds their memory, where there are cgroups.
//!
//! It knows no program, no framework, and nothing of how tasks are placed.

mod cgroup;
mod error;
mod execute;
mod guard;
mod spec;
mod workload;

pub use cgroup::{Launcher, enter};
pub use error::CommandError;
pub use execute::CommandExecute;
pub use guard::{Guard, serve as serve_guard};
pub use spec::{Array, CommandSpec, MAX_GANG, MAX_TASKS, SaveSignal, StopSignal};
pub use workload::{CommandWorkload, Ended, KIND};
