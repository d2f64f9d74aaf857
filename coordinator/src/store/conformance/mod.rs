//! The promises of a store, as one suite that every back-end passes.
//!
//! A case is an async function over a [`Fixture`]; the macros below make one test of it for each back-end. What only one
//! back-end can suffer (a stopped server, a broken file) is tested beside it.

mod commits;
mod durability;
#[cfg(feature = "etcd")]
mod etcd_faults;
#[cfg(feature = "etcd")]
mod etcd_process;
mod faulty;
mod fixture;
mod lists;
mod model;
mod speed;
mod watches;
mod writers;

use fixture::Fixture;

macro_rules! tests_on {
    ($backend:ty, $($area:ident :: { $($case:ident),+ $(,)? }),+ $(,)?) => {$($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            super::$area::$case(&mut <$backend as super::Fixture>::start().await).await;
        }
    )+)+};
}

macro_rules! every_store {
    ($($cases:tt)+) => {
        mod memory {
            tests_on!(super::fixture::InMemory, $($cases)+);
        }
        mod embedded {
            tests_on!(super::fixture::InFile, $($cases)+ durability::{ crash_keeps_what_was_committed, writer_goes_on_after_a_crash });
        }
        #[cfg(feature = "etcd")]
        mod etcd {
            tests_on!(super::etcd_process::InEtcd, $($cases)+ durability::{ crash_keeps_what_was_committed, writer_goes_on_after_a_crash });
        }
    };
}

every_store! {
    commits::{
        guards_decide, a_failed_guard_changes_nothing, revisions_count_changes, increments_are_not_lost,
        readers_see_whole_transactions, the_limits_themselves_fit, any_text_and_any_bytes_come_back,
    },
    lists::{ keys_come_in_byte_order_under_a_byte_prefix, a_listing_larger_than_one_answer_is_whole },
    watches::{
        a_snapshot_comes_first_then_each_transaction, nothing_is_missed_while_others_write,
        a_call_that_is_dropped_loses_nothing, slow_readers_end_with_the_same_records,
    },
    writers::{
        acknowledgements_come_in_order_and_after_the_records, large_batches_are_written_in_order, a_newer_claim_fences_the_older,
        lost_answers_are_settled, what_was_submitted_is_written_before_the_end,
    },
    model::{ behaves_like_a_map },
    speed::{ many_small_writes },
}
