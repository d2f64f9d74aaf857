//! The small requests of a result: objects as they are now, and writing and removing them.

use super::{
    connect::Shelf,
    fault::Fault,
    fetch::{Limits, retry},
};
use crate::checkpoint::Written;
use object_store::{GetOptions, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

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
