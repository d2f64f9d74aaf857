//! BLAKE3 of bytes on the device: the values of its tree that a host joins, as `blake3::hazmat` has them.

use super::{Call, Lane};
use crate::{Argument::U64, GpuError, Kernel, Place};

/// Bytes of a chunk of BLAKE3, and chunks that a block of threads joins: as in `hash.cu`.
const CHUNK: u64 = 1024;
const LEAVES: u64 = 64;

/// The bytes that one value is of: every value but the last.
pub const HASHED: u64 = CHUNK * LEAVES;

/// A chaining value of BLAKE3.
pub type ChainingValue = [u8; 32];

impl Lane {
    /// The chaining value of each [`HASHED`] bytes, of the last what is left; none of no bytes. They are those of a larger input, which has
    /// `offset` bytes before them: a multiple of a chunk.
    ///
    /// # Errors
    /// Those of the device.
    pub fn chaining_values(&mut self, bytes: &[u8], offset: u64) -> Result<Vec<ChainingValue>, GpuError> {
        self.call(|call| {
            let place = call.copy(bytes)?;
            call.chaining_values(place, offset)
        })
    }
}

impl Call<'_> {
    /// As [`Lane::chaining_values`], of what is on the device.
    pub(crate) fn chaining_values(&mut self, of: Place, offset: u64) -> Result<Vec<ChainingValue>, GpuError> {
        if of.bytes == 0 {
            return Ok(Vec::new());
        }
        let length = of.bytes as u64;
        let count = length.div_ceil(HASHED);
        let values = self.room(count as usize * size_of::<ChainingValue>())?;
        let arguments = [of.into(), U64(length), U64(offset / CHUNK), values.into()];
        self.launch(Kernel::ChunkValues, (u32::try_from(count).unwrap_or(u32::MAX), 1), &arguments)?;
        let mut bytes = vec![0; values.bytes];
        self.fetch(values, &mut bytes)?;
        Ok(bytes.as_chunks::<32>().0.to_vec())
    }
}
