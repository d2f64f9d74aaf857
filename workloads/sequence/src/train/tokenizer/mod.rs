//! Makes tokens of documents, and says so in a file that a checkpoint carries.
//!
//! | tokens | vocabulary | what a checkpoint's `tokenizer.json` is |
//! |---|---|---|
//! | bytes | 256, a token is its byte | a byte-level BPE without merges (byte_level.rs) |
//! | a tokenizer | that of the file | the file, byte for byte (bpe.rs) |

#[cfg(feature = "bpe")]
mod bpe;
mod byte_level;

use super::{Tokens, TrainError};
use std::{fs, path::PathBuf};

/// A vocabulary of bytes.
const BYTES: usize = 256;

/// What the documents of a training are read with.
pub struct Tokenizer {
    kind: Kind,
    json: Vec<u8>,
}

enum Kind {
    Byte,
    #[cfg(feature = "bpe")]
    Bpe(Box<bpe::Bpe>),
}

impl Tokenizer {
    /// The tokenizer that a spec names.
    ///
    /// # Errors
    /// [`TrainError::Tokenizer`] for a file that cannot be read, is no tokenizer, or is one that a training cannot use.
    pub fn read(tokens: &Tokens) -> Result<Self, TrainError> {
        let Tokens::Tokenizer(path) = tokens else {
            return Ok(Self { kind: Kind::Byte, json: byte_level::json().into_bytes() });
        };
        let problem = |problem| TrainError::Tokenizer { path: path.clone(), problem };
        let json = fs::read(path).map_err(|error| problem(error.to_string()))?;
        let kind = kind(&json).map_err(problem)?;
        Ok(Self { kind, json })
    }

    /// Tokens that there are: each is a number below this.
    pub fn vocabulary(&self) -> usize {
        match &self.kind {
            Kind::Byte => BYTES,
            #[cfg(feature = "bpe")]
            Kind::Bpe(bpe) => bpe.vocabulary(),
        }
    }

    /// The tokens of a document. No token is added at its beginning or end.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub(super) fn encode(&self, document: &[u8]) -> Result<Vec<u32>, String> {
        match &self.kind {
            Kind::Byte => Ok(document.iter().map(|&byte| u32::from(byte)).collect()),
            #[cfg(feature = "bpe")]
            Kind::Bpe(bpe) => bpe.encode(document),
        }
    }

    /// The text of a `tokenizer.json` that makes the same tokens.
    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    /// Checks that this is the tokenizer that a job was made for.
    pub(super) fn check(&self, tokens: &Tokens, vocabulary: usize) -> Result<(), TrainError> {
        match tokens {
            Tokens::Tokenizer(path) if self.vocabulary() != vocabulary => {
                Err(TrainError::Tokenizer { path: path.clone(), problem: other(self.vocabulary(), vocabulary) })
            }
            Tokens::Byte if vocabulary != BYTES => {
                Err(TrainError::Tokenizer { path: PathBuf::from("of bytes"), problem: other(BYTES, vocabulary) })
            }
            _ => Ok(()),
        }
    }
}

fn other(found: usize, expected: usize) -> String {
    format!("it has {found} tokens, and the job was made for {expected}: every worker must see the same file")
}

#[cfg(feature = "bpe")]
fn kind(json: &[u8]) -> Result<Kind, String> {
    Ok(Kind::Bpe(Box::new(bpe::Bpe::parse(json)?)))
}

#[cfg(not(feature = "bpe"))]
fn kind(_: &[u8]) -> Result<Kind, String> {
    Err("this build of Braid reads no tokenizers: it lacks the feature `bpe`".to_owned())
}
