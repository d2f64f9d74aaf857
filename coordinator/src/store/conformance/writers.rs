//! The writer: order, acknowledgement, fencing, lost answers.

use super::{
    faulty::{Fault, Faulty},
    fixture::{Fixture, soon, text, texts},
};
use crate::store::{Epoch, Fence, MAX_OPS, MAX_RECORD, Op, Revision, Store, StoreError, WatchEvent, Writer, WriterHandle};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

async fn start(store: Arc<dyn Store>) -> WriterHandle {
    let fence = Fence::claim(&*store).await.unwrap();
    Writer::spawn(store, fence, CancellationToken::new())
}

/// Batch `n` of a sequence: a record of its own, and one that all write.
fn batch(n: u32) -> Vec<Op> {
    vec![Op::put(format!("own/{n}"), *b"x"), Op::put("all", n.to_string().into_bytes())]
}

pub(super) async fn acknowledgements_come_in_order_and_after_the_records(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let faulty = Faulty::new(store.clone(), || Fault::None);
    let writer = start(faulty.clone()).await;
    faulty.gate.forget_permits(Semaphore::MAX_PERMITS);

    let (sender, mut acks) = mpsc::channel(300);
    for n in 0..250 {
        let sender = sender.clone();
        writer.submit(batch(n), move |revision| sender.try_send((n, revision)).unwrap()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(acks.try_recv().is_err(), "no commit has returned");
    assert_eq!(text(&*store, "all").await, None);

    faulty.gate.add_permits(2);
    let mut last = Revision(0);
    for n in 0..250 {
        if acks.is_empty() && n > 0 {
            // Those of the next transactions: the gate opens when all of the earlier have been seen.
            assert_eq!(text(&*store, &format!("own/{}", n + MAX_OPS as u32 * 2)).await, None);
            faulty.gate.add_permits(1);
        }
        let (acked, revision) = soon(acks.recv()).await.unwrap();
        assert_eq!(acked, n);
        assert!(revision >= last);
        last = revision;
        let own = store.get(&format!("own/{n}").into()).await.unwrap().expect("acknowledged before it was written");
        assert_eq!(own.revision, revision);
    }
    assert_eq!(text(&*store, "all").await.as_deref(), Some("249"));
}

pub(super) async fn large_batches_are_written_in_order(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let writer = start(store.clone()).await;
    let fits: Vec<_> = (0..MAX_OPS).map(|n| Op::put(format!("fits/{n}"), *b"x")).collect();
    let revision = soon(writer.write(fits)).await.unwrap();
    let records = store.list("fits/").await.unwrap().records;
    assert!(records.len() == MAX_OPS && records.iter().all(|(_, found)| found.revision == revision), "one transaction");

    let mut ops: Vec<_> = (0..350).map(|n| Op::put(format!("many/{n:03}"), *b"first")).collect();
    ops.extend([Op::put("many/000", *b"second"), Op::delete("many/001"), Op::delete("many/349"), Op::put("many/349", *b"third")]);
    soon(writer.write(ops)).await.unwrap();
    let many = texts(&*store, "many/").await;
    assert_eq!(many.len(), 349);
    assert_eq!((many[0].1.as_str(), many[1].0.as_str(), many[348].1.as_str()), ("second", "many/002", "third"));

    let wide: Vec<_> = (0..40).map(|n| Op::put(format!("wide/{n}"), vec![n; MAX_RECORD])).collect();
    soon(writer.write(wide)).await.unwrap();
    assert_eq!(store.list("wide/").await.unwrap().records.len(), 40);

    for ops in [vec![Op::put("k", vec![0; MAX_RECORD + 1])], vec![Op::delete(Fence::key())], vec![Op::delete("schema")]] {
        assert!(matches!(writer.write(ops).await, Err(StoreError::Limit(_))));
    }
    soon(writer.write(vec![Op::put("k", *b"")])).await.expect("a refused batch does not end the writer");
}

pub(super) async fn a_newer_claim_fences_the_older(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let old = start(store.clone()).await;
    soon(old.write(vec![Op::put("a", *b"old")])).await.unwrap();
    let fence = Fence::claim(&*store).await.unwrap();
    assert_eq!(fence.epoch(), Epoch(2));
    // Even before the newer has written anything.
    assert!(matches!(soon(old.write(vec![Op::put("b", *b"old")])).await, Err(StoreError::Closed(_))));
    let end = soon(old.ended()).await.unwrap_err();
    assert!(matches!(*end, StoreError::Fenced { mine: Epoch(1), theirs: Epoch(2) }), "{end}");
    assert!(matches!(old.submit(vec![], |_| panic!("not written")).await, Err(StoreError::Closed(_))));

    let new = Writer::spawn(store.clone(), fence, CancellationToken::new());
    soon(new.write(vec![Op::put("c", *b"new")])).await.unwrap();
    assert_eq!(text(&*store, "a").await.as_deref(), Some("old"));
    assert_eq!((text(&*store, "b").await, text(&*store, "c").await.as_deref()), (None, Some("new")));

    // Many claim at once: each gets an epoch of its own, and only the last can write.
    let claims: Vec<_> = (0..5)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { Fence::claim(&*store).await.unwrap() })
        })
        .collect();
    let mut fences = Vec::new();
    for claim in claims {
        fences.push(soon(claim).await.unwrap());
    }
    fences.sort_by_key(Fence::epoch);
    assert_eq!(fences.iter().map(|fence| fence.epoch().0).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    for (place, fence) in fences.into_iter().enumerate() {
        let writer = Writer::spawn(store.clone(), fence, CancellationToken::new());
        let written = soon(writer.write(vec![Op::put("d", *b"x")])).await;
        assert_eq!(written.is_ok(), place == 4);
    }
}

