//! A recording of what a coordinator was told and what it decided, and the way to decide it again.
//!
//! Pure: lines come in, a [`Summary`] comes out. Who writes recordings is in the [`runtime`](crate::runtime).
//!
//! | file | holds |
//! |---|---|
//! | `line` | what is recorded, and its form |
//! | `exact` | numbers that a line of JSON would not give back to the last bit |
//! | `describe` | decisions in words that can be compared |
//! | `again` | the engine and placement, run once more |
//! | `summary` | what came of it |

mod again;
mod describe;
mod exact;
mod line;
mod summary;
#[cfg(test)]
mod tests;

pub use again::replay;
pub use line::{FORMAT, Header, Line, LineError, Step};
pub use summary::{Difference, ReplayError, Summary};

pub(crate) use describe::effects;
pub(crate) use line::records;
