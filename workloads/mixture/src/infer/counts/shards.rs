//! The text of a category as shards: ranges of its files, cut at ends of lines.
//!
//! Where a file is cut depends on the files alone, so that counts do not depend on who counts.

use super::Words;
use crate::infer::{InferError, tokenizer::Bpe};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// Bytes of a shard, but for the rest of its last line.
pub const SHARD_BYTES: u64 = 8 << 20;

/// A range of a file: the lines that begin in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The file.
    pub path: PathBuf,
    /// The first byte of the range.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// The shards of a category: of a file, or of all files below a folder in the order of their names.
///
/// # Errors
/// [`InferError::NoText`] where there is none, [`InferError::File`] for what cannot be read.
pub fn shards(name: &str, path: &Path, bytes: u64) -> Result<Vec<Shard>, InferError> {
    let none = |problem| InferError::NoText { name: name.to_owned(), path: path.to_owned(), problem };
    if !path.exists() {
        return Err(none("is not there"));
    }
    let (mut files, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        let kind = fs::metadata(&path).map_err(InferError::file("read", &path))?;
        if kind.is_dir() {
            for entry in fs::read_dir(&path).map_err(InferError::file("list", &path))? {
                let entry = entry.map_err(InferError::file("list", &path))?;
                // A link inside a folder may lead back to it; one that the user names is followed.
                if !entry.file_type().map_err(InferError::file("read", entry.path()))?.is_symlink() {
                    open.push(entry.path());
                }
            }
        } else if kind.is_file() && kind.len() > 0 {
            files.push((path, kind.len()));
        }
    }
    if files.is_empty() {
        return Err(none("is empty"));
    }
    files.sort();
    let bytes = bytes.max(1);
    let cut = |(path, length): (PathBuf, u64)| {
        let starts = (0..length.div_ceil(bytes)).map(move |index| index * bytes);
        starts.map(move |start| Shard { path: path.clone(), start, end: length.min(start + bytes) })
    };
    Ok(files.into_iter().flat_map(cut).collect())
}

impl Shard {
    /// Counts its words.
    ///
    /// # Errors
    /// [`InferError::File`], [`InferError::NotText`], [`InferError::Line`].
    pub fn count(&self, bpe: &Bpe) -> Result<Words, InferError> {
        let (start, text) = self.text()?;
        let mut words = Words::default();
        let problem = |byte, problem| InferError::Line { path: self.path.clone(), byte, problem };
        if self.path.extension().is_none_or(|extension| extension != "jsonl") {
            words.add(bpe, &text).map_err(|error| problem(start, error))?;
            return Ok(words);
        }
        let mut byte = start;
        for line in text.split_inclusive('\n') {
            if !line.trim().is_empty() {
                let Document { text } = serde_json::from_str(line).map_err(|error| problem(byte, error.to_string()))?;
                words.add(bpe, &text).map_err(|error| problem(byte, error))?;
            }
            byte += line.len() as u64;
        }
        Ok(words)
    }

    /// The lines that begin in the range, and where the first of them begins.
    fn text(&self) -> Result<(u64, String), InferError> {
        let error = || InferError::file("read", &self.path);
        let mut file = BufReader::new(File::open(&self.path).map_err(error())?);
        let (mut start, mut bytes) = (self.start, Vec::new());
        if let Some(before) = self.start.checked_sub(1) {
            // The line that the byte before the range belongs to began before it.
            file.seek(SeekFrom::Start(before)).map_err(error())?;
            let skipped = file.skip_until(b'\n').map_err(error())?;
            start = before.saturating_add(skipped as u64);
        }
        if start < self.end {
            file.by_ref().take(self.end - start).read_to_end(&mut bytes).map_err(error())?;
            if bytes.last().is_some_and(|last| *last != b'\n') {
                file.read_until(b'\n', &mut bytes).map_err(error())?;
            }
        }
        let text = String::from_utf8(bytes).map_err(|error| InferError::NotText {
            path: self.path.clone(),
            byte: start.saturating_add(error.utf8_error().valid_up_to() as u64),
        })?;
        Ok((start, text))
    }
}

/// A line of a JSONL file.
#[derive(Deserialize)]
struct Document {
    text: String,
}
