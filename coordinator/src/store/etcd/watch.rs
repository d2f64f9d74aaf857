//! Following a prefix in etcd.
//!
//! ```text
//!   Unlisted ──list──▶ Listed(R) ──watch from R+1──▶ Following(R)
//!      ▲ Resync           ▲                            │   │
//!      │                  └──── connection lost ───────┘   │
//!      └──────────────── history compacted, or refused ────┘
//! ```
//! A lost connection costs nothing but time: the watch goes on after the last revision that was delivered whole. A server
//! never splits the events of one revision over two messages unless asked to.

use super::{
    Etcd, MAX_ANSWER,
    cluster::{Access, Member},
    outcome::Trouble,
};
use crate::store::{Changes, Follow, Op, Revision, Store, StoreError, Value, WatchEvent, backoff::Backoff};
use etcd_client::{Event, WatchOptions, WatchStream};
use std::collections::VecDeque;

/// One watch. See the diagram above.
pub(super) struct Feed {
    etcd: Etcd,
    prefix: String,
    /// `watch "job/"`, for errors and the log.
    name: String,
    state: State,
    /// Delivered by the server, not yet by this.
    ready: VecDeque<Changes>,
    backoff: Backoff,
}

enum State {
    Unlisted,
    Listed(Revision),
    Following(Box<WatchStream>, Revision),
}

/// What came of waiting on a stream.
enum Heard {
    Changes(Vec<Changes>),
    Lost(StoreError),
    Ended,
}

impl Feed {
    pub(super) fn new(etcd: Etcd, prefix: &str) -> Self {
        Self {
            etcd,
            prefix: prefix.to_owned(),
            name: format!("watch {prefix:?}"),
            state: State::Unlisted,
            ready: VecDeque::new(),
            backoff: Backoff::default(),
        }
    }

    async fn follow(&self, seen: Revision) -> Result<WatchStream, StoreError> {
        let (from, end) = self.etcd.range(&self.prefix);
        let start = i64::try_from(seen.0.saturating_add(1)).unwrap_or(i64::MAX);
        let options = WatchOptions::new().with_range(end).with_start_revision(start);
        let send = |member: &Member| {
            let (mut watch, from, options) = (member.watch.clone(), from.clone(), options.clone());
            async move { watch.watch(from, Some(options)).await }
        };
        self.etcd
            .0
            .cluster
            .call(Access::Read, send)
            .await
            .map_err(|trouble| self.etcd.0.cluster.not_read(self.name.clone(), trouble))
    }

    async fn hear(etcd: &Etcd, name: &str, stream: &mut WatchStream) -> Result<Heard, StoreError> {
        let lost = |source| StoreError::Unavailable { operation: name.to_owned(), place: etcd.0.cluster.place.clone(), source };
        match stream.message().await {
            // Compacted, or refused for a reason that listing will name.
            Ok(Some(message)) if message.canceled() => Ok(Heard::Ended),
            Ok(Some(message)) => etcd.changes(message.events()).map(Heard::Changes),
            Ok(None) => Ok(Heard::Lost(lost("the server ended the stream".into()))),
            Err(error) => Ok(match super::outcome::judge(error) {
                // More than MAX_ANSWER bytes to catch up with: a snapshot comes in pages, and is smaller.
                Trouble::Refused(_) | Trouble::Compacted(_) => Heard::Ended,
                Trouble::NotSent(source) | Trouble::NoAnswer(source) | Trouble::Busy(source) => Heard::Lost(lost(source)),
            }),
        }
    }

    async fn pause(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !error.is_retryable() {
            return Err(error);
        }
        let wait = self.backoff.failed(&self.name, &error);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

impl Follow for Feed {
    async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        const { assert!(MAX_ANSWER > 2 * crate::store::MAX_TRANSACTION, "one transaction must fit into a message") };
        loop {
            if let Some(changes) = self.ready.pop_front() {
                return Ok(WatchEvent::Changed(changes));
            }
            match &mut self.state {
                State::Unlisted => match self.etcd.list(&self.prefix).await {
                    Ok(snapshot) => {
                        self.state = State::Listed(snapshot.revision);
                        return Ok(WatchEvent::Resync(snapshot));
                    }
                    Err(error) => self.pause(error).await?,
                },
                State::Listed(seen) => {
                    let seen = *seen;
                    match self.follow(seen).await {
                        Ok(stream) => self.state = State::Following(Box::new(stream), seen),
                        Err(error) => self.pause(error).await?,
                    }
                }
                State::Following(stream, seen) => match Self::hear(&self.etcd, &self.name, stream).await? {
                    Heard::Changes(changes) => {
                        if let Some(last) = changes.last() {
                            *seen = last.revision;
                        }
                        self.ready.extend(changes);
                        self.backoff.worked(&self.name);
                    }
                    Heard::Ended => self.state = State::Unlisted,
                    Heard::Lost(error) => {
                        self.state = State::Listed(*seen);
                        self.pause(error).await?;
                    }
                },
            }
        }
    }
}

impl Etcd {
    /// Groups events by the transaction that made them.
    fn changes(&self, events: &[Event]) -> Result<Vec<Changes>, StoreError> {
        let mut changes: Vec<Changes> = Vec::new();
        for event in events {
            let found = event.kv().ok_or_else(|| self.nonsense("an event without a record"))?;
            let revision = u64::try_from(found.mod_revision()).map_err(|_| self.nonsense("an event without a revision"))?;
            let key = self.key(found)?;
            // A record that exists has a version from 1; asking for the type of the event may panic on a new one.
            let op = match found.version() {
                0 => Op::Delete(key),
                _ => Op::Put(key, Value::from(found.value())),
            };
            match changes.last_mut() {
                Some(last) if last.revision == Revision(revision) => last.ops.push(op),
                _ => changes.push(Changes { revision: Revision(revision), ops: vec![op] }),
            }
        }
        Ok(changes)
    }
}
