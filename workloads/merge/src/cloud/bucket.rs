//! A bucket in memory that writes down what it is asked, and has whatever trouble a test wants.

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Get,
    Head,
    List,
    Put,
    Create,
    Begin,
    Part,
    Complete,
    Abort,
    Delete,
}

impl Asked {
    /// Whether it changes what is there.
    pub(super) fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::Head | Self::List)
    }
}

/// What happens instead of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing is done, and another try may help.
    Fails,
    /// It is done, and the answer is lost.
    Lost,
    /// Nothing is done: the store does not know it.
    Unknown,
}

type Rule = Box<dyn Fn(Asked, &str) -> Option<Trouble> + Send + Sync>;

/// The bucket; clones are the same one.
#[derive(Clone)]
pub(super) struct Bucket {
    inner: InMemory,
    pub(super) asked: Arc<Mutex<Vec<(Asked, String)>>>,
    /// Uploads that have neither been completed nor aborted.
    pub(super) open: Arc<Mutex<BTreeSet<MultipartId>>>,
    /// The most parts that were sent at a time.
    pub(super) at_once: Arc<AtomicUsize>,
    sending: Arc<AtomicUsize>,
    rule: Arc<Mutex<Rule>>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        let rule: Rule = Box::new(|_, _| None);
        let (asked, open, at_once, sending) = Default::default();
        Self { inner: InMemory::new(), asked, open, at_once, sending, rule: Arc::new(Mutex::new(rule)) }
    }

    /// From now on this is looked at first.
    pub(super) fn trouble(&self, rule: impl Fn(Asked, &str) -> Option<Trouble> + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// What is there below a folder, by the rest of its path.
    pub(super) fn below(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let work = async {
            let metas: Vec<_> = self.inner.list(Some(&Path::from(folder))).collect().await;
            let mut found = BTreeMap::new();
            for meta in metas.into_iter().map(Result::unwrap) {
                let bytes = self.inner.get(&meta.location).await.unwrap().bytes().await.unwrap();
                let name = meta.location.as_ref().strip_prefix(folder).unwrap().trim_start_matches('/');
                found.insert(name.to_owned(), bytes.to_vec());
            }
            found
        };
        block_on(work)
    }

    /// Puts something there.
    pub(super) fn set(&self, path: &str, bytes: &str) {
        block_on(self.inner.put(&Path::from(path), bytes.to_owned().into())).unwrap();
    }

    /// How often it was asked this, of paths that end so.
    pub(super) fn count(&self, what: Asked, end: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, path)| *asked == what && path.ends_with(end)).count()
    }

    async fn ask<T>(&self, what: Asked, path: &Path, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.asked.lock().unwrap().push((what, path.to_string()));
        let trouble = self.rule.lock().unwrap()(what, path.as_ref());
        match trouble {
            None => work.await,
            Some(Trouble::Fails) => Err(failed("503")),
            Some(Trouble::Unknown) => Err(failed("501")),
            Some(Trouble::Lost) => {
                work.await?;
                Err(failed("502"))
            }
        }
    }
}

fn failed(status: &str) -> Error {
    Error::Generic { store: "bucket", source: format!("Server returned non-2xx status code: {status} : trouble").into() }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let what = if options.mode == PutMode::Create { Asked::Create } else { Asked::Put };
        self.ask(what, location, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failed("501"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let what = if options.head { Asked::Head } else { Asked::Get };
        self.ask(what, location, self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        let delete = move |location: Result<Path>| {
            let own = own.clone();
            async move {
                let location = location?;
                own.ask(Asked::Delete, &location, own.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        self.ask(Asked::List, prefix.unwrap_or(&root), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failed("501"))
    }
}

#[async_trait]
impl MultipartStore for Bucket {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let id = self.ask(Asked::Begin, path, self.inner.create_multipart(path)).await?;
        self.open.lock().unwrap().insert(id.clone());
        Ok(id)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        let sending = self.sending.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once.fetch_max(sending, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let sent = self.ask(Asked::Part, path, self.inner.put_part(path, id, part_idx, data)).await;
        self.sending.fetch_sub(1, Ordering::SeqCst);
        sent
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = async {
            if !self.open.lock().unwrap().remove(id) {
                let source = "Server returned non-2xx status code: 404 : NoSuchUpload".into();
                return Err(Error::NotFound { path: path.to_string(), source });
            }
            self.inner.complete_multipart(path, id, parts).await
        };
        self.ask(Asked::Complete, path, complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.open.lock().unwrap().remove(id);
        self.ask(Asked::Abort, path, self.inner.abort_multipart(path, id)).await
    }
}
