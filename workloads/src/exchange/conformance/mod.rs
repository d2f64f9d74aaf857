//! What every back-end of the exchange must do, as tests that any of them can run:
//! `braid_workload::exchange_conformance!(make)` with `make: fn(usize) -> Vec<Arc<dyn Exchange>>`.
//!
//! Ranks are threads. Every test fails rather than hangs, as every call has a deadline.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests, compiled into the library for other crates")]

mod faults;
mod groups;
mod script;

pub use faults::{
    a_call_of_another_length_or_kind_fails_on_all_ranks, a_call_that_cannot_be_made_fails_on_all_ranks,
    a_member_that_does_not_come_is_named_at_the_deadline, a_member_that_leaves_ends_every_call_of_the_others,
    a_panic_ends_the_calls_of_the_others, an_abort_reaches_calls_that_block, an_epoch_that_ended_stays_ended,
};
pub use groups::{
    a_sender_may_run_ahead, gathers_go_on_in_the_background, groups_are_used_by_several_threads_at_once, long_messages_may_cross,
    splitting_wrongly_ends_nothing,
};
pub use script::{any_program_equals_its_model, sums_have_the_same_bits_on_all_ranks};

use super::Exchange;
use std::{sync::Arc, thread, time::Duration};

/// Makes a whole group, in rank order.
pub type Make = fn(usize) -> Vec<Arc<dyn Exchange>>;

/// Makes a test of every function of this module.
#[macro_export]
macro_rules! exchange_conformance {
    ($make:expr; $($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            $crate::exchange::conformance::$name($make);
        })+
    };
    ($make:expr) => {
        $crate::exchange_conformance!($make;
            a_call_of_another_length_or_kind_fails_on_all_ranks,
            a_call_that_cannot_be_made_fails_on_all_ranks,
            a_member_that_does_not_come_is_named_at_the_deadline,
            a_member_that_leaves_ends_every_call_of_the_others,
            a_panic_ends_the_calls_of_the_others,
            a_sender_may_run_ahead,
            an_abort_reaches_calls_that_block,
            an_epoch_that_ended_stays_ended,
            any_program_equals_its_model,
            gathers_go_on_in_the_background,
            groups_are_used_by_several_threads_at_once,
            long_messages_may_cross,
            splitting_wrongly_ends_nothing,
            sums_have_the_same_bits_on_all_ranks,
        );
    };
}

/// Long enough that no test waits for it, short enough that a hang ends.
const NEVER: Duration = Duration::from_secs(30);

/// Runs `program` on every rank of a new group; results in rank order. A rank that has ended leaves the group.
fn on_all_ranks<R: Send>(make: Make, size: usize, program: impl Fn(Arc<dyn Exchange>) -> R + Sync) -> Vec<R> {
    let group = make(size);
    assert!(group.iter().enumerate().all(|(rank, member)| (member.rank(), member.size()) == (rank, size)));
    let program = &program;
    thread::scope(|scope| {
        let threads: Vec<_> = group
            .into_iter()
            .map(|member| {
                member.set_timeout(NEVER);
                scope.spawn(move || program(member))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Bytes that depend on everything that distinguishes them.
fn bytes(seed: u64, rank: usize, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (rank as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
