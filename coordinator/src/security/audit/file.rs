//! The files of the audit log: `audit.jsonl`, and when it is full `audit.1.jsonl` and so on, the higher the older.

use super::Entry;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Bytes after which a file is full.
const FULL: u64 = 16 << 20;
/// Full files that are kept.
const KEPT: usize = 8;

/// The file that is written.
pub(super) struct Files {
    folder: PathBuf,
    file: File,
    bytes: u64,
    full: u64,
}

impl Files {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Self::open_limited(folder, FULL)
    }

    fn open_limited(folder: &Path, full: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (file, bytes) = append_to(&name(folder, 0))?;
        Ok(Self { folder: folder.to_owned(), file, bytes, full })
    }

    /// Writes entries, each whole, and brings them to disk.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            if self.bytes >= self.full {
                self.turn()?;
            }
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.bytes += line.len() as u64;
        }
        self.file.sync_data()
    }

    fn turn(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        for number in (0..KEPT).rev() {
            match fs::rename(name(&self.folder, number), name(&self.folder, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.bytes) = append_to(&name(&self.folder, 0))?;
        Ok(())
    }
}

fn name(folder: &Path, number: usize) -> PathBuf {
    folder.join(if number == 0 { "audit.jsonl".to_owned() } else { format!("audit.{number}.jsonl") })
}

/// Opens a file to add lines to. Half a line that a crash left is ended.
fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > 0 {
        use std::os::unix::fs::FileExt as _;
        let mut last = [0];
        file.read_exact_at(&mut last, bytes - 1)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, bytes))
}

/// The newest entries of all files, oldest first. Lines that cannot be read are left out.
pub(super) fn read(folder: &Path, last: usize) -> io::Result<Vec<Entry>> {
    let mut newest_first: Vec<Entry> = Vec::new();
    for number in 0..=KEPT {
        if newest_first.len() >= last {
            break;
        }
        let file = match File::open(name(folder, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for line in BufReader::new(file).split(b'\n') {
            entries.extend(serde_json::from_slice::<Entry>(&line?));
        }
        newest_first.extend(entries.into_iter().rev());
    }
    newest_first.truncate(last);
    newest_first.reverse();
    Ok(newest_first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn entry(at: u64) -> Entry {
        let text = |what: &str| format!("{what} {at} \"\n\u{1b}");
        Entry { at, who: text("who"), from: text("from"), what: text("what"), object: text("object"), outcome: "OK".into() }
    }

    #[test]
    fn entries_read_back_over_restarts_turns_and_crashes() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = 0;
        for _ in 0..5 {
            let mut files = Files::open_limited(folder.path(), 600).unwrap();
            for _ in 0..4 {
                written += 1;
                files.append(&[entry(written)]).unwrap();
            }
            // The crash.
            let mut file = OpenOptions::new().append(true).open(name(folder.path(), 0)).unwrap();
            file.write_all(b"{\"at\": 7, \"who\"").unwrap();
        }
        assert_eq!(read(folder.path(), 1000).unwrap(), (1..=written).map(entry).collect::<Vec<_>>());
        assert_eq!(read(folder.path(), 3).unwrap(), (written - 2..=written).map(entry).collect::<Vec<_>>());
        let mode = fs::metadata(name(folder.path(), 0)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_oldest_file_is_dropped_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open_limited(folder.path(), 1).unwrap();
        let all: Vec<Entry> = (0..20).map(entry).collect();
        files.append(&all).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT + 1);
        assert_eq!(read(folder.path(), 1000).unwrap(), (20 - KEPT as u64 - 1..20).map(entry).collect::<Vec<_>>());
    }
}
