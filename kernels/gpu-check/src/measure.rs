//! How fast kernels are on a device, beside its own copies in the same run.
//!
//! Everything lies on the device before the clock starts. A kernel is launched again and again, and the stream waited for once; the best
//! of some rounds counts. Bytes are those that a kernel must read and write at least.

use std::time::{Duration, Instant};

use braid_gpu::{
    Accelerator,
    Argument::{self, Address, F32, Struct, U32, U64},
    GpuError, Kernel, Launch, Place, Stream,
};

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What of.
    pub name: &'static str,
    /// Time of one launch.
    pub time: Duration,
    /// Bytes that it moves at least.
    pub bytes: u64,
}

impl Measured {
    /// Bytes per second, in billions.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64() / 1e9
    }
}

/// How much is measured on.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Elements of a tensor of a merge; a multiple of 65 536.
    pub elements: u64,
    /// Tokens of attention, of 64 heads of 128 channels.
    pub tokens: u32,
    /// Launches that are waited for together, and how often that is done.
    pub launches: u32,
    /// See `launches`.
    pub rounds: u32,
}

impl Size {
    /// Too large for any cache.
    pub const LARGE: Self = Self { elements: 1 << 27, tokens: 8192, launches: 20, rounds: 5 };
    /// To see that it runs.
    pub const SMALL: Self = Self { elements: 1 << 16, tokens: 20, launches: 1, rounds: 1 };
}

const HEADS: u32 = 64;
const CHANNELS: u32 = 128;
/// bfloat16 in `element.cuh`.
const BF16: u32 = 3;

struct Bench {
    stream: Box<dyn Stream>,
    size: Size,
    blocks: u32,
}

/// Measures; the first is the copy that the others are held against.
///
/// # Errors
/// Those of the device.
pub fn measure(device: &dyn Accelerator, size: Size) -> Result<Vec<Measured>, GpuError> {
    let blocks = device.description().processors.max(1).saturating_mul(8);
    let mut bench = Bench { stream: device.stream()?, size, blocks };
    let mut all = bench.merging()?;
    all.extend(bench.attention()?);
    Ok(all)
}

impl Bench {
    fn filled(&mut self, bytes: u64) -> Result<Place, GpuError> {
        let place = self.stream.allocate(bytes as usize)?;
        // 0x3c3c is a small number in bfloat16 as well as in float32
        self.stream.fill(0x3c, place)?;
        Ok(place)
    }

