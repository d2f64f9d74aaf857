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

/// The same of the kernel that uses tensor cores: as in `decay.cu`.
const WIDE_CHUNK: u32 = 32;
const WIDE_COLUMNS: u32 = 64;

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
        let (cuts, count) = self.cuts(CHUNK)?;
        let of_state = u64::from(4 * HEADS * CHANNELS * CHANNELS);
        let heads: Vec<u8> = [HEADS, CHANNELS, CHANNELS, BF16].iter().flat_map(|word| word.to_le_bytes()).collect();
        let sequence = Sequence {
            tensors,
            heads: Struct(heads),
            cuts: cuts.into(),
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
            self.on_tensor_cores(&sequence, slopes)?,
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

    fn on_tensor_cores(&mut self, of: &Sequence, slopes: Place) -> Result<Measured, GpuError> {
        let (cuts, count) = self.cuts(WIDE_CHUNK)?;
        let mut arguments: Vec<Argument> = of.tensors[..3].iter().map(|place| (*place).into()).collect();
        arguments.extend([slopes.into(), of.heads.clone(), cuts.into(), U32(count), of.state.into()]);
        arguments.extend([of.tensors[3].into(), U32(BF16)]);
        let (tokens, width) = (u64::from(self.size.tokens * HEADS), u64::from(CHANNELS));
        // scores are computed anew for each tile of columns
        let scores = u64::from(CHANNELS / WIDE_COLUMNS * WIDE_CHUNK) * width;
        let operations = tokens * (scores + u64::from(WIDE_CHUNK) * width + 4 * width * width);
        let (bytes, grid) = (8 * tokens * width, (HEADS, CHANNELS / WIDE_COLUMNS));
        let name = "decay on tensor cores, forward";
        let measured = self.kernel(name, (bytes, operations), (Kernel::DecayForward128, grid), &arguments)?;
        self.stream.release(cuts);
        Ok(measured)
    }

    /// Chunks of so many tokens, and how many they are.
    fn cuts(&mut self, chunk: u32) -> Result<(Place, u32), GpuError> {
        let tokens = self.size.tokens;
        let cuts: Vec<u32> =
            (0..tokens).step_by(chunk as usize).flat_map(|start| [start, chunk.min(tokens - start), 0, 0]).collect();
        Ok((self.table(&cuts)?, cuts.len() as u32 / 4))
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
