//! What a pass asks of a tile, for those who look at it by themselves, as devices do; and a part from what they found. Not how they look.

use super::histogram::BUCKETS;
use super::pass::{Part, PartKind, Pass, Work};
use crate::KernelError;

/// What a pass asks of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// How many magnitudes are above an interval, and which are in it.
    Scan {
        /// The smallest inside.
        low: u32,
        /// The largest inside.
        high: u32,
        /// Those inside that are counted and not handed out, ascending; few.
        atoms: &'a [u32],
    },
    /// How many magnitudes are in each of so many intervals of equal width.
    Counts {
        /// The smallest in the first of them.
        low: u32,
        /// The largest that counts.
        high: u32,
        /// Each has 2 to this power of magnitudes.
        shift: u32,
        /// How many there are.
        intervals: u32,
    },
}

/// What was found in a tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Of a scan.
    Scan {
        /// Elements that are zero.
        zeros: u64,
        /// Those above the interval.
        above: u64,
        /// Those of each atom.
        atoms: Vec<u64>,
        /// The magnitudes of all others inside, in any order.
        loose: Vec<u32>,
    },
    /// Of each interval.
    Counts {
        /// Elements that are zero.
        zeros: u64,
        /// Those of each interval.
        counts: Vec<u64>,
    },
}

impl Pass {
    /// What is asked of a tile; none where that is a few elements alone.
    pub fn wanted(&self) -> Option<Wanted<'_>> {
        match self.work() {
            Work::Sample(_) => None,
            Work::Scan(scanning) => {
                let bracket = scanning.bracket();
                Some(Wanted::Scan { low: bracket.low, high: bracket.high, atoms: &bracket.atoms })
            }
            Work::Histogram(histogram) => {
                let (low, high, shift) = histogram.cut();
                Some(Wanted::Counts { low, high, shift, intervals: BUCKETS as u32 })
            }
        }
    }

    /// The part of a tile of `elements` elements in which that was found: what measuring it gives.
    ///
    /// # Errors
    /// It answers another question.
    pub fn part(&self, elements: u64, found: Found) -> Result<Part, KernelError> {
        match (self.work(), found) {
            (Work::Scan(scanning), Found::Scan { zeros, above, atoms, loose })
                if atoms.len() == scanning.bracket().atoms.len() =>
            {
                let mut scan = scanning.start();
                let inside = atoms.iter().sum::<u64>() + loose.len() as u64;
                (scan.elements, scan.zeros, scan.above, scan.inside) = (elements, zeros, above, inside);
                (scan.atoms, scan.loose) = (atoms, loose);
                scanning.settle(&mut scan);
                Ok(Part(PartKind::Scan(scan)))
            }
            (Work::Histogram(histogram), Found::Counts { zeros, counts }) if counts.len() == BUCKETS => {
                histogram.add(&counts);
                Ok(Part(PartKind::Histogram { elements, zeros }))
            }
            _ => Err(KernelError::ForeignPart),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::magnitude;
    use crate::select::Selection;
    use crate::{Dtype, Slice, decode};

    /// What a tile holds, looked at one by one.
    fn look(wanted: Wanted<'_>, keys: &[u32]) -> Found {
        let count = |holds: &dyn Fn(u32) -> bool| keys.iter().filter(|key| holds(**key)).count() as u64;
        let zeros = count(&|key| key == 0);
        match wanted {
            Wanted::Scan { low, high, atoms } => Found::Scan {
                zeros,
                above: count(&|key| key > high),
                atoms: atoms.iter().map(|atom| count(&|key| key == *atom)).collect(),
                // from the last to the first
                loose: keys.iter().rev().copied().filter(|key| (low..=high).contains(key) && !atoms.contains(key)).collect(),
            },
            Wanted::Counts { low, high, shift, intervals } => {
                let mut counts = vec![0; intervals as usize];
                keys.iter().filter(|key| (low..=high).contains(key)).for_each(|key| counts[((key - low) >> shift) as usize] += 1);
                Found::Counts { zeros, counts }
            }
        }
    }

    #[test]
    fn what_others_found_leads_to_the_same_answer() {
        for (seed, limit) in [(2, 1 << 24), (4, 40_000), (6, 2000)] {
            let [base, theta] = [0, seed].map(|seed| crate::testing::bytes(Dtype::BF16, 90_000, seed));
            let [base, theta] = [&base, &theta].map(|bytes| Slice::new(Dtype::BF16, bytes).unwrap());
            let keys: Vec<u32> =
                decode(&theta).unwrap().iter().zip(decode(&base).unwrap()).map(|(a, b)| magnitude(a - b)).collect();
            let answer = |others: bool| {
                let mut search = Selection::new(90_000, 30_000, limit);
                while let Some(pass) = search.pass() {
                    let parts = [0..65_536, 65_536..90_000].map(|range: std::ops::Range<usize>| match pass.wanted() {
                        Some(wanted) if others => pass.part(range.len() as u64, look(wanted, &keys[range])).unwrap(),
                        _ => {
                            let [base, theta] = [base, theta].map(|slice| slice.part(range.clone()).unwrap());
                            pass.measure(&base, &theta, range.start as u64).unwrap()
                        }
                    });
                    search.absorb(parts.into()).unwrap();
                }
                search.trim().cloned()
            };
            assert_eq!(answer(true), answer(false), "seed {seed}, limit {limit}");
        }
    }

    #[test]
    fn answers_to_another_question_are_refused() {
        let search = Selection::new(10, 3, 1 << 20);
        let pass = search.pass().unwrap();
        assert!(matches!(pass.wanted(), Some(Wanted::Scan { low: 0, atoms: [], .. })));
        let foreign = pass.part(10, Found::Counts { zeros: 0, counts: vec![0; BUCKETS] });
        assert!(matches!(foreign, Err(KernelError::ForeignPart)));
        let atoms = pass.part(10, Found::Scan { zeros: 0, above: 0, atoms: vec![1], loose: Vec::new() });
        assert!(matches!(atoms, Err(KernelError::ForeignPart)));
    }
}
