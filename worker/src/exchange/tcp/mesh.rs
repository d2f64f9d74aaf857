//! One connection for each pair of ranks, as the transport of a group.

use super::{
    core::{Core, Driver, State},
    frame::Kind,
    round::Round,
    wire::Wire,
};
use braid_workload::exchange::{Deadline, ExchangeError, Incoming, Outgoing, Posted, Ticket, Transport};
use std::{
    io,
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long a member that leaves tries to hand over what it began to send.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long it then waits for the others to leave: closing earlier could cut off what is on its way to them.
const LINGER: Duration = Duration::from_secs(1);
/// The same after an error.
const LINGER_AFTER_END: Duration = Duration::from_millis(200);

/// The messages of one member of one epoch, over TCP.
#[derive(Debug)]
pub struct Mesh {
    core: Arc<Core>,
}

impl Mesh {
    /// Over connections to every other rank, by rank.
    pub(super) fn new(rank: usize, epoch: u64, sockets: Vec<Option<Wire>>, cancel: CancellationToken) -> io::Result<Self> {
        Ok(Self { core: Arc::new(Core::new(rank, epoch, sockets, cancel)?) })
    }
}

impl Transport for Mesh {
    fn rank(&self) -> usize {
        self.core.rank
    }

    fn size(&self) -> usize {
        self.core.sockets.len()
    }

    fn epoch(&self) -> u64 {
        self.core.epoch
    }

    fn round(&self, sends: &[Outgoing<'_>], receives: &mut [Incoming<'_>], deadline: Deadline) -> Result<(), ExchangeError> {
        let mut state = self.core.lock();
        for receive in &*receives {
            state.expected.remove(&(receive.from, receive.ticket));
        }
        state.callers += 1;
        let (mut state, result) = self.core.complete(state, &mut Round::new(sends, receives), deadline);
        state.callers -= 1;
        self.core.turn.notify_all();
        if state.callers == 0 && state.is_under_way() {
            // What another caller handed over, or a gather that was started before.
            self.drive_in_background(&mut state)?;
        }
        result
    }

    fn post(&self, sends: Vec<Posted>, expected: &[(usize, Ticket)]) -> Result<(), ExchangeError> {
        let mut state = self.core.lock();
        state.check()?;
        for send in sends {
            if let Some(link) = &mut state.links[send.to] {
                link.output.enqueue(Kind::Data(send.ticket, send.call), send.bytes);
            }
        }
        for &(from, ticket) in expected {
            if !state.inbox.has(from, ticket) {
                state.expected.insert((from, ticket));
            }
        }
        if state.driver == Driver::Nobody {
            let mut round = Round::empty();
            let written = (0..self.size()).try_for_each(|peer| self.core.write(&mut state, peer, &mut round));
            written.map_err(|cause| self.core.end(&mut state, cause))?;
        } else {
            self.core.wake();
        }
        self.drive_in_background(&mut state)
    }

    fn forget(&self, expected: &[(usize, Ticket)]) {
        let mut state = self.core.lock();
        for &(from, ticket) in expected {
            state.expected.remove(&(from, ticket));
            state.inbox.forget(from, ticket);
        }
    }

    fn end(&self, cause: ExchangeError) -> ExchangeError {
        self.core.end(&mut self.core.lock(), cause)
    }

    fn ended(&self) -> Option<ExchangeError> {
        self.core.glance()
    }
}

impl Mesh {
    fn shut_down(&self) {
        for socket in self.core.sockets.iter().flatten() {
            socket.finish();
        }
    }

    fn drive_in_background(&self, state: &mut State) -> Result<(), ExchangeError> {
        if state.background.is_none() && self.size() > 1 {
            let core = self.core.clone();
            let spawned = thread::Builder::new().name("exchange".into()).spawn(move || background(&core));
            let thread = spawned.map_err(|error| ExchangeError::System {
                rank: self.core.rank,
                attempt: "start the thread of an exchange".to_owned(),
                detail: error.to_string(),
            })?;
            state.background = Some(thread);
        }
        self.core.turn.notify_all();
        Ok(())
    }
}

/// Drives when something is under way and no caller does.
fn background(core: &Core) {
    let mut state = core.lock();
    while !state.leaving {
        if state.driver != Driver::Nobody || state.callers > 0 || !state.is_under_way() {
            state = core.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        state.driver = Driver::Background;
        let aside = |state: &State| state.callers > 0 || state.leaving || !state.is_under_way();
        // An error has ended the epoch, and the next call returns it.
        (state, _) = core.drive(state, &mut Round::empty(), None, |state, _| aside(state));
        state.driver = Driver::Nobody;
        core.turn.notify_all();
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let core = &self.core;
        let mut state = core.lock();
        state.leaving = true;
        let background = state.background.take();
        drop(state);
        core.turn.notify_all();
        core.wake();
        if let Some(background) = background {
            let _ = background.join();
        }
        let mut state = core.lock();
        if thread::panicking() {
            let detail = "its thread panicked".to_owned();
            core.end(&mut state, ExchangeError::Lost { rank: core.rank, detail });
        }
        if state.ended.is_some() {
            self.shut_down();
            // Closing with something unread would take back what is on its way to the others.
            core.say_farewell(&mut state, Deadline::after(LINGER_AFTER_END), |_| true);
            return;
        }
        for link in state.links.iter_mut().flatten().filter(|link| !link.input.closed) {
            link.output.enqueue(Kind::Leave, Arc::new([]));
        }
        let mut round = Round::empty();
        let farewell = Deadline::after(FAREWELL);
        let (state, said) = core.drive(state, &mut round, Some(farewell), |state, _| !state.has_queue());
        if said.is_ok() {
            self.shut_down();
            let all_left = |state: &State| state.links.iter().flatten().all(|link| link.input.closed);
            let _ = core.drive(state, &mut round, Some(Deadline::after(LINGER)), |state, _| all_left(state));
        }
    }
}
