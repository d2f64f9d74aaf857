//! Who moves the bytes of a mesh.
//!
//! At any time at most one thread drives: it waits in `poll` without the lock and moves bytes with it. A caller drives its
//! own round from and into its slices. A caller that finds another one driving hands over copies of what it sends, and finds
//! what it waits for in the inbox. The thread in the background drives when nobody else does and something is under way.

use super::{frame::Kind, input::Input, output::Output, round::Round, wire::Wire};
use braid_workload::exchange::{Deadline, ExchangeError, Inbox, Ticket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::HashSet,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for this rank's program; links that nobody waits for stop then.
const INBOX: usize = 1 << 30;
/// How often one who waits looks whether the group was cancelled.
const LOOK: Duration = Duration::from_millis(50);
/// How long a member that ended the epoch tries to tell a peer that does not read.
const FAREWELL: Duration = Duration::from_millis(200);
/// Turns of reading that empty any socket buffer.
const TURNS: usize = 256;

/// What the threads of one member share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) rank: usize,
    pub(super) epoch: u64,
    /// By rank; none for this one.
    pub(super) sockets: Arc<[Option<Wire>]>,
    state: Mutex<State>,
    /// The driver has changed, or something has come for a caller that does not drive.
    pub(super) turn: Condvar,
    /// Ends a `poll`: written to by whoever gives the driver something to do.
    wake: [UnixStream; 2],
    cancel: CancellationToken,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct State {
    sockets: Arc<[Option<Wire>]>,
    pub(super) links: Vec<Option<Link>>,
    pub(super) inbox: Inbox<Vec<u8>>,
    /// Messages of gathers that are under way.
    pub(super) expected: HashSet<(usize, Ticket)>,
    pub(super) ended: Option<ExchangeError>,
    pub(super) driver: Driver,
    /// Calls that are not done.
    pub(super) callers: usize,
    pub(super) background: Option<JoinHandle<()>>,
    pub(super) leaving: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) input: Input,
    pub(super) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Nobody,
    Caller,
    Background,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

impl Link {
    fn new(peer: usize) -> Self {
        Self { input: Input::new(peer), output: Output::default() }
    }

    fn is_pending(&self, socket: &Wire) -> bool {
        !self.input.closed && socket.is_pending()
    }
}

impl State {
    fn new(sockets: &Arc<[Option<Wire>]>) -> Self {
        Self {
            sockets: Arc::clone(sockets),
            links: sockets.iter().enumerate().map(|(peer, socket)| socket.as_ref().map(|_| Link::new(peer))).collect(),
            inbox: Inbox::default(),
            expected: HashSet::new(),
            ended: None,
            driver: Driver::Nobody,
            callers: 0,
            background: None,
            leaving: false,
        }
    }

    pub(super) fn check(&self) -> Result<(), ExchangeError> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Whether a link has something to write that is nobody's call's.
    pub(super) fn has_queue(&self) -> bool {
        self.links.iter().flatten().any(|link| link.output.has_queue()) || self.is_pending()
    }

    /// Whether a connection has taken in what it has not sent yet.
    fn is_pending(&self) -> bool {
        let links = self.links.iter().zip(&*self.sockets);
        links.filter_map(|(link, socket)| link.as_ref().zip(socket.as_ref())).any(|(link, socket)| link.is_pending(socket))
    }

    /// Whether there is something to do in the background.
    pub(super) fn is_under_way(&self) -> bool {
        self.ended.is_none() && (!self.expected.is_empty() || self.has_queue())
    }

    /// What each link waits for.
    fn interest(&self, round: &Round<'_, '_>) -> Vec<(usize, PollFlags)> {
        let full = self.inbox.bytes() > INBOX;
        let open = self
            .links
            .iter()
            .enumerate()
            .filter_map(|(peer, link)| Some((peer, link.as_ref().filter(|link| !link.input.closed)?)));
        open.map(|(peer, link)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !full || round.waits_for(peer));
            flags.set(PollFlags::OUT, link.output.has_queue() || round.writes_to(peer));
            (peer, flags)
        })
        .collect()
    }
}

