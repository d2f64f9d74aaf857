//! Words by GPT-2's pattern, which most byte-level tokenizers use, without a regular expression engine.
//!
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: one look at each character. A test compares
//! it with the library on any text.

use regex_syntax::hir::{Class, HirKind};
use std::sync::Arc;

/// What the pattern sees in a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

/// The pattern: a table of kinds by character.
#[derive(Clone)]
pub(super) struct Pieces(Arc<[Kind]>);

const CHARACTERS: usize = 0x11_0000;

impl Pieces {
    /// # Errors
    /// The pattern library's word, if it lacks tables of Unicode.
    pub(super) fn new() -> Result<Self, String> {
        let mut kinds = vec![Kind::Other; CHARACTERS];
        for (pattern, kind) in [(r"\p{L}", Kind::Letter), (r"\p{N}", Kind::Number), (r"\s", Kind::Space)] {
            let parsed = regex_syntax::parse(pattern).map_err(|error| format!("the pattern of words: {error}"))?;
            let HirKind::Class(Class::Unicode(class)) = parsed.kind() else {
                return Err(format!("the pattern of words: {pattern} is no class of characters"));
            };
            for range in class.ranges() {
                kinds[range.start() as usize..=range.end() as usize].fill(kind);
            }
        }
        Ok(Self(kinds.into()))
    }

    fn kind(&self, letter: char) -> Kind {
        self.0[letter as usize]
    }

    /// Hands each word of `text` to `word`; together they are the text.
    pub(super) fn split<'t>(&self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = self.length(rest, first);
            let (head, tail) = rest.split_at(length);
            word(head);
            rest = tail;
        }
    }

    /// Bytes of the first word of `text`, which begins with `first`.
    fn length(&self, text: &str, first: char) -> usize {
        if let Some(length) = contraction(text) {
            return length;
        }
        let skipped = usize::from(first == ' ');
        let second = if skipped == 1 { text[1..].chars().next() } else { Some(first) };
        match second.map(|letter| self.kind(letter)) {
            None | Some(Kind::Space) => self.spaces(text),
            Some(kind) => skipped + self.run(&text[skipped..], kind),
        }
    }

    /// Bytes of the characters of one kind that `text` begins with.
    fn run(&self, text: &str, kind: Kind) -> usize {
        text.char_indices().find(|(_, letter)| self.kind(*letter) != kind).map_or(text.len(), |(at, _)| at)
    }

    /// Bytes of a word of spaces: all of them at the end of a text, else all but the last, which goes with what follows, unless
    /// there is only one.
    fn spaces(&self, text: &str) -> usize {
        let all = self.run(text, Kind::Space);
        if all == text.len() {
            return all;
        }
        let last = text[..all].chars().next_back().map_or(0, char::len_utf8);
        if last == all { all } else { all - last }
    }
}

fn contraction(text: &str) -> Option<usize> {
    let after = text.strip_prefix('\'')?.as_bytes();
    match after {
        [b's' | b't' | b'm' | b'd', ..] => Some(2),
        [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => Some(3),
        _ => None,
    }
}
