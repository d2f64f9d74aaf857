//! What softmax attention has on the device, and the products and rows of one block of queries. Not which blocks there are.

use braid_kernels::{Dtype, attention::SoftmaxHeads};

use super::{Block, NAME, SoftmaxAttention};
use crate::{
    Argument::{U32, U64},
    GpuError, Kernel, Matrices, Place, Product,
    attention::shape::{F32, bytes},
    merge::{Call, kind},
};

/// What lies on the device for all blocks.
pub(super) struct Work {
    heads: SoftmaxHeads,
    pub(super) dtype: Dtype,
    pub(super) kind: u32,
    q: Place,
    /// Rows of the tokens that are seen.
    pairs: Place,
}

impl Work {
    pub(super) fn new(attention: &SoftmaxAttention<'_>, call: &mut Call<'_>) -> Result<Self, GpuError> {
        let (seen, width) = (attention.seen(), attention.pair_width());
        let pairs = attention.pairs.part(seen.start * width..seen.end * width)?;
        Ok(Self {
            heads: attention.heads,
            dtype: attention.q.dtype(),
            kind: kind(NAME, attention.q.dtype())?,
            q: call.copy(attention.q.bytes())?,
            pairs: call.copy(pairs.bytes())?,
        })
    }

    /// Scores of a block.
    pub(super) fn size(&self, block: &Block) -> usize {
        self.heads.queries * block.own.len() * block.keys.len()
    }

    pub(super) fn grid(&self, block: &Block) -> (u32, u32) {
        (block.own.len() as u32, self.heads.queries as u32)
    }

    /// Numbers in the type that tokens have, for products with these.
    pub(super) fn like_tokens(&self, values: &[f32], call: &mut Call<'_>) -> Result<Place, GpuError> {
        let wide = call.copy(&bytes(values))?;
        if self.dtype == F32 {
            return Ok(wide);
        }
        let narrow = call.room(values.len() * self.dtype.size())?;
        let arguments = [wide.into(), U32(kind(NAME, F32)?), narrow.into(), U32(self.kind), U64(values.len() as u64)];
        call.over(Kernel::Convert, values.len(), &arguments)?;
        Ok(narrow)
    }

    /// A matrix for each head of keys, of those query heads that come `turn`-th in their group: rows of a block in a tensor of heads.
    fn of_queries(&self, at: Place, dtype: Dtype, block: &Block, (turn, width): (usize, usize)) -> Matrices {
        let group = self.heads.queries / self.heads.keys;
        let stride = self.heads.queries * width;
        let first = block.own.start * stride + turn * width;
        Matrices { address: at.address + (first * dtype.size()) as u64, dtype, transposed: false, stride, step: group * width }
    }

    fn of_pairs(&self, at: Place, dtype: Dtype, block: &Block, (first, width): (usize, usize)) -> Matrices {
        let stride = self.heads.keys * (self.heads.key_width + self.heads.value_width);
        let first = block.keys.start * stride + first;
        Matrices { address: at.address + (first * dtype.size()) as u64, dtype, transposed: false, stride, step: width }
    }

    fn keys(&self, at: Place, dtype: Dtype, block: &Block) -> Matrices {
        self.of_pairs(at, dtype, block, (0, self.heads.key_width))
    }

    fn values(&self, at: Place, dtype: Dtype, block: &Block) -> Matrices {
        self.of_pairs(at, dtype, block, (self.heads.keys * self.heads.key_width, self.heads.value_width))
    }

    /// Scores, or what comes of them: heads × queries × keys.
    fn of_scores(&self, at: Place, dtype: Dtype, block: &Block, turn: usize) -> Matrices {
        let (group, size) = (self.heads.queries / self.heads.keys, block.own.len() * block.keys.len());
        let address = at.address + (turn * size * dtype.size()) as u64;
        Matrices { address, dtype, transposed: false, stride: block.keys.len(), step: group * size }
    }

    /// A product for each head of keys, and for each turn of the query heads that share it.
    fn each(
        &self,
        size: (usize, usize),
        inner: usize,
        call: &mut Call<'_>,
        product: impl Fn(usize, Product) -> Product,
    ) -> Result<(), GpuError> {
        let none = Matrices { address: 0, dtype: F32, transposed: false, stride: 0, step: 0 };
        let plain = Product { size, inner, count: self.heads.keys, scale: 1.0, a: none, b: none, add: false, c: none };
        (0..self.heads.queries / self.heads.keys).try_for_each(|turn| call.multiply(&product(turn, plain)))
    }

