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
        /// All others inside.
        loose: Loose,
    },
    /// Of each interval.
    Counts {
        /// Elements that are zero.
        zeros: u64,
        /// Those of each interval.
        counts: Vec<u64>,
    },
}

/// What is inside an interval of a scan, and not counted apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loose {
    /// The magnitudes, in any order, as many as [`Pass::hold`] said yes to.
    Magnitudes(Vec<u32>),
    /// So many that it said no: the search then looks closer.
    TooMany(u64),
}

impl Pass {
    /// Whether the search may hold so many further magnitudes of one tile. Those who look at tiles by themselves ask it before they
    /// collect. Counted from then on, whatever the answer, until [`Pass::let_go`].
    pub fn hold(&self, magnitudes: u64) -> bool {
        match self.work() {
            Work::Scan(scanning) => scanning.hold(magnitudes),
            Work::Sample(_) | Work::Histogram(_) => false,
        }
    }

    /// Takes back a [`Pass::hold`] of a tile of which no part is made after all.
    pub fn let_go(&self, magnitudes: u64) {
        if let Work::Scan(scanning) = self.work() {
            scanning.let_go(magnitudes);
        }
    }

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
                let (others, complete, loose) = match loose {
                    Loose::Magnitudes(loose) => (loose.len() as u64, true, loose),
                    Loose::TooMany(others) => (others, false, Vec::new()),
                };
                let inside = atoms.iter().sum::<u64>() + others;
                (scan.elements, scan.zeros, scan.above, scan.inside) = (elements, zeros, above, inside);
                (scan.atoms, scan.loose, scan.complete) = (atoms, loose, complete);
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
    fn look(pass: &Pass, wanted: Wanted<'_>, keys: &[u32]) -> Found {
        let count = |holds: &dyn Fn(u32) -> bool| keys.iter().filter(|key| holds(**key)).count() as u64;
        let zeros = count(&|key| key == 0);
        match wanted {
            Wanted::Scan { low, high, atoms } => {
                // from the last to the first
                let loose = keys.iter().rev().copied().filter(|key| (low..=high).contains(key) && !atoms.contains(key));
                let loose: Vec<u32> = loose.collect();
                let (others, atoms) = (loose.len() as u64, atoms.iter().map(|atom| count(&|key| key == *atom)).collect());
                let loose = if pass.hold(others) { Loose::Magnitudes(loose) } else { Loose::TooMany(others) };
                Found::Scan { zeros, above: count(&|key| key > high), atoms, loose }
            }
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
                        Some(wanted) if others => pass.part(range.len() as u64, look(pass, wanted, &keys[range])).unwrap(),
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

    /// A sample unlike the tensor: the bracket has far more inside than it was made for.
    #[test]
    fn a_scan_that_finds_too_many_holds_none_of_them_and_the_search_takes_as_many_passes() {
        const N: usize = 100_000;
        let limit = 200_000;
        let sampled: Vec<_> = crate::select::sample::Sample::new(N as u64, limit).pieces.iter().collect();
        let value = |index: usize| {
            let drawn = crate::philox4x32([index as u32, 0, 0, 0], [3, 0])[0] as f32 / u32::MAX as f32;
            let in_sample = sampled.iter().any(|piece| piece.contains(&(index as u64)));
            if in_sample { drawn } else { 0.5 + drawn / 1e3 }
        };
        let theta: Vec<u8> = (0..N).flat_map(|index| value(index).to_le_bytes()).collect();
        let (zeros, theta) = (vec![0; N * 4], Slice::new(Dtype::F32, &theta).unwrap());
        let base = Slice::new(Dtype::F32, &zeros).unwrap();
        let keys: Vec<u32> = decode(&theta).unwrap().into_iter().map(magnitude).collect();
        let mut refused = 0;
        let mut answer = |others: bool| {
            let (mut search, mut passes) = (Selection::new(N as u64, N as u64 / 2, limit), 0);
            while let Some(pass) = search.pass() {
                passes += 1;
                let parts = [0..20_000, 20_000..90_000, 90_000..N].map(|range| match pass.wanted() {
                    Some(wanted) if others => {
                        let found = look(pass, wanted, &keys[range.clone()]);
                        refused += u64::from(matches!(found, Found::Scan { loose: Loose::TooMany(_), .. }));
                        pass.part(range.len() as u64, found).unwrap()
                    }
                    _ => {
                        let [base, theta] = [base, theta].map(|slice| slice.part(range.clone()).unwrap());
                        pass.measure(&base, &theta, range.start as u64).unwrap()
                    }
                });
                search.absorb(parts.into()).unwrap();
            }
            (search.trim().cloned(), passes)
        };
        assert_eq!(answer(true), answer(false));
        assert!(refused > 0, "every tile's magnitudes were held");
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_let_go() {
        // of a small tensor all is collected: ten magnitudes of eight bytes
        let search = Selection::new(10, 3, 80);
        let pass = search.pass().unwrap();
        assert!(pass.hold(6) && pass.hold(4), "as many as there is room for");
        assert!(!pass.hold(1));
        pass.let_go(1);
        pass.let_go(4);
        assert!(pass.hold(4), "there is room again");
        assert!(!pass.hold(1));
    }

    #[test]
    fn answers_to_another_question_are_refused() {
        let search = Selection::new(10, 3, 1 << 20);
        let pass = search.pass().unwrap();
        assert!(matches!(pass.wanted(), Some(Wanted::Scan { low: 0, atoms: [], .. })));
        let foreign = pass.part(10, Found::Counts { zeros: 0, counts: vec![0; BUCKETS] });
        assert!(matches!(foreign, Err(KernelError::ForeignPart)));
        let atoms = pass.part(10, Found::Scan { zeros: 0, above: 0, atoms: vec![1], loose: Loose::Magnitudes(vec![]) });
        assert!(matches!(atoms, Err(KernelError::ForeignPart)));
    }
}
