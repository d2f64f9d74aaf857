//! The rules of the state machine, one by one. What they add up to is in [`simulation`].

mod simulation;

use super::{
    Seat,
    step::{Ask, Effect, Event, Now, State, Term, step},
};
use crate::store::{Revision, StoreLease};
use std::time::{Duration, Instant};

const LASTS: Duration = Duration::from_secs(10);

/// A candidate called `me`, and a clock that only the test moves.
struct Candidate {
    state: State,
    base: Instant,
    millis: u64,
}

impl Candidate {
    fn new() -> Self {
        let base = Instant::now();
        Self { state: State::new("me".into(), LASTS, base), base, millis: 0 }
    }

    fn at(&self, millis: u64) -> Instant {
        self.base + Duration::from_millis(millis)
    }

    fn take(&mut self, event: Event) -> Vec<Effect> {
        let now = Now { at: self.at(self.millis), chance: 0.5 };
        step(&mut self.state, event, now)
    }

    fn sees(&mut self, at: u64, found: Option<(&str, u64)>) -> Vec<Effect> {
        self.take(Event::Seen { at: Revision(at), seat: found.map(seat) })
    }

    fn finds(&mut self, at: u64, found: Option<(&str, u64)>) -> Vec<Effect> {
        self.take(Event::Found { at: Revision(at), seat: found.map(seat) })
    }

    fn granted(&mut self, lease: i64, sent: u64) -> Vec<Effect> {
        let sent = self.at(sent);
        self.take(Event::Granted { lease: StoreLease(lease), sent, lasts: LASTS })
    }

    fn created(&mut self, lease: i64, revision: u64) -> Vec<Effect> {
        self.take(Event::Created { lease: StoreLease(lease), revision: Revision(revision) })
    }

    fn renewed(&mut self, lease: i64, sent: u64) -> Vec<Effect> {
        let sent = self.at(sent);
        self.take(Event::Renewed { lease: StoreLease(lease), sent, lasts: LASTS })
    }

    fn tick(&mut self, millis: u64) -> Vec<Effect> {
        self.millis = millis;
        self.take(Event::Tick)
    }

    /// One that leads since 0, by lease 7 and the record of revision 20.
    fn leading() -> Self {
        let mut me = Self::new();
        me.sees(10, None);
        me.granted(7, 0);
        me.created(7, 20);
        assert_eq!(me.state.leads(), Some(Term(1)));
        me
    }
}

fn seat((instance, revision): (&str, u64)) -> Seat {
    let advertise = format!("{instance}:1");
    Seat { instance: instance.into(), advertise, lease: StoreLease(1), revision: Revision(revision) }
}

fn asks(ask: Ask) -> Vec<Effect> {
    vec![Effect::Ask(ask)]
}

const L7: StoreLease = StoreLease(7);

#[test]
fn whoever_finds_no_leader_stands_and_leads_when_the_seat_is_its() {
    let mut me = Candidate::new();
    assert_eq!(me.tick(0), vec![], "nothing is known yet");
    assert_eq!(me.sees(10, None), asks(Ask::Grant));
    me.millis = 300;
    assert_eq!(me.granted(7, 100), asks(Ask::Create(L7)));
    // Nine tenths of the lease, counted from before it was asked for.
    let lead = Effect::Lead { term: Term(1), seat: Revision(20), until: me.at(9100) };
    assert_eq!(me.created(7, 20), [lead]);
    assert_eq!(me.sees(20, Some(("me", 20))), [], "its own record");
    assert_eq!(me.sees(15, None), [], "an older look says nothing");
    assert_eq!(me.state.leader(), None);
}

#[test]
fn a_standby_waits_for_the_record_to_go() {
    let mut me = Candidate::new();
    assert_eq!(me.sees(10, Some(("other", 5))), []);
    for _ in 0..20 {
        me.tick(me.millis + 2500);
        assert_eq!(me.finds(10, Some(("other", 5))), [], "however long it takes");
    }
    assert_eq!(me.state.leader(), Some("other:1"));
    assert_eq!(me.sees(11, None), asks(Ask::Grant));
}

/// The watch may be on a connection that is dead, of which nobody is told.
#[test]
fn a_standby_that_is_shown_nothing_looks_for_itself() {
    let mut me = Candidate::new();
    assert_eq!(me.state.wake(), Some(me.at(2500)), "a quarter of a lease");
    assert_eq!(me.tick(2500), asks(Ask::Look), "not even the first look has come");
    assert_eq!((me.tick(9000), me.state.wake()), (vec![], None), "one at a time");
    assert_eq!(me.take(Event::Failed(Ask::Look)), []);
    assert_eq!(me.tick(11_499), []);
    assert_eq!(me.tick(11_500), asks(Ask::Look));
    assert_eq!(me.finds(10, Some(("other", 5))), []);
    assert_eq!(me.state.leader(), Some("other:1"));
    assert_eq!(me.tick(14_000), asks(Ask::Look));
    assert_eq!(me.finds(12, None), asks(Ask::Grant), "and stands");
    assert_eq!(me.sees(11, Some(("other", 11))), [], "the watch comes after it");
    // A late answer from before it led says nothing.
    me.granted(7, 14_000);
    assert_eq!(me.created(7, 20).len(), 1);
    assert_eq!((me.finds(19, None), me.state.leads()), (vec![], Some(Term(1))));
}

