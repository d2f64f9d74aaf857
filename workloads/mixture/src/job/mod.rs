//! A mixture as a job: methods × seeds, each a campaign of runs, decided from a few numbers and carried out by any worker.
//!
//! ```text
//! spec.rs ─ plan ─ prepare ─▶ campaigns, beside each other ─▶ report
//!                             campaign.rs: what follows what      (deciding, pure)
//!                             execute/:    a task of it           (doing: files, trainer)
//! ```
//!
//! | in the folder of the results | |
//! |---|---|
//! | `job.json`, `data.json` | what is compared, on how much of what |
//! | `runs/METHOD/seed-N/ROLE/` | a run: `checkpoint-STEP/` with the model and the method's state, `history.jsonl`, `result.json` |
//! | `runs/METHOD/seed-N/fit.json` | what an offline method has fitted, and what it proposes |
//! | `report.json`, `report.md`, … | what came out |
//!
//! Every file and folder appears whole, by a rename. Whoever finds one takes it for done: a job that is started again in the same
//! folder, on whatever machine, goes on at every node of its graph where it stopped.

mod campaign;
mod error;
mod execute;
mod history;
mod method;
mod named;
mod offline;
mod report;
mod result;
mod runs;
mod spec;
mod step;
#[cfg(test)]
mod tests;
mod workload;

pub use error::JobError;
pub use execute::MixtureExecute;
pub use history::Line;
pub use method::{MethodPlan, MethodSpec};
pub use named::Named;
pub use offline::{DomainFit, Fitted, LawSettings, MergedProxies, Offline, Point, SwarmRuns};
pub use report::{MethodReport, Paired, Report, Row, Summary};
pub use result::RunResult;
pub use spec::{KIND, MOST_CAMPAIGNS, MixJob, MixSpec};
pub use workload::MixtureWorkload;
