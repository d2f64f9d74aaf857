use super::*;
use crate::CommandWorkload;
use braid_workload::{AttemptId, JobId, LogLine, LogSource, Workload};
use serde_json::json;
use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

struct Bench {
    execute: CommandExecute,
    context: TaskContext,
    lines: Arc<Mutex<Vec<LogLine>>>,
}

impl Bench {
    fn new() -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&lines);
        let context = TaskContext {
            task: JobId(7).task(3),
            attempt: AttemptId(2),
            cancel: CancellationToken::new(),
            progress: Arc::default(),
            log: Arc::new(move |line| said.lock().unwrap().push(line)),
            pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
            memory: 1 << 20,
            gpus: vec!["5".into(), "6".into()],
            membership: None,
        };
        // `cat` is as good a guard as any while nobody dies.
        Self { execute: CommandExecute::new(Guard::new("sh", ["-c", "cat > /dev/null"])), context, lines }
    }

    fn run(&self, spec: &CommandSpec) -> Result<Value, Failure> {
        let spec = json!(spec);
        let task = CommandWorkload.plan(&spec).unwrap().tasks.remove(0);
        self.execute.run(&spec, &task, &self.context)
    }

    fn said(&self, source: LogSource) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.source == source).map(|line| line.text.clone()).collect()
    }
}

fn shell(line: &str) -> CommandSpec {
    CommandSpec::new(["sh", "-c", line], "/tmp")
}

fn failure(spec: &CommandSpec) -> (Option<u8>, String) {
    let failure = Bench::new().run(spec).unwrap_err();
    (failure.exit, failure.message)
}

/// Waits until a process is gone: what was killed may need a moment to die.
fn gone(pid: &str) {
    let start = Instant::now();
    while lives(pid) {
        assert!(start.elapsed() < Duration::from_secs(10), "{pid} goes on");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn what_a_program_prints_is_told_with_its_source() {
    let bench = Bench::new();
    let value = bench.run(&shell("echo out; echo err >&2; printf last")).unwrap();
    assert_eq!(value["exit"], 0);
    assert_eq!(
        (bench.said(LogSource::Stdout), bench.said(LogSource::Stderr)),
        (vec!["out".into(), "last".into()], vec!["err".into()])
    );
}

#[test]
fn much_output_comes_whole_and_in_order() {
    let bench = Bench::new();
    bench.run(&shell("seq 1 50000")).unwrap();
    let expected: Vec<String> = (1..=50_000).map(|number: u32| number.to_string()).collect();
    assert!(bench.said(LogSource::Stdout) == expected);
}

#[test]
fn a_program_knows_who_it_is() {
    let bench = Bench::new();
    let mut spec =
        shell("echo $BRAID_JOB $BRAID_TASK $BRAID_ATTEMPT $BRAID_ARRAY_INDEX $BRAID_CPUS $CUDA_VISIBLE_DEVICES $X; pwd; echo $0");
    spec.env.insert("X".into(), "a b".into());
    spec.array = crate::Array::new(9, 12);
    spec.gpus = 2;
    bench.run(&spec).unwrap();
    assert_eq!(bench.said(LogSource::Stdout), ["7 7.3 2 9 1 5,6 a b", "/tmp", "sh"]);
}

#[test]
fn a_gang_of_one_is_told_what_torch_expects() {
    let bench = Bench::new();
    let mut spec =
        shell("echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $NODE_RANK $MASTER_ADDR; [ $MASTER_PORT -gt 1024 ]");
    spec.gang = Some(1);
    bench.run(&spec).unwrap();
    assert_eq!(bench.said(LogSource::Stdout), ["0 1 0 1 0 127.0.0.1"]);
}

#[test]
fn how_a_program_ends_is_told() {
    assert_eq!(failure(&shell("exit 3")), (Some(3), "sh -c 'exit 3' exited with code 3".into()));
    assert_eq!(failure(&shell("kill -SEGV $$")).0, Some(139));
    assert_eq!(failure(&CommandSpec::new(["no-such-program"], "/")).0, Some(127));
    assert_eq!(
        failure(&CommandSpec::new(["/etc/passwd"], "/")),
        (Some(126), "cannot run /etc/passwd: it is not executable".into())
    );
    let (exit, message) = failure(&CommandSpec::new(["true"], "/no/such/folder"));
    assert_eq!(
        (exit, message.as_str()),
        (Some(126), "cannot run in the folder /no/such/folder: No such file or directory (os error 2)")
    );
}

#[test]
fn a_program_that_is_no_program_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, "no magic number").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (exit, message) = failure(&CommandSpec::new([file.to_str().unwrap()], "/"));
    assert!(exit == Some(126) && message.contains("Exec format error"), "{exit:?} {message}");
}

#[test]
fn a_deadline_is_announced_and_kept() {
    let bench = Bench::new();
    let mut spec = shell("trap 'echo saving' USR1; trap 'echo asked' TERM; while :; do sleep 0.02; done");
    spec.timeout = Some(Duration::from_millis(600));
    spec.grace = Some(Duration::from_millis(300));
    spec.save_signal = Some("USR1@400ms".parse().unwrap());
    let start = Instant::now();
    let failure = bench.run(&spec).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(failure.exit, Some(124));
    assert!(failure.message.ends_with("did not end within its timeout of 600ms"), "{}", failure.message);
    assert_eq!(bench.said(LogSource::Stdout), ["saving", "asked"]);
}

#[test]
fn a_cancelled_program_takes_its_children_along() {
    let bench = Bench::new();
    let cancel = bench.context.cancel.clone();
    let lines = Arc::clone(&bench.lines);
    let stopper = thread::spawn(move || {
        while lines.lock().unwrap().is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
    });
    let failure = bench.run(&shell("sleep 100 & echo $!; wait")).unwrap_err();
    stopper.join().unwrap();
    assert_eq!(failure.kind, braid_workload::FailureKind::Cancelled);
    gone(&bench.said(LogSource::Stdout)[0]);
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let bench = Bench::new();
    let start = Instant::now();
    bench.run(&shell("sleep 100 & echo $!")).unwrap();
    let child = bench.said(LogSource::Stdout).remove(0);
    gone(&child);
    // What leaves the group keeps the pipe, and is not waited for.
    bench.run(&shell("setsid sleep 7 & echo gone")).unwrap();
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn a_program_that_holds_too_much_memory_is_ended_and_told_why() {
    // `tail` keeps the last line, which never ends.
    let mut spec = shell("head -c 400000000 /dev/zero | tail -n 1 | sleep 5");
    spec.memory = Some(64 << 20);
    let (exit, message) = failure(&spec);
    assert!(exit == Some(137) && message.ends_with("ran out of memory: its limit is 64.0 MiB"), "{exit:?} {message}");
    spec.memory = Some(1 << 30);
    spec.command = vec!["true".into()];
    assert!(Bench::new().run(&spec).is_ok());
}
