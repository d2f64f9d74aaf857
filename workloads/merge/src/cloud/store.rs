//! Objects by their URL, each found once, on a runtime of its own: merges read from threads that compute, and wait.

use super::{
    Room,
    blocks::Blocks,
    connect::{self, Environment, Located, Purpose, Shelf},
    fault::Fault,
    fetch::{self, Limits},
    hub,
    object::{RemoteObject, Shared},
    result, upload,
};
use crate::{
    MergeError,
    checkpoint::{Object, Store, Upload, Written},
};
use object_store::path::Path;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};
use tokio::runtime::{Builder, Runtime};

/// What is fetched of an object when it is found: a small file whole, and most headers.
const HEAD: u64 = 1 << 16;
/// The largest block: beyond it a request costs nothing beside its bytes.
const MOST_BLOCK: u64 = 8 << 20;
/// The smallest block.
const LEAST_BLOCK: u64 = 1 << 18;
/// Streams of blocks that a thread reads, as it merges so many models.
const STREAMS: u64 = 8;
/// The most memory for blocks.
const MOST_MEMORY: u64 = 1 << 30;

/// All stores that a merge reads from.
pub(crate) struct Cloud {
    room: Room,
    limits: Limits,
    environment: Environment,
    /// Nothing runs before the first URL.
    running: OnceLock<Result<Running, Fault>>,
    found: Mutex<HashMap<String, Option<Arc<RemoteObject>>>>,
    numbers: AtomicU64,
}

struct Running {
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    shelves: tokio::sync::Mutex<HashMap<(String, Purpose), Arc<Shelf>>>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed to those that serve another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The bytes of a block, and how many blocks there may be.
fn blocks(room: Room) -> (u64, usize) {
    let memory = room.memory.min(MOST_MEMORY);
    let share = memory / (room.threads.max(1) as u64 * STREAMS);
    let block = share.clamp(LEAST_BLOCK, MOST_BLOCK);
    (block, usize::try_from(memory / block).unwrap_or(usize::MAX).max(2))
}

impl Cloud {
    /// Stores that are asked within these limits.
    pub(super) fn new(room: Room, limits: Limits, environment: Environment) -> Self {
        let (running, found, numbers) = (OnceLock::new(), Mutex::default(), AtomicU64::new(0));
        Self { room, limits, environment, running, found, numbers }
    }

    fn running(&self) -> Result<&Running, Fault> {
        self.running.get_or_init(|| self.start()).as_ref().map_err(Clone::clone)
    }

    fn start(&self) -> Result<Running, Fault> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("braid-cloud").enable_all().build();
        let runtime = runtime.map_err(|error| Fault::Failed(format!("no threads for the network: {error}")))?;
        let (block, most) = blocks(self.room);
        let shared = Shared {
            runtime: runtime.handle().clone(),
            blocks: Blocks::new(most),
            block,
            permits: tokio::sync::Semaphore::new(self.limits.at_once),
            limits: self.limits,
        };
        Ok(Running { runtime: Some(runtime), shared: Arc::new(shared), shelves: tokio::sync::Mutex::default() })
    }

    /// Runs this on the runtime, for a thread that waits. Everything that is asked has deadlines.
    fn wait<T: Send>(running: &Running, work: impl AsyncFnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
        // Not `block_on`, which a thread of another runtime must not call.
        std::thread::scope(|scope| {
            let handle = running.shared.runtime.clone();
            let waiting = scope.spawn(move || handle.block_on(work()));
            waiting.join().unwrap_or_else(|_| Err(Fault::Failed("asking a store panicked".into())))
        })
    }

    /// Asks something about an object of a result.
    fn of_result<T: Send>(
        &self,
        operation: &'static str,
        url: &str,
        ask: impl AsyncFnOnce(&Shelf, &Path, &Shared) -> Result<T, Fault> + Send,
    ) -> Result<T, MergeError> {
        let answer = self.running().and_then(|running| {
            Self::wait(running, async move || {
                let Located { place, path } = Located::of(url)?;
                let shelf = running.shelf(&place, Purpose::Writing, &self.environment).await?;
                ask(&shelf, &path, &running.shared).await
            })
        });
        answer.map_err(|fault| fault.of(operation, url))
    }
}

impl Running {
    /// The place of this name, for this purpose.
    async fn shelf(&self, place: &str, purpose: Purpose, environment: &Environment) -> Result<Arc<Shelf>, Fault> {
        // Held while it is looked for: a repository is asked about once.
        let mut shelves = self.shelves.lock().await;
        let key = (place.to_owned(), purpose);
        if let Some(shelf) = shelves.get(&key) {
            return Ok(Arc::clone(shelf));
        }
        let (limits, client) = (&self.shared.limits, connect::client(purpose, None)?);
        let shelf = Arc::new(fetch::retry(limits, || connect::shelf(place, &client, environment)).await?);
        shelves.insert(key, Arc::clone(&shelf));
        Ok(shelf)
    }

