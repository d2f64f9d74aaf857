//! How much memory a program holds with all that it has started: what its process group and its descendants have in RAM.
//!
//! Anonymous pages of each process, and the largest part of shared memory that one of them maps: what several map counts once.
//! Address space says nothing here (CUDA and torch reserve terabytes), and page cache is not theirs.

use rustix::process::Pid;
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

/// How often a program with a limit is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Watches over the memory of a process group.
#[derive(Debug)]
pub(super) struct Watch {
    leader: Pid,
    limit: u64,
    next: Instant,
}

impl Watch {
    pub(super) fn new(leader: Pid, limit: u64) -> Self {
        Self { leader, limit, next: Instant::now() }
    }

    /// Whether it holds more than it may; asks the system at most ten times a second.
    pub(super) fn exceeded(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + LOOK_EVERY;
        held(self.leader) > self.limit
    }

    /// When it wants to look next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}

/// Bytes that a process and its descendants hold.
fn held(leader: Pid) -> u64 {
    let (mut anonymous, mut shared) = (0u64, 0u64);
    for pid in descendants(leader.as_raw_nonzero().get()) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        anonymous = anonymous.saturating_add(field(&status, "RssAnon:"));
        shared = shared.max(field(&status, "RssShmem:"));
    }
    anonymous.saturating_add(shared)
}

/// A process and all below it, those that left its process group included.
pub(crate) fn descendants(leader: i32) -> BTreeSet<i32> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![leader]);
    while let Some(pid) = open.pop() {
        if !seen.insert(pid) {
            continue;
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    seen
}

/// `RssAnon:     1234 kB`, in bytes.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_holds_is_seen() {
        let own = Pid::from_raw(std::process::id() as i32).unwrap();
        let before = held(own);
        let block = vec![1u8; 64 << 20];
        let after = held(own);
        assert!(after >= before + (48 << 20), "{before} -> {after}");
        drop(block);
        let mut watch = Watch::new(own, 1);
        let now = Instant::now();
        assert!(watch.exceeded(now) && !watch.exceeded(now), "not asked again at once");
        assert_eq!(field("Name:\tx\nRssAnon:\t    12 kB\n", "RssAnon:"), 12 << 10);
    }

    #[test]
    fn children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        let all = descendants(std::process::id() as i32);
        assert!(all.contains(&(child.id() as i32)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
