//! The decisions of a session with the coordinator, and of the time without one. Pure: time and chance are handed in.
//!
//! ```text
//!                 retry is due: Open               Welcome
//!   Disconnected ──────────────────▶ Greeting ──────────────────▶ Live
//!        ▲                              │                          │
//!        │   stream lost, other first   │        stream lost, lease ended without
//!        │   message, no welcome in time│        an answer, peer breaks the protocol
//!        └──────────────────────────────┴──────────────────────────┘
//! ```
//! What is [`Held`] belongs to no phase: attempts run and end in all of them. Opening a session announces all of it, the
//! welcome says what to drop of it, and then every end is sent (again) until it is taken. Everything said to the
//! coordinator is asked for by [`Event::Room`], so nothing piles up in front of a slow stream.

use super::{
    backoff,
    held::Held,
    lease::Lease,
    lines::Lines,
    message::{HeldAttempt, Incoming, Outgoing, unreadable},
};
use crate::{
    executor::{Assignment, Bytes, Ended, Line},
    key::Key,
};
use braid_workload::{Failure, LeaseId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Attempts that a worker holds at most, those included that have ended and are not safe.
const MOST_HELD: usize = 10_000;
/// Bytes of values not yet safe beyond which nothing new is taken in.
const MOST_BYTES: usize = 64 << 20;
/// Refusals that wait to be sent; a coordinator that causes more does not listen.
const MOST_REFUSALS: usize = 1000;
/// How long a coordinator may take to connect and to say welcome, if half a lease is not less.
const GREETING: Duration = Duration::from_secs(10);
/// The least that it is given.
const SHORT_GREETING: Duration = Duration::from_secs(1);
/// Between reports of progress that no keep-alive carries, so that a progress bar is alive.
const PROGRESS: Duration = Duration::from_millis(200);
/// A session that lived so long was a good one: the next failure is the first in a row again.
const STABLE: Duration = Duration::from_secs(5);

/// When something happens, and a random number from 0 to 1 for whoever wants to spread in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) chance: f64,
}

/// What can happen to a worker.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Time passed. Carries how far the running attempts are.
    Tick(Vec<(Key, Bytes)>),
    /// The coordinator says something.
    Received(Incoming),
    /// The stream ended, or could not be opened.
    Lost,
    /// The stream takes one more message.
    Room,
    /// An attempt has ended.
    Ended(Ended),
    /// A task says something.
    Line(Line),
    /// This worker is to end.
    Shutdown,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Connect, and open a stream with a first message that announces these.
    Open(Vec<HeldAttempt>),
    /// Let go of the stream, for this reason.
    Close(&'static str),
    /// Send this on the stream.
    Send(Outgoing),
    /// Run this.
    Start(Assignment),
    /// Stop this if it runs.
    Cancel(Key),
}

/// Where a worker stands with its coordinator, and what it holds.
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    held: Held,
    lines: Lines,
    refusals: VecDeque<(LeaseId, Ended)>,
    /// What happened so far: gives ends and lines one order, a task's lines before its end.
    happened: u64,
    failures: u32,
    /// The length of the last lease. A coordinator that is restarted, or another that takes over, keeps a worker's tasks for
    /// it as long: tries to reach it come several times in a lease.
    patience: Duration,
    ending: bool,
}

#[derive(Debug)]
enum Phase {
    Disconnected { retry: Instant },
    Greeting { until: Instant },
    Live(Live),
}

#[derive(Debug)]
struct Live {
    since: Instant,
    lease: Lease,
    report: Option<Report>,
    progress_due: Instant,
    /// The place of the first end not sent in this session.
    next_end: u64,
}

/// A keep-alive that waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// Names every attempt that runs.
    All,
    /// Names those that got further.
    News,
}

