//! The exchange over a fabric of threads: the conformance suite, and what only a fabric can do wrong.

use super::*;
use braid_workload::exchange::local;
use std::{
    sync::{
        Condvar,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Threads that leave what they bring in one place.
#[derive(Default)]
struct Table {
    rounds: Mutex<Vec<Vec<Option<Vec<u8>>>>>,
    changed: Condvar,
    gathers: AtomicUsize,
}

struct Seat {
    table: Arc<Table>,
    rank: usize,
    size: usize,
    round: usize,
    /// Whether it comes to gathers, and then never gives up its part.
    silent: bool,
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
        self.table.gathers.fetch_add(1, Ordering::Relaxed);
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

/// A group, and the table of its fabric; of these ranks, some are silent there.
fn group(size: usize, least: usize, silent: &[usize]) -> (Vec<Arc<NcclExchange>>, Arc<Table>) {
    let table = Arc::new(Table::default());
    let member = |(rank, control)| {
        let seat = Seat { table: Arc::clone(&table), rank, size, round: 0, silent: silent.contains(&rank) };
        Arc::new(NcclExchange { least, ..NcclExchange::new(Arc::new(control), Box::new(seat)) })
    };
    (local::group(size).into_iter().enumerate().map(member).collect(), table)
}

fn make(size: usize) -> Vec<Arc<dyn Exchange>> {
    group(size, LEAST, &[]).0.into_iter().map(|member| member as Arc<dyn Exchange>).collect()
}

braid_workload::exchange_conformance!(make);

fn together<R: Send>(group: &[Arc<NcclExchange>], program: impl Fn(&NcclExchange) -> R + Sync) -> Vec<R> {
    let program = &program;
    thread::scope(|scope| {
        let threads: Vec<_> = group.iter().map(|member| scope.spawn(move || program(member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn large_gathers_of_equal_parts_go_over_the_fabric_and_have_the_same_bytes() {
    let bytes = |rank: usize, len: usize| (0..len).map(|place| (place * 7 + rank * 31) as u8).collect::<Vec<u8>>();
    let (members, table) = group(3, 1000, &[]);
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
        let lens = [2000, 1, 3000];
        let mut out = vec![0; 5001];
        member.all_gather_varied(&bytes(member.rank(), lens[member.rank()]), &lens, &mut out).unwrap();
        all.extend(out);
        all
    });
    let expected: Vec<u8> = [[10; 3], [1000; 3], [4096; 3], [2000, 1, 3000]]
        .iter()
        .flat_map(|lens| lens.iter().enumerate().flat_map(|(rank, len)| bytes(rank, *len)))
        .collect();
    assert!(gathered.iter().all(|found| *found == expected));
    assert_eq!(table.gathers.load(Ordering::Relaxed), 3 * 4, "two lengths, twice each, on three ranks");
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
    let (members, table) = group(2, 1, &[]);
    let errors = together(&members, |member| {
        let len = 8 + member.rank();
        member.all_gather(&vec![1; len], &mut vec![0; 2 * len]).unwrap_err()
    });
    assert!(errors.iter().any(|error| matches!(error, ExchangeError::Mismatch { .. })), "{errors:?}");
    assert_eq!(table.gathers.load(Ordering::Relaxed), 0);
}
