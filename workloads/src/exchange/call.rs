//! What a rank says about a call beside its bytes, so that two ranks that disagree find out.

use super::ExchangeError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is done together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The group is being formed.
    Connect,
    /// Messages between pairs of ranks.
    Transfer,
    /// Everyone gets what everyone has.
    AllGather,
    /// Everyone gets the sum.
    AllReduce,
    /// Everyone gets its share of the sum.
    ReduceScatter,
    /// Everyone gets what one has.
    Broadcast,
    /// Nobody goes on before all have come.
    Barrier,
    /// Everyone gets the composition of what those before it (or after it) have.
    Scan,
    /// A part of the group becomes a group.
    Split,
}

impl Operation {
    /// All of them, in the order of their [codes](Operation::code).
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Transfer,
        Self::AllGather,
        Self::AllReduce,
        Self::ReduceScatter,
        Self::Broadcast,
        Self::Barrier,
        Self::Scan,
        Self::Split,
    ];

    /// Its number on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a number on the wire stands for.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Transfer => "transfer",
            Self::AllGather => "all_gather",
            Self::AllReduce => "all_reduce",
            Self::ReduceScatter => "reduce_scatter",
            Self::Broadcast => "broadcast",
            Self::Barrier => "barrier",
            Self::Scan => "scan",
            Self::Split => "split",
        })
    }
}

/// A call as one rank makes it. The same on all ranks, or the call fails on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What is done.
    pub operation: Operation,
    /// Bytes of one element.
    pub element: u8,
    /// The rank it starts from, where there is one.
    pub root: u32,
    /// Bytes of the whole call: of all shares, before and after any reduction.
    pub bytes: u64,
}

impl Call {
    /// A call on plain bytes without a root.
    pub fn new(operation: Operation, bytes: usize) -> Self {
        Self { operation, element: 1, root: 0, bytes: bytes as u64 }
    }

    /// Compares the call of the message that `rank` sent to `other_rank`, and its length, with what the latter expects.
    ///
    /// # Errors
    /// [`ExchangeError::Diverged`] or [`ExchangeError::Mismatch`].
    pub fn agree(self, len: u64, rank: usize, expected: Self, expected_len: u64, other_rank: usize) -> Result<(), ExchangeError> {
        let operation = expected.operation;
        if self == expected && len == expected_len {
            return Ok(());
        }
        let (bytes, other_bytes) = if self.bytes == expected.bytes { (len, expected_len) } else { (self.bytes, expected.bytes) };
        if (self.operation, self.element, self.root) == (operation, expected.element, expected.root) {
            Err(ExchangeError::Mismatch { operation, rank, bytes, other_rank, other_bytes })
        } else {
            Err(ExchangeError::Diverged { rank, call: self.to_string(), other_rank, other_call: expected.to_string() })
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.operation, self.bytes)?;
        if self.element > 1 {
            write!(f, " in elements of {}", self.element)?;
        }
        if self.operation == Operation::Broadcast {
            write!(f, " from rank {}", self.root)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_reads_back_from_its_code() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_code(operation.code()), Some(operation));
        }
        assert_eq!(Operation::from_code(Operation::ALL.len() as u8), None);
    }

    #[test]
    fn disagreement_names_both_sides() {
        let gather = |bytes| Call::new(Operation::AllGather, bytes);
        assert_eq!(gather(8).agree(2, 1, gather(8), 2, 0), Ok(()));
        assert_eq!(
            gather(8).agree(2, 1, gather(16), 4, 0).unwrap_err().to_string(),
            "all_gather: rank 1 brings 8 bytes where rank 0 expects 16"
        );
        // Equal totals in unequal parts.
        assert_eq!(
            gather(8).agree(2, 1, gather(8), 4, 0).unwrap_err().to_string(),
            "all_gather: rank 1 brings 2 bytes where rank 0 expects 4"
        );
        let from = |root| Call { root, ..Call::new(Operation::Broadcast, 8) };
        assert_eq!(
            from(1).agree(8, 1, from(2), 8, 3).unwrap_err().to_string(),
            "rank 1 calls broadcast of 8 bytes from rank 1 where rank 3 calls broadcast of 8 bytes from rank 2: \
             every member must make the same calls in the same order"
        );
    }
}
