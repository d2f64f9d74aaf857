//! How much work a solve may do. Work is counted, so that the same problem has the same answer everywhere; a deadline can only
//! end a solve without an answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Work that is left, in looks at a load: about a nanosecond each.
#[derive(Debug, Clone)]
pub struct Budget {
    left: u64,
    cancel: Option<Arc<AtomicBool>>,
}

/// Somebody no longer wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the placement was cancelled")]
pub struct Cancelled;

impl Budget {
    /// So much work.
    pub fn new(work: u64) -> Self {
        Self { left: work, cancel: None }
    }

    /// So much work, unless the flag is set before it is done.
    pub fn cancellable(work: u64, cancel: Arc<AtomicBool>) -> Self {
        Self { left: work, cancel: Some(cancel) }
    }

    /// Takes work out. `Ok(false)`: there is not so much left.
    pub(super) fn spend(&mut self, work: usize) -> Result<bool, Cancelled> {
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        match self.left.checked_sub(work as u64) {
            Some(left) => {
                self.left = left;
                Ok(true)
            }
            None => {
                self.left = 0;
                Ok(false)
            }
        }
    }

    /// Whether there is so much left.
    pub(super) fn affords(&self, work: usize) -> bool {
        self.left >= work as u64
    }

    /// Whether somebody may cancel it.
    pub(super) fn is_cancellable(&self) -> bool {
        self.cancel.is_some()
    }

    /// Whether somebody has.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// A part of what is left, of which the rest stays here.
    pub(super) fn split(&mut self, part: u64, of: u64) -> Self {
        let given = (u128::from(self.left) * u128::from(part) / u128::from(of.max(1))) as u64;
        self.left -= given;
        Self { left: given, cancel: self.cancel.clone() }
    }

    /// Gives back what is left of a part.
    pub(super) fn join(&mut self, part: Self) {
        self.left = self.left.saturating_add(part.left);
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }
}
