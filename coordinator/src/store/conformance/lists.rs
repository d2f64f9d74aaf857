//! Listing by prefix.

use super::fixture::{Fixture, commit, put, texts};
use crate::store::{MAX_RECORD, Op};

pub(super) async fn keys_come_in_byte_order_under_a_byte_prefix(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    // In byte order; written in another.
    let keys = ["a", "a-", "a/", "a/1", "a/1/x", "a/10", "a/2", "a0", "b", "z", "ä", "ä/1"];
    for key in keys.iter().rev() {
        put(store, key, key).await;
    }
    let under = async |prefix: &str| -> Vec<String> { texts(store, prefix).await.into_iter().map(|(key, _)| key).collect() };
    for prefix in ["", "a", "a/", "a/1", "a/1/", "a/3", "b", "ä", "zz", "\u{10ffff}"] {
        let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        assert_eq!(under(prefix).await, expected, "under {prefix:?}");
    }
    assert_eq!(under("a/1").await, ["a/1", "a/1/x", "a/10"], "a prefix is one of bytes");
    for (key, value) in texts(store, "").await {
        assert_eq!(key, value);
    }
}

pub(super) async fn a_listing_larger_than_one_answer_is_whole(fixture: &mut impl Fixture) {
    let store = &*fixture.store();
    for chunk in 0..8_u32 {
        let large = (0..10).map(|n| Op::put(format!("large/{chunk}{n}"), vec![b'x'; MAX_RECORD])).collect();
        commit(store, vec![], large).await.unwrap();
    }
    for chunk in 0..13_u32 {
        let small = (0..100).map(|n| Op::put(format!("small/{chunk:02}{n:02}"), vec![b'x'])).collect();
        commit(store, vec![], small).await.unwrap();
    }
    let large = store.list("large/").await.unwrap();
    assert_eq!(large.records.len(), 80);
    assert!(large.records.iter().all(|(_, found)| found.value.len() == MAX_RECORD));
    let small = store.list("small/").await.unwrap().records;
    assert_eq!(small.len(), 1300);
    assert!(small.iter().enumerate().all(|(n, (key, _))| key.as_str() == format!("small/{n:04}")));
    assert_eq!(store.list("").await.unwrap().records.len(), 1380);
}
