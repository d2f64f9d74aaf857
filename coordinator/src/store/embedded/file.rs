//! The file of the embedded store: creating, locking, checking, and reading its errors.
//!
//! A new file appears whole: it is laid out under another name and renamed, because redb does not open a file whose
//! creation was cut short. A lock on a file beside it keeps other processes out meanwhile and after.

use crate::store::StoreError;
use braid_workload::lock::{Holder, LockError, lock as lock_file};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableHandle};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The file in its folder.
pub(super) const NAME: &str = "state.redb";
/// Revision of the last write and value, by key.
pub(super) const RECORDS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("braid.records");
/// Counters of the store itself.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("braid.meta");
/// The counter of transactions in [`META`].
pub(super) const REVISION: &str = "revision";

/// State is small; redb would take up to 1 GiB.
const CACHE: usize = 64 << 20;

/// An open file and what keeps others from it.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) lock: File,
}

/// Opens or creates the file in this folder. Blocks.
pub(super) fn open(folder: &Path) -> Result<Opened, StoreError> {
    fs::create_dir_all(folder).map_err(io_at("create", folder))?;
    let path = folder.join(NAME);
    let lock = lock(folder, &path)?;
    let database = match fs::symlink_metadata(&path) {
        Ok(_) => {
            // One of an earlier version was for everybody's eyes, and may now be given a secret.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io_at("protect", &path))?;
            open_existing(&path)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(folder, &path)?,
        Err(error) => return Err(io_at("open", &path)(error)),
    };
    Ok(Opened { database, lock })
}

fn lock(folder: &Path, path: &Path) -> Result<File, StoreError> {
    let name = folder.join("state.lock");
    let file = File::options().write(true).create(true).truncate(false).open(&name).map_err(io_at("open", &name))?;
    let waiting = |holder, within| {
        tracing::warn!("{} is held by {holder}; waiting up to {within:?} for its end", path.display());
    };
    match lock_file(&file, waiting) {
        Ok(()) => Ok(file),
        Err(LockError::Held(holder)) => Err(StoreError::InUse { file: path.to_owned(), holder }),
        Err(LockError::System(error)) => Err(io_at("lock", &name)(error)),
    }
}

fn create(folder: &Path, path: &Path) -> Result<Database, StoreError> {
    let unfinished = folder.join("state.redb.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at("remove", &unfinished)(error)),
        _ => {}
    }
    let lay_out = || -> Result<Database, redb::Error> {
        let database = builder().create(&unfinished)?;
        let writing = database.begin_write()?;
        writing.open_table(RECORDS)?;
        writing.open_table(META)?.insert(REVISION, 0)?;
        writing.commit()?;
        Ok(database)
    };
    let database = lay_out().map_err(|error| failed("create", path, error))?;
    // It comes to hold the key of the fleet's CA. Nothing of it is there yet.
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600)).map_err(io_at("protect", &unfinished))?;
    fs::rename(&unfinished, path).map_err(io_at("create", path))?;
    // The name must outlive a power cut as surely as the records in the file.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at("sync", folder))?;
    Ok(database)
}

fn open_existing(path: &Path) -> Result<Database, StoreError> {
    let database = builder().open(path).map_err(|error| match error {
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            StoreError::Foreign { place: path.display().to_string(), reason: error.to_string() }
        }
        DatabaseError::Storage(StorageError::Io(error)) => io_at("open", path)(error),
        other => failed("open", path, other.into()),
    })?;
    let tables = || -> Result<Vec<String>, redb::Error> {
        let reading = database.begin_read()?;
        Ok(reading.list_tables()?.map(|table| table.name().to_owned()).collect())
    };
    let tables = tables().map_err(|error| failed("open", path, error))?;
    for name in [RECORDS.name(), META.name()] {
        if !tables.iter().any(|table| table == name) {
            let reason = format!("a database of another program, without the table {name:?}");
            return Err(StoreError::Foreign { place: path.display().to_string(), reason });
        }
    }
    Ok(database)
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    // A whole check costs one read of a small file, and without it redb may panic on a damaged one.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// Puts an error of redb into words.
pub(super) fn failed(operation: &'static str, path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            StoreError::InUse { file: path.to_owned(), holder: Holder(None) }
        }
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => {
            StoreError::Damaged { file: path.to_owned(), source: error.into() }
        }
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            StoreError::Foreign { place: path.display().to_string(), reason: error.to_string() }
        }
        other => StoreError::Failed { operation: operation.to_owned(), place: path.display().to_string(), source: other.into() },
    }
}

fn io_at(operation: &'static str, file: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let file: PathBuf = file.to_owned();
    move |source| StoreError::Io { operation, file, source }
}
