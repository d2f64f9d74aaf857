use super::*;
use braid_workload::{FailureKind, JobId, Progress};
use std::sync::Arc;

fn context(index: u32, attempt: u32) -> TaskContext {
    TaskContext {
        task: JobId(1).task(index),
        attempt: AttemptId(attempt),
        cancel: Default::default(),
        progress: Arc::new(Progress::default()),
        log: Arc::new(|_| {}),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        memory: 0,
        gpus: Vec::new(),
        membership: None,
    }
}

#[test]
fn a_job_ends_with_its_last_task() {
    let spec = json!({ "tasks": 3 });
    let plan = Noop.plan(&spec).unwrap();
    assert_eq!(plan.tasks.len(), 3);
    let advance = |open| Noop.advance(&spec, &plan.state, &plan.tasks[0], &Value::Null, open).unwrap();
    assert_eq!(advance(1), Advance::Continue { state: None, tasks: vec![] });
    let Advance::Finished(result) = advance(0) else { panic!("the job goes on") };
    assert_eq!(result.summary, "did nothing 3 times");
}

#[test]
fn a_wrong_spec_is_refused_with_the_field_that_is_wrong() {
    for (spec, expected) in [
        (json!({}), "missing field `tasks`"),
        (json!({ "tasks": 0 }), "tasks is 0, not a number from 1 to 1000000"),
        (json!({ "tasks": 1_000_001 }), "tasks is 1000001, not a number from 1 to 1000000"),
        (json!({ "tasks": 1, "milis": 5 }), "unknown field `milis`"),
        (json!([]), "invalid length 0"),
    ] {
        let error = Noop.plan(&spec).unwrap_err().to_string();
        assert!(error.starts_with("noop job: ") && error.contains(expected), "{spec}: {error}");
    }
}

#[test]
fn the_first_tasks_fail_once() {
    let spec = json!({ "tasks": 3, "fail_first": 2 });
    let task = &Noop.plan(&spec).unwrap().tasks[0];
    for (index, attempt, fails) in [(0, 1, true), (1, 1, true), (2, 1, false), (0, 2, false)] {
        let outcome = Noop.run(&spec, task, &context(index, attempt));
        assert_eq!(outcome.is_err(), fails, "task {index}, attempt {attempt}");
        assert!(outcome.is_ok() || outcome.is_err_and(|failure| failure.kind == FailureKind::Retry));
    }
}

#[test]
fn a_cancelled_sleep_ends_soon() {
    let spec = json!({ "tasks": 1, "millis": 60_000 });
    let task = &Noop.plan(&spec).unwrap().tasks[0];
    let context = context(0, 1);
    let cancel = context.cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        cancel.cancel();
    });
    let start = Instant::now();
    assert_eq!(Noop.run(&spec, task, &context).unwrap_err(), Failure::cancelled());
    assert!(start.elapsed() < Duration::from_secs(10));
}
