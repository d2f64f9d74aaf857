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
mod exact;
mod histogram;
mod pass;
mod sample;
mod scan;

pub use pass::{Part, Pass, measure_together};
pub use sample::Pieces;

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
    k: u64,
    limit: usize,
    /// Where the threshold is known to be.
    interval: Interval,
    state: State,
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
    /// Magnitudes above a threshold, and some that equal it.
    Above {
        /// The magnitude of the k-th largest element; see [`crate::magnitude`].
        threshold: u32,
        /// For each tile of the last pass, how many of its elements equal to the threshold stay.
        ties: Vec<u64>,
    },
}

impl Trim {
    /// The rule for one tile, by its place among the tiles of the last pass. A tile that was not there keeps no ties.
    pub fn keep(&self, tile: usize) -> Keep {
        match self {
            Self::All => Keep::All,
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
        let state = if k >= numel {
            State::Done(Trim::All)
        } else if numel <= SMALL && interval.fits(limit) {
            State::Running(Pass::scan(Scanning::new(Bracket::plain(interval.low, interval.high), limit)))
        } else {
            State::Running(Pass::sample(Sample::new(numel, limit)))
        };
        // With k = 0 nothing would be the threshold; one element is the least that trimming keeps.
        Self { numel, k: k.max(1), limit, interval, state }
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
            Work::Scan(scanning) => self.after_scan(scanning.bracket(), &scanning.collect(parts, self.numel)?)?,
            Work::Histogram(histogram) => {
                let interval = histogram.collect(parts, self.numel)?.narrow(&self.interval, self.k)?;
                (interval, State::Running(self.pass_over(&interval)))
            }
        };
        Ok(())
    }

    fn after_sample(&self, keys: Vec<u32>) -> Pass {
        match bracket::from_sample(keys, self.k, self.numel, self.limit) {
            Some(bracket) => Pass::scan(Scanning::new(bracket, self.limit)),
            None => Pass::histogram(Histogram::over(&self.interval)),
        }
    }

    fn after_scan(&self, bracket: &Bracket, scans: &[Scan]) -> Result<(Interval, State), KernelError> {
        let above = scans.iter().map(|scan| scan.above).sum();
        let inside = scans.iter().map(|scan| scan.inside).sum();
        let interval = self.interval.narrow(bracket, above, inside, self.k)?;
        let hit = interval.above == above && interval.inside == inside;
        let state = if hit && scans.iter().all(|scan| scan.complete) {
            State::Done(exact::threshold(bracket, scans, self.k - above)?)
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
