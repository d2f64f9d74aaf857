//! One port of a worker, for the exchanges of all its gangs.
//!
//! A thread accepts connections, reads their hellos and parks them until a member of this worker claims them. What is for
//! an epoch that is over is refused; what nobody claims is let go. Peers are not trusted here: a connection that says
//! nothing or too little is closed after [`HELLO_WITHIN`], and there are limits on how many wait.

use super::{
    GroupId,
    hello::{ANSWER, Answer, HELLO, Hello, NoHello},
    tls::{Ends, Tls},
    wire::Wire,
};
use crate::identity::Identity;
use braid_workload::{TaskId, exchange::ExchangeError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long a connection may take to say its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits to be claimed. Members may be told of their group at different times.
const CLAIM_WITHIN: Duration = Duration::from_secs(60);
/// Connections that may wait to be claimed; each rank of each group is one.
const PARKED: usize = 4096;
/// Connections that may be about to say their hello.
const SILENT: usize = 256;
/// How often connections that wait too long are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Where other members reach the exchanges of this worker. Dropping it closes the port; groups that are formed stay.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
    tls: Option<Arc<Tls>>,
}

/// A connection that waits to be claimed.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) hello: Hello,
    pub(super) stream: Wire,
    since: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The newest epoch that a member of this worker asked for.
    epochs: HashMap<TaskId, u64>,
    parked: Vec<Parked>,
}

/// A connection whose hello has not come yet.
#[derive(Debug)]
struct Silent {
    stream: Wire,
    hello: [u8; HELLO],
    filled: usize,
    since: Instant,
}

