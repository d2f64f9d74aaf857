//! What has been written so far, one line a tensor, in a file for each attempt of each task.
//!
//! A line is written after the bytes of its tensor, but neither waits for the disk: after a crash of the machine the line may
//! be there and the bytes not. So a line is a claim, and is trusted only where the page cache that took the bytes is still
//! alive (same boot of the same machine), or after a later line of the same file that says that they were synced. All other
//! claims are checked against the bytes before anything relies on them.

use super::files::read_if_there;
use crate::MergeError;
use blake3::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// One tensor that an attempt has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its index in the plan.
    pub tensor: usize,
    /// BLAKE3 of the bytes written.
    pub output: Digest,
    /// BLAKE3 of the bytes of each input.
    pub inputs: Vec<Digest>,
    /// What the work that made it said; only for the first tensor of a piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Value>,
    /// It was not computed, but taken from an earlier result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
}

/// A BLAKE3 hash that is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub Hash);

/// A record and whether its bytes need no check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// What was written.
    pub record: Record,
    /// Its bytes are on disk, or in the page cache of this machine.
    pub trusted: bool,
}

/// The file of one attempt, to which tensors are added.
#[derive(Debug)]
pub(crate) struct Progress {
    path: PathBuf,
    file: Mutex<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Record(Record),
    Boot { boot: String },
    Synced { synced: bool },
}

impl Progress {
    /// Starts the file at `path`, of an attempt on the machine whose boot this is.
    pub(crate) fn create(path: PathBuf, boot: &str) -> Result<Self, MergeError> {
        let file = File::options().create(true).append(true).open(&path).map_err(MergeError::io("create", &path))?;
        let progress = Self { path, file: Mutex::new(file) };
        progress.write(&Line::Boot { boot: boot.to_owned() })?;
        Ok(progress)
    }

    /// Adds a tensor whose bytes have been handed to the system.
    pub(crate) fn add(&self, record: Record) -> Result<(), MergeError> {
        self.write(&Line::Record(record))
    }

    /// Notes that the bytes of all tensors added so far are on disk.
    pub(crate) fn synced(&self) -> Result<(), MergeError> {
        self.write(&Line::Synced { synced: true })
    }

    /// Notes that bytes of tensors added so far were lost on their way to the disk.
    pub(crate) fn lost(&self) -> Result<(), MergeError> {
        self.write(&Line::Synced { synced: false })
    }

    fn write(&self, line: &Line) -> Result<(), MergeError> {
        let mut text = serde_json::to_vec(line).map_err(|error| MergeError::Task(format!("cannot write progress: {error}")))?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).map_err(MergeError::io("write", &self.path))
    }
}

/// The claims in the files of `folder` whose name `wanted` accepts, by tensor.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn read(folder: &Path, boot: &str, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<usize, Claim>, MergeError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut names: Vec<_> = entries.map_err(MergeError::io("read", folder))?.into_iter().map(|entry| entry.file_name()).collect();
    names.sort();
    let (mut claims, mut disputed) = (BTreeMap::<usize, Claim>::new(), HashSet::new());
    for name in names.iter().filter(|name| name.to_str().is_some_and(&wanted)) {
        let text = read_if_there(&folder.join(name))?.unwrap_or_default();
        for claim in parse(&text, boot) {
            let tensor = claim.record.tensor;
            match claims.get_mut(&tensor) {
                None => drop(claims.insert(tensor, claim)),
                Some(known) if known.record == claim.record => known.trusted |= claim.trusted,
                Some(known) => {
                    *known = claim;
                    disputed.insert(tensor);
                }
            }
        }
    }
    // One of them was checked and found wrong, or its inputs changed under it: only the bytes tell what is there now.
    for tensor in disputed {
        claims.entry(tensor).and_modify(|claim| claim.trusted = false);
    }
    Ok(claims)
}

