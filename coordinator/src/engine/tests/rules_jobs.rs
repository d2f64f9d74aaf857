//! The rules of `submit`, `outcome`, `ending` and `assign` about jobs.

use super::{
    fixture::{Fixture, told},
    harness::{
        LEASE,
        toy::{ToySpec, Trouble},
    },
};
use crate::{
    engine::{Effect, Event, MAX_FAILURES, MAX_LOSSES, MAX_TEXT, Message, Refusal, ReplyId},
    model::{JobEnd, JobPhase, Precedence, SessionId, TaskPhase},
    placement::{Away, Wait},
};
use braid_workload::{Failure, FailureKind, JobId, NodeId, TaskOutcome};
use serde_json::{Value, json};

fn spec(tag: &str) -> ToySpec {
    ToySpec { tag: tag.into(), parts: 1, ..ToySpec::default() }
}

fn named(tag: &str, name: &str) -> ToySpec {
    ToySpec { exclusive: Some(name.into()), ..spec(tag) }
}

#[test]
fn a_submit_that_is_refused_says_why_and_leaves_nothing() {
    let mut fixture = Fixture::new();
    fixture.submit(named("first", "out")).unwrap();
    let cases: [(&str, Value, &str); 7] = [
        ("none", json!({}), "no kind of job is called `none` (this coordinator knows toy)"),
        ("toy", json!([1]), "toy job: invalid"),
        ("toy", ToySpec { tag: "x".repeat(70_000), ..spec("") }.value(), "the spec of the job has"),
        ("toy", named("second", "out").value(), "job 1 is not over yet and holds out"),
        ("toy", named("second", &"o".repeat(MAX_TEXT)).value(), "the exclusive name of the job has 4098 bytes"),
        ("toy", ToySpec { padding: 40_000, ..spec("second") }.value(), "the task of the job has"),
        ("toy", ToySpec { trouble: Some(Trouble::Idle), ..spec("second") }.value(), "there is nothing to do"),
    ];
    for (kind, spec, why) in cases {
        let event = Event::Submit {
            reply: ReplyId(7),
            kind: kind.into(),
            spec,
            request_id: "second".into(),
            precedence: Precedence::default(),
            trace: None,
        };
        match &fixture.step(event)[..] {
            [Effect::Answer { reply: ReplyId(7), result: Err(refusal) }] => {
                assert!(refusal.to_string().contains(why), "{refusal}");
            }
            effects => panic!("{why}: {effects:?}"),
        }
    }
    assert_eq!(fixture.submit(spec("second")), Ok(JobId(2)), "no number was used up");
}

#[test]
fn a_repeated_submit_finds_the_first_over_a_restart_too() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.submit(named("a", "out")), Ok(JobId(1)));
    assert_eq!(fixture.submit(named("a", "out")), Ok(JobId(1)));
    let mut fixture = fixture.restart();
    assert_eq!(fixture.submit(named("a", "out")), Ok(JobId(1)));
    assert_eq!(fixture.engine.state().jobs().count(), 1);
}

#[test]
fn a_name_is_free_when_nothing_of_its_job_runs_any_more() {
    let mut fixture = Fixture::new();
    fixture.hello(1, "a", Vec::new());
    let first = fixture.submit(named("first", "out")).unwrap();
    let held = fixture.place()[0].held;
    let taken = Err(Refusal::Held { name: "out".into(), holder: first });
    assert_eq!(fixture.submit(named("second", "out")), taken);
    assert_eq!(fixture.submit(named("other", "elsewhere")), Ok(JobId(2)));
    fixture.cancel(first).unwrap();
    assert_eq!(fixture.submit(named("second", "out")), taken, "the worker may still write");
    let mut fixture = fixture.restart();
    assert_eq!(fixture.submit(named("second", "out")), taken);
    fixture.hello(1, "a", vec![held]);
    fixture.fail(1, held, Failure::cancelled());
    assert_eq!(fixture.submit(named("second", "out")), Ok(JobId(3)));
}

