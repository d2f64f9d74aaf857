//! Compare and swap, all or nothing.

use super::fixture::{Fixture, commit, put, soon, text, texts};
use crate::store::{Guard, MAX_KEY, MAX_OPS, MAX_RECORD, MAX_TRANSACTION, Op, Revision, StoreError, Transaction};
use std::sync::Arc;

pub(super) async fn guards_decide(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = commit(store, vec![Guard::absent("a")], vec![Op::put("a", *b"1")]).await.unwrap();
    let write = |guard: Guard, value: &[u8]| commit(store, vec![guard], vec![Op::put("a", value.to_vec())]);

    assert!(matches!(write(Guard::absent("a"), b"2").await, Err(StoreError::Conflict { key }) if key.as_str() == "a"));
    assert!(matches!(write(Guard::at("a", Revision(first.0 + 1)), b"2").await, Err(StoreError::Conflict { .. })));
    assert!(matches!(write(Guard::at("b", first), b"2").await, Err(StoreError::Conflict { key }) if key.as_str() == "b"));
    assert!(matches!(write(Guard::at("a", Revision(u64::MAX)), b"2").await, Err(StoreError::Conflict { .. })));
    assert_eq!(text(store, "a").await.as_deref(), Some("1"));

    let second = write(Guard::at("a", first), b"2").await.unwrap();
    assert!(matches!(write(Guard::at("a", first), b"3").await, Err(StoreError::Conflict { .. })));
    // A guard may be about a record that is not written, and its revision is that of the record, not of the store.
    put(store, "other", "x").await;
    commit(store, vec![Guard::at("a", second), Guard::absent("c")], vec![Op::put("d", *b"4")]).await.unwrap();
    // A record that was removed and written again is another one.
    commit(store, vec![Guard::at("a", second)], vec![Op::delete("a")]).await.unwrap();
    write(Guard::absent("a"), b"2").await.unwrap();
    assert!(matches!(write(Guard::at("a", second), b"5").await, Err(StoreError::Conflict { .. })));
}

pub(super) async fn a_failed_guard_changes_nothing(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let revision = put(store, "a", "1").await;
    let before = store.list("").await.unwrap();
    let guards = vec![Guard::at("a", revision), Guard::absent("x"), Guard::at("b", revision), Guard::absent("a")];
    let error = commit(store, guards, vec![Op::put("x", *b"2"), Op::delete("a")]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { key } if key.as_str() == "b"), "the first that does not hold: {error}");
    assert!(!error.is_retryable() && !error.is_outcome_unknown());
    assert_eq!(store.list("").await.unwrap(), before);
}

pub(super) async fn revisions_count_changes(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let first = commit(store, vec![], vec![Op::put("a", *b"1"), Op::put("b", *b"1")]).await.unwrap();
    let second = put(store, "a", "1").await;
    assert!(second > first, "the same value again is a change");
    assert_eq!(store.get(&"a".into()).await.unwrap().unwrap().revision, second);
    assert_eq!(store.get(&"b".into()).await.unwrap().unwrap().revision, first);
    assert_eq!(store.list("").await.unwrap().revision, second);

    assert_eq!(commit(store, vec![], vec![Op::delete("none")]).await.unwrap(), second);
    assert_eq!(commit(store, vec![Guard::absent("none")], vec![]).await.unwrap(), second);
    assert!(commit(store, vec![], vec![Op::delete("a"), Op::delete("none")]).await.unwrap() > second);
    assert_eq!(texts(store, "").await, [("b".into(), "1".into())]);
}

