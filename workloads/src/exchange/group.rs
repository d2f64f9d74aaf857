//! A group over any transport: who its members are, which message is which, and what happens to errors.

use super::{
    Call, Deadline, Exchange, ExchangeError, Incoming, Lane, Operation, Outgoing, Pending, Ticket, Transport, pending::Gathering,
    span::span,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tracing::Span;

/// One member's end of a group whose messages a [`Transport`] carries.
#[derive(Debug)]
pub struct Group<T> {
    pub(super) transport: Arc<T>,
    /// Ranks of the transport, by rank of this group.
    pub(super) members: Arc<[usize]>,
    pub(super) rank: usize,
    tag: u128,
    counters: Mutex<Counters>,
    timeout_ns: AtomicU64,
    /// What its calls are part of in a trace: they may come from threads that are in no span.
    task: Span,
}

/// How far the program of this member is. Equal on all members at the same call.
#[derive(Debug)]
struct Counters {
    rounds: u64,
    sent: Vec<u64>,
    received: Vec<u64>,
    splits: HashMap<Vec<usize>, u64>,
}

impl<T: Transport> Group<T> {
    /// The group of all ranks of a transport.
    pub fn whole(transport: T, timeout: Duration) -> Self {
        let (rank, size) = (transport.rank(), transport.size());
        Self::new(Arc::new(transport), (0..size).collect(), rank, 0, timeout, Span::current())
    }

    /// The same group for the task that this thread runs, where another thread has made it.
    pub fn taken_over(self) -> Self {
        Self { task: Span::current(), ..self }
    }

    fn new(transport: Arc<T>, members: Arc<[usize]>, rank: usize, tag: u128, timeout: Duration, task: Span) -> Self {
        let (sent, received) = (vec![0; members.len()], vec![0; members.len()]);
        let counters = Mutex::new(Counters { rounds: 0, sent, received, splits: HashMap::new() });
        Self { transport, members, rank, tag, counters, timeout_ns: AtomicU64::new(nanoseconds(timeout)), task }
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        // Counting cannot panic half way.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ticket of the next round that all members take part in.
    pub(super) fn next_round(&self) -> Ticket {
        let mut counters = self.counters();
        let sequence = counters.rounds;
        counters.rounds += 1;
        Ticket { group: self.tag, lane: Lane::Collective, sequence }
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout())
    }

    /// The others, beginning after this rank, so that not everyone sends to the same one first.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<T> {
        let (rank, size) = (self.rank, self.members.len());
        (1..size).map(move |step| (rank + step) % size)
    }

    /// One round of a call: `(rank of this group, bytes)` to send and to receive.
    pub(super) fn round<'a>(
        &self,
        call: Call,
        deadline: Deadline,
        sends: impl Iterator<Item = (usize, &'a [u8])>,
        receives: impl Iterator<Item = (usize, &'a mut [u8])>,
    ) -> Result<(), ExchangeError> {
        let ticket = self.next_round();
        let sends: Vec<_> = sends.map(|(to, bytes)| Outgoing { to: self.members[to], ticket, call, bytes }).collect();
        let mut receives: Vec<_> =
            receives.map(|(from, bytes)| Incoming { from: self.members[from], ticket, call, bytes }).collect();
        self.transport.round(&sends, &mut receives, deadline).map_err(|cause| self.transport.end(cause))
    }

    /// Ends the epoch unless `holds`: the others wait for a call that this member cannot make.
    pub(super) fn require(
        &self,
        operation: Operation,
        holds: bool,
        detail: impl FnOnce() -> String,
    ) -> Result<(), ExchangeError> {
        if holds { Ok(()) } else { Err(self.transport.end(self.misuse(operation, detail()))) }
    }

    /// Of a call in a trace.
    pub(super) fn span(&self, operation: Operation, bytes: usize) -> Span {
        span(&self.task, operation, self.rank, self.size(), bytes)
    }

    fn misuse(&self, operation: Operation, detail: String) -> ExchangeError {
        ExchangeError::Misuse { rank: self.transport.rank(), operation, detail }
    }

    fn require_member(&self, operation: Operation, rank: usize) -> Result<(), ExchangeError> {
        self.require(operation, rank < self.size(), || format!("there is no rank {rank} among {}", self.size()))
    }
}

impl<T: Transport> Exchange for Group<T> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.members.len()
    }

    fn epoch(&self) -> u64 {
        self.transport.epoch()
    }

    fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_ns.load(Ordering::Relaxed))
    }

    fn set_timeout(&self, limit: Duration) {
        self.timeout_ns.store(nanoseconds(limit), Ordering::Relaxed);
    }

    fn failure(&self) -> Option<ExchangeError> {
        self.transport.ended()
    }

    fn abort(&self, reason: &str) {
        self.transport.end(ExchangeError::Aborted { rank: self.transport.rank(), reason: reason.to_owned() });
    }

    fn all_gather_varied(&self, mine: &[u8], lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        self.check_gather(mine.len(), lens, out.len())?;
        let _span = self.span(Operation::AllGather, out.len()).entered();
        self.gather(Some(mine), lens, out)
    }

    fn all_gather_in_place(&self, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        self.check_gather(lens.get(self.rank).copied().unwrap_or(0), lens, out.len())?;
        let _span = self.span(Operation::AllGather, out.len()).entered();
        self.gather(None, lens, out)
    }

    fn start_all_gather_varied(&self, mine: Vec<u8>, lens: &[usize]) -> Result<Box<dyn Pending>, ExchangeError> {
        self.check_gather(mine.len(), lens, lens.iter().sum())?;
        Ok(Box::new(Gathering::start(self, mine, lens)?))
    }

    fn all_reduce_f32(&self, values: &mut [f32]) -> Result<(), ExchangeError> {
        let _span = self.span(Operation::AllReduce, size_of_val(values)).entered();
        self.all_reduce(values)
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), ExchangeError> {
        let _span = self.span(Operation::AllReduce, size_of_val(values)).entered();
        self.all_reduce(values)
    }

    fn reduce_scatter_f32(&self, values: &[f32], out: &mut [f32]) -> Result<(), ExchangeError> {
        let _span = self.span(Operation::ReduceScatter, size_of_val(values)).entered();
        self.reduce_scatter(values, out)
    }

    fn reduce_scatter_f64(&self, values: &[f64], out: &mut [f64]) -> Result<(), ExchangeError> {
        let _span = self.span(Operation::ReduceScatter, size_of_val(values)).entered();
        self.reduce_scatter(values, out)
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), ExchangeError> {
        self.require_member(Operation::Broadcast, root)?;
        let _span = self.span(Operation::Broadcast, bytes.len()).entered();
        self.broadcast_from(root, bytes)
    }

    fn barrier(&self) -> Result<(), ExchangeError> {
        let _span = self.span(Operation::Barrier, 0).entered();
        self.meet()
    }

    fn transfer(&self, sends: &[(usize, &[u8])], receives: &mut [(usize, &mut [u8])]) -> Result<(), ExchangeError> {
        for rank in sends.iter().map(|send| send.0).chain(receives.iter().map(|receive| receive.0)) {
            self.require_member(Operation::Transfer, rank)?;
            self.require(Operation::Transfer, rank != self.rank, || "a rank sends nothing to itself".to_owned())?;
        }
        let bytes = sends.iter().map(|send| send.1.len()).sum();
        let _span = self.span(Operation::Transfer, bytes).entered();
        let pair = |sequence: &mut u64| {
            *sequence += 1;
            Ticket { group: self.tag, lane: Lane::Pair, sequence: *sequence }
        };
        let mut counters = self.counters();
        let sends: Vec<_> = sends
            .iter()
            .map(|&(to, bytes)| {
                let (ticket, call) = (pair(&mut counters.sent[to]), Call::new(Operation::Transfer, bytes.len()));
                Outgoing { to: self.members[to], ticket, call, bytes }
            })
            .collect();
        let mut receives: Vec<_> = receives
            .iter_mut()
            .map(|(from, bytes)| {
                let (ticket, call) = (pair(&mut counters.received[*from]), Call::new(Operation::Transfer, bytes.len()));
                Incoming { from: self.members[*from], ticket, call, bytes }
            })
            .collect();
        drop(counters);
        self.transport.round(&sends, &mut receives, self.deadline()).map_err(|cause| self.transport.end(cause))
    }

    fn split(&self, members: &[usize]) -> Result<Arc<dyn Exchange>, ExchangeError> {
        let wrong = |detail: String| Err(self.misuse(Operation::Split, detail));
        let mut seen = vec![false; self.size()];
        for &member in members {
            match seen.get_mut(member) {
                None => return wrong(format!("there is no rank {member} among {}", self.size())),
                Some(true) => return wrong(format!("rank {member} is in the list twice")),
                Some(mark) => *mark = true,
            }
        }
        let Some(rank) = members.iter().position(|&member| member == self.rank) else {
            return wrong(format!("rank {} is not among {members:?}", self.rank));
        };
        let count = {
            let mut counters = self.counters();
            let count = counters.splits.entry(members.to_vec()).or_default();
            *count += 1;
            *count
        };
        let ranks: Arc<[usize]> = members.iter().map(|&member| self.members[member]).collect();
        let tag = child_tag(self.tag, &ranks, count);
        Ok(Arc::new(Self::new(self.transport.clone(), ranks, rank, tag, self.timeout(), self.task.clone())))
    }
}

/// The tag of the `count`-th group of these ranks that was split off `parent`: the same on every member, and different
/// from that of any other group.
fn child_tag(parent: u128, ranks: &[usize], count: u64) -> u128 {
    let mut hash = blake3::Hasher::new();
    hash.update(&parent.to_le_bytes()).update(&count.to_le_bytes());
    for &rank in ranks {
        hash.update(&(rank as u64).to_le_bytes());
    }
    let mut tag = [0; 16];
    hash.finalize_xof().fill(&mut tag);
    u128::from_le_bytes(tag)
}

fn nanoseconds(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_different_tags_unless_they_are_the_same() {
        let tags = [
            child_tag(0, &[0, 1], 1),
            child_tag(0, &[0, 1], 2),
            child_tag(0, &[1, 0], 1),
            child_tag(1, &[0, 1], 1),
            child_tag(0, &[0, 1, 2], 1),
        ];
        let different: std::collections::HashSet<_> = tags.iter().collect();
        assert_eq!(different.len(), tags.len());
        assert_eq!(child_tag(0, &[0, 1], 1), tags[0]);
    }
}
