//! One call of a lane: what it put on the device, and that all of it is given back.

use braid_kernels::{KernelError, Slice, SliceMut};

use super::{Lane, STRETCH, operand::kind};
use crate::{Argument, GpuError, Kernel, Launch, Place, Product, Stored, Stream};

/// A call under way.
pub(crate) struct Call<'a> {
    stream: &'a mut dyn Stream,
    held: Vec<Place>,
    most_blocks: u32,
}

/// A tensor on the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) place: Place,
    pub(crate) kind: u32,
    /// How many elements it has.
    pub(crate) length: usize,
}

impl Lane {
    /// Does `work`, and gives back what it put on the device whatever comes of it.
    pub(crate) fn call<R>(&mut self, work: impl FnOnce(&mut Call<'_>) -> Result<R, GpuError>) -> Result<R, GpuError> {
        let mut call = self.begin();
        let done = work(&mut call);
        call.end();
        done
    }

    /// A call that must be ended, or what it put on the device stays there as long as the lane.
    pub(crate) fn begin(&mut self) -> Call<'_> {
        Call { stream: &mut *self.stream, held: Vec::new(), most_blocks: self.most_blocks }
    }
}

impl Call<'_> {
    /// Gives back all that is still held.
    pub(crate) fn end(self) {
        self.held.into_iter().for_each(|place| self.stream.release(place));
    }

    /// Memory that holds anything.
    pub(crate) fn room(&mut self, bytes: usize) -> Result<Place, GpuError> {
        let place = self.stream.allocate(bytes)?;
        self.held.push(place);
        Ok(place)
    }

    /// Memory of which every byte is `byte`.
    pub(crate) fn filled(&mut self, bytes: usize, byte: u8) -> Result<Place, GpuError> {
        let place = self.room(bytes)?;
        self.stream.fill(byte, place)?;
        Ok(place)
    }

    /// A copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Result<Place, GpuError> {
        let place = self.room(bytes.len())?;
        self.stream.upload(bytes, place)?;
        Ok(place)
    }

    /// A copy of a tensor that there is arithmetic for.
    pub(crate) fn operand(&mut self, operation: &'static str, slice: &Slice<'_>) -> Result<Operand, GpuError> {
        let kind = kind(operation, slice.dtype())?;
        Ok(Operand { place: self.copy(slice.bytes())?, kind, length: slice.len() })
    }

    /// Copies of tensors that there is arithmetic for.
    pub(crate) fn operands(&mut self, operation: &'static str, slices: &[Slice<'_>]) -> Result<Vec<Operand>, GpuError> {
        slices.iter().map(|slice| self.operand(operation, slice)).collect()
    }

    /// A tensor that there is arithmetic for, as the device reads it from a file.
    pub(crate) fn read(&mut self, operation: &'static str, stored: &Stored<'_>) -> Result<Operand, GpuError> {
        let kind = kind(operation, stored.dtype)?;
        let place = self.room(stored.elements * stored.dtype.size())?;
        self.stream.read(stored.file, stored.offset, place)?;
        Ok(Operand { place, kind, length: stored.elements })
    }

    /// Runs a kernel whose blocks divide `elements` among them.
    pub(crate) fn over(&mut self, kernel: Kernel, elements: usize, arguments: &[Argument]) -> Result<(), GpuError> {
        let blocks = u32::try_from(elements.div_ceil(STRETCH)).unwrap_or(u32::MAX).clamp(1, self.most_blocks);
        self.launch(kernel, (blocks, 1), arguments)
    }

    /// Runs a kernel on a grid of blocks.
    pub(crate) fn launch(&mut self, kernel: Kernel, grid: (u32, u32), arguments: &[Argument]) -> Result<(), GpuError> {
        self.stream.launch(&Launch { kernel, grid, block: kernel.threads(), arguments })
    }

    /// Multiplies matrices.
    pub(crate) fn multiply(&mut self, product: &Product) -> Result<(), GpuError> {
        self.stream.multiply(product)
    }

    /// Gives memory back before the end of the call.
    pub(crate) fn give_back(&mut self, place: Place) {
        self.held.retain(|held| *held != place);
        self.stream.release(place);
    }

    /// What lies at `place`.
    pub(crate) fn fetch(&mut self, place: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.stream.download(place, bytes)
    }

    /// Numbers that lie at `place`.
    pub(crate) fn numbers(&mut self, place: Place, count: usize) -> Result<Vec<f64>, GpuError> {
        let mut bytes = vec![0; count * 8];
        self.fetch(place, &mut bytes)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// Counts that lie at `place`; as many as asked for.
    pub(crate) fn counts(&mut self, place: Place, count: usize) -> Result<Vec<u64>, GpuError> {
        let mut bytes = vec![0; count * 8];
        self.fetch(place, &mut bytes)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    /// The end of a last pass: the output, unless an element of it is not a number.
    pub(crate) fn finish(&mut self, from: Place, bad: Place, out: &mut SliceMut<'_>) -> Result<(), GpuError> {
        let mut first = [0; 8];
        self.fetch(bad, &mut first)?;
        match u64::from_le_bytes(first) {
            u64::MAX => self.fetch(from, out.bytes_mut()),
            element => Err(KernelError::NotANumber { element: usize::try_from(element).unwrap_or(usize::MAX) }.into()),
        }
    }
}
