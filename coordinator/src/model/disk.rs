//! A file system of a node, as its worker sees it. Not how fast it is: that is the node's.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// A file system of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Where it is in the tree of folders.
    pub mount: String,
    /// What is mounted there: disks of one device share its bytes.
    pub device: String,
    /// Of file system, as the system names it.
    pub kind: String,
    /// Bytes.
    pub total: u64,
    /// Bytes that tasks may still write; 0 where they may write nothing.
    pub free: u64,
}

impl Disk {
    /// The one of these on which a path is: that with the longest mount which it begins with. `None` when the node named none, as
    /// nothing is known of it then.
    pub fn of<'a>(disks: &'a [Self], path: &Path) -> Option<&'a Self> {
        let holding = disks.iter().filter(|disk| path.starts_with(&disk.mount));
        holding.max_by_key(|disk| Path::new(&disk.mount).components().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_on_the_disk_with_the_longest_mount() {
        let disk = |mount: &str| Disk { mount: mount.into(), ..Disk::default() };
        let disks = [disk("/data"), disk("/"), disk("/data/fast")];
        for (path, mount) in [("/data/fast/out", "/data/fast"), ("/data/fastest", "/data"), ("/data", "/data"), ("/home/x", "/")]
        {
            assert_eq!(Disk::of(&disks, Path::new(path)).map(|disk| disk.mount.as_str()), Some(mount), "{path}");
        }
        assert_eq!(Disk::of(&disks[..1], Path::new("/home/x")), None);
    }
}
