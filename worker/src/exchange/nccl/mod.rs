//! The exchange over NCCL: large gathers go from GPU to GPU, everything else goes as it does without.
//!
//! ```text
//!   all_gather, large, of parts of about one length ──▶ lane (its turn, on the side group) ──▶ fabric ──▶ out, in rank order
//!   everything else ──────────────────────────────────▶ control group (tcp, local)
//! ```
//!
//! The control group is what the coordinator formed. It numbers the epoch, tells whether a member is lost, and finds out who calls something
//! else: all say there that they have come, and with how much. While a gather is under way the loss of a member, an abort or the deadline
//! ends it here: NCCL itself would wait without an end. Groups that are split off, and gathers that are started and waited for later,
//! go the same way. A group comes together on the fabric with its first large gather, over a side group of the same members, which carries the
//! id of NCCL's group from the first rank to the others.
//!
//! Bytes of a gather are moved, never added up, so they are those of any other back-end. Sums stay with the control group, whose order
//! they promise.

#[cfg(feature = "cuda")]
mod gpu;
mod lane;
mod started;
#[cfg(test)]
mod tests;

use braid_workload::exchange::{Exchange, ExchangeError, Pending};
use lane::{Lane, Limit};
use started::Started;
use std::{sync::Arc, time::Duration};

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

/// Brings the members of a group together on a fabric.
pub trait Form: Send + Sync {
    /// The fabric of the members of `group`, all of whom call this; `None` for all of them where one of them cannot. Takes no longer
    /// than `limit` once all have come.
    ///
    /// # Errors
    /// A member is lost; the group has failed.
    fn form(&self, group: &dyn Exchange, limit: Duration) -> Result<Option<Box<dyn Fabric>>, ExchangeError>;
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
    lane: Arc<Lane>,
    form: Arc<dyn Form>,
    least: usize,
}

impl NcclExchange {
    /// Over the fabric that `form` makes of the members of `control`. All of these call it.
    ///
    /// # Errors
    /// The epoch has ended.
    pub fn new(control: Arc<dyn Exchange>, form: Arc<dyn Form>) -> Result<Self, ExchangeError> {
        Self::with_least(control, form, LEAST)
    }

    fn with_least(control: Arc<dyn Exchange>, form: Arc<dyn Form>, least: usize) -> Result<Self, ExchangeError> {
        let side = control.split(&(0..control.size()).collect::<Vec<_>>())?;
        let lane = Lane::new(side, Arc::clone(&form));
        Ok(Self { control, lane, form, least })
    }

    /// Whether a gather goes over the fabric: on all ranks or on none, as all give the same lengths. There all parts are equally long, so
    /// that shorter ones are filled up; it must not become more than twice as much.
    fn goes_over(&self, mine: usize, lens: &[usize]) -> bool {
        let (largest, total) =
            (lens.iter().max().copied().unwrap_or(0), lens.iter().fold(0usize, |sum, len| sum.saturating_add(*len)));
        let worth_it = largest >= self.least.max(1) && largest.saturating_mul(self.size()) <= total.saturating_mul(2);
        // where it is not as the lengths say, the control group knows what to say about it
        worth_it && self.size() > 1 && lens.len() == self.size() && lens.get(self.rank()) == Some(&mine)
    }

    fn gather(&self, mine: &[u8], lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        let ticket = self.lane.ticket();
        let said = said(mine.len(), lens);
        let mut all = vec![0; said.len() * self.size()];
        self.control.all_gather(&said, &mut all)?;
        agree(&*self.control, mine.len(), lens, &all)?;
        let done = ticket.gather(&*self.control, mine, lens, out, Limit::Waited(self.timeout()));
        done.map_err(|error| end(&*self.control, error))
    }
}

/// What a member says when it comes to a gather: how much it brings, and a digest (FNV-1a) of how much it expects of all.
fn said(bytes: usize, lens: &[usize]) -> [u8; 16] {
    let digest = lens.iter().fold(0xcbf2_9ce4_8422_2325u64, |sum, len| (sum ^ *len as u64).wrapping_mul(0x0100_0000_01b3));
    let mut said = [0; 16];
    said[..8].copy_from_slice(&(bytes as u64).to_le_bytes());
    said[8..].copy_from_slice(&digest.to_le_bytes());
    said
}

/// All have come, and bring what all expect: from here on only a loss keeps anyone.
fn agree(control: &dyn Exchange, mine: usize, lens: &[usize], all: &[u8]) -> Result<(), ExchangeError> {
    match all.as_chunks().0.iter().zip(lens).all(|(other, len)| *other == said(*len, lens)) {
        true => Ok(()),
        // It fails, on every rank alike, with what there is to say about it.
        false => control.all_gather_varied(&vec![0; mine], lens, &mut vec![0; lens.iter().sum()]),
    }
}

/// Ends the epoch for all members of `control`; the first cause stays, and is returned.
fn end(control: &dyn Exchange, error: FabricError) -> ExchangeError {
    let error = match error {
        FabricError::Stopped(error) => error,
        FabricError::Failed(detail) => ExchangeError::System { rank: control.rank(), attempt: "gather over NCCL".into(), detail },
    };
    match control.failure() {
        Some(first) => first,
        None => {
            control.abort(&error.to_string());
            error
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
        match self.goes_over(mine.len(), lens) && out.len() == lens.iter().sum::<usize>() {
            true => self.gather(mine, lens, out),
            false => self.control.all_gather_varied(mine, lens, out),
        }
    }

    fn all_gather_in_place(&self, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        let start: usize = lens.iter().take(self.rank()).sum();
        let own = lens.get(self.rank()).and_then(|len| out.get(start..start.checked_add(*len)?));
        let whole = out.len() == lens.iter().sum::<usize>();
        match own.filter(|mine| whole && self.goes_over(mine.len(), lens)) {
            Some(mine) => {
                let mine = mine.to_vec();
                self.gather(&mine, lens, out)
            }
            None => self.control.all_gather_in_place(lens, out),
        }
    }

    fn start_all_gather_varied(&self, mine: Vec<u8>, lens: &[usize]) -> Result<Box<dyn Pending>, ExchangeError> {
        if self.goes_over(mine.len(), lens) {
            let (ticket, arrival) = (self.lane.ticket(), self.control.start_all_gather(said(mine.len(), lens).to_vec())?);
            Ok(Box::new(Started::new(Arc::clone(&self.control), ticket, mine, lens.to_vec(), arrival)?))
        } else {
            self.control.start_all_gather_varied(mine, lens)
        }
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
        let control = self.control.split(members)?;
        Ok(Arc::new(Self::with_least(control, Arc::clone(&self.form), self.least)?))
    }
}
