//! The 56 bytes before every message, and before every further segment of a long one. Pure.
//!
//! | at | bytes | little-endian |
//! |---|---|---|
//! | 0 | 2 | mark `bx` |
//! | 2 | 1 | kind: 1 data, 2 end of the epoch, 3 leave, 4 more of the same data |
//! | 3 | 1 | operation |
//! | 4 | 1 | lane: 0 collective, 1 pair |
//! | 5 | 1 | bytes of an element |
//! | 8 | 4 | root |
//! | 12 | 4 | 0 |
//! | 16 | 16 | group |
//! | 32 | 8 | sequence |
//! | 40 | 8 | bytes of the message, 2⁴⁸ at most |
//! | 48 | 8 | bytes of the whole call |

use braid_workload::exchange::{Call, Lane, Operation, Ticket};

/// Bytes of a head.
pub(super) const HEAD: usize = 56;

const MARK: [u8; 2] = *b"bx";
const LONGEST: u64 = 1 << 48;
/// The reason that a peer gives for the end is text.
const LONGEST_REASON: u64 = 64 << 10;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a call.
    Data(Ticket, Call),
    /// The epoch has ended: an [`ExchangeError`](braid_workload::ExchangeError) as JSON.
    End,
    /// The sender needs nobody any more.
    Leave,
    /// The next segment of the message that is under way.
    More,
}

/// What comes before the bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Bytes of the message.
    pub(super) len: u64,
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[0..2].copy_from_slice(&MARK);
        head[2] = match self.kind {
            Kind::Data(..) => 1,
            Kind::End => 2,
            Kind::Leave => 3,
            Kind::More => 4,
        };
        if let Kind::Data(ticket, call) = self.kind {
            head[3] = call.operation.code();
            head[4] = u8::from(ticket.lane == Lane::Pair);
            head[5] = call.element;
            head[8..12].copy_from_slice(&call.root.to_le_bytes());
            head[16..32].copy_from_slice(&ticket.group.to_le_bytes());
            head[32..40].copy_from_slice(&ticket.sequence.to_le_bytes());
            head[48..56].copy_from_slice(&call.bytes.to_le_bytes());
        }
        head[40..48].copy_from_slice(&self.len.to_le_bytes());
        head
    }

    /// Reads what a peer sent; the error says what is wrong with it.
    pub(super) fn decode(head: &[u8; HEAD]) -> Result<Self, String> {
        if head[0..2] != MARK {
            return Err(format!("a message that begins with {:02x} {:02x} instead of its mark", head[0], head[1]));
        }
        let len = number(head, 40);
        let limit = |limit| if len <= limit { Ok(()) } else { Err(format!("a message of {len} bytes")) };
        let kind = match head[2] {
            1 => {
                limit(LONGEST)?;
                let operation = Operation::from_code(head[3]).ok_or_else(|| format!("operation {}", head[3]))?;
                let lane = match head[4] {
                    0 => Lane::Collective,
                    1 => Lane::Pair,
                    other => return Err(format!("lane {other}")),
                };
                let group = u128::from(number(head, 16)) | u128::from(number(head, 24)) << 64;
                // Four bytes in the low half of the eight.
                let root = (number(head, 8) & u64::from(u32::MAX)) as u32;
                let call = Call { operation, element: head[5], root, bytes: number(head, 48) };
                Kind::Data(Ticket { group, lane, sequence: number(head, 32) }, call)
            }
            2 => {
                limit(LONGEST_REASON)?;
                Kind::End
            }
            3 => {
                limit(0)?;
                Kind::Leave
            }
            4 => {
                limit(0)?;
                Kind::More
            }
            other => return Err(format!("kind {other} of message")),
        };
        Ok(Self { kind, len })
    }
}

fn number(head: &[u8; HEAD], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&head[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_reads_back(group: u128, sequence: u64, pair: bool, element: u8, root: u32, bytes: u64, len in 0..=LONGEST, op in 0..9u8) {
            let ticket = Ticket { group, lane: if pair { Lane::Pair } else { Lane::Collective }, sequence };
            let call = Call { operation: Operation::from_code(op).unwrap(), element, root, bytes };
            let head = Head { kind: Kind::Data(ticket, call), len };
            prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
        }

        #[test]
        fn any_bytes_are_a_head_or_an_error(bytes in prop::array::uniform32(any::<u8>()), tail in prop::array::uniform24(any::<u8>()), mark: bool) {
            let mut head = [0; HEAD];
            head[..32].copy_from_slice(&bytes);
            head[32..].copy_from_slice(&tail);
            if mark {
                head[..2].copy_from_slice(&MARK);
            }
            if let Ok(read) = Head::decode(&head) {
                prop_assert_eq!(Head::decode(&read.encode()), Ok(read));
            }
        }
    }

    #[test]
    fn lengths_have_limits() {
        for (kind, len) in [(Kind::Leave, 1), (Kind::More, 1), (Kind::End, LONGEST_REASON + 1)] {
            assert_eq!(Head::decode(&Head { kind, len }.encode()), Err(format!("a message of {len} bytes")));
        }
    }
}
