//! A small fleet in memory, recorded and decided again.

use super::*;
use crate::{
    engine::{Engine, Event, Held, Records, ReplyId, Report, recover},
    model::{Inventory, Millis, Precedence, SessionId},
    placement::{
        Guide, Plan, hand_out, plan,
        program::{Budget, Effort},
    },
};
use braid_noop::Noop;
use braid_workload::{JobId, NodeId, Registry, TaskOutcome, Workload};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const LEASE: Duration = Duration::from_secs(15);

fn workloads() -> Registry<dyn Workload> {
    let noop: Arc<dyn Workload> = Arc::new(Noop);
    Registry::new([(noop.kind(), noop)])
}

struct Fleet {
    engine: Engine,
    guide: Guide,
    lines: Vec<Line>,
    now: Millis,
    events: u64,
}

impl Fleet {
    fn start() -> Self {
        let now = Millis(1_000);
        let (version, placer) = ("0.0.1".to_owned(), "lp".to_owned());
        let header = Header { format: FORMAT, version, epoch: 3, lease: LEASE, placer, now };
        let state = recover(&Records::default(), 3, LEASE, now).unwrap();
        let engine = Engine::new(state, workloads(), LEASE, "the secret of gangs".into());
        Self { engine, guide: Guide::default(), lines: vec![Line::Header(header)], now, events: 0 }
    }

    fn step(&mut self, event: Event) {
        self.now = self.now + Duration::from_millis(7);
        self.events += 1;
        let done = self.engine.step(event.clone(), self.now);
        let step = Step { number: self.events, now: self.now, event, effects: effects(&done) };
        self.lines.push(Line::Step(Box::new(step)));
    }

    fn place(&mut self) {
        let unsettled = self.engine.is_unsettled();
        match self.engine.problem() {
            Some(problem) => {
                let decision = hand_out(&problem, &mut self.guide);
                self.step(Event::Placed(decision));
            }
            None if unsettled => self.lines.push(Line::Idle),
            None => {}
        }
    }

    fn plan(&mut self, question: u64) {
        let made: Plan = plan(&self.engine.state().problem(), Effort::QUICK, Budget::new(Effort::QUICK.work)).unwrap();
        let (targets, makespan) = (made.placements(), made.makespan.to_bits());
        self.lines.extend([Line::Asked { question }, Line::Planned { question, targets, makespan }]);
        self.guide = made.into();
        self.engine.reconsider();
        self.place();
    }

    fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.write().unwrap()).collect()
    }
}

/// Two nodes of which one leaves, a job that waits, is planned and is done.
fn fleet() -> Fleet {
    let mut fleet = Fleet::start();
    fleet.place();
    let spec = serde_json::json!({"tasks": 40, "millis": 0});
    let (kind, request_id, precedence) = ("noop".to_owned(), "r".to_owned(), Precedence::default());
    fleet.step(Event::Submit { reply: ReplyId(1), kind, spec, request_id, precedence, trace: None });
    fleet.place();
    for (session, name) in [(SessionId(1), "a"), (SessionId(2), "b")] {
        let inventory = Inventory { threads: 2, memory: 1 << 30, kinds: ["noop".to_owned()].into(), ..Inventory::default() };
        fleet.step(Event::Hello { session, node: NodeId(name.into()), inventory, held: vec![] });
        fleet.place();
    }
    fleet.plan(1);
    let running: Vec<(Held, NodeId)> = {
        let job = fleet.engine.state().job(JobId(1)).unwrap();
        let held = |(index, task): (u32, &crate::model::Task)| {
            let to = task.assignment()?;
            Some((Held { task: job.id.task(index), attempt: task.attempt, lease: to.lease }, to.node.clone()))
        };
        (0u32..).zip(&job.tasks).filter_map(held).collect()
    };
    assert!(!running.is_empty());
    for (held, node) in running {
        let session = SessionId(if node.0 == "a" { 1 } else { 2 });
        let outcome = TaskOutcome::Done(Value::from(0.1 + 0.2));
        let report = Report { node, held, outcome, ran: Duration::from_micros(1_234_567), done: 1 << 20, reused: 0 };
        fleet.step(Event::Finished { session, report });
        fleet.place();
    }
    fleet.step(Event::Disconnected { session: SessionId(2) });
    fleet.place();
    fleet.now = fleet.now + 2 * LEASE;
    fleet.step(Event::Tick);
    fleet.place();
    fleet
}

