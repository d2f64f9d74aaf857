//! Counters, gauges and histograms, in the text format that Prometheus reads.
//!
//! Counting costs an atomic addition, whether or not anybody asks. What is a state rather than an event (how many tasks
//! wait) is not counted along but looked up when somebody asks: see [`FleetGauges`]. Nothing here is stored; a counter
//! starts again at zero with its process, as Prometheus expects.

mod fleet;
mod labels;
mod names;
mod register;
mod rpc;
mod worker;

pub use fleet::{FleetGauges, FleetMetrics, NodeGauges};
pub use labels::{CommitFailure, JobEnd, NodeState, TaskEnd};
pub use names::{ALL, Kind, Name};
pub use rpc::{RpcMetrics, counted};
pub use worker::WorkerMetrics;
