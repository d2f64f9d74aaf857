//! An exchange that counts what reaches a rank: for figures, metrics and tests. It changes nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use braid_workload::{Exchange, ExchangeError, exchange::Pending};

/// What one rank asked of its exchange, and of the groups split off it.
#[derive(Debug, Default)]
pub struct Traffic {
    calls: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Calls that were made, whatever became of them. Two halves of one gather are one.
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Bytes that other ranks' data have as this rank gets it: what any back-end has to move at least. A sum over ranks counts as
    /// long as its result.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    fn call(&self, received: usize) {
        self.calls.fetch_add(1, Relaxed);
        self.received.fetch_add(received as u64, Relaxed);
    }
}

/// An [`Exchange`] whose [`Traffic`] is counted.
#[derive(Clone)]
pub struct Metered {
    inner: Arc<dyn Exchange>,
    traffic: Arc<Traffic>,
}

impl Metered {
    /// Counts from nothing.
    pub fn new(inner: Arc<dyn Exchange>) -> Self {
        Self { inner, traffic: Arc::default() }
    }

    /// What was counted so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn of_others(&self, lens: &[usize]) -> usize {
        let others = lens.iter().enumerate().filter(|(rank, _)| *rank != self.inner.rank());
        others.map(|(_, len)| len).sum()
    }

    fn unless_alone(&self, bytes: usize) -> usize {
        if self.inner.size() > 1 { bytes } else { 0 }
    }
}

impl Exchange for Metered {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn set_timeout(&self, limit: Duration) {
        self.inner.set_timeout(limit);
    }

    fn failure(&self) -> Option<ExchangeError> {
        self.inner.failure()
    }

    fn abort(&self, reason: &str) {
        self.inner.abort(reason);
    }

    fn all_gather_varied(&self, mine: &[u8], lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        self.traffic.call(self.of_others(lens));
        self.inner.all_gather_varied(mine, lens, out)
    }

    fn all_gather_in_place(&self, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        self.traffic.call(self.of_others(lens));
        self.inner.all_gather_in_place(lens, out)
    }

    fn start_all_gather_varied(&self, mine: Vec<u8>, lens: &[usize]) -> Result<Box<dyn Pending>, ExchangeError> {
        self.traffic.call(self.of_others(lens));
        self.inner.start_all_gather_varied(mine, lens)
    }

    fn all_reduce_f32(&self, values: &mut [f32]) -> Result<(), ExchangeError> {
        self.traffic.call(self.unless_alone(size_of_val(values)));
        self.inner.all_reduce_f32(values)
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), ExchangeError> {
        self.traffic.call(self.unless_alone(size_of_val(values)));
        self.inner.all_reduce_f64(values)
    }

    fn reduce_scatter_f32(&self, values: &[f32], out: &mut [f32]) -> Result<(), ExchangeError> {
        self.traffic.call(self.unless_alone(size_of_val(out)));
        self.inner.reduce_scatter_f32(values, out)
    }

    fn reduce_scatter_f64(&self, values: &[f64], out: &mut [f64]) -> Result<(), ExchangeError> {
        self.traffic.call(self.unless_alone(size_of_val(out)));
        self.inner.reduce_scatter_f64(values, out)
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), ExchangeError> {
        self.traffic.call(if root == self.inner.rank() { 0 } else { bytes.len() });
        self.inner.broadcast(root, bytes)
    }

    fn barrier(&self) -> Result<(), ExchangeError> {
        self.traffic.call(0);
        self.inner.barrier()
    }

    fn transfer(&self, sends: &[(usize, &[u8])], receives: &mut [(usize, &mut [u8])]) -> Result<(), ExchangeError> {
        self.traffic.call(receives.iter().map(|(_, bytes)| bytes.len()).sum());
        self.inner.transfer(sends, receives)
    }

    fn split(&self, members: &[usize]) -> Result<Arc<dyn Exchange>, ExchangeError> {
        let inner = self.inner.split(members)?;
        Ok(Arc::new(Self { inner, traffic: self.traffic.clone() }))
    }
}
