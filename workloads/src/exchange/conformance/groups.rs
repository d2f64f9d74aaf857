//! Groups beside each other, calls that overlap, and messages that come early.

use super::{super::Exchange, Make, bytes, on_all_ranks};
use std::{sync::Arc, thread, time::Duration};

/// Each rank runs two groups on two threads; neither waits for the other.
pub fn groups_are_used_by_several_threads_at_once(make: Make) {
    const SIZE: usize = 3;
    on_all_ranks(make, SIZE, |whole| {
        let groups = [whole.split(&[0, 1, 2]).unwrap(), whole.split(&[2, 0, 1]).unwrap()];
        thread::scope(|scope| {
            for (seed, group) in groups.into_iter().enumerate() {
                scope.spawn(move || gather_many(seed as u64, &group));
            }
        });
    });
}

fn gather_many(seed: u64, group: &Arc<dyn Exchange>) {
    for turn in 0..60 {
        // The long ones fill any socket buffer.
        let len = if turn % 20 == 7 { 3 << 20 } else { turn * 10 };
        let seed = seed * 1000 + turn as u64;
        let mut out = vec![0; len * group.size()];
        group.all_gather(&bytes(seed, group.rank(), len), &mut out).unwrap();
        let expected: Vec<u8> = (0..group.size()).flat_map(|rank| bytes(seed, rank, len)).collect();
        assert!(out == expected, "gather {turn} of {len} bytes");
    }
}

/// Several gathers are under way at once, end in any order, some are given up, and other calls come between.
pub fn gathers_go_on_in_the_background(make: Make) {
    const SIZE: usize = 3;
    let lens = [0, 5, 2 << 20, 100, 40_000, 7];
    on_all_ranks(make, SIZE, |group| {
        let mut started: Vec<_> = lens
            .iter()
            .enumerate()
            .map(|(seed, &len)| Some(group.start_all_gather(bytes(seed as u64, group.rank(), len)).unwrap()))
            .collect();
        drop(started[3].take());
        group.barrier().unwrap();
        if group.rank() == 1 {
            thread::sleep(Duration::from_millis(20));
        }
        for (seed, (len, pending)) in lens.into_iter().zip(started).enumerate().rev() {
            let Some(pending) = pending else { continue };
            let expected: Vec<u8> = (0..SIZE).flat_map(|rank| bytes(seed as u64, rank, len)).collect();
            assert!(pending.wait().unwrap() == expected, "gather {seed}");
        }
    });
}

/// Messages wait for their receiver, in order, while it does something else.
pub fn a_sender_may_run_ahead(make: Make) {
    on_all_ranks(make, 3, |group| match group.rank() {
        0 => (0..100).for_each(|turn| group.send(1, &bytes(turn, 0, 2000)).unwrap()),
        1 => {
            group.recv(2, &mut [0]).unwrap();
            for turn in 0..100 {
                let mut message = vec![0; 2000];
                group.recv(0, &mut message).unwrap();
                assert_eq!(message, bytes(turn, 0, 2000));
            }
        }
        _ => {
            thread::sleep(Duration::from_millis(20));
            group.send(1, &[1]).unwrap();
        }
    });
}

/// Two ranks that both send before they receive do not wait for each other forever.
pub fn long_messages_may_cross(make: Make) {
    const LEN: usize = 24 << 20;
    on_all_ranks(make, 2, |group| {
        let other = 1 - group.rank();
        let mut message = vec![0; LEN];
        group.send(other, &vec![group.rank() as u8 + 1; LEN]).unwrap();
        group.recv(other, &mut message).unwrap();
        assert!(message.iter().all(|&byte| byte == other as u8 + 1));
    });
}

/// A list that makes no group is refused, and the group goes on.
pub fn splitting_wrongly_ends_nothing(make: Make) {
    on_all_ranks(make, 2, |group| {
        let wrong = |members: &[usize]| group.split(members).err().unwrap().to_string();
        let rank = group.rank();
        let by = format!("rank {rank} made a call that cannot be carried out: split: ");
        assert_eq!(wrong(&[0, 1, 2]), format!("{by}there is no rank 2 among 2"));
        assert_eq!(wrong(&[rank, rank]), format!("{by}rank {rank} is in the list twice"));
        assert_eq!(wrong(&[1 - rank]), format!("{by}rank {rank} is not among [{}]", 1 - rank));
        assert_eq!(group.failure(), None);
        group.barrier().unwrap();
    });
}
