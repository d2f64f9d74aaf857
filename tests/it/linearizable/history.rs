//! What clients asked of the jobs of a fleet and were answered, and whether one order of it explains all answers.
//!
//! ```text
//!             submit                finishes (nobody asks for it)
//!   (absent) ────────▶ Running ─────────────────────────────────▶ Done
//!                         │ cancel             its tasks stop
//!                         └───────▶ Cancelling ──────────────────▶ Cancelled
//! ```
//! The search for an order is that of Wing and Gong with Lowe's memory, by `todc-utils`. What happens of itself is settled by
//! the first answer that depends on it: `Running` here means "nobody has seen it finish". A call without an answer may have had
//! its effect at any time until an answer shows it, or none: then an order with it is as good without it. So each has an end, and
//! the search does not try every place for it.

use std::collections::BTreeMap;
use todc_utils::linearizability::{
    WGLChecker,
    history::{Action, History},
};
use todc_utils::specifications::Specification;

/// Where a job stands, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Running,
    Cancelling,
    Cancelled,
    Done,
}

/// A call with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// `certain`: it was answered. The number is known all the same, from a later submit of the same request.
    Submit {
        request: u32,
        id: u64,
        certain: bool,
    },
    Cancel {
        id: u64,
        answer: Cancel,
    },
    Get {
        id: u64,
        seen: Phase,
    },
    List {
        seen: BTreeMap<u64, Phase>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    Accepted,
    /// The job had ended otherwise.
    TooLate,
    NoAnswer,
}

impl Op {
    fn is_certain(&self) -> bool {
        !matches!(self, Self::Submit { certain: false, .. } | Self::Cancel { answer: Cancel::NoAnswer, .. })
    }

    /// Whether the answer of this shows what `unanswered` does, whoever did it.
    fn shows(&self, unanswered: &Self) -> bool {
        let stops = |phase: Option<&Phase>| matches!(phase, Some(Phase::Cancelling | Phase::Cancelled));
        match (unanswered, self) {
            (Self::Submit { id: of, .. }, Self::Submit { id, .. } | Self::Get { id, .. } | Self::Cancel { id, .. }) => id == of,
            (Self::Submit { id, .. }, Self::List { seen }) => seen.contains_key(id),
            (Self::Cancel { id: of, .. }, Self::Cancel { id, answer }) => id == of && *answer == Cancel::Accepted,
            (Self::Cancel { id: of, .. }, Self::Get { id, seen }) => id == of && stops(Some(seen)),
            (Self::Cancel { id, .. }, Self::List { seen }) => stops(seen.get(id)),
            _ => false,
        }
    }
}

/// Calls and answers, in the order in which clients made and had them.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorded {
    pub(super) ops: Vec<Op>,
    pub(super) moments: Vec<Moment>,
}

/// Of the operation with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Called(usize),
    Answered(usize),
}

impl Recorded {
    /// Whether some order of the calls, in which none is before one that was answered before it began, has these answers.
    pub(super) fn is_linearizable(&self) -> bool {
        let mut actions = Vec::new();
        for (at, moment) in self.moments.iter().enumerate() {
            match *moment {
                Moment::Called(index) if self.ops[index].is_certain() || self.shown(index).is_some() => {
                    actions.push((index, Action::Call(self.ops[index].clone())));
                }
                Moment::Called(_) => {}
                Moment::Answered(index) => {
                    let ends = self.ops.iter().enumerate().filter(|(of, op)| !op.is_certain() && self.shown(*of) == Some(at));
                    actions.extend(ends.map(|(of, op)| (of, Action::Response(op.clone()))));
                    actions.push((index, Action::Response(self.ops[index].clone())));
                }
            }
        }
        WGLChecker::<Jobs>::is_linearizable(History::from_actions(actions))
    }

    /// The moment, by its place, of the first answer after an unanswered call that shows what it does.
    fn shown(&self, call: usize) -> Option<usize> {
        let called = self.moments.iter().position(|moment| *moment == Moment::Called(call))?;
        let shows = |moment: &Moment| matches!(moment, Moment::Answered(index) if self.ops[*index].shows(&self.ops[call]));
        self.moments.iter().enumerate().filter(|(at, _)| *at > called).find(|(_, moment)| shows(moment)).map(|(at, _)| at)
    }
}

/// All jobs of a fleet as one object.
struct Jobs;

/// By their numbers, with their requests.
type State = BTreeMap<u64, (u32, Phase)>;

impl Specification for Jobs {
    type State = State;
    type Operation = Op;

    fn init() -> Self::State {
        State::new()
    }

    fn apply(op: &Op, state: &Self::State) -> (bool, Self::State) {
        let mut next = state.clone();
        (step(op, &mut next), next)
    }
}

fn step(op: &Op, jobs: &mut State) -> bool {
    match op {
        Op::Submit { request, id, .. } => match jobs.get(id) {
            Some((first, _)) => first == request,
            None => {
                // Numbers rise, and a request has one.
                let new = jobs.keys().all(|known| known < id) && jobs.values().all(|(known, _)| known != request);
                jobs.insert(*id, (*request, Phase::Running));
                new
            }
        },
        Op::Cancel { id, answer } => {
            let Some((_, phase)) = jobs.get_mut(id) else { return false };
            let (possible, next) = match (answer, *phase) {
                (Cancel::Accepted | Cancel::NoAnswer, Phase::Running) => (true, Phase::Cancelling),
                (Cancel::TooLate, Phase::Running) => (true, Phase::Done),
                (Cancel::Accepted | Cancel::NoAnswer, Phase::Cancelling | Phase::Cancelled) | (Cancel::TooLate, Phase::Done) => {
                    (true, *phase)
                }
                _ => (false, *phase),
            };
            *phase = next;
            possible
        }
        Op::Get { id, seen } => jobs.get_mut(id).is_some_and(|(_, phase)| see(phase, *seen)),
        Op::List { seen } => {
            jobs.keys().eq(seen.keys()) && jobs.values_mut().zip(seen.values()).all(|((_, phase), seen)| see(phase, *seen))
        }
    }
}

