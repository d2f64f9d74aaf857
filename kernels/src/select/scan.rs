//! One pass that counts what is above a bracket and collects what is inside. The hot loop of trimming.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bracket::Bracket;
use super::exact::KEY_BYTES;
use super::pass::{Part, PartKind};
use super::source::Opened;
use crate::KernelError;
use crate::block::{BLOCK, blocks, dispatched};

/// Elements of which it is asked together whether any is to be collected.
const GROUP: usize = 64;

/// A scan under way over all tiles.
#[derive(Debug)]
pub(super) struct Scanning {
    bracket: Bracket,
    most: usize,
    /// Keys collected by all tiles so far. Whether it passes the limit in the end does not depend on the order of tiles.
    collected: AtomicUsize,
}

/// What a scan found in one tile.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) elements: u64,
    /// Those whose magnitude is zero.
    pub(super) zeros: u64,
    pub(super) above: u64,
    pub(super) inside: u64,
    /// Of those inside, how many have the value of each atom of the bracket.
    pub(super) atoms: Vec<u64>,
    /// The magnitudes of all others inside, in order; worthless unless complete.
    pub(super) loose: Vec<u32>,
    pub(super) complete: bool,
}

impl Scanning {
    pub(super) fn new(bracket: Bracket, limit: usize) -> Self {
        Self { bracket, most: limit / KEY_BYTES, collected: AtomicUsize::new(0) }
    }

    pub(super) fn bracket(&self) -> &Bracket {
        &self.bracket
    }

    pub(super) fn start(&self) -> Scan {
        let atoms = vec![0; self.bracket.atoms.len()];
        Scan { elements: 0, zeros: 0, above: 0, inside: 0, atoms, loose: Vec::new(), complete: true }
    }

    /// Looks at these elements of a tile.
    pub(super) fn feed(&self, scan: &mut Scan, source: &mut Opened<'_>, elements: &Range<usize>) {
        let before = scan.loose.len();
        dispatch(source, elements, &self.bracket, scan);
        let fresh = scan.loose.len() - before;
        if scan.complete && self.collected.fetch_add(fresh, Ordering::Relaxed).saturating_add(fresh) > self.most {
            scan.complete = false;
            scan.loose = Vec::new();
        }
    }

    pub(super) fn collect(&self, parts: Vec<Part>, numel: u64) -> Result<Vec<Scan>, KernelError> {
        let mut scans = Vec::with_capacity(parts.len());
        for part in parts {
            let PartKind::Scan(scan) = part.0 else { return Err(KernelError::ForeignPart) };
            if scan.atoms.len() != self.bracket.atoms.len() {
                return Err(KernelError::ForeignPart);
            }
            scans.push(scan);
        }
        let found = scans.iter().map(|scan| scan.elements).sum();
        if found == numel { Ok(scans) } else { Err(KernelError::IncompletePass { expected: numel, found }) }
    }
}

dispatched! {
    fn dispatch / dispatch_avx2(source: &mut Opened<'_>, elements: &Range<usize>, bracket: &Bracket, scan: &mut Scan) = body;
}

#[inline(always)]
fn body(source: &mut Opened<'_>, elements: &Range<usize>, bracket: &Bracket, scan: &mut Scan) {
    let (low, high) = (bracket.low, bracket.high);
    let mut keys = [0u32; BLOCK];
    for range in blocks(elements.len()) {
        let n = range.len();
        let keys = &mut keys[..n];
        source.keys(&(elements.start + range.start..elements.start + range.end), keys);
        let (mut above, mut inside, mut zeros) = (0u32, 0u32, 0u32);
        for key in &*keys {
            zeros += u32::from(*key == 0);
            above += u32::from(*key > high);
            inside += u32::from((*key >= low) & (*key <= high));
        }
        scan.elements += n as u64;
        scan.zeros += u64::from(zeros);
        scan.above += u64::from(above);
        scan.inside += u64::from(inside);
        if inside == 0 {
            continue;
        }
        let mut counted = 0u32;
        for (atom, count) in bracket.atoms.iter().zip(&mut scan.atoms) {
            let atom = *atom;
            let mut equal = 0u32;
            for key in &*keys {
                equal += u32::from(*key == atom);
            }
            *count += u64::from(equal);
            counted += equal;
        }
        if scan.complete && counted < inside {
            collect(keys, bracket, &mut scan.loose);
        }
    }
}

/// Appends the keys inside the bracket that are none of its atoms.
#[inline(always)]
fn collect(keys: &[u32], bracket: &Bracket, loose: &mut Vec<u32>) {
    let (groups, rest) = keys.as_chunks::<GROUP>();
    for group in groups {
        collect_group(group, bracket, loose);
    }
    if !rest.is_empty() {
        // Filled up with what is no magnitude, and so in no bracket.
        let mut group = [u32::MAX; GROUP];
        group[..rest.len()].copy_from_slice(rest);
        collect_group(&group, bracket, loose);
    }
}

/// Groups of a constant size: most hold nothing to collect, which a few comparisons of whole registers tell.
#[inline(always)]
fn collect_group(keys: &[u32; GROUP], bracket: &Bracket, loose: &mut Vec<u32>) {
    let (low, high) = (bracket.low, bracket.high);
    let mut wanted = keys.map(|key| u32::from((key >= low) & (key <= high)));
    for atom in &bracket.atoms {
        let atom = *atom;
        for (wanted, key) in wanted.iter_mut().zip(keys) {
            *wanted &= u32::from(*key != atom);
        }
    }
    if wanted.iter().fold(0, |any, wanted| any | wanted) == 0 {
        return;
    }
    let mut found = [0u32; GROUP];
    let mut count = 0;
    for (wanted, key) in wanted.iter().zip(keys) {
        found[count % GROUP] = *key;
        count += *wanted as usize;
    }
    loose.extend_from_slice(&found[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::magnitude;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_finds_the_same() {
        let bracket =
            |low: f32, high: f32, atom: f32| Bracket { low: magnitude(low), high: magnitude(high), atoms: vec![magnitude(atom)] };
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
            for bracket in [bracket(0.3, 0.31, 0.305), bracket(0.0, f32::INFINITY, 0.0)] {
                type Version = fn(&mut Opened<'_>, &Range<usize>, &Bracket, &mut Scan);
                let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
                let scans = versions.map(|version| {
                    let mut scan = Scanning::new(bracket.clone(), 1 << 24).start();
                    let mut source = Opened::Difference { base: floats(kind, &a), theta: floats(kind, &b) };
                    version(&mut source, &(0..numel), &bracket, &mut scan);
                    assert_eq!(scan.inside, scan.loose.len() as u64 + scan.atoms[0]);
                    (scan.zeros, scan.above, scan.inside, scan.atoms, scan.loose)
                });
                assert_same(scans, (kind, numel));
            }
        }
    }
}
