//! The rules of `projects`: whose tasks go first, and what a quota holds.

use super::{
    fixture::{Fixture, jobs},
    harness::toy::ToySpec,
};
use crate::{
    engine::{Effect, Event, ReplyId},
    model::{Precedence, Project, Quota},
};

impl Fixture {
    fn set_project(&mut self, name: &str, weight: u32, threads: Option<u64>) -> Result<(), String> {
        let project = Project { weight, quota: Quota { threads, ..Quota::default() } };
        match self.step(Event::SetProject { reply: ReplyId(3), name: name.into(), project }).pop() {
            Some(Effect::Confirm { result, .. }) => result.map_err(|refusal| refusal.to_string()),
            other => panic!("no answer but {other:?}"),
        }
    }
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
    let other = fixture.submit_as(
        ToySpec { tag: "o".into(), ..ToySpec::default() },
        Precedence { priority: 0, project: "small".into(), ..Precedence::default() },
    );
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
    let refused =
        fixture.submit_as(spec, Precedence { priority: 0, project: "a b".into(), ..Precedence::default() }).unwrap_err();
    assert!(refused.to_string().starts_with("project `a b`: "), "{refused}");
}
