//! The coordinator: decides what runs where, and loses nothing.
//!
//! ```text
//!   clients, workers ──▶ api ──▶ runtime ──▶ engine::step ──▶ effects ──▶ store, then workers and clients
//!                                   │
//!                                   └──▶ placement
//! ```
//! * [`model`] — jobs, tasks and nodes as data, with their state machines;
//! * [`engine`] — the pure core: events in, effects out;
//! * [`placement`] — the pure question of what runs where;
//! * [`replay`] — what was recorded, decided again;
//! * [`store`] — where records live: memory, a file, etcd;
//! * `leadership` — which of several coordinators leads, and until when;
//! * [`security`] — who may do what: certificates, tokens, the table of calls, the audit log;
//! * [`runtime`] — the loop that owns the engine and performs its effects;
//! * `api` — the gRPC services; `http` — what is read with a browser or by a scraper; `logs` — the lines that tasks write for people.
//!
//! It reads no checkpoint and runs no task: workers do.

mod api;
pub mod engine;
mod error;
mod http;
mod leadership;
mod logs;
pub mod model;
pub mod placement;
pub mod replay;
pub mod runtime;
pub mod security;
pub mod store;

pub use error::CoordinatorError;
pub use runtime::{Coordinator, DEFAULT_LEASE, DEFAULT_NODE_LIFE, Options, Protection, Stopped};
pub use store::StoreUrl;
