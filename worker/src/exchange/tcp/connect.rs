//! Forms a group: of each pair of ranks the lower one dials, and the higher one claims what its listener parked.

use super::{
    Listener, Mesh, TcpExchange,
    hello::{ANSWER, Answer, Hello},
    listener::{Parked, say},
    wire::Wire,
};
use braid_workload::{
    Gang, Join, TaskId,
    exchange::{DEFAULT_TIMEOUT, Deadline, Exchange, ExchangeError, Group, Operation},
};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long a member of a gang waits for the others: they are told at the same time, but a worker may be busy.
const FORMED_WITHIN: Duration = Duration::from_secs(30);
/// How often one who waits looks whether it should still.
const LOOK: Duration = Duration::from_millis(50);

/// Names a forming of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId {
    /// The first task of the gang.
    pub first: TaskId,
    /// Grows with every forming.
    pub epoch: u64,
}

/// What the members of a group, and nobody else, know.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// From any secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::derive_key("braid exchange: token of a group", secret))
    }

    pub(super) fn key(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What a member has to know to form its group.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Which group.
    pub id: GroupId,
    /// Which of the members this is.
    pub rank: usize,
    /// Where the listener of each member is: `host:port`, by rank.
    pub members: Vec<String>,
    /// Their common secret.
    pub token: Token,
    /// How long forming it may take.
    pub deadline: Duration,
    /// Ends the group when it is set, also while it is being formed.
    pub cancel: CancellationToken,
}

/// Meets the other members.
///
/// # Errors
/// * [`ExchangeError::Deadline`] naming the ranks that did not come in time, [`ExchangeError::System`] when one cannot be
///   reached at its address;
/// * [`ExchangeError::Refused`] when a member does not know the same token or the same members;
/// * [`ExchangeError::Stale`] when the group has been formed anew in the meantime;
/// * [`ExchangeError::Aborted`] when cancelled, [`ExchangeError::Misuse`] for a rank that is none.
pub fn connect(listener: &Listener, spec: &GroupSpec) -> Result<TcpExchange, ExchangeError> {
    let (rank, size) = (spec.rank, spec.members.len());
    if rank >= size || u32::try_from(size).is_err() {
        let detail = format!("there is no rank {rank} among {size}");
        return Err(ExchangeError::Misuse { rank, operation: Operation::Connect, detail });
    }
    listener.open(spec.id)?;
    let forming = Forming { spec, listener, deadline: Deadline::after(spec.deadline), failure: Mutex::new(None) };
    let sockets = thread::scope(|scope| {
        let forming = &forming;
        let dials: Vec<_> = (rank + 1..size).map(|to| scope.spawn(move || forming.dial(to))).collect();
        let mut sockets = forming.claim_all();
        sockets.push(None);
        // A thread that panicked has left no socket, and that is noticed below.
        sockets.extend(dials.into_iter().map(|dial| dial.join().unwrap_or_default()));
        sockets
    });
    if let Some(cause) = forming.failure() {
        return Err(cause);
    }
    let mesh = Mesh::new(rank, spec.id.epoch, sockets, spec.cancel.clone())
        .map_err(|error| forming.system("set up its connections".to_owned(), &error))?;
    Ok(Group::whole(mesh, DEFAULT_TIMEOUT))
}

/// A group that is being formed: whoever fails first says why, and the rest stop.
struct Forming<'a> {
    spec: &'a GroupSpec,
    listener: &'a Listener,
    deadline: Deadline,
    failure: Mutex<Option<ExchangeError>>,
}

