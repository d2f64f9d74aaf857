//! Where this process may make cgroups: its own one, if it was given to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The mark that systemd puts on a cgroup that it gives away.
const MARK: &str = "user.delegate";

/// This process's cgroup of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it is mounted.
    pub(super) folder: PathBuf,
    /// It is the top of what can be seen: of a container, or of the machine.
    pub(super) is_top: bool,
}

/// Why groups cannot be made there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// There is no version 2, or not where it can be seen.
    #[error("no cgroup2 file system is mounted that has this process")]
    NotMounted,
    /// Version 1 has the controller, or nobody passed it on.
    #[error("{} has no memory controller", .0.display())]
    NoController(PathBuf),
    /// It is somebody else's.
    #[error("{} is not delegated to this process (systemd: Delegate=memory)", .0.display())]
    NotDelegated(PathBuf),
}

impl Place {
    /// The one that this process is in, in the file system `root`.
    pub(super) fn find(root: &Path) -> Result<Self, Unfit> {
        let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let (folder, is_top) = locate(&own, &mounts).ok_or(Unfit::NotMounted)?;
        Ok(Self { folder: root.join(folder.strip_prefix("/").unwrap_or(&folder)), is_top })
    }

    /// Whether groups with memory limits may be made in it.
    pub(super) fn check(&self, is_root: bool) -> Result<(), Unfit> {
        let controllers = fs::read_to_string(self.folder.join("cgroup.controllers")).unwrap_or_default();
        if !controllers.split_whitespace().any(|controller| controller == "memory") {
            return Err(Unfit::NoController(self.folder.clone()));
        }
        let writable = |file: &str| rustix::fs::access(self.folder.join(file), rustix::fs::Access::WRITE_OK).is_ok();
        let given = self.is_given(is_root, || is_marked(&self.folder));
        if given && writable("cgroup.procs") && writable("cgroup.subtree_control") {
            return Ok(());
        }
        Err(Unfit::NotDelegated(self.folder.clone()))
    }

    /// Whether it is this process's to divide. Who is not root can write only what was given to it; root could write anything, and
    /// keeps off what is systemd's.
    fn is_given(&self, is_root: bool, is_marked: impl Fn() -> bool) -> bool {
        !is_root || self.is_top || is_marked()
    }
}

fn is_marked(folder: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(folder, MARK, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1".as_slice()))
}

/// The folder of this process's cgroup, and whether it is the top of what is mounted, from `/proc/self/cgroup` and
/// `/proc/self/mountinfo`.
fn locate(own: &str, mounts: &str) -> Option<(PathBuf, bool)> {
    let path = Path::new(own.lines().find_map(|line| line.strip_prefix("0::"))?);
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut words = before.split(' ').skip(3);
        let (top, at) = (words.next()?.to_owned(), words.next()?.to_owned());
        (after.split(' ').next() == Some("cgroup2")).then_some((top, at))
    };
    // The last one lies over the others.
    let (top, at) = mounts.lines().filter_map(mount).next_back()?;
    let below = path.strip_prefix(&top).ok()?;
    // Joining nothing would leave a slash at the end.
    let folder = if below.as_os_str().is_empty() { PathBuf::from(at) } else { Path::new(&at).join(below) };
    Some((folder, below.as_os_str().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_cgroup_is_found_however_it_is_mounted() {
        let both = "30 23 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    41 30 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let bound = "31 23 0:28 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        for (own, mounts, expected) in [
            ("0::/system.slice/braid-worker.service\n", V2, Some(("/sys/fs/cgroup/system.slice/braid-worker.service", false))),
            ("0::/\n", V2, Some(("/sys/fs/cgroup", true))),
            ("9:name=systemd:/\n4:memory:/x\n0::/\n", both, Some(("/sys/fs/cgroup/unified", true))),
            ("0::/docker/ab\n", bound, Some(("/sys/fs/cgroup", true))),
            ("0::/elsewhere\n", bound, None),
            ("4:memory:/x\n", V2, None),
            ("0::/\n", "", None),
        ] {
            let expected = expected.map(|(folder, is_top)| (PathBuf::from(folder), is_top));
            assert_eq!(locate(own, mounts), expected, "{own:?} {mounts:?}");
        }
    }

    #[test]
    fn root_divides_only_what_was_given_away() {
        let place = |is_top| Place { folder: "/x".into(), is_top };
        for (is_root, is_top, marked, given) in
            [(false, false, false, true), (true, false, false, false), (true, false, true, true), (true, true, false, true)]
        {
            assert_eq!(place(is_top).is_given(is_root, || marked), given, "{is_root} {is_top} {marked}");
        }
    }
}
