//! What only a server can suffer: it is away, it hangs, it forgets, others write to it.

use super::{
    etcd_process::EtcdProcess,
    fixture::{commit, put, soon, text, texts},
    watches::Mirror,
};
use crate::store::{Etcd, EtcdOptions, Fence, Op, Store, StoreError, StoreUrl, Writer, open};
use etcd_client::Client;
use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const SHORT: Duration = Duration::from_millis(500);
/// For calls that are to succeed, on a busy machine too.
const LONG: Duration = Duration::from_secs(20);

/// Writes to a server that may just have been away.
async fn put_at_last(store: &dyn Store, key: &str, value: &str) {
    let op = || vec![Op::put(key, value.as_bytes())];
    while let Err(error) = commit(store, vec![], op()).await {
        assert!(error.is_retryable() || error.is_outcome_unknown(), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if text(store, key).await.as_deref() == Some(value) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_a_restart_without_a_gap() {
    let mut process = EtcdProcess::start().await;
    let store = process.connect(LONG).await.unwrap();
    put(&store, "n", "0").await;
    let mut watch = store.watch("");
    let mut mirror = Mirror::default();
    mirror.follow(&mut watch).await;
    let follower = tokio::spawn(async move {
        for n in 1..=20 {
            mirror.follow(&mut watch).await;
            assert_eq!(mirror.records["n"], n.to_string());
        }
        mirror.resyncs
    });
    for n in 1..=20 {
        if n % 7 == 0 {
            process.kill();
            // Long enough for the follower to find nobody there.
            tokio::time::sleep(Duration::from_millis(200)).await;
            process.start_again().await;
        }
        put_at_last(&store, "n", &n.to_string()).await;
    }
    assert_eq!(soon(follower).await.unwrap(), 1, "no second snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_whose_history_is_compacted_starts_anew() {
    let mut process = EtcdProcess::start().await;
    let store = process.connect(LONG).await.unwrap();
    let mut watch = store.watch("");
    let mut mirror = Mirror::default();
    mirror.follow(&mut watch).await;
    put(&store, "gone", "x").await;
    mirror.follow_to(&mut watch, &store, "gone", "x").await;
    process.kill();
    process.start_again().await;
    put_at_last(&store, "m", "1").await;
    commit(&store, vec![], vec![Op::delete("gone"), Op::put("n", *b"1")]).await.unwrap();
    let newest = put(&store, "n", "2").await;
    let mut client = Client::connect([process.endpoint()], None).await.unwrap();
    client.compact(newest.0.try_into().unwrap(), None).await.unwrap();
    mirror.follow_to(&mut watch, &store, "n", "2").await;
    assert_eq!(mirror.resyncs, 2);
    put(&store, "n", "3").await;
    mirror.follow_to(&mut watch, &store, "n", "3").await;
    assert_eq!(mirror.resyncs, 2, "it follows again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_gives_errors_in_time() {
    let process = EtcdProcess::start().await;
    let patient = process.connect(LONG).await.unwrap();
    put(&patient, "a", "1").await;
    let store = process.connect(SHORT).await.unwrap();
    process.signal("STOP");
    let begun = Instant::now();
    let unknown = commit(&store, vec![], vec![Op::put("a", *b"2")]).await.unwrap_err();
    assert!(unknown.is_outcome_unknown() && !unknown.is_retryable(), "{unknown}");
    assert_eq!(
        unknown.to_string(),
        format!("write a in etcd at {}: no answer, so it may have happened or not", process.endpoint())
    );
    let unavailable = store.get(&"a".into()).await.unwrap_err();
    assert!(unavailable.is_retryable() && !unavailable.is_outcome_unknown(), "{unavailable}");
    assert!(store.list("").await.unwrap_err().is_retryable());
    assert!(begun.elapsed() < 10 * SHORT, "{:?}", begun.elapsed());
    process.signal("CONT");
    put_at_last(&patient, "b", "3").await;
    assert!(matches!(text(&patient, "a").await.as_deref(), Some("1" | "2")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_outlives_the_trouble_of_its_server() {
    let mut process = EtcdProcess::start().await;
    let store = Arc::new(process.connect(SHORT).await.unwrap());
    let writer = Writer::spawn(store.clone(), Fence::claim(&*store).await.unwrap(), CancellationToken::new());
    let batches = tokio::spawn(async move {
        let mut last = None;
        for n in 0..400_u32 {
            let ops = vec![Op::put(format!("own/{n}"), *b"x"), Op::put("all", n.to_string().into_bytes())];
            let revision = soon(writer.write(ops)).await.unwrap();
            assert!(last < Some(revision), "one transaction each");
            last = Some(revision);
        }
    });
    for round in 0..2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        process.signal("STOP");
        tokio::time::sleep(SHORT + Duration::from_millis(300)).await;
        process.signal("CONT");
        tokio::time::sleep(Duration::from_millis(50)).await;
        process.kill();
        process.start_again().await;
        assert!(!batches.is_finished() || round > 0, "the trouble came too late to matter");
    }
    soon(batches).await.unwrap();
    assert_eq!(texts(&*store, "own/").await.len(), 400);
    assert_eq!(text(&*store, "all").await.as_deref(), Some("399"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_servers_may_be_down() {
    let process = EtcdProcess::start().await;
    // A port of nobody, and one where connections are taken and never answered.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = [nobody.to_string(), silent.local_addr().unwrap().to_string(), process.endpoint()];
    let url: StoreUrl = format!("etcd://{},{}", endpoints[0], endpoints[2]).parse().unwrap();
    let store = open(&url).await.unwrap();
    for n in 0..50 {
        put(&*store, "n", &n.to_string()).await;
        assert_eq!(text(&*store, "n").await, Some(n.to_string()));
    }

    let options = EtcdOptions { deadline: SHORT, ..EtcdOptions::default() };
    let store = Etcd::connect(&endpoints, options.clone()).await.unwrap();
    put_at_last(&store, "n", "last").await;
    let error = Etcd::connect(&endpoints[1..2], options).await.err().unwrap();
    assert!(error.is_retryable(), "{error}");
    let error = open(&StoreUrl::Etcd(vec![nobody.to_string()])).await.err().unwrap();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(error.to_string(), format!("get schema in etcd at {nobody}: the store is unavailable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_others_are_not_touched() {
    let process = EtcdProcess::start().await;
    let mut client = Client::connect([process.endpoint()], None).await.unwrap();
    for key in ["/braid", "/braid0", "/brai", "/other/x", "zz"] {
        client.put(key, "theirs", None).await.unwrap();
    }
    let store = process.connect(LONG).await.unwrap();
    assert!(store.list("").await.unwrap().records.is_empty());
    put(&store, "mine", "1").await;
    assert_eq!(client.get("/braid/mine", None).await.unwrap().kvs()[0].value(), b"1", "where the documentation says");
    let mut watch = store.watch("");
    let mut mirror = Mirror::default();
    mirror.follow(&mut watch).await;
    client.put("/braid0", "theirs again", None).await.unwrap();
    put(&store, "mine", "2").await;
    mirror.follow_to(&mut watch, &store, "mine", "2").await;

    client.put(b"/braid/\xff".to_vec(), "not text", None).await.unwrap();
    let error = store.list("").await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }) && error.to_string().contains("/braid/\\xff"), "{error}");
    assert!(matches!(soon(watch.next()).await, Err(StoreError::Foreign { .. })));
    assert!(matches!(soon(watch.next()).await, Err(StoreError::Closed(_))));
}
