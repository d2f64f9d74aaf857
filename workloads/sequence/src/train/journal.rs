//! What a training has to tell, one JSON line a step: `plans.jsonl`, written before the step, and `losses.jsonl`, after it.
//!
//! A training that goes on from a checkpoint forgets the lines of losses after it (they come again, the same), and takes the plans that are
//! there.

use super::TrainError;
use crate::planner::Plan;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// The plan of a step, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanLine {
    /// Counted from 0.
    pub step: u64,
    /// The lengths of its sequences; the plan's sequences are their indices.
    pub lengths: Vec<u64>,
    /// What is to be done.
    pub plan: Plan,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LossLine {
    /// Counted from 0.
    pub step: u64,
    /// Nats for each token that was predicted.
    pub loss: f64,
    /// Tokens read.
    pub tokens: u64,
    /// The norm of the gradient, before clipping.
    pub norm: f64,
    /// The learning rate.
    pub lr: f32,
}

/// A file of lines, open for more.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens a journal that keeps those of its lines that `keep` wants, and returns these. A torn last line is forgotten.
    pub(super) fn open<T: DeserializeOwned>(path: &Path, keep: impl Fn(&T) -> bool) -> Result<(Self, Vec<T>), TrainError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(TrainError::file("read", path)(error)),
        };
        let (mut lines, mut kept) = (vec![], String::new());
        for (text, line) in text.lines().map_while(|text| Some((text, serde_json::from_str::<T>(text).ok()?))) {
            if keep(&line) {
                lines.push(line);
                // As it was: numbers do not survive being read and written to the last digit.
                kept.extend([text, "\n"]);
            }
        }
        let fresh = path.with_extension("new");
        let write = |file: &mut File| file.write_all(kept.as_bytes()).and_then(|()| file.sync_all());
        let mut file = File::create(&fresh).map_err(TrainError::file("create", &fresh))?;
        write(&mut file).map_err(TrainError::file("write", &fresh))?;
        fs::rename(&fresh, path).map_err(TrainError::file("rename", &fresh))?;
        Ok((Self { path: path.to_owned(), file }, lines))
    }

    /// Adds a line. It is in the hands of the system when this returns.
    pub(super) fn write<T: Serialize>(&mut self, line: &T) -> Result<(), TrainError> {
        let text = encode(&self.path, line)?;
        self.file.write_all(text.as_bytes()).map_err(TrainError::file("write", &self.path))
    }
}

fn encode<T: Serialize>(path: &Path, line: &T) -> Result<String, TrainError> {
    let text = serde_json::to_string(line).map_err(|error| TrainError::file("write", path)(error.into()))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> LossLine {
        LossLine { step, loss: 1.5, tokens: 7, norm: 0.1, lr: 0.5 }
    }

    #[test]
    fn a_torn_line_and_lines_after_the_checkpoint_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("losses.jsonl");
        let (mut journal, lines) = Journal::open::<LossLine>(&path, |_| true).unwrap();
        assert!(lines.is_empty());
        for step in 0..5 {
            journal.write(&line(step)).unwrap();
        }
        drop(journal);
        let torn = fs::read_to_string(&path).unwrap() + "{\"step\": 5, \"lo";
        fs::write(&path, torn).unwrap();
        let (mut journal, lines) = Journal::open(&path, |line: &LossLine| line.step < 3).unwrap();
        assert_eq!(lines, [line(0), line(1), line(2)]);
        journal.write(&line(3)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
    }
}
