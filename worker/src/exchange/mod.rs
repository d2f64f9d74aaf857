//! The worker's side of the exchange: what carries the messages of a gang whose ranks are on several machines.
//!
//! The contract and the back-end for threads of one process are in [`braid_workload::exchange`].

pub mod nccl;
pub mod tcp;

pub use braid_workload::exchange::local;
