//! The receiving half of a connection.
//!
//! A message that the driving call waits for is read straight into its slice, any other into memory of its own, which grows
//! with what comes and not with what was announced.

use super::{
    frame::{HEAD, Head, Kind},
    output::SEGMENT,
    round::Round,
    wire::Wire,
};
use braid_workload::exchange::{ExchangeError, Inbox, Incoming, Ticket};
use std::{
    io::{self, IoSliceMut, Read},
    ops::Range,
};

/// Segments up to this length are read together with the heads around them.
const SHORT: usize = 64 << 10;

/// What has come from one peer and is not a whole message yet.
#[derive(Debug)]
pub(super) struct Input {
    peer: usize,
    buffer: Box<[u8]>,
    /// The part of `buffer` that is read and not taken apart.
    unread: Range<usize>,
    body: Option<Body>,
    /// The peer needs nobody any more.
    pub(super) left: bool,
    /// Nothing more will come.
    pub(super) closed: bool,
}

/// The message whose head has come.
#[derive(Debug)]
struct Body {
    head: Head,
    filled: usize,
    /// Where the next head comes, or the end of the message.
    segment_end: usize,
    into: Into,
}

#[derive(Debug)]
enum Into {
    /// This one of the driving call's.
    Wanted(usize),
    Own(Vec<u8>),
}

impl Body {
    fn new(head: Head, into: Into) -> Self {
        let mut body = Self { head, filled: 0, segment_end: 0, into };
        body.extend();
        body
    }

    /// To the end of the next segment.
    fn extend(&mut self) {
        let left = self.head.len - self.filled as u64;
        self.segment_end = self.filled + left.min(SEGMENT as u64) as usize;
    }

    fn is_whole(&self) -> bool {
        self.filled as u64 == self.head.len
    }
}

impl Input {
    pub(super) fn new(peer: usize) -> Self {
        let buffer = vec![0; SHORT + HEAD].into_boxed_slice();
        Self { peer, buffer, unread: 0..0, body: None, left: false, closed: false }
    }

    /// Reads until nothing is there or the turn is over. What `round` does not want goes to `inbox`, and its ticket to
    /// `on_delivery`. When the peer ended the epoch, its reason is the error.
    pub(super) fn read(
        &mut self,
        socket: &Wire,
        me: usize,
        round: &mut Round<'_, '_>,
        inbox: &mut Inbox<Vec<u8>>,
        mut on_delivery: impl FnMut(Ticket),
    ) -> Result<(), ExchangeError> {
        let mut turn = SEGMENT;
        loop {
            // A message that is complete is handed over even when the turn is over.
            if let Some(body) = self.body.take_if(|body| body.is_whole()) {
                self.finish(body, round, inbox, &mut on_delivery)?;
            } else if self.take_apart(me, round)? {
                continue;
            } else if turn == 0 {
                return Ok(());
            } else {
                match self.fill(socket, round) {
                    Ok((0, _)) => return self.close(),
                    // Less than there was room for: the socket is empty, and asking again would cost a system call.
                    Ok((read, room)) => turn = if read < room { 0 } else { turn.saturating_sub(read) },
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => turn = 0,
                    Err(_) if self.left => return self.close(),
                    Err(error) => return Err(self.lost(error.to_string())),
                }
            }
        }
    }

    /// Reads once; bytes read, and how many could have been.
    fn fill(&mut self, mut socket: &Wire, round: &mut Round<'_, '_>) -> io::Result<(usize, usize)> {
        if let Some(body) = self.body.as_mut().filter(|body| body.segment_end - body.filled > SHORT) {
            // The buffer is empty, or the body would have taken from it. The next head goes there.
            let len = body.segment_end - body.filled;
            let (read, room) = match &mut body.into {
                Into::Wanted(index) => {
                    let slice = &mut round.receives[*index].bytes[body.filled..body.segment_end];
                    let parts = &mut [IoSliceMut::new(slice), IoSliceMut::new(&mut self.buffer[..HEAD])];
                    (socket.read_vectored(parts)?, len + HEAD)
                }
                Into::Own(bytes) => (append(socket, bytes, len)?, len),
            };
            body.filled += read.min(len);
            self.unread = 0..read.saturating_sub(len);
            return Ok((read, room));
        }
        // What is unread is less than a head, or nothing.
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let free = &mut self.buffer[self.unread.end..];
        let (read, room) = (socket.read(free)?, free.len());
        self.unread.end += read;
        Ok((read, room))
    }

