//! Reads the table of mounts that Linux keeps for a process, `/proc/self/mountinfo`. Pure.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// Kinds of file system that hold what people keep. A kind that is not here still counts where a folder is named that lies on it.
const DATA: [&str; 24] = [
    "9p", "bcachefs", "beegfs", "btrfs", "ceph", "cifs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "gfs2", "gpfs",
    "lustre", "nfs", "nfs4", "ocfs2", "overlay", "smb3", "virtiofs", "wekafs", "xfs", "zfs",
];
/// Where people keep data in memory.
const IN_MEMORY: [&str; 2] = ["/dev/shm", "/tmp"];

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) at: PathBuf,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) is_read_only: bool,
}

impl Mount {
    /// The mounts that can be reached: of several at one place the last. Lines that cannot be read are left out.
    pub(super) fn read(table: &[u8]) -> Vec<Self> {
        let mut mounts: Vec<Self> = Vec::new();
        for mount in table.split(|byte| *byte == b'\n').filter_map(line) {
            mounts.retain(|other| other.at != mount.at);
            mounts.push(mount);
        }
        mounts
    }

    /// The one on which a path is that has no links in it.
    pub(super) fn of<'a>(mounts: &'a [Self], path: &Path) -> Option<&'a Self> {
        mounts.iter().filter(|mount| path.starts_with(&mount.at)).max_by_key(|mount| mount.at.components().count())
    }

    /// Whether tasks may be thought to keep something there.
    pub(super) fn holds_data(&self) -> bool {
        let in_memory = self.kind == "tmpfs" && IN_MEMORY.iter().any(|place| self.at == Path::new(place));
        DATA.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.") || in_memory
    }
}

/// `36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, with any number of words before the hyphen.
fn line(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let at = PathBuf::from(OsString::from_vec(plain(words.nth(4)?)));
    let options = words.next()?;
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let text = |word: &[u8]| String::from_utf8_lossy(&plain(word)).into_owned();
    let (kind, source) = (text(words.next()?), text(words.next()?));
    let read_only = |options: &[u8]| options.split(|byte| *byte == b',').any(|option| option == b"ro");
    let is_read_only = read_only(options) || words.next().is_some_and(read_only);
    Some(Mount { at, source, kind, is_read_only })
}

/// With `\040` and its like as what they stand for.
fn plain(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if first == b'\\' => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            after => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = r"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
30 27 8:1 / /data rw - xfs /dev/sda1 rw
31 27 0:50 / /data rw - nfs4 server:/export rw
32 31 8:2 / /data/two\040words ro,relatime - xfs /dev/sdb1 rw
33 27 8:3 / /mnt/cold rw - ext4 /dev/sdc1 ro
34 27 0:51 / /run rw - tmpfs tmpfs rw
35 27 0:52 / /dev/shm rw - tmpfs tmpfs rw
36 27 0:53 / /s3 rw - fuse.s3fs bucket rw
half a line
37 27 0:54 / /x rw -
";

    #[test]
    fn the_table_is_read_with_what_lies_over_what() {
        let mounts = Mount::read(TABLE.as_bytes());
        let of = |path: &str| Mount::of(&mounts, Path::new(path)).map(|mount| (mount.source.as_str(), mount.is_read_only));
        for (path, expected) in [
            ("/", ("/dev/vda", false)),
            ("/home/x", ("/dev/vda", false)),
            ("/data/out", ("server:/export", false)),
            ("/data/two words/x", ("/dev/sdb1", true)),
            ("/database", ("/dev/vda", false)),
            ("/mnt/cold", ("/dev/sdc1", true)),
        ] {
            assert_eq!(of(path), Some(expected), "{path}");
        }
        assert_eq!(Mount::of(&[], Path::new("/")), None);
        let data: Vec<&str> = mounts.iter().filter(|mount| mount.holds_data()).filter_map(|mount| mount.at.to_str()).collect();
        assert_eq!(data, ["/", "/data", "/data/two words", "/mnt/cold", "/dev/shm", "/s3"]);
    }

    proptest! {
        #[test]
        fn any_table_is_read(table in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'\\'), Just(b'0'), Just(b'-'), any::<u8>()], 0..200)) {
            let lines = table.split(|byte| *byte == b'\n').count();
            prop_assert!(Mount::read(&table).len() <= lines);
        }
    }
}
