//! One version of an object, read by position: from its beginning, which came when it was found; from blocks, where it is known what
//! will be read; otherwise as asked.

use super::{
    blocks::{Block, Blocks, Promise},
    connect::Shelf,
    fault::Fault,
    fetch::{self, Limits, Version},
};
use crate::{
    MergeError,
    checkpoint::{Object, Stamp},
};
use bytes::Bytes;
use object_store::path::Path;
use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{runtime::Handle, sync::Semaphore};

/// Blocks that are fetched ahead of each that is read.
const AHEAD: u64 = 2;

/// What all objects share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) runtime: Handle,
    pub(super) blocks: Blocks,
    /// The bytes of a block.
    pub(super) block: u64,
    pub(super) permits: Semaphore,
    pub(super) limits: Limits,
}

/// One version of one object.
pub(super) struct RemoteObject {
    /// A number that no other object of this process has.
    pub(super) number: u64,
    pub(super) url: String,
    pub(super) shelf: Arc<Shelf>,
    pub(super) path: Path,
    pub(super) version: Version,
    /// Its first bytes.
    pub(super) head: Bytes,
    /// What will be read, in pieces: where each range ends, by where it begins.
    pub(super) ranges: Mutex<BTreeMap<u64, u64>>,
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for RemoteObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteObject").field("url", &self.url).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Object for RemoteObject {
    fn stamp(&self) -> Stamp {
        let number = |tag: &String| {
            let hash = blake3::hash(tag.as_bytes());
            let mut first = [0; 8];
            first.copy_from_slice(&hash.as_bytes()[..8]);
            // 0 says that there is none
            u64::from_le_bytes(first).max(1)
        };
        let Version { bytes, tag, modified } = &self.version;
        Stamp { bytes: *bytes, modified: *modified, version: tag.as_ref().map_or(0, number) }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), MergeError> {
        let (wanted, bytes) = (buffer.len() as u64, self.version.bytes);
        if offset.checked_add(wanted).is_none_or(|end| end > bytes) {
            let got = bytes.saturating_sub(offset).min(wanted);
            return Err(MergeError::ShortRead { path: PathBuf::from(&self.url), offset, wanted, got });
        }
        let end = offset + wanted;
        if end <= self.head.len() as u64 {
            buffer.copy_from_slice(&self.head[offset as usize..end as usize]);
            return Ok(());
        }
        let read = match self.foretold(offset..end) {
            Some(range) => self.read_blocks(&range, buffer, offset),
            None => self.directly(buffer, offset),
        };
        read.map_err(|fault| fault.of("read", &self.url))
    }

    fn will_read(&self, range: Range<u64>) {
        if range.end > self.head.len() as u64 {
            let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
            let end = ranges.entry(range.start).or_default();
            *end = range.end.max(*end);
        }
    }
}

impl RemoteObject {
    /// The range that will be read, and that this is a part of.
    fn foretold(&self, part: Range<u64>) -> Option<Range<u64>> {
        let ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, end) = ranges.range(..=part.start).next_back()?;
        (part.end <= *end).then_some(*start..*end)
    }

    /// Copies from the blocks of `range`, which begin where it begins: no byte outside of it is fetched.
    fn read_blocks(&self, range: &Range<u64>, buffer: &mut [u8], offset: u64) -> Result<(), Fault> {
        let size = self.shared.block;
        let (mut at, mut done) = (offset, 0);
        while done < buffer.len() {
            let start = range.start + (at - range.start) / size * size;
            let end = (start + size).min(range.end);
            let part = (end - at).min((buffer.len() - done) as u64);
            let block = self.shared.blocks.get((self.number, start), end - start, part, |block| self.fetch(block, start..end));
            for next in (1..=AHEAD).map(|ahead| start + ahead * size).take_while(|next| *next < range.end) {
                let end = (next + size).min(range.end);
                self.shared.blocks.ahead((self.number, next), end - next, |block| self.fetch(block, next..end));
            }
            let bytes = block.wait()?;
            let from = (at - start) as usize;
            buffer[done..][..part as usize].copy_from_slice(&bytes[from..][..part as usize]);
            (at, done) = (at + part, done + part as usize);
        }
        Ok(())
    }

    /// Reads what nobody has foretold, in parts that are fetched together.
    fn directly(&self, buffer: &mut [u8], offset: u64) -> Result<(), Fault> {
        let size = self.shared.block;
        let starts = (0..buffer.len() as u64).step_by(size as usize);
        let part = |start: u64| {
            let block = Arc::new(Block::default());
            self.fetch(Arc::clone(&block), offset + start..offset + (start + size).min(buffer.len() as u64));
            block
        };
        let parts: Vec<Arc<Block>> = starts.map(part).collect();
        for (part, to) in parts.iter().zip(buffer.chunks_mut(size as usize)) {
            to.copy_from_slice(&part.wait()?);
        }
        Ok(())
    }

    fn fetch(&self, block: Arc<Block>, range: Range<u64>) {
        let (shelf, path, version) = (Arc::clone(&self.shelf), self.path.clone(), self.version.clone());
        let shared = Arc::clone(&self.shared);
        let promise = Promise(block);
        self.shared.runtime.spawn(async move {
            let _permit = shared.permits.acquire().await;
            promise.keep(fetch::range(&shelf, &path, &version, range, &shared.limits).await);
        });
    }
}
