//! Counts the words of a shard, whatever form its file has.
//!
//! A compressed file is unpacked piece by piece, cut where the file itself would be: it has the same words as the plain one.

use super::{SHARD_BYTES, Shard, Words};
use crate::{
    infer::{InferError, tokenizer::Bpe},
    text::{self, Form, Kind, Packing, columns},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom},
};

impl Shard {
    /// Counts its words.
    ///
    /// # Errors
    /// [`InferError::File`], [`InferError::NotText`], [`InferError::Line`], [`InferError::Broken`]; [`InferError::Cancelled`] once
    /// `stop` says so.
    pub fn count(&self, bpe: &Bpe, stop: &dyn Fn() -> bool) -> Result<Words, InferError> {
        let mut words = Words::default();
        match Kind::look(&self.path).map_err(InferError::file("read", &self.path))? {
            Kind { form: Form::Columns, packing: Packing::Plain } => self.rows(bpe, &mut words, stop)?,
            Kind { form: Form::Columns, .. } => return Err(self.broken(columns::PACKED)),
            Kind { form, packing: Packing::Plain } => {
                let (start, mut file) = self.seek()?;
                if let Some(piece) = piece(&mut file, start, self.end).map_err(InferError::file("read", &self.path))? {
                    self.add(bpe, form, (start, piece), &mut words)?;
                }
            }
            Kind { form, packing } => {
                let mut reader = text::open(&self.path, packing).map_err(InferError::file("read", &self.path))?;
                let mut start = 0u64;
                loop {
                    if stop() {
                        return Err(InferError::Cancelled);
                    }
                    let end = (start / SHARD_BYTES + 1).saturating_mul(SHARD_BYTES);
                    let piece = piece(&mut reader, start, end).map_err(|error| self.broken(error))?;
                    let Some(piece) = piece.filter(|piece| !piece.is_empty()) else { break };
                    let length = piece.len() as u64;
                    self.add(bpe, form, (start, piece), &mut words)?;
                    start = start.saturating_add(length);
                }
            }
        }
        Ok(words)
    }

    /// The texts of the row groups that begin in the range.
    fn rows(&self, bpe: &Bpe, words: &mut Words, stop: &dyn Fn() -> bool) -> Result<(), InferError> {
        let mut stopped = false;
        let read = columns::documents(&self.path, None, &(self.start..self.end), |text| {
            stopped = stop();
            if stopped { Err(String::new()) } else { words.add(bpe, text) }
        });
        match read {
            Err(_) if stopped => Err(InferError::Cancelled),
            read => read.map_err(|problem| self.broken(problem)),
        }
    }

    /// Adds the words of a piece that begins at a byte of the text.
    fn add(&self, bpe: &Bpe, form: Form, (start, piece): (u64, Vec<u8>), words: &mut Words) -> Result<(), InferError> {
        let path = || self.path.clone();
        let text = String::from_utf8(piece).map_err(|error| InferError::NotText {
            path: path(),
            byte: start.saturating_add(error.utf8_error().valid_up_to() as u64),
        })?;
        let problem = |byte| move |problem| InferError::Line { path: self.path.clone(), byte, problem };
        if form == Form::Text {
            return words.add(bpe, &text).map_err(problem(start));
        }
        let mut byte = start;
        for line in text.split_inclusive('\n') {
            if !line.trim().is_empty() {
                let document = text::field(line.as_bytes(), text::FIELD).map_err(problem(byte))?;
                words.add(bpe, &document).map_err(problem(byte))?;
            }
            byte += line.len() as u64;
        }
        Ok(())
    }

    /// The file from the first line that begins in the range, and where that is.
    fn seek(&self) -> Result<(u64, BufReader<File>), InferError> {
        let error = || InferError::file("read", &self.path);
        let mut file = BufReader::new(File::open(&self.path).map_err(error())?);
        let Some(before) = self.start.checked_sub(1) else { return Ok((self.start, file)) };
        // The line that the byte before the range belongs to began before it.
        file.seek(SeekFrom::Start(before)).map_err(error())?;
        let skipped = file.skip_until(b'\n').map_err(error())?;
        Ok((before.saturating_add(skipped as u64), file))
    }

    fn broken(&self, problem: impl ToString) -> InferError {
        InferError::Broken { path: self.path.clone(), problem: problem.to_string() }
    }
}

/// The lines that begin between `start`, where the reader is, and `end`. None where no line can.
fn piece(reader: &mut impl BufRead, start: u64, end: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = end.checked_sub(start).filter(|length| *length > 0) else { return Ok(None) };
    let mut bytes = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.last().is_some_and(|last| *last != b'\n') {
        reader.read_until(b'\n', &mut bytes)?;
    }
    Ok(Some(bytes))
}
