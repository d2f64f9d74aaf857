//! Where each output tensor goes: shards as transformers cuts them, headers as the safetensors crate writes them. Pure.

use crate::MergeError;
use braid_kernels::Dtype;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
};

/// The name of the only file of a checkpoint that fits one.
pub(crate) const SINGLE: &str = "model.safetensors";

/// What the layout needs to know of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorShape<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [u64],
}

/// The files of an output and the place of each tensor in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The files, in order.
    pub shards: Vec<Shard>,
    /// The place of each tensor, in the order in which they were given.
    pub places: Vec<Place>,
    /// The bytes of all tensors.
    pub bytes: u64,
}

/// One file of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name in the folder.
    pub name: String,
    /// What it starts with: the length of the header, and the header.
    pub header: Vec<u8>,
    /// Its length.
    pub bytes: u64,
    /// The indices of its tensors, in the order of their bytes.
    pub tensors: Vec<usize>,
}

/// Where a tensor goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The index of its shard.
    pub shard: usize,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Layout {
    /// Lays out `tensors` in files whose tensors take `max_shard` bytes at most; a larger tensor gets a file of its own.
    ///
    /// # Errors
    /// Two tensors of one name, or more bytes than a file system can count.
    pub fn new(tensors: &[TensorShape<'_>], max_shard: u64) -> Result<Self, MergeError> {
        let sizes = tensors.iter().map(size).collect::<Result<Vec<u64>, _>>()?;
        let total = sizes.iter().try_fold(0u64, |sum, &bytes| sum.checked_add(bytes)).filter(|&sum| sum <= i64::MAX as u64);
        let mut names = HashSet::with_capacity(tensors.len());
        if let Some(twice) = tensors.iter().find(|tensor| !names.insert(tensor.name)) {
            return Err(MergeError::Task(format!("two output tensors are named {:?}", twice.name)));
        }
        let bytes = total.ok_or_else(|| MergeError::Task("the output is larger than any file system".into()))?;
        let groups = split(&sizes, max_shard);
        let count = groups.len();
        let mut places = vec![Place::default(); tensors.len()];
        let shard = |(shard, mut group): (usize, Vec<usize>)| {
            group.sort_by_key(|&tensor| (Reverse(rank(tensors[tensor].dtype)), tensors[tensor].name));
            let header = header(tensors, &sizes, &group)?;
            let mut offset = header.len() as u64;
            for &tensor in &group {
                places[tensor] = Place { shard, offset, bytes: sizes[tensor] };
                offset += sizes[tensor];
            }
            Ok(Shard { name: shard_name(shard, count), header, bytes: offset, tensors: group })
        };
        let shards = groups.into_iter().enumerate().map(shard).collect::<Result<_, MergeError>>()?;
        Ok(Self { shards, places, bytes })
    }

    /// The layout with this name for its only file; that of several files stays as it is.
    pub(crate) fn named(mut self, name: &str) -> Self {
        if let [only] = self.shards.as_mut_slice() {
            name.clone_into(&mut only.name);
        }
        self
    }

    /// The text of the index, where the output has one: only a single file does without.
    pub fn index(&self, tensors: &[TensorShape<'_>]) -> Option<String> {
        #[derive(Serialize)]
        struct Metadata {
            total_size: u64,
        }
        #[derive(Serialize)]
        struct Index<'a> {
            metadata: Metadata,
            weight_map: BTreeMap<&'a str, &'a str>,
        }
        if self.shards.len() < 2 {
            return None;
        }
        let shard = |place: &Place| self.shards[place.shard].name.as_str();
        let weight_map = tensors.iter().zip(&self.places).map(|(tensor, place)| (tensor.name, shard(place))).collect();
        let index = Index { metadata: Metadata { total_size: self.bytes }, weight_map };
        serde_json::to_string_pretty(&index).ok().map(|text| text + "\n")
    }

    /// The bytes of all files together, headers included.
    pub fn file_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }
}

fn size(tensor: &TensorShape<'_>) -> Result<u64, MergeError> {
    let bytes = tensor.shape.iter().try_fold(tensor.dtype.size() as u64, |bytes, &n| bytes.checked_mul(n));
    let message = || format!("tensor {:?} of shape {:?} is larger than any file", tensor.name, tensor.shape);
    bytes.filter(|&bytes| bytes <= i64::MAX as u64).ok_or_else(|| MergeError::Task(message()))
}

/// The tensors of each shard. A tensor above the limit goes into a file at once, while the one being filled stays open.
fn split(sizes: &[u64], max_shard: u64) -> Vec<Vec<usize>> {
    let (mut shards, mut filling, mut filled) = (Vec::new(), Vec::new(), 0u64);
    for (tensor, &bytes) in sizes.iter().enumerate() {
        if bytes > max_shard {
            shards.push(vec![tensor]);
            continue;
        }
        if filled.saturating_add(bytes) > max_shard {
            shards.push(std::mem::take(&mut filling));
            filled = 0;
        }
        filling.push(tensor);
        filled += bytes;
    }
    if !filling.is_empty() || shards.is_empty() {
        shards.push(filling);
    }
    shards
}

fn shard_name(shard: usize, count: usize) -> String {
    if count == 1 { SINGLE.to_owned() } else { format!("model-{:05}-of-{count:05}.safetensors", shard + 1) }
}

