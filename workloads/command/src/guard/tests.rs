use super::*;
use std::{
    io::BufRead,
    thread,
    time::{Duration, Instant},
};

/// Whether a process is there and no zombie.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn gone(pid: u32) -> bool {
    let start = Instant::now();
    while lives(pid) {
        if start.elapsed() > Duration::from_secs(10) {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn when_the_pipe_ends_groups_and_whoever_carries_the_mark_are_ended() {
    let mark = format!("test-{}", fastrand::u64(..));
    // One in a group that is named, with a child and no mark; one in no such group, with the mark.
    let mut named =
        Command::new("sh").args(["-c", "sleep 100 & echo $!; wait"]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    io::BufReader::new(named.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let grandchild: u32 = line.trim().parse().unwrap();
    let mut marked = Command::new("sleep").arg("100").env(MARK, &mark).process_group(0).spawn().unwrap();
    let mut other = Command::new("sleep").arg("100").env(MARK, "another's").process_group(0).spawn().unwrap();
    let words = format!("+{}\n", named.id());
    serve(words.as_bytes(), &mark);
    assert!(gone(named.id()) && gone(grandchild) && gone(marked.id()));
    assert!(lives(other.id()), "what is another worker's goes on");
    other.kill().unwrap();
    for child in [&mut named, &mut marked, &mut other] {
        child.wait().unwrap();
    }
}

#[test]
fn a_guard_that_dies_is_replaced_and_told_of_all_groups() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let script = format!("cat >> {}", heard.display());
    let guard = Guard::new("sh", ["-c", &script]);
    guard.prepare().unwrap();
    let pid = |raw| Pid::from_raw(raw).unwrap();
    let first = guard.watch(pid(70_001));
    let told = |text: &str| {
        let start = Instant::now();
        while !std::fs::read_to_string(&heard).unwrap_or_default().ends_with(text) {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", std::fs::read_to_string(&heard));
            thread::sleep(Duration::from_millis(5));
        }
    };
    told("+70001\n");
    {
        let mut state = guard.lock();
        let (child, _) = state.guard.as_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let second = guard.watch(pid(70_002));
    told("+70001\n+70002\n");
    drop(first);
    told("-70001\n");
    drop(second);
    drop(guard);
    told("-70002\n");
    assert!(Guard::new("/nowhere/guard", [""; 0]).prepare().unwrap_err().to_string().starts_with("cannot start the guard"));
}
