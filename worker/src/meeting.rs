//! Where the members of a gang meet that all run in this process: in memory, without a port.

use braid_workload::{
    Exchange, ExchangeError, Gang, Join, TaskId,
    exchange::{Group, Operation, local},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How long a member waits for the others.
const WITHIN: Duration = Duration::from_secs(30);
/// How often it looks whether it must stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The meeting place of one process.
pub struct Meeting {
    within: Duration,
    gangs: Mutex<BTreeMap<(TaskId, u32), Table>>,
    changed: Condvar,
}

/// One gang's: complete once every member has come, and taken down by the last that leaves.
struct Table {
    members: Vec<Member>,
    complete: bool,
}

enum Member {
    Away,
    Here,
    /// The group is formed, and this is the member's end of it.
    Ready(Box<Group<local::Local>>),
    Gone,
}

impl Default for Meeting {
    fn default() -> Self {
        Self { within: WITHIN, gangs: Mutex::default(), changed: Condvar::new() }
    }
}

impl Join for Meeting {
    fn join(&self, gang: &Gang, cancel: &CancellationToken) -> Result<Arc<dyn Exchange>, ExchangeError> {
        let (key, rank, size) = ((gang.first, gang.epoch.0), gang.rank as usize, gang.members.len());
        let misuse = |detail: &str| ExchangeError::Misuse { rank, operation: Operation::Barrier, detail: detail.into() };
        if rank >= size {
            return Err(misuse("there is no such rank in the gang"));
        }
        let deadline = Instant::now() + self.within;
        let mut gangs = self.lock();
        let table = gangs.entry(key).or_insert_with(|| Table::new(size));
        match table.members.get_mut(rank) {
            Some(member @ Member::Away) => *member = Member::Here,
            _ => return Err(misuse("this rank of the gang has come before")),
        }
        table.form(u64::from(gang.epoch.0));
        self.changed.notify_all();
        loop {
            let Some(table) = gangs.get_mut(&key) else { return Err(misuse("the gang has been given up")) };
            if let Some(group) = table.take(rank) {
                if table.is_empty() {
                    gangs.remove(&key);
                }
                return Ok(Arc::new(group));
            }
            let stopped = cancel.is_cancelled();
            if stopped || Instant::now() >= deadline {
                let missing = table.missing();
                table.members[rank] = Member::Away;
                if table.members.iter().all(|member| matches!(member, Member::Away)) {
                    gangs.remove(&key);
                }
                return Err(if stopped {
                    ExchangeError::Aborted { rank, reason: "it was told to stop".into() }
                } else {
                    ExchangeError::Deadline { operation: Operation::Connect, limit: self.within, missing }
                });
            }
            gangs = self.changed.wait_timeout(gangs, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TaskId, u32), Table>> {
        // Nothing in here panics while it holds the lock.
        self.gangs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn new(size: usize) -> Self {
        Self { members: (0..size).map(|_| Member::Away).collect(), complete: false }
    }

    fn form(&mut self, epoch: u64) {
        if !self.complete && self.members.iter().all(|member| matches!(member, Member::Here)) {
            self.complete = true;
            let group = local::group_in_epoch(self.members.len(), epoch);
            self.members = group.into_iter().map(Box::new).map(Member::Ready).collect();
        }
    }

    fn take(&mut self, rank: usize) -> Option<Group<local::Local>> {
        let member = self.members.get_mut(rank)?;
        if !matches!(member, Member::Ready(_)) {
            return None;
        }
        match std::mem::replace(member, Member::Gone) {
            Member::Ready(group) => Some(group.taken_over()),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.members.iter().all(|member| matches!(member, Member::Gone))
    }

    fn missing(&self) -> Vec<usize> {
        (0..).zip(&self.members).filter(|(_, member)| matches!(member, Member::Away)).map(|(rank, _)| rank).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::{AttemptId, JobId};

    fn gang(rank: u32, epoch: u32) -> Gang {
        let members = vec!["here".into(); 3];
        Gang { rank, first: JobId(1).task(0), epoch: AttemptId(epoch), members, token: String::new() }
    }

    #[test]
    fn members_of_one_try_meet_and_others_do_not_disturb() {
        let meeting = Meeting::default();
        std::thread::scope(|scope| {
            for epoch in [1, 2] {
                for rank in 0..3 {
                    let meeting = &meeting;
                    scope.spawn(move || {
                        let exchange = meeting.join(&gang(rank, epoch), &CancellationToken::new()).unwrap();
                        assert_eq!((exchange.rank(), exchange.epoch()), (rank as usize, u64::from(epoch)));
                        exchange.barrier().unwrap();
                    });
                }
            }
        });
        assert!(meeting.lock().is_empty());
    }

    #[test]
    fn those_that_have_come_are_released_when_one_does_not() {
        let meeting = Meeting { within: Duration::from_millis(50), ..Meeting::default() };
        std::thread::scope(|scope| {
            let waiting = [0, 2].map(|rank| {
                let meeting = &meeting;
                scope.spawn(move || meeting.join(&gang(rank, 1), &CancellationToken::new()).err().unwrap())
            });
            for error in waiting.map(|waiting| waiting.join().unwrap()) {
                let late = matches!(&error, ExchangeError::Deadline { operation: Operation::Connect, missing, .. } if missing.contains(&1));
                assert!(late, "{error}");
            }
        });
        assert!(meeting.lock().is_empty());
    }

    #[test]
    fn a_member_that_waits_stops_when_told_and_leaves_nothing() {
        let (meeting, cancel) = (Meeting::default(), CancellationToken::new());
        cancel.cancel();
        let error = meeting.join(&gang(1, 1), &cancel).err().unwrap();
        assert!(matches!(error, ExchangeError::Aborted { rank: 1, .. }), "{error}");
        assert!(meeting.lock().is_empty());
    }
}
