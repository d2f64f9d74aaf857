//! Passes that look for the threshold of a task vector: [`braid_kernels::measure_sources`], [`braid_kernels::count_in_buckets`].

use braid_kernels::{Buckets, Found, KernelError, Loose, Part, Pass, Slice, Source, Wanted};

use super::{
    Lane,
    call::{Call, Operand},
    operand::{Table, same_length},
};
use crate::{
    Argument::{self, Struct, U32, U64},
    GpuError, Kernel,
};

/// Values that a scan counts apart, at most, and where it counts what: as in `select.cu`.
const ATOMS: usize = 8;
const LOOSE: usize = 2;
const OF_ATOMS: usize = 3;
/// What is no magnitude.
const NONE: u32 = u32::MAX;

/// What errors name.
const NAME: &str = "selection";

/// A task vector on the device, θ − base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    base: Operand,
    theta: Operand,
    length: usize,
}

impl Lane {
    /// As [`braid_kernels::measure_sources`], of passes over task vectors that look at every element.
    ///
    /// # Errors
    /// As there; [`GpuError::Unsupported`] for other sources and for passes over a sample; those of the device.
    pub fn measure(&mut self, sources: &[(Source<'_>, Vec<&Pass>)]) -> Result<Vec<Part>, GpuError> {
        let vectors = sources.iter().map(|(source, _)| difference(NAME, source)).collect::<Result<Vec<_>, _>>()?;
        if sources.iter().flat_map(|(_, passes)| passes).any(|pass| pass.wanted().is_none()) {
            return Err(other(NAME, "a sample"));
        }
        self.call(|call| {
            let (mut loaded, mut there) = (None, Vec::with_capacity(sources.len()));
            for ((base, theta), (_, passes)) in vectors.iter().zip(sources) {
                there.push((Difference::load(NAME, (base, theta), &mut loaded, call)?, passes.clone()));
            }
            call.measure(&there)
        })
    }

    /// As [`braid_kernels::count_in_buckets`], of a task vector.
    ///
    /// # Errors
    /// As there; [`GpuError::Unsupported`] for other sources; those of the device. The counts are then what they were.
    pub fn count_in_buckets(
        &mut self,
        source: &Source<'_>,
        buckets: &[Buckets],
        counts: &mut [Vec<u64>],
    ) -> Result<(), GpuError> {
        const NAME: &str = "count_in_buckets";
        let fit = buckets.iter().zip(&*counts).all(|(buckets, counts)| buckets.counts() == counts.len() && buckets.shift < 32);
        if !fit || buckets.len() != counts.len() {
            let (expected, found) = (buckets.len(), counts.len());
            return Err(KernelError::CountMismatch { operation: NAME, what: "counts", expected, found }.into());
        }
        let (base, theta) = difference(NAME, source)?;
        let found = self.call(|call| {
            let of = Difference::load(NAME, (&base, &theta), &mut None, call)?;
            let count = |buckets: &Buckets| {
                let end = u64::from(buckets.low) + (u64::from(buckets.intervals) << buckets.shift);
                // without intervals nothing is in one, and all that is not below is above
                let high = u32::try_from(end.saturating_sub(1)).unwrap_or(u32::MAX);
                of.count((buckets.low, high, buckets.shift), buckets.intervals, call).map(|(_, counts)| counts)
            };
            buckets.iter().map(count).collect::<Result<Vec<_>, _>>()
        })?;
        for (counts, found) in counts.iter_mut().flatten().zip(found.into_iter().flatten()) {
            *counts += found;
        }
        Ok(())
    }
}

impl Call<'_> {
    /// As [`Lane::measure`], of what is on the device.
    pub(crate) fn measure(&mut self, sources: &[(Difference, Vec<&Pass>)]) -> Result<Vec<Part>, GpuError> {
        let mut held = Vec::new();
        let found = sources.iter().flat_map(|(of, passes)| passes.iter().map(move |pass| (of, *pass))).map(|(of, pass)| {
            let wanted = pass.wanted().ok_or_else(|| other(NAME, "a sample"))?;
            let mut hold = |magnitudes| {
                held.push((pass, magnitudes));
                pass.hold(magnitudes)
            };
            Ok((pass, of.length as u64, of.look(wanted, &mut hold, self)?))
        });
        let found: Result<Vec<_>, GpuError> = found.collect();
        // whoever looks at the tile instead counts them again
        let found = found.inspect_err(|_| held.iter().for_each(|(pass, magnitudes)| pass.let_go(*magnitudes)))?;
        found.into_iter().map(|(pass, length, found)| Ok(pass.part(length, found)?)).collect()
    }
}

impl Difference {
    /// The difference of two tensors that are on the device.
    ///
    /// # Errors
    /// They are not equally long.
    pub(crate) fn of(base: Operand, theta: Operand) -> Result<Self, GpuError> {
        same_length(NAME, base.length, theta.length)?;
        Ok(Self { base, theta, length: base.length })
    }