/// The claims in one file. A torn line, as a crash leaves it, ends what is read.
fn parse(text: &[u8], own_boot: &str) -> Vec<Claim> {
    let (mut claims, mut trusted) = (Vec::<Claim>::new(), false);
    for line in text.split_inclusive(|&byte| byte == b'\n').take_while(|line| line.ends_with(b"\n")) {
        match serde_json::from_slice(line) {
            Ok(Line::Record(record)) => claims.push(Claim { record, trusted }),
            Ok(Line::Boot { boot }) => trusted = !boot.is_empty() && boot == own_boot,
            Ok(Line::Synced { synced: true }) => claims.iter_mut().for_each(|claim| claim.trusted = true),
            Ok(Line::Synced { synced: false }) => claims.clear(),
            Err(_) => break,
        }
    }
    claims
}

/// What identifies this boot of this machine; empty where the system does not say, and then nothing is trusted.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::from_hex(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tensor: usize, bytes: &[u8]) -> Record {
        Record {
            tensor,
            output: Digest(blake3::hash(bytes)),
            inputs: vec![Digest(blake3::hash(b"in"))],
            note: None,
            taken: false,
        }
    }

    fn trusted(claims: &BTreeMap<usize, Claim>) -> Vec<(usize, bool)> {
        claims.iter().map(|(&tensor, claim)| (tensor, claim.trusted)).collect()
    }

    #[test]
    fn a_claim_is_trusted_on_its_own_boot_or_once_synced() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::create(folder.path().join("4-1-a.jsonl"), "monday").unwrap();
        progress.add(record(7, b"7")).unwrap();
        progress.add(record(8, b"8")).unwrap();
        progress.synced().unwrap();
        progress.add(record(9, b"9")).unwrap();
        let read = |boot| read(folder.path(), boot, |name| name.starts_with("4-")).unwrap();
        assert_eq!(trusted(&read("monday")), [(7, true), (8, true), (9, true)]);
        assert_eq!(trusted(&read("tuesday")), [(7, true), (8, true), (9, false)]);
        assert_eq!(trusted(&super::read(folder.path(), "monday", |name| name.starts_with("5-")).unwrap()), []);
    }

    #[test]
    fn what_the_disk_refused_is_not_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::create(folder.path().join("1.jsonl"), "monday").unwrap();
        progress.add(record(1, b"1")).unwrap();
        progress.lost().unwrap();
        progress.add(record(2, b"2")).unwrap();
        assert_eq!(trusted(&read(folder.path(), "monday", |_| true).unwrap()), [(2, true)]);
    }

    #[test]
    fn an_unknown_boot_is_never_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        Progress::create(folder.path().join("1.jsonl"), "").unwrap().add(record(1, b"1")).unwrap();
        assert_eq!(trusted(&read(folder.path(), "", |_| true).unwrap()), [(1, false)]);
    }

    #[test]
    fn a_torn_line_is_as_if_it_had_not_been_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jsonl");
        let progress = Progress::create(path.clone(), "b").unwrap();
        progress.add(record(1, b"1")).unwrap();
        progress.add(record(2, b"2")).unwrap();
        let text = fs::read(&path).unwrap();
        let whole = text.len() - 1;
        for length in 0..text.len() {
            let claims = parse(&text[..length], "b");
            assert!(claims.len() < 2, "torn at {length}");
        }
        assert_eq!(parse(&text, "b").len(), 2);
        let mut wrong = text;
        wrong[whole - 5] = 0xff;
        assert_eq!(parse(&wrong, "b").len(), 1, "a line that is no record");
    }

    #[test]
    fn attempts_that_disagree_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        Progress::create(folder.path().join("1-1.jsonl"), "b").unwrap().add(record(1, b"one")).unwrap();
        Progress::create(folder.path().join("1-2.jsonl"), "b").unwrap().add(record(1, b"other")).unwrap();
        let claims = read(folder.path(), "b", |_| true).unwrap();
        assert_eq!(claims[&1], Claim { record: record(1, b"other"), trusted: false });
    }
}
