//! One range of one version of an object: with retries, a back-off between them and a deadline for each.

use super::{connect::Shelf, fault::Fault};
use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt, path::Path};
use std::{future::Future, ops::Range, time::Duration};
use tokio::time::{sleep, timeout};

/// How long and how often to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Tries of one request.
    pub(super) tries: u32,
    /// The pause after the first; each next one is twice as long.
    pub(super) pause: Duration,
    /// The longest pause.
    pub(super) longest_pause: Duration,
    /// How long one try may take.
    pub(super) deadline: Duration,
    /// Requests under way at a time.
    pub(super) at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tries: 6,
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            deadline: Duration::from_secs(60),
            at_once: 32,
        }
    }
}

/// What identifies a version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Its length.
    pub(super) bytes: u64,
    /// Its entity tag, if it has one that stands for its very bytes.
    pub(super) tag: Option<String>,
    /// When it was last written, in nanoseconds since 1970.
    pub(super) modified: i64,
}

impl Version {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self {
            bytes: meta.size,
            // A weak tag says that two versions mean the same, not that they are.
            tag: meta.e_tag.clone().filter(|tag| !tag.starts_with("W/")),
            modified: meta.last_modified.timestamp_nanos_opt().unwrap_or(0),
        }
    }
}

/// Tries until it works, or cannot work, or has been tried often enough.
pub(super) async fn retry<T, F: Future<Output = Result<T, Fault>>>(limits: &Limits, attempt: impl Fn() -> F) -> Result<T, Fault> {
    let mut pause = limits.pause;
    for left in (0..limits.tries.max(1)).rev() {
        let seconds = limits.deadline.as_secs_f64();
        let answer = timeout(limits.deadline, attempt()).await;
        let fault = match answer.unwrap_or_else(|_| Err(Fault::Failed(format!("no answer within {seconds} s")))) {
            Err(fault) if fault.may_pass() => fault,
            done => return done,
        };
        if left == 0 {
            return Err(match fault {
                Fault::Failed(text) => Fault::Failed(format!("{text}; tried {} times", limits.tries)),
                other => other,
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(limits.longest_pause);
    }
    Err(Fault::Failed("it was not tried".into()))
}

/// The first bytes of an object, at most `most` of them, and its version. An empty object has none.
pub(super) async fn first(shelf: &Shelf, path: &Path, most: u64, limits: &Limits) -> Result<(Bytes, Version), Fault> {
    let attempt = || async {
        let options = GetOptions { range: Some(GetRange::Bounded(0..most)), ..GetOptions::default() };
        match shelf.get(path, options).await {
            Ok(found) => {
                let version = Version::of(&found.meta);
                let bytes = found.bytes().await?;
                whole(&bytes, version.bytes.min(most))?;
                Ok::<_, Fault>((bytes, version))
            }
            Err(Fault::NoRange) => Ok((Bytes::new(), Version::of(&shelf.store.head(path).await?))),
            Err(Fault::NotPartial) => {
                let found = shelf.get(path, GetOptions::default()).await?;
                let version = Version::of(&found.meta);
                if version.bytes > most {
                    return Err(Fault::NotPartial);
                }
                let bytes = found.bytes().await?;
                whole(&bytes, version.bytes)?;
                Ok((bytes, version))
            }
            Err(fault) => Err(fault),
        }
    };
    retry(limits, attempt).await
}

/// These bytes of this version.
pub(super) async fn range(
    shelf: &Shelf,
    path: &Path,
    version: &Version,
    range: Range<u64>,
    limits: &Limits,
) -> Result<Bytes, Fault> {
    let attempt = || async {
        let if_match = if shelf.pinned { None } else { version.tag.clone() };
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), if_match, ..GetOptions::default() };
        let found = shelf.get(path, options).await?;
        let now = Version::of(&found.meta);
        // Not every server heeds If-Match.
        if now.bytes != version.bytes || (!shelf.pinned && (&now.tag, now.modified) != (&version.tag, version.modified)) {
            return Err(Fault::Changed);
        }
        let bytes = found.bytes().await?;
        whole(&bytes, range.end - range.start)?;
        Ok::<_, Fault>(bytes)
    };
    retry(limits, attempt).await
}

fn whole(bytes: &Bytes, wanted: u64) -> Result<(), Fault> {
    match bytes.len() as u64 {
        got if got == wanted => Ok(()),
        got => Err(Fault::Failed(format!("{got} bytes came instead of {wanted}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn run<T>(limits: &Limits, faults: &[Fault], done: T) -> (Result<T, Fault>, usize)
    where
        T: Clone,
    {
        let tried = Cell::new(0);
        let attempt = || async {
            tried.set(tried.get() + 1);
            faults.get(tried.get() - 1).cloned().map_or(Ok(done.clone()), Err)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        (runtime.block_on(retry(limits, attempt)), tried.get())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        let limits = Limits { tries: 3, pause: Duration::from_millis(1), ..Limits::default() };
        let failed = || Fault::Failed("503".into());
        assert_eq!(run(&limits, &[failed(), failed()], 7), (Ok(7), 3));
        assert_eq!(run(&limits, &[failed(), Fault::Changed], 7), (Err(Fault::Changed), 2));
        let (answer, tried) = run(&limits, &[failed(), failed(), failed()], 7);
        assert_eq!((answer, tried), (Err(Fault::Failed("503; tried 3 times".into())), 3));
    }
}
