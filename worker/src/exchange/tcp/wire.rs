//! A connection between two members: a socket as it is, or with TLS on it. It does not block once it is told not to, and is read
//! and written by one thread at a time.
//!
//! TLS holds bytes back on both sides: what was taken in and does not fit into the socket yet ([`Wire::is_pending`]), and what has come
//! out of the socket and nobody has read yet ([`Wire::is_unread`]). Whoever waits for the socket must ask for both, as `poll` knows of
//! neither. The handshake is part of the first reads and writes.

use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection, pki_types::ServerName};
use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// No name is looked up or checked: members are known by who signed their certificate.
const NOBODY: &str = "member.invalid";

/// A connection to another member.
#[derive(Debug)]
pub(super) enum Wire {
    /// As it is.
    Plain(TcpStream),
    /// With TLS.
    Secure(Box<Secure>),
}

/// A connection with TLS.
#[derive(Debug)]
pub(super) struct Secure {
    socket: TcpStream,
    session: Mutex<Connection>,
    pending: AtomicBool,
    unread: AtomicBool,
}

impl Wire {
    /// The end that dials.
    pub(super) fn dialled(socket: TcpStream, config: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let Some(config) = config else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from(NOBODY).map_err(io::Error::other)?;
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self::secure(socket, session.into()))
    }

    /// The end that listens.
    pub(super) fn accepted(socket: TcpStream, config: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = config else { return Ok(Self::Plain(socket)) };
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::secure(socket, session.into()))
    }

    fn secure(socket: TcpStream, session: Connection) -> Self {
        let (pending, unread) = (AtomicBool::new(false), AtomicBool::new(false));
        Self::Secure(Box::new(Secure { socket, session: Mutex::new(session), pending, unread }))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(secure) => &secure.socket,
        }
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket().set_nonblocking(nonblocking)
    }

    pub(super) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_nodelay(nodelay)
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket().set_read_timeout(timeout)
    }

    /// Says that nothing more will be written, once what was is on its way.
    pub(super) fn finish(&self) {
        if let Self::Secure(secure) = self {
            let mut session = secure.lock();
            session.send_close_notify();
            // Who does not take it in misses nothing: members say goodbye before.
            let _ = secure.push(&mut session);
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Whether bytes that were taken in wait for room in the socket.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Self::Secure(secure) if secure.pending.load(Ordering::Relaxed))
    }

    /// Whether bytes wait to be read that the socket no longer has.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self, Self::Secure(secure) if secure.unread.load(Ordering::Relaxed))
    }

    /// Moves on what [`is_pending`](Self::is_pending), as far as there is room.
    pub(super) fn advance(&self) -> io::Result<()> {
        match self {
            Self::Secure(secure) if self.is_pending() => secure.push(&mut secure.lock()).map(drop),
            _ => Ok(()),
        }
    }
}

impl Secure {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        // Nothing in here panics while it holds the lock.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what TLS has for the socket; false when that is full.
    fn push(&self, session: &mut Connection) -> io::Result<bool> {
        let pushed = loop {
            if !session.wants_write() {
                break Ok(true);
            }
            match session.write_tls(&mut &self.socket) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.pending.store(session.wants_write(), Ordering::Relaxed);
        pushed
    }

    /// Takes in as much of the parts as there is room for.
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.lock();
        let mut taken = 0;
        for part in parts {
            let mut rest = &**part;
            // One record after the other, so that little is held back: what is taken in counts as sent.
            while !rest.is_empty() {
                let more = if self.push(&mut session)? { session.writer().write(rest)? } else { 0 };
                if more == 0 {
                    return if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::WouldBlock.into()) };
                }
                taken += more;
                rest = &rest[more..];
            }
        }
        self.push(&mut session)?;
        Ok(taken)
    }

    /// Fills the parts as far as there is anything: less than they hold means that the socket is empty.
    fn read(&self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut session = self.lock();
        let mut got = 0;
        let read = parts.iter_mut().try_for_each(|part| {
            let mut filled = 0;
            while filled < part.len() {
                let more = self.take(&mut session, &mut part[filled..])?;
                filled += more;
                got += more;
            }
            Ok::<_, io::Error>(())
        });
        let left = session.process_new_packets().map_or(0, |state| state.plaintext_bytes_to_read());
        self.unread.store(left > 0, Ordering::Relaxed);
        match read {
            // The error, or the end, comes again.
            Err(_) if got > 0 => Ok(got),
            // The end of the stream, whether it was announced or not: members say goodbye before.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
            Ok(()) => Ok(got),
        }
    }

    /// Reads once, at least a byte; an end is `UnexpectedEof`.
    fn take(&self, session: &mut Connection, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match session.reader().read(into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            // Of the handshake: the other end waits for it.
            self.push(session)?;
            match session.read_tls(&mut &self.socket) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = session.process_new_packets() {
                // The other end is told what is wrong with what it sent.
                let _ = self.push(session);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.push(session)?;
        }
    }
}

impl Read for &Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(into)])
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => (&*socket).read_vectored(parts),
            Wire::Secure(secure) => secure.read(parts),
        }
    }
}

impl Write for &Wire {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => (&*socket).write_vectored(parts),
            Wire::Secure(secure) => secure.write(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}
