//! The tokens of a domain's files, one after the other: text is held in memory as bytes, files of tokens are read where they are.

use super::{packed::Packed, source::DomainSource, text};
use crate::MixtureError;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Text of a domain that is held in memory at most.
const MOST_TEXT: u64 = 8 << 30;

/// One domain's tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    pieces: Vec<Piece>,
    len: u64,
}

/// Tokens of one file, or of all text.
#[derive(Debug)]
struct Piece {
    /// Its first token in the domain.
    first: u64,
    len: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Text(Vec<u8>),
    File(Packed),
}

/// A file that cannot be used, before anybody has said of which domain it is.
#[derive(Debug)]
pub(super) struct FileProblem {
    pub(super) path: PathBuf,
    pub(super) problem: String,
}

impl FileProblem {
    pub(super) fn new(path: &Path, problem: impl ToString) -> Self {
        Self { path: path.to_owned(), problem: problem.to_string() }
    }

    pub(super) fn of_domain(self, domain: &str) -> MixtureError {
        let problem = format!("cannot read {}: {}", self.path.display(), self.problem);
        MixtureError::Data { domain: domain.to_owned(), problem }
    }
}

impl Tokens {
    /// Opens all files, in order.
    pub(super) fn open(source: &DomainSource) -> Result<Self, FileProblem> {
        let mut tokens = Self { pieces: vec![], len: 0 };
        for path in &source.paths {
            for file in listed(path)? {
                tokens.add(&file, source)?;
            }
        }
        Ok(tokens)
    }

    fn add(&mut self, path: &Path, source: &DomainSource) -> Result<(), FileProblem> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".bin") || name.ends_with(".npy") {
            let packed = Packed::open(path, source.integers)?;
            return self.push(packed.len(), Held::File(packed), path);
        }
        if name.ends_with(".idx") {
            return Ok(()); // read with the .bin beside it
        }
        let mut all = match self.pieces.pop() {
            Some(Piece { held: Held::Text(text), len, .. }) => {
                self.len -= len;
                text
            }
            Some(other) => {
                self.pieces.push(other);
                vec![]
            }
            None => vec![],
        };
        text::documents(path, source, |document| {
            // A byte that text does not have ends each document.
            all.extend_from_slice(document);
            all.push(0);
            if all.len() as u64 > MOST_TEXT {
                Err(format!("the domain has more than {} GiB of text", MOST_TEXT >> 30))
            } else {
                Ok(())
            }
        })?;
        self.push(all.len() as u64, Held::Text(all), path)
    }

    fn push(&mut self, len: u64, held: Held, path: &Path) -> Result<(), FileProblem> {
        let first = self.len;
        self.len =
            first.checked_add(len).ok_or_else(|| FileProblem::new(path, "there are more tokens than a number can count"))?;
        if len > 0 {
            self.pieces.push(Piece { first, len, held });
        }
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Forgets what is beyond so many tokens.
    pub(super) fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
    }

    /// Adds to a digest of everything: text whole, of a file of tokens its length and the first `sample` of them.
    pub(super) fn digest(&self, hasher: &mut blake3::Hasher, sample: usize) -> Result<(), MixtureError> {
        hasher.update(&self.len.to_le_bytes());
        for piece in &self.pieces {
            hasher.update(&piece.len.to_le_bytes());
            match &piece.held {
                Held::Text(text) => {
                    hasher.update(text);
                }
                Held::File(packed) => {
                    let mut tokens = vec![0; usize::try_from(piece.len).map_or(sample, |len| len.min(sample))];
                    packed.read(0, &mut tokens)?;
                    tokens.iter().for_each(|token| {
                        hasher.update(&token.to_le_bytes());
                    });
                }
            }
        }
        Ok(())
    }

    /// Reads the tokens from `at` on.
    pub(super) fn read(&self, at: u64, out: &mut [u32]) -> Result<(), MixtureError> {
        let mut done = 0;
        while done < out.len() {
            let at = at + done as u64;
            let index = self.pieces.partition_point(|piece| piece.first + piece.len <= at);
            let Some(piece) = self.pieces.get(index) else {
                return Err(MixtureError::Domains(format!("token {at} is beyond the {} that there are", self.len)));
            };
            let (from, left) = (at - piece.first, out.len() - done);
            let count = usize::try_from(piece.len - from).map_or(left, |there| there.min(left));
            let to = &mut out[done..done + count];
            match &piece.held {
                Held::Text(text) => {
                    let from = from as usize;
                    to.iter_mut().zip(&text[from..from + count]).for_each(|(token, &byte)| *token = u32::from(byte));
                }
                Held::File(packed) => packed.read(from, to)?,
            }
            done += count;
        }
        Ok(())
    }
}

/// The file itself, or all files below a folder, in the order of their names.
fn listed(path: &Path) -> Result<Vec<PathBuf>, FileProblem> {
    let problem = |error: std::io::Error| FileProblem::new(path, error);
    if !fs::metadata(path).map_err(problem)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut entries = entries.map_err(problem)?;
    entries.sort();
    entries.iter().map(|entry| listed(entry)).collect::<Result<Vec<_>, _>>().map(|nested| nested.concat())
}
