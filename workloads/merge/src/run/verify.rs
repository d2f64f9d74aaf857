//! Hashing what a file holds, to see whether it is what somebody claims; and copying it on the way.

use super::{digest::Tree, failure::FirstFailure, tiles::Passes};
use crate::{MergeError, checkpoint::DataFile, output::ShardFile};
use blake3::Hash;
use rayon::prelude::*;

/// Bytes hashed at a time: as much as stays in the cache of a thread.
const PIECE: u64 = 1 << 19;

/// BLAKE3 of `bytes` bytes of `file`, from `offset`.
///
/// # Errors
/// A read that failed, or [`MergeError::Cancelled`].
pub(crate) fn hash_range(file: &DataFile, offset: u64, bytes: u64, passes: &Passes<'_>) -> Result<Hash, MergeError> {
    look_through(file, offset, bytes, passes, |_, _| Ok(()))
}

/// BLAKE3 of `bytes` bytes of `file` from `offset`, which are written to `to` on the way: a place in a shard.
///
/// # Errors
/// A read or write that failed, or [`MergeError::Cancelled`].
pub(crate) fn copy_range(
    file: &DataFile,
    offset: u64,
    bytes: u64,
    to: (&ShardFile, u64),
    passes: &Passes<'_>,
) -> Result<Hash, MergeError> {
    let (shard, place) = to;
    look_through(file, offset, bytes, passes, |start, piece| passes.phases.write.of(|| shard.write_at(piece, place + start)))
}

fn look_through(
    file: &DataFile,
    offset: u64,
    bytes: u64,
    passes: &Passes<'_>,
    f: impl Fn(u64, &[u8]) -> Result<(), MergeError> + Sync,
) -> Result<Hash, MergeError> {
    let tree = Tree { bytes, tile: PIECE };
    file.will_read(offset..offset.saturating_add(bytes));
    let failure = FirstFailure::new();
    let piece = |index: u64| {
        failure.guard(index as usize, || {
            if passes.context.is_cancelled() {
                return Err(MergeError::Cancelled);
            }
            let start = index * PIECE;
            let mut scratch = passes.buffers.take();
            let (_, buffer) = scratch.split([].into_iter(), (bytes - start).min(PIECE) as usize);
            passes.phases.read.of(|| file.read_exact_at(buffer, offset + start))?;
            f(start, buffer)?;
            Ok(tree.leaf(start, buffer))
        })
    };
    let leaves: Vec<_> = (0..bytes.div_ceil(PIECE)).into_par_iter().map(piece).collect();
    failure.into_result()?;
    // `None` only beside a failure, which has been returned.
    let leaves: Vec<_> = leaves.into_iter().flatten().collect();
    Ok(tree.root(|index| &leaves[index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        run::{Buffers, Phases},
        testing::context,
    };
    use braid_gpu::Arithmetic;

    #[test]
    fn a_range_hashes_as_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard");
        let bytes: Vec<u8> = (0..PIECE * 3 + 1000).map(|i| ((i * 7) >> 5) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let (file, context, arithmetic) = (DataFile::open(&path).unwrap(), context(2, 0), Arithmetic::cpu());
        let passes = Passes {
            context: &context,
            buffers: Buffers::new(2, PIECE, 0),
            memory: 0,
            phases: Phases::new(),
            arithmetic: &arithmetic,
            answers: &[],
            read: Default::default(),
        };
        for (offset, length) in [(0, 0), (5, 0), (0, 10), (100, PIECE), (7, PIECE + 1), (900, PIECE * 3)] {
            let expected = blake3::hash(&bytes[offset as usize..][..length as usize]);
            assert_eq!(hash_range(&file, offset, length, &passes).unwrap(), expected, "{offset} {length}");
        }
        assert!(hash_range(&file, 2000, PIECE * 3, &passes).is_err());
    }
}
