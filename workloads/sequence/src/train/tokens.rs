//! What a spec says of its tokens: `byte`, or the path of a tokenizer.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;

/// The word for tokens that are bytes.
const BYTE: &str = "byte";

/// What a token of a training is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tokens {
    /// A byte of a document.
    #[default]
    Byte,
    /// What a Hugging Face `tokenizer.json` (BPE) makes of its text. Relative to the spec's folder.
    Tokenizer(PathBuf),
}

impl Tokens {
    /// What one of them is called where a loss is told.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Byte => "byte",
            Self::Tokenizer(_) => "token",
        }
    }

    /// Whether they are those that a spec without a word about them has.
    pub(super) fn are_bytes(&self) -> bool {
        *self == Self::Byte
    }
}

impl Serialize for Tokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Byte => serializer.serialize_str(BYTE),
            Self::Tokenizer(path) => path.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text == BYTE { Self::Byte } else { Self::Tokenizer(text.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_back() {
        for (text, tokens) in [("\"byte\"", Tokens::Byte), ("\"a/tokenizer.json\"", Tokens::Tokenizer("a/tokenizer.json".into()))]
        {
            assert_eq!(serde_json::from_str::<Tokens>(text).unwrap(), tokens);
            assert_eq!(serde_json::to_string(&tokens).unwrap(), text);
        }
    }
}
