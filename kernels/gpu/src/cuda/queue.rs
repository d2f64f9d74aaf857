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
use crate::{
    Argument, GpuError, Launch, Place, Product, StoredFile, Stream,
    blas::Blas,
    storage::{BLOCK, Blocks, Landing, Registered},
};

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
    /// Where whole blocks of files arrive, once a file was read.
    landing: Option<Arrival>,
}

/// Memory of the device that files are read to. Nothing else is there, as reads do not wait for the stream.
struct Arrival {
    /// As the driver gave it, and from the first whole block on.
    given: u64,
    address: u64,
    bytes: usize,
    /// What reads it was told of, as far as it could be: before the memory is freed it is told again.
    _told: Option<Landing>,
}

fn rounded(bytes: usize) -> usize {
    bytes.max(LEAST).checked_next_power_of_two().unwrap_or(bytes)
}

impl Queue {
    pub(crate) fn new(device: Arc<Open>) -> Result<Self, GpuError> {
        let of_device = |refusal: Refusal| refusal.of(&device.description.name);
        driver::enter(device.context).map_err(of_device)?;
        let stream = driver::stream().map_err(of_device)?;
        Ok(Self { device, stream, free: Vec::new(), busy: Vec::new(), kept: BTreeMap::new(), blas: None, landing: None })
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

    /// Where `bytes` bytes of a file can arrive. What arrived there before must not be needed any more.
    fn landing(&mut self, bytes: usize, file: &Registered) -> Result<u64, GpuError> {
        if let Some(there) = self.landing.as_ref().filter(|there| there.bytes >= bytes) {
            return Ok(there.address);
        }
        self.close_landing();
        let bytes = rounded(bytes);
        let size = bytes + BLOCK as usize;
        let given = driver::allocate(size).map_err(|refusal| self.out_of_memory(refusal, size))?;
        let address = given.next_multiple_of(BLOCK);
        self.landing = Some(Arrival { given, address, bytes, _told: file.land(address, bytes) });
        Ok(address)
    }

    fn close_landing(&mut self) {
        if let Some(Arrival { given, _told: told, .. }) = self.landing.take() {
            drop(told);
            driver::free(given).unwrap_or_default();
        }
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

    fn read(&mut self, file: &StoredFile, offset: u64, to: Place) -> Result<(), GpuError> {
        self.enter()?;
        let known = file.registered().ok_or_else(|| file.fail("cuFile was not told of it".into()))?;
        let blocks = Blocks::around(offset, to.bytes).ok_or_else(|| file.fail(format!("no file has a byte {offset}")))?;
        // what arrived before is copied from there by the stream
        driver::synchronize(self.stream).map_err(|refusal| self.failed(refusal))?;
        let landing = self.landing(blocks.bytes, known)?;
        let (mut got, wanted) = (0, blocks.before + to.bytes);
        while got < wanted {
            let begin = blocks.begin + got as u64;
            match known.read(begin, landing, got, blocks.bytes - got).map_err(|problem| file.fail(problem))? {
                0 => return Err(file.fail(format!("it ends after {begin} bytes"))),
                more => got += more,
            }
        }
        let from = landing + blocks.before as u64;
        driver::copy(from, to.address, to.bytes, self.stream).map_err(|refusal| self.failed(refusal))
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
            self.close_landing();
            self.give_back();
            driver::destroy(self.stream).unwrap_or_default();
        }
    }
}
