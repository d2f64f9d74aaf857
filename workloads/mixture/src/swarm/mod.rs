//! Proportions learnt from a swarm of small runs.
//!
//! ```text
//! prior ─ design (mixtures to try) ─▶ runs, elsewhere ─▶ Swarm ─ fit (a law of each metric) ─▶ propose (the best mixture)
//! ```
//!
//! Four pure steps that know nothing of each other's files: `files` reads and writes what RegMix and Olmix use. No model is trained
//! here.

mod calibrate;
mod design;
mod fit;
mod log_linear;
mod propose;
mod study;
mod table;
#[cfg(test)]
mod tests;
mod trees;

pub use calibrate::Calibration;
pub use design::Design;
pub use fit::{Agreement, Law, LawKind, fit};
pub use log_linear::LogLinear;
pub use propose::{Caps, Objective, Simulation, mirror_descent, simulate};
pub use study::{MetricStudy, Study, study};
pub use table::{Swarm, SwarmRun};
pub use trees::Trees;
