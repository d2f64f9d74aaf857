//! The node's name: chosen once, kept in the data directory, so that a restarted worker is the same node.

use crate::WorkerError;
use braid_workload::{
    NodeId,
    lock::{LockError, lock},
};
use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The longest name, as of a DNS label.
const MAX_NAME: usize = 63;
/// Digits that make the names of machines with one host name differ.
const SUFFIX: usize = 4;

/// A node's name, held for this process alone while the value lives: two workers of one name would take each other's
/// sessions in turn.
#[derive(Debug)]
pub struct NodeClaim {
    id: NodeId,
    _lock: File,
}

impl NodeClaim {
    /// Takes the name kept in the file `node` of `data_dir`; on the first start makes both, as `hostname-xxxx`.
    ///
    /// # Errors
    /// [`WorkerError::InUse`] while another worker holds it, [`WorkerError::BadName`] when the file was tampered with,
    /// [`WorkerError::Data`] when the file system fails.
    pub fn take(data_dir: &Path) -> Result<Self, WorkerError> {
        Self::take_as(data_dir, &host_name())
    }

    /// The name.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    fn take_as(data_dir: &Path, host: &str) -> Result<Self, WorkerError> {
        let path = data_dir.join("node");
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| WorkerError::Data { operation, path, source }
        };
        fs::create_dir_all(data_dir).map_err(failed("create the data directory", data_dir))?;
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed("open", &path))?;
        let waiting = |holder, within| {
            tracing::warn!("the data directory {} is held by {holder}; waiting up to {within:?} for its end", data_dir.display());
        };
        lock(&file, waiting).map_err(|error| match error {
            LockError::Held(holder) => WorkerError::InUse { folder: data_dir.to_owned(), holder },
            LockError::System(source) => failed("lock", &path)(source),
        })?;
        let mut text = Vec::new();
        // One byte more than a name and its newline, so that a longer file shows.
        (&mut file).take(MAX_NAME as u64 + 2).read_to_end(&mut text).map_err(failed("read", &path))?;
        let id = match kept_name(&text) {
            Kept::Name(name) => name,
            Kept::Other => return Err(bad_name(path, &text)),
            Kept::Unfinished => {
                let name = new_name(host, fastrand::u32(..));
                let write = |file: &mut File| {
                    file.set_len(0)?;
                    file.rewind()?;
                    file.write_all(format!("{name}\n").as_bytes())?;
                    file.sync_all()
                };
                write(&mut file).map_err(failed("write", &path))?;
                name
            }
        };
        Ok(Self { id: NodeId(id), _lock: file })
    }
}

enum Kept {
    Name(String),
    /// Nothing yet, or what a crash left of the first write: the newline comes last.
    Unfinished,
    Other,
}

fn kept_name(bytes: &[u8]) -> Kept {
    let Ok(text) = std::str::from_utf8(bytes) else { return Kept::Other };
    let valid = |name: &str| name.len() <= MAX_NAME && name.chars().all(allowed);
    match text.strip_suffix('\n') {
        Some(name) if !name.is_empty() && valid(name) => Kept::Name(name.to_owned()),
        None if valid(text) => Kept::Unfinished,
        _ => Kept::Other,
    }
}

fn allowed(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '.'
}

fn new_name(host: &str, number: u32) -> String {
    let host: String = host
        .trim()
        .chars()
        .map(|letter| letter.to_ascii_lowercase())
        .map(|letter| if allowed(letter) { letter } else { '-' })
        .take(MAX_NAME - SUFFIX - 1)
        .collect();
    let host = if host.is_empty() { "node" } else { &host };
    format!("{host}-{:04x}", number & 0xffff)
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

fn bad_name(path: PathBuf, text: &[u8]) -> WorkerError {
    WorkerError::BadName { path, text: String::from_utf8_lossy(text).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_worker_is_the_same_node() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        let first = NodeClaim::take_as(&data, "Alpha_1\n").unwrap();
        let name = first.id().clone();
        assert!(name.0.starts_with("alpha-1-") && name.0.len() == "alpha-1-0000".len(), "{name}");
        let error = NodeClaim::take_as(&data, "beta").unwrap_err();
        assert!(matches!(error, WorkerError::InUse { .. }), "{error}");
        drop(first);
        assert_eq!(NodeClaim::take_as(&data, "beta").unwrap().id(), &name);
    }

    #[test]
    fn what_a_crash_left_is_replaced_and_what_a_person_wrote_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for (kept, expected) in [
            ("", Ok("host-")),
            ("host-12", Ok("host-")),
            ("gamma-77\n", Ok("gamma-77")),
            ("two words\n", Err("holds no node name but \"two words\\n\"")),
            ("\n", Err("holds no node name")),
            (&"x".repeat(64), Err("holds no node name")),
            (&format!("{}\n", "x".repeat(64)), Err("holds no node name")),
            (&format!("{}\nmore", "x".repeat(62)), Err("holds no node name")),
        ] {
            fs::write(dir.path().join("node"), kept).unwrap();
            match (NodeClaim::take_as(dir.path(), "host"), expected) {
                (Ok(claim), Ok(start)) => assert!(claim.id().0.starts_with(start), "{kept:?}: {}", claim.id()),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{kept:?}: {error}"),
                (other, _) => panic!("{kept:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn any_host_name_makes_a_name_that_reads_back() {
        for host in ["", "x", "ÄÖÜ host", &"long".repeat(40)] {
            let name = new_name(host, 0xabcd_ef01);
            assert!(name.ends_with("-ef01"), "{name}");
            assert!(matches!(kept_name(format!("{name}\n").as_bytes()), Kept::Name(kept) if kept == name), "{name}");
        }
    }
}