pub(super) async fn increments_are_not_lost(fixture: &mut impl Fixture) {
    let store = fixture.store();
    put(&*store, "count", "0").await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                while done < 25 {
                    let found = store.get(&"count".into()).await.unwrap().unwrap();
                    let count: u32 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
                    let next = Op::put("count", (count + 1).to_string().into_bytes());
                    match commit(&*store, vec![Guard::at("count", found.revision)], vec![next]).await {
                        Ok(_) => done += 1,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert_eq!(text(&*store, "count").await.as_deref(), Some("100"));
}

pub(super) async fn readers_see_whole_transactions(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let keys = ["p/a", "p/b", "p/c"];
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 0..100_u32 {
                let value = n.to_string().into_bytes();
                // Every third transaction removes them all.
                let ops = keys.map(|key| if n % 3 == 2 { Op::delete(key) } else { Op::put(key, value.clone()) });
                commit(&*store, vec![], ops.to_vec()).await.unwrap();
            }
        }
    });
    let mut seen = 0;
    while !writer.is_finished() || seen == 0 {
        let snapshot = store.list("p/").await.unwrap();
        assert!(snapshot.records.is_empty() || snapshot.records.len() == 3, "{snapshot:?}");
        for (_, found) in &snapshot.records {
            assert_eq!(found, &snapshot.records[0].1);
            assert!(found.revision <= snapshot.revision);
        }
        seen += 1;
    }
    soon(writer).await.unwrap();
}

pub(super) async fn the_limits_themselves_fit(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let name = |n: usize| format!("{n:03}{}", "k".repeat(MAX_KEY - 3));
    let guards: Vec<_> = (0..MAX_OPS).map(|n| Guard::absent(name(n))).collect();
    let keys = 2 * MAX_OPS * MAX_KEY;
    let value = vec![7_u8; (MAX_TRANSACTION - keys) / MAX_OPS];
    let ops: Vec<_> = (0..MAX_OPS).map(|n| Op::put(name(n), value.clone())).collect();
    commit(store, guards, ops).await.unwrap();
    assert_eq!(store.list("").await.unwrap().records.len(), MAX_OPS);

    let whole: Vec<_> = (0..15).map(|n| Op::put(name(n), vec![9_u8; MAX_RECORD])).collect();
    commit(store, vec![], whole).await.unwrap();
    let found = store.get(&name(14).into()).await.unwrap().unwrap();
    assert_eq!(*found.value, *vec![9_u8; MAX_RECORD]);
}

pub(super) async fn any_text_and_any_bytes_come_back(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    let bytes: Vec<u8> = (0..=255).collect();
    for key in ["a b", "ü/é/漢", "\u{10ffff}", "tab\tnew\nline", "nul\0", "\u{7f}", "..", "/"] {
        for value in [&bytes[..], &[]] {
            commit(store, vec![], vec![Op::put(key, value.to_vec())]).await.unwrap();
            assert_eq!(*store.get(&key.into()).await.unwrap().unwrap().value, *value, "{key:?}");
        }
    }
    assert_eq!(store.list("").await.unwrap().records.len(), 8);
    assert_eq!(store.get(&"".into()).await.unwrap(), None);
}

#[test]
fn what_exceeds_a_limit_is_named() {
    let long = "k".repeat(MAX_KEY + 1);
    let many = || (0..=MAX_OPS).map(|n| format!("k{n}"));
    for (guards, ops, expected) in [
        (vec![], vec![Op::put("job/1", vec![0; MAX_RECORD + 1])], "job/1: 65537 bytes of value, at most 65536 fit"),
        (vec![], many().map(Op::delete).collect(), "a transaction: 101 operations, at most 100 fit"),
        (many().map(Guard::absent).collect(), vec![], "a transaction: 101 guards, at most 100 fit"),
        (vec![], vec![Op::delete("")], "a key may not be empty"),
        (vec![Guard::absent("")], vec![], "a key may not be empty"),
        (vec![], vec![Op::delete(long.as_str())], "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk: 513 bytes of key, at most 512 fit"),
        (vec![], vec![Op::put("a", *b"1"), Op::delete("a")], "a: written twice in one transaction"),
        (
            vec![],
            (0..17).map(|n| Op::put(format!("{n:02}"), vec![0; MAX_RECORD])).collect(),
            "a transaction: 1114146 bytes, at most 1048576 fit",
        ),
    ] {
        let error = Transaction::new(guards, ops).unwrap_err();
        assert!(matches!(&error, StoreError::Limit(_)) && !error.is_retryable());
        assert_eq!(error.to_string(), expected);
    }
}
