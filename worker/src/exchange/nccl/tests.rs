//! The exchange over a fabric of threads: the conformance suite, and what only a fabric can do wrong.

use super::*;
use braid_workload::exchange::local;
use std::{
    collections::HashMap,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Threads that leave what they bring in one place.
#[derive(Default)]
struct Table {
    rounds: Mutex<Vec<Vec<Option<Vec<u8>>>>>,
    changed: Condvar,
}

/// A place for every group, found by the number that its first rank hands to the others.
#[derive(Default)]
struct Room {
    tables: Mutex<HashMap<u64, Arc<Table>>>,
    formed: AtomicUsize,
    gathers: Arc<AtomicUsize>,
}

/// One member's way to the room.
struct Door {
    room: Arc<Room>,
    /// Whether it can sit at tables.
    able: bool,
    /// Whether it comes to gathers, and then never gives up its part.
    silent: bool,
}

struct Seat {
    table: Arc<Table>,
    gathers: Arc<AtomicUsize>,
    rank: usize,
    size: usize,
    round: usize,
    silent: bool,
}

impl Form for Door {
    fn form(&self, group: &dyn Exchange, _: Duration) -> Result<Option<Box<dyn Fabric>>, ExchangeError> {
        let (rank, size) = (group.rank(), group.size());
        let number = self.room.formed.fetch_add(usize::from(rank == 0), Ordering::Relaxed);
        let mut number = (number as u64).to_le_bytes();
        group.broadcast(0, &mut number)?;
        let mut able = vec![0; size];
        group.all_gather(&[u8::from(self.able)], &mut able)?;
        if able.contains(&0) {
            return Ok(None);
        }
        let mut tables = self.room.tables.lock().unwrap();
        let table = Arc::clone(tables.entry(u64::from_le_bytes(number)).or_default());
        let gathers = Arc::clone(&self.room.gathers);
        Ok(Some(Box::new(Seat { table, gathers, rank, size, round: 0, silent: self.silent })))
    }
}

impl Fabric for Seat {
    fn all_gather(
        &mut self,
        mine: &[u8],
        out: &mut [u8],
        go_on: &mut dyn FnMut() -> Result<(), ExchangeError>,
    ) -> Result<(), FabricError> {
        let round = self.round;
        self.round += 1;
        self.gathers.fetch_add(1, Ordering::Relaxed);
        let mut rounds = self.table.rounds.lock().unwrap();
        while rounds.len() <= round {
            rounds.push(vec![None; self.size]);
        }
        if !self.silent {
            rounds[round][self.rank] = Some(mine.to_vec());
            self.table.changed.notify_all();
        }
        loop {
            if !self.silent && rounds[round].iter().all(Option::is_some) {
                out.copy_from_slice(&rounds[round].iter().flatten().flatten().copied().collect::<Vec<u8>>());
                return Ok(());
            }
            go_on()?;
            rounds = self.table.changed.wait_timeout(rounds, Duration::from_millis(1)).unwrap().0;
        }
    }
}

/// A group, and how many gathers went over its fabric and those of its parts; of these ranks, some are silent there, and some cannot
/// come at all.
fn group_of(size: usize, least: usize, silent: &[usize], unable: &[usize]) -> (Vec<Arc<NcclExchange>>, Arc<AtomicUsize>) {
    let room = Arc::new(Room::default());
    let member = |(rank, control)| {
        let door = Door { room: Arc::clone(&room), able: !unable.contains(&rank), silent: silent.contains(&rank) };
        Arc::new(NcclExchange::with_least(Arc::new(control), Arc::new(door), least).unwrap())
    };
    (local::group(size).into_iter().enumerate().map(member).collect(), Arc::clone(&room.gathers))
}

fn group(size: usize, least: usize, silent: &[usize]) -> (Vec<Arc<NcclExchange>>, Arc<AtomicUsize>) {
    group_of(size, least, silent, &[])
}

fn members(size: usize, least: usize, unable: &[usize]) -> Vec<Arc<dyn Exchange>> {
    group_of(size, least, &[], unable).0.into_iter().map(|member| member as Arc<dyn Exchange>).collect()
}

mod as_it_is {
    fn make(size: usize) -> Vec<std::sync::Arc<dyn super::Exchange>> {
        super::members(size, super::LEAST, &[])
    }
    braid_workload::exchange_conformance!(make);
}

mod with_every_gather_over_the_fabric {
    fn make(size: usize) -> Vec<std::sync::Arc<dyn super::Exchange>> {
        super::members(size, 1, &[])
    }
    braid_workload::exchange_conformance!(make);
}

mod where_one_member_has_no_fabric {
    fn make(size: usize) -> Vec<std::sync::Arc<dyn super::Exchange>> {
        super::members(size, 1, &[size - 1])
    }
    braid_workload::exchange_conformance!(make);
}

fn together<R: Send>(group: &[Arc<NcclExchange>], program: impl Fn(&NcclExchange) -> R + Sync) -> Vec<R> {
    let program = &program;
    thread::scope(|scope| {
        let threads: Vec<_> = group.iter().map(|member| scope.spawn(move || program(member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn large_gathers_go_over_the_fabric_and_have_the_same_bytes() {
    let bytes = |rank: usize, len: usize| (0..len).map(|place| (place * 7 + rank * 31) as u8).collect::<Vec<u8>>();
    let (members, gathers) = group(3, 1000, &[]);
    let gathered = together(&members, |member| {
        let mut all = Vec::new();
        for len in [10, 1000, 4096] {
            let mut out = vec![0; len * 3];
            member.all_gather(&bytes(member.rank(), len), &mut out).unwrap();
            let mut place = vec![0; len * 3];
            place[member.rank() * len..][..len].copy_from_slice(&bytes(member.rank(), len));
            member.all_gather_in_place(&[len; 3], &mut place).unwrap();
            assert_eq!(out, place);
            all.extend(out);
        }
        // shorter parts are filled up, unless it would be more than twice as much
        for lens in [[2000, 1, 3000], [0, 4000, 1]] {
            let mut out = vec![0; lens.iter().sum()];
            member.all_gather_varied(&bytes(member.rank(), lens[member.rank()]), &lens, &mut out).unwrap();
            let pending = member.start_all_gather_varied(bytes(member.rank(), lens[member.rank()]), &lens).unwrap();
            assert_eq!(pending.wait().unwrap(), out);
            all.extend(out);
        }
        all
    });
    let expected: Vec<u8> = [[10; 3], [1000; 3], [4096; 3], [2000, 1, 3000], [0, 4000, 1]]
        .iter()
        .flat_map(|lens| lens.iter().enumerate().flat_map(|(rank, len)| bytes(rank, *len)))
        .collect();
    assert!(gathered.iter().all(|found| *found == expected));
    assert_eq!(gathers.load(Ordering::Relaxed), 3 * 6, "two lengths and three parts, twice each, on three ranks");
}

/// As NCCL does where a member is lost after it has come to the call: the deadline ends it, for all, and stays.
#[test]
fn a_member_that_is_silent_in_a_gather_ends_it_at_the_deadline() {
    let (members, _) = group(3, 1, &[1]);
    let errors = together(&members, |member| {
        member.set_timeout(Duration::from_millis(if member.rank() == 1 { 60_000 } else { 100 }));
        member.all_gather(&[1; 8], &mut [0; 24]).unwrap_err()
    });
    for error in &errors {
        let text = error.to_string();
        assert!(text.contains("all_gather did not end within 0.1 s"), "{text}");
    }
    let again = members[0].all_gather(&[1; 8], &mut [0; 24]).unwrap_err();
    assert!(again.to_string().contains("did not end within"), "{again}");
}

/// A member that is gone before a gather is noticed by the control group, and one that ends the epoch while others wait, too.
#[test]
fn a_member_that_is_lost_ends_the_gathers_of_the_others() {
    let (mut members, _) = group(3, 1, &[]);
    drop(members.remove(1));
    let errors = together(&members, |member| member.all_gather(&[1; 8], &mut [0; 24]).unwrap_err());
    assert!(errors.iter().all(|error| matches!(error, ExchangeError::Lost { rank: 1, .. })), "{errors:?}");

    let (members, _) = group(2, 1, &[1]);
    let errors = together(&members, |member| {
        member.set_timeout(Duration::from_secs(60));
        if member.rank() == 1 {
            // comes to the call, and is then told to stop
            let failed = thread::scope(|scope| {
                let call = scope.spawn(|| member.all_gather(&[1; 8], &mut [0; 16]).unwrap_err());
                member.abort("it was told to stop");
                call.join().unwrap()
            });
            return failed;
        }
        member.all_gather(&[1; 8], &mut [0; 16]).unwrap_err()
    });
    assert!(errors.iter().all(|error| error.to_string().contains("it was told to stop")), "{errors:?}");
}

#[test]
fn parts_of_different_length_are_found_out_before_the_fabric_is_asked() {
    let (members, gathers) = group(2, 1, &[]);
    let errors = together(&members, |member| {
        let len = 8 + member.rank();
        member.all_gather(&vec![1; len], &mut vec![0; 2 * len]).unwrap_err()
    });
    assert!(errors.iter().any(|error| matches!(error, ExchangeError::Mismatch { .. })), "{errors:?}");
    assert_eq!(gathers.load(Ordering::Relaxed), 0);
}

/// Groups that are split off, and gathers that are started, wait for nobody until they have to, and keep the order of their calls.
#[test]
fn parts_and_started_gathers_go_over_the_fabric_too() {
    let (members, gathers) = group(4, 64, &[]);
    let bytes = |rank: usize, call: usize| vec![(rank * 10 + call) as u8; 64];
    let found = together(&members, |member| {
        let own = if member.rank() < 2 { [0, 1] } else { [3, 2] };
        let part = member.split(&own).unwrap();
        let started: Vec<_> = (0..3).map(|call| part.start_all_gather(bytes(member.rank(), call)).unwrap()).collect();
        // others are late, and their neighbours wait for nothing
        if member.rank() % 2 == 1 {
            thread::sleep(Duration::from_millis(20));
        }
        let mut whole = vec![0; 4 * 64];
        member.all_gather(&bytes(member.rank(), 9), &mut whole).unwrap();
        let mut blocking = vec![0; 2 * 64];
        part.all_gather(&bytes(member.rank(), 3), &mut blocking).unwrap();
        // one is given up, and the others come in any order
        let mut started = started.into_iter();
        let (first, last) = (started.next().unwrap(), started.nth(1).unwrap());
        let last = last.wait().unwrap();
        (first.wait().unwrap(), last, blocking, whole)
    });
    for (rank, (first, last, blocking, whole)) in found.into_iter().enumerate() {
        let own = if rank < 2 { [0, 1] } else { [3, 2] };
        let of = |call: usize| own.map(|rank| bytes(rank, call)).concat();
        assert_eq!((first, last, blocking), (of(0), of(2), of(3)), "rank {rank}");
        assert_eq!(whole, (0..4).flat_map(|rank| bytes(rank, 9)).collect::<Vec<u8>>());
    }
    assert_eq!(gathers.load(Ordering::Relaxed), 4 * (3 + 1 + 1));
}

/// A started gather may take as long as nobody waits for it; then it has as long as any call.
#[test]
fn a_started_gather_has_its_time_from_when_it_is_waited_for() {
    let (members, _) = group(2, 1, &[1]);
    let errors = together(&members, |member| {
        member.set_timeout(Duration::from_millis(if member.rank() == 1 { 60_000 } else { 100 }));
        let pending = member.start_all_gather(vec![1; 8]).unwrap();
        thread::sleep(Duration::from_millis(250));
        let early = member.failure();
        if member.rank() == 0 { (early, pending.wait().unwrap_err()) } else { (None, pending.wait().unwrap_err()) }
    });
    assert!(errors[0].0.is_none(), "nobody waited: {:?}", errors[0].0);
    assert!(errors.iter().all(|(_, error)| error.to_string().contains("all_gather did not end within 0.1 s")), "{errors:?}");
}

#[test]
fn a_member_that_is_lost_ends_what_was_started() {
    let (mut members, _) = group(3, 1, &[]);
    drop(members.remove(1));
    let errors = together(&members, |member| member.start_all_gather(vec![1; 8]).and_then(|pending| pending.wait()).unwrap_err());
    assert!(errors.iter().all(|error| matches!(error, ExchangeError::Lost { rank: 1, .. })), "{errors:?}");
}
