//! The first words on a connection: a hello from the rank that dials, an answer from the other. Pure.
//!
//! Each side proves that it knows the group's token by a keyed BLAKE3 of what is said; the token itself is never sent.
//! The answer is keyed over the hello, which carries a nonce, so that no old answer serves again.

use super::{GroupId, Token};
use braid_workload::JobId;

/// Bytes of a hello.
pub(super) const HELLO: usize = 92;
/// Bytes of an answer.
pub(super) const ANSWER: usize = 48;

const MARK: [u8; 8] = *b"braid-ex";
const VERSION: u32 = 1;

/// Who dials whom, for which group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) group: GroupId,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) size: u32,
    nonce: [u8; 16],
    proof: [u8; 32],
}

/// What a listener or a member says to a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Welcome, with the proof that the member knows the token.
    Welcome([u8; 32]),
    /// The group is at this epoch by now.
    Stale(u64),
    /// The hello does not prove the token.
    Token,
    /// The member expects no such rank, or has it already.
    Unexpected,
    /// Another version of the protocol.
    Version,
    /// Too many wait here.
    Busy,
    /// Nobody here asked for the group in time.
    Unclaimed,
}

/// Why bytes are no hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHello {
    /// Not from a member of any exchange.
    Stranger,
    /// From one that speaks another version.
    Version,
}

impl Hello {
    pub(super) fn new(group: GroupId, from: u32, to: u32, size: u32, nonce: [u8; 16], token: &Token) -> Self {
        let mut hello = Self { group, from, to, size, nonce, proof: [0; 32] };
        hello.proof = hello.proof_by(token);
        hello
    }

    fn proof_by(&self, token: &Token) -> [u8; 32] {
        *blake3::keyed_hash(&token.key(), &self.encode()[..HELLO - 32]).as_bytes()
    }

    /// Whether its sender knows the token.
    pub(super) fn proves(&self, token: &Token) -> bool {
        // The comparison of hashes takes the same time wherever they differ.
        blake3::Hash::from_bytes(self.proof) == blake3::Hash::from_bytes(self.proof_by(token))
    }

    /// The answer that only one who knows the token can give.
    pub(super) fn welcome(&self, token: &Token) -> Answer {
        Answer::Welcome(*blake3::keyed_hash(&token.key(), &self.proof).as_bytes())
    }

    /// Whether the answer proves that its sender knows the token.
    pub(super) fn is_welcomed_by(&self, proof: [u8; 32], token: &Token) -> bool {
        blake3::Hash::from_bytes(proof) == blake3::keyed_hash(&token.key(), &self.proof)
    }

    pub(super) fn encode(&self) -> [u8; HELLO] {
        let mut bytes = Vec::with_capacity(HELLO);
        bytes.extend(MARK);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.group.first.job.0.to_le_bytes());
        bytes.extend(self.group.first.index.to_le_bytes());
        bytes.extend(self.group.epoch.to_le_bytes());
        bytes.extend(self.from.to_le_bytes());
        bytes.extend(self.to.to_le_bytes());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.nonce);
        bytes.extend(self.proof);
        let mut hello = [0; HELLO];
        hello.copy_from_slice(&bytes);
        hello
    }

    pub(super) fn decode(bytes: &[u8; HELLO]) -> Result<Self, NoHello> {
        let mut at = 0;
        if take::<8>(bytes, &mut at) != MARK {
            return Err(NoHello::Stranger);
        }
        if u32::from_le_bytes(take(bytes, &mut at)) != VERSION {
            return Err(NoHello::Version);
        }
        let job = JobId(u64::from_le_bytes(take(bytes, &mut at)));
        let index = u32::from_le_bytes(take(bytes, &mut at));
        let epoch = u64::from_le_bytes(take(bytes, &mut at));
        let [from, to, size] = [(); 3].map(|()| u32::from_le_bytes(take(bytes, &mut at)));
        let (nonce, proof) = (take(bytes, &mut at), take(bytes, &mut at));
        Ok(Self { group: GroupId { first: job.task(index), epoch }, from, to, size, nonce, proof })
    }
}

