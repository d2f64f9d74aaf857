//! How fast memory is copied when all threads do it at once.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

/// How long each thread copies.
const FOR: Duration = Duration::from_millis(40);
/// Bytes of all buffers together: more than caches hold, unless it is more than a sixteenth of what tasks may hold.
const BUFFERS: u64 = 256 << 20;
/// The least of a buffer.
const SMALLEST: u64 = 64 << 10;
/// More threads than this do not make it faster.
const MOST_THREADS: usize = 32;

/// Bytes read and written per second. `memory` is what tasks may hold.
pub(super) fn copying(threads: NonZeroUsize, memory: u64) -> u64 {
    let threads = threads.get().min(MOST_THREADS);
    let each = (BUFFERS.min(memory / 16) / (2 * threads as u64)).max(SMALLEST);
    let each = usize::try_from(each).unwrap_or(usize::MAX);
    let rates: f64 = thread::scope(|scope| {
        let copiers: Vec<_> = (0..threads).map(|_| scope.spawn(move || copier(each))).collect();
        copiers.into_iter().filter_map(|copier| copier.join().ok()).sum()
    });
    rates as u64
}

fn copier(bytes: usize) -> f64 {
    // Ones: pages of zeros may all be one page.
    let (from, mut to) = (vec![1u8; bytes], vec![2u8; bytes]);
    let start = Instant::now();
    let mut copied = 0.0;
    while start.elapsed() < FOR {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        copied += 2.0 * bytes as f64;
    }
    copied / start.elapsed().as_secs_f64()
}
