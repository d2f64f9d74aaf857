//! The rules of `preempt`: who makes room for whom, and who keeps their place.

use super::{
    fixture::{Fixture, jobs, runs, told},
    harness::toy::ToySpec,
};
use crate::{
    engine::{Effect, Event, Message, Run},
    model::{Class, Precedence, SessionId, TaskPhase},
    placement::{Decision, Placement},
};
use braid_workload::{Failure, JobId, NodeId, TaskId};

impl Fixture {
    /// A job whose first task waits, which is a wide one.
    fn wide(&mut self, tag: &str, priority: i32, stubborn: bool) -> JobId {
        let spec = ToySpec { tag: tag.into(), parts: 2, stubborn, ..ToySpec::default() };
        self.submit_as(spec, Precedence { priority, ..Precedence::default() }).unwrap()
    }

    /// Hands out one task of a class.
    fn give_one(&mut self, job: JobId, class: Class, node: &str) -> Vec<Effect> {
        let placements = vec![Placement { job, class, node: NodeId(node.into()), count: 1 }];
        self.step(Event::Placed(Decision { placements, ..Decision::default() }))
    }

    /// Ends tasks that were told to stop.
    fn give_back(&mut self, held: &[Run], stopped: &[TaskId]) {
        for task in stopped {
            let run = held.iter().find(|run| run.held.task == *task).unwrap();
            self.fail(1, run.held, Failure::cancelled());
            assert_eq!((&self.task(*task).phase, self.task(*task).failures), (&TaskPhase::Waiting, 0));
        }
    }
}

/// Who is told to stop, in order, on stream 1.
fn stops(effects: &[Effect]) -> Vec<TaskId> {
    let stop = |message| match message {
        Message::Stop { task, .. } => Some(task),
        _ => None,
    };
    told(effects, 1).into_iter().filter_map(stop).collect()
}

#[test]
fn a_job_that_cannot_start_takes_the_place_of_one_that_can_go_on() {
    let mut fixture = Fixture::with_a_worker();
    let low = fixture.waiting("low", 20, 0, "");
    let held = fixture.give(low, "a");
    let high = fixture.submit_as(
        ToySpec { tag: "high".into(), ..ToySpec::default() },
        Precedence { priority: 1, project: String::new(), ..Precedence::default() },
    );
    let high = high.unwrap();
    let effects = fixture.placed();
    let stops: Vec<_> = told(&effects, 1);
    assert!(!stops.is_empty() && stops.len() <= held.len(), "{stops:?}");
    assert_eq!(fixture.engine.problem(), None, "nothing more until they have stopped");
    for stop in stops {
        let Message::Stop { task, .. } = stop else { panic!("{stop:?}") };
        let run = held.iter().find(|run| run.held.task == task).unwrap();
        fixture.fail(1, run.held, Failure::cancelled());
        assert_eq!((&fixture.task(task).phase, fixture.task(task).failures), (&TaskPhase::Waiting, 0));
    }
    let runs = fixture.place();
    assert_eq!(jobs(&runs).first(), Some(&high.0), "the place is not given back first");
}

#[test]
fn equals_and_what_cannot_go_on_keep_their_place() {
    for (priority, tag) in [(0, "equal"), (1, "stubborn")] {
        let mut fixture = Fixture::with_a_worker();
        let spec = ToySpec { tag: tag.into(), parts: 20, stubborn: tag == "stubborn", ..ToySpec::default() };
        let low = fixture.submit_as(spec, Precedence::default()).unwrap();
        let plan = fixture.give(low, "a").remove(0);
        fixture.finish(1, &plan);
        fixture.give(low, "a");
        let precedence = Precedence { priority, ..Precedence::default() };
        fixture.submit_as(ToySpec { tag: "other".into(), ..ToySpec::default() }, precedence).unwrap();
        let effects = fixture.placed();
        assert_eq!(told(&effects, 1), [], "{tag}");
        fixture.step(Event::Disconnected { session: SessionId(1) });
    }
}

