//! The rules of `upkeep`: who is given tasks, what is stopped when, and what is remembered.

use super::{
    fixture::{Fixture, told},
    harness::{LEASE, toy::ToySpec},
};
use crate::{
    engine::{Effect, Event, Message, NodeWish, Refusal, ReplyId},
    model::{Node, SessionId, TaskPhase},
};
use braid_workload::{Failure, NodeId};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(300);

impl Fixture {
    fn change(&mut self, node: &str, wish: NodeWish) -> (Vec<Effect>, Result<(), Refusal>) {
        let mut effects = self.step(Event::ChangeNode { reply: ReplyId(2), node: NodeId(node.into()), wish });
        match effects.pop() {
            Some(Effect::Confirm { reply: ReplyId(2), result }) => (effects, result),
            other => panic!("no answer but {other:?}"),
        }
    }

    fn node(&self, name: &str) -> &Node {
        self.engine.state().nodes().find(|node| node.id.0 == name).unwrap()
    }
}

fn label(name: &str, value: Option<&str>) -> NodeWish {
    NodeWish::Label([(name.to_owned(), value.map(str::to_owned))].into())
}

#[test]
fn a_cordoned_node_keeps_what_it_runs_and_gets_nothing_new() {
    let (mut fixture, job) = Fixture::planned(3);
    let running = fixture.place();
    fixture.change("a", NodeWish::Cordon).1.unwrap();
    assert!(fixture.give(job, "a").is_empty(), "whatever placement says");
    for run in &running {
        fixture.finish(1, run);
    }
    assert!(fixture.place().is_empty());
    fixture.hello(1, "a", vec![]);
    assert!(fixture.place().is_empty(), "a worker that comes back is the same node");
    let job = fixture.submit(ToySpec { tag: "next".into(), ..ToySpec::default() }).unwrap();
    fixture.place();
    let reason = fixture.job(job).reason.clone().unwrap();
    assert_eq!(reason.to_string(), "the only worker that could run it, a, is cordoned");
    fixture.change("a", NodeWish::Uncordon).1.unwrap();
    assert!(!fixture.place().is_empty());
}

#[test]
fn what_still_runs_when_the_time_to_drain_is_over_goes_elsewhere() {
    let (mut fixture, _) = Fixture::planned(1);
    let run = fixture.place().remove(0);
    let stop = Message::Stop { task: run.held.task, attempt: run.held.attempt };
    let (effects, result) = fixture.change("a", NodeWish::Drain(Some(SOON)));
    assert_eq!((told(&effects, 1), result), (vec![], Ok(())));
    fixture.keep_alive(1);
    assert_eq!(told(&fixture.wait(SOON - Duration::from_millis(1)), 1), []);
    assert_eq!(told(&fixture.wait(Duration::from_millis(1)), 1), std::slice::from_ref(&stop));
    assert_eq!(told(&fixture.wait(Duration::from_millis(1)), 1), [], "once");
    // A worker that comes back may not have heard it.
    let effects = fixture.hello(2, "a", vec![run.held]);
    assert_eq!(told(&effects, 2).len(), 1);
    assert_eq!(told(&fixture.wait(Duration::from_millis(1)), 2), [stop]);
    fixture.hello(3, "b", vec![]);
    fixture.fail(2, run.held, Failure::cancelled());
    let task = fixture.task(run.held.task);
    assert_eq!((&task.phase, task.failures, task.losses), (&TaskPhase::Waiting, 0, 0), "nothing is held against it");
    let again = fixture.place().remove(0);
    assert_eq!(fixture.task(again.held.task).assignment().unwrap().node.0, "b");
}

#[test]
fn a_drain_without_a_deadline_stops_nothing() {
    let (mut fixture, _) = Fixture::planned(1);
    let run = fixture.place().remove(0);
    fixture.change("a", NodeWish::Drain(None)).1.unwrap();
    for _ in 0..20 {
        fixture.keep_alive(1);
        assert_eq!(told(&fixture.wait(LEASE / 2), 1), []);
    }
    fixture.finish(1, &run);
    assert_eq!(fixture.node("a").tasks.len(), 0);
}

