//! Which elements of a task vector stay when the chance of each grows with the rank of its magnitude in its row: della's pruning.
//!
//! An element of a row of n whose magnitude has rank r (0 for the smallest) stays with the probability low + (high −
//! low) · r/(n − 1). Ranks are counted and not sorted for: magnitudes are told apart by their exponent and six bits of what
//! follows it (steps of at most 1.6 %), and those of one step share the middle of their ranks. So the mean of all chances is
//! exact, and equal magnitudes have equal chances wherever they are. Magnitudes below 2⁻¹⁶ of the row's largest are one step.

use crate::block::{BLOCK, Block, blocks, dispatched};
use crate::keep::magnitude;
use crate::mask::{MaskKey, MaskWords};
use crate::merge::difference;
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

const NAME: &str = "ranks";
/// The bits of a magnitude that are not looked at.
const IGNORED: u32 = 17;
/// The first step of what is infinite or no number.
const INFINITE: usize = (f32::INFINITY.to_bits() >> IGNORED) as usize;
/// Steps told apart in a row: 16 powers of two of 64 steps.
const SPAN: usize = 1024;

/// The chances that the smallest and the largest element of a row have to stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chances {
    /// That of the smallest.
    pub low: f64,
    /// That of the largest; below 1.
    pub high: f64,
}

/// How many elements of a row are of each step: for rows that are seen in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankCounts(Vec<u64>);

/// The chance of each step of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankTable {
    /// The step of the first chance, which is for all below it too; the last is for all above.
    floor: u32,
    /// In units of 2⁻³²: an element stays if its random word is below.
    chances: Vec<u32>,
}

/// What a piece of a tensor is of it: the key of its mask, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskedPiece {
    /// The key of the tensor's mask.
    pub key: MaskKey,
    /// The first element of the piece, counted in the tensor.
    pub first: u64,
}

impl Default for RankCounts {
    fn default() -> Self {
        Self(vec![0; INFINITE + 1])
    }
}

impl RankCounts {
    /// Counts the elements of a piece of the task vector `theta - base`.
    pub fn add(&mut self, base: &Slice<'_>, theta: &Slice<'_>) -> Result<(), KernelError> {
        same_length(NAME, base.len(), theta.len())?;
        let mut steps = vec![0; base.len()];
        dispatch_steps(base.floats(NAME)?, theta.floats(NAME)?, &mut steps);
        for step in steps {
            self.0[usize::from(step)] += 1;
        }
        Ok(())
    }

    /// The chances of the row that was counted.
    pub fn table(&self, chances: &Chances) -> RankTable {
        let top = self.0[..INFINITE].iter().rposition(|count| *count > 0).unwrap_or_default();
        let floor = (top + 1).saturating_sub(SPAN);
        let mut counts = self.0[floor..=top].to_vec();
        counts[0] += self.0[..floor].iter().sum::<u64>();
        counts[top - floor] += self.0[INFINITE];
        RankTable::of(chances, floor, &counts)
    }
}

impl RankTable {
    /// That of a whole row of the task vector `theta - base`.
    pub fn of_row(base: &Slice<'_>, theta: &Slice<'_>, chances: &Chances) -> Result<Self, KernelError> {
        same_length(NAME, base.len(), theta.len())?;
        let mut steps = vec![0; base.len()];
        let top = usize::from(dispatch_steps(base.floats(NAME)?, theta.floats(NAME)?, &mut steps));
        let floor = (top + 1).saturating_sub(SPAN);
        let mut counts = [0u64; SPAN];
        for step in steps {
            counts[usize::from(step).clamp(floor, top) - floor] += 1;
        }
        Ok(Self::of(chances, floor, &counts[..=top - floor]))
    }

    /// From the counts of the steps from `floor` on.
    fn of(chances: &Chances, floor: usize, counts: &[u64]) -> Self {
        const ALL: f64 = 4_294_967_296.0;
        let last = counts.iter().sum::<u64>().saturating_sub(1);
        // one element alone has the middle of the chances
        let (low, scale) = match last {
            0 => ((chances.low + chances.high) / 2.0, 0.0),
            last => (chances.low, (chances.high - chances.low) / last as f64),
        };
        let mut below = 0;
        let one = |count: &u64| {
            let middle = (2 * below + count.saturating_sub(1)) as f64 / 2.0;
            below += count;
            ((low + scale * middle) * ALL) as u32
        };
        Self { floor: floor as u32, chances: counts.iter().map(one).collect() }
    }

