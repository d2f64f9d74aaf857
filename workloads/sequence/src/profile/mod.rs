//! Measures what the planner's cost model needs, on the ranks that will train: compute by length, exchange by degree.
//!
//! ```text
//! gang of ranks ─ measure.rs: the model's own forward and backward, for loads × degrees ─ samples
//!                 fit.rs: non-negative least squares ─ a profile that `train` takes, and how well it fits
//! ```
//!
//! It times whole passes of the model, not kernels: whatever a micro-batch costs beside its arithmetic is in the fit.

mod execute;
mod fit;
mod measure;
mod workload;

pub use execute::ProfileExecute;
pub use fit::{Fit, Sample, fit};
pub use workload::{ProfileJob, ProfileWorkload};

/// The word of this kind of job.
pub const KIND: &str = "profile";
