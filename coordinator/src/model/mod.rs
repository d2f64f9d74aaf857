//! What the coordinator knows: jobs, their tasks, the nodes, and how each is written down.
//!
//! Plain data and its invariants. What happens to it is decided in [`engine`](crate::engine); where it is kept, by
//! [`store`](crate::store).

mod disk;
mod holding;
mod job;
mod machine;
mod node;
mod project;
mod records;
mod task;
mod time;
mod upkeep;

pub use disk::Disk;
pub use holding::Holding;
pub(crate) use job::NewJob;
pub use job::{Job, JobEnd, JobPhase, Tally};
pub use machine::{Device, Measured};
pub use node::{Gpus, Inventory, Node, Rate, SessionId};
pub use project::{Amount, DEFAULT_PROJECT, Precedence, Project, Quota, is_project};
pub(crate) use records::decode;
pub use records::{Change, JobRecord, RecordError, TaskRecord, chunk_specs, keys};
pub use task::{Assignment, Class, Task, TaskPhase};
pub use time::Millis;
pub use upkeep::{Access, Upkeep};
