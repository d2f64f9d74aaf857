//! Checkpoints in object stores, behind web servers and on the Hugging Face hub; and results in object stores.
//!
//! ```text
//! a tile's read ─▶ Object (one version of one URL) ─▶ Blocks (read ahead, bounded memory) ─▶ fetch (retries, deadline)
//!                                                                                              │
//!                     Shelf (bucket, server or repository at a commit) ◀─ connect, hub ────────┘ object_store
//! ```
//!
//! Nothing of an input is copied to the disk. What is read of it is always the version that was found first. The objects of a result
//! are asked about as they are now (`result`), and the large ones sent in parts (`upload`). Behind the feature `cloud`; without it a
//! URL is an error that says so. Not here: which objects a result has.

#[cfg(feature = "cloud")]
mod blocks;
#[cfg(feature = "cloud")]
#[cfg(test)]
mod bucket;
#[cfg(feature = "cloud")]
mod connect;
#[cfg(feature = "cloud")]
mod fault;
#[cfg(feature = "cloud")]
mod fetch;
#[cfg(feature = "cloud")]
mod hub;
#[cfg(feature = "cloud")]
mod object;
#[cfg(feature = "cloud")]
mod result;
#[cfg(feature = "cloud")]
#[cfg(test)]
mod server;
#[cfg(feature = "cloud")]
mod store;
#[cfg(feature = "cloud")]
#[cfg(test)]
mod tests;
#[cfg(feature = "cloud")]
mod upload;

use crate::checkpoint::Sources;

/// What reading over the network may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Threads that read at a time.
    pub(crate) threads: usize,
}

impl Room {
    /// Enough for headers.
    pub(crate) const LEAST: Self = Self { memory: 1 << 24, threads: 1 };
}

/// All places that checkpoints can be read from in this build.
#[cfg(feature = "cloud")]
pub(crate) fn sources(room: Room) -> Sources {
    Sources::with(std::sync::Arc::new(store::Cloud::new(room, fetch::Limits::default(), connect::environment())))
}

/// All places that checkpoints can be read from in this build.
#[cfg(not(feature = "cloud"))]
pub(crate) fn sources(room: Room) -> Sources {
    let _ = room;
    Sources::mounted()
}