    /// The object of this URL, numbered so.
    async fn find(&self, url: &str, environment: &Environment, number: u64) -> Result<Option<RemoteObject>, Fault> {
        let Located { place, path } = Located::of(url)?;
        let shelf = self.shelf(&place, Purpose::Reading, environment).await?;
        if shelf.names.as_ref().is_some_and(|names| !names.iter().any(|name| name == path.as_ref())) {
            return Ok(None);
        }
        let _permit = self.shared.permits.acquire().await;
        let (head, version) = match fetch::first(&shelf, &path, HEAD, &self.shared.limits).await {
            Err(Fault::Missing { bucket: false, .. }) => return Ok(None),
            found => found?,
        };
        let version = match &shelf.state {
            Some(commit) => hub::at_commit(version, commit),
            None => version,
        };
        let (url, ranges, shared) = (url.to_owned(), Mutex::default(), Arc::clone(&self.shared));
        Ok(Some(RemoteObject { number, url, shelf, path, version, head, ranges, shared }))
    }

    async fn names(&self, url: &str, environment: &Environment) -> Result<Option<Vec<String>>, Fault> {
        let Located { place, path } = Located::of(url)?;
        let shelf = self.shelf(&place, Purpose::Reading, environment).await?;
        if let Some(names) = &shelf.names {
            return Ok(Some(names.iter().filter(|name| !name.contains('/')).cloned().collect()));
        }
        if !shelf.lists {
            return Ok(None);
        }
        let list = || async {
            let listed = shelf.store.list_with_delimiter(Some(&path).filter(|path| **path != Path::default())).await?;
            // Consoles make an object of the folder's own name, to show a folder that is empty.
            let inside = listed.objects.iter().filter(|object| object.location != path);
            Ok(inside.filter_map(|object| object.location.filename().map(str::to_owned)).collect())
        };
        fetch::retry(&self.shared.limits, list).await.map(Some)
    }
}

impl Store for Cloud {
    fn find(&self, url: &str) -> Result<Option<Arc<dyn Object>>, MergeError> {
        let known = || self.found.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned();
        if let Some(object) = known() {
            return Ok(object.map(|object| object as Arc<dyn Object>));
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let found =
            self.running().and_then(|running| Self::wait(running, async || running.find(url, &self.environment, number).await));
        let found = found.map_err(|fault| fault.of("open", url))?.map(Arc::new);
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // Two may have looked at once: the version of one of them is that of both.
        Ok(all.entry(url.to_owned()).or_insert(found).clone().map(|object| object as Arc<dyn Object>))
    }

    fn names(&self, url: &str) -> Result<Option<Vec<String>>, MergeError> {
        let found = self.running().and_then(|running| Self::wait(running, async || running.names(url, &self.environment).await));
        found.map_err(|fault| fault.of("list", url))
    }

    fn read(&self, url: &str) -> Result<Option<Vec<u8>>, MergeError> {
        self.of_result("read", url, async |shelf, path, shared| result::read(shelf, path, &shared.limits).await)
    }

    fn look(&self, url: &str) -> Result<Option<Written>, MergeError> {
        self.of_result("look at", url, async |shelf, path, shared| result::look(shelf, path, &shared.limits).await)
    }

    fn write(&self, url: &str, bytes: Vec<u8>) -> Result<(), MergeError> {
        self.of_result("write", url, async |shelf, path, shared| result::write(shelf, path, bytes.into(), &shared.limits).await)
    }

    fn write_dated(&self, url: &str, bytes: Vec<u8>, time: SystemTime) -> Result<(), MergeError> {
        self.of_result("write", url, async |shelf, path, shared| {
            result::write_dated(shelf, path, bytes.into(), time, &shared.limits).await
        })
    }

    fn date(&self, url: &str) -> Result<Option<SystemTime>, MergeError> {
        self.of_result("look at", url, async |shelf, path, shared| result::date(shelf, path, &shared.limits).await)
    }

    fn below(&self, url: &str) -> Result<Vec<String>, MergeError> {
        self.of_result("list", url, async |shelf, path, shared| result::below(shelf, path, &shared.limits).await)
    }

    fn create(&self, url: &str, bytes: Vec<u8>) -> Result<bool, MergeError> {
        self.of_result("create", url, async |shelf, path, shared| result::create(shelf, path, bytes, &shared.limits).await)
    }

    fn upload(&self, url: &str, from: &Upload<'_>) -> Result<Written, MergeError> {
        self.of_result("write", url, async |shelf, path, shared| {
            upload::upload(shelf, path, from, &shared.limits, &shared.runtime).await
        })
    }

    fn remove(&self, url: &str) -> Result<(), MergeError> {
        self.of_result("remove", url, async |shelf, path, shared| result::remove(shelf, path, &shared.limits).await)
    }

    fn will_find(&self, urls: &[String]) {
        // A fault is met again, and told, by whoever opens it.
        std::thread::scope(|scope| {
            for part in urls.chunks(urls.len().div_ceil(self.limits.at_once).max(1)) {
                scope.spawn(move || part.iter().for_each(|url| drop(self.find(url))));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_the_memory_and_the_threads() {
        let of = |memory: u64, threads: usize| blocks(Room { memory, threads });
        assert_eq!(of(1 << 30, 16), (8 << 20, 128));
        assert_eq!(of(1 << 40, 16), (8 << 20, 128), "no more than a gigabyte");
        assert_eq!(of(256 << 20, 16), (2 << 20, 128));
        assert_eq!(of(1 << 20, 64), (LEAST_BLOCK, 4));
        assert_eq!(of(0, 0), (LEAST_BLOCK, 2));
    }
}
