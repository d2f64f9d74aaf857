//! The magnitude that separates the k largest elements of a task vector from the rest, exactly, by selection and not by a sort.
//!
//! Ties are broken by place: what is above the threshold stays, then the elements equal to it in the order of their flat index
//! until k are kept. The answer is unique, so it depends neither on tiles, nor on threads, nor on which passes were needed.
//!
//! The tensor is only ever seen through passes over its tiles, which a driver runs in any order and on any threads:
//!
//! ```text
//!               small tensor                                    the bracket held the threshold
//!   new ───┬──────────────────────────▶ Scan(everything) ──────────────────┬──────────▶ done: Trim
//!          │                                                                │
//!          └─▶ Sample ──▶ bracket ─────▶ Scan(bracket) ─────────────────────┤
//!                  │                        │ missed, or held too many      │
//!                  │ bracket too wide       ▼                               │
//!                  └──────────────────▶ Histogram ──▶ one bucket ──▶ Scan(bucket)
//!                                         ▲   │ bucket too full
//!                                         └───┘
//! ```
//!
//! Usually that is a sample of a few thousand elements and one scan. Each histogram divides the interval by 65,536, so that at
//! most two are ever needed. What is collected stays below a limit in bytes, beside one histogram.
//!
//! ```text
//! while let Some(pass) = selection.pass() {
//!     let parts = /* for each tile, in order: */ pass.measure(&base, &theta, first_element)?;
//!     selection.absorb(parts)?;
//! }
//! ```

mod bracket;
mod buckets;
mod chosen;
mod device;
mod exact;
mod histogram;
mod pass;
mod sample;
mod scan;
mod source;

pub use buckets::{Buckets, count_in_buckets};
pub use chosen::chosen;
pub use device::{Found, Loose, Wanted};
pub use pass::{Part, Pass, measure_sources, measure_together};
pub use sample::{Pieces, sampled};
pub use source::{RowFactors, Source, of_ordered, ordered};

use bracket::{Bracket, Interval};
use histogram::Histogram;
use pass::Work;
use sample::Sample;
use scan::{Scan, Scanning};

use crate::KernelError;
use crate::keep::{Keep, TileTrim};

/// Tensors up to this many elements are collected whole, if the limit allows.
const SMALL: u64 = 1 << 16;

/// How many of `numel` elements a density keeps: the integer part of the product, but at least one.
pub fn kept(density: f64, numel: u64) -> u64 {
    if density >= 1.0 { numel } else { ((density * numel as f64) as u64).clamp(1.min(numel), numel) }
}

/// The search for the threshold of one task vector. See the module for its states.
#[derive(Debug)]
pub struct Selection {
    numel: u64,
    rank: Rank,
    limit: usize,
    /// Where the threshold is known to be.
    interval: Interval,
    state: State,
}

/// How many of the largest are asked for.
#[derive(Debug, Clone, Copy)]
enum Rank {
    /// So many; at least one.
    Known(u64),
    /// This share of the elements that are not zero. The first pass over all of them counts these.
    OfNonzero(f64),
}

#[derive(Debug)]
enum State {
    Running(Pass),
    Done(Trim),
}

/// What trimming keeps of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trim {
    /// Every element.
    All,
    /// No element.
    Nothing,
    /// Magnitudes above a threshold, and some that equal it.
    Above {
        /// The magnitude of the k-th largest element; see [`crate::magnitude`].
        threshold: u32,
        /// For each tile of the last pass, how many of its elements equal to the threshold stay.
        ties: Vec<u64>,
    },
}

impl Trim {
    /// The smallest magnitude that is kept, where not all or none are.
    pub fn threshold(&self) -> Option<u32> {
        match self {
            Self::Above { threshold, .. } => Some(*threshold),
            Self::All | Self::Nothing => None,
        }
    }

    /// The rule for one tile, by its place among the tiles of the last pass. A tile that was not there keeps no ties.
    pub fn keep(&self, tile: usize) -> Keep<'static> {
        match self {
            Self::All => Keep::All,
            Self::Nothing => Keep::Trim(TileTrim::NOTHING),
            Self::Above { threshold, ties } => {
                Keep::Trim(TileTrim { threshold: *threshold, ties: ties.get(tile).copied().unwrap_or_default() })
            }
        }
    }
}

impl Selection {
    /// A search for the `k` largest of `numel` elements that collects at most `limit` bytes at a time.
    pub fn new(numel: u64, k: u64, limit: usize) -> Self {
        let interval = Interval::whole(numel);
        let state = if k >= numel { State::Done(Trim::All) } else { Self::first(numel, limit) };
        // With k = 0 nothing would be the threshold; one element is the least that trimming keeps.
        Self { numel, rank: Rank::Known(k.max(1)), limit, interval, state }
    }

