//! One object from a file: in one request where it is small, otherwise in parts, a few at a time, each tried again by itself.
//!
//! ```text
//! file ─ read a part ─▶ put_part (retries) … at most so many at once ─▶ all there? ─▶ complete ─▶ look: the object, whole
//!                                                        └── a part fails, or nobody wants it any more ─▶ abort
//! ```
//!
//! Parts of an upload that was neither completed nor aborted, because its process was killed, stay where nobody sees them and cost
//! what they take: stores have rules that remove such.

use super::{
    connect::Shelf,
    fault::Fault,
    fetch::{Limits, retry},
    result,
};
use crate::checkpoint::{Upload, Written, part_bytes};
use bytes::Bytes;
use object_store::{
    MultipartId, PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use std::{cell::Cell, os::unix::fs::FileExt, sync::Arc, time::Duration};
use tokio::{runtime::Handle, task::JoinSet, time::interval};

/// The most parts under way: more do not make it faster.
const AT_ONCE: u64 = 8;
/// A part may take so many times longer than a request for bytes: networks often send slower than they receive.
const SLOWER: u32 = 5;
/// How often to ask whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(50);

/// Uploads it.
pub(super) async fn upload(
    shelf: &Shelf,
    path: &Path,
    upload: &Upload<'_>,
    limits: &Limits,
    runtime: &Handle,
) -> Result<Written, Fault> {
    let limits = Limits { deadline: limits.deadline * SLOWER, ..*limits };
    let part = part_bytes(upload.bytes);
    if upload.bytes <= part {
        let whole = PutPayload::from(read(upload, 0, upload.bytes)?);
        unless_cancelled(upload, result::write(shelf, path, whole, &limits)).await?;
    } else {
        let parts = shelf.parts.as_ref().ok_or_else(|| Fault::Unknown("this store takes no objects in parts".into()))?;
        let id = retry(&limits, || async { Ok(parts.create_multipart(path).await?) }).await?;
        let sent = async {
            let sent = send(parts, path, &id, upload, part, &limits, runtime).await?;
            complete(shelf, parts, path, &id, sent, upload.bytes, &limits).await
        };
        if let Err(fault) = unless_cancelled(upload, sent).await {
            // Once: what cannot be aborted now is removed by the rules of the store.
            let _ = retry(&Limits { tries: 1, ..limits }, || async { Ok(parts.abort_multipart(path, &id).await?) }).await;
            return Err(fault);
        }
    }
    match result::look(shelf, path, &limits).await? {
        Some(written) if written.bytes == upload.bytes => Ok(written),
        Some(Written { bytes, .. }) => Err(Fault::Failed(format!("it holds {bytes} bytes instead of {}", upload.bytes))),
        None => Err(Fault::Failed("it is not there although the store has taken it".into())),
    }
}

/// Sends all parts, at most as many at a time as there is memory for.
async fn send(
    parts: &Arc<dyn MultipartStore>,
    path: &Path,
    id: &MultipartId,
    upload: &Upload<'_>,
    part: u64,
    limits: &Limits,
    runtime: &Handle,
) -> Result<Vec<PartId>, Fault> {
    let at_once = (upload.memory / part).clamp(1, AT_ONCE) as usize;
    let count = upload.bytes.div_ceil(part) as usize;
    let mut sent: Vec<Option<PartId>> = (0..count).map(|_| None).collect();
    // Ends what is under way when it is dropped.
    let mut sending: JoinSet<Result<(usize, PartId), Fault>> = JoinSet::new();
    let mut next = 0;
    loop {
        while next < count && sending.len() < at_once {
            let offset = next as u64 * part;
            let payload = PutPayload::from(read(upload, offset, part.min(upload.bytes - offset))?);
            let (parts, path, id, limits, index) = (Arc::clone(parts), path.clone(), id.clone(), *limits, next);
            let put = async move {
                let put = || async { Ok(parts.put_part(&path, &id, index, payload.clone()).await?) };
                Ok((index, retry(&limits, put).await?))
            };
            sending.spawn_on(put, runtime);
            next += 1;
        }
        match sending.join_next().await {
            None => break,
            Some(done) => {
                let (index, id) = done.map_err(|error| Fault::Failed(format!("sending a part: {error}")))??;
                sent[index] = Some(id);
            }
        }
    }
    sent.into_iter().collect::<Option<_>>().ok_or_else(|| Fault::Failed("a part was not sent".into()))
}

/// Makes an object of the parts, which takes a store long where they are many.
async fn complete(
    shelf: &Shelf,
    parts: &Arc<dyn MultipartStore>,
    path: &Path,
    id: &MultipartId,
    sent: Vec<PartId>,
    bytes: u64,
    limits: &Limits,
) -> Result<(), Fault> {
    let tried = Cell::new(false);
    let attempt = || async {
        match parts.complete_multipart(path, id, sent.clone()).await.map_err(Fault::from) {
            // The answer to the try before got lost: the upload is no more, and the object is there.
            Err(Fault::Missing { .. }) if tried.replace(true) && is_there(shelf, path, bytes, limits).await => Ok(()),
            done => {
                tried.set(true);
                done.map(drop)
            }
        }
    };
    retry(limits, attempt).await
}

async fn is_there(shelf: &Shelf, path: &Path, bytes: u64, limits: &Limits) -> bool {
    matches!(result::look(shelf, path, limits).await, Ok(Some(written)) if written.bytes == bytes)
}

/// Some bytes of the file. They lie in the cache of the system, which has just taken them.
fn read(upload: &Upload<'_>, offset: u64, bytes: u64) -> Result<Bytes, Fault> {
    let mut buffer = vec![0; bytes as usize];
    let read = upload.file.read_exact_at(&mut buffer, offset);
    read.map_err(|error| Fault::Lasting(format!("what is to be sent cannot be read: {error}")))?;
    Ok(buffer.into())
}

/// Does the work until nobody wants it any more.
async fn unless_cancelled<T>(upload: &Upload<'_>, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let cancelled = async {
        let mut look = interval(LOOK);
        while !(upload.cancelled)() {
            look.tick().await;
        }
    };
    tokio::select! {
        biased;
        () = cancelled => Err(Fault::Cancelled),
        done = work => done,
    }
}
