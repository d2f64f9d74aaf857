//! From what a scan collected to the exact threshold and the ties that each tile keeps.

use super::Trim;
use super::bracket::Bracket;
use super::scan::Scan;
use crate::KernelError;

/// What a collected key costs: itself, and its copy among all keys that are selected from.
pub(super) const KEY_BYTES: usize = 8;

/// The answer, from complete scans in the order of tiles: the magnitude of rank `rank` (the largest has 1) among all elements
/// inside the bracket, of which there are at least as many.
pub(super) fn threshold(bracket: &Bracket, scans: &[Scan], rank: u64) -> Result<Trim, KernelError> {
    let mut loose: Vec<u32> = Vec::with_capacity(scans.iter().map(|scan| scan.loose.len()).sum());
    for scan in scans {
        loose.extend_from_slice(&scan.loose);
    }

    // Walks down the atoms. Those passed are above the threshold, with all elements that have their value.
    let mut passed = 0;
    for (index, atom) in bracket.atoms.iter().enumerate().rev() {
        let count: u64 = scans.iter().map(|scan| scan.atoms[index]).sum();
        let above = passed + above(&loose, *atom);
        if rank <= above {
            break;
        }
        if rank <= above + count {
            return Ok(trim(*atom, rank - above, scans, |scan| scan.atoms[index]));
        }
        passed += count;
    }

    let place = usize::try_from(rank - passed).ok().and_then(|rank| loose.len().checked_sub(rank));
    let threshold = *loose.select_nth_unstable(place.ok_or(KernelError::Changed)?).1;
    let ties = rank - passed - above(&loose, threshold);
    Ok(trim(threshold, ties, scans, |scan| scan.loose.iter().filter(|key| **key == threshold).count() as u64))
}

fn above(keys: &[u32], value: u32) -> u64 {
    keys.iter().filter(|key| **key > value).count() as u64
}

/// Deals the ties out to the tiles, the first ones first.
fn trim(threshold: u32, mut ties: u64, scans: &[Scan], equal: impl Fn(&Scan) -> u64) -> Trim {
    let deal = |scan| {
        let own = equal(scan).min(ties);
        ties -= own;
        own
    };
    Trim::Above { threshold, ties: scans.iter().map(deal).collect() }
}
