//! The file of a recording, and the one before it.
//!
//! ```text
//!           a term begins, half full: FILE becomes FILE.1
//!   open ───────────────────────────────────────────────▶ open
//!    │ full                                                ▲
//!    └──────▶ full: lines are counted, not written ────────┘ a term begins
//! ```
//! A recording can only begin where a term does, with all that the store holds: in the middle of one it would be of no use. So it is
//! cut there, and a term that is longer than a file has room for is recorded up to that. Only its owner can read it: jobs are in it
//! as they were submitted.

use crate::replay::Line;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Lines, in a file of bounded length.
pub(super) struct Rotated {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    largest: u64,
    /// Lines of this term for which there was no room.
    lost: u64,
}

impl Rotated {
    /// Goes on with a file, or makes one; it and the one before it hold at most `largest` bytes each.
    pub(super) fn open(path: &Path, largest: u64) -> io::Result<Self> {
        let (file, length) = open(path)?;
        Ok(Self { path: path.to_owned(), file, length, largest, lost: 0 })
    }

    /// What follows is a term of its own.
    pub(super) fn begin_term(&mut self) -> io::Result<()> {
        self.end_term()?;
        if self.length > self.largest / 2 {
            let mut before = OsString::from(&self.path);
            before.push(".1");
            fs::rename(&self.path, before)?;
            (self.file, self.length) = open(&self.path)?;
        }
        Ok(())
    }

    /// Writes a line, or counts it where there is no room.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let bytes = line.len() as u64 + 1;
        if self.lost > 0 || self.length + bytes > self.largest {
            if self.lost == 0 {
                tracing::warn!(path = %self.path.display(), "the recording is full; it goes on with the next term");
            }
            self.lost += 1;
            return Ok(());
        }
        self.length += bytes;
        writeln!(self.file, "{line}")
    }

    /// Says how much is missing of the term that ends, and brings all to the file.
    pub(super) fn end_term(&mut self) -> io::Result<()> {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let gap = Line::Gap { lost }.write()?;
            self.length += gap.len() as u64 + 1;
            writeln!(self.file, "{gap}")?;
        }
        self.flush()
    }

    /// Brings what was written to the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The file and its length.
fn open(path: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    end_last_line(&mut file)?;
    let length = file.metadata()?.len();
    Ok((BufWriter::new(file), length))
}

/// What a killed coordinator left is a line of its own.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_hold_what_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let (path, before) = (folder.path().join("r"), folder.path().join("r.1"));
        let mut to = Rotated::open(&path, 100).unwrap();
        let line = "x".repeat(19);
        to.begin_term().unwrap();
        for _ in 0..7 {
            to.write(&line).unwrap();
        }
        to.begin_term().unwrap();
        to.write("short").unwrap();
        to.end_term().unwrap();
        let gap = Line::Gap { lost: 2 }.write().unwrap();
        assert_eq!(fs::read_to_string(&before).unwrap(), format!("{}{gap}\n", format!("{line}\n").repeat(5)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\n");
        // Short terms share a file, over a restart too.
        fs::write(&path, "short\ncut").unwrap();
        let mut to = Rotated::open(&path, 100).unwrap();
        to.begin_term().unwrap();
        to.write("next").unwrap();
        to.end_term().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\ncut\nnext\n");
        assert!(fs::read_to_string(&before).unwrap().starts_with(&line));
    }
}
