//! Everything that can be wrong with what a kernel is given or makes.

use crate::Dtype;

/// Why a kernel refused its arguments or its result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A header names a type that this version cannot hold.
    #[error("unknown element type `{name}`")]
    UnknownDtype {
        /// The name as found.
        name: String,
    },
    /// The bytes of a slice are no whole number of elements.
    #[error("{bytes} bytes are no whole number of {dtype} elements ({} bytes each)", dtype.size())]
    Ragged {
        /// Type of the elements.
        dtype: Dtype,
        /// Bytes given.
        bytes: usize,
    },
    /// A range reaches past the end of a slice.
    #[error("elements {first}..{end} are outside a slice of {length}")]
    OutOfRange {
        /// First element asked for.
        first: usize,
        /// One past the last element asked for.
        end: usize,
        /// Elements in the slice.
        length: usize,
    },
    /// Arithmetic was asked for on a type that has none here.
    #[error("{operation}: cannot compute with {dtype}; F64, F32, F16 and BF16 can be merged, other types only copied")]
    NotFloat {
        /// The kernel called.
        operation: &'static str,
        /// The type it met.
        dtype: Dtype,
    },
    /// Two operands that must have the same number of elements do not.
    #[error("{operation}: an operand has {found} elements where {expected} were expected")]
    LengthMismatch {
        /// The kernel called.
        operation: &'static str,
        /// Elements of the first operand.
        expected: usize,
        /// Elements of the operand that differs.
        found: usize,
    },
    /// Operands that come in pairs (inputs and weights, experts and passes) do not, or there are none.
    #[error("{operation}: {found} {what} where {expected} were expected")]
    CountMismatch {
        /// The kernel called.
        operation: &'static str,
        /// What was counted.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The tiles of one pass of a selection do not add up to the tensor.
    #[error("selection: the tiles of this pass held {found} elements, the tensor has {expected}")]
    IncompletePass {
        /// Elements of the tensor, or of its sample.
        expected: u64,
        /// Elements in the tiles handed in.
        found: u64,
    },
    /// Two passes over the same tensor saw different elements.
    #[error("selection: the tensor changed between two passes over it; is something writing to the checkpoint?")]
    Changed,
    /// A part of one pass of a selection was handed to another.
    #[error("selection: a part of another pass was handed in")]
    ForeignPart,
    /// The iteration for the singular values of a matrix did not end: it holds something that is not finite.
    #[error("the singular values of a {rows}×{cols} matrix were not found: does it hold infinities?")]
    NoConvergence {
        /// Its rows.
        rows: usize,
        /// Its columns.
        cols: usize,
    },
    /// A result is not a number. Infinities pass.
    #[error("element {element} of the result is not a number")]
    NotANumber {
        /// The first such element, counted from the start of the tile.
        element: usize,
    },
}
