//! Softmax attention on a stream, in blocks of queries: a library's matrix products, and kernels for what is between them.
//!
//! ```text
//!   forward    Q Kᵀ ──▶ scores ── softmax ──▶ probabilities, ln Σ e^score ──▶ P V
//!   backward   Q Kᵀ, dO Vᵀ ── softmax_backward ──▶ P, dS ──▶ dV += Pᵀ dO, dK += dSᵀ Q, dQ = dS K
//! ```
//!
//! A block has all heads of some queries in a row, and the keys from the start of the first one's document to its last query; what a query
//! does not see of these has the probability zero. No more scores exist at a time than [`SCORES`], unless [`FEWEST`] queries have more.

mod work;

use std::ops::Range;

use braid_kernels::{
    Dtype, KernelError, Slice,
    attention::{Documents, SoftmaxHeads},
};

use super::{
    forward::fetch,
    shape::{F32, bytes},
};
use crate::{
    Argument::U32,
    GpuError, Kernel, Lane,
    merge::{Table, kind, same_length},
};
use work::Work;

const NAME: &str = "softmax attention";
/// Scores of a block, at most, where it has more than [`FEWEST`] queries.
const SCORES: usize = 1 << 25;
/// Queries of a block.
const FEWEST: usize = 16;
const MOST: usize = 512;

/// Queries of a packed sequence, and the keys and values of the whole of it.
#[derive(Debug, Clone)]
pub struct SoftmaxAttention<'a> {
    /// The heads.
    pub heads: SoftmaxHeads,
    /// Where the documents of the whole sequence begin.
    pub documents: &'a Documents,
    /// The tokens that ask, in places of the whole sequence.
    pub own: Range<usize>,
    /// Their queries: tokens × query heads × key width. Not scaled.
    pub q: Slice<'a>,
    /// A row for each token of the sequence: its keys, all heads of them, and then its values. Of the type of queries.
    pub pairs: Slice<'a>,
}

/// The gradients of some queries' attention.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftmaxGradients {
    /// Of queries.
    pub q: Vec<f32>,
    /// Of the keys and values of the tokens [`SoftmaxGradients::seen`], row after row.
    pub pairs: Vec<f32>,
    /// The tokens that some query sees: all others have no gradient.
    pub seen: Range<usize>,
}

impl Lane {
    /// The outputs of the tokens (`out`: tokens × query heads × value width), and ln Σ e^score of each token and query head.
    ///
    /// # Errors
    /// Tensors of other lengths or types; there is no library of products; those of the device.
    pub fn softmax(&mut self, attention: &SoftmaxAttention<'_>, out: &mut [f32]) -> Result<Vec<f32>, GpuError> {
        let tokens = attention.own.len();
        attention.check()?;
        same_length(NAME, tokens * attention.out_width(), out.len())?;
        let mut log_sums = vec![0.0; tokens * attention.heads.queries];
        if tokens == 0 {
            return Ok(log_sums);
        }
        self.call(|call| {
            let (work, target) = (Work::new(attention, call)?, call.room(out.len() * F32.size())?);
            let mut sums = Vec::new();
            for block in attention.blocks() {
                let size = work.size(&block);
                let (scores, probabilities) = (call.room(size * F32.size())?, call.room(size * work.dtype.size())?);
                let of_block = work.probabilities(&block, (scores, probabilities), call)?;
                work.outputs(&block, probabilities, target, call)?;
                [scores, probabilities].into_iter().for_each(|place| call.give_back(place));
                sums.push((block, of_block));
            }
            for (block, of_block) in sums {
                let mut found = vec![0.0; block.own.len() * attention.heads.queries];
                fetch(call, of_block, &mut found)?;
                to_tokens(&found, &block, &mut log_sums, attention.heads.queries);
            }
            fetch(call, target, out)
        })?;
        Ok(log_sums)
    }

