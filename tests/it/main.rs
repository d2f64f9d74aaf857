//! Tests of whole processes, as a user, an operator or an accident meets them.

mod chaos;
mod cli;
mod conformance;
mod harness;
mod same_bytes;
mod timed;
