//! What operators see of a process from outside: its metrics, its health, and where both are served.
//!
//! ```text
//!   coordinator, worker ── count ──▶ metrics ──┐
//!                                              ├──▶ http: /metrics, /healthz
//!   a look at the state, at each request ──────┘
//! ```
//! * [`metrics`] — the names in one place, and a set of metrics for each role, filled by whoever acts;
//! * [`http`] — a router with what every role serves, for others to add to;
//! * [`trace`] — where in a trace something happens, and, with the feature `otel`, the way to a collector.
//!
//! It decides nothing, holds no global state, and knows neither jobs nor workers: figures come in as numbers and words.

pub mod http;
pub mod metrics;
pub mod trace;
