//! The exchange between threads of one process: messages are handed over in memory.

use super::{Call, DEFAULT_TIMEOUT, Deadline, ExchangeError, Group, Inbox, Incoming, Outgoing, Posted, Ticket, Transport};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A group of `size` ranks; each handle goes to a thread of its own. Index is rank, the epoch is 0.
pub fn group(size: usize) -> Vec<Group<Local>> {
    group_in_epoch(size, 0)
}

/// [`group`], with the number of its epoch.
pub fn group_in_epoch(size: usize, epoch: u64) -> Vec<Group<Local>> {
    let members = (0..size).map(|_| Member { inbox: Inbox::default(), left: false }).collect();
    let changed = (0..size).map(|_| Condvar::new()).collect();
    let hub = Arc::new(Hub { state: Mutex::new(State { members, ended: None }), changed });
    (0..size).map(|rank| Group::whole(Local { hub: hub.clone(), rank, epoch }, DEFAULT_TIMEOUT)).collect()
}

/// One rank's end of the memory that all ranks share.
#[derive(Debug)]
pub struct Local {
    hub: Arc<Hub>,
    rank: usize,
    epoch: u64,
}

#[derive(Debug)]
struct Hub {
    state: Mutex<State>,
    /// One for each rank: something came for it, or somebody left.
    changed: Vec<Condvar>,
}

#[derive(Debug)]
struct State {
    members: Vec<Member>,
    ended: Option<ExchangeError>,
}

#[derive(Debug)]
struct Member {
    inbox: Inbox<Arc<[u8]>>,
    left: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        self.changed.iter().for_each(Condvar::notify_all);
    }
}

impl State {
    fn check(&self) -> Result<(), ExchangeError> {
        self.ended.clone().map_or(Ok(()), Err)
    }
}

impl Local {
    fn deliver(&self, state: &mut State, to: usize, ticket: Ticket, call: Call, bytes: Arc<[u8]>) -> Result<(), ExchangeError> {
        let member = &mut state.members[to];
        if member.left {
            return Err(lost(to));
        }
        member.inbox.deliver(self.rank, ticket, call, bytes)?;
        self.hub.changed[to].notify_all();
        Ok(())
    }
}

impl Transport for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.hub.changed.len()
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn round(&self, sends: &[Outgoing<'_>], receives: &mut [Incoming<'_>], deadline: Deadline) -> Result<(), ExchangeError> {
        let copies = shared_copies(sends);
        let mut state = self.hub.lock();
        state.check()?;
        for (send, bytes) in sends.iter().zip(copies) {
            self.deliver(&mut state, send.to, send.ticket, send.call, bytes)?;
        }
        let mut missing: Vec<usize> = (0..receives.len()).collect();
        loop {
            let mut arrived = Vec::new();
            for index in std::mem::take(&mut missing) {
                match state.members[self.rank].inbox.take(&receives[index], self.rank)? {
                    Some(payload) => arrived.push((index, payload)),
                    None => missing.push(index),
                }
            }
            if !arrived.is_empty() {
                // The others need the lock more than we do.
                drop(state);
                for (index, payload) in arrived {
                    receives[index].bytes.copy_from_slice(&payload);
                }
                state = self.hub.lock();
            }
            let Some(&first) = missing.first() else { return Ok(()) };
            state.check()?;
            // While we copied, more may have come.
            if missing.iter().any(|&index| state.members[self.rank].inbox.has(receives[index].from, receives[index].ticket)) {
                continue;
            }
            if let Some(&gone) = missing.iter().find(|&&index| state.members[receives[index].from].left) {
                return Err(lost(receives[gone].from));
            }
            let left = deadline.left();
            if left.is_zero() {
                let (operation, limit) = (receives[first].call.operation, deadline.limit());
                let missing = missing.iter().map(|&index| receives[index].from).collect();
                return Err(ExchangeError::Deadline { operation, limit, missing });
            }
            (state, _) = self.hub.changed[self.rank].wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn post(&self, sends: Vec<Posted>, _: &[(usize, Ticket)]) -> Result<(), ExchangeError> {
        let mut state = self.hub.lock();
        state.check()?;
        sends.into_iter().try_for_each(|send| self.deliver(&mut state, send.to, send.ticket, send.call, send.bytes))
    }

    fn forget(&self, expected: &[(usize, Ticket)]) {
        let inbox = &mut self.hub.lock().members[self.rank].inbox;
        expected.iter().for_each(|&(from, ticket)| inbox.forget(from, ticket));
    }

    fn end(&self, cause: ExchangeError) -> ExchangeError {
        let first = self.hub.lock().ended.get_or_insert(cause).clone();
        self.hub.wake_all();
        first
    }

    fn ended(&self) -> Option<ExchangeError> {
        self.hub.lock().ended.clone()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let member = &mut state.members[self.rank];
        member.left = true;
        member.inbox = Inbox::default();
        if thread::panicking() {
            let detail = "its thread panicked".to_owned();
            state.ended.get_or_insert(ExchangeError::Lost { rank: self.rank, detail });
        }
        drop(state);
        self.hub.wake_all();
    }
}

fn lost(rank: usize) -> ExchangeError {
    ExchangeError::Lost { rank, detail: "it left while others needed it".to_owned() }
}

/// One copy of each slice, however many ranks it goes to.
fn shared_copies(sends: &[Outgoing<'_>]) -> Vec<Arc<[u8]>> {
    let mut copies: Vec<Arc<[u8]>> = Vec::with_capacity(sends.len());
    for (at, send) in sends.iter().enumerate() {
        let same = at > 0 && std::ptr::eq(sends[at - 1].bytes, send.bytes);
        copies.push(if same { copies[at - 1].clone() } else { send.bytes.into() });
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::super::Exchange;
    use std::sync::Arc;

    fn make(size: usize) -> Vec<Arc<dyn Exchange>> {
        super::group(size).into_iter().map(|member| Arc::new(member) as Arc<dyn Exchange>).collect()
    }

    crate::exchange_conformance!(make);
}
