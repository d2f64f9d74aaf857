//! The version of what the records mean, kept in every store under one key.

use super::{Guard, Key, Op, Store, StoreError, Transaction};

/// Raised when records of an older version can no longer be read.
pub(super) const SCHEMA: u32 = 1;
/// Where it is kept.
pub(super) const KEY: &str = "schema";

/// Marks a new store, and refuses one of another version.
///
/// # Errors
/// [`StoreError::Schema`], or what reading and writing may return.
pub(super) async fn check(store: &dyn Store, place: &str) -> Result<(), StoreError> {
    let key = Key::from(KEY);
    loop {
        if let Some(found) = store.get(&key).await? {
            return match std::str::from_utf8(&found.value) {
                Ok(text) if text.parse() == Ok(SCHEMA) => Ok(()),
                _ => Err(StoreError::Schema {
                    place: place.to_owned(),
                    found: String::from_utf8_lossy(&found.value).chars().take(32).collect(),
                    expected: SCHEMA,
                }),
            };
        }
        let mark = Op::put(&key, SCHEMA.to_string().into_bytes());
        match store.commit(Transaction::new(vec![Guard::absent(&key)], vec![mark])?).await {
            Ok(_) => return Ok(()),
            // Someone else marked it, or this did: the next reading tells.
            Err(StoreError::Conflict { .. } | StoreError::OutcomeUnknown { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
