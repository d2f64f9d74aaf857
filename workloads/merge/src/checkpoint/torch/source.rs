//! A file as the archive's reader sees it: bytes at positions, every position checked against its length before it is read.

use super::TorchProblem;

/// Fills a buffer from a position of a file.
pub(super) type Read<'a, E> = dyn Fn(u64, &mut [u8]) -> Result<(), E> + 'a;

pub(super) struct Source<'a, E> {
    /// The length of the file.
    pub(super) length: u64,
    /// What reads it.
    pub(super) read: &'a Read<'a, E>,
    /// Makes an error of a problem.
    pub(super) refuse: &'a dyn Fn(TorchProblem) -> E,
}

impl<E> Source<'_, E> {
    /// `count` bytes from `offset`.
    pub(super) fn bytes(&self, offset: u64, count: u64) -> Result<Vec<u8>, E> {
        let inside = offset.checked_add(count).is_some_and(|end| end <= self.length);
        let Some(count) = usize::try_from(count).ok().filter(|_| inside) else { return Err((self.refuse)(TorchProblem::Short)) };
        let mut buffer = vec![0; count];
        (self.read)(offset, &mut buffer)?;
        Ok(buffer)
    }
}

/// A little-endian number of two bytes at a place in a record.
pub(super) fn u16_at(record: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*record.get(at..)?.first_chunk()?))
}

/// One of four bytes.
pub(super) fn u32_at(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*record.get(at..)?.first_chunk()?))
}

/// One of eight bytes.
pub(super) fn u64_at(record: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*record.get(at..)?.first_chunk()?))
}
