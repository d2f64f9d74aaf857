//! What a trainer has told, on disk before it is thanked: one line of JSON a record, a file for each life of the run.
//!
//! A life begins by copying what the lives before it have recorded, under a name that only one of them can get. An attempt that was
//! taken for lost goes on writing into its own file, which nobody reads any more. A line without an end was never answered, and is
//! dropped.

use super::super::{files, place::Place};
use crate::{
    job::{JobError, history::Line},
    steer::Told,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

const FOLDER: &str = "steering";
const LINES: &str = ".jsonl";

/// The records of this life.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    len: u64,
    history: Vec<Line>,
}

impl Records {
    /// Begins a life with the records of those before.
    pub(super) fn open(place: &Place) -> Result<(Self, Vec<Told>), JobError> {
        let folder = place.file(FOLDER);
        fs::create_dir_all(&folder).map_err(JobError::file("create", &folder))?;
        let last = lives(&folder)?.pop();
        let text = match last {
            Some(life) => {
                let path = path_of(&folder, life);
                fs::read_to_string(&path).map_err(JobError::file("read", path))?
            }
            None => String::new(),
        };
        let whole = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or_default());
        let read = |line: &str| serde_json::from_str(line);
        let unreadable = |error: serde_json::Error| JobError::Unreadable { path: folder.clone(), problem: error.to_string() };
        let told = whole.lines().map(read).collect::<Result<Vec<Told>, _>>().map_err(unreadable)?;
        let path = path_of(&folder, last.map_or(1, |life| life.saturating_add(1)));
        let fresh = folder.join(format!(".{}", place.attempt()));
        files::write(&fresh, whole.as_bytes(), "copy")?;
        // Unlike a rename, a link takes nobody's place.
        let linked = fs::hard_link(&fresh, &path);
        fs::remove_file(&fresh).map_err(JobError::file("remove", &fresh))?;
        linked.map_err(JobError::file("begin", &path))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(JobError::file("open", &path))?;
        Ok((Self { folder, path, file, len: whole.len() as u64, history: vec![] }, told))
    }

    /// Writes one down. On an error nothing is.
    pub(super) fn append(&mut self, told: &Told) -> io::Result<()> {
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        // What an earlier failure may have left half.
        if self.file.metadata()?.len() != self.len {
            self.file.set_len(self.len)?;
        }
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Keeps lines for the history.
    pub(super) fn keep(&mut self, lines: Vec<Line>) {
        self.history.extend(lines);
    }

    pub(super) fn history(&self) -> &[Line] {
        &self.history
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all of them: there is a result.
    pub(super) fn remove(self) -> Result<(), JobError> {
        fs::remove_dir_all(&self.folder).map_err(JobError::file("remove", &self.folder))
    }
}

fn path_of(folder: &Path, life: u64) -> PathBuf {
    folder.join(format!("{life}{LINES}"))
}

/// In the order in which they began.
fn lives(folder: &Path) -> Result<Vec<u64>, JobError> {
    let names = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let names = names.map_err(JobError::file("read", folder))?;
    let life = |entry: &fs::DirEntry| entry.file_name().to_str()?.strip_suffix(LINES)?.parse().ok();
    let mut lives: Vec<u64> = names.iter().filter_map(life).collect();
    lives.sort_unstable();
    Ok(lives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(loss: f64) -> Told {
        Told::Tested { losses: vec![loss] }
    }

    #[test]
    fn a_life_goes_on_where_the_last_whole_record_ends() {
        let scratch = tempfile::tempdir().unwrap();
        let place = |attempt: &str| Place::new(scratch.path().to_owned(), attempt.into());
        let (mut first, found) = Records::open(&place("1")).unwrap();
        assert!(found.is_empty());
        first.append(&told(0.1)).unwrap();
        first.append(&told(1.0 / 3.0)).unwrap();
        let (mut second, found) = Records::open(&place("2")).unwrap();
        assert_eq!(found, [told(0.1), told(1.0 / 3.0)]);
        // The first was only taken for lost: nobody reads what it writes.
        first.append(&told(9.0)).unwrap();
        second.append(&told(3.0)).unwrap();
        // Killed in the middle of a line.
        OpenOptions::new().append(true).open(second.path()).unwrap().write_all(b"{\"told\": \"tes").unwrap();
        let (mut third, found) = Records::open(&place("3")).unwrap();
        assert_eq!(found, [told(0.1), told(1.0 / 3.0), told(3.0)]);
        third.append(&told(4.0)).unwrap();
        let (fourth, found) = Records::open(&place("4")).unwrap();
        assert_eq!(found.len(), 4);
        fourth.remove().unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing stays");
    }

    #[test]
    fn a_record_that_is_none_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Place::new(scratch.path().to_owned(), "1".into());
        drop(Records::open(&place).unwrap());
        fs::write(scratch.path().join("steering/1.jsonl"), "{}\n").unwrap();
        assert!(Records::open(&place).unwrap_err().to_string().contains("steering: missing field `told`"));
    }
}
