//! A pass over the tiles of a tensor, as its driver sees it: something to measure each tile with, and an opaque part that comes
//! of it.

use std::ops::Range;

use super::histogram::{Counts, Histogram};
use super::sample::{Pieces, Sample};
use super::scan::{Scan, Scanning};
use super::source::{Opened, Source};
use crate::block::{BLOCK, blocks, dispatched};
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
pub fn measure_together<'a>(
    passes: &[&Pass],
    base: &Slice<'a>,
    thetas: &[Slice<'a>],
    first: u64,
) -> Result<Vec<Part>, KernelError> {
    if passes.len() != thetas.len() {
        let (expected, found) = (passes.len(), thetas.len());
        return Err(KernelError::CountMismatch { operation: NAME, what: "experts", expected, found });
    }
    let difference = |theta: &Slice<'a>| Source::Difference { base: *base, theta: *theta };
    let sources: Vec<_> = thetas.iter().zip(passes).map(|(theta, pass)| (difference(theta), vec![*pass])).collect();
    measure_sources(&sources, first)
}

/// Measures one tile of several sources, each under some passes: the parts come in the order of the passes, source by source.
///
/// The sources are looked at in turn, granule by granule, so that what they share is fetched from memory once; the numbers of a
/// source are computed once for all of its passes.
pub fn measure_sources(sources: &[(Source<'_>, Vec<&Pass>)], first: u64) -> Result<Vec<Part>, KernelError> {
    let length = sources.first().map_or(0, |(source, _)| source.length());
    let mut looks = Vec::with_capacity(sources.len());
    for (source, passes) in sources {
        same_length(NAME, length, source.length())?;
        looks.push((source.open(NAME)?, passes.iter().map(|pass| pass.start()).collect::<Vec<_>>()));
    }
    for start in (0..length).step_by(GRANULE) {
        let range = start..length.min(start + GRANULE);
        for (source, measurings) in &mut looks {
            dispatch(source, &range, first, measurings);
            measurings.iter_mut().for_each(Measuring::settle);
        }
    }
    Ok(looks.into_iter().flat_map(|(_, measurings)| measurings).map(Measuring::finish).collect())
}

dispatched! {
    fn dispatch / dispatch_avx2(
        source: &mut Opened<'_>, elements: &Range<usize>, first: u64, measurings: &mut [Measuring<'_>]
    ) = body;
}

/// Looks at these elements of a tile, which starts at element `first` of the tensor.
#[inline(always)]
fn body(source: &mut Opened<'_>, elements: &Range<usize>, first: u64, measurings: &mut [Measuring<'_>]) {
    let mut keys = [0u32; BLOCK];
    for range in blocks(elements.len()) {
        let keys = &mut keys[..range.len()];
        let start = elements.start + range.start;
        source.keys(&(start..start + range.len()), keys);
        for measuring in &mut *measurings {
            match measuring {
                Measuring::Sample(pieces, sample) => draw(pieces, first.saturating_add(start as u64), keys, sample),
                Measuring::Scan(scanning, scan) => scanning.feed(scan, keys),
                Measuring::Histogram(histogram, counts) => histogram.feed(counts, keys),
            }
        }
    }
}

/// A tile half measured.
enum Measuring<'a> {
    Sample(Pieces, Vec<u32>),
    Scan(&'a Scanning, Scan),
    Histogram(&'a Histogram, Counts),
}

impl Measuring<'_> {
    /// After a granule: what tiles share, they are told now and then.
    fn settle(&mut self) {
        match self {
            Self::Sample(..) => {}
            Self::Scan(scanning, scan) => scanning.settle(scan),
            Self::Histogram(histogram, counts) => histogram.settle(counts),
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

/// Appends those keys, of elements from `start` of the tensor on, that are in the sample.
fn draw(pieces: &Pieces, start: u64, keys: &[u32], sample: &mut Vec<u32>) {
    for piece in pieces.within(start..start.saturating_add(keys.len() as u64)) {
        sample.extend_from_slice(&keys[(piece.start - start) as usize..(piece.end - start) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::magnitude;
    use crate::select::bracket::{Bracket, Interval};
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_finds_the_same() {
        let bracket =
            |low: f32, high: f32, atom: f32| Bracket { low: magnitude(low), high: magnitude(high), atoms: vec![magnitude(atom)] };
        let brackets = [bracket(0.3, 0.31, 0.305), bracket(0.0, f32::INFINITY, 0.0)];
        let scans = brackets.map(|bracket| Scanning::new(bracket, 1 << 24));
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
            type Version = fn(&mut Opened<'_>, &Range<usize>, u64, &mut [Measuring<'_>]);
            let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
            let found = versions.map(|version| {
                let interval = Interval { low: magnitude(0.1), high: magnitude(0.5), ..Interval::whole(numel as u64) };
                let histogram = Histogram::over(&interval);
                let mut measurings: Vec<_> = scans.iter().map(|scan| Measuring::Scan(scan, scan.start())).collect();
                measurings.push(Measuring::Histogram(&histogram, histogram.start()));
                let mut source = Opened::Difference { base: floats(kind, &a), theta: floats(kind, &b) };
                version(&mut source, &(0..numel), 0, &mut measurings);
                let parts: Vec<Part> = measurings.into_iter().map(Measuring::finish).collect();
                for part in &parts {
                    match &part.0 {
                        PartKind::Scan(scan) => assert_eq!(scan.inside, scan.loose.len() as u64 + scan.atoms[0]),
                        PartKind::Histogram { elements, .. } => assert_eq!(*elements, numel as u64),
                        PartKind::Sample(_) => unreachable!("no sample was asked for"),
                    }
                }
                (format!("{parts:?}"), histogram.sums())
            });
            assert_same(found, (kind, numel));
        }
    }
}
