//! One pass that counts what is above a bracket and collects what is inside. The hot loop of trimming.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::bracket::Bracket;
use super::exact::KEY_BYTES;
use super::pass::{Part, PartKind};
use crate::KernelError;
use crate::bits::{self, GROUP};

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
    /// How many of these all tiles have been told of.
    settled: usize,
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
        Scan { elements: 0, zeros: 0, above: 0, inside: 0, atoms, loose: Vec::new(), complete: true, settled: 0 }
    }

    /// Looks at the next keys of a tile, at most a block.
    #[inline(always)]
    pub(super) fn feed(&self, scan: &mut Scan, keys: &[u32]) {
        let bracket = &self.bracket;
        let (low, high, width) = (bracket.low, bracket.high, bracket.high - bracket.low);
        let (mut above, mut inside, mut zeros) = (0u32, 0u32, 0u32);
        for key in keys {
            zeros += u32::from(*key == 0);
            above += u32::from(*key > high);
            inside += u32::from(key.wrapping_sub(low) <= width);
        }
        scan.elements += keys.len() as u64;
        scan.zeros += u64::from(zeros);
        scan.above += u64::from(above);
        scan.inside += u64::from(inside);
        if inside == 0 {
            return;
        }
        let mut counted = 0u32;
        for (atom, count) in bracket.atoms.iter().zip(&mut scan.atoms) {
            let atom = *atom;
            let mut equal = 0u32;
            for key in keys {
                equal += u32::from(*key == atom);
            }
            *count += u64::from(equal);
            counted += equal;
        }
        if scan.complete && counted < inside {
            collect(keys, bracket, &mut scan.loose);
        }
    }

    /// Gives up on the keys of a tile once those of all tiles are too many.
    pub(super) fn settle(&self, scan: &mut Scan) {
        let fresh = scan.loose.len() - scan.settled;
        if scan.complete && self.collected.fetch_add(fresh, Ordering::Relaxed).saturating_add(fresh) > self.most {
            scan.complete = false;
            scan.loose = Vec::new();
        }
        scan.settled = scan.loose.len();
    }

    /// Whether all tiles together may hold so many more.
    pub(super) fn hold(&self, keys: u64) -> bool {
        let keys = usize::try_from(keys).unwrap_or(usize::MAX);
        self.collected.fetch_add(keys, Ordering::Relaxed).saturating_add(keys) <= self.most
    }

    pub(super) fn let_go(&self, keys: u64) {
        self.collected.fetch_sub(usize::try_from(keys).unwrap_or(usize::MAX), Ordering::Relaxed);
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

/// Groups of a constant size, compared in whole registers. Plain loops: `map` of arrays is a call that not every build inlines.
#[inline(always)]
fn collect_group(keys: &[u32; GROUP], bracket: &Bracket, loose: &mut Vec<u32>) {
    let (low, width) = (bracket.low, bracket.high - bracket.low);
    let mut wanted = [0u8; GROUP];
    for place in 0..GROUP {
        wanted[place] = u8::from(keys[place].wrapping_sub(low) <= width);
    }
    for atom in &bracket.atoms {
        let atom = *atom;
        for place in 0..GROUP {
            wanted[place] &= u8::from(keys[place] != atom);
        }
    }
    let mut places = bits::packed(&wanted);
    while places != 0 {
        loose.push(keys[places.trailing_zeros() as usize % GROUP]);
        places &= places - 1;
    }
}
