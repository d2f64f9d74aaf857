//! Random calls against a map that does the same.

use super::fixture::{Fixture, soon};
use crate::store::{Expect, Guard, Key, Op, Revision, Store, StoreError, Transaction};
use proptest::{prelude::*, test_runner::TestRunner};
use std::{collections::BTreeMap, sync::Arc};
use tokio::runtime::Handle;

const KEYS: [&str; 8] = ["a", "a/", "a/1", "a/10", "a/1/x", "b", "c", "ü"];
const PREFIXES: [&str; 7] = ["", "a", "a/", "a/1", "b", "ü", "x"];

#[derive(Debug, Clone)]
enum Call {
    Get(usize),
    List(usize),
    /// Guards by key and whether it is the true one, operations by key and value.
    Commit(Vec<(usize, bool)>, BTreeMap<usize, Option<u8>>),
}

fn call() -> impl Strategy<Value = Call> {
    let guards = prop::collection::vec((0..KEYS.len(), prop::bool::weighted(0.85)), 0..3);
    let ops = prop::collection::btree_map(0..KEYS.len(), prop::option::weighted(0.7, any::<u8>()), 0..4);
    prop_oneof![
        1 => (0..KEYS.len()).prop_map(Call::Get),
        1 => (0..PREFIXES.len()).prop_map(Call::List),
        4 => (guards, ops).prop_map(|(guards, ops)| Call::Commit(guards, ops)),
    ]
}

type Model = BTreeMap<Key, (Vec<u8>, Revision)>;

async fn check(store: &dyn Store, under: &str, calls: &[Call]) {
    let name = |key: usize| Key::from(format!("{under}{}", KEYS[key]));
    let mut model = Model::new();
    let mut now = store.list(under).await.unwrap().revision;
    for call in calls {
        match call {
            Call::Get(key) => {
                let found = store.get(&name(*key)).await.unwrap();
                assert_eq!(found.map(|found| (found.value.to_vec(), found.revision)), model.get(&name(*key)).cloned());
            }
            Call::List(prefix) => {
                let prefix = format!("{under}{}", PREFIXES[*prefix]);
                let snapshot = store.list(&prefix).await.unwrap();
                assert_eq!(snapshot.revision, now);
                let found: Vec<_> = snapshot.records.into_iter().map(|(k, v)| (k, (v.value.to_vec(), v.revision))).collect();
                let expected: Vec<_> = model.clone().into_iter().filter(|(key, _)| key.as_str().starts_with(&prefix)).collect();
                assert_eq!(found, expected);
            }
            Call::Commit(guards, ops) => {
                let mut failing = None;
                let guards: Vec<_> = guards
                    .iter()
                    .map(|&(key, right)| {
                        let key = name(key);
                        let expect = match (model.get(&key), right) {
                            (Some((_, revision)), true) => Expect::At(*revision),
                            (None, false) => Expect::At(now),
                            (_, _) => Expect::Absent,
                        };
                        if !right {
                            failing.get_or_insert_with(|| key.clone());
                        }
                        Guard { key, expect }
                    })
                    .collect();
                let ops: Vec<_> = ops
                    .iter()
                    .map(|(&key, value)| match value {
                        Some(value) => Op::put(name(key), vec![*value]),
                        None => Op::delete(name(key)),
                    })
                    .collect();
                match (store.commit(Transaction::new(guards, ops.clone()).unwrap()).await, failing) {
                    (Err(StoreError::Conflict { key }), Some(failing)) => assert_eq!(key, failing),
                    (Ok(revision), None) => {
                        let mut changed = false;
                        for op in ops {
                            changed |= match op {
                                Op::Put(key, value) => {
                                    model.insert(key, (value.to_vec(), revision));
                                    true
                                }
                                Op::Delete(key) => model.remove(&key).is_some(),
                            };
                        }
                        assert_eq!(revision > now, changed, "{revision} after {now}");
                        now = revision;
                    }
                    (outcome, failing) => panic!("{outcome:?} with the failing guard {failing:?}"),
                }
            }
        }
    }
}

pub(super) async fn behaves_like_a_map(fixture: &mut impl Fixture) {
    let store: Arc<dyn Store> = fixture.store();
    let runtime = Handle::current();
    // proptest is not async: it has a thread of its own, and each run a corner of the store.
    let run = move || {
        let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
        let mut case = 0;
        let cases = std::cell::RefCell::new(&mut case);
        TestRunner::new(config).run(&prop::collection::vec(call(), 1..30), |calls| {
            let under = {
                let mut case = cases.borrow_mut();
                **case += 1;
                format!("{case}:")
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(check(&*store, &under, &calls));
            }));
            result.map_err(|_| TestCaseError::fail("see the message above"))
        })
    };
    if let Err(error) = soon(tokio::task::spawn_blocking(run)).await.unwrap() {
        panic!("{error}");
    }
}
