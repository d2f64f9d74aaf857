//! The decisions of a coordinator that may lead. Pure: time and chance are handed in.
//!
//! ```text
//!              nobody leads: Grant              granted: Create
//!   Following ─────────────────────▶ Granting ────────────────────▶ Creating
//!    ▲ ▲ ▲                             │ failed                       │   │ created: Lead
//!    │ │ └─────────────────────────────┘                              │   ▼
//!    │ └── taken, no answer, or too late: Revoke ─────────────────────┘  Leading ⟲ Renew
//!    │                                                                    │
//!    │ the term has ended: Revoke              not renewed in time, the seat is gone,
//!    └──────────────────────────── Leaving ◀── the term ended by itself: StepDown
//! ```
//! The time of a lease is counted from the moment before its grant or last renewal was sent, so by this clock it ends
//! before it can end for anybody else; [`MARGIN`] of it more is given up for clocks that run unequally. A renewal is due
//! after a third of what is left, so that tries come closer together while they fail. A coordinator that finds its own name
//! in the record without leading was restarted, and removes it.
//!
//! Who follows is shown each change of the record, and looks for itself now and then: the connection that would show the next
//! one may be dead, and nobody learns that of a connection on which nothing is said.

use super::record::Seat;
use crate::store::{Revision, StoreLease};
use std::time::{Duration, Instant};

/// The part of a lease that a leader does not use.
const MARGIN: f64 = 0.1;
/// Renewals come no closer together than this, however little is left.
const CLOSEST: Duration = Duration::from_millis(50);
/// The wait after a first failed campaign; it doubles.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// So often in a lease does whoever follows look at the record.
const LOOKS: u32 = 4;
/// A term that lasted so long was a good one: the next failure is the first in a row again.
const STABLE: Duration = Duration::from_secs(5);

/// When something happens, and a random number from 0 to 1 for whoever wants to spread in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) chance: f64,
}

/// Numbers the terms of one process, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) u64);

/// What can happen.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// The leader record as it is after this transaction of the store.
    Seen { at: Revision, seat: Option<Seat> },
    /// The same, as an answer.
    Found { at: Revision, seat: Option<Seat> },
    /// A lease was granted, which was asked for at `sent`.
    Granted { lease: StoreLease, sent: Instant, lasts: Duration },
    /// The seat is ours.
    Created { lease: StoreLease, revision: Revision },
    /// Somebody else has it, by this record.
    Taken { lease: StoreLease, by: Seat },
    /// The lease lasts longer.
    Renewed { lease: StoreLease, sent: Instant, lasts: Duration },
    /// It has ended.
    Expired { lease: StoreLease },
    /// The record that was left is gone as of this transaction.
    Removed { at: Revision },
    /// A look, grant, creation, renewal or removal did not come about, or nobody knows.
    Failed(Ask),
    /// The runtime has let go of a term.
    TermEnded(Term),
    /// This process is to end.
    Resign,
    /// Time passed.
    Tick,
}

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// How the leader record is.
    Look,
    /// A lease.
    Grant,
    /// The leader record under a lease, where there is none.
    Create(StoreLease),
    /// More time.
    Renew(StoreLease),
    /// The end of a lease and its record. Nothing depends on how it goes.
    Revoke(StoreLease),
    /// The end of a record that a process of this name has left.
    Remove(Revision),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Ask the store.
    Ask(Ask),
    /// Begin a term, which may answer until then.
    Lead { term: Term, seat: Revision, until: Instant },
    /// It may answer until then.
    Extend(Instant),
    /// End the term, for this reason.
    StepDown(&'static str),
}

/// Where a coordinator stands.
#[derive(Debug)]
pub(super) struct State {
    /// Of this coordinator.
    instance: String,
    phase: Phase,
    /// The leader record as last seen; `None` before the first look.
    seen: Option<(Revision, Option<Seat>)>,
    /// When to look at it; `None` while that is asked.
    look: Option<Instant>,
    /// From one look to the next.
    looks_every: Duration,
    term: Term,
    failures: u32,
    resigning: bool,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Following { retry: Instant },
    Removing,
    Granting,
    Creating(Held),
    Leading { held: Held, seat: Revision, since: Instant, due: Instant, asked: bool },
    Leaving(StoreLease),
    Ended,
}

/// A lease and until when it may be used.
#[derive(Debug, Clone, Copy)]
struct Held {
    lease: StoreLease,
    until: Instant,
}

impl Held {
    fn new(lease: StoreLease, sent: Instant, lasts: Duration) -> Self {
        Self { lease, until: sent + lasts.mul_f64(1.0 - MARGIN) }
    }
}

impl State {
    /// A coordinator that has just started, whose leases are to last so long.
    pub(super) fn new(instance: String, lasts: Duration, now: Instant) -> Self {
        let (phase, looks_every) = (Phase::Following { retry: now }, lasts / LOOKS);
        let look = Some(now + looks_every);
        Self { instance, phase, seen: None, look, looks_every, term: Term::default(), failures: 0, resigning: false }
    }

