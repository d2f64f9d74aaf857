//! The rules of `session`, `assign` and `outcome` about who may go on with what.

use super::{
    fixture::{Fixture, told},
    harness::{LEASE, worker::inventory},
};
use crate::{
    engine::{Effect, Event, Held, Message, Report, TaskProgress},
    model::{Disk, Inventory, SessionId, TaskPhase},
};
use braid_workload::{AttemptId, JobId, LeaseId, NodeId, TaskOutcome};
use serde_json::json;
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_newer_session_of_a_node_replaces_the_older() {
    let (mut fixture, _) = Fixture::planned(2);
    let effects = fixture.hello(2, "a", Vec::new());
    assert!(matches!(effects[0], Effect::Close { session: SessionId(1), .. }));
    // The older one keeps nothing alive, and its end changes nothing.
    fixture.now = fixture.now + (LEASE - MOMENT);
    fixture.keep_alive(1);
    fixture.step(Event::Disconnected { session: SessionId(1) });
    assert!(fixture.engine.state().nodes().all(|node| node.session == Some(SessionId(2))));
    fixture.wait(MOMENT);
    assert_eq!(fixture.engine.state().nodes().count(), 0);
}

#[test]
fn what_the_records_confirm_goes_on_and_the_rest_is_dropped() {
    let (mut fixture, job) = Fixture::planned(1);
    let right = fixture.place()[0].held;
    let wrong = [
        Held { attempt: AttemptId(0), ..right },
        Held { attempt: AttemptId(u32::MAX), ..right },
        Held { lease: LeaseId(right.lease.0 + 1), ..right },
        Held { task: job.task(0), ..right },
        Held { task: job.task(u32::MAX), ..right },
        Held { task: JobId(99).task(1), ..right },
    ];
    for (session, wrong) in (2..).zip(wrong) {
        let effects = fixture.hello(session, "a", vec![right, wrong]);
        let [Message::Welcome { drop, .. }] = &told(&effects, session)[..] else { panic!("{effects:?}") };
        assert_eq!(*drop, [wrong]);
        assert_eq!((fixture.task(right.task).attempt, fixture.task(right.task).losses), (right.attempt, 0));
    }
    let effects = fixture.hello(99, "b", vec![right]);
    let [Message::Welcome { drop, .. }] = &told(&effects, 99)[..] else { panic!("{effects:?}") };
    assert_eq!(*drop, [right], "it is another node's");
}

#[test]
fn what_a_worker_does_not_know_of_waits_again() {
    let (mut fixture, _) = Fixture::planned(1);
    let run = fixture.place().remove(0);
    fixture.hello(2, "a", Vec::new());
    let task = fixture.task(run.held.task);
    assert_eq!((&task.phase, task.losses), (&TaskPhase::Waiting, 1));
    // The result of the try before comes too late, on whichever stream.
    for session in [1, 2] {
        let effects = fixture.finish(session, &run);
        assert_eq!(told(&effects, session), [Message::Taken { task: run.held.task, attempt: run.held.attempt }]);
        assert_eq!(effects.len(), 1);
    }
    let again = fixture.place().remove(0);
    assert!(again.held.attempt > run.held.attempt && again.held.lease != run.held.lease);
}

#[test]
fn a_worker_that_comes_back_is_told_again_to_stop() {
    let (mut fixture, job) = Fixture::planned(1);
    let held = fixture.place()[0].held;
    let stop = Message::Stop { task: held.task, attempt: held.attempt };
    fixture.step(Event::Disconnected { session: SessionId(1) });
    fixture.cancel(job).unwrap();
    let effects = fixture.hello(2, "a", vec![held]);
    assert_eq!(told(&effects, 2)[1..], *std::slice::from_ref(&stop));
    // Over a restart of the coordinator too.
    let mut fixture = fixture.restart();
    let effects = fixture.hello(1, "a", vec![held]);
    assert_eq!(told(&effects, 1)[1..], [stop]);
}

#[test]
fn silence_of_a_lease_loses_a_node_and_a_keep_alive_puts_it_off() {
    let (mut fixture, _) = Fixture::planned(1);
    let run = fixture.place().remove(0);
    fixture.now = fixture.now + (LEASE - MOMENT);
    fixture.keep_alive(1);
    assert_eq!(fixture.wait(LEASE - MOMENT), []);
    let effects = fixture.wait(MOMENT);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Close { session: SessionId(1), .. })));
    assert_eq!(fixture.task(run.held.task).phase, TaskPhase::Waiting);
    // It was not dead: what it has is not its own any more.
    assert_eq!(fixture.finish(1, &run).len(), 1);
    let effects = fixture.hello(2, "a", vec![run.held]);
    assert!(matches!(&told(&effects, 2)[..], [Message::Welcome { drop, .. }] if *drop == [run.held]));
}

#[test]
fn a_worker_goes_on_over_a_restart_of_the_coordinator_within_a_lease() {
    for (silence, goes_on) in [(LEASE - MOMENT, true), (LEASE, false)] {
        let (mut fixture, _) = Fixture::planned(1);
        let run = fixture.place().remove(0);
        let mut fixture = fixture.restart();
        fixture.wait(silence);
        fixture.hello(1, "a", vec![run.held]);
        fixture.finish(1, &run);
        assert_eq!(fixture.task(run.held.task).phase == TaskPhase::Done, goes_on);
    }
}

