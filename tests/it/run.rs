//! Programs as jobs, by real processes: what they print, how they end, and that nothing of them stays.

use crate::harness::{Coordinator, CoordinatorSetup, Process, Run, Scratch, Worker, WorkerSetup, command, eventually};
use rustix::process::Signal;
use std::fs;

/// A coordinator and workers of so many threads.
fn fleet(threads: &[usize]) -> (Coordinator, Vec<Worker>) {
    let coordinator = Coordinator::start(CoordinatorSetup { lease: Some("2s".into()), ..CoordinatorSetup::default() });
    let worker = |threads: &usize| WorkerSetup { threads: Some(*threads), ..WorkerSetup::default() };
    let workers = threads.iter().map(|threads| Worker::start(coordinator.address(), worker(threads))).collect();
    coordinator.wait_for_nodes(threads.len());
    (coordinator, workers)
}

fn here(scratch: &Scratch, args: &[&str]) -> Run {
    scratch.braid([&["run", "--quiet"], args].concat())
}

/// Waits until a process is gone: what was killed may need a moment to die.
fn gone(pid: &str) {
    eventually("the end of a program", || (!lives(pid)).then_some(()));
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn written(scratch: &Scratch, name: &str) -> String {
    eventually(name, || fs::read_to_string(scratch.join(name)).ok().filter(|text| text.ends_with('\n')))
}

#[test]
fn a_program_here_is_like_a_program_run_by_hand() {
    let scratch = Scratch::new();
    let run = here(&scratch, &["--env", "WHO=you", "--", "sh", "-c", "echo hello $WHO; echo oops >&2; pwd"]);
    let folder = scratch.path().canonicalize().unwrap();
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), format!("hello you\n{}\n", folder.display()).as_str()), "{run}");
    assert_eq!(run.stderr, "oops\n");
    for (script, code) in [("exit 3", 3), ("kill -9 $$", 137), ("exit 0", 0)] {
        assert_eq!(here(&scratch, &["--", "sh", "-c", script]).code, Some(code), "{script}");
    }
    assert!(scratch.names().is_empty(), "nothing is left behind: {:?}", scratch.names());
}

#[test]
fn what_cannot_be_run_is_named() {
    let scratch = Scratch::new();
    scratch.write("script", "echo hi\n");
    for (args, code, said) in [
        (&["--", "no-such-program"][..], 127, "there is no program \"no-such-program\" in "),
        (&["--", "./script"], 126, "/script: it is not executable"),
        (&["--dir", "nowhere", "--", "true"], 126, "/nowhere: No such file or directory"),
        (&["--timeout", "200ms", "--", "sleep", "60"], 124, "sleep 60 did not end within its timeout of 200ms"),
        (
            &["--memory", "32MiB", "--", "sh", "-c", "head -c 200000000 /dev/zero | tail -n 1 | sleep 5"],
            137,
            "ran out of memory: its limit is 32.0 MiB",
        ),
        (&["--env", "A B=c", "--env", "=d", "--", "true"], 2, "variable \"\": a variable needs a name"),
        (&["--env", "NO_SUCH_VARIABLE", "--", "true"], 2, "there is no variable of this name here"),
        (&["--save-signal", "USR1@5s", "--", "true"], 2, "save_signal: it comes before the timeout, and there is none"),
        (&["--detach", "--", "true"], 2, "there is no --coordinator"),
        (&[], 2, "there is nothing to run"),
        (&["script", "--", "true"], 2, "both the job file script and a program are given"),
        (&["nothing.yml"], 2, "cannot read the job file nothing.yml"),
    ] {
        let run = here(&scratch, args);
        assert!(run.code == Some(code) && run.stderr.contains(said), "{args:?}: {run}");
    }
    scratch.write("job.yml", "command: [true]\nretrys: 3\n");
    let run = here(&scratch, &["job.yml"]);
    assert!(
        run.code == Some(2) && run.stderr.contains("at line 2, column 1") && run.stderr.contains("did you mean `retries`?"),
        "{run}"
    );
}

