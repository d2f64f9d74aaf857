//! The small requests of a result: objects as they are now, and writing and removing them.

use super::{
    connect::Shelf,
    fault::Fault,
    fetch::{Limits, retry},
};
use crate::checkpoint::Written;
use futures_util::TryStreamExt;
use object_store::{Attribute, Attributes, GetOptions, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

/// Where a store keeps a time that belongs to an object. Azure takes letters, digits and underscores here.
const DATE: Attribute = Attribute::Metadata(Cow::Borrowed("date"));

/// All bytes of an object; `None` where there is none.
pub(super) async fn read(shelf: &Shelf, path: &Path, limits: &Limits) -> Result<Option<Vec<u8>>, Fault> {
    let attempt = || async { Ok(shelf.get(path, GetOptions::default()).await?.bytes().await?.to_vec()) };
    there(retry(limits, attempt).await)
}

/// What tells an object from others; `None` where there is none.
pub(super) async fn look(shelf: &Shelf, path: &Path, limits: &Limits) -> Result<Option<Written>, Fault> {
    let attempt = || async {
        let meta = shelf.store.head(path).await?;
        Ok(Written { bytes: meta.size, tag: meta.e_tag })
    };
    there(retry(limits, attempt).await)
}

/// Writes an object.
pub(super) async fn write(shelf: &Shelf, path: &Path, bytes: PutPayload, limits: &Limits) -> Result<(), Fault> {
    retry(limits, || async { Ok(shelf.store.put(path, bytes.clone()).await.map(drop)?) }).await
}

/// Writes an object with a time that belongs to it.
pub(super) async fn write_dated(
    shelf: &Shelf,
    path: &Path,
    bytes: PutPayload,
    time: SystemTime,
    limits: &Limits,
) -> Result<(), Fault> {
    let nanos = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let attempt = || async {
        let attributes = Attributes::from_iter([(DATE, nanos.to_string())]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        Ok(shelf.store.put_opts(path, bytes.clone(), options).await.map(drop)?)
    };
    retry(limits, attempt).await
}

/// The time that an object was written with; `None` where there is none, or no such object.
pub(super) async fn date(shelf: &Shelf, path: &Path, limits: &Limits) -> Result<Option<SystemTime>, Fault> {
    let attempt = || async {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = shelf.get(path, options).await?;
        let nanos = found.attributes.get(&DATE).and_then(|nanos| nanos.parse().ok());
        Ok(nanos.and_then(|nanos| SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))))
    };
    Ok(there(retry(limits, attempt).await)?.flatten())
}

/// The names of all objects below a folder, as paths from there.
pub(super) async fn below(shelf: &Shelf, folder: &Path, limits: &Limits) -> Result<Vec<String>, Fault> {
    let attempt = || async {
        let found: Vec<ObjectMeta> = shelf.store.list(Some(folder)).try_collect().await?;
        let name =
            |object: &ObjectMeta| Some(object.location.as_ref().strip_prefix(folder.as_ref())?.strip_prefix('/')?.to_owned());
        Ok(found.iter().filter_map(name).collect())
    };
    retry(limits, attempt).await
}

/// Writes an object where there is none; says whether there was none.
pub(super) async fn create(shelf: &Shelf, path: &Path, bytes: Vec<u8>, limits: &Limits) -> Result<bool, Fault> {
    let payload = PutPayload::from(bytes.clone());
    let attempt = || async {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        Ok(shelf.store.put_opts(path, payload.clone(), options).await.map(drop)?)
    };
    match retry(limits, attempt).await {
        Ok(()) => Ok(true),
        // It may be ours, of a try whose answer got lost: nobody else's is the same.
        Err(Fault::Exists) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Removes an object, if it is there.
pub(super) async fn remove(shelf: &Shelf, path: &Path, limits: &Limits) -> Result<(), Fault> {
    there(retry(limits, || async { Ok(shelf.store.delete(path).await?) }).await).map(drop)
}

/// No object is an answer; no bucket is a fault.
fn there<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Fault::Missing { bucket: false, .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}