#[test]
fn a_task_handed_ahead_of_its_turn_takes_the_place_of_one_that_can_go_on() {
    let mut fixture = Fixture::with_a_worker();
    let low = fixture.wide("low", 0, false);
    let mut held = fixture.place();
    assert_eq!(jobs(&held), [low.0]);
    let high = fixture.wide("high", 5, false);
    let effects = fixture.placed();
    let stopped = stops(&effects);
    assert_eq!(stopped, [held[0].held.task], "it does not wait behind it");
    assert!(matches!(told(&effects, 1)[..], [Message::Run(_), Message::Stop { .. }]), "it is there before the place is free");
    held.extend(runs(effects));
    assert_eq!(jobs(&held), [low.0, high.0]);
    fixture.give_back(&held, &stopped);
    let effects = fixture.placed();
    assert_eq!((stops(&effects), jobs(&runs(effects))), (vec![], vec![low.0]), "whoever made room does not stop it in turn");
}

#[test]
fn a_task_handed_ahead_waits_behind_equals_what_cannot_go_on_and_what_is_over_soon() {
    for (what, priority, stubborn, brief) in
        [("equal", 0, false, false), ("stubborn", 5, true, false), ("brief", 5, false, true), ("none", 5, false, false)]
    {
        let mut fixture = Fixture::with_a_worker();
        let mut low = fixture.wide("low", 0, stubborn);
        if brief {
            // Of which one took a millisecond.
            let spec = ToySpec { tag: "brief".into(), parts: 6, ..ToySpec::default() };
            low = fixture.submit_as(spec, Precedence::default()).unwrap();
            let plan = fixture.give(low, "a").remove(0);
            fixture.finish(1, &plan);
            let class = Class { wide: true, ..Class::default() };
            assert!(fixture.job(low).pace[&class] < 0.01);
            assert_eq!(runs(fixture.give_one(low, class, "a")).len(), 1);
        } else {
            assert_eq!(jobs(&fixture.place()), [low.0]);
        }
        let high = fixture.wide("high", priority, false);
        let effects = fixture.placed();
        assert_eq!(stops(&effects).len(), usize::from(what == "none"), "{what}");
        assert!(jobs(&runs(effects)).contains(&high.0), "{what}: it is handed ahead");
    }
}

#[test]
fn what_runs_in_the_other_lane_goes_on() {
    let mut fixture = Fixture::with_a_worker();
    let low = fixture.waiting("low", 2, 0, "");
    let held = fixture.give(low, "a");
    let wide = |run: &&Run| fixture.task(run.held.task).spec.demand.wide;
    assert_eq!(held.iter().filter(wide).count(), 1);
    let in_the_way: Vec<TaskId> = held.iter().filter(wide).map(|run| run.held.task).collect();
    fixture.wide("high", 5, false);
    assert_eq!(stops(&fixture.placed()), in_the_way, "a narrow task is in no wide one's way");
}

#[test]
fn only_the_first_task_of_a_job_stops_others() {
    let mut fixture = Fixture::with_a_worker();
    fixture.hello(2, "b", Vec::new());
    let high = fixture.wide("high", 5, false);
    let first = fixture.give(high, "b").remove(0);
    fixture.finish(2, &first);
    // Its narrow part runs on b; its wide one is handed to a, behind another job's.
    let low = fixture.wide("low", 0, false);
    fixture.give(low, "a");
    let narrow = Class { memory: 1, ..Class::default() };
    let wide = Class { memory: 2, wide: true, ..Class::default() };
    for (class, node) in [(narrow, "b"), (wide, "a")] {
        let effects = fixture.give_one(high, class, node);
        assert_eq!((stops(&effects), runs(effects).len()), (vec![], 1), "{node}");
    }
}

/// While it is not known to stop, nobody else is told to: were the word lost with the stream, all would wait for it to end by
/// itself.
#[test]
fn who_is_to_make_room_is_told_again_on_a_new_stream() {
    let mut fixture = Fixture::with_a_worker();
    let low = fixture.wide("low", 0, false);
    let held = fixture.place();
    assert_eq!(jobs(&held), [low.0]);
    fixture.wide("high", 5, false);
    let stopped = stops(&fixture.placed());
    assert_eq!(stopped, [held[0].held.task]);
    let kept: Vec<_> = held.iter().map(|run| run.held).collect();
    let stop = Message::Stop { task: stopped[0], attempt: held[0].held.attempt };
    for session in [2, 3] {
        let told = told(&fixture.hello(session, "a", kept.clone()), session);
        assert!(told.contains(&stop), "stream {session}: {told:?}");
    }
    fixture.fail(3, held[0].held, Failure::cancelled());
    assert_eq!(told(&fixture.hello(4, "a", vec![]), 4).len(), 1, "it has stopped");
}
