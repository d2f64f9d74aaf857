//! A pass over the tiles of a tensor, as its driver sees it: something to measure each tile with, and an opaque part that comes
//! of it.

use std::ops::Range;

use super::histogram::{Counts, Histogram};
use super::sample::{Pieces, Sample};
use super::scan::{Scan, Scanning};
use super::source::{Opened, Source};
use crate::block::{BLOCK, blocks};
use crate::slice::same_length;
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
    Histogram { elements: u64, zeros: u64 },
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
    let sources: Vec<Source<'_>> = thetas.iter().map(|theta| Source::Difference { base: *base, theta: *theta }).collect();
    measure_sources(passes, &sources, first)
}

/// Measures one tile of several sources: the part of `sources[i]` under `passes[i]` is the i-th. They are looked at in turn,
/// granule by granule, so that what they share is fetched from memory once.
pub fn measure_sources(passes: &[&Pass], sources: &[Source<'_>], first: u64) -> Result<Vec<Part>, KernelError> {
    if passes.len() != sources.len() {
        let (expected, found) = (passes.len(), sources.len());
        return Err(KernelError::CountMismatch { operation: NAME, what: "experts", expected, found });
    }
    let length = sources.first().map_or(0, Source::length);
    let mut measurings = Vec::with_capacity(passes.len());
    for (pass, source) in passes.iter().zip(sources) {
        same_length(NAME, length, source.length())?;
        measurings.push((pass.start(), source.open(NAME)?));
    }
    for start in (0..length).step_by(GRANULE) {
        let range = start..length.min(start + GRANULE);
        for (measuring, source) in &mut measurings {
            measuring.feed(source, &range, first);
        }
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
    /// Looks at elements `range` of the tile, which starts at element `first` of the tensor.
    fn feed(&mut self, source: &mut Opened<'_>, range: &Range<usize>, first: u64) {
        match self {
            Self::Sample(pieces, keys) => draw(pieces, source, range, first, keys),
            Self::Scan(scanning, scan) => scanning.feed(scan, source, range),
            Self::Histogram(histogram, counts) => histogram.feed(counts, source, range),
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
                PartKind::Histogram { elements: counts.elements, zeros: counts.zeros }
            }
        })
    }
}

/// Appends the magnitudes of those elements `range` of a tile that are in the sample. Too few to be worth more than plain code.
fn draw(pieces: &Pieces, source: &mut Opened<'_>, range: &Range<usize>, first: u64, keys: &mut Vec<u32>) {
    let mut block = [0u32; BLOCK];
    let (start, end) = (first.saturating_add(range.start as u64), first.saturating_add(range.end as u64));
    for piece in pieces.within(start..end) {
        let start = (piece.start - first) as usize;
        for part in blocks((piece.end - piece.start) as usize) {
            let block = &mut block[..part.len()];
            source.keys(&(start + part.start..start + part.end), block);
            keys.extend_from_slice(block);
        }
    }
}
