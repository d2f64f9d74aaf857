//! On which proportions of its data a model is trained.
//!
//! ```text
//! domains, budget ─ online/  (proportions from what the trainer sees)     ─┐
//!                  swarm/    (small runs -> a fitted law -> proportions)   ├─ document/ (what any trainer reads)
//!                                                                          │
//! counters, seed  ─ compose  (which domain each slot of a batch goes to)  ─┘
//! tokenizer, texts ─ infer/  (the proportions that a tokenizer was trained on; a job of its own)
//!
//! job/  a graph of tasks that carries all of it out ─ trainer/ (whoever trains: handed in) ─ data/ (files -> sequences)
//! ```
//!
//! What decides is pure: no file, no clock, no chance but a counter-based generator keyed by seed and step. Whatever it knows is a
//! value that a job stores; what goes on from that value goes on as if nothing had happened. Files are the business of `data`, and
//! of the doing half of `job`. Nothing here trains: a trainer is handed in.
//!
//! A job drives an online method like this; the trainer is anything that can do a [`Leg`](online::Leg) and report:
//!
//! ```
//! use braid_mixture::{Composer, Domains, MixtureError, online::{Directive, Observation, Online, Run, Settings}};
//!
//! # fn main() -> Result<(), MixtureError> {
//! let run = Run { domains: Domains::new(["web", "code"])?, sizes: vec![9000, 1000], steps: 20, slots: 8, seed: 1 };
//! let mut online = Online::new(&Settings::Proportional { exponent: 0.5 }, run)?;
//! let mut composer = Composer::new(2, 8)?;
//! loop {
//!     match online.next() {
//!         Directive::Done => break,
//!         Directive::Train(leg) => {
//!             let mut tokens = vec![0; 2];
//!             for _ in online.step()..leg.until {
//!                 let counts = composer.next(&leg.proportions, 8, leg.rule, 1)?; // sequences of each domain in this batch
//!                 tokens.iter_mut().zip(counts).for_each(|(sum, count)| *sum += 512 * count);
//!             }
//!             // Here the report also has what `leg.needs` names: losses, gradients.
//!             online.observe(&Observation { step: leg.until, tokens, ..Observation::default() })?;
//!         }
//!         Directive::Measure(_) | Directive::Probe(_) => unreachable!("this method asks for neither"),
//!     }
//!     let stored = online.state()?; // and the composer's, as one record: a restart goes on from here
//!     online = Online::restore(stored)?;
//! }
//! assert_eq!(online.tally().counts(), [61440, 20480]);
//! # Ok(())
//! # }
//! ```
//!
//! Domains are named once ([`Domains`]); from there on everything that has one entry a domain is in their order.

mod compose;
pub mod data;
pub mod document;
mod domains;
mod draw;
mod error;
pub mod files;
pub mod infer;
pub mod job;
mod numerics;
pub mod online;
mod proportions;
pub mod steer;
pub mod swarm;
mod text;
pub mod trainer;

pub use compose::{BatchRule, Composer, Tally};
pub use domains::Domains;
pub use error::MixtureError;
pub use proportions::{Proportions, ProportionsProblem};