impl Answer {
    pub(super) fn encode(&self) -> [u8; ANSWER] {
        let (code, number, proof) = match *self {
            Self::Welcome(proof) => (0, 0, proof),
            Self::Stale(epoch) => (1, epoch, [0; 32]),
            Self::Token => (2, 0, [0; 32]),
            Self::Unexpected => (3, 0, [0; 32]),
            Self::Version => (4, 0, [0; 32]),
            Self::Busy => (5, 0, [0; 32]),
            Self::Unclaimed => (6, 0, [0; 32]),
        };
        let mut answer = [0; ANSWER];
        answer[..7].copy_from_slice(&MARK[..7]);
        answer[7] = code;
        answer[8..16].copy_from_slice(&u64::to_le_bytes(number));
        answer[16..].copy_from_slice(&proof);
        answer
    }

    /// `None` for what is no answer.
    pub(super) fn decode(bytes: &[u8; ANSWER]) -> Option<Self> {
        let mut at = 8;
        let (number, proof) = (u64::from_le_bytes(take(bytes, &mut at)), take(bytes, &mut at));
        if bytes[..7] != MARK[..7] {
            return None;
        }
        Some(match bytes[7] {
            0 => Self::Welcome(proof),
            1 => Self::Stale(number),
            2 => Self::Token,
            3 => Self::Unexpected,
            4 => Self::Version,
            5 => Self::Busy,
            6 => Self::Unclaimed,
            _ => return None,
        })
    }
}

fn take<const N: usize>(bytes: &[u8], at: &mut usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[*at..*at + N]);
    *at += N;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::TaskId;

    const GROUP: GroupId = GroupId { first: TaskId { job: JobId(12), index: 3 }, epoch: 4 };

    #[test]
    fn a_hello_reads_back_and_proves_its_token_only() {
        let token = Token::new(b"secret");
        let hello = Hello::new(GROUP, 0, 2, 3, [9; 16], &token);
        let read = Hello::decode(&hello.encode()).unwrap();
        assert_eq!(read, hello);
        assert!(read.proves(&token) && !read.proves(&Token::new(b"other")));
        // Whatever is changed on the way, the proof does not fit any more.
        for at in 12..HELLO {
            let mut bytes = hello.encode();
            bytes[at] ^= 1;
            assert!(!Hello::decode(&bytes).unwrap().proves(&token), "byte {at}");
        }
    }

    #[test]
    fn only_one_who_knows_the_token_can_welcome() {
        let (token, other) = (Token::new(b"secret"), Token::new(b"other"));
        let hello = Hello::new(GROUP, 0, 2, 3, [9; 16], &token);
        let again = Hello::new(GROUP, 0, 2, 3, [8; 16], &token);
        let proof = |answer| if let Answer::Welcome(proof) = answer { proof } else { [0; 32] };
        assert!(hello.is_welcomed_by(proof(hello.welcome(&token)), &token));
        assert!(!hello.is_welcomed_by(proof(hello.welcome(&other)), &token));
        assert!(!hello.is_welcomed_by(proof(again.welcome(&token)), &token));
    }

    #[test]
    fn answers_read_back_and_strangers_are_told_from_old_versions() {
        use Answer::{Busy, Stale, Token, Unclaimed, Unexpected, Version, Welcome};
        for answer in [Welcome([7; 32]), Stale(3), Token, Unexpected, Version, Busy, Unclaimed] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Answer::decode(&[b'x'; ANSWER]), None);
        assert_eq!(Hello::decode(&[b'x'; HELLO]), Err(NoHello::Stranger));
        let mut newer = [0; HELLO];
        newer[..8].copy_from_slice(&MARK);
        newer[8] = 200;
        assert_eq!(Hello::decode(&newer), Err(NoHello::Version));
    }
}
