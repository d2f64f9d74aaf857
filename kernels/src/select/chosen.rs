//! Which elements of a tile stay by the number of each, bit by bit: for numbers that take longer to compute than a bit to look up.

use super::source::{Opened, Source};
use crate::block::{BLOCK, blocks, dispatched};
use crate::keep::TileTrim;
use crate::{KernelError, bits};

/// A bit for each element of a tile, the lowest bit of a word first: whether its number stays. NaN stays always, so that it is
/// noticed.
///
/// # Errors
/// Inputs of unequal length, or not of floats.
pub fn chosen(source: &Source<'_>, trim: TileTrim) -> Result<Vec<u64>, KernelError> {
    let mut bits = vec![0; source.length().div_ceil(bits::GROUP)];
    dispatch(&mut source.open("chosen")?, source.length(), trim, &mut bits);
    Ok(bits)
}

dispatched! {
    fn dispatch / dispatch_avx2(source: &mut Opened<'_>, length: usize, trim: TileTrim, bits: &mut [u64]) = body;
}

#[inline(always)]
fn body(source: &mut Opened<'_>, length: usize, mut trim: TileTrim, bits: &mut [u64]) {
    let (mut keys, mut flags) = ([0u32; BLOCK], [0u8; BLOCK]);
    for range in blocks(length) {
        let (keys, flags) = (&mut keys[..range.len()], &mut flags[..range.len()]);
        source.keys(&range, keys);
        let mut equal = 0u32;
        for key in &*keys {
            equal += u32::from(*key == trim.threshold);
        }
        match trim.floor(u64::from(equal)) {
            Some(floor) => {
                trim.pass(u64::from(equal));
                for (flag, key) in flags.iter_mut().zip(&*keys) {
                    *flag = u8::from(*key >= floor);
                }
            }
            None => flags.iter_mut().zip(&*keys).for_each(|(flag, key)| *flag = u8::from(trim.next(*key))),
        }
        bits::set(bits, range.start, flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::magnitude;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn bits_are_those_of_what_a_trim_leaves_on_every_processor() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let inputs = [0, 2, 4, 5].map(|seed| tensor(kind, numel, seed));
            let [base, experts @ ..] = inputs.each_ref().map(|bytes| floats(kind, bytes));
            let open = || Opened::Spread { base, experts: experts.to_vec(), deltas: vec![[0.0; BLOCK]; 3] };
            let mut numbers = vec![0u32; numel];
            for range in blocks(numel) {
                open().keys(&range, &mut numbers[range.clone()]);
            }
            let middle = numbers.get(numel / 2).copied().unwrap_or_default();
            for trim in [
                TileTrim { threshold: magnitude(0.1), ties: 2 },
                TileTrim { threshold: middle, ties: 1 },
                TileTrim::EVERYTHING,
                TileTrim::NOTHING,
            ] {
                type Version = fn(&mut Opened<'_>, usize, TileTrim, &mut [u64]);
                let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
                let found = versions.map(|version| {
                    let mut bits = vec![0; numel.div_ceil(64)];
                    version(&mut open(), numel, trim, &mut bits);
                    bits
                });
                let mut left = trim;
                for (element, number) in numbers.iter().enumerate() {
                    assert_eq!(found[0][element / 64] >> (element % 64) & 1 == 1, left.next(*number), "{trim:?} {element}");
                }
                assert_same(found, (kind, numel, trim));
            }
        }
    }
}