#[test]
fn a_cancel_may_be_repeated_and_comes_too_late_for_a_job_that_is_over() {
    let (mut fixture, job) = Fixture::planned(2);
    let runs = fixture.give(job, "a");
    assert_eq!(fixture.cancel(JobId(9)), Err(Refusal::NoSuchJob(JobId(9))));
    let effects = fixture.step(Event::Cancel { reply: ReplyId(1), job });
    let stops = runs.iter().map(|run| Message::Stop { task: run.held.task, attempt: run.held.attempt });
    assert_eq!(told(&effects, 1), stops.collect::<Vec<_>>());
    assert_eq!(fixture.cancel(job), Ok(job));
    // A result that comes nevertheless changes nothing; the job is over when the last is in.
    fixture.finish(1, &runs[0]);
    assert_eq!(fixture.job(job).phase, JobPhase::Ending(JobEnd::Cancelled));
    fixture.fail(1, runs[1].held, Failure::cancelled());
    assert_eq!(fixture.job(job).phase, JobPhase::Ended(JobEnd::Cancelled));
    assert_eq!(fixture.cancel(job), Ok(job));

    let done = fixture.submit(spec("done")).unwrap();
    fixture.complete(done);
    assert_eq!(fixture.cancel(done), Err(Refusal::Over(done)));
}

#[test]
fn a_task_is_tried_again_as_often_as_its_failure_allows() {
    for (kind, tries) in [(FailureKind::Retry, MAX_FAILURES), (FailureKind::Fatal, 1)] {
        let failure = |count: u32| Failure { kind, message: format!("try {count}"), hint: None, exit: None };
        let (mut fixture, job) = Fixture::planned(1);
        for count in 1..=tries {
            assert_eq!(fixture.job(job).phase, JobPhase::Running);
            let held = fixture.place()[0].held;
            fixture.fail(1, held, failure(count));
            fixture = fixture.restart();
            fixture.hello(1, "a", Vec::new());
        }
        assert_eq!(*fixture.failure(job), failure(tries));
        assert_eq!(fixture.task(job.task(1)).last_failure, Some(failure(tries)));
        assert!(fixture.job(job).is_over());
    }
}

#[test]
fn a_job_whose_kind_wants_it_goes_on_without_a_task_that_failed() {
    for parts in [1, 3] {
        let mut fixture = Fixture::new();
        fixture.hello(1, "a", Vec::new());
        let job = fixture.submit(ToySpec { parts, trouble: Some(Trouble::Lame), ..spec("lame") }).unwrap();
        while !fixture.job(job).is_over() {
            for run in fixture.give(job, "a") {
                fixture.finish(1, &run);
                fixture = fixture.restart();
                fixture.hello(1, "a", Vec::new());
            }
        }
        assert!(matches!(fixture.job(job).phase, JobPhase::Ended(JobEnd::Done(_))), "{:?}", fixture.job(job).phase);
        let task = fixture.task(job.task(1));
        assert_eq!((&task.phase, task.failures), (&TaskPhase::Failed, 1), "its kind wants no second try");
    }
}

#[test]
fn a_worker_that_goes_away_costs_its_tasks_no_try() {
    let (mut fixture, job) = Fixture::planned(1);
    for _ in 0..2 * (MAX_FAILURES + MAX_LOSSES) {
        let held = fixture.place()[0].held;
        fixture.fail(1, held, Failure::cancelled());
        assert!(fixture.place().is_empty(), "a worker that gave a task back is left alone for a while");
        fixture.hello(1, "a", Vec::new());
    }
    assert_eq!(fixture.job(job).phase, JobPhase::Running);
    assert_eq!(fixture.task(job.task(1)).last_failure, None);
}

#[test]
fn a_task_that_loses_too_many_workers_fails_its_job() {
    let (mut fixture, job) = Fixture::planned(1);
    for count in 1..=MAX_LOSSES {
        assert_eq!(fixture.job(job).phase, JobPhase::Running);
        assert_eq!(fixture.place().len(), 1);
        fixture.wait(LEASE);
        assert_eq!(fixture.task(job.task(1)).losses, count);
        fixture.hello(1, "a", Vec::new());
    }
    let failure = fixture.failure(job);
    assert_eq!(failure.message, "task 1.1 (part 1) lost its worker 10 times");
    assert!(failure.hint.is_some());
}

