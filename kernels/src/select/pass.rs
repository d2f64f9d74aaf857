//! A pass over the tiles of a tensor, as its driver sees it: something to measure each tile with, and an opaque part that comes
//! of it.

use super::histogram::{Counts, Histogram};
use super::sample::{Pieces, Sample};
use super::scan::{Scan, Scanning};
use crate::block::{BLOCK, blocks};
use crate::keep::magnitude;
use crate::slice::{Floats, same_length};
use crate::statistics::GRANULE;
use crate::{KernelError, Slice};

const NAME: &str = "selection";

/// A pass over all tiles. It is shared by the threads that measure them.
#[derive(Debug)]
pub struct Pass(Work);

#[derive(Debug)]
pub(super) enum Work {
    Sample(Sample),
    Scan(Scanning),
    Histogram(Histogram),
}

/// What a pass found in one tile. Handed back to the selection that the pass came from.
#[derive(Debug)]
pub struct Part(pub(super) PartKind);

#[derive(Debug)]
pub(super) enum PartKind {
    Sample(Vec<u32>),
    Scan(Scan),
    Histogram { elements: u64 },
}

impl Pass {
    pub(super) fn sample(sample: Sample) -> Self {
        Self(Work::Sample(sample))
    }

    pub(super) fn scan(scanning: Scanning) -> Self {
        Self(Work::Scan(scanning))
    }

    pub(super) fn histogram(histogram: Histogram) -> Self {
        Self(Work::Histogram(histogram))
    }

    pub(super) fn work(&self) -> &Work {
        &self.0
    }

    /// The elements this pass needs, if these are few: a driver may then hand in just these, each range as a tile of its own,
    /// in order. Handing in whole tiles gives the same result.
    pub fn pieces(&self) -> Option<Pieces> {
        match &self.0 {
            Work::Sample(sample) => Some(sample.pieces),
            Work::Scan(_) | Work::Histogram(_) => None,
        }
    }

    /// Measures the tile of the task vector `theta - base` that starts at element `first` of the tensor.
    pub fn measure(&self, base: &Slice<'_>, theta: &Slice<'_>, first: u64) -> Result<Part, KernelError> {
        let mut parts = measure_together(&[self], base, &[*theta], first)?;
        // One pass in, one part out.
        parts.pop().ok_or(KernelError::ForeignPart)
    }

    fn start(&self) -> Measuring<'_> {
        match &self.0 {
            Work::Sample(sample) => Measuring::Sample(sample.pieces, Vec::new()),
            Work::Scan(scanning) => Measuring::Scan(scanning, scanning.start()),
            Work::Histogram(histogram) => Measuring::Histogram(histogram, histogram.start()),
        }
    }
}

/// Measures one tile for several experts, which share its base: the part of `thetas[i]` under `passes[i]` is the i-th. Faster
/// than one [`Pass::measure`] after the other, since the base is fetched from memory once.
pub fn measure_together(passes: &[&Pass], base: &Slice<'_>, thetas: &[Slice<'_>], first: u64) -> Result<Vec<Part>, KernelError> {
    if passes.len() != thetas.len() {
        let (expected, found) = (passes.len(), thetas.len());
        return Err(KernelError::CountMismatch { operation: NAME, what: "experts", expected, found });
    }
    let base = base.floats(NAME)?;
    let mut measurings = Vec::with_capacity(passes.len());
    for (pass, theta) in passes.iter().zip(thetas) {
        same_length(NAME, base.len(), theta.len())?;
        measurings.push((pass.start(), theta.floats(NAME)?));
    }
    let mut start = 0;
    while start < base.len() {
        let range = start..base.len().min(start + GRANULE);
        for (measuring, theta) in &mut measurings {
            measuring.feed(base.part(&range), theta.part(&range), first.saturating_add(start as u64));
        }
        start = range.end;
    }
    Ok(measurings.into_iter().map(|(measuring, _)| measuring.finish()).collect())
}

/// A tile half measured.
enum Measuring<'a> {
    Sample(Pieces, Vec<u32>),
    Scan(&'a Scanning, Scan),
    Histogram(&'a Histogram, Counts),
}

impl Measuring<'_> {
    fn feed(&mut self, base: Floats<'_>, theta: Floats<'_>, first: u64) {
        match self {
            Self::Sample(pieces, keys) => draw(pieces, base, theta, first, keys),
            Self::Scan(scanning, scan) => scanning.feed(scan, base, theta),
            Self::Histogram(histogram, counts) => histogram.feed(counts, base, theta),
        }
    }

    fn finish(self) -> Part {
        Part(match self {
            Self::Sample(_, keys) => PartKind::Sample(keys),
            Self::Scan(_, mut scan) => {
                scan.loose.shrink_to_fit();
                PartKind::Scan(scan)
            }
            Self::Histogram(histogram, mut counts) => {
                histogram.hand_in(&mut counts);
                PartKind::Histogram { elements: counts.elements }
            }
        })
    }
}

/// Appends the magnitudes of those elements of a tile that are in the sample. Too few to be worth more than plain code.
fn draw(pieces: &Pieces, base: Floats<'_>, theta: Floats<'_>, first: u64, keys: &mut Vec<u32>) {
    let (mut theta0, mut delta) = ([0.0; BLOCK], [0.0; BLOCK]);
    for piece in pieces.within(first..first.saturating_add(base.len() as u64)) {
        let start = (piece.start - first) as usize;
        for range in blocks((piece.end - piece.start) as usize) {
            let (theta0, delta) = (&mut theta0[..range.len()], &mut delta[..range.len()]);
            let range = start + range.start..start + range.end;
            base.decode(&range, theta0);
            theta.decode(&range, delta);
            keys.extend(delta.iter().zip(theta0).map(|(theta, theta0)| magnitude(*theta - *theta0)));
        }
    }
}
