//! What a back-end made of messages has to give; [`Group`](super::Group) makes the collectives out of it.
//!
//! A back-end with collectives of its own implements [`Exchange`](super::Exchange) itself and needs nothing of this.

use super::{Call, ExchangeError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Which of the messages between two ranks one is. No two have the same ticket within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The group that sends it: 0 is the whole.
    pub group: u128,
    /// Collectives and transfers are counted apart.
    pub lane: Lane,
    /// Its place in the order of the group's rounds, or of the pair's transfers.
    pub sequence: u64,
}

/// What a sequence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Rounds that all members take part in.
    Collective,
    /// Messages from one rank to another.
    Pair,
}

/// A message to send, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The receiving rank.
    pub to: usize,
    /// Which message.
    pub ticket: Ticket,
    /// The call it belongs to.
    pub call: Call,
    /// What it carries.
    pub bytes: &'a [u8],
}

/// A message to receive, and where to.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The sending rank.
    pub from: usize,
    /// Which message.
    pub ticket: Ticket,
    /// The call it belongs to.
    pub call: Call,
    /// Exactly as long as the message has to be.
    pub bytes: &'a mut [u8],
}

/// A message to send while the caller does something else.
#[derive(Debug, Clone)]
pub struct Posted {
    /// The receiving rank.
    pub to: usize,
    /// Which message.
    pub ticket: Ticket,
    /// The call it belongs to.
    pub call: Call,
    /// What it carries; one copy for all receivers.
    pub bytes: Arc<[u8]>,
}

/// When a call must have ended.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub fn after(limit: Duration) -> Self {
        let now = Instant::now();
        // A limit too far for the clock is as good as a year.
        let at = now.checked_add(limit).unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        Self { at, limit }
    }

    /// The time left, zero when there is none.
    pub fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// The time there was.
    pub fn limit(self) -> Duration {
        self.limit
    }
}

/// Messages between the ranks of one epoch. Ranks are those of the whole group.
///
/// An epoch ends with the first error: afterwards every call on every rank returns it. Dropping the transport leaves the
/// exchange; the others notice when they next need this rank, or at once when a panic dropped it.
pub trait Transport: Send + Sync + 'static {
    /// This rank.
    fn rank(&self) -> usize;

    /// Ranks in all.
    fn size(&self) -> usize;

    /// Which forming of the group this is.
    fn epoch(&self) -> u64;

    /// Sends and receives, all at the same time, and returns when all is received and nothing borrowed is needed any
    /// more. May be called by several threads at once with different tickets; none waits for another's peers.
    ///
    /// # Errors
    /// Why it could not be done. The caller passes it on to [`Transport::end`].
    fn round(&self, sends: &[Outgoing<'_>], receives: &mut [Incoming<'_>], deadline: Deadline) -> Result<(), ExchangeError>;

    /// Begins to send, and to take in what is `expected` (sender, ticket), in the background. What came is fetched by
    /// a round that receives it, or given up by [`Transport::forget`].
    ///
    /// # Errors
    /// Why the epoch has ended.
    fn post(&self, sends: Vec<Posted>, expected: &[(usize, Ticket)]) -> Result<(), ExchangeError>;

    /// Nobody will fetch these messages.
    fn forget(&self, expected: &[(usize, Ticket)]);

    /// Ends the epoch and tells the others why. The first cause stays; it is returned.
    fn end(&self, cause: ExchangeError) -> ExchangeError;

    /// Why the epoch ended, when word of it has reached this rank. Does not block.
    fn ended(&self) -> Option<ExchangeError>;
}