/// Whether a job can have come to what was seen without anybody's doing; then it has.
fn see(phase: &mut Phase, seen: Phase) -> bool {
    let can = match *phase {
        Phase::Running => matches!(seen, Phase::Running | Phase::Done),
        Phase::Cancelling => matches!(seen, Phase::Cancelling | Phase::Cancelled),
        over => over == seen,
    };
    *phase = seen;
    can
}

#[cfg(test)]
mod tests {
    use super::{Cancel::*, Phase::*, *};

    /// Each operation with the moments of its call and its answer.
    fn judge(calls: &[(u32, u32, Op)]) -> bool {
        let mut moments: Vec<(u32, Moment)> = Vec::new();
        for (index, (called, answered, op)) in calls.iter().enumerate() {
            moments.push((*called, Moment::Called(index)));
            moments.extend(op.is_certain().then_some((*answered, Moment::Answered(index))));
        }
        moments.sort_by_key(|(at, _)| *at);
        let ops = calls.iter().map(|(_, _, op)| op.clone()).collect();
        Recorded { ops, moments: moments.into_iter().map(|(_, moment)| moment).collect() }.is_linearizable()
    }

    fn submit(request: u32, id: u64) -> Op {
        Op::Submit { request, id, certain: true }
    }

    fn lost_submit(request: u32, id: u64) -> Op {
        Op::Submit { request, id, certain: false }
    }

    fn cancel(id: u64, answer: Cancel) -> Op {
        Op::Cancel { id, answer }
    }

    fn get(id: u64, seen: Phase) -> Op {
        Op::Get { id, seen }
    }

    fn list(seen: &[(u64, Phase)]) -> Op {
        Op::List { seen: seen.iter().copied().collect() }
    }

    #[test]
    fn what_can_have_happened_is_accepted() {
        let cases: &[&[(u32, u32, Op)]] = &[
            &[(0, 1, submit(7, 1)), (2, 3, get(1, Running)), (4, 5, get(1, Done)), (6, 7, cancel(1, TooLate))],
            &[(0, 1, submit(7, 1)), (2, 3, cancel(1, Accepted)), (4, 5, get(1, Cancelling)), (6, 7, get(1, Cancelled))],
            &[(0, 1, submit(7, 1)), (2, 3, submit(7, 1)), (4, 5, cancel(1, Accepted)), (6, 7, cancel(1, Accepted))],
            // Two at once: the order is found.
            &[(0, 9, submit(7, 2)), (1, 8, submit(8, 1)), (2, 3, list(&[(1, Running)])), (4, 5, list(&[(1, Done), (2, Done)]))],
            // A call without an answer: before, later, or never.
            &[(0, 0, lost_submit(7, 1)), (2, 3, list(&[(1, Running)]))],
            &[(0, 0, lost_submit(7, 1)), (2, 3, list(&[])), (4, 5, list(&[(1, Running)]))],
            &[(0, 0, lost_submit(7, 1)), (2, 3, list(&[]))],
            &[(0, 1, submit(7, 1)), (2, 2, cancel(1, NoAnswer)), (4, 5, get(1, Running)), (6, 7, get(1, Cancelled))],
            &[(0, 1, submit(7, 1)), (2, 2, cancel(1, NoAnswer)), (4, 5, get(1, Done))],
        ];
        for (number, case) in cases.iter().enumerate() {
            assert!(judge(case), "case {number}");
        }
    }

    #[test]
    fn what_cannot_have_happened_is_refused() {
        let cases: &[&[(u32, u32, Op)]] = &[
            // An acknowledged job is lost, or known before it is submitted.
            &[(0, 1, submit(7, 1)), (2, 3, list(&[]))],
            &[(0, 1, list(&[(1, Running)])), (2, 3, submit(7, 1))],
            // It was there and is gone again.
            &[(0, 0, lost_submit(7, 1)), (2, 3, get(1, Running)), (4, 5, list(&[]))],
            // A request has two numbers, a number two requests, or numbers go back.
            &[(0, 1, submit(7, 1)), (2, 3, submit(7, 2))],
            &[(0, 1, submit(7, 1)), (2, 3, submit(8, 1))],
            &[(0, 1, submit(7, 2)), (2, 3, submit(8, 1))],
            // An end is undone, or is another afterwards.
            &[(0, 1, submit(7, 1)), (2, 3, get(1, Done)), (4, 5, get(1, Running))],
            &[(0, 1, submit(7, 1)), (2, 3, cancel(1, Accepted)), (4, 5, get(1, Running))],
            &[(0, 1, submit(7, 1)), (2, 3, cancel(1, Accepted)), (4, 5, get(1, Done))],
            &[(0, 1, submit(7, 1)), (2, 3, get(1, Cancelled)), (4, 5, get(1, Cancelling))],
            // Nobody cancelled it.
            &[(0, 1, submit(7, 1)), (2, 3, get(1, Cancelled))],
            // Too late, yet seen running afterwards.
            &[(0, 1, submit(7, 1)), (2, 3, cancel(1, TooLate)), (4, 5, get(1, Running))],
            // Two clients see two jobs come in two orders.
            &[(0, 9, submit(7, 1)), (0, 9, submit(8, 2)), (1, 2, list(&[(1, Running)])), (3, 4, list(&[(2, Running)]))],
        ];
        for (number, case) in cases.iter().enumerate() {
            assert!(!judge(case), "case {number}");
        }
    }
}
