//! Which of several coordinators leads.
//!
//! ```text
//!              orders: lead, follow
//!   Keeper ───────────────────────────▶ runtime ── a term: engine, writer, services
//!     │  ▲ ◀──────────────────────────     │
//!     │  │    the term has ended           └──▶ every transaction demands the seat
//!     │  └── watch ──┐
//!     └─ create, ──▶ leader record in the store
//!        renew
//! ```
//! * [`step`] — the decisions; pure;
//! * [`record`] — the leader record: who holds the seat, and where to find it;
//! * [`Keeper`] — carries the decisions out, on a thread of its own: no load of the coordinator delays a renewal;
//! * [`Tenure`] — until when a leader may answer, by its own clock;
//! * [`Instance`] — who this coordinator is, the same after a restart.
//!
//! The lease tells others when they may take over. It protects no record: a leader that was stopped and goes on writes
//! nothing, because each of its transactions demands its seat (see `Fence`), and answers nothing, because its tenure is
//! over. A store without leases has one coordinator, which leads as long as it lives; nothing here is used for it.

mod instance;
mod keeper;
mod record;
mod step;
mod tenure;
#[cfg(test)]
mod tests;

pub(crate) use instance::Instance;
pub(crate) use keeper::{Candidate, Keeper, Order};
pub(crate) use record::Seat;
#[cfg(test)]
pub(crate) use step::Term;
pub(crate) use tenure::Tenure;