    /// Uses what is in the buffer; false when that is not enough to go on.
    fn take_apart(&mut self, me: usize, round: &mut Round<'_, '_>) -> Result<bool, ExchangeError> {
        if self.unread.is_empty() {
            return Ok(false);
        }
        if let Some(body) = self.body.as_mut().filter(|body| body.filled < body.segment_end) {
            let len = (body.segment_end - body.filled).min(self.unread.len());
            let bytes = &self.buffer[self.unread.start..self.unread.start + len];
            match &mut body.into {
                Into::Wanted(index) => round.receives[*index].bytes[body.filled..body.filled + len].copy_from_slice(bytes),
                Into::Own(own) => own.extend_from_slice(bytes),
            }
            body.filled += len;
            self.unread.start += len;
            return Ok(true);
        }
        let Some(head) = self.buffer[self.unread.clone()].first_chunk::<HEAD>() else { return Ok(false) };
        let head = Head::decode(head).map_err(|detail| self.nonsense(detail))?;
        self.unread.start += HEAD;
        match (head.kind, &mut self.body) {
            (Kind::More, Some(body)) => body.extend(),
            (Kind::More, None) => return Err(self.nonsense("more of a message that has not begun".to_owned())),
            // What there is of a message is of no use when the epoch has ended.
            (Kind::End, _) => self.body = Some(Body::new(head, Into::Own(Vec::new()))),
            (Kind::Data(..) | Kind::Leave, Some(_)) => return Err(self.nonsense("a message within a message".to_owned())),
            (Kind::Data(..) | Kind::Leave, None) => self.body = Some(Body::new(head, self.place(&head, me, round)?)),
        }
        Ok(true)
    }

    /// Where a message goes; an error when it is not what `round` expects in its place.
    fn place(&self, head: &Head, me: usize, round: &Round<'_, '_>) -> Result<Into, ExchangeError> {
        let Kind::Data(ticket, call) = head.kind else { return Ok(Into::Own(Vec::new())) };
        let wanted = |(receive, got): (&Incoming<'_>, &bool)| receive.from == self.peer && receive.ticket == ticket && !got;
        let Some(index) = round.receives.iter().zip(&round.got).position(wanted) else { return Ok(Into::Own(Vec::new())) };
        let receive = &round.receives[index];
        call.agree(head.len, self.peer, receive.call, receive.bytes.len() as u64, me)?;
        Ok(Into::Wanted(index))
    }

    fn finish(
        &mut self,
        body: Body,
        round: &mut Round<'_, '_>,
        inbox: &mut Inbox<Vec<u8>>,
        on_delivery: &mut impl FnMut(Ticket),
    ) -> Result<(), ExchangeError> {
        match (body.head.kind, body.into) {
            (_, Into::Wanted(index)) => {
                round.got[index] = true;
                round.missing -= 1;
            }
            (Kind::Data(ticket, call), Into::Own(bytes)) => {
                inbox.deliver(self.peer, ticket, call, bytes)?;
                on_delivery(ticket);
            }
            (Kind::End, Into::Own(bytes)) => {
                return Err(serde_json::from_slice(&bytes)
                    .unwrap_or_else(|error| self.nonsense(format!("a reason for the end that cannot be read: {error}"))));
            }
            (Kind::Leave | Kind::More, _) => self.left = true,
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), ExchangeError> {
        self.closed = true;
        if self.left {
            return Ok(());
        }
        let middle = self.body.is_some() || !self.unread.is_empty();
        Err(self.lost(if middle { "its connection ended in the middle of a message" } else { "its connection ended" }.to_owned()))
    }

    /// Reads and drops what is there.
    pub(super) fn discard(&mut self, mut socket: &Wire) {
        loop {
            match socket.read(&mut self.buffer) {
                Ok(0) => self.closed = true,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.closed = error.kind() != io::ErrorKind::WouldBlock,
            }
            return;
        }
    }

    pub(super) fn lost(&self, detail: String) -> ExchangeError {
        ExchangeError::Lost { rank: self.peer, detail }
    }

    fn nonsense(&self, detail: String) -> ExchangeError {
        ExchangeError::Protocol { rank: self.peer, detail }
    }
}

/// Reads up to `room` bytes to the end of `bytes`.
fn append(socket: &Wire, bytes: &mut Vec<u8>, room: usize) -> io::Result<usize> {
    let before = bytes.len();
    bytes.reserve(room);
    let end = socket.take(room as u64).read_to_end(bytes);
    match bytes.len() - before {
        0 => end,
        // The error, if it lasts, comes again.
        read => Ok(read),
    }
}
