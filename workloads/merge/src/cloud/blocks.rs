//! Blocks of objects in memory: those that are being read, and a few ahead of them.
//!
//! Several threads read several tensors, each mostly forwards, in tiles that are much smaller than what a store likes to be asked for. A
//! block is fetched once, whoever waits for it, and may be dropped when all of it has been read. Reading ahead takes
//! only room that is free or has been read; a block that somebody waits for is fetched in any case.

use super::fault::Fault;
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Which block: the number of its object, and its first byte.
pub(super) type Key = (u64, u64);

/// The blocks of all objects.
#[derive(Debug)]
pub(super) struct Blocks {
    /// How many there may be.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    clock: u64,
    blocks: HashMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    block: Arc<Block>,
    /// When it was last read.
    used: u64,
    /// Bytes of it that nobody has read yet, if every byte is read once.
    left: u64,
}

/// A block that is there, or on its way.
#[derive(Debug, Default)]
pub(super) struct Block {
    answer: Mutex<Option<Result<Bytes, Fault>>>,
    here: Condvar,
}

impl Block {
    /// Says what became of it; the first word counts.
    fn set(&self, answer: Result<Bytes, Fault>) {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(answer);
        self.here.notify_all();
    }

    /// Waits for it. Whoever fetches it has a deadline.
    pub(super) fn wait(&self) -> Result<Bytes, Fault> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*answer {
                Some(answer) => return answer.clone(),
                None => answer = self.here.wait(answer).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn is_here(&self) -> bool {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn has_failed(&self) -> bool {
        matches!(*self.answer.lock().unwrap_or_else(PoisonError::into_inner), Some(Err(_)))
    }
}

/// That somebody will say what became of a block. Whoever waits is told of a promise that was dropped.
#[derive(Debug)]
pub(super) struct Promise(pub(super) Arc<Block>);

impl Promise {
    /// Says it.
    pub(super) fn keep(self, answer: Result<Bytes, Fault>) {
        self.0.set(answer);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.set(Err(Fault::Failed("it was given up".into())));
    }
}

impl Blocks {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), state: Mutex::default() }
    }

    /// The block of this key, `bytes` long, of which `read` bytes are about to be read. A fresh one is handed to `fetch`.
    pub(super) fn get(&self, key: Key, bytes: u64, read: u64, fetch: impl FnOnce(Arc<Block>)) -> Arc<Block> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        // What failed before is tried anew by the next who asks.
        state.blocks.retain(|other, entry| *other != key || !entry.block.has_failed());
        if let Some(entry) = state.blocks.get_mut(&key) {
            (entry.used, entry.left) = (now, entry.left.saturating_sub(read));
            return Arc::clone(&entry.block);
        }
        if state.blocks.len() >= self.most {
            let oldest = state.worst(|entry| entry.left == 0).or_else(|| state.worst(|_| true));
            oldest.map(|key| state.blocks.remove(&key));
        }
        let block = Arc::new(Block::default());
        state.blocks.insert(key, Entry { block: Arc::clone(&block), used: now, left: bytes.saturating_sub(read) });
        drop(state);
        fetch(Arc::clone(&block));
        block
    }

    /// Begins to fetch a block that will be asked for, if there is room.
    pub(super) fn ahead(&self, key: Key, bytes: u64, fetch: impl FnOnce(Arc<Block>)) {
        let mut state = self.lock();
        if state.blocks.contains_key(&key) {
            return;
        }
        if state.blocks.len() >= self.most {
            let Some(read) = state.worst(|entry| entry.left == 0) else { return };
            state.blocks.remove(&read);
        }
        let (block, used) = (Arc::new(Block::default()), state.clock);
        state.blocks.insert(key, Entry { block: Arc::clone(&block), used, left: bytes });
        drop(state);
        fetch(block);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Of those that are here and that `may` go, the one that was read longest ago.
    fn worst(&self, may: impl Fn(&Entry) -> bool) -> Option<Key> {
        let gone = self.blocks.iter().filter(|(_, entry)| entry.block.is_here() && may(entry));
        gone.min_by_key(|(key, entry)| (entry.used, **key)).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn bytes(of: u64) -> Result<Bytes, Fault> {
        Ok(Bytes::from(vec![of as u8; 4]))
    }

    #[test]
    fn a_block_is_fetched_once_and_dropped_when_it_was_read() {
        let (blocks, fetched) = (Blocks::new(2), Cell::new(0));
        let get = |start: u64, read: u64| {
            let block = blocks.get((0, start), 4, read, |block| {
                fetched.set(fetched.get() + 1);
                block.set(bytes(start));
            });
            block.wait().unwrap()[0]
        };
        assert_eq!([get(0, 2), get(0, 2), get(4, 1)], [0, 0, 4]);
        assert_eq!(fetched.get(), 2);
        // 0 has been read whole, so that it makes room
        get(8, 1);
        assert_eq!((get(4, 1), fetched.get()), (4, 3));
        // none has: the one that was used longest ago goes
        get(12, 1);
        assert_eq!((get(4, 1), fetched.get()), (4, 4));
        assert_eq!((get(8, 1), fetched.get()), (8, 5));
    }

    #[test]
    fn reading_ahead_takes_only_room_that_nobody_needs() {
        let (blocks, fetched) = (Blocks::new(2), Cell::new(0));
        let fetch = |start: u64| {
            let fetched = &fetched;
            move |block: Arc<Block>| {
                fetched.set(fetched.get() + 1);
                block.set(bytes(start));
            }
        };
        blocks.get((0, 0), 4, 1, fetch(0));
        blocks.ahead((0, 4), 4, fetch(4));
        blocks.ahead((0, 4), 4, fetch(4));
        assert_eq!(fetched.get(), 2);
        blocks.ahead((0, 8), 4, fetch(8));
        assert_eq!(fetched.get(), 2, "no room");
        blocks.get((0, 0), 4, 3, fetch(0));
        blocks.ahead((0, 8), 4, fetch(8));
        assert_eq!(fetched.get(), 3, "0 was read");
        blocks.get((0, 4), 4, 4, fetch(4));
        assert_eq!(fetched.get(), 3, "4 was fetched ahead");
    }

    #[test]
    fn what_failed_is_tried_anew() {
        let blocks = Blocks::new(2);
        let failed = blocks.get((0, 0), 4, 1, |block| block.set(Err(Fault::Failed("no".into()))));
        assert!(failed.wait().is_err());
        assert!(blocks.get((0, 0), 4, 1, |block| block.set(bytes(0))).wait().is_ok());
    }

    #[test]
    fn who_waits_is_told_of_a_promise_that_is_not_kept() {
        let block = Blocks::new(2).get((0, 0), 4, 1, |block| drop(Promise(block)));
        assert_eq!(block.wait(), Err(Fault::Failed("it was given up".into())));
    }

    #[test]
    fn many_wait_for_one() {
        let (blocks, asked) = (Blocks::new(4), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| blocks.get((0, 0), 32, 4, |block| asked.lock().unwrap().push(block)).wait()))
                .collect();
            let block = loop {
                if let Some(block) = asked.lock().unwrap().pop() {
                    break block;
                }
                std::thread::yield_now();
            };
            block.set(bytes(7));
            all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap()[0], 7));
        });
        assert!(asked.lock().unwrap().is_empty());
    }
}
