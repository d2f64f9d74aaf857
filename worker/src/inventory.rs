//! What this machine offers: threads and memory, within the limits that a container or a batch system set.
//!
//! Asked once, at the start. Not what tasks use: the executor accounts for that.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

/// What this machine offers to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Threads that can run at once.
    pub threads: NonZeroUsize,
    /// Bytes of memory.
    pub memory: u64,
}

impl Machine {
    /// Looks at the machine: processors within the affinity mask and cgroup quota, and memory within cgroup v2 limits.
    /// What cannot be found out is taken for one thread and 2 GiB.
    pub fn detect() -> Self {
        // The standard library already honours affinity and cpu.max.
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { threads, memory: memory(Path::new("/")).unwrap_or(2 << 30) }
    }

    /// The bytes that tasks may hold by default: three quarters of all, as the rest of the machine needs some too.
    pub fn memory_for_tasks(&self) -> u64 {
        self.memory / 4 * 3
    }
}

/// Bytes of memory that a process in the file system `root` may use, where it can be read.
fn memory(root: &Path) -> Option<u64> {
    let physical = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| total(&text));
    let limits = cgroups(root).into_iter().filter_map(|folder| {
        let text = fs::read_to_string(folder.join("memory.max")).ok()?;
        // "max" means none and is no number.
        text.trim().parse().ok()
    });
    limits.chain(physical).min()
}

/// `MemTotal:       16384 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The folder of this process's cgroup and those above it: a limit on any of them counts.
fn cgroups(root: &Path) -> Vec<PathBuf> {
    let mount = root.join("sys/fs/cgroup");
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    // Version 2 has the one line "0::/path"; inside a container the path may not exist, and then the mount is ours.
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folder = mount.join(path);
    folder.ancestors().take_while(|folder| folder.starts_with(&mount)).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_memory_limit_counts() {
        let meminfo = ("proc/meminfo", "Buffers: 5 kB\nMemTotal:   1000 kB\nMemFree: 7 kB\n");
        let own = ("proc/self/cgroup", "0::/job.slice/run.scope\n");
        let limit = |path, text| (path, text);
        type Files<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Files<'_>, Option<u64>); 7] = [
            (&[], None),
            (&[meminfo], Some(1_024_000)),
            (&[meminfo, own, limit("sys/fs/cgroup/job.slice/run.scope/memory.max", "max\n")], Some(1_024_000)),
            (&[meminfo, own, limit("sys/fs/cgroup/job.slice/run.scope/memory.max", "4096\n")], Some(4096)),
            (&[meminfo, own, limit("sys/fs/cgroup/job.slice/memory.max", "8192\n")], Some(8192)),
            (&[meminfo, own, limit("sys/fs/cgroup/memory.max", "12288\n")], Some(12288)),
            (&[("proc/meminfo", "MemTotal: 99999999999999999999 kB"), limit("sys/fs/cgroup/memory.max", "1")], Some(1)),
        ];
        for (files, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(memory(root.path()), expected, "{files:?}");
        }
    }

    #[test]
    fn this_machine_has_something_to_offer() {
        let machine = Machine::detect();
        assert!(machine.memory >= 64 << 20, "{machine:?}");
        assert!(machine.memory_for_tasks() < machine.memory);
    }
}
