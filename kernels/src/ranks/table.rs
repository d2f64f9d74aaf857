//! From how many elements of a row are of each step to the chance of each.

use super::Chances;
use super::steps::{INFINITE, Seen};

/// Steps told apart in a row: 16 powers of two of 64 steps.
pub(super) const SPAN: usize = 1024;

/// How many elements of a row are of each step: for rows that are seen in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankCounts(Vec<u64>);

/// The chance of each step of one row.
#[derive(Debug, Clone)]
pub struct RankTable {
    /// The step of the first chance, which is for all below it too.
    floor: u16,
    /// The place of the last chance, which is for all above it too; what follows means nothing.
    last: u16,
    /// In units of 2⁻³²: an element stays if its random word is below.
    chances: [u32; SPAN],
}

impl Default for RankCounts {
    fn default() -> Self {
        Self(vec![0; INFINITE + 1])
    }
}

impl RankCounts {
    pub(super) fn count(&mut self, steps: &[u16]) {
        for step in steps {
            self.0[usize::from(*step)] += 1;
        }
    }

    /// The chances of the row that was counted.
    pub fn table(&self, chances: &Chances) -> RankTable {
        let top = self.0[..INFINITE].iter().rposition(|count| *count > 0).unwrap_or_default();
        let floor = (top + 1).saturating_sub(SPAN);
        let mut counts = self.0[floor..=top].to_vec();
        counts[0] += self.0[..floor].iter().sum::<u64>();
        counts[top - floor] += self.0[INFINITE];
        let mut table = RankTable { floor: floor as u16, last: (top - floor) as u16, chances: [0; SPAN] };
        let (line, mut below) = (Line::of(chances, counts.iter().sum()), 0);
        for (chance, count) in table.chances.iter_mut().zip(counts) {
            *chance = line.at((2 * below + count.saturating_sub(1)) as f64);
            below += count;
        }
        table
    }
}

/// The chance of a step by twice the middle of its ranks, in units of 2⁻³².
#[derive(Debug, Clone, Copy)]
struct Line {
    start: f64,
    slope: f64,
}

impl Line {
    /// Of a row of so many elements.
    fn of(chances: &Chances, elements: u64) -> Self {
        const ALL: f64 = 4_294_967_296.0;
        match elements.saturating_sub(1) {
            // one element alone has the middle of the chances
            0 => Self { start: (chances.low + chances.high) / 2.0 * ALL, slope: 0.0 },
            last => Self { start: chances.low * ALL, slope: (chances.high - chances.low) / last as f64 * (ALL / 2.0) },
        }
    }

    #[inline(always)]
    fn at(self, twice: f64) -> u32 {
        /// 2⁵²: the last bit of numbers from here on is worth one.
        const WHOLE: f64 = 4_503_599_627_370_496.0;
        let exact = (self.start + self.slope * twice).clamp(0.0, f64::from(u32::MAX));
        // the integer part, as `exact as u32` has it, but in a way that several are found at a time
        (exact.floor() + WHOLE).to_bits() as u32
    }
}

impl RankTable {
    pub(super) fn new() -> Self {
        Self { floor: 0, last: 0, chances: [0; SPAN] }
    }

    /// Becomes that of a whole row with these steps. The steps become places in it.
    #[inline(always)]
    pub(super) fn set(&mut self, chances: &Chances, steps: &mut [u16], seen: Seen) {
        // what is below the smallest step are zeros alone, which have the first place to themselves then
        self.floor = (seen.top + 1).saturating_sub(SPAN as u16).max(seen.bottom.saturating_sub(1)).min(seen.top);
        self.last = seen.top - self.floor;
        self.places(steps);
        // counted apart by turns: a counter that has just been raised is slow to be raised again
        let mut turns = [[0u32; SPAN]; 2];
        let (pairs, rest) = steps.as_chunks::<2>();
        for pair in pairs {
            turns[0][usize::from(pair[0]) % SPAN] += 1;
            turns[1][usize::from(pair[1]) % SPAN] += 1;
        }
        for place in rest {
            turns[0][usize::from(*place) % SPAN] += 1;
        }
        let line = Line::of(chances, steps.len() as u64);
        let table = &mut self.chances[..=usize::from(self.last) % SPAN];
        let mut below = 0;
        for (twice, (even, odd)) in table.iter_mut().zip(turns[0].iter().zip(&turns[1])) {
            let count = even + odd;
            *twice = 2 * below + count.saturating_sub(1);
            below += count;
        }
        for chance in table {
            *chance = line.at(f64::from(*chance as i32));
        }
    }

    /// Turns steps into places in the table.
    #[inline(always)]
    pub(super) fn places(&self, steps: &mut [u16]) {
        let (floor, last) = (self.floor, self.last);
        for step in steps {
            *step = step.saturating_sub(floor).min(last);
        }
    }

    /// The chance of a place.
    #[inline(always)]
    pub(super) fn chance(&self, place: u16) -> u32 {
        self.chances[usize::from(place) % SPAN]
    }
}