#[test]
fn a_program_is_born_in_its_cgroup_and_keeps_its_name() {
    let scratch = Scratch::new();
    let refused = scratch.braid(["enter", "/no/such/group", "/bin/true", "true"]);
    let said = "cannot start /bin/true in its cgroup: No such file or directory";
    assert!(refused.code == Some(2) && refused.stderr.contains(said), "{refused}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    let folder = mount.map(|mount| std::path::Path::new(mount).join(format!("braid-it-{}", std::process::id())));
    let Some(folder) = folder.filter(|folder| fs::create_dir(folder).is_ok()) else {
        eprintln!("no cgroup2 file system in which this process may make groups: not tried further");
        return;
    };
    let line = "echo $0 $1; cat /proc/self/cgroup";
    let run = scratch.braid(["enter", folder.to_str().unwrap(), "/bin/sh", "its-name", "-c", line, "its-name", "--help"]).ok();
    let group = format!("/braid-it-{}\n", std::process::id());
    assert!(run.stdout.starts_with("its-name --help\n") && run.stdout.contains(&group), "{run}");
    fs::remove_dir(folder).unwrap();
}

#[test]
fn an_array_runs_each_number_and_says_which_failed() {
    let scratch = Scratch::new();
    let mut lines: Vec<String> = here(&scratch, &["--array", "3-6", "--", "sh", "-c", "echo $BRAID_ARRAY_INDEX"])
        .ok()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(lines, ["[3] 3", "[4] 4", "[5] 5", "[6] 6"]);
    let run = here(&scratch, &["--array", "5", "--", "sh", "-c", "echo ran >> log; [ $BRAID_ARRAY_INDEX != 2 ]"]);
    assert!(run.code == Some(1) && run.stderr.contains("1 of 5 programs failed: [2] sh -c"), "{run}");
    assert_eq!(fs::read_to_string(scratch.join("log")).unwrap().lines().count(), 5, "the others ran all the same");
}

#[test]
fn a_program_is_tried_again_as_often_as_asked() {
    let scratch = Scratch::new();
    let script = "echo try >> log; [ $(wc -l < log) -ge 3 ]";
    assert_eq!(here(&scratch, &["--retries", "1", "--", "sh", "-c", script]).code, Some(1));
    assert_eq!(fs::read_to_string(scratch.join("log")).unwrap().lines().count(), 2);
    fs::remove_file(scratch.join("log")).unwrap();
    here(&scratch, &["--retries", "5", "--", "sh", "-c", script]).ok();
    assert_eq!(fs::read_to_string(scratch.join("log")).unwrap().lines().count(), 3);
}

#[test]
fn a_signal_reaches_the_program_and_a_second_ends_all_at_once() {
    let scratch = Scratch::new();
    let script = "trap 'echo saved > saved; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    let mut run = command(scratch.path());
    run.args(["run", "--", "sh", "-c", script]);
    let mut process = Process::spawn("braid run", run, &scratch.join("log"));
    let pid = written(&scratch, "pid");
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(130));
    assert!(scratch.join("saved").exists(), "it was asked, and had time to save");
    gone(&pid);

    fs::remove_file(scratch.join("pid")).unwrap();
    let mut run = command(scratch.path());
    run.args(["run", "--grace", "1h", "--", "sh", "-c", "trap '' TERM INT; echo $$ > pid; while :; do sleep 0.05; done"]);
    let mut process = Process::spawn("braid run", run, &scratch.join("log of the second"));
    let pid = written(&scratch, "pid");
    process.signal(Signal::INT);
    eventually("word of the cancel", || process.log().contains("cancelling").then_some(()));
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(130));
    gone(&pid);
}

#[test]
fn a_reader_that_goes_away_ends_the_program() {
    let scratch = Scratch::new();
    let mut run = command(scratch.path());
    run.args(["run", "--", "sh", "-c", "echo $$ > pid; yes"]);
    let mut process = Process::spawn("braid run", run, &scratch.join("log"));
    let pid = written(&scratch, "pid");
    process.close_stdout();
    process.wait();
    gone(&pid);
}