impl State {
    /// A worker that has just started and connects at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Disconnected { retry: now },
            held: Held::default(),
            lines: Lines::default(),
            refusals: VecDeque::new(),
            happened: 0,
            failures: 0,
            patience: Duration::MAX,
            ending: false,
        }
    }

    /// When a tick is due, if time alone can change anything.
    pub(super) fn wake(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Disconnected { retry } => (!self.ending).then_some(*retry),
            Phase::Greeting { until } => Some(*until),
            Phase::Live(live) => {
                let alive = live.lease.due().min(live.lease.ends());
                Some(if self.held.has_running() { alive.min(live.progress_due) } else { alive })
            }
        }
    }

    /// Whether a worker that is to end has nothing left to wait for.
    pub(super) fn is_done(&self) -> bool {
        self.ending && self.held.is_idle() && (self.held.is_empty() || !self.is_live())
    }

    /// Whether there is a session.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    /// Whether what compute threads report is taken in: always, but for a coordinator that is there and slower than the programs
    /// which print.
    pub(super) fn takes_reports(&self) -> bool {
        !self.is_live() || !self.lines.is_enough()
    }

    /// Whether [`Event::Room`] would send something.
    pub(super) fn has_outgoing(&self) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        live.report.is_some()
            || !self.refusals.is_empty()
            || self.lines.place().is_some()
            || self.held.end_from(live.next_end).is_some()
    }

    fn happens(&mut self) -> u64 {
        self.happened += 1;
        self.happened
    }

    fn disconnect(&mut self, now: Now) {
        if let Phase::Live(live) = &self.phase
            && now.at.saturating_duration_since(live.since) >= STABLE
        {
            self.failures = 0;
        }
        self.phase = Phase::Disconnected { retry: now.at + backoff::delay(self.failures, self.patience / 4, now.chance) };
        self.failures = self.failures.saturating_add(1);
        // Not announced in the next session, so the coordinator knows that they are not here.
        self.refusals.clear();
    }
}

/// Takes one event in.
pub(super) fn step(state: &mut State, event: Event, now: Now) -> Vec<Effect> {
    match event {
        Event::Tick(progress) => tick(state, &progress, now),
        Event::Received(incoming) => received(state, incoming, now),
        Event::Lost => {
            if !matches!(state.phase, Phase::Disconnected { .. }) {
                state.disconnect(now);
            }
            Vec::new()
        }
        Event::Room => send(state, now).map(Effect::Send).into_iter().collect(),
        Event::Ended(ended) => {
            let place = state.happens();
            state.held.end(place, ended);
            Vec::new()
        }
        Event::Line(line) => {
            let place = state.happens();
            state.lines.push(place, line);
            Vec::new()
        }
        Event::Shutdown => {
            state.ending = true;
            state.held.running().map(Effect::Cancel).collect()
        }
    }
}

fn close(state: &mut State, reason: &'static str, now: Now) -> Vec<Effect> {
    state.disconnect(now);
    vec![Effect::Close(reason)]
}

fn tick(state: &mut State, progress: &[(Key, Bytes)], now: Now) -> Vec<Effect> {
    let news = state.held.advance(progress);
    match &mut state.phase {
        Phase::Disconnected { retry } if *retry <= now.at && !state.ending => {
            let greeting = (state.patience / 2).clamp(SHORT_GREETING, GREETING);
            state.phase = Phase::Greeting { until: now.at + greeting };
            vec![Effect::Open(state.held.list())]
        }
        Phase::Greeting { until } if *until <= now.at => close(state, "it did not say welcome in time", now),
        Phase::Live(live) if live.lease.ends() <= now.at => close(state, "it answered no keep-alive for a lease", now),
        Phase::Live(live) => {
            if live.lease.due() <= now.at {
                live.report = Some(Report::All);
                live.lease.schedule(now.at, now.chance);
            }
            if live.progress_due <= now.at {
                live.progress_due = now.at + PROGRESS;
                // One that is not answered yet: the coordinator has enough to do.
                if news && live.lease.is_heard() {
                    live.report.get_or_insert(Report::News);
                }
            }
            Vec::new()
        }
        Phase::Disconnected { .. } | Phase::Greeting { .. } => Vec::new(),
    }
}

