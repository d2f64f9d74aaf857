//! What a store holds and what happens to it: keys, values, revisions, operations.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The name of a record. Keys sort by their bytes, and a prefix is a prefix of bytes: `job/1` is one of `job/10`, so a
/// caller that means "the children of `job/1`" asks for `job/1/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// The bytes of a record, shared between the queue, the transaction and the watches that see it.
pub type Value = Arc<[u8]>;

/// A point in the history of one store. Grows with each transaction that changes something, not always by one, and
/// never falls, over restarts too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A record as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Its bytes.
    pub value: Value,
    /// The transaction that wrote it last.
    pub revision: Revision,
}

/// All records of one prefix at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Every transaction up to this one is in the snapshot, and none after it.
    pub revision: Revision,
    /// In the order of their keys.
    pub records: Vec<(Key, Versioned)>,
}

/// A change of one record.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// The record has this value from now on.
    Put(Key, Value),
    /// The record is gone. No change where there was none.
    Delete(Key),
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The record it is about; the transaction need not write it.
    pub key: Key,
    /// What it must be.
    pub expect: Expect,
}

/// What a guarded record must be for the transaction to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such record.
    Absent,
    /// It was last written by this transaction.
    At(Revision),
}

impl Key {
    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Op {
    /// Writes a record.
    pub fn put(key: impl Into<Key>, value: impl Into<Value>) -> Self {
        Self::Put(key.into(), value.into())
    }

    /// Removes a record.
    pub fn delete(key: impl Into<Key>) -> Self {
        Self::Delete(key.into())
    }

    /// The record it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    /// Bytes of key and value: what counts against the limit of a transaction.
    pub fn size(&self) -> usize {
        match self {
            Self::Put(key, value) => key.as_str().len() + value.len(),
            Self::Delete(key) => key.as_str().len(),
        }
    }
}

impl Guard {
    /// Demands that there is no such record.
    pub fn absent(key: impl Into<Key>) -> Self {
        Self { key: key.into(), expect: Expect::Absent }
    }

    /// Demands that the record is the one of this revision.
    pub fn at(key: impl Into<Key>, revision: Revision) -> Self {
        Self { key: key.into(), expect: Expect::At(revision) }
    }
}

impl Expect {
    /// Whether a record last written at `revision` (or absent) is what was expected.
    pub(super) fn allows(self, revision: Option<Revision>) -> bool {
        match self {
            Self::Absent => revision.is_none(),
            Self::At(expected) => revision == Some(expected),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

/// Ordered like the text, so a map by key can be searched by text.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Versioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", Excerpt(&self.value), self.revision)
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "{key}={:?}", Excerpt(value)),
            Self::Delete(key) => write!(f, "-{key}"),
        }
    }
}

/// Shows the start of a value: a failed assertion over a thousand records must stay readable.
struct Excerpt<'a>(&'a [u8]);

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..40) {
            Some(start) => write!(f, "{}… ({} bytes)", start.escape_ascii(), self.0.len()),
            None => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}
