//! On which proportions of its data a model is trained.
//!
//! ```text
//! domains, budget ─ online/  (proportions from what the trainer sees)     ─┐
//!                  swarm/    (small runs -> a fitted law -> proportions)   ├─ document/ (what any trainer reads)
//!                                                                          │
//! counters, seed  ─ compose  (which domain each slot of a batch goes to)  ─┘
//! ```
//!
//! This crate is the deciding half alone and pure: no file, no clock, no chance but a counter-based generator keyed by seed and
//! step. It trains nothing. Whatever it knows is a value that a job stores; what goes on from that value goes on as if nothing
//! had happened.
//!
//! Domains are named once ([`Domains`]); from there on everything that has one entry a domain is in their order.

mod compose;
mod domains;
mod draw;
mod error;
mod proportions;

pub use compose::{BatchRule, Composer, Tally};
pub use domains::Domains;
pub use error::MixtureError;
pub use proportions::{Proportions, ProportionsProblem};
