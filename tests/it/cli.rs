//! What a user sees of the command: both channels and the exit code, whole.

mod barrier;
mod fleet;
mod merge;
mod metrics;
mod mix_export;
mod mix_fit;
mod mix_infer;
mod page;
mod plan;
mod planner_service;
mod sim;
mod usage;
