//! The fabric that is NCCL, and how the members of a gang come to one: all of them, or none.

use super::{Fabric, FabricError, Form, NcclExchange};
use braid_gpu::{
    Device, GpuError,
    nccl::{Communicator, Nccl, NcclId},
};
use braid_workload::{Exchange, ExchangeError, Gang, Join};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Meets the members of a gang as `inner` does, and lets their large gathers go over NCCL where every one of them has a GPU and NCCL.
pub struct NcclJoin {
    inner: Arc<dyn Join>,
}

/// This member's library and GPU.
struct Gpus {
    library: Arc<Nccl>,
    device: Device,
}

struct Gpu(Communicator);

/// A stop that comes by way of the device's errors.
enum Stop {
    Exchange(ExchangeError),
    Gpu(GpuError),
}

impl From<GpuError> for Stop {
    fn from(error: GpuError) -> Self {
        Self::Gpu(error)
    }
}

impl Fabric for Gpu {
    fn all_gather(
        &mut self,
        mine: &[u8],
        out: &mut [u8],
        go_on: &mut dyn FnMut() -> Result<(), ExchangeError>,
    ) -> Result<(), FabricError> {
        let done = self.0.all_gather(mine, out, || go_on().map_err(Stop::Exchange));
        done.map_err(|stop| match stop {
            Stop::Exchange(error) => FabricError::Stopped(error),
            Stop::Gpu(error) => FabricError::Failed(error.to_string()),
        })
    }
}

impl NcclJoin {
    /// Over the group that `inner` forms.
    pub fn new(inner: Arc<dyn Join>) -> Self {
        Self { inner }
    }
}

impl Join for NcclJoin {
    fn join(&self, gang: &Gang, cancel: &CancellationToken) -> Result<Arc<dyn Exchange>, ExchangeError> {
        let control = self.inner.join(gang, cancel)?;
        let rank = control.rank();
        if control.size() == 1 {
            return Ok(control);
        }
        let here = Nccl::load().and_then(|library| {
            // ranks of one node follow each other, and have its GPUs in turn
            let ordinal = rank % Device::count()? as usize;
            Ok((library, Device::open(u32::try_from(ordinal).unwrap_or_default())?))
        });
        if let Err(error) = &here {
            tracing::warn!(rank, "gathers of this gang go over TCP: {error}");
        }
        // what one member has not, all do without
        match (all_agree(&*control, here.is_ok())?, here) {
            (true, Ok((library, device))) => Ok(Arc::new(NcclExchange::new(control, Arc::new(Gpus { library, device }))?)),
            _ => Ok(control),
        }
    }
}

impl Form for Gpus {
    fn form(&self, group: &dyn Exchange, limit: Duration) -> Result<Option<Box<dyn Fabric>>, ExchangeError> {
        let (rank, size) = (group.rank(), group.size());
        let made = if rank == 0 { self.library.id() } else { Ok(NcclId([0; 128])) };
        let mut id = made.as_ref().map_or([0; 128], |id| id.0);
        group.broadcast(0, &mut id)?;
        let joined = made.and_then(|_| Communicator::join(&self.library, &self.device, NcclId(id), (rank, size), limit));
        if let Err(error) = &joined {
            tracing::warn!(rank, "gathers of this group go over TCP: {error}");
        }
        match (all_agree(group, joined.is_ok())?, joined) {
            (true, Ok(group)) => Ok(Some(Box::new(Gpu(group)))),
            _ => Ok(None),
        }
    }
}

fn all_agree(control: &dyn Exchange, agrees: bool) -> Result<bool, ExchangeError> {
    let mut all = vec![0; control.size()];
    control.all_gather(&[u8::from(agrees)], &mut all)?;
    Ok(all.iter().all(|one| *one == 1))
}