fn received(state: &mut State, incoming: Incoming, now: Now) -> Vec<Effect> {
    match (&mut state.phase, incoming) {
        // What was still under way when the stream was let go of.
        (Phase::Disconnected { .. }, _) => Vec::new(),
        (Phase::Greeting { .. }, Incoming::Welcome { patience, drop }) => {
            let lease = Lease::new(patience, now.at, now.chance);
            state.patience = patience;
            let progress_due = now.at + PROGRESS;
            // Its coordinator may be a new one, which was told nothing yet.
            let report = state.held.has_running().then_some(Report::All);
            state.phase = Phase::Live(Live { since: now.at, lease, report, progress_due, next_end: 0 });
            drop.into_iter().filter(|key| state.held.drop(*key)).map(Effect::Cancel).collect()
        }
        (Phase::Greeting { .. }, _) => close(state, "its first message was not a welcome", now),
        (Phase::Live(_), Incoming::Welcome { .. }) => close(state, "it said welcome twice", now),
        (Phase::Live(live), Incoming::Heard) => {
            live.lease.heard(now.at, now.chance);
            Vec::new()
        }
        (Phase::Live(_), Incoming::Run { lease, assignment }) => run(state, lease, *assignment, now),
        (Phase::Live(_), Incoming::Unreadable { key, lease, problem }) => refuse(state, lease, unreadable(key, &problem), now),
        (Phase::Live(_), Incoming::Stop(key)) => {
            if state.held.is_running(key) {
                vec![Effect::Cancel(key)]
            } else {
                Vec::new()
            }
        }
        (Phase::Live(_), Incoming::Taken(key)) => {
            state.held.take(key);
            Vec::new()
        }
    }
}

fn run(state: &mut State, lease: LeaseId, assignment: Assignment, now: Now) -> Vec<Effect> {
    let key = assignment.key;
    if state.held.holds(key) {
        return Vec::new();
    }
    let obstacle = if state.ending {
        Some("the worker is being stopped")
    } else if state.held.is_dropped(key) {
        Some("the worker has not yet stopped this attempt, which it was told to drop")
    } else if state.held.len() >= MOST_HELD || state.held.end_bytes() >= MOST_BYTES {
        Some("the worker holds as many attempts and results as it can")
    } else {
        None
    };
    if let Some(obstacle) = obstacle {
        let failure = Failure { message: format!("task {}: {obstacle}", key.task), ..Failure::cancelled() };
        return refuse(state, lease, Ended::unstarted(key, failure), now);
    }
    let mut effects: Vec<Effect> = state.held.older(key).into_iter().map(Effect::Cancel).collect();
    state.held.start(key, lease);
    effects.push(Effect::Start(assignment));
    effects
}

fn refuse(state: &mut State, lease: LeaseId, ended: Ended, now: Now) -> Vec<Effect> {
    if state.held.holds(ended.key) {
        return Vec::new();
    }
    if state.refusals.len() >= MOST_REFUSALS {
        return close(state, "it sends more than can be refused", now);
    }
    state.refusals.push_back((lease, ended));
    Vec::new()
}

/// The next message, in this order: what keeps the session alive, then what happened, in the order in which it did.
fn send(state: &mut State, now: Now) -> Option<Outgoing> {
    let Phase::Live(live) = &mut state.phase else { return None };
    if let Some(report) = live.report.take() {
        live.lease.sent(now.at);
        return Some(Outgoing::KeepAlive(state.held.tell(report == Report::All)));
    }
    if let Some((lease, ended)) = state.refusals.pop_front() {
        return Some(Outgoing::Ended(lease, ended));
    }
    let end = state.held.end_from(live.next_end);
    match (end, state.lines.place()) {
        (Some((place, lease, ended)), line) if line.is_none_or(|line| place < line) => {
            live.next_end = place + 1;
            Some(Outgoing::Ended(lease, ended.clone()))
        }
        _ => state.lines.pop().map(Outgoing::Line),
    }
}

#[cfg(test)]
mod tests;
