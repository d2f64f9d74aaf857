//! The memory that passes work in: one set of buffers for each tile that is being worked on, used again for the next.
//!
//! Buffers stay allocated as long as the task runs, so no tile pays for fresh pages, and a thread comes back to the set it
//! used last, which is still in its cache.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// More than searches collect for a tensor.
const COLLECTED: usize = 8 << 20;

/// Lets the allocator keep the memory that searches collect in, from one tensor to the next. That of glibc gives pages back as soon as
/// 128 KiB at the end of a heap are free, and asks for them anew for the next tensor, a fifth of the time that `ties` spends in the
/// system; once a larger block has come and gone, it waits for twice that block. Nothing is written to this one, so it costs no page.
pub(crate) fn keep_freed_pages() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(COLLECTED)));
}

/// The buffers of one tile.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    inputs: Vec<Vec<u8>>,
    output: Vec<u8>,
}

/// The buffers of a task: never more sets in use than it has slots.
#[derive(Debug)]
pub struct Buffers(Vec<Mutex<Scratch>>);

impl Buffers {
    /// Buffers for `threads` threads whose tiles take `tile_bytes` at most; fewer sets where `memory` would not hold them.
    pub fn new(threads: usize, tile_bytes: u64, memory: u64) -> Self {
        let fit = usize::try_from(memory / tile_bytes.max(1)).unwrap_or(usize::MAX);
        let slots = fit.clamp(1, threads.max(1));
        Self((0..slots).map(|_| Mutex::default()).collect())
    }

    /// A set of buffers, waiting for one if all are in use. Who holds one must not wait for another thread.
    pub(crate) fn take(&self) -> MutexGuard<'_, Scratch> {
        let own = rayon::current_thread_index().unwrap_or(0) % self.0.len();
        let (before, after) = self.0.split_at(own);
        for slot in after.iter().chain(before) {
            match slot.try_lock() {
                Ok(scratch) => return scratch,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.0[own].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scratch {
    /// A buffer of so many bytes for an output. What it holds is left from before.
    pub(crate) fn output(&mut self, bytes: usize) -> &mut [u8] {
        grown(&mut self.output, bytes)
    }

    /// A buffer for each of `lengths`, and one of `output` bytes. What they hold is left from before.
    pub(crate) fn split(&mut self, lengths: impl ExactSizeIterator<Item = usize>, output: usize) -> (Vec<&mut [u8]>, &mut [u8]) {
        if self.inputs.len() < lengths.len() {
            self.inputs.resize_with(lengths.len(), Vec::new);
        }
        let inputs = self.inputs.iter_mut().zip(lengths).map(|(buffer, length)| grown(buffer, length)).collect();
        (inputs, grown(&mut self.output, output))
    }
}

fn grown(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        // A fresh zeroed allocation needs no copy of what the old one held.
        *buffer = vec![0; length];
    }
    &mut buffer[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn memory_bounds_the_sets_in_use() {
        for (threads, tile, memory, expected) in [(8, 100, 1000, 8), (8, 100, 350, 3), (8, 100, 5, 1), (2, 0, 0, 1), (0, 1, 9, 1)]
        {
            let buffers = Buffers::new(threads, tile, memory);
            let (live, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let _held = buffers.take();
                            most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::yield_now();
                            live.fetch_sub(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(buffers.0.len(), expected);
            assert!(most.load(Ordering::SeqCst) <= expected);
        }
    }

    #[test]
    fn buffers_have_the_length_asked_for_and_keep_their_memory() {
        let mut scratch = Scratch::default();
        let (inputs, output) = scratch.split([4usize, 2].into_iter(), 8);
        assert_eq!((inputs[0].len(), inputs[1].len(), output.len()), (4, 2, 8));
        let place = output.as_ptr();
        let (inputs, output) = scratch.split([1usize].into_iter(), 3);
        assert_eq!((inputs.len(), inputs[0].len(), output.len(), output.as_ptr()), (1, 1, 3, place));
    }
}
