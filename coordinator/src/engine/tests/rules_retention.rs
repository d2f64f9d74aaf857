//! What is forgotten of jobs that ended long ago, and what a crash in the middle of it leaves.

use super::{fixture::Fixture, harness::toy::ToySpec};
use crate::{
    engine::{Event, KEEP_ENDED, ReplyId},
    model::Millis,
};
use braid_workload::JobId;
use std::time::Duration;

fn spec(tag: impl ToString, parts: u64) -> ToySpec {
    ToySpec { tag: tag.to_string(), parts, ..ToySpec::default() }
}

/// A fixture with a worker and so many jobs that have ended, a millisecond apart.
fn ended(jobs: usize) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.hello(1, "a", Vec::new());
    for tag in 0..jobs {
        let job = fixture.submit(spec(tag, 1)).unwrap();
        fixture.complete(job);
        fixture.wait(Duration::from_millis(1));
        fixture.keep_alive(1);
    }
    fixture
}

#[test]
fn the_jobs_that_ended_first_are_forgotten_with_all_their_records() {
    let fixture = ended(KEEP_ENDED + 3);
    let left: Vec<JobId> = fixture.engine.state().jobs().map(|job| job.id).collect();
    assert_eq!(left, (4..=KEEP_ENDED as u64 + 3).map(JobId).collect::<Vec<_>>());
    let gone = |key: &&String| (1..=3).any(|job| key.contains(&format!("/{job:012}")));
    assert_eq!(fixture.durable.records.keys().find(gone), None);
}

#[test]
fn a_long_job_is_not_forgotten_when_it_ends() {
    let mut fixture = Fixture::new();
    fixture.hello(1, "a", Vec::new());
    let long = fixture.submit(spec("long", 1)).unwrap();
    for tag in 0..KEEP_ENDED {
        let job = fixture.submit(spec(tag, 1)).unwrap();
        fixture.cancel(job).unwrap();
        fixture.now = fixture.now + Duration::from_millis(1);
    }
    fixture.complete(long);
    let another = fixture.submit(spec("another", 1)).unwrap();
    fixture.cancel(another).unwrap();
    assert!(fixture.engine.state().job(long).is_some());
    for first in [2, 3] {
        assert!(fixture.engine.state().job(JobId(first)).is_none(), "{first} ended before it");
    }
}

/// Time may stand still, or run behind that of the coordinator before.
#[test]
fn a_job_is_not_forgotten_by_the_step_that_ends_it() {
    for earlier in [0, 500] {
        let mut fixture = Fixture::new();
        let jobs: Vec<JobId> = (0..=KEEP_ENDED + 1).map(|tag| fixture.submit(spec(tag, 1)).unwrap()).collect();
        for job in &jobs[1..=KEEP_ENDED] {
            fixture.cancel(*job).unwrap();
        }
        fixture.now = Millis(fixture.now.0 - earlier);
        fixture.cancel(jobs[0]).unwrap();
        assert!(fixture.job(jobs[0]).is_over());
    }
}

#[test]
fn the_newest_number_is_not_given_again() {
    let mut fixture = Fixture::new();
    let jobs: Vec<JobId> = (0..=KEEP_ENDED).map(|tag| fixture.submit(spec(tag, 1)).unwrap()).collect();
    for job in jobs.iter().rev() {
        fixture.cancel(*job).unwrap();
        fixture.now = fixture.now + Duration::from_millis(1);
    }
    assert_eq!(fixture.engine.state().jobs().count(), KEEP_ENDED);
    let mut fixture = fixture.restart();
    assert_eq!(fixture.submit(spec("new", 1)), Ok(JobId(KEEP_ENDED as u64 + 2)));
}

/// With so many tasks, its records go in two transactions, cut at each place around its own record.
#[test]
fn a_crash_while_a_job_is_forgotten_leaves_what_another_coordinator_can_read() {
    for parts in 88..=98 {
        let mut fixture = Fixture::new();
        fixture.hello(1, "a", Vec::new());
        let large = fixture.submit(spec("large", parts)).unwrap();
        fixture.complete(large);
        fixture.now = fixture.now + Duration::from_millis(1);
        let jobs: Vec<JobId> = (0..=KEEP_ENDED).map(|tag| fixture.submit(spec(tag, 0)).unwrap()).collect();
        let (last, others) = jobs.split_last().unwrap();
        let (one, others) = others.split_last().unwrap();
        for job in others {
            fixture.cancel(*job).unwrap();
        }
        let mut fixture = fixture.crash_after(Event::Cancel { reply: ReplyId(0), job: *one }, 1);
        assert_eq!(fixture.cancel(*one), Ok(*one), "its end was in the first transaction");
        fixture.cancel(*last).unwrap();
        let left = |key: &&String| key.contains(&format!("/{:012}", large.0));
        assert_eq!(fixture.durable.records.keys().find(left), None, "{parts} parts");
    }
}
