//! A snapshot, then every change.

use super::fixture::{Fixture, commit, put, soon, texts};
use crate::store::{Changes, MAX_RECORD, Op, Revision, Snapshot, Store, Watch, WatchEvent, hub::HISTORY};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

async fn snapshot(watch: &mut Watch) -> Snapshot {
    match soon(watch.next()).await.unwrap() {
        WatchEvent::Resync(snapshot) => snapshot,
        other => panic!("no snapshot: {other:?}"),
    }
}

async fn changes(watch: &mut Watch) -> Changes {
    match soon(watch.next()).await.unwrap() {
        WatchEvent::Changed(changes) => changes,
        other => panic!("no change: {other:?}"),
    }
}

/// What a reader of a watch knows.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) records: BTreeMap<String, String>,
    pub(super) revision: Revision,
    pub(super) resyncs: usize,
}

impl Mirror {
    pub(super) async fn follow(&mut self, watch: &mut Watch) {
        match soon(watch.next()).await.unwrap() {
            WatchEvent::Resync(snapshot) => {
                assert!(snapshot.revision >= self.revision);
                self.revision = snapshot.revision;
                self.resyncs += 1;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                self.records = snapshot.records.iter().map(|(key, found)| (key.to_string(), text(&found.value))).collect();
            }
            WatchEvent::Changed(changes) => {
                assert!(changes.revision > self.revision, "out of order: {changes:?} after {}", self.revision);
                assert!(!changes.ops.is_empty());
                self.revision = changes.revision;
                for op in changes.ops {
                    match op {
                        Op::Put(key, value) => {
                            self.records.insert(key.to_string(), String::from_utf8_lossy(&value).into_owned());
                        }
                        Op::Delete(key) => assert!(self.records.remove(key.as_str()).is_some(), "{key} was not there"),
                    }
                }
            }
        }
    }

    /// Follows until the mirror shows `key=value`, then compares it with the store.
    pub(super) async fn follow_to(&mut self, watch: &mut Watch, store: &dyn Store, key: &str, value: &str) {
        while self.records.get(key).map(String::as_str) != Some(value) {
            self.follow(watch).await;
        }
        assert_eq!(self.records.clone().into_iter().collect::<Vec<_>>(), texts(store, "").await);
    }
}

pub(super) async fn a_snapshot_comes_first_then_each_transaction(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    put(store, "a/1", "old").await;
    let before = put(store, "b", "elsewhere").await;
    let mut watch = store.watch("a/");
    let first = snapshot(&mut watch).await;
    assert_eq!(first.revision, before);
    assert_eq!(first, store.list("a/").await.unwrap());

    let ops = vec![Op::put("a/1", *b"new"), Op::put("b", *b"x"), Op::put("a/2", *b""), Op::delete("a/9")];
    let one = commit(store, vec![], ops).await.unwrap();
    put(store, "b", "unseen").await;
    put(store, "a", "unseen").await;
    let two = commit(store, vec![], vec![Op::delete("a/1"), Op::put("b", *b"x")]).await.unwrap();
    let three = put(store, "a/2", "").await;
    let expected = vec![Op::put("a/1", *b"new"), Op::put("a/2", *b"")];
    assert_eq!(changes(&mut watch).await, Changes { revision: one, ops: expected });
    assert_eq!(changes(&mut watch).await, Changes { revision: two, ops: vec![Op::delete("a/1")] });
    assert_eq!(changes(&mut watch).await, Changes { revision: three, ops: vec![Op::put("a/2", *b"")] });

    let quiet = tokio::time::timeout(Duration::from_millis(50), watch.next()).await;
    assert!(quiet.is_err(), "nothing happened, yet: {quiet:?}");
}

