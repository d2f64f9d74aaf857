//! Terms that begin and end: what is under way, and what is ordered, when one does.

use super::SOON;
use crate::{
    api::Rights,
    leadership::{Keeper, Order, Seat, Tenure, Term as TermNumber},
    logs::Logs,
    model::Precedence,
    runtime::{Shared, Standing, conductor::conduct, term::Term},
    security::{Limits, Role, Roster, audit::Audit, tokens::Grant},
    store::{Key, Memory, Op, Revision, Snapshot, Store, StoreError, Transaction, Versioned, Watch},
};
use async_trait::async_trait;
use braid_noop::Noop;
use braid_telemetry::metrics::FleetMetrics;
use braid_workload::{Registry, Workload};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A store that can be taken away: then no commit is answered well, and those that are tried are counted.
struct Absent {
    inner: Memory,
    away: watch::Sender<Option<u32>>,
}

#[async_trait]
impl Store for Absent {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        self.inner.list(prefix).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError> {
        let counted = self.away.send_if_modified(|away| away.as_mut().map(|tries| *tries += 1).is_some());
        if !counted {
            return self.inner.commit(transaction).await;
        }
        Err(StoreError::OutcomeUnknown { operation: "commit".into(), place: "a test".into(), source: "as told".into() })
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.inner.watch(prefix)
    }
}

/// What terms share, with this store.
fn shared(store: Arc<dyn Store>) -> Shared {
    let noop: Arc<dyn Workload> = Arc::new(Noop);
    let workloads = Registry::new([(noop.kind(), noop)]);
    let (tasks, metrics) = (TaskTracker::new(), Arc::new(FleetMetrics::new("1")));
    let limits = Limits::new(None, workloads.clone());
    Shared {
        store,
        place: "a test".into(),
        workloads,
        lease: Duration::from_secs(2),
        logs: Logs::start(None, &tasks, CancellationToken::new(), Arc::clone(&metrics)),
        rights: Rights { token: None, roster: None, audit: Audit::none(), limits },
        tasks,
        metrics,
        recording: None,
        engine: watch::channel(None).0,
    }
}

/// A leader that lost its store has writes under way that will never be durable. It must end its term nevertheless: until it
/// has, it cannot lead again.
#[tokio::test]
async fn a_term_is_abandoned_however_much_is_not_written() {
    let away = watch::channel(None).0;
    let mut tries = away.subscribe();
    let store = Arc::new(Absent { inner: Memory::new(), away });
    let shared = shared(Arc::clone(&store) as Arc<dyn Store>);
    let term = Term::start(&shared, None, Tenure::unlimited()).await.unwrap();
    let handle = term.handle.clone();
    let submit = |key: &'static str| {
        let handle = handle.clone();
        let spec = serde_json::json!({"tasks": 1});
        async move { handle.submit("noop".into(), spec, key.into(), Precedence::default(), None).await }
    };
    submit("written").await.unwrap().unwrap();
    store.away.send_replace(Some(0));
    let lost = tokio::spawn(submit("lost"));
    timeout(SOON, tries.wait_for(|tries| tries.is_some_and(|tries| tries > 0))).await.expect("it is written").unwrap();

    timeout(SOON, term.abandon()).await.expect("nothing holds a term that is over");
    let answer = timeout(SOON, lost).await.expect("whoever waits is told").unwrap();
    assert!(answer.is_err(), "what is not durable is not acknowledged: {answer:?}");
}

/// Its watch may be late, or on a dead connection.
#[tokio::test]
async fn whoever_begins_to_lead_knows_the_tokens_that_the_last_one_made() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let life = Duration::from_secs(3600);
    let (last, _) = Roster::open(Arc::clone(&store), life).await.unwrap();
    let (next, _) = Roster::open(Arc::clone(&store), life).await.unwrap();
    let made = last.create(Grant::Role(Role::Admin), "it", "a test".into(), life).await.unwrap();
    let next = Arc::new(next);
    let mut shared = shared(store);
    shared.rights.roster = Some(Arc::clone(&next));
    let term = Term::start(&shared, None, Tenure::unlimited()).await.unwrap();
    assert!(next.person(&made.token.secret).is_ok(), "it was acknowledged");
    term.finish().await;
}

/// The order that ends a term says who leads instead.
#[tokio::test]
async fn whoever_is_deposed_names_the_next_leader() {
    let store = Memory::new();
    let record = Transaction::new(vec![], vec![Op::put(Seat::key(), b"mine".as_slice())]).unwrap();
    let seat = store.commit(record).await.unwrap();
    let shared = shared(Arc::new(store));
    let (orders, ordered) = watch::channel(Order::Wait);
    let keeper = Keeper::scripted(ordered);
    let (standing, mut seen) = watch::channel(Standing::Nobody);
    let cancel = CancellationToken::new();
    let cancelled = cancel.clone();
    let conducting = tokio::spawn(async move { conduct(shared, &keeper, &standing, &cancelled).await });

    for number in 1..3 {
        let term = TermNumber(number);
        orders.send_replace(Order::Lead { term, seat, tenure: Tenure::unlimited() });
        let leads = seen.wait_for(|standing| matches!(standing, Standing::Leads(..)));
        timeout(SOON, leads).await.expect("it leads").unwrap();
        let there = format!("there:{number}");
        orders.send_replace(Order::Follow { after: term, leader: Some(there.clone()) });
        let follows = seen.wait_for(|standing| matches!(standing, Standing::Follows(leader) if *leader == there));
        timeout(SOON, follows).await.expect("it names the other").unwrap();
    }
    cancel.cancel();
    assert!(timeout(SOON, conducting).await.expect("it ends").unwrap().is_none());
}