    /// Sets those bits, from `bit` on, whose elements stay, of a piece of the row; they must be zero before. NaN stays always, so
    /// that it is noticed.
    pub fn choose(
        &self,
        base: &Slice<'_>,
        theta: &Slice<'_>,
        piece: MaskedPiece,
        bits: &mut [u64],
        bit: usize,
    ) -> Result<(), KernelError> {
        same_length(NAME, base.len(), theta.len())?;
        let end = bit.saturating_add(base.len());
        if bits.len() * 64 < end {
            return Err(KernelError::OutOfRange { first: bit, end, length: bits.len() * 64 });
        }
        dispatch_choose(base.floats(NAME)?, theta.floats(NAME)?, self, piece, bits, bit);
        Ok(())
    }
}

dispatched! {
    fn dispatch_steps / steps_avx2(base: Floats<'_>, theta: Floats<'_>, steps: &mut [u16]) -> u16 = steps_body;
}
dispatched! {
    fn dispatch_choose / choose_avx2(
        base: Floats<'_>, theta: Floats<'_>, table: &RankTable, piece: MaskedPiece, bits: &mut [u64], bit: usize
    ) = choose_body;
}

/// The steps of all elements, and the largest finite one.
#[inline(always)]
fn steps_body(base: Floats<'_>, theta: Floats<'_>, steps: &mut [u16]) -> u16 {
    let (mut theta0, mut delta): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut top = 0;
    for range in blocks(base.len()) {
        let n = range.len();
        let (theta0, delta) = (&mut theta0[..n], &mut delta[..n]);
        base.decode(&range, theta0);
        theta.decode(&range, delta);
        difference(delta, theta0);
        for (step, delta) in steps[range].iter_mut().zip(&*delta) {
            let own = (magnitude(*delta) >> IGNORED).min(INFINITE as u32) as u16;
            *step = own;
            let finite = if usize::from(own) < INFINITE { own } else { 0 };
            top = if finite > top { finite } else { top };
        }
    }
    top
}

