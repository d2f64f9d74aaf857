//! The exchange: what the ranks of a gang tell each other while they run.
//!
//! ```text
//!   scan, typed slices      on top of any Exchange
//!   Exchange                the contract: all_gather, all_reduce, …, split, abort
//!   Group<T>                the collectives, made of rounds of messages
//!   Transport               messages between ranks: local (threads), tcp (in the worker)
//! ```
//!
//! * **One program.** All members of a group make the same calls in the same order. A difference is an error on all.
//! * **Never a hang.** A call ends within [`Exchange::timeout`]. The first error ends the epoch: it reaches every other
//!   member, and all later calls on the group and on every part of it return it. A new epoch is a new group.
//! * **The same bits everywhere.** Results are in rank order, sums are taken in rank order in f64 and rounded once, so they
//!   depend neither on time nor on the back-end, and are equal on all ranks.
//!
//! Calls block; they are made for compute threads, not for an async runtime. One thread at a time uses one group; different
//! groups of one member may be used by different threads at the same time.

mod call;
mod collective;
mod error;
mod group;
mod inbox;
pub mod local;
mod pending;
mod reduce;
mod scan;
mod span;
mod transport;
mod typed;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use call::{Call, Operation};
pub use error::ExchangeError;
pub use group::Group;
pub use inbox::Inbox;
pub use reduce::share;
pub use scan::{Direction, ScanMethod, exclusive_scan, exclusive_scan_by};
pub use transport::{Deadline, Incoming, Lane, Outgoing, Posted, Ticket, Transport};
pub use typed::{TypedExchange, wait_values};

use std::{sync::Arc, time::Duration};

/// How long a call may take unless the group's [`timeout`](Exchange::timeout) says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// One member's end of a group of ranks.
///
/// Lengths are in bytes, slices of floats have helpers in [`TypedExchange`]. Every call can fail with any
/// [`ExchangeError`]; each one ends the epoch for all members, except those of [`Exchange::split`].
pub trait Exchange: Send + Sync {
    /// This member's place, `0..size`.
    fn rank(&self) -> usize;

    /// Members of this group.
    fn size(&self) -> usize;

    /// Which forming of the whole group this is. Grows with every one.
    fn epoch(&self) -> u64;

    /// The time that one call may take.
    fn timeout(&self) -> Duration;

    /// Changes it, from the next call on. Groups split off later inherit it.
    fn set_timeout(&self, limit: Duration);

    /// Why the epoch has ended, when word of it has reached this member. Never blocks: for long computations between calls.
    fn failure(&self) -> Option<ExchangeError>;

    /// Ends the epoch for every member, with a reason. May be called from any thread: calls that block return.
    fn abort(&self, reason: &str);

    /// Everyone gets what everyone has: `out` is the concatenation in rank order, `lens[r]` bytes from rank `r`. All
    /// members give the same `lens`.
    fn all_gather_varied(&self, mine: &[u8], lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError>;

    /// [`all_gather_varied`](Exchange::all_gather_varied) where this member's bytes are already at their place in `out`.
    fn all_gather_in_place(&self, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError>;

    /// Begins an [`all_gather_varied`](Exchange::all_gather_varied) that goes on while the caller computes. It counts as
    /// a call at this place of the program; other calls may come before its end is waited for.
    fn start_all_gather_varied(&self, mine: Vec<u8>, lens: &[usize]) -> Result<Box<dyn Pending>, ExchangeError>;

    /// `values[i]` becomes the sum over ranks of their `values[i]`, added in rank order in f64 and rounded once.
    fn all_reduce_f32(&self, values: &mut [f32]) -> Result<(), ExchangeError>;

    /// `values[i]` becomes the sum over ranks of their `values[i]`, added in rank order.
    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), ExchangeError>;

    /// `out` becomes this member's [`share`] of the sum over ranks of `values`, with the bits of
    /// [`all_reduce_f32`](Exchange::all_reduce_f32).
    fn reduce_scatter_f32(&self, values: &[f32], out: &mut [f32]) -> Result<(), ExchangeError>;

    /// `out` becomes this member's [`share`] of the sum over ranks of `values`.
    fn reduce_scatter_f64(&self, values: &[f64], out: &mut [f64]) -> Result<(), ExchangeError>;

    /// Everyone gets the bytes of `root`.
    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), ExchangeError>;

    /// Returns when every member has called it.
    fn barrier(&self) -> Result<(), ExchangeError>;

    /// Sends and receives messages between pairs of ranks, all at the same time: `(rank, bytes)` of each. Messages from
    /// one rank to another come in the order sent, whether by one call or several; each is as long as its receiver
    /// expects. Only the ranks named take part.
    fn transfer(&self, sends: &[(usize, &[u8])], receives: &mut [(usize, &mut [u8])]) -> Result<(), ExchangeError>;

    /// The group of these members, in this order: `members[i]`, a rank of this group, becomes rank `i`.
    ///
    /// Only they call it, each with the same list; talks to nobody and costs a hash. Members that split off the same list
    /// several times do so equally often. Messages of different groups, also of equal members, never meet.
    ///
    /// # Errors
    /// [`ExchangeError::Misuse`] for a list without this rank, with a rank twice or out of range; ends nothing.
    fn split(&self, members: &[usize]) -> Result<Arc<dyn Exchange>, ExchangeError>;

    /// Everyone gets what everyone has, equally long everywhere: `out` holds `size` times as many bytes as `mine`.
    fn all_gather(&self, mine: &[u8], out: &mut [u8]) -> Result<(), ExchangeError> {
        self.all_gather_varied(mine, &vec![mine.len(); self.size()], out)
    }

    /// Begins an [`all_gather`](Exchange::all_gather) that goes on while the caller computes.
    fn start_all_gather(&self, mine: Vec<u8>) -> Result<Box<dyn Pending>, ExchangeError> {
        let lens = vec![mine.len(); self.size()];
        self.start_all_gather_varied(mine, &lens)
    }

    /// Sends one message. Returns when `bytes` may be used again, which for long ones can be when the receiver takes it.
    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.transfer(&[(to, bytes)], &mut [])
    }

    /// Receives one message.
    fn recv(&self, from: usize, bytes: &mut [u8]) -> Result<(), ExchangeError> {
        self.transfer(&[], &mut [(from, bytes)])
    }
}

/// A gather that is under way. Dropping it gives up the result; the others still get this member's bytes.
pub trait Pending: Send {
    /// Bytes of the result.
    fn bytes(&self) -> usize;

    /// Waits for the end, at most [`Exchange::timeout`] from now. `out` is the concatenation in rank order.
    fn wait_into(self: Box<Self>, out: &mut [u8]) -> Result<(), ExchangeError>;
}

impl dyn Pending {
    /// Waits for the end and returns the concatenation in rank order.
    ///
    /// # Errors
    /// As any call of the exchange.
    pub fn wait(self: Box<Self>) -> Result<Vec<u8>, ExchangeError> {
        let mut out = vec![0; self.bytes()];
        self.wait_into(&mut out)?;
        Ok(out)
    }
}
