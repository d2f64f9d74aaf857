//! What a merge asks of a store: to read its inputs, and to keep its result. The feature `cloud` answers.

use super::folder::Stamp;
use crate::MergeError;
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, ops::Range, sync::Arc, time::SystemTime};

/// Things in stores, found by their URL.
///
/// Of inputs the version that was [found](Self::find) first is read throughout. What belongs to a result is seen as it is now.
pub trait Store: fmt::Debug + Send + Sync {
    /// The object of this URL; `None` where there is none. What is found once is the same object, in the same version, from then on.
    ///
    /// # Errors
    /// A store that cannot be reached, or refuses.
    fn find(&self, url: &str) -> Result<Option<Arc<dyn Object>>, MergeError>;

    /// The names of the objects in the folder of this URL, without those in folders below it; `None` where the store cannot list.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn names(&self, url: &str) -> Result<Option<Vec<String>>, MergeError>;

    /// The names of all objects below the folder of this URL, as they are now: with those in folders below it, as paths from there.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn below(&self, url: &str) -> Result<Vec<String>, MergeError>;

    /// Says that these objects are about to be looked for.
    fn will_find(&self, urls: &[String]);

    /// The bytes of a small object as it is now; `None` where there is none.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn read(&self, url: &str) -> Result<Option<Vec<u8>>, MergeError>;

    /// What tells an object as it is now from others; `None` where there is none.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn look(&self, url: &str) -> Result<Option<Written>, MergeError>;

    /// Writes a small object, in place of any other.
    ///
    /// # Errors
    /// A store that cannot be reached, or refuses.
    fn write(&self, url: &str, bytes: Vec<u8>) -> Result<(), MergeError>;

    /// Writes a small object, in place of any other, with a time that belongs to it whatever the store's clock says.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn write_dated(&self, url: &str, bytes: Vec<u8>, time: SystemTime) -> Result<(), MergeError>;

    /// The time that an object was [written with](Store::write_dated); `None` where there is none.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn date(&self, url: &str) -> Result<Option<SystemTime>, MergeError>;

    /// Writes a small object where there is none; says whether there was none.
    ///
    /// # Errors
    /// As [`Store::write`], and a store that cannot tell.
    fn create(&self, url: &str, bytes: Vec<u8>) -> Result<bool, MergeError>;

    /// Writes a file as one object, in place of any other, which appears whole or not at all.
    ///
    /// # Errors
    /// As [`Store::write`]; a file that cannot be read; [`MergeError::Cancelled`].
    fn upload(&self, url: &str, upload: &Upload<'_>) -> Result<Written, MergeError>;

    /// Removes an object; that it is gone already is fine.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn remove(&self, url: &str) -> Result<(), MergeError>;
}

/// One version of an object in a store.
pub trait Object: fmt::Debug + Send + Sync {
    /// Its length, when it was last written, and a number that no other version has.
    fn stamp(&self) -> Stamp;

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// The object is another one now, or shorter, or cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), MergeError>;

    /// Says that all of these bytes will be read, in pieces, mostly one after the other.
    fn will_read(&self, range: Range<u64>);
}

/// A file that is to become an object.
pub struct Upload<'a> {
    /// The file.
    pub file: &'a File,
    /// Its length.
    pub bytes: u64,
    /// Bytes of memory that the parts under way may take together; one part is under way in any case.
    pub memory: u64,
    /// Whether nobody wants it any more.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// What tells an object that was written from another of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its length.
    pub bytes: u64,
    /// Its entity tag, where the store gives one.
    pub tag: Option<String>,
}

/// Parts of an object that are uploaded by themselves are of this size, unless there would be too many.
const PART: u64 = 16 << 20;
/// The most parts of an object; S3's limit.
const MOST_PARTS: u64 = 10_000;

/// The bytes of each part but the last of an object of this length. The same length gives the same parts, and in S3 the same tag.
pub(crate) fn part_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(MOST_PARTS).max(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_any_length_has_few_enough_parts() {
        let largest = PART * MOST_PARTS;
        for bytes in [0, 1, PART, PART + 1, 5_000_000_000, largest, largest + 1, 5 << 40, u64::MAX] {
            let part = part_bytes(bytes);
            assert!(part >= PART && bytes.div_ceil(part) <= MOST_PARTS, "{bytes}");
        }
        assert_eq!(part_bytes(largest), PART);
        assert_eq!(part_bytes(largest + 1), PART + 1);
    }
}
