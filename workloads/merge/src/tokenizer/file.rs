//! A `tokenizer.json`: kind, tokens and their numbers.

use crate::{MergeError, checkpoint::Sources};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

/// The name of the file in the folder of a checkpoint.
pub(crate) const FILE: &str = "tokenizer.json";

/// The longest file that is read; those of a quarter of a million tokens have some 30 MB.
const MAX_BYTES: u64 = 512 << 20;

/// How a tokenizer cuts words: what its numbers mean to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Byte-pair encoding.
    Bpe,
    /// A unigram language model; the number of a token is its place in a list.
    Unigram,
    /// The longest known pieces of words.
    WordPiece,
    /// Whole words.
    WordLevel,
}

/// A token that is looked for in the text before it is cut; fields as in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedToken {
    /// Its number.
    pub id: u32,
    /// Its text.
    pub content: String,
    /// It is no part of a longer word.
    #[serde(default)]
    pub single_word: bool,
    /// It takes the spaces before it.
    #[serde(default)]
    pub lstrip: bool,
    /// It takes the spaces after it.
    #[serde(default)]
    pub rstrip: bool,
    /// It is looked for in normalized text.
    #[serde(default)]
    pub normalized: bool,
    /// It can be left out of decoded text.
    #[serde(default)]
    pub special: bool,
}

/// What is known of a `tokenizer.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizerFile {
    /// The folder that it lies in.
    pub folder: PathBuf,
    /// Its kind.
    pub kind: Kind,
    /// BLAKE3 of its text.
    pub digest: blake3::Hash,
    ids: HashMap<String, u32>,
    tokens: BTreeMap<u32, String>,
    added: BTreeMap<u32, AddedToken>,
}

#[derive(Deserialize)]
struct Text {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Vocab,
    merges: Option<IgnoredAny>,
    continuing_subword_prefix: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vocab {
    Numbered(HashMap<String, u32>),
    Listed(Vec<(String, f64)>),
}

impl TokenizerFile {
    /// Reads the tokenizer in this folder; `None` where there is none.
    ///
    /// # Errors
    /// A file that cannot be read or is no tokenizer.
    pub fn open(sources: &Sources, folder: &Path) -> Result<Option<Self>, MergeError> {
        match read(sources, folder)? {
            Some(text) => Self::parse(folder, &text).map(Some),
            None => Ok(None),
        }
    }

    /// The same tokenizer, copied to another folder.
    pub(crate) fn in_folder(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..self.clone() }
    }

    /// Understands the text of the tokenizer in this folder.
    ///
    /// # Errors
    /// It is no tokenizer.
    pub fn parse(folder: &Path, text: &[u8]) -> Result<Self, MergeError> {
        let wrong = |problem: String| wrong(folder, problem);
        let Text { model, added_tokens } =
            serde_json::from_slice(text).map_err(|error| wrong(format!("is no tokenizer: {error}")))?;
        let kind = match (model.kind.as_deref(), &model.vocab) {
            (Some("BPE"), Vocab::Numbered(_)) => Kind::Bpe,
            (Some("WordPiece"), Vocab::Numbered(_)) => Kind::WordPiece,
            (Some("WordLevel"), Vocab::Numbered(_)) => Kind::WordLevel,
            (Some("Unigram") | None, Vocab::Listed(_)) => Kind::Unigram,
            // files of the first versions do not say
            (None, Vocab::Numbered(_)) if model.merges.is_some() => Kind::Bpe,
            (None, Vocab::Numbered(_)) if model.continuing_subword_prefix.is_some() => Kind::WordPiece,
            (Some(kind), _) => {
                return Err(wrong(format!("has a model {kind:?} that is not known, or a vocabulary not of its kind")));
            }
            (None, Vocab::Numbered(_)) => return Err(wrong("does not say of what kind its model is".into())),
        };
        let mut ids = match model.vocab {
            Vocab::Numbered(ids) => ids,
            Vocab::Listed(list) => {
                let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
                list.into_iter().enumerate().map(|(index, (token, _))| (token, number(index))).collect()
            }
        };
        let mut added = BTreeMap::new();
        for token in added_tokens {
            ids.insert(token.content.clone(), token.id);
            added.insert(token.id, token);
        }
        let mut tokens = BTreeMap::new();
        for (token, id) in &ids {
            // of two with one number the first in the alphabet, whatever the order of the map
            let entry = tokens.entry(*id).or_insert_with(|| token.clone());
            if token < entry {
                entry.clone_from(token);
            }
        }
        Ok(Self { folder: folder.to_owned(), kind, digest: blake3::hash(text), ids, tokens, added })
    }

    /// The number of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token of a number.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(&id).map(String::as_str)
    }

    /// All tokens, by their numbers.
    pub fn tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        self.tokens.iter().map(|(id, token)| (*id, token.as_str()))
    }

    /// The tokens that are looked for before a text is cut, by their numbers.
    pub fn added(&self) -> impl Iterator<Item = &AddedToken> {
        self.added.values()
    }

    /// The highest number, with its token.
    pub fn last(&self) -> Option<(u32, &str)> {
        self.tokens.last_key_value().map(|(id, token)| (*id, token.as_str()))
    }

    /// How many tokens there are, numbered from 0 without a gap; what is wrong with the numbers otherwise.
    pub fn count(&self) -> Result<u32, String> {
        let count = self.ids.len();
        if let Some((wanted, _)) = (0u32..).zip(self.tokens.keys()).find(|(wanted, id)| wanted != *id) {
            let last = self.last().map_or(0, |(id, _)| id);
            return Err(format!("no token has the number {wanted}, though {count} tokens are numbered up to {last}"));
        }
        if self.tokens.len() < count {
            let twice =
                self.ids.iter().filter(|(token, id)| self.token(**id) != Some(token)).map(|(token, id)| (id, token)).min();
            let (id, other) = twice.map_or((0, ""), |(id, token)| (*id, token.as_str()));
            return Err(format!("{:?} and {other:?} both have the number {id}", self.token(id).unwrap_or("")));
        }
        u32::try_from(count).map_err(|_| "more tokens than can be numbered".into())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpe => "BPE",
            Self::Unigram => "Unigram",
            Self::WordPiece => "WordPiece",
            Self::WordLevel => "WordLevel",
        })
    }
}

/// The tokenizer in this folder as JSON, which must be the text that has this digest.
///
/// # Errors
/// It cannot be read, or has changed.
pub(crate) fn read_json(sources: &Sources, folder: &Path, digest: blake3::Hash) -> Result<serde_json::Value, MergeError> {
    let changed = || MergeError::Changed { path: folder.join(FILE) };
    let text = read(sources, folder)?.filter(|text| blake3::hash(text) == digest).ok_or_else(changed)?;
    serde_json::from_slice(&text).map_err(|error| wrong(folder, format!("is no JSON: {error}")))
}

fn read(sources: &Sources, folder: &Path) -> Result<Option<Vec<u8>>, MergeError> {
    let path = folder.join(FILE);
    match sources.length(&path)? {
        None => Ok(None),
        Some(length) if length > MAX_BYTES => {
            Err(wrong(folder, format!("is longer than any tokenizer (at most {MAX_BYTES} bytes)")))
        }
        Some(_) => sources.read_if_there(&path),
    }
}

fn wrong(folder: &Path, problem: String) -> MergeError {
    MergeError::Checkpoint { path: folder.join(FILE), problem, hint: Some("fetch it again".into()) }
}

#[cfg(test)]
mod tests;
