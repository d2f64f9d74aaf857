//! What is rebuilt from which records, and which records are refused.

use super::{
    fixture::Fixture,
    harness::{LEASE, checks, toy::ToySpec},
};
use crate::{
    engine::{Event, MAX_LOSSES, Records, recover},
    model::{JobEnd, JobPhase, Millis, TaskPhase, keys},
};
use braid_workload::{Failure, JobId};

/// The records of a job with a running part and a task list of its own for it.
fn running() -> (Fixture, JobId) {
    let (mut fixture, job) = Fixture::planned(2);
    fixture.place();
    (fixture, job)
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let job = JobId(1);
    let (job_key, spec, plan, task) = (keys::job(job), keys::spec(job), keys::plan(job, 1), keys::task(job.task(1)));
    let table: [(&str, Option<&str>, &str); 8] = [
        (&spec, None, "the stored record spec/000000000001 cannot be read: it is missing"),
        (&spec, Some("{"), "the stored record spec/000000000001 cannot be read: EOF"),
        (&plan, None, "the stored record plan/000000000001/000001 cannot be read: it is missing"),
        (&plan, Some("[1]"), "the stored record plan/000000000001/000001 cannot be read: invalid type"),
        (&job_key, Some("{}"), "the stored record job/000000000001 cannot be read: missing field"),
        (
            &task,
            Some(r#"{"phase":"gone","attempt":1}"#),
            "the stored record task/000000000001/0000000001 cannot be read: unknown",
        ),
        ("task/one", Some("{}"), "the stored record task/one cannot be read: its key is no task"),
        ("task/000000000001/99999999999", Some("{}"), "cannot be read: its key is no task"),
    ];
    for (key, value, error) in table {
        let (mut fixture, _) = running();
        match value {
            Some(value) => fixture.durable.records.insert(key.to_owned(), value.into()),
            None => fixture.durable.records.remove(key),
        };
        let found = recover(&fixture.durable.records(), 2, LEASE, Millis(0)).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
}

#[test]
fn what_no_job_record_counts_is_ignored() {
    let (mut fixture, job) = running();
    let before = fixture.job(job).tasks.len();
    let chunks = fixture.job(job).chunks;
    let leftovers = [
        (keys::plan(job, chunks), "not even a list"),
        (keys::plan(JobId(2), 0), "[]"),
        (keys::spec(JobId(2)), "{"),
        (keys::task(JobId(3).task(0)), "{"),
        (keys::task(job.task(before as u32)), r#"{"phase":"waiting","attempt":1}"#),
    ];
    for (key, value) in leftovers {
        fixture.durable.records.insert(key, value.into());
    }
    let mut fixture = fixture.restart();
    assert_eq!(fixture.job(job).tasks.len(), before);
    // A job that takes the number of the leftovers is not touched by them.
    let next = fixture.submit(ToySpec { tag: "next".into(), ..ToySpec::default() }).unwrap();
    assert_eq!(next, JobId(2));
    let fixture = fixture.restart();
    assert_eq!(fixture.job(next).phase, JobPhase::Running);
}

/// A submit that died before its job record, with a longer task list than the job that then gets its number.
#[test]
fn a_list_that_is_missing_is_not_replaced_by_a_leftover() {
    let (mut fixture, job) = running();
    let chunks = fixture.job(job).chunks;
    fixture.durable.records.remove(&keys::plan(job, 0));
    fixture.durable.records.insert(keys::plan(job, chunks), b"[]".to_vec());
    let error = recover(&fixture.durable.records(), 2, LEASE, Millis(0)).unwrap_err();
    assert_eq!(error.key, keys::plan(job, 0));
}

#[test]
fn a_job_that_is_over_has_nothing_that_runs() {
    let (mut fixture, job) = running();
    fixture.cancel(job).unwrap();
    fixture.hello(2, "a", Vec::new());
    assert_eq!(fixture.job(job).phase, JobPhase::Ended(JobEnd::Cancelled));
    let mut fixture = fixture.restart();
    assert_eq!(fixture.job(job).tasks[1].phase, TaskPhase::Cancelled);
    assert_eq!(fixture.engine.state().nodes().count(), 0);
    assert_eq!(fixture.place(), []);
}

#[test]
fn leases_and_tries_count_on() {
    let (mut fixture, job) = running();
    let mut last = (0, 0);
    for _ in 0..MAX_LOSSES - 1 {
        let task = &fixture.job(job).tasks[1];
        let now = (task.assignment().unwrap().lease.0, task.attempt.0);
        assert!(now.0 > last.0 && now.1 > last.1, "{last:?} then {now:?}");
        last = now;
        fixture = fixture.restart();
        fixture.hello(1, "a", Vec::new());
        fixture.place();
    }
}

/// A step that loses many tasks, one of them for the last time, is written in several transactions. Wherever it is cut,
/// a job that goes on has no task that failed.
#[test]
fn a_long_step_may_be_cut_anywhere() {
    for parts in 95..=101 {
        for actions in 0..=2 {
            let (mut fixture, long) = Fixture::planned(parts);
            let killer = fixture.submit(ToySpec { tag: "killer".into(), ..ToySpec::default() }).unwrap();
            for _ in 1..MAX_LOSSES {
                fixture.give(killer, "a");
                fixture.wait(LEASE);
                fixture.hello(1, "a", Vec::new());
            }
            fixture.give(killer, "a");
            fixture.give(long, "a");
            fixture.now = fixture.now + LEASE;
            let mut fixture = fixture.crash_after(Event::Tick, actions);
            fixture.wait(LEASE);
            assert!(fixture.failure(killer).message.contains("lost its worker"), "{parts} parts, {actions} actions");
            fixture.hello(1, "a", Vec::new());
            fixture.complete(long);
        }
    }
}

#[test]
fn an_empty_store_is_an_empty_state() {
    let state = recover(&Records::default(), 7, LEASE, Millis(5)).unwrap();
    checks::consistent(&state);
    assert_eq!((state.jobs().count(), state.nodes().count(), state.epoch, state.last_job), (0, 0, 7, 0));
}

#[test]
fn counts_of_tries_come_back() {
    let (mut fixture, job) = Fixture::planned(1);
    let held = fixture.place()[0].held;
    fixture.fail(1, held, Failure::retry("once"));
    fixture.place();
    fixture.hello(2, "a", Vec::new());
    let live = fixture.job(job).tasks[1].clone();
    assert_eq!((live.failures, live.losses), (1, 1));
    let fixture = fixture.restart();
    checks::recoverable(fixture.engine.state(), &fixture.durable.records(), LEASE);
    assert_eq!(fixture.job(job).tasks[1], live);
}
