//! Files that devices read by themselves, without a copy in this process' memory: GPUDirect Storage. Not when that is worth it.
//!
//! ```text
//!   Storage      what reads: cuFile, or for tests a plain read
//!   StoredFile   a file that it has been told of
//!   Stored       elements in one
//! ```

#[cfg(feature = "cuda")]
mod blocks;
#[cfg(feature = "cuda")]
mod cufile;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use braid_kernels::Dtype;

use crate::GpuError;

#[cfg(feature = "cuda")]
pub(crate) use blocks::{BLOCK, Blocks};
#[cfg(feature = "cuda")]
pub(crate) use cufile::{Landing, Library, Registered};

/// What reads files into the memory of devices.
#[derive(Debug)]
pub struct Storage {
    /// None for a device that is none.
    #[cfg(feature = "cuda")]
    library: Option<std::sync::Arc<Library>>,
}

/// A file that devices may read.
#[derive(Debug)]
pub struct StoredFile {
    path: PathBuf,
    #[cfg(feature = "cuda")]
    registered: Option<Registered>,
    #[cfg(feature = "shim")]
    plain: File,
    failed: AtomicBool,
}

/// Elements in a file.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// The file.
    pub file: &'a StoredFile,
    /// Where they begin there, in bytes.
    pub offset: u64,
    /// Their type.
    pub dtype: Dtype,
    /// How many there are.
    pub elements: usize,
}

impl Storage {
    /// cuFile, which is looked for.
    ///
    /// # Errors
    /// It is not there, is too old, or has no direct way from any storage of this machine to its GPUs.
    #[cfg(feature = "cuda")]
    pub fn cufile() -> Result<Self, GpuError> {
        Ok(Self { library: Some(Library::open()?) })
    }

    /// Reads of this process, for a device that is none.
    #[cfg(feature = "shim")]
    pub const fn plain() -> Self {
        Self {
            #[cfg(feature = "cuda")]
            library: None,
        }
    }

    /// Tells it of a file, which is at `path`.
    ///
    /// # Errors
    /// There is no direct way from where the file lies.
    pub fn register(&self, file: &File, path: &Path) -> Result<StoredFile, GpuError> {
        let known = self.known(file, path);
        known.map_err(|problem| GpuError::Storage { path: path.to_owned(), problem })
    }

    #[cfg_attr(not(any(feature = "cuda", feature = "shim")), expect(unused_variables, reason = "nothing reads files"))]
    fn known(&self, file: &File, path: &Path) -> Result<StoredFile, String> {
        Ok(StoredFile {
            path: path.to_owned(),
            #[cfg(feature = "cuda")]
            registered: self.library.as_ref().map(|library| library.register(file)).transpose()?,
            #[cfg(feature = "shim")]
            plain: file.try_clone().map_err(|error| error.to_string())?,
            failed: AtomicBool::new(false),
        })
    }
}

impl StoredFile {
    /// Whether it may still be read: nothing has gone wrong with it.
    pub fn is_sound(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// What went wrong with it, as an error. It is not read again.
    pub(crate) fn fail(&self, problem: String) -> GpuError {
        self.failed.store(true, Ordering::Relaxed);
        GpuError::Storage { path: self.path.clone(), problem }
    }

    /// What cuFile knows it as.
    #[cfg(feature = "cuda")]
    pub(crate) fn registered(&self) -> Option<&Registered> {
        self.registered.as_ref()
    }

    /// The file, for a device that is none.
    #[cfg(feature = "shim")]
    pub(crate) fn plain(&self) -> &File {
        &self.plain
    }
}

impl fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, dtype, elements } = self;
        write!(f, "{elements} of {dtype} at byte {offset} of {}", file.path.display())
    }
}
