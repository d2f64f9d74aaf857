//! What was acknowledged is there after a crash.

use super::fixture::{Fixture, commit, put, soon, texts};
use crate::store::{Epoch, Fence, Guard, Op, StoreError, Writer};
use tokio_util::sync::CancellationToken;

pub(super) async fn crash_keeps_what_was_committed(fixture: &mut impl Fixture) {
    let mut before = fixture.store().list("").await.unwrap();
    for round in 0..3_u32 {
        let store = fixture.store();
        for n in 0..20_u32 {
            let ops = vec![Op::put(format!("{round}/{n}"), vec![0; 500]), Op::put("last", format!("{round} {n}").into_bytes())];
            commit(&*store, vec![], ops).await.unwrap();
        }
        commit(&*store, vec![], vec![Op::delete(format!("{round}/0"))]).await.unwrap();
        before = store.list("").await.unwrap();
        drop(store);
        soon(fixture.crash()).await;
        assert_eq!(fixture.store().list("").await.unwrap(), before, "values and revisions");
    }
    let store = fixture.store();
    assert_eq!(before.records.len(), 3 * 19 + 1);
    let (key, found) = &before.records[0];
    let next = commit(&*store, vec![Guard::at(key, found.revision)], vec![Op::delete(key)]).await.unwrap();
    assert!(next > before.revision, "revisions go on where they were");
}

pub(super) async fn writer_goes_on_after_a_crash(fixture: &mut impl Fixture) {
    for start in 1..=3_u64 {
        let store = fixture.store();
        let fence = Fence::claim(&*store).await.unwrap();
        assert_eq!(fence.epoch(), Epoch(start));
        let writer = Writer::spawn(store, fence, CancellationToken::new());
        soon(writer.write(vec![Op::put(format!("start/{start}"), *b"x")])).await.unwrap();
        drop(writer);
        soon(fixture.crash()).await;
        assert_eq!(texts(&*fixture.store(), "start/").await.len() as u64, start);
    }
    // A claim of before the crash is no claim any more.
    let old = Fence::claim(&*fixture.store()).await.unwrap();
    soon(fixture.crash()).await;
    let store = fixture.store();
    Fence::claim(&*store).await.unwrap();
    let writer = Writer::spawn(store.clone(), old, CancellationToken::new());
    assert!(soon(writer.write(vec![Op::put("late", *b"x")])).await.is_err());
    let end = soon(writer.ended()).await.unwrap_err();
    assert!(matches!(*end, StoreError::Fenced { mine: Epoch(4), theirs: Epoch(5) }), "{end}");
    put(&*store, "other", "x").await;
    assert!(texts(&*store, "late").await.is_empty());
}
