//! What a guard does: listens until its worker is gone, then ends what the worker has left.

use super::MARK;
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    thread,
    time::{Duration, Instant},
};

/// How long it looks for what is left; a process that just starts shows up within it.
const SWEEP: Duration = Duration::from_secs(5);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Looks that must find nothing before it is done.
const CLEAN: u32 = 3;

/// Reads what the worker says until it is gone, and ends its programs: those it named, and those that carry `mark`.
pub fn serve(words: impl Read, mark: &str) {
    for group in groups(words) {
        kill_group(group);
    }
    let wanted = format!("{MARK}={mark}").into_bytes();
    let until = Instant::now() + SWEEP;
    let mut clean = 0;
    while clean < CLEAN && Instant::now() < until {
        let left = marked(&wanted);
        clean = if left.is_empty() { clean + 1 } else { 0 };
        for pid in left {
            // The group first: of what is in it, some may carry no mark. Its number is its leader's, and where the leader is gone,
            // this reaches nobody.
            kill_group(pid);
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        thread::sleep(PAUSE);
    }
}

/// The groups that were there when the worker went.
fn groups(words: impl Read) -> BTreeSet<i32> {
    let mut groups = BTreeSet::new();
    // A pipe that breaks is a worker that is gone.
    for line in BufReader::new(words).lines().map_while(Result::ok) {
        let sign = line.chars().next();
        match (sign, line.get(1..).and_then(|number| number.parse::<i32>().ok())) {
            (Some('+'), Some(group)) => groups.insert(group),
            (Some('-'), Some(group)) => groups.remove(&group),
            _ => false,
        };
    }
    groups
}

fn kill_group(group: i32) {
    // 1 would be everybody.
    if let Some(group) = Pid::from_raw(group).filter(|_| group > 1) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Processes that carry a variable, this one not among them. Those of other users cannot be read, and are none of ours.
fn marked(wanted: &[u8]) -> Vec<i32> {
    let own = getpid().as_raw_nonzero().get();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: &i32| {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == wanted)
    };
    pids.filter(|pid| *pid != own).filter(carries).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_last_counts_and_nonsense_does_not() {
        let words = "+12\n+13\n-12\n+x\n\n*5\n-99\n+é\n+14";
        assert_eq!(groups(words.as_bytes()), BTreeSet::from([13, 14]));
    }
}
