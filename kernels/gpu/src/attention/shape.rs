//! What attention is asked for, and how it is cut into chunks.

use std::ops::Range;

use braid_kernels::{Dtype, KernelError, Slice, attention::Documents};

use crate::{
    GpuError, Kernel,
    merge::{Table, kind, same_length},
};

/// The most key channels, as in `kernels/cuda/heads.cuh`.
pub(super) const KEYS: usize = 128;

/// How the work is cut for a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cutting {
    /// The most tokens of a chunk.
    pub(super) chunk: usize,
    /// Value columns of a block.
    pub(super) columns: usize,
}

impl Cutting {
    /// As in `kernels/cuda/heads.cuh`.
    pub(super) const PLAIN: Self = Self { chunk: 16, columns: 16 };
    /// As in `kernels/cuda/decay.cu`.
    pub(super) const TENSOR_CORES: Self = Self { chunk: 32, columns: 64 };
}

/// The tokens of a packed sequence that are attended to, with what they bring.
///
/// Rows are tokens, heads side by side: queries and keys are tokens × heads × key, values tokens × heads × value.
#[derive(Debug, Clone)]
pub struct Attention<'a> {
    /// Independent heads.
    pub heads: usize,
    /// Channels of a query and of a key; at most 128.
    pub key: usize,
    /// Channels of a value.
    pub value: usize,
    /// Where the documents of the whole sequence begin.
    pub documents: &'a Documents,
    /// The tokens, in places of the whole sequence.
    pub own: Range<usize>,
    /// Queries, scaled.
    pub q: Slice<'a>,
    /// Keys.
    pub k: Slice<'a>,
    /// Values.
    pub v: Slice<'a>,
    /// How a token changes the state.
    pub rule: Rule<'a>,
}

/// How a token changes the state. Tensors are of the type of queries.
#[derive(Debug, Clone, Copy)]
pub enum Rule<'a> {
    /// `S = e^(−s) S + k vᵀ` with a slope s for each head, not negative.
    Decay(&'a [f32]),
    /// `S = Diag(e^g) S + k vᵀ` with log gates g, tokens × heads × key, finite and not positive.
    Gated(Slice<'a>),
    /// `S = (I − β k kᵀ) S + β k vᵀ` with β, tokens × heads.
    Delta(Slice<'a>),
}

impl Attention<'_> {
    /// Elements of a state: heads × key × value.
    pub fn state_len(&self) -> usize {
        self.heads * self.key * self.value
    }

    /// Checks every length, so that no kernel reads past an end.
    pub(super) fn check(&self, state: usize) -> Result<(), GpuError> {
        const NAME: &str = "attention";
        if self.key == 0 || self.key > KEYS || self.value == 0 || self.heads == 0 {
            return Err(GpuError::Unsupported {
                operation: NAME,
                what: format!("{} heads of {} key and {} value channels; at most {KEYS} keys", self.heads, self.key, self.value),
            });
        }
        let tokens = self.own.len();
        if self.own.end > self.documents.tokens() {
            let (first, end, length) = (self.own.start, self.own.end, self.documents.tokens());
            return Err(KernelError::OutOfRange { first, end, length }.into());
        }
        same_length(NAME, tokens * self.heads * self.key, self.q.len())?;
        same_length(NAME, tokens * self.heads * self.key, self.k.len())?;
        same_length(NAME, tokens * self.heads * self.value, self.v.len())?;
        same_length(NAME, self.state_len(), state)?;
        let own = match self.rule {
            Rule::Decay(slopes) => {
                return same_length(NAME, self.heads, slopes.len()).and_then(|()| self.same_kind(&[self.k, self.v]));
            }
            Rule::Gated(gates) => same_length(NAME, self.q.len(), gates.len()).map(|()| gates),
            Rule::Delta(betas) => same_length(NAME, tokens * self.heads, betas.len()).map(|()| betas),
        };
        self.same_kind(&[self.k, self.v, own?])
    }

    fn same_kind(&self, others: &[Slice<'_>]) -> Result<(), GpuError> {
        match others.iter().find(|other| other.dtype() != self.q.dtype()) {
            None => Ok(()),
            Some(other) => Err(GpuError::Unsupported {
                operation: "attention",
                what: format!("queries of {} beside tensors of {}", self.q.dtype(), other.dtype()),
            }),
        }
    }

    /// The struct `Heads`.
    pub(super) fn struct_of_heads(&self) -> Result<Vec<u8>, GpuError> {
        let mut table = Table::default();
        table.u32(self.heads as u32).u32(self.key as u32).u32(self.value as u32).u32(kind("attention", self.q.dtype())?);
        Ok(table.bytes().to_vec())
    }

    /// The kernel that computes outputs on tensor cores, where there is one for this.
    pub(super) fn on_tensor_cores(&self) -> Option<Kernel> {
        let fits = matches!(self.rule, Rule::Decay(_)) && self.q.dtype() == Dtype::BF16;
        // sixteen bytes are copied at a time
        let whole = self.key.is_multiple_of(8) && self.value.is_multiple_of(8);
        (fits && whole).then_some(if self.key <= 64 { Kernel::DecayForward64 } else { Kernel::DecayForward128 })
    }

    /// The chunks, none of which has tokens of two documents, as structs `Cut`, and how many they are.
    pub(super) fn cuts(&self, cutting: Cutting) -> (Vec<u8>, usize) {
        let (mut table, mut count) = (Table::default(), 0);
        for segment in self.documents.segments(self.own.clone()) {
            let mut fresh = segment.fresh;
            for start in segment.tokens.clone().step_by(cutting.chunk) {
                let length = cutting.chunk.min(segment.tokens.end - start);
                table.u32((start - self.own.start) as u32).u32(length as u32).u32(fresh.into()).u32(0);
                (fresh, count) = (false, count + 1);
            }
        }
        (table.bytes().to_vec(), count)
    }

    /// Blocks: heads, and tiles of columns.
    pub(super) fn grid(&self, cutting: Cutting) -> (u32, u32) {
        (self.heads as u32, self.tiles(cutting) as u32)
    }

    pub(super) fn tiles(&self, cutting: Cutting) -> usize {
        self.value.div_ceil(cutting.columns)
    }
}

pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Type of states and gradients.
pub(super) const F32: Dtype = Dtype::F32;
