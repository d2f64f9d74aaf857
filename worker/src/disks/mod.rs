//! The disks of this node: which file systems there are, how large, and what is left of them.
//!
//! Looked at by a thread of its own, now and then: a file system that does not answer (a server that is away) holds up nothing
//! but that thread. Not how fast they are.

mod mounts;
mod watch;

pub(crate) use watch::{DiskWatch, Folders};

use mounts::Mount;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Disks that are told of, at most.
const MOST: usize = 64;

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Where it is in the tree of folders.
    pub(crate) mount: String,
    /// What is mounted there.
    pub(crate) device: String,
    /// Of file system.
    pub(crate) kind: String,
    /// Bytes.
    pub(crate) total: u64,
    /// Bytes that this process may still write.
    pub(crate) free: u64,
}

/// The disks on which these folders are, by mount; where tasks may use any folder, all that hold data.
fn look(folders: &Folders) -> Vec<Disk> {
    let mounts = Mount::read(&fs::read("/proc/self/mountinfo").unwrap_or_default());
    let mut wanted: Vec<&Mount> = folders.list.iter().filter_map(|folder| Mount::of(&mounts, &existing(folder))).collect();
    if folders.any {
        // Containers have files mounted too.
        wanted.extend(mounts.iter().filter(|mount| mount.holds_data() && mount.at.is_dir()));
    }
    wanted.sort_by(|a, b| a.at.cmp(&b.at));
    wanted.dedup_by(|a, b| a.at == b.at);
    wanted.into_iter().filter_map(measure).take(MOST).collect()
}

fn measure(mount: &Mount) -> Option<Disk> {
    let sizes = rustix::fs::statvfs(&mount.at).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(sizes.f_frsize);
    let total = bytes(sizes.f_blocks);
    (total > 0).then(|| Disk {
        mount: mount.at.to_string_lossy().into_owned(),
        device: mount.source.clone(),
        kind: mount.kind.clone(),
        total,
        free: if mount.is_read_only { 0 } else { bytes(sizes.f_bavail).min(total) },
    })
}

/// The path with its links followed, as far as it exists: what is to be made is made on the disk of the folder above.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_folder_is_found_whether_it_is_there_yet_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let here = Folders { list: vec![folder.path().into(), folder.path().join("not/yet")], any: false };
        let disks = look(&here);
        let [disk] = &*disks else { panic!("{disks:?}") };
        assert!(folder.path().canonicalize().unwrap().starts_with(&disk.mount), "{disk:?}");
        assert!(disk.total > 0 && disk.free <= disk.total && !disk.kind.is_empty(), "{disk:?}");
        assert_eq!(look(&Folders::default()), []);
        let all = look(&Folders { list: vec!["/".into()], any: true });
        let mounts: Vec<&str> = all.iter().map(|disk| disk.mount.as_str()).collect();
        assert!(mounts.contains(&"/") && mounts.is_sorted(), "{mounts:?}");
        assert!(!mounts.contains(&"/proc"), "{mounts:?}");
    }
}
