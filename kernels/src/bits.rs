//! A bit for each element of a tile: flags become bits, and what has none becomes zero. Not how an element gets its bit.
//!
//! Bits of 64 elements are a word, the first element the lowest; they may begin at any bit.

/// Flags that become bits together.
pub(crate) const GROUP: usize = 64;
/// Elements that are zeroed together: as many as the bits of a lane.
const LANE: usize = 32;

/// The bits of 64 flags, each of them 0 or 1.
#[inline(always)]
pub(crate) fn packed(flags: &[u8; GROUP]) -> u64 {
    let mut word = 0;
    for (index, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // The product moves flag i by 56 − 7i bits, to bit i of the highest byte; no two flags meet in one bit.
        let highest = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= highest << (8 * index);
    }
    word
}

/// Sets the bits of those elements, the first of which has bit `first`, whose flag is 1 and not 0.
#[inline(always)]
pub(crate) fn set(bits: &mut [u64], first: usize, flags: &[u8]) {
    let (groups, rest) = flags.as_chunks::<GROUP>();
    for (index, group) in groups.iter().enumerate() {
        set_word(bits, first + index * GROUP, packed(group));
    }
    if !rest.is_empty() {
        let mut group = [0; GROUP];
        group[..rest.len()].copy_from_slice(rest);
        set_word(bits, first + groups.len() * GROUP, packed(&group));
    }
}

#[inline(always)]
fn set_word(bits: &mut [u64], first: usize, word: u64) {
    let (index, shift) = (first / GROUP, first % GROUP);
    if let Some(own) = bits.get_mut(index) {
        *own |= word << shift;
    }
    if shift > 0
        && let Some(next) = bits.get_mut(index + 1)
    {
        *next |= word >> (GROUP - shift);
    }
}

/// The 64 bits from bit `first` on. Bits that are not there are zero.
#[inline(always)]
fn word(bits: &[u64], first: usize) -> u64 {
    let (index, shift) = (first / GROUP, first % GROUP);
    let own = bits.get(index).copied().unwrap_or_default() >> shift;
    if shift == 0 { own } else { own | bits.get(index + 1).copied().unwrap_or_default() << (GROUP - shift) }
}

/// Zeroes those of `values`, the first of which has bit `first`, whose bit is not set.
#[inline(always)]
pub(crate) fn zero_others(bits: &[u64], first: usize, values: &mut [f32]) {
    let (lanes, rest) = values.as_chunks_mut::<LANE>();
    for (index, values) in lanes.iter_mut().enumerate() {
        let word = word(bits, first + index * LANE) as u32;
        for (place, value) in values.iter_mut().enumerate() {
            let mask = 0u32.wrapping_sub(word >> place & 1);
            *value = f32::from_bits(value.to_bits() & mask);
        }
    }
    let word = word(bits, first + lanes.len() * LANE);
    for (place, value) in rest.iter_mut().enumerate() {
        *value = if word >> place & 1 == 1 { *value } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags without a pattern.
    fn flags(count: usize) -> Vec<u8> {
        (0..count as u32).map(|n| (crate::philox4x32([n, 0, 0, 0], [7, 9])[0] & 1) as u8).collect()
    }

    #[test]
    fn flags_come_back_as_bits_and_as_what_is_left() {
        for (first, count) in
            [0, 1, 31, 63, 64, 130].into_iter().flat_map(|first| [0, 1, 32, 63, 64, 65, 256, 300].map(|count| (first, count)))
        {
            let flags = flags(count);
            let mut bits = vec![0; (first + count).div_ceil(GROUP)];
            set(&mut bits, first, &flags);
            let found: Vec<u8> = (first..first + count).map(|bit| (bits[bit / GROUP] >> (bit % GROUP) & 1) as u8).collect();
            assert_eq!(found, flags, "{count} from bit {first}");
            assert_eq!(bits.iter().map(|word| word.count_ones()).sum::<u32>(), flags.iter().map(|flag| u32::from(*flag)).sum());
            let mut values: Vec<f32> = (0..count).map(|n| -1.0 - n as f32).collect();
            let expected: Vec<f32> =
                values.iter().zip(&flags).map(|(value, flag)| if *flag == 1 { *value } else { 0.0 }).collect();
            zero_others(&bits, first, &mut values);
            assert_eq!(values, expected, "{count} from bit {first}");
        }
    }

    #[test]
    fn what_has_no_bit_is_zeroed_and_not_set() {
        let mut bits = [0; 1];
        set(&mut bits, 60, &[1; 70]);
        assert_eq!(bits, [0xf << 60]);
        let mut values = [1.0; 40];
        zero_others(&bits, 60, &mut values);
        assert_eq!(values.iter().sum::<f32>(), 4.0);
        zero_others(&[], 3, &mut values);
        assert_eq!(values, [0.0; 40]);
    }
}
