//! What happened in a world: a rule is only tested where its case occurs.

use crate::{
    engine::{Effect, Event, Message, State},
    model::{JobEnd, JobPhase},
};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    /// Attempts that a worker kept over a new session.
    pub(crate) kept: u64,
    /// Those of them that an earlier coordinator had given away.
    pub(crate) adopted: u64,
    /// Attempts that a worker had and had to drop.
    pub(crate) dropped: u64,
    /// Steps that lost a silent node.
    pub(crate) lost: u64,
    /// Sessions that did not know of something that they had been given.
    pub(crate) unknown: u64,
    /// Results that changed nothing.
    pub(crate) stale: u64,
    /// Streams ended for a newer one of the same node.
    pub(crate) replaced: u64,
    /// Networks that delivered nothing for a while.
    pub(crate) partitions: u64,
    /// Those of them that a session outlived.
    pub(crate) rode_out: u64,
    /// Those that healed when the node was lost and its worker still ran something.
    pub(crate) cut_off: u64,
    /// Streams that only the coordinator knew to have ended.
    pub(crate) broken_off: u64,
    /// Messages that were read after those of a newer session of the same worker.
    pub(crate) overtaken: u64,
    /// Results that were read more than once.
    pub(crate) repeated: u64,
    /// Times in which the store took nothing.
    pub(crate) outages: u64,
    pub(crate) stops: u64,
    /// Members of gangs whose value waits for those of the others.
    pub(crate) reported: u64,
    /// Gangs started again.
    pub(crate) regathered: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

impl Seen {
    pub(crate) fn step(&mut self, event: &Event, effects: &[Effect], epoch: u64) {
        self.steps += 1;
        let writes = effects.iter().any(|effect| matches!(effect, Effect::Write(_)));
        match event {
            Event::Tick => self.lost += u64::from(!effects.is_empty()),
            Event::Finished { .. } => {
                self.stale += u64::from(effects.len() == 1);
                self.reported += u64::from(effects.is_empty());
            }
            Event::Hello { held, .. } => {
                self.unknown += u64::from(writes);
                let dropped = effects.iter().find_map(|effect| match effect {
                    Effect::Send { message: Message::Welcome { drop, .. }, .. } => Some(drop),
                    _ => None,
                });
                let kept = held.iter().filter(|held| !dropped.is_some_and(|dropped| dropped.contains(held)));
                self.kept += kept.clone().count() as u64;
                self.adopted += kept.filter(|held| held.lease.0 >> 32 < epoch).count() as u64;
                self.dropped += dropped.map_or(0, |dropped| dropped.len() as u64);
            }
            _ => {}
        }
        for effect in effects {
            match effect {
                Effect::Close { .. } if matches!(event, Event::Hello { .. }) => self.replaced += 1,
                Effect::Send { message: Message::Stop { .. }, .. } => self.stops += 1,
                Effect::Send { message: Message::Run(run), .. } => {
                    let again = run.gang.as_ref().is_some_and(|gang| gang.rank == 0 && gang.epoch.0 > 1);
                    self.regathered += u64::from(again);
                }
                _ => {}
            }
        }
    }

    /// Counts how the jobs ended.
    pub(crate) fn ends(&mut self, state: &State) {
        for job in state.jobs() {
            match &job.phase {
                JobPhase::Ended(JobEnd::Done(_)) => self.done += 1,
                JobPhase::Ended(JobEnd::Failed(_)) => self.failed += 1,
                JobPhase::Ended(JobEnd::Cancelled) => self.cancelled += 1,
                JobPhase::Running | JobPhase::Ending(_) => {}
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            steps,
            crashes,
            kept,
            adopted,
            dropped,
            lost,
            unknown,
            stale,
            replaced,
            partitions,
            rode_out,
            cut_off,
            broken_off,
            overtaken,
            repeated,
            outages,
            stops,
            reported,
            regathered,
            done,
            failed,
            cancelled,
        } = other;
        self.steps += steps;
        self.crashes += crashes;
        self.kept += kept;
        self.adopted += adopted;
        self.dropped += dropped;
        self.lost += lost;
        self.unknown += unknown;
        self.stale += stale;
        self.replaced += replaced;
        self.partitions += partitions;
        self.rode_out += rode_out;
        self.cut_off += cut_off;
        self.broken_off += broken_off;
        self.overtaken += overtaken;
        self.repeated += repeated;
        self.outages += outages;
        self.stops += stops;
        self.reported += reported;
        self.regathered += regathered;
        self.done += done;
        self.failed += failed;
        self.cancelled += cancelled;
    }
}