/// It was read from the older stream after the hello of the newer.
#[test]
fn a_result_on_a_replaced_stream_counts_and_frees_the_node() {
    let (mut fixture, job) = Fixture::planned(1);
    let run = fixture.place().remove(0);
    fixture.hello(2, "a", vec![run.held]);
    fixture.finish(1, &run);
    assert_eq!(fixture.task(run.held.task).phase, TaskPhase::Done);
    fixture.wait(LEASE);
    assert_eq!(fixture.task(run.held.task).phase, TaskPhase::Done, "the node is lost without it");
    assert!(fixture.job(job).warm.contains(&NodeId("a".into())));
}

#[test]
fn a_second_hello_on_a_stream_takes_it_from_the_first() {
    let (mut fixture, _) = Fixture::planned(1);
    fixture.hello(1, "b", Vec::new());
    let sessions: Vec<_> = fixture.engine.state().nodes().map(|node| (node.id.0.as_str(), node.session)).collect();
    assert_eq!(sessions, [("a", None), ("b", Some(SessionId(1)))]);
    let effects = fixture.hello(1, "b", Vec::new());
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Close { .. })), "it would close itself");
}

#[test]
fn what_placement_meant_for_a_node_that_is_gone_is_placed_again_at_once() {
    let (mut fixture, job) = Fixture::planned(1);
    fixture.hello(2, "b", Vec::new());
    assert!(fixture.engine.problem().is_some());
    assert!(fixture.engine.problem().is_none(), "the question is asked once");
    fixture.step(Event::Disconnected { session: SessionId(1) });
    assert_eq!(fixture.give(job, "a"), []);
    assert_eq!(fixture.place().len(), 1);
}

#[test]
fn nothing_goes_to_a_node_that_came_back_and_cannot_run_it() {
    let (mut fixture, job) = Fixture::planned(1);
    let unable = [Inventory { kinds: ["other".to_owned()].into(), ..inventory() }, Inventory { memory: 0, ..inventory() }];
    for inventory in unable {
        fixture.step(Event::Hello { session: SessionId(2), node: NodeId("a".into()), inventory, held: Vec::new() });
        assert_eq!(fixture.give(job, "a"), []);
    }
    fixture.hello(3, "a", Vec::new());
    assert_eq!(fixture.give(job, "a").len(), 1);
}

#[test]
fn progress_is_that_of_the_newest_try_on_its_own_node() {
    let (mut fixture, job) = Fixture::planned(1);
    let held = fixture.place()[0].held;
    fixture.hello(2, "b", Vec::new());
    let report = |attempt, done| vec![TaskProgress { task: held.task, attempt, done, reused: 1 }];
    for (session, progress, seen) in [
        (1, report(held.attempt, 5), 5),
        (1, report(AttemptId(0), 6), 5),
        (2, report(held.attempt, 7), 5),
        (9, report(held.attempt, 8), 5),
        (1, report(held.attempt, u64::MAX), u64::MAX),
    ] {
        fixture.step(Event::KeepAlive { session: SessionId(session), progress });
        assert_eq!(fixture.task(job.task(1)).done, seen);
    }
}

#[test]
fn more_room_on_a_disk_lets_placement_think_again_and_less_does_not() {
    let (mut fixture, _) = Fixture::planned(1);
    let disk = |mount: &str, free| Disk { mount: mount.into(), total: 100, free, ..Disk::default() };
    fixture.engine.problem();
    for (session, disks, asked) in [
        (1, vec![disk("/", 50)], true),
        (1, vec![disk("/", 40)], false),
        (1, vec![disk("/", 40), disk("/data", 1)], true),
        (1, vec![disk("/", 39), disk("/data", 2)], true),
        (9, vec![disk("/", 100)], false),
        (1, vec![disk("/", 39)], false),
    ] {
        fixture.step(Event::Disks { session: SessionId(session), disks: disks.clone() });
        assert_eq!(fixture.engine.problem().is_some(), asked, "{disks:?}");
    }
    assert_eq!(fixture.engine.state().nodes[&NodeId("a".into())].inventory.as_ref().unwrap().disks, [disk("/", 39)]);
}

#[test]
fn a_result_counts_once() {
    let (mut fixture, job) = Fixture::planned(2);
    let runs = fixture.give(job, "a");
    let first = runs[0].held;
    let report = |held, value: u64| {
        let outcome = TaskOutcome::Done(json!(value));
        Event::Finished {
            session: SessionId(1),
            report: Report { node: NodeId("a".into()), held, outcome, ran: MOMENT, done: 1, reused: 0 },
        }
    };
    assert!(fixture.step(report(first, 2)).len() > 1);
    let state = fixture.job(job).state.clone();
    assert_eq!(fixture.step(report(first, 1000)).len(), 1);
    assert_eq!(fixture.job(job).state, state);
}
