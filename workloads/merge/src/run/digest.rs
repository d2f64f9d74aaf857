//! BLAKE3 of a tensor from its tiles: the standard hash of its bytes, though no thread ever sees all of them.
//!
//! BLAKE3 is a tree over chunks of 1024 bytes. A tile is a power of two of chunks at an aligned offset, hence one subtree:
//! its chaining value is computed where its bytes are hot, and the few values of a tensor are merged at the end.

use blake3::{
    Hash, Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root},
};

/// The digests that the merge of one tensor leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorDigests {
    /// BLAKE3 of the bytes written.
    pub output: Hash,
    /// BLAKE3 of the bytes read, in the order of the inputs.
    pub inputs: Vec<Hash>,
}

/// How the bytes of one tensor fall into tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    /// All bytes of the tensor.
    pub(crate) bytes: u64,
    /// The bytes of a full tile: a power of two, at least one chunk.
    pub(crate) tile: u64,
}

impl Tree {
    /// The value of the tile that starts at byte `offset`; the root's when it is the only one.
    pub(crate) fn leaf(self, offset: u64, tile: &[u8]) -> ChainingValue {
        if self.bytes <= self.tile {
            return *blake3::hash(tile).as_bytes();
        }
        Hasher::new().set_input_offset(offset).update(tile).finalize_non_root()
    }

    /// The hash of the tensor from the values of all its tiles in order.
    pub(crate) fn root<'a>(self, leaf: impl Fn(usize) -> &'a ChainingValue) -> Hash {
        match self.bytes {
            0 => blake3::hash(&[]),
            bytes if bytes <= self.tile => Hash::from_bytes(*leaf(0)),
            bytes => {
                let left = left_subtree_len(bytes);
                let (left, right) = (self.subtree(&leaf, 0, left), self.subtree(&leaf, left, bytes - left));
                merge_subtrees_root(&left, &right, Mode::Hash)
            }
        }
    }

    /// The value of all of these bytes as a part of a larger tensor, from the values of all tiles in order; there is at least one.
    pub(crate) fn value<'a>(self, leaf: impl Fn(usize) -> &'a ChainingValue) -> ChainingValue {
        self.subtree(&leaf, 0, self.bytes)
    }

    fn subtree<'a>(self, leaf: &impl Fn(usize) -> &'a ChainingValue, offset: u64, bytes: u64) -> ChainingValue {
        if bytes <= self.tile {
            return *leaf((offset / self.tile) as usize);
        }
        let left = left_subtree_len(bytes);
        let (l, r) = (self.subtree(leaf, offset, left), self.subtree(leaf, offset + left, bytes - left));
        merge_subtrees_non_root(&l, &r, Mode::Hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_hash_as_the_whole(bytes in 0usize..200_000, tile in 10u32..17, seed: u8) {
            let data: Vec<u8> = (0..bytes).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed).collect();
            let tree = Tree { bytes: bytes as u64, tile: 1 << tile };
            let leaves: Vec<_> =
                data.chunks(1 << tile).enumerate().map(|(i, part)| tree.leaf((i as u64) << tile, part)).collect();
            prop_assert_eq!(tree.root(|i| &leaves[i]), blake3::hash(&data));
        }
    }

    #[test]
    fn the_edges_of_the_tree_hash_as_the_whole() {
        for chunks in [1usize, 2, 3, 4, 5, 7, 8, 9, 16, 17] {
            for bytes in [chunks * 1024 - 1, chunks * 1024, chunks * 1024 + 1] {
                let data: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
                for tile in [1024usize, 2048, 4096] {
                    let tree = Tree { bytes: bytes as u64, tile: tile as u64 };
                    let leaves: Vec<_> =
                        data.chunks(tile).enumerate().map(|(i, part)| tree.leaf((i * tile) as u64, part)).collect();
                    assert_eq!(tree.root(|i| &leaves[i]), blake3::hash(&data), "{bytes} bytes in tiles of {tile}");
                }
            }
        }
    }
}