#[inline(always)]
fn choose_body(base: Floats<'_>, theta: Floats<'_>, table: &RankTable, piece: MaskedPiece, bits: &mut [u64], mut bit: usize) {
    let (mut theta0, mut delta): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut words = MaskWords::new();
    let mut stay = [0u8; BLOCK];
    let last = table.chances.len().saturating_sub(1) as u32;
    for range in blocks(base.len()) {
        let n = range.len();
        let (theta0, delta, stay) = (&mut theta0[..n], &mut delta[..n], &mut stay[..n]);
        base.decode(&range, theta0);
        theta.decode(&range, delta);
        difference(delta, theta0);
        let words = piece.key.draw(piece.first.wrapping_add(range.start as u64), n, &mut words);
        for ((stay, delta), word) in stay.iter_mut().zip(&*delta).zip(words) {
            let step = (magnitude(*delta) >> IGNORED).saturating_sub(table.floor).min(last);
            let chance = table.chances.get(step as usize).copied().unwrap_or_default();
            *stay = u8::from(*word < chance || delta.is_nan());
        }
        for stay in &*stay {
            bits[bit / 64] |= u64::from(*stay) << (bit % 64);
            bit += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};
    use crate::{Dtype, Mask};

    const CHANCES: Chances = Chances { low: 0.35, high: 0.65 };

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The table of a row of these differences, made in both ways.
    fn table(values: &[f32]) -> RankTable {
        let (zeros, values) = (vec![0; values.len() * 4], bytes(values));
        let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
        let table = RankTable::of_row(&slice(&zeros), &slice(&values), &CHANCES).unwrap();
        let mut counts = RankCounts::default();
        for cut in [0..values.len() / 8 * 4, values.len() / 8 * 4..values.len()] {
            counts.add(&slice(&zeros[cut.clone()]), &slice(&values[cut])).unwrap();
        }
        assert_eq!(counts.table(&CHANCES), table, "whole and in pieces");
        table
    }

    /// The chance of a value.
    fn chance(table: &RankTable, value: f32) -> f64 {
        let step = (magnitude(value) >> IGNORED).saturating_sub(table.floor) as usize;
        f64::from(table.chances[step.min(table.chances.len() - 1)]) / 4_294_967_296.0
    }

    #[test]
    fn chances_grow_with_the_rank() {
        let values = [4.0, -1.0, 2.0, 0.0, -8.0f32];
        let table = table(&values);
        for (value, rank) in [(0.0, 0.0), (-1.0, 1.0), (2.0, 2.0), (4.0, 3.0), (-8.0, 4.0)] {
            assert!((chance(&table, value) - (0.35 + 0.3 * rank / 4.0)).abs() < 1e-8, "{value}");
        }
    }

    #[test]
    fn equals_share_the_middle_and_single_elements_have_the_density() {
        let values = [1.0, -1.0, 1.0, 5.0f32];
        let table_of_four = table(&values);
        assert!((chance(&table_of_four, 1.0) - (0.35 + 0.3 / 3.0)).abs() < 1e-8, "the middle of ranks 0, 1 and 2");
        assert!((chance(&table_of_four, 5.0) - 0.65).abs() < 1e-8);
        assert!((chance(&table(&[7.0]), 7.0) - 0.5).abs() < 1e-8);
        assert!((chance(&table(&[0.0; 9]), 0.0) - 0.5).abs() < 1e-8);
    }

    #[test]
    fn the_mean_of_all_chances_is_the_density() {
        for values in [
            (1..=5000).map(|n| (n as f32).sqrt()).collect::<Vec<_>>(),
            (0..3000).map(|n| if n % 3 == 0 { 0.0 } else { (n % 7) as f32 }).collect(),
            vec![f32::INFINITY, 1.0, 2.0, 1e-30, -1e-38, 0.0],
            vec![f32::INFINITY, f32::NEG_INFINITY],
        ] {
            let table = table(&values);
            let mean = values.iter().map(|value| chance(&table, *value)).sum::<f64>() / values.len() as f64;
            assert!((mean - 0.5).abs() < 1e-6, "{mean}");
        }
    }

    #[test]
    fn what_stays_is_drawn_with_the_chance_of_its_element() {
        const N: usize = 1 << 18;
        let values: Vec<f32> = (0..N).map(|n| ((n * 7919) % N) as f32 + 1.0).collect();
        let table = table(&values);
        let (zeros, bytes) = (vec![0; N * 4], bytes(&values));
        let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
        let key = MaskKey::new(3, 1, "w");
        let mut bits = vec![0; N.div_ceil(64) + 1];
        table.choose(&slice(&zeros), &slice(&bytes), MaskedPiece { key, first: 640 }, &mut bits, 5).unwrap();
        let stays = |n: usize| bits[(n + 5) / 64] >> ((n + 5) % 64) & 1 == 1;
        for (part, expected) in [(0.0..0.1, 0.365), (0.45..0.55, 0.5), (0.9..1.0, 0.635)] {
            let of_part: Vec<usize> = (0..N).filter(|n| part.contains(&(f64::from(values[*n]) / N as f64))).collect();
            let share = of_part.iter().filter(|n| stays(**n)).count() as f64 / of_part.len() as f64;
            assert!((share - expected).abs() < 5.0 * (0.25 / of_part.len() as f64).sqrt() + 0.002, "{part:?}: {share}");
        }
        for n in [0, 1, 77, N - 1] {
            let mask = Mask::new(key, chance(&table, values[n]));
            assert_eq!(stays(n), mask.keeps(640 + n as u64), "the word of its element");
        }
        let short = table.choose(&slice(&zeros), &slice(&bytes), MaskedPiece { key, first: 0 }, &mut bits[..9], 0);
        assert!(matches!(short, Err(KernelError::OutOfRange { .. })));
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
            let (a, b) = (floats(kind, &a), floats(kind, &b));
            type Steps = fn(Floats<'_>, Floats<'_>, &mut [u16]) -> u16;
            let steps: [Steps; 3] = [steps_body, steps_avx2, dispatch_steps];
            assert_same(
                steps.map(|version| {
                    let mut steps = vec![0; numel];
                    (version(a, b, &mut steps), steps)
                }),
                (kind, numel),
            );
            let table = RankTable { floor: 8000, chances: (0..SPAN as u32).map(|n| n << 22).collect() };
            type Version = fn(Floats<'_>, Floats<'_>, &RankTable, MaskedPiece, &mut [u64], usize);
            let versions: [Version; 3] = [choose_body, choose_avx2, dispatch_choose];
            assert_same(
                versions.map(|version| {
                    let mut bits = vec![0; numel.div_ceil(64) + 1];
                    version(a, b, &table, MaskedPiece { key: MaskKey::new(1, 2, "w"), first: 17 }, &mut bits, 3);
                    bits
                }),
                (kind, numel),
            );
        }
    }
}
