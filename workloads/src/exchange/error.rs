//! Everything that can end an exchange. One rank's error becomes every rank's: it travels to the others as it is.

use super::Operation;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Why an exchange failed. Ranks are those of the whole group, also when the failed call was made on a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ExchangeError {
    /// A member is gone: its process or thread ended, or the connection to it broke.
    #[error("rank {rank} of the exchange is lost: {detail}")]
    Lost {
        /// Who is gone.
        rank: usize,
        /// How that was seen.
        detail: String,
    },
    /// A call did not end in time.
    #[error("{operation} did not end within {}: still waiting for rank {}", seconds(.limit), list(.missing))]
    Deadline {
        /// The call.
        operation: Operation,
        /// The time it had.
        limit: Duration,
        /// Who was waited for.
        missing: Vec<usize>,
    },
    /// Two ranks made the same call with different lengths.
    #[error("{operation}: rank {rank} brings {bytes} bytes where rank {other_rank} expects {other_bytes}")]
    Mismatch {
        /// The call.
        operation: Operation,
        /// Who sent.
        rank: usize,
        /// How much.
        bytes: u64,
        /// Who received.
        other_rank: usize,
        /// How much it expected.
        other_bytes: u64,
    },
    /// Two ranks made different calls at the same place of their programs.
    #[error(
        "rank {rank} calls {call} where rank {other_rank} calls {other_call}: every member must make the same calls in the same order"
    )]
    Diverged {
        /// Who sent.
        rank: usize,
        /// Its call.
        call: String,
        /// Who received.
        other_rank: usize,
        /// The call it was in.
        other_call: String,
    },
    /// The group was formed anew in the meantime.
    #[error("epoch {epoch} of exchange {group} is over: epoch {current} has begun")]
    Stale {
        /// Which exchange.
        group: String,
        /// The epoch that was asked for.
        epoch: u64,
        /// The newest one known.
        current: u64,
    },
    /// A peer would not have this member.
    #[error("{peer} refused rank {rank} of exchange {group}: {reason}")]
    Refused {
        /// Who was refused.
        rank: usize,
        /// Who refused it.
        peer: String,
        /// Which exchange.
        group: String,
        /// Why.
        reason: String,
    },
    /// A member, or the one who runs it, ended the exchange on purpose.
    #[error("rank {rank} ended the exchange: {reason}")]
    Aborted {
        /// Who.
        rank: usize,
        /// Why, in its own words.
        reason: String,
    },
    /// A peer sent something that is no message of an exchange.
    #[error("rank {rank} sent what no member sends: {detail}")]
    Protocol {
        /// Who.
        rank: usize,
        /// What was wrong with it.
        detail: String,
    },
    /// A call that cannot be carried out whatever the others do.
    #[error("rank {rank} made a call that cannot be carried out: {operation}: {detail}")]
    Misuse {
        /// Whose.
        rank: usize,
        /// The call.
        operation: Operation,
        /// What is wrong with it.
        detail: String,
    },
    /// The system denied what the exchange needs of it.
    #[error("rank {rank} cannot {attempt}: {detail}")]
    System {
        /// Where.
        rank: usize,
        /// What was tried, as a verb.
        attempt: String,
        /// What the system said.
        detail: String,
    },
}

impl ExchangeError {
    /// The same error, said of another operation: for what is made of transfers, such as a scan.
    #[must_use]
    pub fn during(mut self, during: Operation) -> Self {
        if let Self::Deadline { operation, .. } | Self::Mismatch { operation, .. } | Self::Misuse { operation, .. } = &mut self
            && *operation == Operation::Transfer
        {
            *operation = during;
        }
        self
    }
}

fn seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_a_sentence() {
        let late =
            ExchangeError::Deadline { operation: Operation::AllGather, limit: Duration::from_millis(1500), missing: vec![1, 3] };
        assert_eq!(late.to_string(), "all_gather did not end within 1.5 s: still waiting for rank 1, 3");
    }

    #[test]
    fn only_a_transfer_takes_the_name_of_what_it_is_part_of() {
        let of = |operation| ExchangeError::Misuse { rank: 0, operation, detail: String::new() };
        assert_eq!(of(Operation::Transfer).during(Operation::Scan), of(Operation::Scan));
        assert_eq!(of(Operation::Barrier).during(Operation::Scan), of(Operation::Barrier));
    }
}