    fn table(&mut self, words: &[u32]) -> Result<Place, GpuError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let place = self.stream.allocate(bytes.len())?;
        self.stream.upload(&bytes, place)?;
        Ok(place)
    }

    fn time(
        &mut self,
        name: &'static str,
        bytes: u64,
        mut once: impl FnMut(&mut dyn Stream) -> Result<(), GpuError>,
    ) -> Result<Measured, GpuError> {
        let probe = self.filled(8)?;
        let mut best = Duration::MAX;
        for _ in 0..self.size.rounds {
            self.stream.download(probe, &mut [0; 8])?;
            let start = Instant::now();
            for _ in 0..self.size.launches {
                once(&mut *self.stream)?;
            }
            self.stream.download(probe, &mut [0; 8])?;
            best = best.min(start.elapsed() / self.size.launches);
        }
        self.stream.release(probe);
        Ok(Measured { name, time: best, bytes })
    }

    fn kernel(
        &mut self,
        name: &'static str,
        bytes: u64,
        (kernel, grid): (Kernel, (u32, u32)),
        arguments: &[Argument],
    ) -> Result<Measured, GpuError> {
        self.time(name, bytes, |stream| stream.launch(&Launch { kernel, grid, block: 256, arguments }))
    }

    fn merging(&mut self) -> Result<Vec<Measured>, GpuError> {
        let (length, over) = (self.size.elements, (self.blocks, 1));
        let bytes = 2 * length;
        let tensors: Vec<Place> = (0..4).map(|_| self.filled(bytes)).collect::<Result<_, _>>()?;
        let (out, bad) = (self.filled(bytes)?, self.filled(8)?);
        let mut all = vec![self.time("copy inside the device", 2 * bytes, |stream| stream.copy(tensors[0], out))?];
        let halves = |place: Place| [place.address as u32, (place.address >> 32) as u32];
        let words = |place: Place, more: &[u32]| halves(place).into_iter().chain(more.iter().copied()).collect::<Vec<u32>>();

        let terms: Vec<u32> = tensors[1..].iter().flat_map(|place| words(*place, &[BF16, 0.3f32.to_bits()])).collect();
        let terms = self.table(&terms)?;
        let arguments = [terms.into(), U32(3), F32(1.0), out.into(), U32(BF16), U64(length), bad.into()];
        all.push(self.kernel("linear of 3", 4 * bytes, (Kernel::Linear, over), &arguments)?);

        // of `Term`: bits, first, kind, rule, border, key, scale, weight
        let term = |place: &Place, rule: u32| {
            words(*place, &[0, 0, 0, 0, BF16, rule, 1 << 31, 7, 9, 1f32.to_bits(), 0.5f32.to_bits(), 0])
        };
        let combine: Vec<u8> = [1u32, 1, 1f32.to_bits(), 1.5f32.to_bits()].iter().flat_map(|word| word.to_le_bytes()).collect();
        for (name, rule) in [("task vectors of 3, signs elected", 0), ("the same, a random half of each", 2)] {
            let terms: Vec<u32> = tensors[1..].iter().flat_map(|place| term(place, rule)).collect();
            let terms = self.table(&terms)?;
            let arguments = [
                tensors[0].into(),
                U32(BF16),
                terms.into(),
                U32(3),
                Struct(combine.clone()),
                out.into(),
                U32(BF16),
                U64(length),
                bad.into(),
            ];
            all.push(self.kernel(name, 5 * bytes, (Kernel::TaskVectors, over), &arguments)?);
        }

        let granules = u32::try_from(length.div_ceil(1 << 16)).unwrap_or(u32::MAX);
        let inputs: Vec<u32> = tensors[..2].iter().flat_map(|place| words(*place, &[BF16, 0])).collect();
        let (inputs, sums) = (self.table(&inputs)?, self.filled(u64::from(granules) * 24)?);
        let arguments = [Address(0), U32(0), inputs.into(), U32(2), U64(length), sums.into()];
        all.push(self.kernel("inner products of 2", 2 * bytes, (Kernel::Gram, (granules, 1)), &arguments)?);

        // of `Bracket`: one that holds nothing, and no values apart
        let bracket = [[0x7f7f_0000u32, 0x7f7f_ffff].as_slice(), &[u32::MAX; 8]].concat();
        let bracket: Vec<u8> = bracket.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (counts, loose) = (self.table(&[0; 22])?, self.filled(4 * length)?);
        let both = [tensors[0].into(), U32(BF16), tensors[1].into(), U32(BF16), U64(length)];
        let arguments = [&both[..], &[Struct(bracket), counts.into(), loose.into()]].concat();
        all.push(self.kernel("scan for a threshold", 2 * bytes, (Kernel::Scan, over), &arguments)?);
        self.stream.release(loose);
        tensors.into_iter().chain([out, bad]).for_each(|place| self.stream.release(place));
        Ok(all)
    }

    /// Forward, with constant decay: one sequence, 64 heads of 128.
    fn attention(&mut self) -> Result<Vec<Measured>, GpuError> {
        let elements = u64::from(self.size.tokens * HEADS * CHANNELS);
        let tensors: Vec<Place> = (0..4).map(|_| self.filled(2 * elements)).collect::<Result<_, _>>()?;
        let slopes = self.table(&[0.1f32.to_bits(); HEADS as usize])?;
        let cuts: Vec<u32> =
            (0..self.size.tokens).step_by(16).flat_map(|start| [start, 16.min(self.size.tokens - start), 0, 0]).collect();
        let (count, cuts) = (cuts.len() as u32 / 4, self.table(&cuts)?);
        let state = self.filled(u64::from(4 * HEADS * CHANNELS * CHANNELS))?;
        let heads: Vec<u8> = [HEADS, CHANNELS, CHANNELS, BF16].iter().flat_map(|word| word.to_le_bytes()).collect();
        let arguments = [
            tensors[0].into(),
            tensors[1].into(),
            tensors[2].into(),
            Address(0),
            slopes.into(),
            Struct(heads),
            cuts.into(),
            U32(count),
            state.into(),
            Address(0),
            tensors[3].into(),
            U32(BF16),
        ];
        let grid = (HEADS, CHANNELS / 16);
        Ok(vec![self.kernel("attention with decay, forward", 8 * elements, (Kernel::GatedForward, grid), &arguments)?])
    }
}