    /// A search for the magnitude of rank `k` (the largest has 1) of `numel` elements. Other than [`Selection::new`] it looks for
    /// that of the smallest too; see [`Trim::threshold`].
    pub fn order_statistic(numel: u64, k: u64, limit: usize) -> Self {
        let state = if numel == 0 { State::Done(Trim::All) } else { Self::first(numel, limit) };
        Self { numel, rank: Rank::Known(k.clamp(1, numel.max(1))), limit, interval: Interval::whole(numel), state }
    }

    /// A search for the largest of `numel` elements, as many as `share` (in 0 ..= 1) of those that are not zero, rounded down.
    pub fn of_nonzero(numel: u64, share: f64, limit: usize) -> Self {
        let state = if numel == 0 { State::Done(Trim::Nothing) } else { Self::first(numel, limit) };
        Self { numel, rank: Rank::OfNonzero(share), limit, interval: Interval::whole(numel), state }
    }

    fn first(numel: u64, limit: usize) -> State {
        let interval = Interval::whole(numel);
        State::Running(if numel <= SMALL && interval.fits(limit) {
            Pass::scan(Scanning::new(Bracket::plain(interval.low, interval.high), limit))
        } else {
            Pass::sample(Sample::new(numel, limit))
        })
    }

    /// The pass to run next; none once the threshold is known.
    pub fn pass(&self) -> Option<&Pass> {
        match &self.state {
            State::Running(pass) => Some(pass),
            State::Done(_) => None,
        }
    }

    /// The answer, once there is no further pass.
    pub fn trim(&self) -> Option<&Trim> {
        match &self.state {
            State::Running(_) => None,
            State::Done(trim) => Some(trim),
        }
    }

    /// Takes the parts of the present pass, in the order of the tiles, and decides what comes next.
    ///
    /// # Errors
    /// When the parts are of another pass, or their tiles do not add up to the tensor. The pass then stands as it was.
    pub fn absorb(&mut self, parts: Vec<Part>) -> Result<(), KernelError> {
        let State::Running(pass) = &self.state else {
            return if parts.is_empty() { Ok(()) } else { Err(KernelError::ForeignPart) };
        };
        (self.interval, self.state) = match pass.work() {
            Work::Sample(sample) => (self.interval, State::Running(self.after_sample(sample.collect(parts)?))),
            Work::Scan(scanning) => {
                let scans = scanning.collect(parts, self.numel)?;
                let k = self.k(scans.iter().map(|scan| scan.zeros).sum());
                let after = self.after_scan(scanning.bracket(), &scans, k)?;
                self.rank = Rank::Known(k);
                after
            }
            Work::Histogram(histogram) => {
                let finished = histogram.collect(parts, self.numel)?;
                let k = self.k(finished.zeros);
                let after = if k == 0 {
                    (self.interval, State::Done(Trim::Nothing))
                } else {
                    let interval = finished.narrow(&self.interval, k)?;
                    (interval, State::Running(self.pass_over(&interval)))
                };
                self.rank = Rank::Known(k);
                after
            }
        };
        Ok(())
    }

    /// How many are asked for, now that the zeros are counted.
    fn k(&self, zeros: u64) -> u64 {
        match self.rank {
            Rank::Known(k) => k,
            Rank::OfNonzero(share) => {
                let nonzero = self.numel.saturating_sub(zeros);
                ((share * nonzero as f64) as u64).min(nonzero)
            }
        }
    }

    fn after_sample(&self, keys: Vec<u32>) -> Pass {
        // as many zeros among all as among the sample, as far as can be known yet
        let zeros = keys.iter().filter(|key| **key == 0).count() as f64 / keys.len().max(1) as f64;
        let k = self.k((zeros * self.numel as f64) as u64).max(1);
        match bracket::from_sample(keys, k, self.numel, self.limit) {
            Some(bracket) => Pass::scan(Scanning::new(bracket, self.limit)),
            None => Pass::histogram(Histogram::over(&self.interval)),
        }
    }

    fn after_scan(&self, bracket: &Bracket, scans: &[Scan], k: u64) -> Result<(Interval, State), KernelError> {
        if k == 0 {
            return Ok((self.interval, State::Done(Trim::Nothing)));
        }
        let above = scans.iter().map(|scan| scan.above).sum();
        let inside = scans.iter().map(|scan| scan.inside).sum();
        let interval = self.interval.narrow(bracket, above, inside, k)?;
        let hit = interval.above == above && interval.inside == inside;
        let state = if hit && scans.iter().all(|scan| scan.complete) {
            State::Done(exact::threshold(bracket, scans, k - above)?)
        } else {
            State::Running(self.pass_over(&interval))
        };
        Ok((interval, state))
    }

    /// What to do with an interval that is known to hold the threshold.
    fn pass_over(&self, interval: &Interval) -> Pass {
        if interval.low == interval.high {
            Pass::scan(Scanning::new(Bracket::single(interval.low), self.limit))
        } else if interval.fits(self.limit) {
            Pass::scan(Scanning::new(Bracket::plain(interval.low, interval.high), self.limit))
        } else {
            Pass::histogram(Histogram::over(interval))
        }
    }
}

#[cfg(test)]
mod tests;
