//! What a library's matrix products reach on this device: the ceiling of everything that is made of products. And softmax attention, which
//! is made of them.

use braid_gpu::{Argument::U32, GpuError, Kernel, Launch, Matrices, Product};
use braid_kernels::Dtype;

use super::{
    BF16, Bench, Measured,
    attention::{CHANNELS, HEADS},
};

/// Queries of a block of softmax attention.
const QUERIES: u32 = 512;

impl Bench {
    /// A square product of bfloat16, with sums in float32.
    pub(super) fn product(&mut self) -> Result<Measured, GpuError> {
        let n = self.size.matrix;
        let elements = (n * n) as u64;
        let [a, b, c] = [self.filled(2 * elements)?, self.filled(2 * elements)?, self.filled(4 * elements)?];
        let dense = |address, dtype| Matrices { address, dtype, transposed: false, stride: n, step: n * n };
        let product = Product {
            size: (n, n),
            inner: n,
            count: 1,
            scale: 1.0,
            a: dense(a.address, Dtype::BF16),
            b: dense(b.address, Dtype::BF16),
            add: false,
            c: dense(c.address, Dtype::F32),
        };
        let measured = self.time("matrix product, bfloat16", (0, 2 * elements * n as u64), |stream| stream.multiply(&product));
        [a, b, c].into_iter().for_each(|place| self.stream.release(place));
        measured
    }

    /// Forward, the last block of queries of a sequence, which sees all of it.
    pub(super) fn softmax(&mut self) -> Result<Measured, GpuError> {
        let (keys, queries) = (self.size.tokens, QUERIES.min(self.size.tokens));
        let (heads, width) = (HEADS as usize, CHANNELS as usize);
        let of = |rows: u32| u64::from(rows * HEADS * CHANNELS);
        let [q, k, v] = [self.filled(2 * of(queries))?, self.filled(2 * of(keys))?, self.filled(2 * of(keys))?];
        let scores = u64::from(HEADS) * u64::from(queries) * u64::from(keys);
        let [raw, probabilities] = [self.filled(4 * scores)?, self.filled(2 * scores)?];
        let [out, sums] = [self.filled(4 * of(queries))?, self.filled(u64::from(4 * HEADS * queries))?];
        let seen: Vec<u32> = (keys - queries..keys).flat_map(|token| [0, token + 1]).collect();
        let seen = self.table(&seen)?;
        let of_tokens = |address, dtype| Matrices { address, dtype, transposed: false, stride: heads * width, step: width };
        let of_scores = |address, dtype| Matrices {
            address,
            dtype,
            transposed: false,
            stride: keys as usize,
            step: (queries * keys) as usize,
        };
        let first = Product {
            size: (queries as usize, keys as usize),
            inner: width,
            count: heads,
            scale: 0.1,
            a: of_tokens(q.address, Dtype::BF16),
            b: Matrices { transposed: true, ..of_tokens(k.address, Dtype::BF16) },
            add: false,
            c: of_scores(raw.address, Dtype::F32),
        };
        let second = Product {
            size: (queries as usize, width),
            inner: keys as usize,
            scale: 1.0,
            a: of_scores(probabilities.address, Dtype::BF16),
            b: of_tokens(v.address, Dtype::BF16),
            c: of_tokens(out.address, Dtype::F32),
            ..first
        };
        let arguments = [raw.into(), seen.into(), U32(keys), sums.into(), probabilities.into(), U32(BF16)];
        let between = Launch { kernel: Kernel::Softmax, grid: (queries, HEADS), block: 256, arguments: &arguments };
        let bytes = 2 * of(queries) + 4 * of(keys) + 4 * of(queries);
        let measured = self.time("softmax, the last 512 queries, forward", (bytes, 4 * scores * u64::from(CHANNELS)), |stream| {
            stream.multiply(&first)?;
            stream.launch(&between)?;
            stream.multiply(&second)
        });
        [q, k, v, raw, probabilities, out, sums, seen].into_iter().for_each(|place| self.stream.release(place));
        measured
    }
}
