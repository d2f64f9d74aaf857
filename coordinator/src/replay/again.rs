//! The engine and placement, run once more over what was recorded.
//!
//! ```text
//!           header            first other line          a gap
//!   Nothing ──────▶ Records ──────────────────▶ Running ─────▶ Nothing, until the next header
//! ```
//! What placement decides otherwise is noted, and the recorded decision holds: what comes after it was an answer to that one.
//! What the engine does otherwise stays so, and may lead to further differences.

use super::{Header, Line, LineError, ReplayError, Step, Summary, describe, line};
use crate::{
    engine::{Engine, Event, Records, recover},
    placement::{
        Guide, Placement, Plan, Problem, hand_out, plan,
        program::{Budget, Effort},
    },
};
use braid_workload::{Registry, Workload};
use std::{collections::BTreeMap, io};

/// Questions for plans that are kept for their answers. The newest is answered, so older ones matter only for a moment.
const QUESTIONS: usize = 64;

/// Replays a recording, line by line.
///
/// A line that is cut short is no error where a coordinator was killed: at the end, or before the header of the next.
///
/// # Errors
/// [`ReplayError`] when it is no recording of this form, or is broken in the middle.
pub fn replay(
    lines: impl IntoIterator<Item = io::Result<String>>,
    workloads: &Registry<dyn Workload>,
) -> Result<Summary, ReplayError> {
    let mut replay = Replay { workloads, stage: Stage::Nothing, summary: Summary::default() };
    let mut broken: Option<(u64, LineError)> = None;
    for (number, text) in (1u64..).zip(lines) {
        let text = text?;
        if text.is_empty() {
            continue;
        }
        let read = Line::read(&text);
        if let Some((line, problem)) = broken.take() {
            if !matches!(read, Ok(Line::Header(_))) {
                return Err(ReplayError::Line { line, problem });
            }
            replay.cut_short(line);
        }
        match read {
            Ok(line) => replay.take(line, number)?,
            Err(problem @ LineError::Unreadable(_)) if replay.summary.terms > 0 => broken = Some((number, problem)),
            Err(problem) => return Err(ReplayError::Line { line: number, problem }),
        }
    }
    if let Some((line, _)) = broken {
        replay.cut_short(line);
    }
    if replay.summary.terms == 0 {
        return Err(ReplayError::Empty);
    }
    Ok(replay.summary)
}

struct Replay<'a> {
    workloads: &'a Registry<dyn Workload>,
    stage: Stage,
    summary: Summary,
}

enum Stage {
    Nothing,
    Records(Box<(Header, Records)>),
    Running(Box<Running>),
}

struct Running {
    engine: Engine,
    guide: Guide,
    questions: BTreeMap<u64, Problem>,
    event: u64,
}

impl Replay<'_> {
    fn cut_short(&mut self, line: u64) {
        self.summary.notes.push(format!("line {line} is cut short: its coordinator was killed while it wrote"));
    }

    fn take(&mut self, line: Line, number: u64) -> Result<(), ReplayError> {
        match line {
            Line::Header(header) => {
                self.summary.terms += 1;
                self.summary.recorded_by.clone_from(&header.version);
                self.stage = Stage::Records(Box::new((header, Records::default())));
                return Ok(());
            }
            Line::Record { key, value } => {
                let Stage::Records(begin) = &mut self.stage else { return Err(ReplayError::NoHeader { line: number }) };
                line::file(&mut begin.1, key, value);
                return Ok(());
            }
            _ => {}
        }
        if let Stage::Records(begin) = &self.stage {
            let (header, records) = &**begin;
            let state = recover(records, header.epoch, header.lease, header.now)?;
            // What members of gangs show each other decides nothing.
            let engine = Engine::new(state, self.workloads.clone(), header.lease, String::new());
            let running = Running { engine, guide: Guide::default(), questions: BTreeMap::new(), event: 0 };
            self.stage = Stage::Running(Box::new(running));
        }
        match (&mut self.stage, line) {
            (Stage::Running(running), Line::Gap { lost }) => {
                let event = running.event;
                self.summary.notes.push(format!(
                    "{lost} lines are missing after event {event} of term {}: the rest of the term is left out",
                    self.summary.terms
                ));
                self.stage = Stage::Nothing;
            }
            (Stage::Running(running), line) => running.take(line, &mut self.summary),
            _ if self.summary.terms == 0 => return Err(ReplayError::NoHeader { line: number }),
            _ => {} // after a gap
        }
        Ok(())
    }
}

impl Running {
    fn take(&mut self, line: Line, summary: &mut Summary) {
        match line {
            Line::Step(step) => self.step(*step, summary),
            Line::Idle => {
                let now = self.engine.problem().map(|problem| describe::decision(&hand_out(&problem, &mut self.guide.clone())));
                summary.compare(self.event, "placement", &[], &now.unwrap_or_default());
            }
            Line::Asked { question } => {
                self.questions.insert(question, self.engine.state().problem());
                while self.questions.len() > QUESTIONS {
                    self.questions.pop_first();
                }
            }
            Line::Planned { question, targets, makespan } => {
                let recorded = Plan { makespan: f64::from_bits(makespan), ..from_targets(targets) };
                self.guide = self.planned(question, recorded, summary).into();
                self.engine.reconsider();
            }
            Line::Header(_) | Line::Record { .. } | Line::Gap { .. } => {}
        }
    }

    fn step(&mut self, step: Step, summary: &mut Summary) {
        let Step { number, now, event, effects } = step;
        self.event = number;
        summary.events += 1;
        let what = describe::event(&event);
        if let Event::Placed(recorded) = &event {
            summary.placements += 1;
            let decided = self.engine.problem().map(|problem| hand_out(&problem, &mut self.guide));
            let (recorded, decided) = (describe::decision(recorded), decided.map(|decided| describe::decision(&decided)));
            summary.compare(number, what, &recorded, &decided.unwrap_or_default());
        }
        let done = describe::effects(&self.engine.step(event, now));
        let _ = self.engine.facts(); // nobody counts them here
        summary.effects += done.len() as u64;
        summary.compare(number, &format!("effects of the {what}"), &effects, &done);
    }

    /// Makes a plan again; the recorded one holds.
    fn planned(&mut self, question: u64, recorded: Plan, summary: &mut Summary) -> Plan {
        let problem = self.questions.remove(&question);
        self.questions.retain(|other, _| *other > question);
        let Some(problem) = problem else { return recorded };
        summary.plans += 1;
        let effort = Effort::running(problem.classes.len(), problem.nodes.len());
        // Nobody cancels it.
        let made = plan(&problem, effort, Budget::new(effort.work)).unwrap_or_default();
        let targets = |plan: &Plan| plan.placements().iter().map(describe::placement).collect::<Vec<String>>();
        summary.compare(self.event, "plan", &targets(&recorded), &targets(&made));
        recorded
    }
}

fn from_targets(targets: Vec<Placement>) -> Plan {
    let mut plan = Plan::default();
    for Placement { job, class, node, count } in targets {
        plan.targets.entry((job, class)).or_default().insert(node, count);
    }
    plan
}
