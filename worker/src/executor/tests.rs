use super::*;
use braid_workload::{AttemptId, Demand, FailureKind, JobId, MAX_RECORD, TaskSpec};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

type Body = dyn Fn(&TaskSpec, &TaskContext) -> Result<Value, Failure> + Send + Sync;

struct Call(Box<Body>);

impl Execute for Call {
    fn kind(&self) -> &'static str {
        "call"
    }

    fn run(&self, _: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        (self.0)(task, context)
    }
}

fn metrics() -> Arc<WorkerMetrics> {
    Arc::new(WorkerMetrics::new("1", 1, 1600))
}

fn executor(
    threads: usize,
    body: impl Fn(&TaskSpec, &TaskContext) -> Result<Value, Failure> + Send + Sync + 'static,
) -> Executor {
    let call: Arc<dyn Execute> = Arc::new(Call(Box::new(body)));
    let (none, bounds) = (vec![], Bounds::default());
    let registry = Registry::new([("call", call)]);
    Executor::start(NonZeroUsize::new(threads).unwrap(), 1600, none, registry, None, metrics(), bounds).unwrap()
}

fn assignment(index: u32, wide: bool) -> Assignment {
    Assignment {
        key: Key { task: JobId(7).task(index), attempt: AttemptId(1) },
        kind: "call".into(),
        spec: Arc::new(JobSpec::new("{}".into())),
        label: format!("piece {index}"),
        payload: index.to_string(),
        demand: Demand { wide, ..Demand::default() },
        gang: None,
        roots: None,
        trace: None,
    }
}

/// Runs what was submitted to its end; the ends by index of the task, and the lines.
async fn ends(executor: &Executor, count: usize) -> (BTreeMap<u32, Ended>, Vec<String>) {
    let (mut ends, mut lines) = (BTreeMap::new(), Vec::new());
    let all = async {
        while ends.len() < count {
            for report in executor.reports().await {
                match report {
                    Report::Ended(ended) => assert!(ends.insert(ended.key.task.index, ended).is_none(), "ended twice"),
                    Report::Line(line) => lines.push(line.text),
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("attempts end within a minute");
    (ends, lines)
}

#[tokio::test]
async fn whatever_a_task_does_becomes_an_outcome() {
    let executor = executor(2, |task, context| match context.task.index {
        0 => {
            context.progress.add(30);
            context.progress.add_reused(4);
            context.log(format!("says {}", "é".repeat(MAX_LINE)));
            Ok(json!([task.label, task.payload]))
        }
        1 => Err(Failure::retry("x".repeat(100_000))),
        2 => panic!("lost {}", context.attempt),
        3 => Ok(Value::String("v".repeat(MAX_RECORD))),
        4 => context.pool.install(|| panic!("in the pool")),
        _ => Ok(Value::Null),
    });
    for index in 0..8 {
        let mut assignment = assignment(index, index % 2 == 1);
        match index {
            5 => assignment.kind = "other".into(),
            6 => assignment.spec = Arc::new(JobSpec::new("{\"tasks\":".into())),
            7 => assignment.payload = "[".into(),
            _ => {}
        }
        executor.submit(assignment);
    }
    let (ends, lines) = ends(&executor, 8).await;
    assert_eq!(ends[&0].outcome.as_deref(), Ok("[\"piece 0\",0]"));
    assert_eq!(ends[&0].progress, Bytes { done: 30, reused: 4 });
    assert!(lines.len() == 1 && lines[0].len() <= MAX_LINE + " […]".len() && lines[0].ends_with("é […]"));
    let failure = |index: u32| ends[&index].outcome.clone().unwrap_err();
    assert_eq!(failure(1).kind, FailureKind::Retry);
    assert!(failure(1).message.len() < 10_000);
    for (index, words) in [
        (2, "task 7.2 (piece 2) panicked: lost 1"),
        (3, "task 7.3 (piece 3) returned 65538 bytes; at most 65536 can be stored"),
        (4, "task 7.4 (piece 4) panicked: in the pool"),
        (5, "task 7.5: this worker runs no \"other\" jobs, only call"),
        (6, "task 7.6: its job's spec is not JSON: EOF while parsing a value at line 1 column 9"),
        (7, "task 7.7: its payload is not JSON: EOF while parsing a list at line 1 column 1"),
    ] {
        assert_eq!((failure(index).kind, failure(index).message.as_str()), (FailureKind::Fatal, words));
    }
}

#[tokio::test]
async fn lanes_and_memory_are_kept_under_load() {
    let (narrow, wide, memory) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&narrow), Arc::clone(&wide), Arc::clone(&memory));
    let executor = executor(3, move |task, context| {
        let (count, most) = if task.demand.wide { (&counters.1, 1) } else { (&counters.0, 3) };
        let running = count.fetch_add(1, Ordering::SeqCst) + 1;
        let held = counters.2.fetch_add(context.memory as usize, Ordering::SeqCst) + context.memory as usize;
        std::thread::sleep(Duration::from_micros(300));
        counters.2.fetch_sub(context.memory as usize, Ordering::SeqCst);
        count.fetch_sub(1, Ordering::SeqCst);
        Ok(json!(running <= most && held <= 1600))
    });
    for index in 0..200 {
        let mut assignment = assignment(index, index % 5 == 0);
        assignment.demand.memory = u64::from(index % 7) * 100;
        executor.submit(assignment);
    }
    let (ends, _) = ends(&executor, 200).await;
    assert!(ends.values().all(|ended| ended.outcome.as_deref() == Ok("true")));
}

#[tokio::test]
async fn a_cancelled_attempt_ends_whether_it_runs_or_waits() {
    let executor = executor(1, |_, context| {
        while !context.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::cancelled())
    });
    (0..3).for_each(|index| executor.submit(assignment(index, false)));
    while executor.progress().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let key = |index| assignment(index, false).key;
    assert_eq!(executor.cancel(key(1)).map(|ended| ended.outcome), Some(Err(Failure::cancelled())));
    assert_eq!(executor.cancel(key(1)), None);
    assert_eq!(executor.cancel(key(0)), None);
    let (first, _) = ends(&executor, 1).await;
    assert_eq!(first[&0].outcome, Err(Failure::cancelled()));
    while executor.progress().first().map(|(key, _)| key.task.index) != Some(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    executor.cancel(key(2));
    assert!(ends(&executor, 1).await.0.contains_key(&2));
}

#[tokio::test]
async fn dropping_the_executor_ends_its_threads_even_with_nobody_listening() {
    let alive = Arc::new(());
    let held = Arc::downgrade(&alive);
    let executor = executor(2, move |_, context| {
        let _alive = &alive;
        (0..4 * REPORTS).for_each(|line| context.log(line.to_string()));
        Ok(Value::Null)
    });
    (0..4).for_each(|index| executor.submit(assignment(index, index == 0)));
    drop(executor);
    for _ in 0..2000 {
        if held.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("threads still hold the executors");
}
