//! The tokens that words are made of before any merge.

use super::Token;
use std::collections::HashMap;

/// The tokens of single letters.
pub(super) struct Letters {
    /// Of bytes, where the tokenizer is byte-level and words are plain text.
    bytes: Option<Box<[Option<Token>; 256]>>,
    /// Of characters at their four places in a word: within it or first, and last or not.
    places: [HashMap<char, Token>; 4],
}

/// Where a letter stands.
fn place(first: bool, last: bool) -> usize {
    usize::from(first) + 2 * usize::from(last)
}

impl Letters {
    /// `prefix` precedes letters that do not begin a word, `suffix` follows those that end it; `bytes`: words are plain text.
    pub(super) fn new(vocab: &HashMap<String, Token>, prefix: &str, suffix: &str, bytes: bool) -> Self {
        if bytes {
            let table = byte_letters().map(|letter| vocab.get(letter.encode_utf8(&mut [0; 4]) as &str).copied());
            return Self { bytes: Some(Box::new(table)), places: Default::default() };
        }
        let mut places: [HashMap<char, Token>; 4] = Default::default();
        for (token, &number) in vocab {
            for (first, last) in [(false, false), (true, false), (false, true), (true, true)] {
                let inner = if first { Some(token.as_str()) } else { token.strip_prefix(prefix) };
                let inner = inner.and_then(|inner| if last { inner.strip_suffix(suffix) } else { Some(inner) });
                let mut letters = inner.unwrap_or_default().chars();
                if let (Some(letter), None) = (letters.next(), letters.next()) {
                    places[place(first, last)].insert(letter, number);
                }
            }
        }
        Self { bytes: None, places }
    }

    pub(super) fn spell(&self, word: &str, tokens: &mut Vec<Token>) {
        if let Some(table) = &self.bytes {
            return tokens.extend(word.bytes().filter_map(|byte| table[usize::from(byte)]));
        }
        let mut letters = word.chars().peekable();
        let mut first = true;
        while let Some(letter) = letters.next() {
            let last = letters.peek().is_none();
            tokens.extend(self.places[place(first, last)].get(&letter));
            first = false;
        }
    }
}

/// The letter that byte-level tokenizers write for each byte (GPT-2's table): itself where it is printable Latin-1, and for
/// the others one from U+0100 on.
pub(super) fn byte_letters() -> [char; 256] {
    let mut others = (0x100..).filter_map(char::from_u32);
    std::array::from_fn(|byte| {
        let letter = char::from(u8::try_from(byte).unwrap_or_default());
        match letter {
            '!'..='~' | '¡'..='¬' | '®'..='ÿ' => letter,
            _ => others.next().unwrap_or_default(),
        }
    })
}
