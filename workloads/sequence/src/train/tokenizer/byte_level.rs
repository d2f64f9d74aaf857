//! The tokens that are bytes, as a `tokenizer.json`: byte-level BPE whose vocabulary is the 256 bytes, and which merges nothing.

use serde_json::{Map, Value, json};

/// The file, for those who read a checkpoint: token 65 is the byte 65.
pub(super) fn json() -> String {
    let vocabulary: Map<String, Value> =
        letters().into_iter().zip(0..).map(|(letter, byte)| (letter.into(), json!(byte))).collect();
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": level,
        "post_processor": null,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocabulary,
            "merges": [],
        },
    });
    format!("{tokenizer:#}\n")
}

/// The letter that stands for each byte: printable Latin-1 for itself, the rest from U+0100 on (GPT-2's table).
fn letters() -> [char; 256] {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let mut letters = ['\0'; 256];
    for (byte, letter) in (0..=u8::MAX).zip(&mut letters) {
        *letter = match printable(byte) {
            true => char::from(byte),
            false => {
                next += 1;
                char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        };
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters = letters();
        assert_eq!(letters.iter().collect::<std::collections::BTreeSet<_>>().len(), 256);
        assert_eq!((letters[usize::from(b'A')], letters[usize::from(b' ')], letters[0xad]), ('A', 'Ġ', 'Ń'));
    }

    #[cfg(feature = "bpe")]
    #[test]
    fn the_file_makes_the_bytes_of_any_text() {
        let bpe = super::super::bpe::Bpe::parse(json().as_bytes()).unwrap();
        let text = "Grüße,\n\t日本 <s> \u{0}\u{7f}";
        let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
        assert_eq!((bpe.encode(text.as_bytes()).unwrap(), bpe.vocabulary()), (bytes, 256));
    }
}