fn again(texts: &[String]) -> Result<Summary, ReplayError> {
    replay(texts.iter().cloned().map(Ok), &workloads())
}

#[test]
fn what_was_recorded_is_decided_again() {
    let fleet = fleet();
    let texts = fleet.texts();
    assert!(!texts.concat().contains("the secret"));
    let summary = again(&texts).unwrap();
    assert!(summary.is_same() && summary.notes.is_empty(), "{summary:#?}");
    assert_eq!((summary.terms, summary.events, summary.plans), (1, fleet.events, 1));
    assert!(summary.placements >= 3 && summary.effects > 40, "{summary:?}");
    // Two coordinators, one after the other.
    let twice = again(&[texts.clone(), texts].concat()).unwrap();
    assert!(twice.is_same() && twice.terms == 2, "{twice:#?}");
}

#[test]
fn each_kind_of_decision_that_was_changed_is_named() {
    let fleet = fleet();
    let at = |is: fn(&Line) -> bool| fleet.lines.iter().position(is).unwrap();
    let places = |line: &Line| matches!(line, Line::Step(step) if matches!(&step.event, Event::Placed(decision) if !decision.placements.is_empty()));
    let changed = |at: usize, change: fn(&mut Line)| {
        let mut lines = fleet.lines.clone();
        change(&mut lines[at]);
        again(&lines.iter().map(|line| line.write().unwrap()).collect::<Vec<_>>()).unwrap().differences
    };
    let placed = changed(at(places), |line| {
        let Line::Step(step) = line else { return };
        let Event::Placed(decision) = &mut step.event else { return };
        decision.placements[0].count += 1;
    });
    assert_eq!((placed[0].what.as_str(), placed[0].term), ("placement", 1), "{placed:#?}");
    assert_eq!((placed[0].recorded.len(), placed[0].now.len()), (1, 1), "{placed:#?}");
    let planned = changed(at(|line| matches!(line, Line::Planned { .. })), |line| {
        if let Line::Planned { targets, .. } = line {
            targets[0].count += 1;
        }
    });
    assert_eq!(planned[0].what, "plan", "{planned:#?}");
    let answered = changed(at(|line| matches!(line, Line::Step(_))), |line| {
        if let Line::Step(step) = line {
            step.effects.pop();
        }
    });
    assert_eq!((answered.len(), answered[0].event), (1, 1), "{answered:#?}");
    assert_eq!((answered[0].recorded.len(), answered[0].now.len(), answered[0].what.as_str()), (0, 1, "effects of the submit"));
}

#[test]
fn a_line_cut_short_and_a_gap_are_said() {
    let texts = fleet().texts();
    let mut cut = texts.clone();
    let last = cut.len() - 1;
    let shorter = cut[last].len() - 4;
    cut[last].truncate(shorter);
    let summary = again(&cut).unwrap();
    assert!(summary.is_same() && summary.notes.len() == 1 && summary.notes[0].contains("cut short"), "{summary:?}");
    let next = again(&[cut, texts.clone()].concat()).unwrap();
    assert!(next.is_same() && next.terms == 2 && next.notes.len() == 1, "{next:?}");
    let mut gap = texts.clone();
    gap.insert(4, Line::Gap { lost: 7 }.write().unwrap());
    let summary = again(&gap).unwrap();
    assert!(summary.is_same() && summary.notes[0].starts_with("7 lines are missing after event "), "{summary:?}");
    let mut broken = texts;
    broken[3] = "{\"step\":".into();
    assert!(matches!(again(&broken), Err(ReplayError::Line { line: 4, .. })));
}

#[test]
fn what_is_no_recording_of_this_form_is_refused() {
    let header = |format: u32| serde_json::json!({"header": {"format": format, "version": "9.9.9"}}).to_string();
    let other = again(&[header(FORMAT + 1)]).unwrap_err();
    assert_eq!(other.hint().as_deref(), Some("replay it with braid 9.9.9, which wrote it"));
    assert!(matches!(again(&[]), Err(ReplayError::Empty)));
    assert!(matches!(again(&["\"idle\"".into()]), Err(ReplayError::NoHeader { line: 1 })));
    for text in ["{}", "null", "{\"header\":{}}", "[1]", "x"] {
        assert!(again(&[text.into()]).is_err(), "{text}");
    }
}
