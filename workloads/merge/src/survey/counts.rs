//! Counts as short text: six bits a letter, five of them digits and one that says that more follow. A zero is one letter, a count of
//! a billion six.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// More digits than any count has.
const MOST: u32 = 64;

/// The counts as text.
pub(super) fn write(counts: &[u64]) -> String {
    let mut text = String::with_capacity(2 * counts.len());
    for count in counts {
        let mut rest = *count;
        loop {
            let (digit, more) = (rest & 31, rest > 31);
            text.push(char::from(LETTERS[(digit | u64::from(more) << 5) as usize]));
            rest >>= 5;
            if !more {
                break;
            }
        }
    }
    text
}

/// The counts of a text; none if it is not one that [`write`] makes.
pub(super) fn read(text: &str) -> Option<Vec<u64>> {
    let mut counts = Vec::new();
    let (mut count, mut place) = (0u64, 0u32);
    for letter in text.bytes() {
        let digit = LETTERS.iter().position(|known| *known == letter)? as u64;
        let shifted = (digit & 31).checked_shl(place).filter(|shifted| shifted >> place == digit & 31)?;
        count |= shifted;
        if digit > 31 {
            place += 5;
            if place >= MOST {
                return None;
            }
        } else {
            counts.push(count);
            (count, place) = (0, 0);
        }
    }
    (place == 0).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_come_back(counts in prop::collection::vec(prop_oneof![Just(0u64), 0..100u64, any::<u64>()], 0..50)) {
            prop_assert_eq!(read(&write(&counts)), Some(counts));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_ -]{0,40}") {
            if let Some(counts) = read(&text) {
                prop_assert_eq!(read(&write(&counts)), Some(counts));
            }
        }
    }

    #[test]
    fn zeros_are_short_and_torn_texts_nothing() {
        assert_eq!(write(&[0, 0, 31, 32]), "AAfgB");
        assert_eq!(read("g"), None);
        assert_eq!(read("A!"), None);
    }
}