impl Listener {
    /// Listens on an address: `127.0.0.1:0` for any free port of the loopback.
    ///
    /// # Errors
    /// Why the system denies the port or the thread.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::start(address, None)
    }

    /// The same, with TLS on every connection: members show the identity that is newest at the time, and believe who shows one of
    /// the same fleet.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_secure(address: impl ToSocketAddrs, identity: watch::Receiver<Identity>) -> io::Result<Self> {
        Self::start(address, Some(Arc::new(Tls::new(identity))))
    }

    fn start(address: impl ToSocketAddrs, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let shared = Arc::new(Shared::default());
        let (accepting, secure) = (shared.clone(), tls.clone());
        let accept = move || accept(&listener, &stopped, &accepting, secure.as_deref());
        let thread = thread::Builder::new().name("exchange-accept".into()).spawn(accept)?;
        Ok(Self { address, shared, stop, thread: Some(thread), tls })
    }

    /// How the connections of this worker are set up now; `None` without TLS.
    pub(super) fn ends(&self) -> Result<Option<Ends>, String> {
        self.tls.as_ref().map(|tls| tls.ends()).transpose()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A member of this worker begins to form a group. What belongs to earlier epochs of it is refused from now on.
    pub(super) fn open(&self, group: GroupId) -> Result<(), ExchangeError> {
        let mut state = self.shared.lock();
        let known = state.epochs.get(&group.first).copied();
        if let Some(current) = known.filter(|&current| current > group.epoch) {
            return Err(ExchangeError::Stale { group: group.first.to_string(), epoch: group.epoch, current });
        }
        state.epochs.insert(group.first, group.epoch);
        let over = |parked: &mut Parked| parked.hello.group.first == group.first && parked.hello.group.epoch < group.epoch;
        for mut parked in state.parked.extract_if(.., over) {
            say(&mut parked.stream, Answer::Stale(group.epoch));
        }
        Ok(())
    }

    /// A connection for a rank of a group; waits for it a while.
    pub(super) fn claim(&self, group: GroupId, to: u32, wait: Duration) -> Option<Parked> {
        let mut state = self.shared.lock();
        let end = Instant::now() + wait;
        loop {
            let is_ours = |parked: &Parked| parked.hello.group == group && parked.hello.to == to;
            if let Some(at) = state.parked.iter().position(is_ours) {
                return Some(state.parked.swap_remove(at));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (state, _) = self.shared.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The newest epoch of the group that a member of this worker asked for.
    pub(super) fn current(&self, group: GroupId) -> u64 {
        self.shared.lock().epochs.get(&group.first).copied().unwrap_or(0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The thread ends when the other end of the pair closes, too.
        let _ = self.stop.write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn park(&self, hello: Hello, mut stream: Wire) {
        let mut state = self.lock();
        let current = state.epochs.get(&hello.group.first).copied().unwrap_or(0);
        if hello.group.epoch < current {
            say(&mut stream, Answer::Stale(current));
        } else if state.parked.len() == PARKED {
            say(&mut stream, Answer::Busy);
        } else {
            state.parked.push(Parked { hello, stream, since: Instant::now() });
            self.arrived.notify_all();
        }
    }

    fn let_go_of_unclaimed(&self) {
        let late = |parked: &mut Parked| parked.since.elapsed() > CLAIM_WITHIN;
        for mut parked in self.lock().parked.extract_if(.., late) {
            say(&mut parked.stream, Answer::Unclaimed);
        }
    }
}

/// The loop of the accepting thread.
fn accept(listener: &TcpListener, stopped: &UnixStream, shared: &Shared, tls: Option<&Tls>) {
    let mut silent: Vec<Silent> = Vec::new();
    loop {
        let mut ready: Vec<_> = [PollFd::new(stopped, PollFlags::IN), PollFd::new(listener, PollFlags::IN)].into();
        ready.extend(silent.iter().map(|silent| PollFd::new(&silent.stream, PollFlags::IN)));
        let sweep = Timespec { tv_sec: SWEEP.as_secs() as i64, tv_nsec: 0 };
        if let Err(error) = poll(&mut ready, Some(&sweep))
            && error != rustix::io::Errno::INTR
        {
            tracing::warn!(%error, "the exchange's port is not looked at");
            thread::sleep(SWEEP);
        }
        let happened: Vec<bool> = ready.iter().map(|ready| !ready.revents().is_empty()).collect();
        drop(ready);
        if happened[0] {
            return;
        }
        let speaks = silent.into_iter().zip(&happened[2..]);
        silent = speaks.filter_map(|(silent, &speaks)| if speaks { hear(silent, shared) } else { Some(silent) }).collect();
        silent.retain(|silent| silent.since.elapsed() < HELLO_WITHIN);
        if happened[1] {
            accept_waiting(listener, &mut silent, tls);
        }
        shared.let_go_of_unclaimed();
    }
}

fn accept_waiting(listener: &TcpListener, silent: &mut Vec<Silent>, tls: Option<&Tls>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
                if ready.is_err() || silent.len() >= SILENT {
                    continue;
                }
                let ends = tls.map(Tls::ends).transpose().map_err(io::Error::other);
                match ends.and_then(|ends| Wire::accepted(stream, ends.map(|ends| ends.server))) {
                    Ok(stream) => silent.push(Silent { stream, hello: [0; HELLO], filled: 0, since: Instant::now() }),
                    Err(error) => tracing::warn!(%error, "a connection to the exchange was refused"),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                // Out of file descriptors, most likely: the connection stays in the queue until there are some.
                tracing::warn!(%error, "the exchange's port takes no connection");
                thread::sleep(Duration::from_millis(50));
                return;
            }
        }
    }
}

/// Reads on; parks the connection when its hello is complete, and drops it when it is none.
fn hear(mut silent: Silent, shared: &Shared) -> Option<Silent> {
    loop {
        match (&silent.stream).read(&mut silent.hello[silent.filled..]) {
            Ok(0) => return None,
            Ok(read) => silent.filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(silent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if silent.filled == HELLO {
            match Hello::decode(&silent.hello) {
                Ok(hello) => shared.park(hello, silent.stream),
                Err(NoHello::Version) => say(&mut silent.stream, Answer::Version),
                Err(NoHello::Stranger) => {}
            }
            return None;
        }
    }
}

/// Says the answer; one who does not take it in has to do without.
pub(super) fn say(stream: &mut Wire, answer: Answer) {
    const { assert!(ANSWER < 1024, "it fits into the buffer of a fresh socket") };
    let _ = (&*stream).write_all(&answer.encode());
}
