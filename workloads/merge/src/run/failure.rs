//! The first failure of work done in parallel: the one that doing it in order would have met.
//!
//! Which thread fails first is chance. What a person reads must not be: of several failures the one of the lowest
//! index is told, and work of a higher index is not begun any more.

use crate::MergeError;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

pub(crate) struct FirstFailure {
    below: AtomicUsize,
    failure: Mutex<Option<(usize, MergeError)>>,
}

impl FirstFailure {
    pub(crate) fn new() -> Self {
        Self { below: AtomicUsize::new(usize::MAX), failure: Mutex::new(None) }
    }

    /// Runs the work of this index unless work of a lower one has failed; `None` when there is no result.
    pub(crate) fn guard<R>(&self, index: usize, work: impl FnOnce() -> Result<R, MergeError>) -> Option<R> {
        if index > self.below.load(Ordering::Relaxed) {
            return None;
        }
        match work() {
            Ok(result) => Some(result),
            Err(error) => {
                self.note(index, error);
                None
            }
        }
    }

    /// The failure to tell.
    pub(crate) fn into_result(self) -> Result<(), MergeError> {
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    fn note(&self, index: usize, error: MergeError) {
        self.below.fetch_min(index, Ordering::Relaxed);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // A cancelled task says so even where a later look would have found a wrong value.
        if failure.as_ref().is_none_or(|(known, _)| index < *known) {
            *failure = Some((index, error));
        }
    }
}