#[test]
fn a_job_that_fails_ends_when_its_other_tasks_have_stopped() {
    let (mut fixture, job) = Fixture::planned(4);
    let runs = fixture.place();
    assert!(runs.len() > 1 && fixture.job(job).tally().waiting > 0);
    let effects = fixture.fail(1, runs[0].held, Failure::fatal("wrong"));
    let stops = told(&effects, 1).iter().filter(|message| matches!(message, Message::Stop { .. })).count();
    assert_eq!((stops, fixture.job(job).tally().waiting), (runs.len() - 1, 0));
    assert!(matches!(fixture.job(job).phase, JobPhase::Ending(_)));
    // One that is lost has stopped too.
    fixture.wait(LEASE);
    assert!(fixture.job(job).is_over());
    assert_eq!(fixture.task(runs[0].held.task).phase, TaskPhase::Failed);
}

#[test]
fn a_job_that_waits_has_a_reason_and_one_that_runs_has_none() {
    let mut fixture = Fixture::new();
    let job = fixture.submit(spec("a")).unwrap();
    let reason = |fixture: &Fixture| fixture.job(job).reason.clone();
    fixture.place();
    assert_eq!(reason(&fixture), Some(Wait::NoWorker));
    fixture.hello(1, "a", Vec::new());
    assert_eq!(fixture.place().len(), 1);
    assert_eq!(reason(&fixture), None);
    fixture.wait(LEASE);
    fixture.place();
    assert_eq!(reason(&fixture), Some(Wait::NoWorker));
    fixture.cancel(job).unwrap();
    assert_eq!(reason(&fixture), None);
}

#[test]
fn a_lost_stream_is_a_reason_at_once() {
    let (mut fixture, job) = Fixture::planned(1);
    fixture.step(Event::Disconnected { session: SessionId(1) });
    fixture.place();
    let silent = Wait::Away { node: NodeId("a".into()), workers: 1, why: Away::Silent };
    assert_eq!(fixture.job(job).reason, Some(silent));
}

/// Control characters take six bytes each in a record.
#[test]
fn what_peers_say_fits_into_a_record() {
    let long = "\u{1}".repeat(100_000);
    let (mut fixture, job) = Fixture::planned(1);
    let held = fixture.place()[0].held;
    fixture.fail(1, held, Failure::retry(long.clone()).with_hint(long.clone()));
    let held = fixture.place()[0].held;
    fixture.fail(1, held, Failure::fatal(long.clone()).with_hint(long));
    assert_eq!(fixture.failure(job).message.len(), MAX_TEXT / 6);

    let (mut fixture, other) = Fixture::planned(1);
    let held = fixture.place()[0].held;
    fixture.report(1, held, TaskOutcome::Done(json!("x".repeat(60_000))));
    assert_eq!(fixture.failure(other).message.len(), MAX_TEXT - 1, "its quote takes two");
    let label = fixture.submit(spec(&"é".repeat(5000))).unwrap();
    assert_eq!(fixture.job(label).label.len(), MAX_TEXT);
}

#[test]
fn what_ends_a_gang_for_good_ends_the_job_whoever_tells_first() {
    for fatal_first in [true, false] {
        let mut fixture = Fixture::new();
        fixture.hello(1, "a", Vec::new());
        fixture.hello(2, "b", Vec::new());
        let job = fixture.submit(ToySpec { parts: 0, gang: 2, ..spec("gang") }).unwrap();
        let plan = fixture.place().remove(0);
        fixture.finish(1, &plan);
        let members = fixture.place();
        let [first, second] = &members[..] else { panic!("{members:?}") };
        let wrong = Failure::fatal("the checkpoint is another's");
        let left = Failure::retry("rank 0 has left the exchange");
        let mut reports = [(second.held, left), (first.held, wrong)];
        if fatal_first {
            reports.reverse();
        }
        for (held, failure) in reports {
            fixture.fail(1, held, failure);
        }
        assert_eq!(fixture.failure(job).message, "the checkpoint is another's", "told first: {fatal_first}");
    }
}
