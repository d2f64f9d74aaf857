//! Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
//!
//! A word depends on (key, counter) alone, so that any machine, thread or GPU draws the word of any element without drawing
//! those before it. This module fixes which word belongs to which element; it is not a stream and has no state.
//!
//! Element `e` gets word `(e % 64) / 16` of the block with counter `(e / 64) * 16 + e % 16`, the counter's upper 64 bits being
//! zero. The four words of sixteen neighbouring counters thus cover 64 elements in order without a transposition.

/// Elements whose words are drawn together.
pub(crate) const GROUP: usize = 64;
const LANES: usize = 16;

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const LOW: u64 = 0xffff_ffff;

/// The four words of one counter under one key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    block(counter.map(u64::from), key)
}

/// The word of element `element` under `key`.
pub(crate) fn word(key: [u32; 2], element: u64) -> u32 {
    let lane = element % LANES as u64;
    let counter = element / GROUP as u64 * LANES as u64 + lane;
    let words = block([counter, counter >> 32, 0, 0], key);
    words[(element % GROUP as u64) as usize / LANES]
}

/// The words of elements `first..first + out.len()`, both multiples of [`GROUP`].
#[inline(always)]
pub(crate) fn words(key: [u32; 2], first: u64, out: &mut [u32]) {
    for (index, group) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let counter = (first / GROUP as u64).wrapping_add(index as u64).wrapping_mul(LANES as u64);
        for lane in 0..LANES {
            let own = counter.wrapping_add(lane as u64);
            let words = block([own, own >> 32, 0, 0], key);
            group[lane] = words[0];
            group[LANES + lane] = words[1];
            group[2 * LANES + lane] = words[2];
            group[3 * LANES + lane] = words[3];
        }
    }
}

/// Words are held in the lower halves of u64, whose upper halves are garbage: a 32 × 32 bit product in a vector register ignores
/// these, and the next multiplication or the final truncation drops them.
#[inline(always)]
fn block(mut counter: [u64; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let even = (counter[0] & LOW) * MULTIPLIERS[0];
        let odd = (counter[2] & LOW) * MULTIPLIERS[1];
        counter = [(odd >> 32) ^ counter[1] ^ u64::from(key[0]), odd, (even >> 32) ^ counter[3] ^ u64::from(key[1]), even];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter.map(|word| word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors published with the authors' Random123 library.
    #[test]
    fn published_answers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn groups_hold_the_words_of_their_elements() {
        let key = [7, 9];
        // The second start makes the counter cross 32 bits inside the groups.
        for first in [0, (1u64 << 32) * 4 - 64, 1 << 40] {
            let mut out = [0; 4 * GROUP];
            words(key, first, &mut out);
            for (offset, found) in out.into_iter().enumerate() {
                assert_eq!(found, word(key, first + offset as u64), "element {first} + {offset}");
            }
        }
        let counter = 5 * 16 + 3u32;
        assert_eq!(word(key, 5 * 64 + 2 * 16 + 3), philox4x32([counter, 0, 0, 0], key)[2], "the mapping of the module's text");
    }
}