pub(super) async fn nothing_is_missed_while_others_write(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..60_u32 {
                    let mut ops = vec![Op::put(format!("w/{writer}"), n.to_string().into_bytes())];
                    ops.push(if n % 2 == 0 { Op::put(format!("x/{writer}"), *b"x") } else { Op::delete(format!("x/{writer}")) });
                    commit(&*store, vec![], ops).await.unwrap();
                }
            })
        })
        .collect();
    // One watch from the start, others from somewhere in the middle.
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push((store.watch("w/"), BTreeMap::<String, u32>::new(), Revision(0)));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (watch, seen, revision) in &mut watches {
        while seen.len() < 3 || seen.values().any(|&n| n < 59) {
            match soon(watch.next()).await.unwrap() {
                WatchEvent::Resync(snapshot) => {
                    assert!(seen.is_empty(), "a watch that keeps up needs no second snapshot");
                    *revision = snapshot.revision;
                    let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse().unwrap();
                    seen.extend(snapshot.records.iter().map(|(key, found)| (key.to_string(), number(&found.value))));
                }
                WatchEvent::Changed(changes) => {
                    assert!(changes.revision > *revision);
                    *revision = changes.revision;
                    for op in changes.ops {
                        let Op::Put(key, value) = op else { panic!("nobody deletes under w/") };
                        let n: u32 = std::str::from_utf8(&value).unwrap().parse().unwrap();
                        assert_eq!(n, seen.get(key.as_str()).map_or(0, |last| last + 1), "a gap at {key}");
                        seen.insert(key.to_string(), n);
                    }
                }
            }
        }
    }
    for writer in writers {
        soon(writer).await.unwrap();
    }
}

pub(super) async fn a_call_that_is_dropped_loses_nothing(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 0..100_u32 {
                put(&*store, "n", &n.to_string()).await;
            }
        }
    });
    let mut watch = store.watch("");
    let mut last: Option<u32> = None;
    while last != Some(99) {
        // Too short for a call to the store: what one call began the next must finish.
        let Ok(event) = tokio::time::timeout(Duration::from_micros(50), watch.next()).await else { continue };
        let value = match event.unwrap() {
            WatchEvent::Resync(snapshot) => snapshot.records.into_iter().next().map(|(_, found)| found.value),
            WatchEvent::Changed(changes) => changes.ops.into_iter().find_map(|op| match op {
                Op::Put(_, value) => Some(value),
                Op::Delete(_) => None,
            }),
        };
        let Some(n) = value.map(|value| std::str::from_utf8(&value).unwrap().parse().unwrap()) else { continue };
        assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
        last = Some(n);
    }
    soon(writer).await.unwrap();
}

pub(super) async fn slow_readers_end_with_the_same_records(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let mut watch = store.watch("");
    let mut mirror = Mirror::default();
    mirror.follow(&mut watch).await;
    // More than any back-end keeps for a reader, in number and in bytes.
    for n in 0..HISTORY + 50 {
        let value = vec![b'v'; if n % 5 == 0 { MAX_RECORD } else { 10 }];
        let mut ops = vec![Op::put(format!("k/{}", n % 40), value), Op::put("n", n.to_string().into_bytes())];
        ops.extend((n % 40 > 0).then(|| Op::delete(format!("k/{}", n % 40 - 1))));
        commit(store, vec![], ops).await.unwrap();
    }
    mirror.follow_to(&mut watch, store, "n", &(HISTORY + 49).to_string()).await;
    put(store, "n", "more").await;
    mirror.follow_to(&mut watch, store, "n", "more").await;
}

#[tokio::test]
async fn a_watch_that_falls_behind_starts_anew_and_one_of_a_closed_store_ends() {
    let store = crate::store::Memory::new();
    let (mut slow, mut quick) = (store.watch(""), store.watch(""));
    assert!(snapshot(&mut slow).await.records.is_empty());
    snapshot(&mut quick).await;
    for n in 0..=HISTORY {
        put(&store, "n", &n.to_string()).await;
        assert_eq!(changes(&mut quick).await.ops.len(), 1);
    }
    let again = snapshot(&mut slow).await;
    assert_eq!(again, store.list("").await.unwrap());
    put(&store, "n", "last").await;
    assert_eq!(changes(&mut slow).await.ops, [Op::put("n", *b"last")]);
    drop(store);
    assert!(slow.next().await.is_err());
    assert!(matches!(slow.next().await, Err(crate::store::StoreError::Closed(_))));
}
