//! How a text becomes words: by GPT-2's pattern alone, or by the normalizer and pre-tokenizer that the file describes.

use super::pieces::Pieces;
use serde_json::Value;
use std::borrow::Cow;

/// Cuts texts into words.
pub struct Splitter(Kind);

enum Kind {
    /// Plain byte-level BPE: words are plain text, and their letters are bytes.
    Bytes { pieces: Pieces, prefix_space: bool },
    /// Whatever the file describes: words are written in the letters of the vocabulary.
    #[cfg(feature = "bpe")]
    Library(Box<super::library::Library>),
}

impl Splitter {
    /// What the file describes.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub(super) fn of(json: &[u8], normalizer: &Value, pre_tokenizer: &Value) -> Result<Self, String> {
        let plain = pre_tokenizer["type"] == "ByteLevel" && pre_tokenizer["use_regex"].as_bool().unwrap_or(true);
        if normalizer.is_null() && plain {
            let prefix_space = pre_tokenizer["add_prefix_space"].as_bool().unwrap_or(true);
            return Ok(Self(Kind::Bytes { pieces: Pieces::new()?, prefix_space }));
        }
        library(json)
    }

    /// Whether words are plain text, whose bytes are the letters.
    pub(super) fn is_bytes(&self) -> bool {
        match &self.0 {
            Kind::Bytes { .. } => true,
            #[cfg(feature = "bpe")]
            Kind::Library(_) => false,
        }
    }

    /// Hands each word of a text to `word`.
    pub(super) fn split(&self, text: &str, word: &mut impl FnMut(&str)) -> Result<(), String> {
        match &self.0 {
            Kind::Bytes { pieces, prefix_space } => {
                let spaced = *prefix_space && !text.is_empty() && !text.starts_with(' ');
                let text: Cow<'_, str> = if spaced { format!(" {text}").into() } else { text.into() };
                pieces.split(&text, &mut |piece| word(piece));
                Ok(())
            }
            #[cfg(feature = "bpe")]
            Kind::Library(library) => library.split(text, word),
        }
    }
}

#[cfg(feature = "bpe")]
fn library(json: &[u8]) -> Result<Splitter, String> {
    Ok(Splitter(Kind::Library(Box::new(super::library::Library::parse(json)?))))
}

#[cfg(not(feature = "bpe"))]
fn library(_: &[u8]) -> Result<Splitter, String> {
    Err("this build of Braid reads plain byte-level tokenizers only: it lacks the feature `bpe`".to_owned())
}