    /// When a tick is due, if time alone can change anything.
    pub(super) fn wake(&self) -> Option<Instant> {
        match &self.phase {
            // A campaign finds out how the record is.
            Phase::Following { retry } if self.is_free() => Some(*retry),
            Phase::Following { retry } => [self.may_campaign().then_some(*retry), self.look].into_iter().flatten().min(),
            Phase::Creating(held) => Some(held.until),
            Phase::Leading { held, due, asked, .. } => Some(if *asked { held.until } else { held.until.min(*due) }),
            Phase::Removing | Phase::Granting | Phase::Leaving(_) | Phase::Ended => None,
        }
    }

    /// The newest term, while it lasts.
    pub(super) fn leads(&self) -> Option<Term> {
        matches!(self.phase, Phase::Leading { .. }).then_some(self.term)
    }

    /// The newest term.
    pub(super) fn term(&self) -> Term {
        self.term
    }

    /// Where the leader is, if another leads.
    pub(super) fn leader(&self) -> Option<&str> {
        let (_, seat) = self.seen.as_ref()?;
        seat.as_ref().filter(|seat| seat.instance != self.instance).map(|seat| seat.advertise.as_str())
    }

    /// Whether the record has not been looked at yet.
    pub(super) fn is_undecided(&self) -> bool {
        self.seen.is_none()
    }

    /// Whether it is to end.
    pub(super) fn is_resigning(&self) -> bool {
        self.resigning
    }

    /// Whether a coordinator that resigns has nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether the record is gone, or is one that this process need not respect.
    fn may_campaign(&self) -> bool {
        match &self.seen {
            None => false,
            Some((_, None)) => true,
            Some((_, Some(seat))) => seat.instance == self.instance,
        }
    }

    /// Whether the record is gone.
    fn is_free(&self) -> bool {
        matches!(self.seen, Some((_, None)))
    }

    /// Back to waiting; a campaign or a term did not come to a good end.
    fn follow(&mut self, now: Now) -> Vec<Effect> {
        if self.resigning {
            self.phase = Phase::Ended;
            return Vec::new();
        }
        let wait = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST).mul_f64(0.5 + 0.5 * now.chance.clamp(0.0, 1.0));
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Following { retry: now.at + wait };
        Vec::new()
    }

    /// Spread by a fifth, so that candidates do not look in step.
    fn look_later(&mut self, now: Now) {
        self.look = Some(now.at + self.looks_every.mul_f64(0.8 + 0.4 * now.chance.clamp(0.0, 1.0)).max(CLOSEST));
    }

    fn leave(&mut self, lease: StoreLease, why: &'static str, now: Now) -> Vec<Effect> {
        if let Phase::Leading { since, .. } = self.phase
            && now.at.saturating_duration_since(since) >= STABLE
        {
            self.failures = 0;
        }
        self.phase = Phase::Leaving(lease);
        vec![Effect::StepDown(why)]
    }
}

/// Takes one event in.
pub(super) fn step(state: &mut State, event: Event, now: Now) -> Vec<Effect> {
    match event {
        Event::Seen { at, seat } => seen(state, at, seat, now),
        Event::Found { at, seat } => {
            state.look_later(now);
            seen(state, at, seat, now)
        }
        Event::Tick => tick(state, now),
        Event::Resign => resign(state, now),
        Event::Granted { lease, sent, lasts } => granted(state, Held::new(lease, sent, lasts), now),
        Event::Created { lease, revision } => created(state, lease, revision, now),
        Event::Taken { lease, by } => {
            let mut effects = seen(state, by.revision, Some(by), now);
            if matches!(state.phase, Phase::Creating(held) if held.lease == lease) {
                effects.extend(give_up(state, lease, now));
            }
            effects
        }
        Event::Renewed { lease, sent, lasts } => renewed(state, Held::new(lease, sent, lasts), now),
        Event::Expired { lease } => match state.phase {
            Phase::Leading { held, .. } if held.lease == lease => state.leave(lease, "its lease has ended", now),
            _ => Vec::new(),
        },
        Event::Removed { at } => removed(state, at, now),
        Event::Failed(ask) => failed(state, ask, now),
        Event::TermEnded(term) => term_ended(state, term, now),
    }
}

fn seen(state: &mut State, at: Revision, seat: Option<Seat>, now: Now) -> Vec<Effect> {
    if state.seen.as_ref().is_some_and(|(last, _)| *last > at) {
        return Vec::new();
    }
    let ours = seat.as_ref().map(|seat| seat.revision);
    state.seen = Some((at, seat));
    match state.phase {
        // A look from before the seat was taken says nothing.
        Phase::Leading { held, seat, .. } if at > seat && ours != Some(seat) => {
            state.leave(held.lease, "its leader record is gone", now)
        }
        _ => tick(state, now),
    }
}