    pub(super) fn scores(&self, block: &Block, scores: Place, call: &mut Call<'_>) -> Result<(), GpuError> {
        let (rows, keys, width) = (block.own.len(), block.keys.len(), self.heads.key_width);
        self.each((rows, keys), width, call, |turn, plain| Product {
            scale: self.heads.scale as f32,
            a: self.of_queries(self.q, self.dtype, block, (turn, width)),
            b: turned(self.keys(self.pairs, self.dtype, block)),
            c: self.of_scores(scores, F32, block, turn),
            ..plain
        })
    }

    /// Scores and probabilities. Returns where the logarithms of the sums are: heads × queries.
    pub(super) fn probabilities(
        &self,
        block: &Block,
        (scores, probabilities): (Place, Place),
        call: &mut Call<'_>,
    ) -> Result<Place, GpuError> {
        self.scores(block, scores, call)?;
        let (ranges, sums) = (call.copy(&block.ranges)?, call.room(self.heads.queries * block.own.len() * F32.size())?);
        let keys = U32(block.keys.len() as u32);
        let arguments = [scores.into(), ranges.into(), keys, sums.into(), probabilities.into(), U32(self.kind)];
        call.launch(Kernel::Softmax, self.grid(block), &arguments)?;
        call.give_back(ranges);
        Ok(sums)
    }

    pub(super) fn outputs(&self, block: &Block, probabilities: Place, out: Place, call: &mut Call<'_>) -> Result<(), GpuError> {
        let (rows, keys, width) = (block.own.len(), block.keys.len(), self.heads.value_width);
        self.each((rows, width), keys, call, |turn, plain| Product {
            a: self.of_scores(probabilities, self.dtype, block, turn),
            b: self.values(self.pairs, self.dtype, block),
            c: self.of_queries(out, F32, block, (turn, width)),
            ..plain
        })
    }

    pub(super) fn d_probabilities(&self, block: &Block, d_out: Place, to: Place, call: &mut Call<'_>) -> Result<(), GpuError> {
        let (rows, keys, width) = (block.own.len(), block.keys.len(), self.heads.value_width);
        self.each((rows, keys), width, call, |turn, plain| Product {
            a: self.of_queries(d_out, self.dtype, block, (turn, width)),
            b: turned(self.values(self.pairs, self.dtype, block)),
            c: self.of_scores(to, F32, block, turn),
            ..plain
        })
    }

    /// The gradients of the block's queries, and what it adds to those of keys and values.
    pub(super) fn gradients(
        &self,
        block: &Block,
        (probabilities, d_scores): (Place, Place),
        d_out: Place,
        (d_q, d_pairs): (Place, Place),
        call: &mut Call<'_>,
    ) -> Result<(), GpuError> {
        let (rows, keys) = (block.own.len(), block.keys.len());
        let SoftmaxHeads { key_width, value_width, scale, .. } = self.heads;
        self.each((keys, value_width), rows, call, |turn, plain| Product {
            a: turned(self.of_scores(probabilities, self.dtype, block, turn)),
            b: self.of_queries(d_out, self.dtype, block, (turn, value_width)),
            add: true,
            c: self.values(d_pairs, F32, block),
            ..plain
        })?;
        self.each((keys, key_width), rows, call, |turn, plain| Product {
            scale: scale as f32,
            a: turned(self.of_scores(d_scores, self.dtype, block, turn)),
            b: self.of_queries(self.q, self.dtype, block, (turn, key_width)),
            add: true,
            c: self.keys(d_pairs, F32, block),
            ..plain
        })?;
        self.each((rows, key_width), keys, call, |turn, plain| Product {
            scale: scale as f32,
            a: self.of_scores(d_scores, self.dtype, block, turn),
            b: self.keys(self.pairs, self.dtype, block),
            c: self.of_queries(d_q, F32, block, (turn, key_width)),
            ..plain
        })
    }
}

/// The transpose.
fn turned(matrices: Matrices) -> Matrices {
    Matrices { transposed: !matrices.transposed, ..matrices }
}
