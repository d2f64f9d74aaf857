//! The exchange over NCCL: gathers of equal parts go from GPU to GPU, everything else goes as it does without.
//!
//! ```text
//!   all_gather, large, equal parts ──▶ all say over the control group what they bring ──▶ fabric ──▶ out, in rank order
//!   everything else ─────────────────▶ control group (tcp, local)
//! ```
//!
//! The control group is what the coordinator formed. It numbers the epoch, carries the id of NCCL's group from the first rank to the
//! others, tells whether a member is lost, and finds out who calls something else. So a gather begins only when all have come to it, and
//! while it is under way the loss of a member, an abort or the deadline ends it here: NCCL itself would wait without an end.
//!
//! Bytes of a gather are moved, never added up, so they are those of any other back-end. Sums stay with the control group, whose order
//! they promise. Parts that were split off, and gathers that are started and waited for later, go over the control group too.

#[cfg(feature = "cuda")]
mod gpu;
#[cfg(test)]
mod tests;

use braid_workload::exchange::{Deadline, Exchange, ExchangeError, Operation, Pending};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[cfg(feature = "cuda")]
pub use gpu::NcclJoin;

/// Bytes of a member below which a gather is not worth the way over the GPU.
const LEAST: usize = 64 << 10;

/// What moves the bytes of large gathers.
pub trait Fabric: Send {
    /// Everyone gets what everyone has, in rank order. Asks `go_on` again and again while it waits, and ends with its error.
    ///
    /// # Errors
    /// That of `go_on`, or why it cannot be done. It is not used again then.
    fn all_gather(
        &mut self,
        mine: &[u8],
        out: &mut [u8],
        go_on: &mut dyn FnMut() -> Result<(), ExchangeError>,
    ) -> Result<(), FabricError>;
}

/// Why a gather did not end.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// It was not to go on.
    #[error(transparent)]
    Stopped(#[from] ExchangeError),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
}

/// A group whose large gathers go over a fabric.
pub struct NcclExchange {
    control: Arc<dyn Exchange>,
    fabric: Mutex<Option<Box<dyn Fabric>>>,
    least: usize,
}

impl NcclExchange {
    /// Over `fabric`, whose ranks are those of `control`.
    pub fn new(control: Arc<dyn Exchange>, fabric: Box<dyn Fabric>) -> Self {
        Self { control, fabric: Mutex::new(Some(fabric)), least: LEAST }
    }

    /// Whether a gather goes over the fabric: on all ranks or on none, as all give the same lengths.
    fn is_large(&self, lens: &[usize]) -> bool {
        self.size() > 1 && lens.first().is_some_and(|first| *first >= self.least.max(1) && lens.iter().all(|len| len == first))
    }

    fn gather(&self, mine: &[u8], out: &mut [u8]) -> Result<(), ExchangeError> {
        let rank = self.rank();
        if out.len() != mine.len() * self.size() {
            let detail = format!("{} bytes from {} ranks into {}", mine.len(), self.size(), out.len());
            return Err(self.end(ExchangeError::Misuse { rank, operation: Operation::AllGather, detail }));
        }
        // All have come, and to the same call: from here on only a loss keeps anyone.
        let mut all = vec![0; 8 * self.size()];
        self.control.all_gather(&(mine.len() as u64).to_le_bytes(), &mut all)?;
        let bytes = all.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        if let Some((other_rank, other_bytes)) = bytes.enumerate().find(|(_, bytes)| *bytes != mine.len() as u64) {
            let (operation, bytes) = (Operation::AllGather, mine.len() as u64);
            return Err(self.end(ExchangeError::Mismatch { operation, rank, bytes, other_rank, other_bytes }));
        }
        let deadline = Deadline::after(self.timeout());
        let mut go_on = || {
            if let Some(failure) = self.control.failure() {
                return Err(failure);
            }
            if deadline.left().is_zero() {
                let missing = (0..self.size()).filter(|other| *other != rank).collect();
                return Err(ExchangeError::Deadline { operation: Operation::AllGather, limit: deadline.limit(), missing });
            }
            Ok(())
        };
        let mut fabric = self.fabric.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match &mut *fabric {
            Some(fabric) => fabric.all_gather(mine, out, &mut go_on),
            None => Err(FabricError::Failed("the group of GPUs has ended".into())),
        };
        done.map_err(|error| {
            *fabric = None;
            match error {
                FabricError::Stopped(error) => self.end(error),
                FabricError::Failed(detail) => {
                    self.end(ExchangeError::System { rank, attempt: "gather over NCCL".into(), detail })
                }
            }
        })
    }

    /// Ends the epoch for all members; the first cause stays, and is returned.
    fn end(&self, error: ExchangeError) -> ExchangeError {
        match self.control.failure() {
            Some(first) => first,
            None => {
                self.control.abort(&error.to_string());
                error
            }
        }
    }
}

impl Exchange for NcclExchange {
    fn rank(&self) -> usize {
        self.control.rank()
    }

    fn size(&self) -> usize {
        self.control.size()
    }

    fn epoch(&self) -> u64 {
        self.control.epoch()
    }

    fn timeout(&self) -> Duration {
        self.control.timeout()
    }

    fn set_timeout(&self, limit: Duration) {
        self.control.set_timeout(limit);
    }

    fn failure(&self) -> Option<ExchangeError> {
        self.control.failure()
    }

    fn abort(&self, reason: &str) {
        self.control.abort(reason);
    }

    fn all_gather_varied(&self, mine: &[u8], lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        let agreed = lens.len() == self.size() && lens.get(self.rank()) == Some(&mine.len());
        if agreed && self.is_large(lens) { self.gather(mine, out) } else { self.control.all_gather_varied(mine, lens, out) }
    }

    fn all_gather_in_place(&self, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        let own = lens.first().map(|len| self.rank().saturating_mul(*len)..(self.rank() + 1).saturating_mul(*len));
        match own.and_then(|own| out.get(own)).filter(|_| lens.len() == self.size() && self.is_large(lens)) {
            Some(mine) => {
                let mine = mine.to_vec();
                self.gather(&mine, out)
            }
            None => self.control.all_gather_in_place(lens, out),
        }
    }

    fn start_all_gather_varied(&self, mine: Vec<u8>, lens: &[usize]) -> Result<Box<dyn Pending>, ExchangeError> {
        self.control.start_all_gather_varied(mine, lens)
    }

    fn all_reduce_f32(&self, values: &mut [f32]) -> Result<(), ExchangeError> {
        self.control.all_reduce_f32(values)
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), ExchangeError> {
        self.control.all_reduce_f64(values)
    }

    fn reduce_scatter_f32(&self, values: &[f32], out: &mut [f32]) -> Result<(), ExchangeError> {
        self.control.reduce_scatter_f32(values, out)
    }

    fn reduce_scatter_f64(&self, values: &[f64], out: &mut [f64]) -> Result<(), ExchangeError> {
        self.control.reduce_scatter_f64(values, out)
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), ExchangeError> {
        self.control.broadcast(root, bytes)
    }

    fn barrier(&self) -> Result<(), ExchangeError> {
        self.control.barrier()
    }

    fn transfer(&self, sends: &[(usize, &[u8])], receives: &mut [(usize, &mut [u8])]) -> Result<(), ExchangeError> {
        self.control.transfer(sends, receives)
    }

    fn split(&self, members: &[usize]) -> Result<Arc<dyn Exchange>, ExchangeError> {
        self.control.split(members)
    }
}
