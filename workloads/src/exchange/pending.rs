//! A gather that goes on while its caller computes.

use super::{
    Call, Deadline, Exchange, ExchangeError, Group, Incoming, Operation, Pending, Posted, Ticket, Transport, collective::cut,
};
use std::{sync::Arc, time::Duration};
use tracing::Span;

/// Between the start of a gather and its end, or its drop.
pub(super) struct Gathering<T: Transport> {
    transport: Arc<T>,
    members: Arc<[usize]>,
    rank: usize,
    mine: Arc<[u8]>,
    lens: Vec<usize>,
    call: Call,
    ticket: Ticket,
    timeout: Duration,
    waited: bool,
    /// In a trace, it lasts from the start to the end.
    span: Span,
}

impl<T: Transport> Gathering<T> {
    pub(super) fn start(group: &Group<T>, mine: Vec<u8>, lens: &[usize]) -> Result<Self, ExchangeError> {
        let call = Call::new(Operation::AllGather, lens.iter().sum());
        let span = group.span(Operation::AllGather, lens.iter().sum());
        let (mine, ticket): (Arc<[u8]>, _) = (mine.into(), group.next_round());
        let sends = group.others().map(|to| Posted { to: group.members[to], ticket, call, bytes: mine.clone() }).collect();
        let expected: Vec<_> = group.others().map(|from| (group.members[from], ticket)).collect();
        group.transport.post(sends, &expected).map_err(|cause| group.transport.end(cause))?;
        let (transport, members) = (group.transport.clone(), group.members.clone());
        let (rank, timeout) = (group.rank, group.timeout());
        Ok(Self { transport, members, rank, mine, lens: lens.to_vec(), call, ticket, timeout, waited: false, span })
    }
}

impl<T: Transport> Pending for Gathering<T> {
    fn bytes(&self) -> usize {
        self.lens.iter().sum()
    }

    fn wait_into(mut self: Box<Self>, out: &mut [u8]) -> Result<(), ExchangeError> {
        self.waited = true;
        let (rank, total) = (self.transport.rank(), self.bytes());
        if out.len() != total {
            let detail = format!("a result of {} bytes where the lengths add up to {total}", out.len());
            return Err(self.transport.end(ExchangeError::Misuse { rank, operation: Operation::AllGather, detail }));
        }
        let mut receives = Vec::with_capacity(self.lens.len());
        for (from, slot) in cut(out, &self.lens).enumerate() {
            if from == self.rank {
                slot.copy_from_slice(&self.mine);
            } else {
                receives.push(Incoming { from: self.members[from], ticket: self.ticket, call: self.call, bytes: slot });
            }
        }
        let _waiting = self.span.enter();
        let deadline = Deadline::after(self.timeout);
        self.transport.round(&[], &mut receives, deadline).map_err(|cause| self.transport.end(cause))
    }
}

impl<T: Transport> Drop for Gathering<T> {
    fn drop(&mut self) {
        if !self.waited {
            let others = self.members.iter().enumerate().filter(|(at, _)| *at != self.rank);
            let expected: Vec<_> = others.map(|(_, &from)| (from, self.ticket)).collect();
            self.transport.forget(&expected);
        }
    }
}
