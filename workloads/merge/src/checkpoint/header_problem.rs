//! What can be wrong with a safetensors header, said so that a person knows which tensor to look at.

use super::header::MAX_HEADER;
use braid_kernels::Dtype;

/// Why a header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// Not even the length of the header is there.
    #[error("is {bytes} bytes long: too short for a safetensors file, which starts with the 8 bytes of its header's length")]
    TooShort {
        /// The length of the file.
        bytes: u64,
    },
    /// More header than any checkpoint has.
    #[error("says that its header is {header} bytes long; at most {MAX_HEADER} are allowed (is this a safetensors file?)")]
    TooLong {
        /// The length that the file claims.
        header: u64,
    },
    /// The header does not end within the file.
    #[error("says that its header is {header} bytes long, but only {left} bytes follow (truncated, or not a safetensors file)")]
    PastEnd {
        /// The length that the file claims.
        header: u64,
        /// What is there.
        left: u64,
    },
    /// The header is no text.
    #[error("header is not UTF-8: wrong byte at {at}")]
    NotUtf8 {
        /// Where in the header.
        at: usize,
    },
    /// The header is not the JSON that it should be.
    #[error("header is not as safetensors defines it: {0}")]
    Json(String),
    /// One name twice.
    #[error("header names tensor {tensor:?} twice")]
    Duplicate {
        /// The name.
        tensor: String,
    },
    /// An element type that Braid does not know.
    #[error("tensor {tensor:?} has the unknown dtype {dtype:?}")]
    UnknownDtype {
        /// The tensor.
        tensor: String,
        /// What the header says.
        dtype: String,
    },
    /// A shape that no file can hold.
    #[error("tensor {tensor:?} of dtype {dtype} and shape {shape:?} is larger than any file")]
    Overflow {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// An end before its beginning.
    #[error("tensor {tensor:?} ends at byte {end}, before its beginning at {begin}")]
    Reversed {
        /// The tensor.
        tensor: String,
        /// First byte, counted after the header.
        begin: u64,
        /// One past the last.
        end: u64,
    },
    /// The range does not hold what dtype and shape need.
    #[error("tensor {tensor:?} of dtype {dtype} and shape {shape:?} needs {needed} bytes, but its offsets {begin}..{end} hold {}", end - begin)]
    WrongSize {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
        /// What they multiply to.
        needed: u64,
        /// First byte, counted after the header.
        begin: u64,
        /// One past the last.
        end: u64,
    },
    /// The file ends before the tensor does.
    #[error("tensor {tensor:?} ends at byte {end} of the data, but the file holds only {data}: it is truncated")]
    Truncated {
        /// The tensor.
        tensor: String,
        /// One past its last byte, counted after the header.
        end: u64,
        /// How many bytes follow the header.
        data: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {first:?} and {second:?} overlap at byte {at} of the data")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
        /// Where the second begins, counted after the header.
        at: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("bytes {begin}..{end} of the data belong to no tensor")]
    Hole {
        /// First such byte, counted after the header.
        begin: u64,
        /// One past the last.
        end: u64,
    },
}
