//! The sending half of a connection.
//!
//! A body goes in segments of [`SEGMENT`] bytes, each after a head of its own, so that the end of the epoch can be told in
//! the middle of a long message: what is left of the segment is filled with zeros, as nobody will use it, and the reason
//! follows.

use super::{
    frame::{HEAD, Head, Kind},
    round::Round,
    wire::Wire,
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    ops::Range,
    sync::Arc,
};

/// Bytes of a body between two heads. Also what a link moves before another has its turn: half of a second-level
/// cache, so that what one end wrote is still there when the other reads.
pub(super) const SEGMENT: usize = 512 << 10;

/// Bytes that a message takes on its way.
pub(super) fn wire_len(body: usize) -> usize {
    body + HEAD * body.div_ceil(SEGMENT).max(1)
}

/// What is to be sent to one peer, beside what a driving call sends from its own slices.
#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Packet>,
    /// A message of the driving call is written in part.
    in_borrowed: bool,
    /// The segment that is written in part.
    cut: Option<Piece>,
}

#[derive(Debug)]
enum Packet {
    Message {
        kind: Kind,
        body: Arc<[u8]>,
        sent: usize,
    },
    /// As it goes out, and how much of it has gone.
    Raw(Vec<u8>, usize),
}

/// A segment with its head.
#[derive(Debug)]
struct Piece {
    head: [u8; HEAD],
    body: Range<usize>,
    /// Bytes that are written, head included.
    written: usize,
}

impl Piece {
    /// The one of a message that comes after `sent` bytes.
    fn of(kind: Kind, len: usize, sent: usize) -> Self {
        let (index, written) = (sent / (HEAD + SEGMENT), sent % (HEAD + SEGMENT));
        let head = if index == 0 { Head { kind, len: len as u64 } } else { Head { kind: Kind::More, len: 0 } };
        let start = index * SEGMENT;
        Self { head: head.encode(), body: start..len.min(start + SEGMENT), written }
    }

    fn is_whole(&self) -> bool {
        self.written == HEAD + self.body.len()
    }

    /// Writes on; `None` when the socket is full.
    fn push(&mut self, socket: &Wire, body: &[u8]) -> io::Result<Option<usize>> {
        let head = &self.head[self.written.min(HEAD)..];
        let body = &body[self.body.clone()][self.written.saturating_sub(HEAD)..];
        let written = push(socket, &[IoSlice::new(head), IoSlice::new(body)])?;
        self.written += written.unwrap_or(0);
        Ok(written)
    }

    /// What has to follow so that the next head is understood.
    fn rest(self) -> Vec<u8> {
        let mut rest = self.head[self.written.min(HEAD)..].to_vec();
        rest.resize(HEAD + self.body.len() - self.written, 0);
        rest
    }
}

impl Output {
    /// Sends a message of its own.
    pub(super) fn enqueue(&mut self, kind: Kind, body: Arc<[u8]>) {
        self.queue.push_back(Packet::Message { kind, body, sent: 0 });
    }

    /// Sends the reason for the end of the epoch, and nothing else any more.
    pub(super) fn end(&mut self, reason: &[u8]) {
        self.queue.clear();
        self.in_borrowed = false;
        let mut bytes = self.cut.take().map(Piece::rest).unwrap_or_default();
        bytes.extend(Head { kind: Kind::End, len: reason.len() as u64 }.encode());
        bytes.extend(reason);
        self.queue.push_back(Packet::Raw(bytes, 0));
    }

    /// Gives up all that is queued.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Writes until the socket is full, the turn is over, or there is nothing left: first what is begun, then the queue,
    /// then what `round` sends to `peer`.
    pub(super) fn write(&mut self, socket: &Wire, peer: usize, round: &mut Round<'_, '_>) -> io::Result<()> {
        let mut turn = SEGMENT;
        while turn > 0 {
            let written = if self.in_borrowed || self.queue.is_empty() {
                self.write_borrowed(socket, peer, round)?
            } else {
                self.write_queue(socket)?
            };
            let Some(written) = written else { return Ok(()) };
            turn = turn.saturating_sub(written);
        }
        Ok(())
    }

    fn write_queue(&mut self, socket: &Wire) -> io::Result<Option<usize>> {
        let Some(packet) = self.queue.front_mut() else { return Ok(None) };
        let (written, done) = match packet {
            Packet::Message { kind, body, sent } => {
                let mut piece = Piece::of(*kind, body.len(), *sent);
                let written = piece.push(socket, body)?;
                *sent += written.unwrap_or(0);
                self.cut = Some(piece).filter(|piece| piece.written > 0 && !piece.is_whole());
                (written, *sent == wire_len(body.len()))
            }
            Packet::Raw(bytes, sent) => {
                let written = push(socket, &[IoSlice::new(&bytes[*sent..])])?;
                *sent += written.unwrap_or(0);
                (written, *sent == bytes.len())
            }
        };
        if done {
            self.queue.pop_front();
        }
        Ok(written)
    }

    fn write_borrowed(&mut self, socket: &Wire, peer: usize, round: &mut Round<'_, '_>) -> io::Result<Option<usize>> {
        let mut open = round.sends.iter().zip(&mut round.sent);
        let open = open.find(|(send, sent)| send.to == peer && **sent < wire_len(send.bytes.len()));
        let Some((send, sent)) = open else { return Ok(None) };
        let mut piece = Piece::of(Kind::Data(send.ticket, send.call), send.bytes.len(), *sent);
        let written = piece.push(socket, send.bytes)?;
        *sent += written.unwrap_or(0);
        self.cut = Some(piece).filter(|piece| piece.written > 0 && !piece.is_whole());
        self.in_borrowed = *sent > 0 && *sent < wire_len(send.bytes.len());
        if *sent == wire_len(send.bytes.len()) {
            round.unsent -= 1;
        }
        Ok(written)
    }
}

/// Writes what fits; `None` when nothing does.
fn push(mut socket: &Wire, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    loop {
        match socket.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(Some(written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::exchange::{Call, Lane, Operation, Ticket};

    #[test]
    fn pieces_follow_each_other_through_a_message() {
        let ticket = Ticket { group: 0, lane: Lane::Pair, sequence: 1 };
        for len in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT] {
            let kind = Kind::Data(ticket, Call::new(Operation::Transfer, len));
            let (mut sent, mut at, mut pieces) = (0, 0, 0);
            while sent < wire_len(len) {
                let piece = Piece::of(kind, len, sent);
                assert_eq!((piece.body.start, piece.written), (at, 0));
                assert_eq!(piece.rest().len(), HEAD + piece_len(len, at));
                at += piece_len(len, at);
                sent += HEAD + piece_len(len, sent / (HEAD + SEGMENT) * SEGMENT);
                pieces += 1;
            }
            assert_eq!((at, pieces), (len, len.div_ceil(SEGMENT).max(1)));
        }
    }

    fn piece_len(len: usize, start: usize) -> usize {
        SEGMENT.min(len - start)
    }
}
