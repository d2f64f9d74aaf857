//! A stream of a GPU.
//!
//! Bytes go through pinned memory, which the device copies by itself while the host goes on; each piece of it is used again once the
//! stream has been waited for. Memory of the device is kept when it is released, and handed out again to the same stream, in whose order
//! all that used it before is done first.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    device::Open,
    driver::{self, Pinned, Refusal},
};
use crate::{Argument, GpuError, Launch, Place, Product, Stream, blas::Blas};

/// Memory is handed out in powers of two from here on, so that it fits again.
const LEAST: usize = 4096;

/// A stream of a GPU.
pub(crate) struct Queue {
    device: Arc<Open>,
    stream: driver::Stream,
    /// Pinned memory: what is free, and what copies under way read.
    free: Vec<Pinned>,
    busy: Vec<Pinned>,
    /// Memory of the device that nobody holds, by size.
    kept: BTreeMap<usize, Vec<u64>>,
    /// What multiplies matrices, once that was asked for.
    blas: Option<Blas>,
}

fn rounded(bytes: usize) -> usize {
    bytes.max(LEAST).checked_next_power_of_two().unwrap_or(bytes)
}

impl Queue {
    pub(crate) fn new(device: Arc<Open>) -> Result<Self, GpuError> {
        let of_device = |refusal: Refusal| refusal.of(&device.description.name);
        driver::enter(device.context).map_err(of_device)?;
        let stream = driver::stream().map_err(of_device)?;
        Ok(Self { device, stream, free: Vec::new(), busy: Vec::new(), kept: BTreeMap::new(), blas: None })
    }

    /// Streams go from thread to thread, and the driver's context does not go with them.
    fn enter(&self) -> Result<(), GpuError> {
        self.device.enter()
    }

    /// The stream, for another library of the driver's.
    pub(crate) fn raw(&self) -> *mut std::ffi::c_void {
        self.stream.pointer()
    }

    /// Whether all is done that was asked for.
    pub(crate) fn is_done(&self) -> Result<bool, GpuError> {
        self.enter()?;
        driver::is_done(self.stream).map_err(|refusal| self.failed(refusal))
    }

    fn failed(&self, refusal: Refusal) -> GpuError {
        refusal.of(&self.device.description.name)
    }

    fn out_of_memory(&self, refusal: Refusal, bytes: usize) -> GpuError {
        match refusal.code {
            driver::OUT_OF_MEMORY => GpuError::OutOfMemory { device: self.device.description.name.clone(), bytes },
            _ => self.failed(refusal),
        }
    }

    fn pinned(&mut self, bytes: usize) -> Result<Pinned, GpuError> {
        match self.free.iter().position(|pinned| pinned.len() >= bytes) {
            Some(place) => Ok(self.free.swap_remove(place)),
            None => Pinned::new(rounded(bytes)).map_err(|refusal| self.out_of_memory(refusal, bytes)),
        }
    }

    /// Waits until all is done that was asked for.
    fn wait(&mut self) -> Result<(), GpuError> {
        driver::synchronize(self.stream).map_err(|refusal| self.failed(refusal))?;
        self.free.append(&mut self.busy);
        // the smallest that fits is found first
        self.free.sort_by_key(Pinned::len);
        Ok(())
    }

    fn give_back(&mut self) {
        for address in std::mem::take(&mut self.kept).into_values().flatten() {
            driver::free(address).unwrap_or_default();
        }
    }
}

impl Stream for Queue {
    fn allocate(&mut self, bytes: usize) -> Result<Place, GpuError> {
        self.enter()?;
        let size = rounded(bytes);
        if let Some(address) = self.kept.get_mut(&size).and_then(Vec::pop) {
            return Ok(Place { address, bytes });
        }
        let address = driver::allocate(size).or_else(|refusal| {
            if refusal.code != driver::OUT_OF_MEMORY {
                return Err(refusal);
            }
            self.give_back();
            driver::allocate(size)
        });
        address.map(|address| Place { address, bytes }).map_err(|refusal| self.out_of_memory(refusal, bytes))
    }

    fn release(&mut self, place: Place) {
        self.kept.entry(rounded(place.bytes)).or_default().push(place.address);
    }

    fn upload(&mut self, bytes: &[u8], to: Place) -> Result<(), GpuError> {
        self.enter()?;
        let mut pinned = self.pinned(bytes.len())?;
        pinned.bytes()[..bytes.len()].copy_from_slice(bytes);
        let sent = pinned.send(bytes.len().min(to.bytes), to.address, self.stream);
        self.busy.push(pinned);
        sent.map_err(|refusal| self.failed(refusal))
    }

    fn fill(&mut self, byte: u8, place: Place) -> Result<(), GpuError> {
        self.enter()?;
        driver::fill(place.address, byte, place.bytes, self.stream).map_err(|refusal| self.failed(refusal))
    }

    fn copy(&mut self, from: Place, to: Place) -> Result<(), GpuError> {
        self.enter()?;
        let bytes = from.bytes.min(to.bytes);
        driver::copy(from.address, to.address, bytes, self.stream).map_err(|refusal| self.failed(refusal))
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), GpuError> {
        self.enter()?;
        let function = self.device.function(launch.kernel).ok_or_else(|| GpuError::Unsupported {
            operation: launch.kernel.name(),
            what: "a kernel that is not loaded".into(),
        })?;
        let arguments: Vec<Vec<u8>> = launch.arguments.iter().map(Argument::bytes).collect();
        driver::launch(function, launch.grid, launch.block, &arguments, self.stream).map_err(|refusal| self.failed(refusal))
    }

    fn multiply(&mut self, product: &Product) -> Result<(), GpuError> {
        self.enter()?;
        let blas = match self.blas.take() {
            Some(blas) => blas,
            None => Blas::new(&self.device.description.name, self.raw())?,
        };
        self.blas.insert(blas).multiply(product)
    }

    fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.enter()?;
        let length = bytes.len().min(from.bytes);
        let mut pinned = self.pinned(length)?;
        let begun = pinned.receive(length, from.address, self.stream);
        self.busy.push(pinned);
        begun.map_err(|refusal| self.failed(refusal))?;
        driver::synchronize(self.stream).map_err(|refusal| self.failed(refusal))?;
        if let Some(pinned) = self.busy.last_mut() {
            bytes[..length].copy_from_slice(&pinned.bytes()[..length]);
        }
        self.wait()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // What a lost device does not take back is gone with its context.
        if self.enter().is_ok() {
            driver::synchronize(self.stream).unwrap_or_default();
            self.blas = None;
            self.give_back();
            driver::destroy(self.stream).unwrap_or_default();
        }
    }
}
