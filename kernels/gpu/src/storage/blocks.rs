//! The whole blocks of a file that some of its bytes lie in: what can be read without going through a processor's memory.

/// Bytes of a block, of disks and of pages of a GPU's memory that disks reach.
pub(crate) const BLOCK: u64 = 4096;

/// Blocks one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Where the first one begins in the file.
    pub(crate) begin: u64,
    /// Bytes of all of them.
    pub(crate) bytes: usize,
    /// How many of these come before what is wanted.
    pub(crate) before: usize,
}

impl Blocks {
    /// Those that `bytes` bytes at `offset` lie in; none that no file has.
    pub(crate) fn around(offset: u64, bytes: usize) -> Option<Self> {
        let begin = offset - offset % BLOCK;
        let end = offset.checked_add(bytes as u64)?.checked_next_multiple_of(BLOCK)?;
        if end > i64::MAX as u64 {
            return None;
        }
        Some(Self { begin, bytes: usize::try_from(end - begin).ok()?, before: usize::try_from(offset - begin).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_and_hold_what_is_wanted() {
        for (offset, bytes, begin, all, before) in [
            (0, 0, 0, 0, 0),
            (0, 1, 0, 4096, 0),
            (4096, 4096, 4096, 4096, 0),
            (4095, 2, 0, 8192, 4095),
            (10_008, 8192, 8192, 12_288, 1816),
        ] {
            assert_eq!(Blocks::around(offset, bytes), Some(Blocks { begin, bytes: all, before }), "{bytes} at {offset}");
        }
        assert_eq!(Blocks::around(u64::MAX - 5, 4), None);
        assert_eq!(Blocks::around(i64::MAX as u64 - 100, 100), None);
    }
}
