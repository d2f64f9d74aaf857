//! A store in one file, for one coordinator: redb, a transactional B-tree.
//!
//! A commit returns after the file system has it. All access to the file is off the runtime's threads. It is not shared
//! between processes; a second one is refused. After the disk refuses a write the store is of no more use: what then
//! holds is what a new start finds.

mod file;
#[cfg(test)]
mod tests;

use super::{Hub, Key, Op, Revision, Snapshot, Store, StoreError, Transaction, Versioned, Watch};
use async_trait::async_trait;
use file::{META, RECORDS, REVISION};
use redb::{Database, ReadableDatabase, ReadableTable, Table};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A store in `state.redb` in a folder.
pub struct Embedded(Arc<Shared>);

struct Shared {
    /// Closed before the lock is given up: fields are dropped in this order.
    database: Database,
    path: PathBuf,
    /// Held over commit and announcement, so that watches see commits in order.
    commit: Mutex<()>,
    hub: Hub,
    _lock: File,
}

impl Embedded {
    /// Opens the store in this folder, creating both where they are not there. A file left by a crash is repaired.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Foreign`], [`StoreError::Damaged`] or [`StoreError::Io`], each naming the file.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        let folder = folder.to_owned();
        let path = folder.join(file::NAME);
        let opened = off_runtime(path.clone(), "open", move || file::open(&folder)).await?;
        let shared = Shared { database: opened.database, path, commit: Mutex::new(()), hub: Hub::new(), _lock: opened.lock };
        Ok(Self(Arc::new(shared)))
    }

    async fn run<T: Send + 'static>(
        shared: Arc<Shared>,
        operation: &'static str,
        work: impl FnOnce(&Shared) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = shared.path.clone();
        off_runtime(path.clone(), operation, move || work(&shared).map_err(|error| file::failed(operation, &path, error))).await
    }
}

/// Runs blocking work on a thread that may block. A panic in it (redb asserts on some broken files) is an error.
async fn off_runtime<T: Send + 'static>(
    path: PathBuf,
    operation: &'static str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(StoreError::Failed { operation: operation.to_owned(), place: path.display().to_string(), source: panic.into() })
    })
}

impl Shared {
    fn get(&self, key: &Key) -> Result<Option<Versioned>, redb::Error> {
        let records = self.database.begin_read()?.open_table(RECORDS)?;
        Ok(records.get(key.as_str())?.map(|found| versioned(found.value())))
    }

    fn list(&self, prefix: &str) -> Result<Snapshot, redb::Error> {
        let reading = self.database.begin_read()?;
        let revision = revision(&reading.open_table(META)?)?;
        let mut records = Vec::new();
        for entry in reading.open_table(RECORDS)?.range(prefix..)? {
            let (key, found) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            records.push((Key::from(key.value()), versioned(found.value())));
        }
        Ok(Snapshot { revision, records })
    }

    /// Commits, or returns the key of the guard that did not hold.
    fn commit(&self, transaction: &Transaction) -> Result<Result<Revision, Key>, redb::Error> {
        // After a panic in redb its own transaction is rolled back, and there is nothing else to protect.
        let _in_order = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let writing = self.database.begin_write()?;
        let (now, changed) = {
            let mut meta = writing.open_table(META)?;
            let mut records = writing.open_table(RECORDS)?;
            let now = revision(&meta)?;
            for guard in transaction.guards() {
                let found = records.get(guard.key.as_str())?.map(|found| Revision(found.value().0));
                if !guard.expect.allows(found) {
                    return Ok(Err(guard.key.clone()));
                }
            }
            let next = now.0.checked_add(1).ok_or_else(|| redb::Error::Corrupted("the revision is at its end".into()))?;
            let next = Revision(next);
            let changed = apply(&mut records, transaction.ops(), next)?;
            if changed.is_empty() {
                return Ok(Ok(now));
            }
            meta.insert(REVISION, next.0)?;
            (next, changed)
        };
        writing.commit()?;
        self.hub.publish(now, changed);
        Ok(Ok(now))
    }
}

/// Makes the changes and returns those that changed something.
fn apply(records: &mut Table<'_, &str, (u64, &[u8])>, ops: &[Op], revision: Revision) -> Result<Vec<Op>, redb::Error> {
    let mut changed = Vec::with_capacity(ops.len());
    for op in ops {
        let change = match op {
            Op::Put(key, value) => {
                records.insert(key.as_str(), (revision.0, &**value))?;
                true
            }
            Op::Delete(key) => records.remove(key.as_str())?.is_some(),
        };
        if change {
            changed.push(op.clone());
        }
    }
    Ok(changed)
}

fn revision(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, redb::Error> {
    Ok(Revision(meta.get(REVISION)?.map_or(0, |found| found.value())))
}

fn versioned((revision, value): (u64, &[u8])) -> Versioned {
    Versioned { value: value.into(), revision: Revision(revision) }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let key = key.clone();
        Self::run(Arc::clone(&self.0), "get", move |shared| shared.get(&key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        let prefix = prefix.to_owned();
        Self::run(Arc::clone(&self.0), "list", move |shared| shared.list(&prefix)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError> {
        let outcome = Self::run(Arc::clone(&self.0), "commit", move |shared| shared.commit(&transaction)).await?;
        outcome.map_err(|key| StoreError::Conflict { key })
    }

    fn watch(&self, prefix: &str) -> Watch {
        // A watch does not keep the file open.
        let store = Arc::downgrade(&self.0);
        self.0.hub.watch(prefix, move |prefix| {
            let store = store.upgrade().ok_or(StoreError::Closed("the store"));
            async move { Self::run(store?, "list", move |shared| shared.list(&prefix)).await }
        })
    }
}
