//! Tests of whole processes, as a user, an operator or an accident meets them.

// clippy.toml allows these in tests, which it takes the helpers of an integration test not to be.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod bad_input;
mod chaos;
mod cli;
mod conformance;
mod deploy;
mod gpu;
mod harness;
#[cfg(feature = "etcd")]
mod leadership;
mod linearizable;
mod mix;
mod parallel;
mod run;
mod same_bytes;
mod security;
mod timed;
#[cfg(feature = "otel")]
mod trace;
mod train;
