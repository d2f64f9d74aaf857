//! Where the bytes of checkpoints come from: mounted file systems, or a store that is spoken to over the network.
//!
//! A place is a path; one that begins with a scheme (`s3://bucket/model`) is the URL of something in a store. What is asked of a
//! store is [`Store`], and the feature `cloud` has the only one.

use super::{data_file::DataFile, store::Store};
use crate::MergeError;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Opens what checkpoints are made of, wherever it lies.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    store: Option<Arc<dyn Store>>,
}

impl Sources {
    /// Mounted file systems alone.
    pub fn mounted() -> Self {
        Self::default()
    }

    /// And this store.
    pub fn with(store: Arc<dyn Store>) -> Self {
        Self { store: Some(store) }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn open(&self, path: &Path) -> Result<DataFile, MergeError> {
        let Some(url) = url(path) else { return DataFile::open(path) };
        match self.store(url)?.find(url)? {
            Some(object) => Ok(DataFile::remote(path, object)),
            None => Err(MergeError::io("open", path)(io::ErrorKind::NotFound.into())),
        }
    }

    /// Whether there is such a file.
    ///
    /// # Errors
    /// A store that cannot say.
    pub fn is_file(&self, path: &Path) -> Result<bool, MergeError> {
        match url(path) {
            None => Ok(path.is_file()),
            Some(url) => Ok(self.store(url)?.find(url)?.is_some()),
        }
    }

    /// The first of these files that is in the folder.
    ///
    /// # Errors
    /// A store that cannot say.
    pub fn first_of<const N: usize>(&self, folder: &Path, names: [&str; N]) -> Result<Option<PathBuf>, MergeError> {
        for path in names.map(|name| folder.join(name)) {
            if self.is_file(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Says that these files are about to be opened.
    pub fn will_open<'a>(&self, paths: impl Iterator<Item = &'a Path>) {
        let urls: Vec<String> = paths.filter_map(url).map(str::to_owned).collect();
        if let (Some(store), false) = (&self.store, urls.is_empty()) {
            store.will_find(&urls);
        }
    }

    /// The length of a file; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn length(&self, path: &Path) -> Result<Option<u64>, MergeError> {
        let Some(url) = url(path) else {
            return match fs::metadata(path) {
                Ok(metadata) => Ok(Some(metadata.len())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(MergeError::io("look at", path)(error)),
            };
        };
        Ok(self.store(url)?.find(url)?.map(|object| object.stamp().bytes))
    }

    /// All bytes of a file, which is small; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_if_there(&self, path: &Path) -> Result<Option<Vec<u8>>, MergeError> {
        let Some(url) = url(path) else {
            return match fs::read(path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(MergeError::io("read", path)(error)),
            };
        };
        let Some(object) = self.store(url)?.find(url)? else { return Ok(None) };
        let too_long = |_| MergeError::Task(format!("{url} does not fit the memory"));
        let mut bytes = vec![0; usize::try_from(object.stamp().bytes).map_err(too_long)?];
        object.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// The names of the files in a folder; `None` where its store cannot list.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn names(&self, folder: &Path) -> Result<Option<Vec<String>>, MergeError> {
        if let Some(url) = url(folder) {
            return self.store(url)?.names(url);
        }
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(MergeError::io("read", folder))?;
        Ok(Some(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()))
    }

    /// The time of a file that was given one: when it was last written or, in a store, the time that it was written with; `None` where there
    /// is no such file or time.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(crate) fn date(&self, path: &Path) -> Result<Option<SystemTime>, MergeError> {
        let Some(url) = url(path) else {
            return match fs::metadata(path).and_then(|metadata| metadata.modified()) {
                Ok(time) => Ok(Some(time)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(MergeError::io("look at", path)(error)),
            };
        };
        self.store(url)?.date(url)
    }

    /// The store that takes a result at `url`.
    ///
    /// # Errors
    /// This program knows none.
    pub(crate) fn store_of_result(&self, url: &str) -> Result<Arc<dyn Store>, MergeError> {
        let missing = || without_stores("write to", url, "writes to", "give a folder");
        self.store.clone().ok_or_else(missing)
    }

    fn store(&self, url: &str) -> Result<&Arc<dyn Store>, MergeError> {
        self.store.as_ref().ok_or_else(|| without_stores("open", url, "reads", "give a folder that holds a copy"))
    }
}

fn without_stores(operation: &'static str, url: &str, does: &str, instead: &str) -> MergeError {
    MergeError::Remote {
        operation,
        object: url.to_owned(),
        problem: format!("this program was built without the feature cloud, and {does} mounted file systems only"),
        hint: Some(format!("build it with `--features cloud`, or {instead}")),
        passing: false,
    }
}

/// The URL that a path is, if it is one: it begins with a scheme.
pub fn url(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    let mut letters = scheme.chars();
    let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_makes_a_url() {
        for (path, expected) in [
            ("s3://bucket/model", true),
            ("https://host:1/model", true),
            ("hf://org/name@main", true),
            ("/data/model", false),
            ("org/name", false),
            ("/data/s3://odd", false),
            ("://x", false),
            ("s3:/bucket", false),
        ] {
            assert_eq!(url(Path::new(path)).is_some(), expected, "{path}");
        }
        assert_eq!(url(&Path::new("s3://bucket/model").join("config.json")), Some("s3://bucket/model/config.json"));
    }

    #[test]
    fn without_a_store_a_url_is_refused_with_what_to_do() {
        let error = Sources::mounted().open(Path::new("s3://bucket/model")).unwrap_err();
        assert!(error.to_string().starts_with("cannot open s3://bucket/model: this program was built without the feature cloud"));
        assert!(error.hint().unwrap().contains("--features cloud"));
    }
}
