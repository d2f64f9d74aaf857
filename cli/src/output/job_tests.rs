use super::*;
use crate::output::{Format, render};
use braid_proto::v1::{Demand, TaskRef, TaskState};

fn running() -> v1::Job {
    v1::Job {
        id: 12,
        kind: "merge".into(),
        label: "ties of 4 checkpoints -> out".into(),
        project: "pretraining".into(),
        priority: -1,
        state: JobState::Running.into(),
        submitted_unix_millis: 1_700_000_000_000,
        tasks_waiting: 3,
        tasks_running: 2,
        tasks_done: 7,
        bytes_total: 1_000_000_000,
        bytes_done: 250_000_000,
        bytes_reused: 250_000_000,
        reason: Some("no worker is ready".into()),
        ..Default::default()
    }
}

fn failed() -> v1::Job {
    v1::Job {
        id: 13,
        kind: "noop".into(),
        label: "5 tasks".into(),
        project: "default".into(),
        state: JobState::Failed.into(),
        submitted_unix_millis: 1_700_000_000_000,
        finished_unix_millis: Some(1_700_000_001_250),
        tasks_done: 5,
        failure: Some(v1::Failure {
            kind: v1::failure::Kind::Fatal.into(),
            message: "a/model.safetensors: the header is longer than the file".into(),
            hint: Some("download the file again".into()),
            exit: None,
        }),
        ..Default::default()
    }
}