impl Forming<'_> {
    fn failure(&self) -> Option<ExchangeError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, cause: ExchangeError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
    }

    fn is_over(&self) -> bool {
        if self.spec.cancel.is_cancelled() {
            self.fail(ExchangeError::Aborted { rank: self.spec.rank, reason: "it was told to stop".to_owned() });
        }
        self.failure().is_some()
    }

    fn system(&self, attempt: String, error: &io::Error) -> ExchangeError {
        ExchangeError::System { rank: self.spec.rank, attempt, detail: error.to_string() }
    }

    fn late(&self, missing: Vec<usize>) -> ExchangeError {
        ExchangeError::Deadline { operation: Operation::Connect, limit: self.deadline.limit(), missing }
    }

    /// The connections of all lower ranks, which dial this one.
    fn claim_all(&self) -> Vec<Option<Wire>> {
        let mut sockets: Vec<Option<Wire>> = (0..self.spec.rank).map(|_| None).collect();
        while sockets.iter().any(Option::is_none) && !self.is_over() {
            let left = self.deadline.left();
            if left.is_zero() {
                self.fail(
                    self.late(sockets.iter().enumerate().filter(|(_, socket)| socket.is_none()).map(|(rank, _)| rank).collect()),
                );
            }
            let current = self.listener.current(self.spec.id);
            if current > self.spec.id.epoch {
                self.fail(self.stale(current));
            }
            if let Some(parked) = self.listener.claim(self.spec.id, self.spec.rank as u32, left.min(LOOK)) {
                self.admit(parked, &mut sockets);
            }
        }
        sockets
    }

    fn admit(&self, parked: Parked, sockets: &mut [Option<Wire>]) {
        let Parked { hello, mut stream, .. } = parked;
        let expected = hello.size as usize == self.spec.members.len();
        let answer = match sockets.get_mut(hello.from as usize) {
            // Who does not know the token learns nothing else.
            _ if !hello.proves(&self.spec.token) => Answer::Token,
            Some(socket @ None) if expected => {
                say(&mut stream, hello.welcome(&self.spec.token));
                *socket = Some(stream);
                return;
            }
            _ => Answer::Unexpected,
        };
        tracing::warn!(group = %self.spec.id.first, from = hello.from, ?answer, "a connection to the exchange was refused");
        say(&mut stream, answer);
    }

    /// The connection to a higher rank; tries again while nobody is there.
    fn dial(&self, to: usize) -> Option<Wire> {
        let address = self.spec.members[to].as_str();
        let mut pause = Duration::from_millis(5);
        while !self.is_over() {
            let attempt = match self.open(address) {
                Ok(stream) => self.greet(stream, to),
                Err(error) => Attempt::Again(Some(error)),
            };
            match attempt {
                Attempt::Met(stream) => return Some(stream),
                Attempt::Failed(cause) => self.fail(cause),
                Attempt::Again(error) => {
                    if self.deadline.left().is_zero() {
                        let within = self.deadline.limit().as_secs_f64();
                        self.fail(match error {
                            Some(error) => self.system(format!("reach rank {to} at {address} within {within} s"), &error),
                            None => self.late(vec![to]),
                        });
                    }
                    thread::sleep(pause.min(self.deadline.left()));
                    pause = (pause * 2).min(Duration::from_millis(200));
                }
            }
        }
        None
    }

    fn open(&self, address: &str) -> io::Result<Wire> {
        let ends = self.listener.ends().map_err(io::Error::other)?;
        let mut last = io::Error::other("the name has no address");
        for address in address.to_socket_addrs()? {
            let left = self.deadline.left().max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Wire::dialled(stream, ends.map(|ends| ends.client)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn greet(&self, stream: Wire, to: usize) -> Attempt {
        let GroupSpec { id, rank, members, token, .. } = self.spec;
        let hello = Hello::new(*id, *rank as u32, to as u32, members.len() as u32, nonce(), token);
        let refused = |reason: &str| {
            let peer = format!("rank {to} at {}", members[to]);
            Attempt::Failed(ExchangeError::Refused { rank: *rank, peer, group: id.first.to_string(), reason: reason.to_owned() })
        };
        let said = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(LOOK)))
            .and_then(|()| (&stream).write_all(&hello.encode()))
            .and_then(|()| self.read_answer(&stream));
        match said {
            Err(error) => Attempt::Again(Some(error)),
            Ok(None) => Attempt::Again(None),
            Ok(Some(bytes)) => match Answer::decode(&bytes) {
                Some(Answer::Welcome(proof)) if hello.is_welcomed_by(proof, token) => Attempt::Met(stream),
                Some(Answer::Stale(current)) => Attempt::Failed(self.stale(current)),
                Some(Answer::Busy | Answer::Unclaimed) => Attempt::Again(None),
                Some(Answer::Welcome(_) | Answer::Token) => refused("it does not know the same token"),
                Some(Answer::Unexpected) => refused("it expects other members, or has a connection of this rank already"),
                Some(Answer::Version) => refused("it speaks another version of the protocol: run the same version everywhere"),
                None => refused("it is no exchange"),
            },
        }
    }

    /// Waits for the answer; `None` when the group is over or late before it comes.
    fn read_answer(&self, mut stream: &Wire) -> io::Result<Option<[u8; ANSWER]>> {
        let (mut answer, mut filled) = ([0; ANSWER], 0);
        while filled < ANSWER {
            match stream.read(&mut answer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.is_over() || self.deadline.left().is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(answer))
    }

    fn stale(&self, current: u64) -> ExchangeError {
        ExchangeError::Stale { group: self.spec.id.first.to_string(), epoch: self.spec.id.epoch, current }
    }
}

/// What came of a dial.
enum Attempt {
    Met(Wire),
    Failed(ExchangeError),
    /// Nobody there, or nobody who would answer.
    Again(Option<io::Error>),
}

/// Sixteen bytes that no other hello has: the keys of the standard library's hash come from the system's randomness.
fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    for half in nonce.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(half.as_ptr().addr()).to_le_bytes());
    }
    nonce
}

impl Join for Listener {
    fn join(&self, gang: &Gang, cancel: &CancellationToken) -> Result<Arc<dyn Exchange>, ExchangeError> {
        let spec = GroupSpec {
            id: GroupId { first: gang.first, epoch: gang.epoch.0.into() },
            rank: gang.rank as usize,
            members: gang.members.clone(),
            token: Token::new(gang.token.as_bytes()),
            deadline: FORMED_WITHIN,
            cancel: cancel.clone(),
        };
        Ok(Arc::new(connect(self, &spec)?))
    }
}
