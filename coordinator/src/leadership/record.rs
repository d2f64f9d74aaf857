//! The leader record: who leads, by which lease, and where workers and clients find it.

use crate::store::{Key, Revision, StoreError, StoreLease, Value, Versioned};
use serde::{Deserialize, Serialize};

/// Where the record is.
const KEY: &str = "leader";

/// The leader record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Which coordinator.
    pub(crate) instance: String,
    /// `HOST:PORT`.
    pub(crate) advertise: String,
    /// Of which campaign of it; also what the record goes with.
    pub(crate) lease: StoreLease,
    /// Made by this transaction and never changed.
    pub(crate) revision: Revision,
}

#[derive(Serialize, Deserialize)]
struct Record {
    instance: String,
    advertise: String,
    lease: i64,
}

impl Seat {
    /// Where the record is.
    pub(crate) fn key() -> Key {
        KEY.into()
    }

    /// The record of a coordinator.
    pub(crate) fn write(instance: &str, advertise: &str, lease: StoreLease) -> Value {
        let record = Record { instance: instance.to_owned(), advertise: advertise.to_owned(), lease: lease.0 };
        // Strings and a number always have a JSON form.
        serde_json::to_vec(&record).unwrap_or_default().into()
    }

    /// # Errors
    /// [`StoreError::Foreign`] when it is no leader record.
    pub(crate) fn read(value: &[u8], revision: Revision) -> Result<Self, StoreError> {
        let record: Record = serde_json::from_slice(value)
            .map_err(|error| StoreError::Foreign { place: format!("record {KEY}"), reason: error.to_string() })?;
        Ok(Self { instance: record.instance, advertise: record.advertise, lease: StoreLease(record.lease), revision })
    }

    /// The same for what a store returned.
    pub(crate) fn of(found: &Versioned) -> Result<Self, StoreError> {
        Self::read(&found.value, found.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_anything_else_is_an_error() {
        let value = Seat::write("me", "a:1", StoreLease(7));
        let seat = Seat::read(&value, Revision(3)).unwrap();
        let expected = Seat { instance: "me".into(), advertise: "a:1".into(), lease: StoreLease(7), revision: Revision(3) };
        assert_eq!(seat, expected);
        for bytes in [&b""[..], b"{}", b"\xff", b"[1]"] {
            assert!(Seat::read(bytes, Revision(1)).unwrap_err().to_string().contains("record leader"));
        }
    }
}