#[test]
fn what_was_said_about_a_node_outlives_its_worker_and_the_coordinator() {
    let (mut fixture, _) = Fixture::planned(1);
    let run = fixture.place().remove(0);
    fixture.change("a", NodeWish::Drain(Some(SOON))).1.unwrap();
    fixture.change("a", label("rack", Some("7"))).1.unwrap();
    let mut fixture = fixture.restart();
    assert!(!fixture.node("a").access.is_open());
    fixture.hello(1, "a", vec![run.held]);
    assert_eq!(fixture.node("a").inventory.as_ref().unwrap().labels["rack"], "7");
    fixture.keep_alive(1);
    assert_eq!(told(&fixture.wait(SOON), 1).len(), 1, "the deadline holds");
    fixture.wait(LEASE);
    assert_eq!(fixture.engine.state().nodes().count(), 0);
    let absent: Vec<_> = fixture.engine.state().absent_nodes().map(|(id, _)| id.0.clone()).collect();
    assert_eq!(absent, ["a"]);
    fixture.change("a", NodeWish::Uncordon).1.unwrap();
    fixture.change("a", label("rack", None)).1.unwrap();
    assert_eq!(fixture.engine.state().absent_nodes().count(), 0, "nothing is left to remember");
    assert!(!fixture.durable.records.keys().any(|key| key.starts_with("node/")));
}

#[test]
fn labels_of_operators_cover_those_of_the_worker_and_give_them_back() {
    let mut fixture = Fixture::new();
    let mut inventory = super::harness::worker::inventory();
    inventory.labels = [("zone".to_owned(), "a".to_owned())].into();
    fixture.step(Event::Hello { session: SessionId(1), node: NodeId("a".into()), inventory, held: vec![] });
    let labels = |fixture: &Fixture| format!("{:?}", fixture.node("a").inventory.as_ref().unwrap().labels);
    fixture.change("a", label("zone", Some("b"))).1.unwrap();
    assert_eq!(labels(&fixture), r#"{"zone": "b"}"#);
    fixture.change("a", label("zone", None)).1.unwrap();
    assert_eq!(labels(&fixture), r#"{"zone": "a"}"#);
    for bad in ["", "a\nb", &"x".repeat(300)] {
        let refused = fixture.change("a", label(bad, Some("v"))).1.unwrap_err();
        assert!(refused.to_string().starts_with("labels of node a: "), "{refused}");
    }
    assert_eq!(labels(&fixture), r#"{"zone": "a"}"#, "a refused change changes nothing");
}

/// A write that no store takes would end the coordinator.
#[test]
fn labels_that_no_record_holds_are_refused() {
    let (mut fixture, _) = Fixture::planned(1);
    let quotes = |n: usize, length: usize| "\"".repeat(length - 2) + &format!("{n:02}");
    let labels = |length: usize| (0..64).map(|n| (quotes(n, length), Some(quotes(n, length)))).collect();
    let (effects, refused) = fixture.change("a", NodeWish::Label(labels(256)));
    assert_eq!(effects, []);
    let words = "labels of node a: they take 65692 bytes of a record, which holds at most 65536";
    assert_eq!(refused.unwrap_err().to_string(), words);
    fixture.change("a", NodeWish::Label(labels(200))).1.unwrap();
    assert_eq!(fixture.node("a").inventory.as_ref().unwrap().labels.len(), 64);
}

#[test]
fn a_node_that_nobody_knows_cannot_be_changed() {
    let mut fixture = Fixture::new();
    let (effects, refused) = fixture.change("x", NodeWish::Cordon);
    assert_eq!((effects.len(), refused.unwrap_err().to_string().as_str()), (0, "there is no node x"));
}
