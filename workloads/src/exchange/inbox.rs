//! Messages that came before anybody asked for them. Pure: back-ends lock it and wait around it.

use super::{Call, ExchangeError, Incoming, Ticket};
use std::collections::{HashMap, HashSet};

/// What has come for one rank and was not taken yet.
#[derive(Debug)]
pub struct Inbox<P> {
    messages: HashMap<(usize, Ticket), (Call, P)>,
    unwanted: HashSet<(usize, Ticket)>,
    bytes: usize,
}

impl<P> Default for Inbox<P> {
    fn default() -> Self {
        Self { messages: HashMap::new(), unwanted: HashSet::new(), bytes: 0 }
    }
}

impl<P: AsRef<[u8]>> Inbox<P> {
    /// Keeps a message, unless nobody wants it.
    ///
    /// # Errors
    /// [`ExchangeError::Protocol`] for a ticket that is already there.
    pub fn deliver(&mut self, from: usize, ticket: Ticket, call: Call, payload: P) -> Result<(), ExchangeError> {
        if self.unwanted.remove(&(from, ticket)) {
            return Ok(());
        }
        self.bytes += payload.as_ref().len();
        match self.messages.insert((from, ticket), (call, payload)) {
            None => Ok(()),
            Some(_) => {
                Err(ExchangeError::Protocol { rank: from, detail: format!("message {} of {call} twice", ticket.sequence) })
            }
        }
    }

    /// Takes the message that `wanted` waits for, when it is there and is what `wanted` expects. Does not copy it.
    ///
    /// # Errors
    /// The disagreement between its sender and this rank, `me`.
    pub fn take(&mut self, wanted: &Incoming<'_>, me: usize) -> Result<Option<P>, ExchangeError> {
        let Some((call, payload)) = self.messages.remove(&(wanted.from, wanted.ticket)) else { return Ok(None) };
        let len = payload.as_ref().len();
        self.bytes -= len;
        call.agree(len as u64, wanted.from, wanted.call, wanted.bytes.len() as u64, me)?;
        Ok(Some(payload))
    }

    /// Drops a message, now or when it comes.
    pub fn forget(&mut self, from: usize, ticket: Ticket) {
        match self.messages.remove(&(from, ticket)) {
            Some((_, payload)) => self.bytes -= payload.as_ref().len(),
            None => {
                self.unwanted.insert((from, ticket));
            }
        }
    }

    /// Whether the message is there.
    pub fn has(&self, from: usize, ticket: Ticket) -> bool {
        self.messages.contains_key(&(from, ticket))
    }

    /// Bytes that wait to be taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Lane, Operation},
        *,
    };

    fn ticket(sequence: u64) -> Ticket {
        Ticket { group: 0, lane: Lane::Collective, sequence }
    }

    fn call(bytes: usize) -> Call {
        Call::new(Operation::AllGather, bytes)
    }

    #[test]
    fn a_message_is_taken_once_and_only_with_its_ticket_and_sender() {
        let mut inbox = Inbox::default();
        inbox.deliver(1, ticket(0), call(3), vec![1, 2, 3]).unwrap();
        let mut bytes = [0; 3];
        let mut take = |from, sequence, inbox: &mut Inbox<Vec<u8>>| {
            inbox.take(&Incoming { from, ticket: ticket(sequence), call: call(3), bytes: &mut bytes }, 0).unwrap()
        };
        assert_eq!(take(2, 0, &mut inbox), None);
        assert_eq!(take(1, 1, &mut inbox), None);
        assert_eq!((inbox.bytes(), take(1, 0, &mut inbox)), (3, Some(vec![1, 2, 3])));
        assert_eq!((inbox.bytes(), take(1, 0, &mut inbox)), (0, None));
    }

    #[test]
    fn a_message_of_another_length_is_a_mismatch() {
        let mut inbox = Inbox::default();
        inbox.deliver(1, ticket(0), call(3), vec![1, 2, 3]).unwrap();
        let wanted = Incoming { from: 1, ticket: ticket(0), call: call(4), bytes: &mut [0; 4] };
        let expected =
            ExchangeError::Mismatch { operation: Operation::AllGather, rank: 1, bytes: 3, other_rank: 0, other_bytes: 4 };
        assert_eq!(inbox.take(&wanted, 0), Err(expected));
    }

    #[test]
    fn what_nobody_wants_is_dropped_before_and_after_it_comes() {
        let mut inbox = Inbox::default();
        inbox.forget(1, ticket(0));
        inbox.deliver(1, ticket(0), call(1), vec![1]).unwrap();
        inbox.deliver(1, ticket(1), call(1), vec![1]).unwrap();
        inbox.forget(1, ticket(1));
        assert_eq!((inbox.bytes(), inbox.has(1, ticket(0)), inbox.has(1, ticket(1))), (0, false, false));
    }

    #[test]
    fn a_ticket_that_comes_twice_is_an_error() {
        let mut inbox = Inbox::default();
        inbox.deliver(1, ticket(0), call(1), vec![1]).unwrap();
        assert!(matches!(inbox.deliver(1, ticket(0), call(1), vec![1]), Err(ExchangeError::Protocol { rank: 1, .. })));
    }
}