#[test]
fn a_leader_renews_after_a_third_and_more_often_while_it_fails() {
    let mut me = Candidate::leading();
    let due: u64 = 9000 / 3;
    assert_eq!(me.state.wake(), Some(me.at(due)));
    assert_eq!(me.tick(due), asks(Ask::Renew(L7)));
    assert_eq!(me.tick(due + 100), [], "one at a time");
    me.millis = due + 600;
    assert_eq!(me.take(Event::Failed(Ask::Renew(L7))), []);
    let next = due + 600 + (9000 - due - 600) / 3;
    assert_eq!(me.state.wake(), Some(me.at(next)));
    assert_eq!(me.tick(next), asks(Ask::Renew(L7)));
    me.millis = next + 50;
    assert_eq!(me.renewed(7, next), [Effect::Extend(me.at(next + 9000))]);
    assert_eq!(me.renewed(6, next), [], "an answer about another lease");
}

#[test]
fn a_leader_that_cannot_renew_steps_down_before_its_lease_can_have_ended() {
    let mut me = Candidate::leading();
    me.tick(3000);
    assert_eq!(me.tick(8999), []);
    assert_eq!(me.tick(9000), [Effect::StepDown("it could not renew its lease in time")]);
    assert_eq!(me.renewed(7, 3000), [], "too late");
    assert_eq!(me.tick(20_000), [], "not before its term has let go");
    assert_eq!(me.take(Event::TermEnded(Term(1))), asks(Ask::Revoke(L7)));
}

#[test]
fn a_leader_whose_lease_or_record_is_gone_steps_down_at_once() {
    let mut me = Candidate::leading();
    assert_eq!(me.take(Event::Expired { lease: L7 }), [Effect::StepDown("its lease has ended")]);
    for seen in [None, Some(("other", 30))] {
        let mut me = Candidate::leading();
        assert_eq!(me.sees(30, seen), [Effect::StepDown("its leader record is gone")]);
    }
}

#[test]
fn a_term_that_ends_by_itself_gives_the_seat_up() {
    let mut me = Candidate::leading();
    assert_eq!(me.take(Event::TermEnded(Term(0))), [], "an older one");
    let effects = me.take(Event::TermEnded(Term(1)));
    assert_eq!(effects, [Effect::StepDown("its term has ended by itself"), Effect::Ask(Ask::Revoke(L7))]);
    assert!(me.state.wake().is_none_or(|retry| retry > me.at(0)), "others may go first");
}

#[test]
fn a_campaign_that_fails_is_tried_again_with_growing_pauses() {
    let mut me = Candidate::new();
    me.sees(10, None);
    let mut waits = vec![];
    for _ in 0..7 {
        me.take(Event::Failed(Ask::Grant));
        let retry = me.state.wake().unwrap();
        waits.push((retry - me.at(me.millis)).as_millis());
        me.millis = (retry - me.base).as_millis().try_into().unwrap();
        assert_eq!(me.take(Event::Tick), asks(Ask::Grant));
    }
    assert_eq!(waits, [75, 150, 300, 600, 1200, 1500, 1500]);
    assert_eq!(me.granted(8, me.millis), asks(Ask::Create(StoreLease(8))));
    let by = seat(("other", 11));
    assert_eq!(me.take(Event::Taken { lease: StoreLease(8), by }), asks(Ask::Revoke(StoreLease(8))));
    assert_eq!(me.state.leader(), Some("other:1"), "though the watch has shown nothing of it");
    assert_eq!(me.granted(9, me.millis), asks(Ask::Revoke(StoreLease(9))), "a lease that nobody waits for");
}

#[test]
fn a_seat_that_comes_too_late_is_given_back() {
    let mut me = Candidate::new();
    me.sees(10, None);
    me.granted(7, 0);
    me.millis = 9000;
    assert_eq!(me.created(7, 20), asks(Ask::Revoke(L7)));
    let mut me = Candidate::new();
    me.sees(10, None);
    me.granted(7, 0);
    assert_eq!(me.tick(9000), asks(Ask::Revoke(L7)));
    assert_eq!(me.created(7, 20), asks(Ask::Revoke(L7)), "given up for lost, and there after all");
}

#[test]
fn a_restarted_coordinator_does_not_wait_for_its_own_lease() {
    let mut me = Candidate::new();
    assert_eq!(me.sees(10, Some(("me", 5))), asks(Ask::Remove(Revision(5))));
    assert_eq!(me.state.leader(), None, "it sends nobody to itself");
    assert_eq!(me.take(Event::Removed { at: Revision(11) }), asks(Ask::Grant));
    let mut me = Candidate::new();
    me.sees(10, Some(("me", 5)));
    assert_eq!(me.take(Event::Failed(Ask::Remove(Revision(5)))), []);
    assert_eq!(me.tick(1000), asks(Ask::Remove(Revision(5))), "again");
}

#[test]
fn whoever_resigns_leaves_no_lease_behind() {
    let mut me = Candidate::leading();
    assert_eq!(me.take(Event::Resign), [Effect::StepDown("it is shutting down")]);
    assert!(!me.state.is_over(), "its term writes what is left");
    assert_eq!(me.take(Event::TermEnded(Term(1))), asks(Ask::Revoke(L7)));
    assert!(me.state.is_over());

    let mut me = Candidate::new();
    assert_eq!((me.take(Event::Resign), me.state.is_over()), (vec![], true));

    let mut me = Candidate::new();
    me.sees(10, None);
    me.take(Event::Resign);
    assert_eq!(me.granted(7, 0), asks(Ask::Revoke(L7)));
    assert!(me.state.is_over());

    let mut me = Candidate::new();
    me.sees(10, None);
    me.granted(7, 0);
    assert_eq!(me.take(Event::Resign), asks(Ask::Revoke(L7)));
    assert_eq!(me.created(7, 20), asks(Ask::Revoke(L7)));
    assert!(me.state.is_over());
}
