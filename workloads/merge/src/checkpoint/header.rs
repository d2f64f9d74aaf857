//! The header of a safetensors file: eight bytes of length, then JSON. Pure: bytes in, tensors out.
//!
//! A header may come from anywhere, so every number in it is checked against the length of the file before it is used:
//! after [`Header::parse`] the tensors tile the data exactly, and `offset + bytes` of each lies inside the file.

use super::header_problem::HeaderProblem;
use braid_kernels::Dtype;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{collections::HashSet, fmt};

/// The longest header that is read; the reference implementation has the same limit.
pub(crate) const MAX_HEADER: u64 = 100_000_000;

/// The bytes before the header: its length.
pub(crate) const PREFIX: u64 = 8;

/// More dimensions than any tensor has; a bound on what a hostile header makes us hold.
const MAX_RANK: usize = 64;

/// A header that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The tensors in the order of their bytes.
    pub tensors: Vec<HeaderTensor>,
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTensor {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its shape; empty for a scalar.
    pub shape: Vec<u64>,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Header {
    /// The length of the header that a file of `file` bytes starting with `prefix` has.
    ///
    /// # Errors
    /// A length that is absurd or does not fit the file.
    pub fn length(prefix: [u8; PREFIX as usize], file: u64) -> Result<u64, HeaderProblem> {
        let header = u64::from_le_bytes(prefix);
        let left = file.checked_sub(PREFIX).ok_or(HeaderProblem::TooShort { bytes: file })?;
        if header > MAX_HEADER {
            return Err(HeaderProblem::TooLong { header });
        }
        if header > left {
            return Err(HeaderProblem::PastEnd { header, left });
        }
        Ok(header)
    }

    /// Reads the header `json` of a file of `file` bytes.
    ///
    /// # Errors
    /// The first [`HeaderProblem`] found.
    pub fn parse(json: &[u8], file: u64) -> Result<Self, HeaderProblem> {
        let text = std::str::from_utf8(json).map_err(|error| HeaderProblem::NotUtf8 { at: error.valid_up_to() })?;
        let entries: Entries = serde_json::from_str(text).map_err(|error| HeaderProblem::Json(error.to_string()))?;
        let start = PREFIX.saturating_add(json.len() as u64);
        let data = file.checked_sub(start).ok_or(HeaderProblem::TooShort { bytes: file })?;
        let mut names = HashSet::with_capacity(entries.0.len());
        if let Some((name, _)) = entries.0.iter().find(|(name, _)| !names.insert(name.as_str())) {
            return Err(HeaderProblem::Duplicate { tensor: name.clone() });
        }
        drop(names);
        let mut tensors =
            entries.0.into_iter().map(|(name, entry)| entry.check(name, data, start)).collect::<Result<Vec<_>, _>>()?;
        // An empty tensor stands before the one that begins at the same byte.
        tensors.sort_by(|a, b| (a.offset, a.bytes, &a.name).cmp(&(b.offset, b.bytes, &b.name)));
        check_cover(&tensors, start, data)?;
        Ok(Self { tensors })
    }

    /// Reads the header of a whole file in memory.
    ///
    /// # Errors
    /// As [`Header::length`] and [`Header::parse`].
    pub fn of_file(bytes: &[u8]) -> Result<Self, HeaderProblem> {
        let file = bytes.len() as u64;
        let (prefix, rest) = bytes.split_first_chunk().ok_or(HeaderProblem::TooShort { bytes: file })?;
        let header = Self::length(*prefix, file)?;
        let json = rest.get(..header as usize).ok_or(HeaderProblem::PastEnd { header, left: rest.len() as u64 })?;
        Self::parse(json, file)
    }
}

/// Requires that the tensors, in order, cover `start..start + data` without a gap or an overlap.
fn check_cover(tensors: &[HeaderTensor], start: u64, data: u64) -> Result<(), HeaderProblem> {
    let (mut at, mut previous) = (0, "");
    for tensor in tensors {
        let begin = tensor.offset - start;
        if begin < at {
            let (first, second) = (previous.to_owned(), tensor.name.clone());
            return Err(HeaderProblem::Overlap { first, second, at: begin });
        }
        if begin > at {
            return Err(HeaderProblem::Hole { begin: at, end: begin });
        }
        (at, previous) = (begin + tensor.bytes, &tensor.name);
    }
    if at < data { Err(HeaderProblem::Hole { begin: at, end: data }) } else { Ok(()) }
}

/// One tensor as the header has it, nothing checked.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

impl Entry {
    fn check(self, tensor: String, data: u64, start: u64) -> Result<HeaderTensor, HeaderProblem> {
        let Self { dtype, shape: Shape(shape), data_offsets: (begin, end) } = self;
        let Ok(dtype) = Dtype::parse(&dtype) else { return Err(HeaderProblem::UnknownDtype { tensor, dtype }) };
        let needed = shape.iter().try_fold(dtype.size() as u64, |bytes, &n| bytes.checked_mul(n));
        let Some(needed) = needed.filter(|&bytes| bytes <= i64::MAX as u64) else {
            return Err(HeaderProblem::Overflow { tensor, dtype, shape });
        };
        if end < begin {
            return Err(HeaderProblem::Reversed { tensor, begin, end });
        }
        if end - begin != needed {
            return Err(HeaderProblem::WrongSize { tensor, dtype, shape, needed, begin, end });
        }
        if end > data {
            return Err(HeaderProblem::Truncated { tensor, end, data });
        }
        Ok(HeaderTensor { name: tensor, dtype, shape, offset: start + begin, bytes: needed })
    }
}

struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shape, which is a list of whole numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(n) = list.next_element()? {
                    if shape.len() == MAX_RANK {
                        return Err(A::Error::custom(format!("a shape of more than {MAX_RANK} dimensions")));
                    }
                    shape.push(n);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

/// All tensors in the order of the text: a map type would hide a name that comes twice.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with an entry for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value().map_err(|error| A::Error::custom(format!("tensor {name:?}: {error}")))?;
                    entries.push((name, entry));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

#[cfg(test)]
mod tests;
