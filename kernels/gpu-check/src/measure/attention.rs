//! Kernels of linear-time attention: one sequence, 64 heads of 128 channels, both passes.

use braid_gpu::{
    Argument::{self, Address, Struct, U32, U64},
    GpuError, Kernel, Place,
};

use super::{BF16, Bench, Measured};

pub(super) const HEADS: u32 = 64;
pub(super) const CHANNELS: u32 = 128;
/// Tokens of a chunk, and value columns of a block: as in `heads.cuh`.
const CHUNK: u32 = 16;
const COLUMNS: u32 = 16;

/// What both families read, and where they write.
struct Sequence {
    /// Queries, keys, values, outputs.
    tensors: Vec<Place>,
    heads: Argument,
    cuts: Argument,
    count: u32,
    state: Place,
    /// The states before each chunk.
    saved: Place,
}

impl Bench {
    /// Constant decay and the delta rule.
    pub(super) fn linear_attention(&mut self) -> Result<Vec<Measured>, GpuError> {
        let tokens = self.size.tokens;
        let elements = u64::from(tokens * HEADS * CHANNELS);
        let tensors: Vec<Place> = (0..4).map(|_| self.filled(2 * elements)).collect::<Result<_, _>>()?;
        let cuts: Vec<u32> =
            (0..tokens).step_by(CHUNK as usize).flat_map(|start| [start, CHUNK.min(tokens - start), 0, 0]).collect();
        let count = cuts.len() as u32 / 4;
        let of_state = u64::from(4 * HEADS * CHANNELS * CHANNELS);
        let heads: Vec<u8> = [HEADS, CHANNELS, CHANNELS, BF16].iter().flat_map(|word| word.to_le_bytes()).collect();
        let sequence = Sequence {
            tensors,
            heads: Struct(heads),
            cuts: self.table(&cuts)?.into(),
            count,
            state: self.filled(of_state)?,
            saved: self.filled(of_state * u64::from(count))?,
        };
        let slopes = self.table(&[0.1f32.to_bits(); HEADS as usize])?;
        let betas = self.filled(2 * u64::from(tokens * HEADS))?;
        // for each token and head, in chunks of C: triangles of scores take C (a + b), and states of a × b four for each pass over them
        let (all, width, chunk) = (u64::from(tokens * HEADS), u64::from(CHANNELS), u64::from(CHUNK));
        let (square, triangle) = (width * width, chunk * width);
        let decay = [Address(0), slopes.into()];
        let mut measured = vec![
            self.forward("decay, forward", Kernel::GatedForward, (&sequence, &decay), all * (2 * triangle + 4 * square))?,
            self.forward(
                "delta rule, forward",
                Kernel::DeltaForward,
                (&sequence, &[betas.into()]),
                all * (4 * triangle + 6 * square),
            )?,
        ];
        // gradients of queries and keys come in a part for each tile of columns
        let tiles = u64::from(CHANNELS / COLUMNS);
        let d_out = self.filled(4 * elements)?;
        let [d_q, d_k] = [self.filled(4 * tiles * elements)?, self.filled(4 * tiles * elements)?];
        let (d_v, d_beta) = (self.filled(4 * elements)?, self.filled(4 * tiles * u64::from(tokens * HEADS))?);
        let out = [d_out.into(), sequence.state.into(), d_q.into(), d_k.into(), d_v.into()];
        let with_beta = [&out[..], &[d_beta.into()]].concat();
        measured.push(self.backward(
            "decay, backward",
            Kernel::GatedBackward,
            (&sequence, &decay, &out),
            all * (5 * triangle + 8 * square),
        )?);
        measured.push(self.backward(
            "delta rule, backward",
            Kernel::DeltaBackward,
            (&sequence, &[betas.into()], &with_beta),
            all * (11 * triangle + 16 * square),
        )?);
        let places =
            sequence.tensors.into_iter().chain([sequence.state, sequence.saved, slopes, betas, d_out, d_q, d_k, d_v, d_beta]);
        places.for_each(|place| self.stream.release(place));
        Ok(measured)
    }

    fn forward(
        &mut self,
        name: &'static str,
        kernel: Kernel,
        (of, rule): (&Sequence, &[Argument]),
        operations: u64,
    ) -> Result<Measured, GpuError> {
        let mut arguments: Vec<Argument> = of.tensors[..3].iter().map(|place| (*place).into()).collect();
        arguments.extend_from_slice(rule);
        arguments.extend([of.heads.clone(), of.cuts.clone(), U32(of.count), of.state.into(), Address(0)]);
        arguments.extend([of.tensors[3].into(), U32(BF16)]);
        let bytes = 8 * u64::from(self.size.tokens * HEADS * CHANNELS);
        self.kernel(name, (bytes, operations), (kernel, (HEADS, CHANNELS / COLUMNS)), &arguments)
    }

    fn backward(
        &mut self,
        name: &'static str,
        kernel: Kernel,
        (of, rule, out): (&Sequence, &[Argument], &[Argument]),
        operations: u64,
    ) -> Result<Measured, GpuError> {
        let mut arguments: Vec<Argument> = of.tensors[..3].iter().map(|place| (*place).into()).collect();
        arguments.extend_from_slice(rule);
        arguments.extend([of.heads.clone(), of.cuts.clone(), U32(of.count), U64(self.size.tokens.into()), of.saved.into()]);
        arguments.extend_from_slice(out);
        // three tensors of bfloat16, one of float32, three gradients, and the states before the chunks
        let bytes = 22 * u64::from(self.size.tokens * HEADS * CHANNELS) + of.saved.bytes as u64;
        self.kernel(name, (bytes, operations), (kernel, (HEADS, CHANNELS / COLUMNS)), &arguments)
    }
}