fn done() -> v1::Job {
    v1::Job {
        state: JobState::Done.into(),
        finished_unix_millis: Some(1_700_000_200_000),
        summary: Some("merged 4 checkpoints".into()),
        details: Some(r#"{"bytes":5}"#.into()),
        reason: None,
        ..running()
    }
}

fn task() -> v1::Task {
    v1::Task {
        id: Some(TaskRef { job: 12, index: 3 }),
        label: "tensors 12..40".into(),
        state: TaskState::TaskAssigned.into(),
        attempt: 2,
        node: Some("alpha".into()),
        demand: Some(Demand { bytes: 1_000_000, memory: 4096, wide: true, ..Demand::default() }),
        bytes_done: 7,
        failure: Some(v1::Failure { message: "disk full".into(), kind: v1::failure::Kind::Retry.into(), hint: None, exit: None }),
    }
}

#[test]
fn jobs_in_every_form() {
    let list = JobList::new(vec![running(), failed()]);
    let text = |format| render(&list, format, 1_700_000_190_000, false).unwrap();
    insta::assert_snapshot!(text(Format::Table), @"
    ID  KIND   STATE    TASKS  BYTES  AGE  LABEL
    12  merge  running  7/12   40%    3m   ties of 4 checkpoints -> out
    13  noop   failed   5/5    -      3m   5 tasks
    ");
    insta::assert_snapshot!(text(Format::Json), @r#"
    {
      "schema": "braid/v1",
      "jobs": [
        {
          "id": 12,
          "kind": "merge",
          "label": "ties of 4 checkpoints -> out",
          "project": "pretraining",
          "priority": -1,
          "state": "running",
          "submitted": "2023-11-14T22:13:20Z",
          "finished": null,
          "seconds": null,
          "task_counts": {
            "waiting": 3,
            "running": 2,
            "done": 7
          },
          "bytes": {
            "total": 1000000000,
            "done": 250000000,
            "reused": 250000000
          },
          "reason": "no worker is ready",
          "summary": null,
          "details": null,
          "failure": null
        },
        {
          "id": 13,
          "kind": "noop",
          "label": "5 tasks",
          "project": "default",
          "priority": 0,
          "state": "failed",
          "submitted": "2023-11-14T22:13:20Z",
          "finished": "2023-11-14T22:13:21Z",
          "seconds": 1.25,
          "task_counts": {
            "waiting": 0,
            "running": 0,
            "done": 5
          },
          "bytes": {
            "total": 0,
            "done": 0,
            "reused": 0
          },
          "reason": null,
          "summary": null,
          "details": null,
          "failure": {
            "kind": "fatal",
            "message": "a/model.safetensors: the header is longer than the file",
            "hint": "download the file again"
          }
        }
      ]
    }
    "#);
    insta::assert_snapshot!(text(Format::Yaml), @r#"
    schema: braid/v1
    jobs:
    - id: 12
      kind: merge
      label: ties of 4 checkpoints -> out
      project: pretraining
      priority: -1
      state: running
      submitted: "2023-11-14T22:13:20Z"
      finished: null
      seconds: null
      task_counts:
        waiting: 3
        running: 2
        done: 7
      bytes:
        total: 1000000000
        done: 250000000
        reused: 250000000
      reason: no worker is ready
      summary: null
      details: null
      failure: null
    - id: 13
      kind: noop
      label: 5 tasks
      project: default
      priority: 0
      state: failed
      submitted: "2023-11-14T22:13:20Z"
      finished: "2023-11-14T22:13:21Z"
      seconds: 1.25
      task_counts:
        waiting: 0
        running: 0
        done: 5
      bytes:
        total: 0
        done: 0
        reused: 0
      reason: null
      summary: null
      details: null
      failure:
        kind: fatal
        message: "a/model.safetensors: the header is longer than the file"
        hint: download the file again
    "#);
    insta::assert_snapshot!(text(Format::Name), @"
    12
    13
    ");
}

#[test]
fn one_job_with_its_tasks() {
    let show = JobShow::new(done(), Some(vec![task()]));
    let text = |format| render(&show, format, 0, false).unwrap();
    insta::assert_snapshot!(text(Format::Table), @"
    job        12
    kind       merge
    label      ties of 4 checkpoints -> out
    project    pretraining
    priority   -1
    state      done
    submitted  2023-11-14T22:13:20Z
    finished   2023-11-14T22:16:40Z (after 3m 20s)
    tasks      7 done, 2 running, 3 waiting
    bytes      250.0 MB of 1.0 GB, and 250.0 MB reused
    result     merged 4 checkpoints

    TASK  STATE    TRY  NODE   BYTES   LABEL
    12.3  running  2    alpha  1.0 MB  tensors 12..40 (disk full)
    ");
    insta::assert_snapshot!(text(Format::Json), @r#"
    {
      "schema": "braid/v1",
      "id": 12,
      "kind": "merge",
      "label": "ties of 4 checkpoints -> out",
      "project": "pretraining",
      "priority": -1,
      "state": "done",
      "submitted": "2023-11-14T22:13:20Z",
      "finished": "2023-11-14T22:16:40Z",
      "seconds": 200.0,
      "task_counts": {
        "waiting": 3,
        "running": 2,
        "done": 7
      },
      "bytes": {
        "total": 1000000000,
        "done": 250000000,
        "reused": 250000000
      },
      "reason": null,
      "summary": "merged 4 checkpoints",
      "details": {
        "bytes": 5
      },
      "failure": null,
      "tasks": [
        {
          "id": "12.3",
          "label": "tensors 12..40",
          "state": "running",
          "attempt": 2,
          "node": "alpha",
          "bytes": 1000000,
          "bytes_done": 7,
          "memory": 4096,
          "gpus": 0,
          "failure": {
            "kind": "retry",
            "message": "disk full",
            "hint": null
          }
        }
      ]
    }
    "#);
    insta::assert_snapshot!(text(Format::Name), @"12.3");
    assert!(show.is_final());
}

#[test]
fn a_failed_job_says_why_and_what_to_do() {
    insta::assert_snapshot!(JobShow::new(failed(), None).table(0), @"
    job        13
    kind       noop
    label      5 tasks
    state      failed
    submitted  2023-11-14T22:13:20Z
    finished   2023-11-14T22:13:21Z (after 1.2 s)
    tasks      5 done, 0 running, 0 waiting
    failure    a/model.safetensors: the header is longer than the file
    hint       download the file again
    ");
}

#[test]
fn a_line_of_a_stream_is_one_line() {
    let show = JobShow::new(running(), None);
    assert!(!render(&show, Format::Json, 0, true).unwrap().contains('\n'));
    assert!(!show.is_final());
}

#[test]
fn ages_have_one_unit() {
    for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (200_000, "2d")] {
        assert_eq!(age(1_000_000_000 + seconds * 1000, 1_000_000_000), text);
    }
    assert_eq!(age(0, 5000), "0s", "a clock that runs behind");
}
