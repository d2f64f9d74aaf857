//! Kernels of merges, on tensors of bfloat16 too large for any cache, and the copy that they are held against.

use braid_gpu::{
    Argument::{Address, F32, Struct, U32, U64},
    GpuError, Kernel, Place,
};

use super::{BF16, Bench, Measured};

impl Bench {
    /// The copy first.
    pub(super) fn merging(&mut self) -> Result<(Measured, Vec<Measured>), GpuError> {
        let (length, over) = (self.size.elements, (self.blocks, 1));
        let bytes = 2 * length;
        let tensors: Vec<Place> = (0..4).map(|_| self.filled(bytes)).collect::<Result<_, _>>()?;
        let (out, bad) = (self.filled(bytes)?, self.filled(8)?);
        let copy = self.time("copy inside the device", (2 * bytes, 0), |stream| stream.copy(tensors[0], out))?;
        let mut all = Vec::new();
        let halves = |place: Place| [place.address as u32, (place.address >> 32) as u32];
        let words = |place: Place, more: &[u32]| halves(place).into_iter().chain(more.iter().copied()).collect::<Vec<u32>>();

        let terms: Vec<u32> = tensors[1..].iter().flat_map(|place| words(*place, &[BF16, 0.3f32.to_bits()])).collect();
        let terms = self.table(&terms)?;
        let arguments = [terms.into(), U32(3), F32(1.0), out.into(), U32(BF16), U64(length), bad.into()];
        all.push(self.kernel("linear of 3", (4 * bytes, 0), (Kernel::Linear, over), &arguments)?);

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
            all.push(self.kernel(name, (5 * bytes, 0), (Kernel::TaskVectors, over), &arguments)?);
        }

        let granules = u32::try_from(length.div_ceil(1 << 16)).unwrap_or(u32::MAX);
        let inputs: Vec<u32> = tensors[..2].iter().flat_map(|place| words(*place, &[BF16, 0])).collect();
        let (inputs, sums) = (self.table(&inputs)?, self.filled(u64::from(granules) * 24)?);
        let arguments = [Address(0), U32(0), inputs.into(), U32(2), U64(length), sums.into()];
        all.push(self.kernel("inner products of 2", (2 * bytes, 0), (Kernel::Gram, (granules, 1)), &arguments)?);

        // of `Bracket`: one that holds nothing, and no values apart
        let bracket = [[0x7f7f_0000u32, 0x7f7f_ffff].as_slice(), &[u32::MAX; 8]].concat();
        let bracket: Vec<u8> = bracket.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (counts, loose) = (self.table(&[0; 22])?, self.filled(4 * length)?);
        let both = [tensors[0].into(), U32(BF16), tensors[1].into(), U32(BF16), U64(length)];
        let arguments = [&both[..], &[Struct(bracket), counts.into(), loose.into()]].concat();
        all.push(self.kernel("scan for a threshold", (2 * bytes, 0), (Kernel::Scan, over), &arguments)?);
        self.stream.release(loose);
        tensors.into_iter().chain([out, bad]).for_each(|place| self.stream.release(place));
        Ok((copy, all))
    }
}
