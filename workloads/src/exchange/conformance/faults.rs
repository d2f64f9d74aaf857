//! A member that leaves, panics, stays away, disagrees or gives up: an error on every other one, at once or at the deadline.

use super::{
    super::{Direction, Exchange, ExchangeError, Operation, ScanMethod, exclusive_scan_by},
    Make, on_all_ranks,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
    time::{Duration, Instant},
};

/// What is well before a deadline of [`super::NEVER`].
const SOON: Duration = Duration::from_secs(10);

type Attempt = (&'static str, fn(&dyn Exchange) -> Result<(), ExchangeError>);

/// Every call, at a length that takes one round and at one that takes two; rank 2 is the one that others need.
const ATTEMPTS: [Attempt; 11] = [
    ("all_gather", |group| group.all_gather(&[1; 100], &mut vec![0; 100 * group.size()])),
    ("long all_gather", |group| group.all_gather(&vec![1; 1 << 20], &mut vec![0; group.size() << 20])),
    ("started all_gather", |group| group.start_all_gather(vec![1; 100])?.wait().map(drop)),
    ("all_reduce", |group| group.all_reduce_f32(&mut [1.0; 10])),
    ("long all_reduce", |group| group.all_reduce_f32(&mut vec![1.0; 1 << 18])),
    ("reduce_scatter", |group| group.reduce_scatter_f32(&[1.0; 400], &mut [0.0; 100])),
    ("broadcast", |group| group.broadcast(2, &mut [1; 100])),
    ("long broadcast", |group| group.broadcast(2, &mut vec![1; 1 << 20])),
    ("barrier", |group| group.barrier()),
    ("recv", |group| group.recv(2, &mut [0; 10])),
    ("scan", |group| scan(group)),
];

fn scan(group: &dyn Exchange) -> Result<(), ExchangeError> {
    // Forward and backward, so that everyone needs rank 2.
    for direction in [Direction::Forward, Direction::Backward] {
        exclusive_scan_by(group, ScanMethod::LogStep, &[1.0f32; 8], direction, |left, right| {
            left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
        })?;
    }
    group.barrier()
}

/// A member ends its program while the others are in a call.
pub fn a_member_that_leaves_ends_every_call_of_the_others(make: Make) {
    for (name, attempt) in ATTEMPTS {
        let began = Instant::now();
        let results = on_all_ranks(make, 4, |group| {
            if group.rank() == 2 {
                thread::sleep(Duration::from_millis(5));
                return None;
            }
            Some(attempt(&*group))
        });
        for (rank, result) in results.into_iter().enumerate().filter(|(rank, _)| *rank != 2) {
            assert!(matches!(result, Some(Err(ExchangeError::Lost { rank: 2, .. }))), "{name}: rank {rank} got {result:?}");
        }
        assert!(began.elapsed() < SOON, "{name} waited for a deadline");
    }
}

/// A panic is seen at once, even by those who wait for somebody else.
pub fn a_panic_ends_the_calls_of_the_others(make: Make) {
    let began = Instant::now();
    let results = on_all_ranks(make, 4, |group| match group.rank() {
        2 => {
            let panics = AssertUnwindSafe(|| {
                let _group = group;
                // Without the message that a panic prints.
                resume_unwind(Box::new("on purpose"));
            });
            assert!(catch_unwind(panics).is_err());
            None
        }
        // The others wait for each other in a ring.
        rank => Some(group.recv([1, 3, 2, 0][rank], &mut [0])),
    });
    for result in results.into_iter().flatten() {
        assert!(matches!(result, Err(ExchangeError::Lost { rank: 2, .. })), "{result:?}");
    }
    assert!(began.elapsed() < SOON);
}

/// A member that is there and does not come: the call ends at the deadline and says who is missing.
pub fn a_member_that_does_not_come_is_named_at_the_deadline(make: Make) {
    let limit = Duration::from_millis(100);
    for (name, attempt) in ATTEMPTS {
        let results = on_all_ranks(make, 4, |group| {
            if group.rank() == 2 {
                let began = Instant::now();
                while group.failure().is_none() {
                    assert!(began.elapsed() < SOON, "{name}: a rank that computes hears of the end");
                    thread::sleep(limit / 20);
                }
                return None;
            }
            group.set_timeout(limit);
            let began = Instant::now();
            let result = attempt(&*group);
            Some((result, began.elapsed()))
        });
        for (result, took) in results.into_iter().flatten() {
            let Err(ExchangeError::Deadline { missing, limit: said, .. }) = &result else { panic!("{name}: {result:?}") };
            // On a busy machine others may be late, too.
            assert!(missing.contains(&2) && *said == limit, "{name}: {result:?}");
            // A scan is several transfers.
            assert!(took < limit * 4 + Duration::from_secs(1), "{name} took {took:?}");
        }
    }
}

/// One rank brings other bytes, or makes another call.
pub fn a_call_of_another_length_or_kind_fails_on_all_ranks(make: Make) {
    let gather = |group: &dyn Exchange, len: usize| group.all_gather(&vec![1; len], &mut vec![0; len * group.size()]);
    type Odd = fn(&dyn Exchange) -> Result<(), ExchangeError>;
    let cases: [(&str, Odd, Odd); 6] = [
        ("all_reduce", |group| group.all_reduce_f32(&mut [1.0; 8]), |group| group.all_reduce_f32(&mut [1.0; 9])),
        // Short ones and long ones go different ways.
        ("long all_reduce", |group| group.all_reduce_f32(&mut [1.0; 8]), |group| group.all_reduce_f32(&mut vec![1.0; 1 << 18])),
        // Shares of ranks 1 to 3 are equally long.
        (
            "reduce_scatter",
            |group| group.reduce_scatter_f32(&[1.0; 4], &mut [0.0]),
            |group| group.reduce_scatter_f32(&[1.0; 5], &mut [0.0]),
        ),
        ("broadcast", |group| group.broadcast(0, &mut [1; 8]), |group| group.broadcast(0, &mut [1; 9])),
        ("element", |group| group.all_reduce_f32(&mut [1.0; 8]), |group| group.all_reduce_f64(&mut [1.0; 4])),
        ("kind", |group| group.barrier(), |group| group.all_reduce_f64(&mut [1.0; 4])),
    ];
    let check = |name: &str, results: Vec<Result<(), ExchangeError>>| {
        for result in results {
            let between = match result {
                Err(ExchangeError::Mismatch { rank, other_rank, .. } | ExchangeError::Diverged { rank, other_rank, .. }) => {
                    [rank, other_rank]
                }
                other => panic!("{name}: {other:?}"),
            };
            assert!(between.contains(&3), "{name}: the odd one is rank 3, not {between:?}");
        }
    };
    check("all_gather", on_all_ranks(make, 4, |group| gather(&*group, if group.rank() == 3 { 9 } else { 8 })));
    for (name, common, odd) in cases {
        // A root that only sends hears of it in its next call.
        let twice = |group: &dyn Exchange| if group.rank() == 3 { odd(group) } else { common(group) };
        check(name, on_all_ranks(make, 4, |group| twice(&*group).and_then(|()| group.barrier())));
    }
}

/// A call that is wrong by itself ends the epoch too: the others wait for it.
pub fn a_call_that_cannot_be_made_fails_on_all_ranks(make: Make) {
    let results = on_all_ranks(make, 3, |group| match group.rank() {
        1 => group.all_gather(&[1; 8], &mut [0; 25]),
        _ => group.all_gather(&[1; 8], &mut [0; 24]),
    });
    for result in results {
        let detail = "a result of 25 bytes where the lengths add up to 24".to_owned();
        assert_eq!(result, Err(ExchangeError::Misuse { rank: 1, operation: Operation::AllGather, detail }));
    }
}

/// Another thread of a rank that is in a call gives up.
pub fn an_abort_reaches_calls_that_block(make: Make) {
    let began = Instant::now();
    let results = on_all_ranks(make, 4, |group| {
        if group.rank() != 0 {
            return group.recv(0, &mut [0]);
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                group.abort("the job was cancelled");
            });
            group.recv(1, &mut [0])
        })
    });
    for result in results {
        assert_eq!(result, Err(ExchangeError::Aborted { rank: 0, reason: "the job was cancelled".to_owned() }));
    }
    assert!(began.elapsed() < SOON);
}

/// After an error every call returns it, on the group and on its parts, before and after they are split off.
pub fn an_epoch_that_ended_stays_ended(make: Make) {
    on_all_ranks(make, 3, |group| {
        let part = group.split(&[0, 1, 2]).unwrap();
        if group.rank() == 0 {
            group.abort("enough");
        }
        let error = ExchangeError::Aborted { rank: 0, reason: "enough".to_owned() };
        assert_eq!(group.barrier(), Err(error.clone()));
        assert_eq!(group.failure(), Some(error.clone()));
        for group in [&group, &part, &part.split(&[2, 1, 0]).unwrap()] {
            assert_eq!(group.all_reduce_f32(&mut [1.0]), Err(error.clone()));
            assert_eq!(group.start_all_gather(vec![1]).err(), Some(error.clone()));
        }
    });
}
