//! A device for tests that does what the shim does, but for what a test has it do otherwise.

use super::Shim;
use crate::{Accelerator, Description, GpuError, Launch, Place, Product, StoredFile, Stream};

/// What a device does otherwise. Each is asked instead of the stream, which it may ask in turn.
pub trait Otherwise: Clone + Send + Sync + 'static {
    /// As [`Stream::launch`].
    ///
    /// # Errors
    /// As there, or its own.
    fn launch(&self, stream: &mut dyn Stream, launch: &Launch<'_>) -> Result<(), GpuError> {
        stream.launch(launch)
    }

    /// As [`Stream::multiply`].
    ///
    /// # Errors
    /// As there, or its own.
    fn multiply(&self, stream: &mut dyn Stream, product: &Product) -> Result<(), GpuError> {
        stream.multiply(product)
    }

    /// As [`Stream::read`].
    ///
    /// # Errors
    /// As there, or its own.
    fn read(&self, stream: &mut dyn Stream, file: &StoredFile, offset: u64, to: Place) -> Result<(), GpuError> {
        stream.read(file, offset, to)
    }

    /// As [`Stream::download`].
    ///
    /// # Errors
    /// As there, or its own.
    fn download(&self, stream: &mut dyn Stream, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        stream.download(from, bytes)
    }
}

/// The device.
pub struct StandIn<T> {
    device: Shim,
    otherwise: T,
}

struct Stood<T> {
    stream: Box<dyn Stream>,
    otherwise: T,
}

impl<T: Otherwise> StandIn<T> {
    /// What `device` does, but for what `otherwise` does.
    pub fn new(device: &Shim, otherwise: T) -> Self {
        Self { device: device.clone(), otherwise }
    }
}

impl<T: Otherwise> Accelerator for StandIn<T> {
    fn description(&self) -> &Description {
        self.device.description()
    }

    fn stream(&self) -> Result<Box<dyn Stream>, GpuError> {
        Ok(Box::new(Stood { stream: self.device.stream()?, otherwise: self.otherwise.clone() }))
    }
}

impl<T: Otherwise> Stream for Stood<T> {
    fn allocate(&mut self, bytes: usize) -> Result<Place, GpuError> {
        self.stream.allocate(bytes)
    }

    fn release(&mut self, place: Place) {
        self.stream.release(place);
    }

    fn upload(&mut self, bytes: &[u8], to: Place) -> Result<(), GpuError> {
        self.stream.upload(bytes, to)
    }

    fn fill(&mut self, byte: u8, place: Place) -> Result<(), GpuError> {
        self.stream.fill(byte, place)
    }

    fn copy(&mut self, from: Place, to: Place) -> Result<(), GpuError> {
        self.stream.copy(from, to)
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), GpuError> {
        self.otherwise.launch(&mut *self.stream, launch)
    }

    fn multiply(&mut self, product: &Product) -> Result<(), GpuError> {
        self.otherwise.multiply(&mut *self.stream, product)
    }

    fn read(&mut self, file: &StoredFile, offset: u64, to: Place) -> Result<(), GpuError> {
        self.otherwise.read(&mut *self.stream, file, offset, to)
    }

    fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.otherwise.download(&mut *self.stream, from, bytes)
    }
}
