//! Intervals of magnitudes: the one that is known to hold the threshold, and the one a scan looks at.

use super::exact::KEY_BYTES;
use super::sample::PIECE;
use crate::KernelError;

/// The largest magnitude there is: a NaN with all bits set.
const MAX: u32 = 0x7fff_ffff;

/// Values counted apart because many elements have them.
const MAX_ATOMS: usize = 8;

/// An interval, both ends included, in which the k-th largest magnitude is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) low: u32,
    pub(super) high: u32,
    /// Elements of the tensor above it.
    pub(super) above: u64,
    /// Elements of the tensor in it; at least one.
    pub(super) inside: u64,
}

impl Interval {
    pub(super) fn whole(numel: u64) -> Self {
        Self { low: 0, high: MAX, above: 0, inside: numel }
    }

    /// Whether all elements inside can be collected.
    pub(super) fn fits(&self, limit: usize) -> bool {
        self.inside <= (limit / KEY_BYTES) as u64
    }

    /// What is left of the interval after `bracket`, which lies in it, was found to have `above` elements of the tensor above
    /// it and `inside` in it.
    ///
    /// # Errors
    /// When the counts contradict those of earlier passes.
    pub(super) fn narrow(&self, bracket: &Bracket, above: u64, inside: u64, k: u64) -> Result<Self, KernelError> {
        let over = above.checked_sub(self.above);
        let under = over.and_then(|over| self.inside.checked_sub(over)?.checked_sub(inside));
        let (Some(over), Some(under)) = (over, under) else { return Err(KernelError::Changed) };
        let narrowed = if k <= above {
            Self { low: bracket.high.saturating_add(1), inside: over, ..*self }
        } else if k - above <= inside {
            Self { low: bracket.low, high: bracket.high, above, inside }
        } else {
            Self { high: bracket.low.saturating_sub(1), above: above + inside, inside: under, ..*self }
        };
        // Shrinking at every step is what ends the search, whatever the counts.
        if narrowed.low > narrowed.high || narrowed.inside == 0 { Err(KernelError::Changed) } else { Ok(narrowed) }
    }
}

/// What a scan looks at: an interval, and the few values in it so frequent that they are counted and not collected.
///
/// Task vectors of bf16 checkpoints need this: differences of bf16 numbers are small multiples of a power of two, and one of
/// these may hold a tenth of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bracket {
    pub(super) low: u32,
    pub(super) high: u32,
    /// Ascending.
    pub(super) atoms: Vec<u32>,
}

impl Bracket {
    pub(super) fn plain(low: u32, high: u32) -> Self {
        Self { low, high, atoms: Vec::new() }
    }

    /// One value, counted only.
    pub(super) fn single(value: u32) -> Self {
        Self { low: value, high: value, atoms: vec![value] }
    }
}

/// A bracket that holds the k-th largest of `numel` magnitudes with near certainty, judged from a sample in pieces of
/// [`PIECE`]; none if it would collect more than the limit.
///
/// The share of a piece above the wanted quantile varies from piece to piece more than chance alone would have it, because the
/// rows of a matrix differ. The spread of these shares gives the standard error; the bracket reaches four of it to each side.
pub(super) fn from_sample(mut keys: Vec<u32>, k: u64, numel: u64, limit: usize) -> Option<Bracket> {
    let last = keys.len().checked_sub(1)?;
    let size = keys.len() as f64;
    let share = k as f64 / numel as f64;
    // The place, from the smallest, that leaves this share of the sample above it.
    let place = |share: f64| (((1.0 - share) * size) as usize).min(last);
    let middle = *keys.clone().select_nth_unstable(place(share)).1;
    let margin = 4.0 * standard_error(&keys, middle) + 8.0 / size;

    let mut at = |share: f64| *keys.select_nth_unstable(place(share)).1;
    let low = if share + margin >= 1.0 { 0 } else { at(share + margin) };
    let high = if share - margin <= 0.0 { MAX } else { at(share - margin) };
    keys.retain(|key| (low..=high).contains(key));
    keys.sort_unstable();
    let (atoms, loose) = atoms(&keys);
    let expected = loose as f64 / size * numel as f64;
    (expected * KEY_BYTES as f64 * 1.5 < limit as f64).then_some(Bracket { low, high, atoms })
}

/// The standard error of the share of all elements above `middle`, as the pieces tell it; a tie counts one half.
fn standard_error(keys: &[u32], middle: u32) -> f64 {
    let share = |piece: &[u32]| {
        let halves: usize = piece.iter().map(|key| usize::from(*key > middle) + usize::from(*key >= middle)).sum();
        halves as f64 / 2.0 / piece.len() as f64
    };
    let shares: Vec<f64> = keys.chunks(PIECE).map(share).collect();
    let count = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / count;
    let squares = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>();
    (squares / (count - 1.0).max(1.0) / count).sqrt()
}

/// The values that make up a good share of the sorted `keys`, ascending, and how many keys are none of them.
fn atoms(keys: &[u32]) -> (Vec<u32>, usize) {
    let least = (keys.len() / 64).max(16);
    let mut runs: Vec<(usize, u32)> =
        keys.chunk_by(|a, b| a == b).filter(|run| run.len() >= least).map(|run| (run.len(), run[0])).collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    runs.truncate(MAX_ATOMS);
    let counted: usize = runs.iter().map(|run| run.0).sum();
    let mut atoms: Vec<u32> = runs.into_iter().map(|run| run.1).collect();
    atoms.sort_unstable();
    (atoms, keys.len() - counted)
}
