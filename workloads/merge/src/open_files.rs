//! Files that are open, few enough at a time that a merge of thousands of shards stays below the limit of the system.

use crate::MergeError;
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Opens the file at a path.
type Opener<T> = Box<dyn Fn(&Path) -> Result<T, MergeError> + Send + Sync>;

/// The files used last, open; `T` is what an open file is.
pub(crate) struct OpenFiles<T> {
    open: Opener<T>,
    limit: usize,
    recent: Mutex<Recent<T>>,
}

#[derive(Debug)]
struct Recent<T> {
    clock: u64,
    files: HashMap<PathBuf, (u64, Arc<T>)>,
}

impl<T> OpenFiles<T> {
    /// Keeps `limit` files open beside those in use, each opened by `open`.
    pub(crate) fn new(limit: usize, open: impl Fn(&Path) -> Result<T, MergeError> + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), limit: limit.max(1), recent: Mutex::new(Recent { clock: 0, files: HashMap::new() }) }
    }

    /// The file at `path`, open.
    ///
    /// # Errors
    /// What opening it meets.
    pub(crate) fn get(&self, path: &Path) -> Result<Arc<T>, MergeError> {
        if let Some(file) = self.recent(|recent| recent.touch(path)) {
            return Ok(file);
        }
        // Opened without the lock: on a slow mount this takes long, and other threads have files to read.
        let file = Arc::new((self.open)(path)?);
        self.recent(|recent| recent.insert(path, Arc::clone(&file), self.limit));
        Ok(file)
    }

    fn recent<R>(&self, f: impl FnOnce(&mut Recent<T>) -> R) -> R {
        f(&mut self.recent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: fmt::Debug> fmt::Debug for OpenFiles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFiles").field("limit", &self.limit).field("recent", &self.recent).finish_non_exhaustive()
    }
}

impl<T> Recent<T> {
    fn touch(&mut self, path: &Path) -> Option<Arc<T>> {
        self.clock += 1;
        let (used, file) = self.files.get_mut(path)?;
        *used = self.clock;
        Some(Arc::clone(file))
    }

    fn insert(&mut self, path: &Path, file: Arc<T>, limit: usize) {
        while self.files.len() >= limit {
            let Some(oldest) = self.files.iter().min_by_key(|(_, (used, _))| *used).map(|(path, _)| path.clone()) else { break };
            self.files.remove(&oldest);
        }
        self.files.insert(path.to_owned(), (self.clock, file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_used_last_stay_open() {
        let files = OpenFiles::new(2, |path: &Path| Ok(path.to_owned()));
        let get = |name: &str| files.get(Path::new(name)).unwrap();
        let first = get("0");
        get("1");
        assert!(Arc::ptr_eq(&first, &get("0")));
        get("2");
        assert!(Arc::ptr_eq(&first, &get("0")), "1 was the oldest");
        get("1");
        get("3");
        assert!(!Arc::ptr_eq(&first, &get("0")));
    }
}
