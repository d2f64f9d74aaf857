//! The messages of one call, as far as they have got.

use super::output::wire_len;
use braid_workload::exchange::{Call, ExchangeError, Inbox, Incoming, Outgoing};

/// What one call sends and receives, from and into its caller's slices.
#[derive(Debug)]
pub(super) struct Round<'r, 'a> {
    pub(super) sends: &'r [Outgoing<'r>],
    /// Bytes of each that are written, head included.
    pub(super) sent: Vec<usize>,
    pub(super) unsent: usize,
    pub(super) receives: &'r mut [Incoming<'a>],
    pub(super) got: Vec<bool>,
    pub(super) missing: usize,
}

impl<'r, 'a> Round<'r, 'a> {
    pub(super) fn new(sends: &'r [Outgoing<'r>], receives: &'r mut [Incoming<'a>]) -> Self {
        let (unsent, missing) = (sends.len(), receives.len());
        Self { sends, sent: vec![0; unsent], unsent, got: vec![false; missing], missing, receives }
    }

    /// A round without messages.
    pub(super) fn empty() -> Self {
        Self::new(&[], &mut [])
    }

    pub(super) fn is_done(&self) -> bool {
        self.unsent == 0 && self.missing == 0
    }

    pub(super) fn sends(&self) -> &'r [Outgoing<'r>] {
        self.sends
    }

    /// The messages are sent by somebody else.
    pub(super) fn hand_over_sends(&mut self) {
        (self.unsent, self.sends) = (0, &[]);
    }

    /// Takes what came before it was asked for.
    pub(super) fn take_from(&mut self, inbox: &mut Inbox<Vec<u8>>, me: usize) -> Result<(), ExchangeError> {
        for (wanted, got) in self.receives.iter_mut().zip(&mut self.got).filter(|(_, got)| !**got) {
            if let Some(bytes) = inbox.take(wanted, me)? {
                wanted.bytes.copy_from_slice(&bytes);
                *got = true;
                self.missing -= 1;
            }
        }
        Ok(())
    }

    /// Whether something is still to come from a rank.
    pub(super) fn waits_for(&self, rank: usize) -> bool {
        self.missing > 0 && self.receives.iter().zip(&self.got).any(|(receive, got)| receive.from == rank && !got)
    }

    /// Whether something is still to go to a rank.
    pub(super) fn writes_to(&self, rank: usize) -> bool {
        self.unsent > 0
            && self.sends.iter().zip(&self.sent).any(|(send, sent)| send.to == rank && *sent < wire_len(send.bytes.len()))
    }

    /// The call, and who is still needed for it.
    pub(super) fn open(&self) -> Option<(Call, Vec<usize>)> {
        let receives =
            self.receives.iter().zip(&self.got).filter(|(_, got)| !**got).map(|(receive, _)| (receive.call, receive.from));
        let sends = self.sends.iter().zip(&self.sent).filter(|(send, sent)| **sent < wire_len(send.bytes.len()));
        let mut open: Vec<_> = receives.chain(sends.map(|(send, _)| (send.call, send.to))).collect();
        open.sort_by_key(|(_, rank)| *rank);
        open.dedup_by_key(|(_, rank)| *rank);
        let call = open.first()?.0;
        Some((call, open.into_iter().map(|(_, rank)| rank).collect()))
    }
}
