//! Tokens by a Hugging Face `tokenizer.json`, with the library that defines that file.
//!
//! What the file says of truncation and padding is left out: a training cuts documents itself.

use std::fmt::Display;
use tokenizers::{ModelWrapper, Tokenizer};

/// A tokenizer that gives each document the same tokens on every rank.
pub(super) struct Bpe {
    tokenizer: Tokenizer,
    vocabulary: usize,
}

impl Bpe {
    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// What it is instead, or why a training cannot use it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| no_tokenizer(json, &error))?;
        let bpe = match tokenizer.get_model() {
            ModelWrapper::BPE(bpe) => bpe,
            ModelWrapper::WordPiece(_) => return Err(not_bpe("WordPiece")),
            ModelWrapper::WordLevel(_) => return Err(not_bpe("WordLevel")),
            ModelWrapper::Unigram(_) => return Err(not_bpe("Unigram")),
        };
        if let Some(dropout) = bpe.dropout.filter(|dropout| *dropout > 0.0) {
            return Err(format!(
                "it drops merges by chance (model.dropout is {dropout}), and each rank would read other tokens: set it to null"
            ));
        }
        let words = tokenizer.get_vocab(true);
        let vocabulary = words.values().collect::<std::collections::HashSet<_>>().len();
        // Alphabetically the first, so that the message is the same every time.
        if let Some((word, id)) = words.iter().filter(|(_, id)| **id as usize >= vocabulary).min() {
            return Err(format!(
                "token {word:?} has the number {id}, out of range: it has {vocabulary} tokens, which are to be numbered 0 to {}",
                vocabulary.saturating_sub(1)
            ));
        }
        if vocabulary == 0 {
            return Err("its vocabulary is empty".to_owned());
        }
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| error.to_string())?;
        Ok(Self { tokenizer, vocabulary })
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The tokens of a document.
    ///
    /// # Errors
    /// When it is no text, or the tokenizer cannot read it.
    pub(super) fn encode(&self, document: &[u8]) -> Result<Vec<u32>, String> {
        let text = std::str::from_utf8(document).map_err(|error| {
            format!("byte {} is not UTF-8, and a tokenizer reads text: convert it, or take `tokens: byte`", error.valid_up_to())
        })?;
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|error| error.to_string())?;
        let ids = encoding.get_ids();
        match ids.iter().find(|id| **id as usize >= self.vocabulary) {
            Some(id) => Err(format!("the tokenizer makes token {id} of it, and has only {}", self.vocabulary)),
            None => Ok(ids.to_vec()),
        }
    }
}

fn not_bpe(kind: &str) -> String {
    format!("its model is {kind}, and a training reads BPE")
}

/// The library's word on a file that it cannot read. That of its models names none of them, so that is looked at first.
fn no_tokenizer(json: &[u8], error: &dyn Display) -> String {
    let value: serde_json::Value = match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(error) => return format!("it is no JSON: {error}"),
    };
    match &value["model"]["type"] {
        serde_json::Value::String(kind) if kind != "BPE" => not_bpe(kind),
        _ => format!("it is no tokenizer: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BASE: &[u8] = include_bytes!("../../../../../examples/experts/base/tokenizer.json");

    fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut value = serde_json::from_slice(BASE).unwrap();
        change(&mut value);
        serde_json::to_vec(&value).unwrap()
    }

    #[test]
    fn a_text_becomes_its_tokens_and_comes_back() {
        let bpe = Bpe::parse(BASE).unwrap();
        let text = "def main():\n    return \"Straße\"  # <s> 日本\n";
        let tokens = bpe.encode(text.as_bytes()).unwrap();
        assert!(tokens.len() < text.len() && tokens.iter().all(|&token| token < 1024), "{tokens:?}");
        assert_eq!(bpe.vocabulary(), 1024);
        assert_eq!(bpe.tokenizer.decode(&tokens, false).unwrap(), text);
    }

    #[test]
    fn nothing_is_cut_padded_or_added_whatever_the_file_says() {
        let cut = changed(|file| {
            file["truncation"] = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
            file["padding"] = json!({"strategy": {"Fixed": 99}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"});
        });
        let text = "the quick brown fox jumps over the lazy dog".as_bytes();
        assert_eq!(Bpe::parse(&cut).unwrap().encode(text), Bpe::parse(BASE).unwrap().encode(text));
    }

    #[test]
    fn what_a_training_cannot_use_is_named() {
        let word = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
        let cases = [
            (b"{\"version\"".to_vec(), "it is no JSON: EOF while parsing an object at line 1 column 10"),
            (b"{}".to_vec(), "it is no tokenizer: "),
            (BASE[..BASE.len() / 2].to_vec(), "it is no JSON: EOF while parsing"),
            (changed(|file| file["model"] = word), "its model is WordLevel, and a training reads BPE"),
            (changed(|file| file["model"]["type"] = json!("Mamba")), "its model is Mamba, and a training reads BPE"),
            (changed(|file| file["model"]["dropout"] = json!(0.25)), "it drops merges by chance (model.dropout is 0.25)"),
            (
                changed(|file| file["model"]["vocab"]["Ġthe"] = json!(70_000)),
                "token \"Ġthe\" has the number 70000, out of range: it has 1024 tokens, which are to be numbered 0 to 1023",
            ),
        ];
        for (json, said) in cases {
            let error = Bpe::parse(&json).err().unwrap();
            assert!(error.starts_with(said), "{error}");
        }
        let error = Bpe::parse(BASE).unwrap().encode(b"ab\xff").unwrap_err();
        assert!(error.starts_with("byte 2 is not UTF-8"), "{error}");
    }
}