pub(super) async fn lost_answers_are_settled(fixture: &mut impl Fixture) {
    const BATCHES: u32 = 150;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut faults = random.fork();
    let store = fixture.store();
    let faulty = Faulty::new(store.clone(), move || match faults.u8(..8) {
        0 => Fault::Unavailable,
        1 => Fault::RequestLost,
        2 => Fault::AnswerLost,
        3 => Fault::Late,
        _ => Fault::None,
    });
    let mut watch = store.watch("all");
    assert!(matches!(soon(watch.next()).await, Ok(WatchEvent::Resync(_))));
    let fence = loop {
        match Fence::claim(&*faulty).await {
            Ok(fence) => break fence,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    };
    let writer = Writer::spawn(faulty, fence, CancellationToken::new());
    let (sender, mut acks) = mpsc::channel(BATCHES as usize);
    for n in 0..BATCHES {
        let sender = sender.clone();
        writer.submit(batch(n), move |_| sender.try_send(n).unwrap()).await.unwrap();
        if random.u8(..4) == 0 {
            // Wait for it: the next is in another transaction.
            soon(writer.write(vec![])).await.unwrap();
        }
    }
    soon(writer.write(vec![])).await.unwrap();
    assert_eq!(std::iter::from_fn(|| acks.try_recv().ok()).collect::<Vec<_>>(), (0..BATCHES).collect::<Vec<_>>());
    assert_eq!(texts(&*store, "own/").await.len() as u32, BATCHES);

    // Each transaction took effect once: the record that all write never goes back or repeats.
    let mut last: Option<u32> = None;
    while last != Some(BATCHES - 1) {
        let WatchEvent::Changed(changes) = soon(watch.next()).await.unwrap() else { panic!("it has kept up") };
        for op in changes.ops {
            let Op::Put(_, value) = op else { panic!("nobody deletes it") };
            let n = std::str::from_utf8(&value).unwrap().parse().unwrap();
            assert!(last.is_none_or(|last| last < n), "{n} after {last:?}");
            last = Some(n);
        }
    }
}

pub(super) async fn what_was_submitted_is_written_before_the_end(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let cancel = CancellationToken::new();
    let writer = Writer::spawn(store.clone(), Fence::claim(&*store).await.unwrap(), cancel.clone());
    for n in 0..300 {
        writer.submit(batch(n), |_| {}).await.unwrap();
    }
    cancel.cancel();
    soon(writer.ended()).await.unwrap();
    assert_eq!(texts(&*store, "own/").await.len(), 300);
    assert!(matches!(writer.write(batch(300)).await, Err(StoreError::Closed(_))));

    // Without a handle nobody can submit any more.
    let writer = start(store.clone()).await;
    let (sender, mut acks) = mpsc::channel(1);
    writer.submit(batch(301), move |_| sender.try_send(()).unwrap()).await.unwrap();
    drop(writer);
    soon(acks.recv()).await.unwrap();
    assert!(soon(acks.recv()).await.is_none());

    // A store that is away does not hold up the end.
    let away = Faulty::new(store.clone(), || Fault::Unavailable);
    let cancel = CancellationToken::new();
    let writer = Writer::spawn(away, Fence::claim(&*store).await.unwrap(), cancel.clone());
    writer.submit(batch(302), |_| panic!("it is not durable")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    cancel.cancel();
    assert!(soon(writer.ended()).await.unwrap_err().is_retryable());
    assert_eq!(text(&*store, "own/302").await, None);
}
