//! Who may do what: certificates for machines, tokens for people, a table of calls, a log of who did what.
//!
//! ```text
//!   TLS ──▶ Gate: who calls? ── Roster: tokens, nodes ──┐
//!             │                                           ├─▶ the table of calls ──▶ service, or a refusal
//!             └──────────── Audit ◀── how it ended ───────┘
//! ```
//! * [`calls`] — the table; [`tokens`], [`nodes`], [`View`](view::View) — what they are worth: all pure;
//! * [`ca`] — makes and reads certificates;
//! * [`Roster`] — the edge: the clock, random numbers, the store;
//! * [`Gate`] — the layer before all services; [`audit`] — the files.
//!
//! Which paths a job may use is decided by [`Roots`](braid_workload::Roots), which a [`Policy`] has for its project and the role of
//! whoever submits it; `limits` asks at submit. How clients know a coordinator is theirs to decide.

pub mod audit;
pub mod ca;
mod caller;
pub mod calls;
mod error;
mod gate;
mod limits;
pub mod nodes;
mod policy;
mod roster;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod view;

pub use ca::{Authority, CaRecord, NodeCertificate, Peer, Serving};
pub use caller::{Caller, Role};
pub use calls::Denied;
pub use error::SecurityError;
pub(crate) use gate::{About, Mode};
pub use gate::{Gate, Gated};
pub(crate) use limits::{Limits, standing};
pub use policy::{Policy, Rule};
pub use roster::{Made, Roster};
