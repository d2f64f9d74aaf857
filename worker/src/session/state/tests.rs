use super::*;
use crate::executor::JobSpec;
use braid_workload::{AttemptId, Demand, JobId, LogSource};
use std::sync::Arc;

mod sequences;

fn key(index: u32, attempt: u32) -> Key {
    Key { task: JobId(1).task(index), attempt: AttemptId(attempt) }
}

fn run_of(key: Key, lease: u64) -> Event {
    let spec = Arc::new(JobSpec::new("{}".into()));
    let (kind, label, payload) = ("noop".into(), String::new(), "null".into());
    let assignment =
        Assignment { key, kind, spec, label, payload, demand: Demand::default(), gang: None, roots: None, trace: None };
    Event::Received(Incoming::Run { lease: LeaseId(lease), assignment: Box::new(assignment) })
}

fn end_of(key: Key) -> Ended {
    Ended { key, outcome: Ok(key.to_string()), ran: Duration::ZERO, progress: Bytes::default() }
}

fn line_of(key: Key, text: &str) -> Event {
    Event::Line(Line { task: key.task, text: text.into(), unix_millis: 0, source: LogSource::Task })
}

/// A state with a clock; effects in words.
struct Desk {
    state: State,
    start: Instant,
    millis: u64,
}

impl Desk {
    fn new() -> Self {
        let start = Instant::now();
        Self { state: State::new(start), start, millis: 0 }
    }

    /// One that has just been welcomed for a lease of 9 s.
    fn live() -> Self {
        let mut desk = Self::new();
        assert_eq!(desk.at(0, Event::Tick(vec![])), ["open with 0"]);
        assert!(desk.welcome(&[]).is_empty());
        desk
    }

    fn welcome(&mut self, drop: &[Key]) -> Vec<String> {
        let patience = Duration::from_secs(9);
        self.now(Event::Received(Incoming::Welcome { patience, drop: drop.to_vec() }))
    }

    fn now(&mut self, event: Event) -> Vec<String> {
        let now = Now { at: self.start + Duration::from_millis(self.millis), chance: 0.5 };
        step(&mut self.state, event, now).iter().map(words).collect()
    }

    fn at(&mut self, millis: u64, event: Event) -> Vec<String> {
        assert!(millis >= self.millis);
        self.millis = millis;
        self.now(event)
    }

    /// Everything that is said when there is room.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while self.state.has_outgoing() {
            let effects = self.now(Event::Room);
            assert_eq!(effects.len(), 1);
            said.extend(effects);
        }
        assert!(self.now(Event::Room).is_empty());
        said
    }

    fn wake(&self) -> Option<u128> {
        self.state.wake().map(|wake| (wake - self.start).as_millis())
    }
}

fn words(effect: &Effect) -> String {
    match effect {
        Effect::Open(held) => format!("open with {}", held.len()),
        Effect::Close(reason) => format!("close: {reason}"),
        Effect::Start(assignment) => format!("start {}", assignment.key),
        Effect::Cancel(key) => format!("cancel {key}"),
        Effect::Send(Outgoing::Line(line)) => format!("line {}", line.text),
        Effect::Send(Outgoing::KeepAlive(running)) => {
            let running: Vec<String> = running.iter().map(|(key, bytes)| format!(" {}={}", key.task, bytes.done)).collect();
            format!("alive{}", running.concat())
        }
        Effect::Send(Outgoing::Ended(lease, ended)) => {
            let outcome = match &ended.outcome {
                Ok(_) => "done",
                Err(failure) => &failure.message,
            };
            format!("end of {} under {lease}: {outcome}", ended.key)
        }
    }
}

#[test]
fn a_result_is_sent_again_in_each_session_until_it_is_taken() {
    let mut desk = Desk::live();
    for index in 0..3 {
        assert_eq!(desk.now(run_of(key(index, 1), 5)), [format!("start 1.{index} (attempt 1)")]);
    }
    assert!(desk.now(run_of(key(1, 1), 5)).is_empty(), "held already");
    desk.now(Event::Ended(end_of(key(2, 1))));
    desk.now(line_of(key(0, 1), "hello"));
    desk.now(Event::Ended(end_of(key(0, 1))));
    let (first, second) = ("end of 1.2 (attempt 1) under 5: done", "end of 1.0 (attempt 1) under 5: done");
    assert_eq!(desk.said(), [first, "line hello", second]);
    desk.now(Event::Received(Incoming::Taken(key(2, 1))));
    desk.now(Event::Received(Incoming::Taken(key(1, 1))));
    assert!(desk.now(Event::Lost).is_empty());
    desk.now(Event::Ended(end_of(key(1, 1))));
    assert!(desk.said().is_empty());
    assert_eq!(desk.at(1000, Event::Tick(vec![])), ["open with 2"]);
    assert!(desk.said().is_empty(), "nothing before the welcome");
    desk.welcome(&[]);
    assert_eq!(desk.said(), [second, "end of 1.1 (attempt 1) under 5: done"], "one that ran has no end to be taken");
}