/// Larger alignments first, and among equals the order of the safetensors crate, which sorts by it.
fn rank(dtype: Dtype) -> u8 {
    match dtype {
        Dtype::Bool => 0,
        Dtype::U8 => 1,
        Dtype::I8 => 2,
        Dtype::F8E5M2 => 3,
        Dtype::F8E4M3 => 4,
        Dtype::I16 => 5,
        Dtype::U16 => 6,
        Dtype::F16 => 7,
        Dtype::BF16 => 8,
        Dtype::I32 => 9,
        Dtype::U32 => 10,
        Dtype::F32 => 11,
        Dtype::F64 => 12,
        Dtype::I64 => 13,
        Dtype::U64 => 14,
    }
}

/// The length and text of a header, padded with spaces so that the data begin at a multiple of 8.
fn header(tensors: &[TensorShape<'_>], sizes: &[u64], group: &[usize]) -> Result<Vec<u8>, MergeError> {
    let wrong = |error: serde_json::Error| MergeError::Task(format!("cannot write a header: {error}"));
    let mut json = serde_json::to_vec(&HeaderText { tensors, sizes, group }).map_err(wrong)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

struct HeaderText<'a> {
    tensors: &'a [TensorShape<'a>],
    sizes: &'a [u64],
    group: &'a [usize],
}

impl Serialize for HeaderText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Metadata {
            format: &'static str,
        }
        #[derive(Serialize)]
        struct Entry<'a> {
            dtype: &'static str,
            shape: &'a [u64],
            data_offsets: (u64, u64),
        }
        let mut map = serializer.serialize_map(Some(self.group.len() + 1))?;
        map.serialize_entry("__metadata__", &Metadata { format: "pt" })?;
        let mut at = 0;
        for &index in self.group {
            let (tensor, end) = (&self.tensors[index], at + self.sizes[index]);
            map.serialize_entry(
                tensor.name,
                &Entry { dtype: tensor.dtype.name(), shape: tensor.shape, data_offsets: (at, end) },
            )?;
            at = end;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use safetensors::tensor::{TensorView, serialize};
    use std::collections::HashMap;

    fn view<'a>(tensor: &TensorShape<'_>, data: &'a [u8]) -> TensorView<'a> {
        let dtype = serde_json::from_str(&format!("{:?}", tensor.dtype.name())).unwrap();
        TensorView::new(dtype, tensor.shape.iter().map(|&n| n as usize).collect(), data).unwrap()
    }

    #[test]
    fn shards_are_cut_as_transformers_cuts_them() {
        let names = |sizes: &[u64]| split(sizes, 10);
        assert_eq!(names(&[4, 6, 1]), [vec![0, 1], vec![2]]);
        assert_eq!(names(&[4, 11, 6, 1]), [vec![1], vec![0, 2], vec![3]], "a large tensor does not close the file being filled");
        assert_eq!(names(&[10, 10]), [vec![0], vec![1]]);
        assert_eq!(names(&[0, 0]), [vec![0, 1]]);
        assert_eq!(names(&[12]), [vec![0]]);
        assert_eq!(names(&[]), [Vec::<usize>::new()]);
    }

    #[test]
    fn the_index_names_the_shard_of_each_tensor() {
        let tensors = ["b", "a"].map(|name| TensorShape { name, dtype: Dtype::F32, shape: &[2] });
        let layout = Layout::new(&tensors, 8).unwrap();
        let expected = concat!(
            "{\n  \"metadata\": {\n    \"total_size\": 16\n  },\n  \"weight_map\": {\n",
            "    \"a\": \"model-00002-of-00002.safetensors\",\n    \"b\": \"model-00001-of-00002.safetensors\"\n  }\n}\n"
        );
        assert_eq!(layout.index(&tensors).as_deref(), Some(expected));
        assert_eq!(Layout::new(&tensors, 16).unwrap().index(&tensors), None);
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let huge = TensorShape { name: "w", dtype: Dtype::F64, shape: &[1 << 40, 1 << 40] };
        assert!(Layout::new(&[huge], 1).unwrap_err().to_string().contains("tensor \"w\" of shape"));
        let half = TensorShape { name: "w", dtype: Dtype::U8, shape: &[1 << 62] };
        let other = TensorShape { name: "v", ..half };
        assert!(Layout::new(&[half, other], 1).unwrap_err().to_string().contains("larger than any file system"));
        assert!(Layout::new(&[half, half], 1).unwrap_err().to_string().contains("two output tensors are named \"w\""));
    }

    proptest! {
        /// A file written at the places of a layout is what the safetensors crate writes.
        #[test]
        fn files_are_as_the_reference_writes_them(
            tensors in proptest::collection::btree_map("[a-c.\"\u{e9}]{1,4}", (0usize..15, proptest::collection::vec(0u64..4, 0..3)), 0..8),
            max_shard in 1u64..200,
        ) {
            let tensors: Vec<_> = tensors.iter().map(|(name, (dtype, shape))| TensorShape { name, dtype: Dtype::ALL[*dtype], shape }).collect();
            let layout = Layout::new(&tensors, max_shard).unwrap();
            for (index, shard) in layout.shards.iter().enumerate() {
                let mut bytes = shard.header.clone();
                bytes.resize(shard.bytes as usize, 0);
                let data: Vec<Vec<u8>> = shard.tensors.iter().map(|&t| vec![t as u8 + 1; layout.places[t].bytes as usize]).collect();
                for (&tensor, data) in shard.tensors.iter().zip(&data) {
                    let place = layout.places[tensor];
                    prop_assert_eq!(place.shard, index);
                    bytes[place.offset as usize..][..data.len()].copy_from_slice(data);
                }
                // The reference sorts them itself.
                let views = shard.tensors.iter().zip(&data).rev().map(|(&t, data)| (tensors[t].name, view(&tensors[t], data)));
                let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
                let reference = serialize(views, Some(metadata)).unwrap();
                prop_assert_eq!(bytes, reference);
            }
        }
    }
}
