//! The tensors of a task, spread over the threads of the worker.
//!
//! There are as many lanes as threads, and each takes the next tensor in order until none is left. A lane whose tensor is
//! small computes it alone, without any synchronisation. A lane that waits for the tiles of a large tensor helps other
//! lanes meanwhile; as there are no more lanes than threads, such help nests only so deep.

use super::failure::FirstFailure;
use crate::MergeError;
use rayon::ThreadPool;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `work` on every item, on the threads of `pool`.
///
/// # Errors
/// The failure of the lowest index; items of a higher index may then not have been run.
pub fn each<T: Sync>(
    pool: &ThreadPool,
    items: &[T],
    work: impl Fn(usize, &T) -> Result<(), MergeError> + Sync,
) -> Result<(), MergeError> {
    let (next, failure) = (AtomicUsize::new(0), FirstFailure::new());
    let lane = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            if failure.guard(index, || work(index, item)).is_none() {
                return;
            }
        }
    };
    let lanes = pool.current_num_threads().min(items.len());
    pool.scope(|scope| (0..lanes).for_each(|_| scope.spawn(|_| lane())));
    failure.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn pool(threads: usize) -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    }

    #[test]
    fn every_item_is_run_once_with_parallel_work_inside() {
        for threads in [1, 2, 5] {
            let counts: Vec<AtomicUsize> = (0..500).map(|_| AtomicUsize::new(0)).collect();
            each(&pool(threads), &counts, |index, count| {
                (0..index % 7).into_par_iter().for_each(|_| std::thread::yield_now());
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .expect("no item fails");
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn the_failure_told_is_that_of_the_lowest_index() {
        let items: Vec<u32> = (0..200).collect();
        for _ in 0..20 {
            let error =
                each(&pool(4), &items, |_, &item| if item % 50 == 49 { Err(MergeError::Task(item.to_string())) } else { Ok(()) });
            assert_eq!(error.expect_err("49 fails").to_string(), "merge task: 49");
        }
    }
}