    /// The gradients, from that of the outputs. `log_sums` are what [`Lane::softmax`] gave; without them they are computed again.
    ///
    /// # Errors
    /// As [`Lane::softmax`].
    pub fn softmax_backward(
        &mut self,
        attention: &SoftmaxAttention<'_>,
        d_out: &[f32],
        log_sums: Option<&[f32]>,
    ) -> Result<SoftmaxGradients, GpuError> {
        attention.check()?;
        let (tokens, seen) = (attention.own.len(), attention.seen());
        same_length(NAME, tokens * attention.out_width(), d_out.len())?;
        if let Some(log_sums) = log_sums {
            same_length(NAME, tokens * attention.heads.queries, log_sums.len())?;
        }
        let mut q = vec![0.0; attention.q.len()];
        let mut pairs = vec![0.0; seen.len() * attention.pair_width()];
        if tokens == 0 {
            return Ok(SoftmaxGradients { q, pairs, seen });
        }
        self.call(|call| {
            let work = Work::new(attention, call)?;
            let d_out = work.like_tokens(d_out, call)?;
            let (d_q, d_pairs) = (call.room(q.len() * F32.size())?, call.filled(pairs.len() * F32.size(), 0)?);
            for block in attention.blocks() {
                let size = work.size(&block);
                let [scores, d_probabilities] = [call.room(size * F32.size())?, call.room(size * F32.size())?];
                let [probabilities, d_scores] = [call.room(size * work.dtype.size())?, call.room(size * work.dtype.size())?];
                let sums = match log_sums {
                    None => work.probabilities(&block, (scores, probabilities), call)?,
                    Some(log_sums) => {
                        work.scores(&block, scores, call)?;
                        call.copy(&bytes(&of_heads(log_sums, &block, attention.heads.queries)))?
                    }
                };
                work.d_probabilities(&block, d_out, d_probabilities, call)?;
                let ranges = call.copy(&block.ranges)?;
                let arguments = [
                    scores.into(),
                    d_probabilities.into(),
                    ranges.into(),
                    U32(block.keys.len() as u32),
                    sums.into(),
                    probabilities.into(),
                    d_scores.into(),
                    U32(work.kind),
                ];
                call.launch(Kernel::SoftmaxBackward, work.grid(&block), &arguments)?;
                work.gradients(&block, (probabilities, d_scores), d_out, (d_q, d_pairs), call)?;
                let used = [scores, d_probabilities, probabilities, d_scores, sums, ranges];
                used.into_iter().for_each(|place| call.give_back(place));
            }
            fetch(call, d_q, &mut q)?;
            fetch(call, d_pairs, &mut pairs)
        })?;
        Ok(SoftmaxGradients { q, pairs, seen })
    }
}

/// Queries in a row, and the keys that one of them sees.
struct Block {
    /// The queries, counted from the first of the attention's own.
    own: Range<usize>,
    /// The keys, counted from the first that any query sees.
    keys: Range<usize>,
    /// The struct `Seen` of each query.
    ranges: Vec<u8>,
}

impl SoftmaxAttention<'_> {
    fn out_width(&self) -> usize {
        self.heads.queries * self.heads.value_width
    }

    fn pair_width(&self) -> usize {
        self.heads.keys * (self.heads.key_width + self.heads.value_width)
    }

    /// The tokens that some query sees.
    fn seen(&self) -> Range<usize> {
        if self.own.is_empty() { 0..0 } else { self.documents.start_of(self.own.start)..self.own.end }
    }

    fn check(&self) -> Result<(), GpuError> {
        let SoftmaxHeads { queries, keys, key_width, value_width, .. } = self.heads;
        if keys == 0 || !queries.is_multiple_of(keys) || key_width == 0 || value_width == 0 {
            let what = format!("{queries} heads of queries over {keys} of keys, {key_width} and {value_width} wide");
            return Err(GpuError::Unsupported { operation: NAME, what });
        }
        if self.own.end > self.documents.tokens() || self.own.start > self.own.end {
            let (first, end, length) = (self.own.start, self.own.end, self.documents.tokens());
            return Err(KernelError::OutOfRange { first, end, length }.into());
        }
        same_length(NAME, self.own.len() * queries * key_width, self.q.len())?;
        same_length(NAME, self.documents.tokens() * self.pair_width(), self.pairs.len())?;
        if self.q.dtype() != self.pairs.dtype() || self.q.dtype() == Dtype::F64 {
            let what = format!("queries of {} beside keys of {}", self.q.dtype(), self.pairs.dtype());
            return Err(GpuError::Unsupported { operation: NAME, what });
        }
        kind(NAME, self.q.dtype()).map(drop)
    }

    fn blocks(&self) -> Vec<Block> {
        let (first, mut blocks, mut start) = (self.seen().start, Vec::new(), self.own.start);
        while start < self.own.end {
            let keys_from = self.documents.start_of(start);
            // as many as their scores have room, which grow with the last of them
            let mut end = self.own.end.min(start + FEWEST);
            while end < self.own.end.min(start + MOST) && (end + 1 - start) * (end + 1 - keys_from) * self.heads.queries <= SCORES
            {
                end += 1;
            }
            let mut ranges = Table::default();
            for token in start..end {
                ranges.u32((self.documents.start_of(token) - keys_from) as u32).u32((token + 1 - keys_from) as u32);
            }
            blocks.push(Block {
                own: start - self.own.start..end - self.own.start,
                keys: keys_from - first..end - first,
                ranges: ranges.bytes().to_vec(),
            });
            start = end;
        }
        blocks
    }
}

/// Numbers of the tokens of a block, head after head, from those of all tokens, token after token.
fn of_heads(values: &[f32], block: &Block, heads: usize) -> Vec<f32> {
    (0..heads).flat_map(|head| block.own.clone().map(move |token| values[token * heads + head])).collect()
}

/// The other way: takes numbers of a block, head after head, to those of all tokens.
fn to_tokens(found: &[f32], block: &Block, values: &mut [f32], heads: usize) {
    for (head, found) in found.chunks(block.own.len()).enumerate() {
        block.own.clone().zip(found).for_each(|(token, found)| values[token * heads + head] = *found);
    }
}