    /// Puts a task vector on the device. `loaded` is the base that is there, from the task vector before.
    fn load<'a>(
        operation: &'static str,
        (base, theta): (&Slice<'a>, &Slice<'a>),
        loaded: &mut Option<(Slice<'a>, Operand)>,
        call: &mut Call<'_>,
    ) -> Result<Self, GpuError> {
        let there = loaded.filter(|(there, _)| std::ptr::eq(there.bytes(), base.bytes()) && there.dtype() == base.dtype());
        let operand = match there {
            Some((_, operand)) => operand,
            None => call.operand(operation, base)?,
        };
        *loaded = Some((*base, operand));
        Self::of(operand, call.operand(operation, theta)?)
    }

    /// `hold` says whether there is room on the host for so many magnitudes.
    fn look(self, wanted: Wanted<'_>, hold: &mut dyn FnMut(u64) -> bool, call: &mut Call<'_>) -> Result<Found, GpuError> {
        match wanted {
            Wanted::Scan { low, high, atoms } => self.scan((low, high), atoms, hold, call),
            Wanted::Counts { low, high, shift, intervals } => {
                let (zeros, counts) = self.count((low, high, shift), intervals, call)?;
                Ok(Found::Counts { zeros, counts: counts.get(1..=intervals as usize).unwrap_or_default().to_vec() })
            }
        }
    }

    fn scan(
        self,
        (low, high): (u32, u32),
        atoms: &[u32],
        hold: &mut dyn FnMut(u64) -> bool,
        call: &mut Call<'_>,
    ) -> Result<Found, GpuError> {
        if atoms.len() > ATOMS {
            return Err(other(NAME, "so many values counted apart"));
        }
        let mut bracket = Table::default();
        bracket.u32(low).u32(high);
        for place in 0..ATOMS {
            bracket.u32(atoms.get(place).copied().unwrap_or(NONE));
        }
        let (counts, loose) = (call.filled((OF_ATOMS + ATOMS) * 8, 0)?, call.room(self.length * 4)?);
        let more = [Struct(bracket.bytes().to_vec()), counts.into(), loose.into()];
        call.over(Kernel::Scan, self.length, &self.with(&more))?;
        let counted = call.counts(counts, OF_ATOMS + ATOMS)?;
        let others = counted[LOOSE].min(self.length as u64);
        let found = if hold(others) {
            let mut keys = vec![0; others as usize * 4];
            if others > 0 {
                call.fetch(loose, &mut keys)?;
            }
            Loose::Magnitudes(keys.as_chunks::<4>().0.iter().map(|key| u32::from_le_bytes(*key)).collect())
        } else {
            Loose::TooMany(others)
        };
        [counts, loose].into_iter().for_each(|place| call.give_back(place));
        Ok(Found::Scan { zeros: counted[0], above: counted[1], atoms: counted[OF_ATOMS..][..atoms.len()].to_vec(), loose: found })
    }

    /// How many are zero, and how many are below the intervals, in each of them, and above them.
    fn count(
        self,
        (low, high, shift): (u32, u32, u32),
        intervals: u32,
        call: &mut Call<'_>,
    ) -> Result<(u64, Vec<u64>), GpuError> {
        let length = intervals as usize + 2;
        let (zeros, counts) = (call.filled(8, 0)?, call.filled(length * 8, 0)?);
        let more = [U32(low), U32(high), U32(shift), U32(intervals), zeros.into(), counts.into()];
        call.over(Kernel::Histogram, self.length, &self.with(&more))?;
        let zeros = call.counts(zeros, 1)?;
        Ok((zeros[0], call.counts(counts, length)?))
    }

    fn with(self, more: &[Argument]) -> Vec<Argument> {
        let Self { base, theta, length } = self;
        let of = [base.place.into(), U32(base.kind), theta.place.into(), U32(theta.kind), U64(length as u64)];
        of.into_iter().chain(more.iter().cloned()).collect()
    }
}

/// The two tensors whose difference is looked at.
fn difference<'a>(operation: &'static str, source: &Source<'a>) -> Result<(Slice<'a>, Slice<'a>), GpuError> {
    match source {
        Source::Difference { base, theta } => {
            same_length(operation, base.len(), theta.len())?;
            Ok((*base, *theta))
        }
        _ => Err(other(operation, "numbers that are no task vector's")),
    }
}

fn other(operation: &'static str, what: &str) -> GpuError {
    GpuError::Unsupported { operation, what: what.to_owned() }
}
