//! A trainer that asks: a program of its own, which asks what to train on and says what it has seen.
//!
//! ```text
//!             ┌──────────────── turn(step) ◀───────────────┐
//!             ▼                                            │
//!  Train until a step ─ report(step) ─┐                    │
//!  Measure            ─ report(step) ─┤ check ─ record ─ take     check refuses and changes nothing;
//!  Probe              ─ probed(step) ─┤                           take is the same for a report that is new and for one
//!  Test, at the end   ─ tested       ─┘                           that is read back: records are the whole state
//!  Over
//! ```
//!
//! A method is asked by [`Online`](crate::online::Online) as everywhere else; here its directives get places in time, so that a trainer
//! that was killed and goes on from an earlier checkpoint is told again what it was told before. What is recorded first counts: a
//! report that comes again, from another life of the trainer, is thanked for and changes nothing. So the proportions of every step are
//! the same however often the trainer dies, and the same for all ranks.
//!
//! Pure: who records, who listens and who runs the program is the job's affair.

mod call;
mod gang;
mod steering;
#[cfg(test)]
mod tests;

pub use call::{Begun, Call, DomainInfo, Refusal, Reply, Turn};
pub use gang::agree;
pub use steering::{Last, Steering, Told};