#[test]
fn what_the_welcome_drops_is_stopped_and_forgotten() {
    let mut desk = Desk::live();
    (0..3).for_each(|index| drop(desk.now(run_of(key(index, 1), 5))));
    desk.now(Event::Lost);
    desk.now(Event::Ended(end_of(key(0, 1))));
    desk.at(1000, Event::Tick(vec![]));
    assert_eq!(desk.welcome(&[key(0, 1), key(1, 1), key(9, 9)]), ["cancel 1.1 (attempt 1)"]);
    assert_eq!(desk.said(), ["alive 1.2=0"]);
    let refusal = "task 1.1: the worker has not yet stopped this attempt, which it was told to drop";
    assert!(desk.now(run_of(key(1, 1), 6)).is_empty());
    assert_eq!(desk.said(), [format!("end of 1.1 (attempt 1) under 6: {refusal}")]);
    desk.now(Event::Ended(end_of(key(1, 1))));
    assert!(desk.said().is_empty());
    desk.now(Event::Lost);
    assert_eq!(desk.at(2000, Event::Tick(vec![])), ["open with 1"]);
}

#[test]
fn keep_alives_keep_the_session_and_silence_ends_it() {
    let mut desk = Desk::live();
    assert_eq!(desk.wake(), Some(3000));
    desk.at(3000, Event::Tick(vec![]));
    assert_eq!(desk.said(), ["alive"]);
    desk.at(3001, Event::Received(Incoming::Heard));
    assert_eq!(desk.wake(), Some(3001 + 8999 / 3));
    let mut said = 0;
    let closed = loop {
        let wake = desk.wake().unwrap() as u64 + 1;
        let effects = desk.at(wake, Event::Tick(vec![]));
        said += desk.said().len();
        if !effects.is_empty() {
            break effects;
        }
        assert!(said < 100);
    };
    assert_eq!(closed, ["close: it answered no keep-alive for a lease"]);
    assert_eq!(desk.millis, 12_001);
    assert!(said > 3, "tried harder towards the end: {said}");
    assert_eq!(desk.wake(), Some(12_001 + 37), "lived long: the shortest wait");
}

#[test]
fn progress_is_told_at_most_five_times_a_second_and_only_news() {
    let mut desk = Desk::live();
    (0..2).for_each(|index| drop(desk.now(run_of(key(index, 1), 5))));
    let progress = |done| Event::Tick(vec![(key(0, 1), Bytes { done, reused: 0 }), (key(1, 1), Bytes::default())]);
    assert_eq!(desk.wake(), Some(200));
    desk.at(100, progress(5));
    assert!(desk.said().is_empty());
    desk.at(200, progress(7));
    assert_eq!(desk.said(), ["alive 1.0=7"]);
    desk.at(400, progress(9));
    assert!(desk.said().is_empty(), "the last one is not answered yet");
    desk.at(410, Event::Received(Incoming::Heard));
    desk.at(600, progress(9));
    assert_eq!(desk.said(), ["alive 1.0=9"]);
    desk.at(610, Event::Received(Incoming::Heard));
    desk.at(800, progress(9));
    assert!(desk.said().is_empty());
    desk.at(5000, progress(9));
    assert_eq!(desk.said(), ["alive 1.0=9 1.1=0"]);
}

#[test]
fn a_peer_that_breaks_the_protocol_is_let_go_of() {
    for (welcomed, incoming, reason) in [
        (false, Incoming::Heard, "its first message was not a welcome"),
        (false, Incoming::Stop(key(0, 1)), "its first message was not a welcome"),
        (true, Incoming::Welcome { patience: Duration::ZERO, drop: vec![] }, "it said welcome twice"),
    ] {
        let mut desk = Desk::new();
        desk.now(Event::Tick(vec![]));
        if welcomed {
            desk.welcome(&[]);
        }
        assert_eq!(desk.now(Event::Received(incoming)), [format!("close: {reason}")]);
        assert!(desk.now(Event::Received(Incoming::Heard)).is_empty(), "what is still under way does no harm");
    }
    let mut desk = Desk::new();
    desk.now(Event::Tick(vec![]));
    assert_eq!(desk.wake(), Some(10_000));
    assert_eq!(desk.at(10_000, Event::Tick(vec![])), ["close: it did not say welcome in time"]);
}

