//! One rank's end of a group of GPUs.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::library::{Handle, Nccl, NcclId};
use crate::{
    Device, GpuError, Stream,
    cuda::{Open, Queue},
};

/// How long a gather under way is left alone before it is looked at again: short beside what one takes over a network.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// One rank's end of a group of GPUs. Dropping it ends the group for this rank.
pub struct Communicator {
    /// None once it was aborted.
    handle: Option<Handle>,
    queue: Queue,
    size: usize,
}

impl Communicator {
    /// Meets the other ranks, which call this with the same id.
    ///
    /// NCCL waits for them without an end. So it waits on a thread of its own, which is left behind where they do not come within
    /// `limit`.
    ///
    /// # Errors
    /// They have not come; NCCL or the device has failed.
    pub fn join(
        library: &Arc<Nccl>,
        device: &Device,
        id: NcclId,
        (rank, size): (usize, usize),
        limit: Duration,
    ) -> Result<Self, GpuError> {
        let queue = Queue::new(device.open_device())?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let (library, open) = (Arc::clone(library), device.open_device());
        let meet = move || {
            let met = Open::enter(&open).and_then(|()| library.init(id, rank, size));
            // Where nobody waits any more, dropping what came takes it down.
            drop(sender.send(met));
        };
        let spawned = thread::Builder::new().name("nccl".into()).spawn(meet);
        spawned.map_err(|error| GpuError::Nccl { problem: format!("no thread to meet the others: {error}") })?;
        match receiver.recv_timeout(limit) {
            Ok(met) => Ok(Self { handle: Some(met?), queue, size }),
            Err(_) => Err(GpuError::Nccl { problem: format!("the other ranks did not come within {} s", limit.as_secs_f64()) }),
        }
    }

    /// Everyone gets what everyone has, equally much: `out` is the concatenation in rank order. While it is under way, `go_on` is asked
    /// again and again; its error ends the group for this rank.
    ///
    /// # Errors
    /// That of `go_on`; NCCL or the device has failed; it was aborted before. The group is of no more use then.
    pub fn all_gather<E: From<GpuError>>(
        &mut self,
        mine: &[u8],
        out: &mut [u8],
        mut go_on: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let (bytes, all) = (mine.len(), mine.len().saturating_mul(self.size));
        if out.len() != all {
            let problem = format!("a gather of {bytes} bytes from {} ranks into {}", self.size, out.len());
            return Err(GpuError::Nccl { problem }.into());
        }
        if all == 0 {
            return Ok(());
        }
        let from = self.queue.allocate(bytes)?;
        let to = self.queue.allocate(all).inspect_err(|_| self.queue.release(from))?;
        let done = self.gather(mine, (from.address, to.address), &mut go_on);
        if done.is_err() {
            // Before its memory is used for something else.
            self.abort();
        }
        let fetched = done.and_then(|()| Ok(self.queue.download(to, out)?));
        self.queue.release(from);
        self.queue.release(to);
        fetched
    }

    fn gather<E: From<GpuError>>(
        &mut self,
        mine: &[u8],
        (from, to): (u64, u64),
        go_on: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let handle = self.handle.as_mut().ok_or_else(|| GpuError::Nccl { problem: "the group has ended".into() })?;
        self.queue.upload(mine, crate::Place { address: from, bytes: mine.len() })?;
        handle.all_gather(from, to, mine.len(), self.queue.raw())?;
        while !(handle.settled()? && self.queue.is_done()?) {
            go_on()?;
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Ends the group for this rank, and whatever is under way.
    pub fn abort(&mut self) {
        self.handle = None;
    }
}