#[test]
fn on_a_fleet_lines_and_ends_come_back() {
    let scratch = Scratch::new();
    let (coordinator, _workers) = fleet(&[1]);
    let run = coordinator.braid_in(scratch.path(), ["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(7), "out\n"), "{run}");
    assert!(run.stderr.contains("err\n") && run.stderr.contains("error: job 1: sh -c"), "{run}");
    let job =
        coordinator.braid_in(scratch.path(), ["run", "--detach", "--name", "slow", "--", "sh", "-c", "echo 1; sleep 1; echo 2"]);
    let job = job.ok().stdout.trim().to_owned();
    let logs = coordinator.braid(["job", "logs", "--follow", &job]).ok();
    assert_eq!(logs.stdout, format!("{job}.0  1\n{job}.0  2\n"));
    coordinator.braid(["job", "wait", &job]).ok();
    let show = coordinator.braid(["job", "show", &job, "-o", "json"]).ok().json();
    assert_eq!((&show["label"], &show["details"]["exit"]), (&"slow".into(), &0.into()), "{show}");
}

#[test]
fn a_log_is_followed_over_a_restart_of_the_coordinator() {
    let scratch = Scratch::new();
    let (mut coordinator, _workers) = fleet(&[1]);
    let script = "echo first; touch begun; while [ ! -e end ]; do sleep 0.1; done; echo last";
    let job = coordinator.braid_in(scratch.path(), ["run", "--detach", "--", "sh", "-c", script]).ok().stdout;
    let job = job.trim();
    eventually("the program", || scratch.join("begun").exists().then_some(()));
    let mut follow = coordinator.command(scratch.path(), ["job", "logs", "--follow", job]);
    follow.stdout(fs::File::create(scratch.join("told")).unwrap());
    let mut follow = Process::spawn_into("follow", follow, &scratch.join("follow.log"));
    written(&scratch, "told");
    coordinator.restart();
    coordinator.wait_for_nodes(1);
    scratch.write("end", "");
    assert!(follow.wait().success(), "{}", follow.log());
    let told = fs::read_to_string(scratch.join("told")).unwrap();
    assert_eq!(told, format!("{job}.0  first\n{job}.0  last\n"));
}

#[test]
fn a_resumable_program_saves_makes_room_and_goes_on() {
    let scratch = Scratch::new();
    let (coordinator, _workers) = fleet(&[1]);
    // It saves at the signal, and only then ends; the second try finds what the first has saved.
    let script = "[ \"$BRAID_RESUME\" ] && { cat saved; exit; }; \
                  trap 'echo from try $BRAID_ATTEMPT > saved; exit' USR1; trap '' TERM; \
                  touch begun; while :; do sleep 0.05; done";
    let resumable = ["run", "--resumable", "--save-signal", "USR1@30s", "--detach", "--"];
    // A node takes one program ahead of those that run: that of the higher priority, or another that makes room as well.
    for ahead in [None, Some("true")] {
        let low = coordinator.braid_in(scratch.path(), [&resumable[..], &["sh", "-c", script]].concat()).ok().stdout;
        eventually("the program", || scratch.join("begun").exists().then_some(()));
        let next = ahead.map(|program| coordinator.braid_in(scratch.path(), [&resumable[..], &[program]].concat()).ok().stdout);
        let high = coordinator.braid_in(scratch.path(), ["run", "--priority", "5", "--", "sh", "-c", "ls saved"]).ok();
        assert_eq!(high.stdout, "saved\n", "it began when the other had saved");
        for job in [&low].into_iter().chain(&next) {
            coordinator.braid(["job", "wait", job.trim()]).ok();
        }
        let log = coordinator.braid(["job", "logs", low.trim()]).ok().stdout;
        assert!(log.contains("from try 1"), "{log}");
        for file in ["begun", "saved"] {
            fs::remove_file(scratch.join(file)).unwrap();
        }
    }
}

#[test]
fn a_cancelled_job_ends_its_program_and_all_below_it() {
    let scratch = Scratch::new();
    let (coordinator, _workers) = fleet(&[1]);
    let script = "sleep 1000 & echo $! > child; wait";
    let job = coordinator.braid_in(scratch.path(), ["run", "--detach", "--", "sh", "-c", script]).ok().stdout;
    let child = written(&scratch, "child");
    coordinator.braid(["job", "cancel", job.trim()]).ok();
    assert_eq!(coordinator.braid(["job", "wait", job.trim()]).code, Some(1));
    gone(&child);
}

#[test]
fn a_killed_worker_leaves_no_program_and_the_job_goes_on_elsewhere() {
    let scratch = Scratch::new();
    let (coordinator, mut workers) = fleet(&[1]);
    // One child in a session of its own: it left the group.
    let script = "echo $$ >> pids; sleep 1000 & echo $! >> pids; setsid sleep 1000 & echo $! >> pids; \
                  [ $BRAID_ATTEMPT = 1 ] && echo all > ready && wait; echo second try";
    let job = coordinator.braid_in(scratch.path(), ["run", "--detach", "--", "sh", "-c", script]).ok().stdout;
    written(&scratch, "ready");
    let first = fs::read_to_string(scratch.join("pids")).unwrap();
    assert_eq!(first.lines().filter(|pid| lives(pid)).count(), 3);
    workers[0].kill9();
    for pid in first.lines() {
        gone(pid);
    }
    workers[0].restart();
    coordinator.braid(["job", "wait", job.trim()]).ok();
    let log = coordinator.braid(["job", "logs", job.trim()]).ok().stdout;
    assert!(log.contains("second try"), "{log}");
}

/// Checks what `torch.distributed` checks: everyone reaches rank 0 at its address, and the ranks are there once each.
const MEMBER: &str = r#"
import os, socket, sys
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(address) as server:
        peers = []
        while len(peers) < world - 1:
            peer, _ = server.accept()
            peers.append((peer, int(peer.makefile().readline())))
        assert sorted(r for _, r in peers) == list(range(1, world)), peers
        for peer, _ in peers:
            peer.sendall(b"all\n")
else:
    import time
    for _ in range(500):
        try:
            peer = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    peer.sendall(f"{rank}\n".encode())
    assert peer.makefile().readline() == "all\n"
print("met", rank, os.environ["LOCAL_RANK"], os.environ["LOCAL_WORLD_SIZE"], flush=True)
"#;

fn met(text: &str) -> Vec<String> {
    let mut met: Vec<String> = text.lines().filter_map(|line| Some(line.split_once("met ")?.1.to_owned())).collect();
    met.sort();
    met
}

#[test]
fn a_gang_meets_at_rank_0_here_and_across_workers() {
    let scratch = Scratch::new();
    scratch.write("member.py", MEMBER);
    let expected = ["0 0 4 ", "1 1 4 ", "2 2 4 ", "3 3 4 "].map(str::trim_end);
    let run = here(&scratch, &["--gang", "4", "--", "python3", "member.py"]).ok();
    assert_eq!(met(&run.stdout), expected, "{run}");
    let (coordinator, _workers) = fleet(&[2, 2]);
    scratch.write("gang.yml", "command: [python3, member.py]\ngang: 4\ntimeout: 30s\n");
    let run = coordinator.braid_in(scratch.path(), ["run", "gang.yml"]).ok();
    assert_eq!(met(&run.stdout), expected, "{run}");
}

#[test]
fn a_member_that_dies_ends_the_gang_which_starts_again_whole() {
    let scratch = Scratch::new();
    let (coordinator, _workers) = fleet(&[1, 1]);
    let script = "echo $$ > pid.$RANK.$BRAID_ATTEMPT; \
                  if [ $BRAID_ATTEMPT = 1 ]; then [ $RANK = 1 ] && sleep 0.3 && exit 5; sleep 1000; fi; echo attempt $BRAID_ATTEMPT";
    let run = coordinator.braid_in(scratch.path(), ["run", "--gang", "2", "--retries", "1", "--", "sh", "-c", script]).ok();
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[0] attempt 2", "[1] attempt 2"], "{run}");
    gone(&written(&scratch, "pid.0.1")); // the member that was well
    let run =
        coordinator.braid_in(scratch.path(), ["run", "--gang", "2", "--", "sh", "-c", "[ $RANK = 0 ] || exit 5; sleep 1000"]);
    assert!(run.code == Some(1) && run.stderr.contains("exited with code 5"), "{run}");
}