#[test]
fn failures_in_a_row_are_waited_for_longer() {
    let mut desk = Desk::new();
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert_eq!(desk.at(desk.millis, Event::Tick(vec![])), ["open with 0"]);
        desk.now(Event::Lost);
        let wake = desk.wake().unwrap() as u64 + 1;
        waits.push(wake - 1 - desk.millis);
        assert!(desk.now(Event::Tick(vec![])).is_empty(), "too early");
        desk.millis = wake;
    }
    assert_eq!(waits, [37, 75, 150, 300, 600, 1200, 2400, 3750, 3750]);
}

#[test]
fn a_newer_attempt_stops_an_older_one() {
    let mut desk = Desk::live();
    desk.now(run_of(key(0, 1), 5));
    desk.now(run_of(key(1, 1), 5));
    let effects = desk.now(run_of(key(0, 3), 6));
    assert_eq!(effects, ["cancel 1.0 (attempt 1)", "start 1.0 (attempt 3)"]);
    assert_eq!(desk.now(Event::Received(Incoming::Stop(key(1, 1)))), ["cancel 1.1 (attempt 1)"]);
    assert!(desk.now(Event::Received(Incoming::Stop(key(1, 2)))).is_empty());
}

#[test]
fn a_full_worker_takes_nothing_more_in() {
    let mut desk = Desk::live();
    for index in 0..MOST_HELD as u32 {
        assert_eq!(desk.now(run_of(key(index, 1), 5)).len(), 1);
    }
    let full = "the worker holds as many attempts and results as it can";
    assert!(desk.now(run_of(key(0, 2), 5)).is_empty());
    assert_eq!(desk.said(), [format!("end of 1.0 (attempt 2) under 5: task 1.0: {full}")]);
    desk.now(Event::Ended(end_of(key(0, 1))));
    assert!(desk.now(run_of(key(0, 2), 5)).is_empty(), "its result is still here");
    desk.now(Event::Received(Incoming::Taken(key(0, 1))));
    assert_eq!(desk.now(run_of(key(0, 2), 5)).len(), 1);
    for _ in 0..MOST_REFUSALS - 1 {
        assert!(desk.now(run_of(key(7, 2), 5)).is_empty());
    }
    assert_eq!(desk.now(run_of(key(7, 2), 5)), ["close: it sends more than can be refused"]);

    let mut desk = Desk::live();
    desk.now(run_of(key(0, 1), 5));
    let huge = Ended { outcome: Ok("x".repeat(MOST_BYTES)), ..end_of(key(0, 1)) };
    desk.now(Event::Ended(huge));
    assert!(desk.now(run_of(key(1, 1), 5)).is_empty());
    desk.now(Event::Received(Incoming::Taken(key(0, 1))));
    assert_eq!(desk.now(run_of(key(1, 1), 5)).len(), 1);
}

#[test]
fn a_worker_that_ends_hands_over_what_it_can() {
    let mut desk = Desk::live();
    (0..3).for_each(|index| drop(desk.now(run_of(key(index, 1), 5))));
    desk.now(Event::Ended(end_of(key(0, 1))));
    assert_eq!(desk.now(Event::Shutdown), ["cancel 1.1 (attempt 1)", "cancel 1.2 (attempt 1)"]);
    desk.now(Event::Ended(Ended::unstarted(key(1, 1), Failure::cancelled())));
    assert!(!desk.state.is_done(), "one still runs");
    desk.now(Event::Ended(end_of(key(2, 1))));
    assert!(desk.now(run_of(key(3, 1), 5)).is_empty());
    assert_eq!(
        desk.said(),
        [
            "end of 1.3 (attempt 1) under 5: task 1.3: the worker is being stopped",
            "end of 1.0 (attempt 1) under 5: done",
            "end of 1.1 (attempt 1) under 5: cancelled",
            "end of 1.2 (attempt 1) under 5: done",
        ]
    );
    (0..3).for_each(|index| {
        assert!(!desk.state.is_done());
        desk.now(Event::Received(Incoming::Taken(key(index, 1))));
    });
    assert!(desk.state.is_done());
    desk.now(Event::Lost);
    assert!(desk.at(60_000, Event::Tick(vec![])).is_empty(), "it does not come back");
}
