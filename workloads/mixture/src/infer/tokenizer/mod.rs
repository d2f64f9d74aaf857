//! What inference takes from a `tokenizer.json`: its merges in order, its letters, and how text becomes words.
//!
//! The file is that of Hugging Face's tokenizers with a BPE model. Its merges, vocabulary, prefix and suffix are read here;
//! words are cut by `pieces` where the file asks for plain byte-level BPE (GPT-2's pattern), and else by the library that
//! defines the file, in `library`. Nothing is encoded: a word is cut into letters, and merged by `counts`.

mod letters;
#[cfg(feature = "bpe")]
mod library;
mod merges;
mod pieces;
mod splitter;
mod unit;

pub use merges::Merge;
pub use splitter::Splitter;
pub use unit::Unit;

use super::InferError;
use letters::Letters;
use serde::Deserialize;
use std::{collections::HashMap, path::Path};

/// A token of the vocabulary, by its number.
pub type Token = u32;

/// A BPE tokenizer, as its training left it.
pub struct Bpe {
    /// Pairs in the order in which training merged them.
    pub merges: Vec<Merge>,
    /// What training took for one text.
    pub unit: Unit,
    letters: Letters,
    splitter: Splitter,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    normalizer: serde_json::Value,
    #[serde(default)]
    pre_tokenizer: serde_json::Value,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, Token>,
    merges: Vec<merges::Written>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
}

impl Bpe {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`InferError::File`], and [`InferError::Tokenizer`] for one without merges or whose merges contradict its vocabulary.
    pub fn read(path: &Path) -> Result<Self, InferError> {
        let json = std::fs::read(path).map_err(InferError::file("read", path))?;
        Self::parse(&json).map_err(|problem| InferError::Tokenizer { path: path.to_owned(), problem })
    }

    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| format!("it is no JSON: {error}"))?;
        match &value["model"] {
            serde_json::Value::Object(model) => match model.get("type") {
                Some(serde_json::Value::String(kind)) if kind != "BPE" => {
                    return Err(format!("its model is {kind}, and only a BPE has merges to infer from"));
                }
                _ if model.get("merges").is_none() => return Err("it has no merges: its model is no BPE".to_owned()),
                _ => {}
            },
            _ => return Err("it has no `model`: this is no tokenizer.json of Hugging Face".to_owned()),
        }
        let File { normalizer, pre_tokenizer, model } =
            File::deserialize(value).map_err(|error| format!("it is no BPE tokenizer: {error}"))?;
        let prefix = model.continuing_subword_prefix.unwrap_or_default();
        let suffix = model.end_of_word_suffix.unwrap_or_default();
        let merges = merges::read(&model.merges, &model.vocab, &prefix)?;
        if merges.is_empty() {
            return Err("it has no merges: proportions are inferred from their order".to_owned());
        }
        let splitter = Splitter::of(json, &normalizer, &pre_tokenizer)?;
        let unit = Unit::of(&model.merges, pre_tokenizer.to_string().contains("\"ByteLevel\""));
        let letters = Letters::new(&model.vocab, &prefix, &suffix, splitter.is_bytes());
        Ok(Self { merges, unit, letters, splitter })
    }

    /// Cuts a text into words and hands each to `word`. Words of one text do not depend on others.
    ///
    /// # Errors
    /// The library's word on a text that it cannot cut.
    pub(crate) fn words(&self, text: &str, word: &mut impl FnMut(&str)) -> Result<(), String> {
        match self.unit {
            Unit::Document => self.splitter.split(text, word),
            Unit::Line => text.split_inclusive('\n').try_for_each(|line| self.splitter.split(line, word)),
        }
    }

    /// The letters of a word, as tokens. Characters that the vocabulary lacks are left out, as training leaves them out.
    pub(crate) fn letters(&self, word: &str, tokens: &mut Vec<Token>) {
        self.letters.spell(word, tokens);
    }
}

#[cfg(test)]
#[cfg(feature = "bpe")]
mod tests;