impl Core {
    pub(super) fn new(rank: usize, epoch: u64, sockets: Vec<Option<Wire>>, cancel: CancellationToken) -> io::Result<Self> {
        for socket in sockets.iter().flatten() {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
        }
        let wake = UnixStream::pair()?;
        wake.0.set_nonblocking(true)?;
        wake.1.set_nonblocking(true)?;
        let sockets: Arc<[Option<Wire>]> = sockets.into();
        let (state, turn) = (Mutex::new(State::new(&sockets)), Condvar::new());
        Ok(Self { rank, epoch, sockets, state, turn, wake: wake.into(), cancel })
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the driver look again.
    pub(super) fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.wake[1]).write(&[0]);
    }

    /// Brings a round to its end: drives it, or finds its messages in the inbox while another thread drives.
    pub(super) fn complete<'a>(
        &'a self,
        mut state: Guard<'a>,
        round: &mut Round<'_, '_>,
        deadline: Deadline,
    ) -> (Guard<'a>, Result<(), ExchangeError>) {
        if state.driver == Driver::Caller {
            for send in round.sends() {
                if let Some(link) = &mut state.links[send.to] {
                    link.output.enqueue(Kind::Data(send.ticket, send.call), send.bytes.into());
                }
            }
            round.hand_over_sends();
            self.wake();
        }
        loop {
            let found = state.check().and_then(|()| round.take_from(&mut state.inbox, self.rank));
            if let Err(cause) = found {
                let cause = self.end(&mut state, cause);
                return (state, Err(cause));
            }
            if round.is_done() {
                return (state, Ok(()));
            }
            if state.driver == Driver::Nobody {
                state.driver = Driver::Caller;
                let (mut state, result) =
                    self.drive(state, round, Some(deadline), |state, round| round.is_done() && !state.is_pending());
                state.driver = Driver::Nobody;
                self.turn.notify_all();
                return (state, result);
            }
            let left = deadline.left();
            if left.is_zero() {
                let cause = self.end(&mut state, late(round, deadline));
                return (state, Err(cause));
            }
            if state.driver == Driver::Background {
                // It steps aside.
                self.wake();
            }
            (state, _) = self.turn.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Moves bytes until `done`. An error ends the epoch before anybody else can drive. Without a deadline, or with nothing
    /// open at the deadline, it just returns.
    pub(super) fn drive<'a>(
        &'a self,
        mut state: Guard<'a>,
        round: &mut Round<'_, '_>,
        deadline: Option<Deadline>,
        done: impl Fn(&State, &Round<'_, '_>) -> bool,
    ) -> (Guard<'a>, Result<(), ExchangeError>) {
        let mut ready: Vec<_> = (0..self.sockets.len()).map(|peer| (peer, PollFlags::OUT)).collect();
        loop {
            let step = state.check().and_then(|()| self.step(&mut state, &ready, round));
            let step = step.and_then(|()| if self.cancel.is_cancelled() { Err(self.cancelled()) } else { Ok(()) });
            if let Err(cause) = step {
                let cause = self.end(&mut state, cause);
                return (state, Err(cause));
            }
            if done(&state, round) {
                return (state, Ok(()));
            }
            let left = deadline.map_or(LOOK, Deadline::left);
            if left.is_zero() {
                let result = deadline
                    .filter(|_| !round.is_done())
                    .map_or(Ok(()), |deadline| Err(self.end(&mut state, late(round, deadline))));
                return (state, result);
            }
            let interest = state.interest(round);
            drop(state);
            ready = self.wait(&interest, left.min(LOOK));
            state = self.lock();
        }
    }

    /// Moves bytes on the links that are ready.
    fn step(&self, state: &mut State, ready: &[(usize, PollFlags)], round: &mut Round<'_, '_>) -> Result<(), ExchangeError> {
        for &(peer, flags) in ready {
            if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                self.read(state, peer, round)?;
            }
            if flags.contains(PollFlags::OUT) {
                self.write(state, peer, round)?;
            }
        }
        let left =
            state.links.iter().enumerate().filter_map(|(peer, link)| Some((peer, link.as_ref().filter(|link| link.input.left)?)));
        for (peer, link) in left {
            if round.waits_for(peer) || round.writes_to(peer) {
                return Err(link.input.lost("it left while others needed it".to_owned()));
            }
        }
        Ok(())
    }

    /// Writes to one link.
    pub(super) fn write(&self, state: &mut State, peer: usize, round: &mut Round<'_, '_>) -> Result<(), ExchangeError> {
        let (Some(link), Some(socket)) = (&mut state.links[peer], &self.sockets[peer]) else { return Ok(()) };
        if link.input.closed {
            return Ok(());
        }
        let written = socket.advance().and_then(|()| link.output.write(socket, peer, round));
        let Err(error) = written else { return Ok(()) };
        // The peer may have said why before it went.
        for _ in 0..TURNS {
            self.read(state, peer, round)?;
        }
        match &mut state.links[peer] {
            Some(link) if !link.input.left => Err(link.input.lost(error.to_string())),
            Some(link) => {
                link.input.closed = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Reads from one link.
    pub(super) fn read(&self, state: &mut State, peer: usize, round: &mut Round<'_, '_>) -> Result<(), ExchangeError> {
        let State { links, inbox, expected, .. } = state;
        let (Some(link), Some(socket)) = (&mut links[peer], &self.sockets[peer]) else { return Ok(()) };
        if link.input.closed {
            return Ok(());
        }
        let mut delivered = false;
        link.input.read(socket, self.rank, round, inbox, |ticket| {
            expected.remove(&(peer, ticket));
            delivered = true;
        })?;
        if delivered {
            // A message that began to come before this round asked for it.
            round.take_from(inbox, self.rank)?;
            self.turn.notify_all();
        }
        Ok(())
    }

    /// The links that can go on, once there is one.
    fn wait(&self, interest: &[(usize, PollFlags)], limit: Duration) -> Vec<(usize, PollFlags)> {
        let mut limit = limit;
        let wanted = |&(peer, mut flags): &(usize, PollFlags)| {
            let socket = self.sockets[peer].as_ref()?;
            flags.set(PollFlags::OUT, flags.contains(PollFlags::OUT) || socket.is_pending());
            Some((peer, PollFd::new(socket, flags)))
        };
        // What the socket no longer has can be read all the same.
        let is_unread = |&(peer, flags): &(usize, PollFlags)| {
            flags.contains(PollFlags::IN) && self.sockets[peer].as_ref().is_some_and(Wire::is_unread)
        };
        let unread: Vec<usize> = interest.iter().filter(|wanted| is_unread(wanted)).map(|(peer, _)| *peer).collect();
        if !unread.is_empty() {
            limit = Duration::ZERO;
        }
        let sockets = interest.iter().filter_map(wanted);
        let (peers, mut fds): (Vec<usize>, Vec<PollFd<'_>>) = sockets.unzip();
        fds.push(PollFd::new(&self.wake[0], PollFlags::IN));
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        if poll(&mut fds, Some(&limit)).is_err() {
            // A signal, or no memory for a moment: the next turn asks again.
            return Vec::new();
        }
        if fds.pop().is_some_and(|wake| !wake.revents().is_empty()) {
            let _ = (&self.wake[0]).read(&mut [0; 64]);
        }
        let mut ready: Vec<_> = peers.into_iter().zip(fds.iter().map(PollFd::revents)).collect();
        for (_, flags) in ready.iter_mut().filter(|(peer, _)| unread.contains(peer)) {
            *flags |= PollFlags::IN;
        }
        ready.retain(|(_, flags)| !flags.is_empty());
        ready
    }

    /// Ends the epoch, for the first cause, and tells everyone. Holds the lock meanwhile, as nobody can go on anyway.
    pub(super) fn end(&self, state: &mut State, cause: ExchangeError) -> ExchangeError {
        if let Some(first) = &state.ended {
            return first.clone();
        }
        state.ended = Some(cause.clone());
        let reason = serde_json::to_vec(&cause).unwrap_or_default();
        for link in state.links.iter_mut().flatten() {
            link.output.end(&reason);
        }
        self.say_farewell(state, Deadline::after(FAREWELL), |link| link.output.has_queue());
        self.turn.notify_all();
        self.wake();
        cause
    }

    /// After the end of the epoch: writes what is queued, and drops what comes, while a link is `open`. Peers that neither
    /// read nor close are not waited for past the deadline.
    pub(super) fn say_farewell(&self, state: &mut State, deadline: Deadline, open: impl Fn(&Link) -> bool) {
        loop {
            for (peer, link) in state.links.iter_mut().enumerate() {
                let (Some(link), Some(socket)) = (link, &self.sockets[peer]) else { continue };
                if socket.advance().and_then(|()| link.output.write(socket, peer, &mut Round::empty())).is_err() {
                    link.output.clear();
                }
                link.input.discard(socket);
                if link.input.closed {
                    link.output.clear();
                }
            }
            let left = deadline.left();
            let interest = state.interest(&Round::empty());
            let is_open = state.links.iter().flatten().any(|link| !link.input.closed && open(link)) || state.is_pending();
            if left.is_zero() || !is_open {
                return;
            }
            self.wait(&interest, left);
        }
    }

    /// Looks whether the epoch has ended, when nobody else does.
    pub(super) fn glance(&self) -> Option<ExchangeError> {
        let mut state = self.lock();
        if state.driver == Driver::Nobody && state.ended.is_none() && state.inbox.bytes() <= INBOX {
            let mut round = Round::empty();
            let read = (0..self.sockets.len()).try_for_each(|peer| self.read(&mut state, peer, &mut round));
            let look = read.and_then(|()| if self.cancel.is_cancelled() { Err(self.cancelled()) } else { Ok(()) });
            if let Err(cause) = look {
                self.end(&mut state, cause);
            }
        }
        state.ended.clone()
    }

    fn cancelled(&self) -> ExchangeError {
        ExchangeError::Aborted { rank: self.rank, reason: "it was told to stop".to_owned() }
    }
}

fn late(round: &Round<'_, '_>, deadline: Deadline) -> ExchangeError {
    use braid_workload::exchange::Operation::Barrier;
    let (operation, missing) = round.open().map_or((Barrier, Vec::new()), |(call, missing)| (call.operation, missing));
    ExchangeError::Deadline { operation, limit: deadline.limit(), missing }
}