fn tick(state: &mut State, now: Now) -> Vec<Effect> {
    let (is_free, may_campaign) = (state.is_free(), state.may_campaign());
    match &mut state.phase {
        Phase::Following { retry } if *retry <= now.at && is_free => {
            state.phase = Phase::Granting;
            vec![Effect::Ask(Ask::Grant)]
        }
        Phase::Following { .. } if state.look.is_some_and(|look| look <= now.at) && !is_free => {
            state.look = None;
            vec![Effect::Ask(Ask::Look)]
        }
        Phase::Following { retry } if *retry <= now.at && may_campaign => match &state.seen {
            Some((_, Some(left))) => {
                state.phase = Phase::Removing;
                vec![Effect::Ask(Ask::Remove(left.revision))]
            }
            _ => Vec::new(),
        },
        Phase::Creating(held) if held.until <= now.at => {
            let lease = held.lease;
            give_up(state, lease, now)
        }
        Phase::Leading { held, .. } if held.until <= now.at => {
            let lease = held.lease;
            state.leave(lease, "it could not renew its lease in time", now)
        }
        Phase::Leading { held, due, asked, .. } if *due <= now.at && !*asked => {
            *asked = true;
            vec![Effect::Ask(Ask::Renew(held.lease))]
        }
        _ => Vec::new(),
    }
}

fn granted(state: &mut State, held: Held, now: Now) -> Vec<Effect> {
    match state.phase {
        Phase::Granting if state.resigning => give_up(state, held.lease, now),
        Phase::Granting => {
            state.phase = Phase::Creating(held);
            vec![Effect::Ask(Ask::Create(held.lease))]
        }
        _ => vec![Effect::Ask(Ask::Revoke(held.lease))],
    }
}

fn created(state: &mut State, lease: StoreLease, seat: Revision, now: Now) -> Vec<Effect> {
    match state.phase {
        Phase::Creating(held) if held.lease == lease && held.until > now.at && !state.resigning => {
            state.term = Term(state.term.0 + 1);
            let due = due(held, now);
            state.phase = Phase::Leading { held, seat, since: now.at, due, asked: false };
            vec![Effect::Lead { term: state.term, seat, until: held.until }]
        }
        Phase::Creating(held) if held.lease == lease => give_up(state, lease, now),
        _ => vec![Effect::Ask(Ask::Revoke(lease))],
    }
}

fn renewed(state: &mut State, renewed: Held, now: Now) -> Vec<Effect> {
    match &mut state.phase {
        Phase::Leading { held, due: next, asked, .. } if held.lease == renewed.lease => {
            held.until = held.until.max(renewed.until);
            *asked = false;
            *next = due(*held, now);
            vec![Effect::Extend(held.until)]
        }
        _ => Vec::new(),
    }
}

fn failed(state: &mut State, ask: Ask, now: Now) -> Vec<Effect> {
    if ask == Ask::Look {
        state.look_later(now);
    }
    match (&mut state.phase, ask) {
        (Phase::Granting, Ask::Grant) | (Phase::Removing, Ask::Remove(_)) => state.follow(now),
        (Phase::Creating(held), Ask::Create(lease)) if held.lease == lease => give_up(state, lease, now),
        (Phase::Leading { held, due: next, asked, .. }, Ask::Renew(lease)) if held.lease == lease => {
            *asked = false;
            *next = due(*held, now);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn term_ended(state: &mut State, term: Term, now: Now) -> Vec<Effect> {
    if term != state.term {
        return Vec::new();
    }
    let (lease, mut effects) = match state.phase {
        Phase::Leading { held, .. } => (held.lease, state.leave(held.lease, "its term has ended by itself", now)),
        Phase::Leaving(lease) => (lease, Vec::new()),
        _ => return Vec::new(),
    };
    effects.extend(give_up(state, lease, now));
    effects
}

fn removed(state: &mut State, at: Revision, now: Now) -> Vec<Effect> {
    if !matches!(state.phase, Phase::Removing) {
        return Vec::new();
    }
    state.phase = Phase::Following { retry: now.at };
    seen(state, at, None, now)
}

fn resign(state: &mut State, now: Now) -> Vec<Effect> {
    state.resigning = true;
    match state.phase {
        Phase::Following { .. } | Phase::Removing => {
            state.phase = Phase::Ended;
            Vec::new()
        }
        Phase::Creating(held) => {
            state.phase = Phase::Ended;
            vec![Effect::Ask(Ask::Revoke(held.lease))]
        }
        Phase::Leading { held, .. } => state.leave(held.lease, "it is shutting down", now),
        Phase::Granting | Phase::Leaving(_) | Phase::Ended => Vec::new(),
    }
}

/// Lets go of a lease; others need not wait for its end.
fn give_up(state: &mut State, lease: StoreLease, now: Now) -> Vec<Effect> {
    let mut effects = vec![Effect::Ask(Ask::Revoke(lease))];
    effects.extend(state.follow(now));
    effects
}

/// When the next renewal is due: after a third of what is left, spread by a fifth of that.
fn due(held: Held, now: Now) -> Instant {
    let third = held.until.saturating_duration_since(now.at) / 3;
    now.at + third.mul_f64(0.8 + 0.4 * now.chance.clamp(0.0, 1.0)).max(CLOSEST)
}
