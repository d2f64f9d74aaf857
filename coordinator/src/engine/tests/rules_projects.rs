//! The rules of `projects`: whose tasks go first, what a quota holds, and who makes room for whom.

use super::{
    fixture::{Fixture, told},
    harness::toy::ToySpec,
};
use crate::{
    engine::{Effect, Event, Message, ReplyId, Run},
    model::{Precedence, Project, Quota, SessionId, TaskPhase},
};
use braid_workload::{Failure, JobId};

impl Fixture {
    fn set_project(&mut self, name: &str, weight: u32, threads: Option<u64>) -> Result<(), String> {
        let project = Project { weight, quota: Quota { threads, ..Quota::default() } };
        match self.step(Event::SetProject { reply: ReplyId(3), name: name.into(), project }).pop() {
            Some(Effect::Confirm { result, .. }) => result.map_err(|refusal| refusal.to_string()),
            other => panic!("no answer but {other:?}"),
        }
    }

    /// A job of so many parts whose first task is done, so that the parts wait.
    fn waiting(&mut self, tag: &str, parts: u64, priority: i32, project: &str) -> JobId {
        let spec = ToySpec { tag: tag.into(), parts, ..ToySpec::default() };
        let job = self.submit_as(spec, Precedence { priority, project: project.into() }).unwrap();
        let plan = self.give(job, "a").remove(0);
        self.finish(1, &plan);
        job
    }

    fn with_a_worker() -> Self {
        let mut fixture = Self::new();
        fixture.hello(1, "a", Vec::new());
        fixture
    }
}

fn jobs(runs: &[Run]) -> Vec<u64> {
    runs.iter().map(|run| run.held.task.job.0).collect()
}

#[test]
fn the_higher_priority_goes_first() {
    let mut fixture = Fixture::with_a_worker();
    let low = fixture.waiting("low", 20, 0, "");
    let high = fixture.waiting("high", 20, 5, "");
    let runs = jobs(&fixture.place());
    assert!(runs.first() == Some(&high.0) && runs.is_sorted_by(|a, b| a >= b), "{runs:?}");
    assert_eq!(fixture.job(low).precedence.project, "default");
}

#[test]
fn a_quota_holds_a_project_and_says_so() {
    let mut fixture = Fixture::with_a_worker();
    fixture.set_project("small", 1, Some(2)).unwrap();
    let job = fixture.waiting("s", 20, 0, "small");
    let mut runs = fixture.place();
    assert!(!runs.is_empty() && fixture.engine.state().used()["small"].threads <= 2);
    // Whatever placement says.
    runs.extend(fixture.give(job, "a"));
    assert_eq!(fixture.engine.state().used()["small"].threads, 2);
    assert!(fixture.give(job, "a").is_empty());
    let other =
        fixture.submit_as(ToySpec { tag: "o".into(), ..ToySpec::default() }, Precedence { priority: 0, project: "small".into() });
    let other = other.unwrap();
    fixture.place();
    let reason = fixture.job(other).reason.as_ref().unwrap().to_string();
    assert!(reason.starts_with("project `small` is at its quota: 2 threads, of which 2 are in use and "), "{reason}");
    fixture.finish(1, &runs[0]);
    assert!(!fixture.place().is_empty());
    let mut fixture = fixture.restart();
    assert_eq!(fixture.engine.state().projects().count(), 1, "it is remembered");
    fixture.set_project("small", 1, None).unwrap();
    assert_eq!(fixture.restart().engine.state().projects().count(), 0, "and forgotten");
}

#[test]
fn names_and_weights_that_cannot_be_are_refused() {
    let mut fixture = Fixture::new();
    assert!(fixture.set_project("a", 0, None).unwrap_err().contains("its weight must be at least 1"));
    for name in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
        assert!(fixture.set_project(name, 2, None).unwrap_err().contains("a name has 1 to 64 letters"), "{name}");
    }
    let spec = ToySpec { tag: "t".into(), ..ToySpec::default() };
    let refused = fixture.submit_as(spec, Precedence { priority: 0, project: "a b".into() }).unwrap_err();
    assert!(refused.to_string().starts_with("project `a b`: "), "{refused}");
}

#[test]
fn a_job_that_cannot_start_takes_the_place_of_one_that_can_go_on() {
    let mut fixture = Fixture::with_a_worker();
    let low = fixture.waiting("low", 20, 0, "");
    let held = fixture.give(low, "a");
    let high = fixture
        .submit_as(ToySpec { tag: "high".into(), ..ToySpec::default() }, Precedence { priority: 1, project: String::new() });
    let high = high.unwrap();
    let problem = fixture.engine.problem().unwrap();
    let decision = crate::placement::Placer::place(&mut crate::placement::Greedy, &problem);
    let effects = fixture.step(Event::Placed(decision));
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
        let problem = fixture.engine.problem().unwrap();
        let decision = crate::placement::Placer::place(&mut crate::placement::Greedy, &problem);
        let effects = fixture.step(Event::Placed(decision));
        assert_eq!(told(&effects, 1), [], "{tag}");
        fixture.step(Event::Disconnected { session: SessionId(1) });
    }
}
