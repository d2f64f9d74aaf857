//! The calls of NCCL's library that are used here. Nothing is decided here.
//!
//! Loaded by itself and not through cudarc, which does not look for the one name that NVIDIA's packages have, `libnccl.so.2`, and ends the
//! program where a communicator cannot be taken down.
#![allow(unsafe_code, reason = "calls of a C library; each block says why its arguments are what the library expects")]

use std::{
    error::Error,
    ffi::{CStr, c_char, c_int, c_void},
    fmt, ptr,
    sync::Arc,
};

use libloading::Library;

use crate::GpuError;

/// Where it is looked for.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// The type of elements that are bytes.
const UINT8: c_int = 1;
const SUCCESS: c_int = 0;
const IN_PROGRESS: c_int = 7;

/// What names a group that is being formed: one rank makes it, and hands it to the others.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct NcclId(pub [u8; 128]);

type Comm = *mut c_void;

/// The library.
pub struct Nccl {
    get_unique_id: unsafe extern "C" fn(*mut NcclId) -> c_int,
    comm_init_rank: unsafe extern "C" fn(*mut Comm, c_int, NcclId, c_int) -> c_int,
    comm_abort: unsafe extern "C" fn(Comm) -> c_int,
    comm_get_async_error: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    all_gather: unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, Comm, *mut c_void) -> c_int,
    get_error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    /// Keeps the functions where they are.
    _library: Library,
}

/// A communicator of the library, which is aborted when it is dropped.
pub(super) struct Handle {
    library: Arc<Nccl>,
    comm: Comm,
}

// SAFETY: a communicator belongs to no thread, and is not used by two at a time: those who have it have it by exclusive reference.
unsafe impl Send for Handle {}

impl Nccl {
    /// Loads it.
    ///
    /// # Errors
    /// It is not there, or lacks what is needed.
    pub fn load() -> Result<Arc<Self>, GpuError> {
        let mut problem = String::new();
        for name in NAMES {
            // SAFETY: loading the library runs what it does on loading, which is what it is for.
            match unsafe { Library::new(name) } {
                Ok(library) => return Self::of(library).map(Arc::new),
                Err(error) => problem = error.source().map_or_else(|| error.to_string(), ToString::to_string),
            }
        }
        Err(GpuError::NoNccl { problem })
    }

    fn of(library: Library) -> Result<Self, GpuError> {
        fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, GpuError> {
            // SAFETY: the types are those of nccl.h, which has kept them since its version 2.0.
            let found = unsafe { library.get::<T>(name.as_bytes()) };
            let lacking = |_| GpuError::BrokenLibrary { library: "libnccl", problem: format!("it has no {name}") };
            found.map(|symbol| *symbol).map_err(lacking)
        }
        Ok(Self {
            get_unique_id: symbol(&library, "ncclGetUniqueId")?,
            comm_init_rank: symbol(&library, "ncclCommInitRank")?,
            comm_abort: symbol(&library, "ncclCommAbort")?,
            comm_get_async_error: symbol(&library, "ncclCommGetAsyncError")?,
            all_gather: symbol(&library, "ncclAllGather")?,
            get_error_string: symbol(&library, "ncclGetErrorString")?,
            _library: library,
        })
    }

    /// A fresh one.
    ///
    /// # Errors
    /// What the library says.
    pub fn id(&self) -> Result<NcclId, GpuError> {
        let mut id = NcclId([0; 128]);
        // SAFETY: the pointer is to as many bytes as the library writes.
        self.check("ncclGetUniqueId", unsafe { (self.get_unique_id)(&raw mut id) })?;
        Ok(id)
    }

    /// Waits for all ranks of the group. The device's context must be that of this thread.
    pub(super) fn init(self: &Arc<Self>, id: NcclId, rank: usize, size: usize) -> Result<Handle, GpuError> {
        let mut comm = ptr::null_mut();
        // SAFETY: the pointer is to a pointer; the rest are numbers, and an id by value.
        let done = unsafe { (self.comm_init_rank)(&raw mut comm, size as c_int, id, rank as c_int) };
        self.check("ncclCommInitRank", done)?;
        Ok(Handle { library: Arc::clone(self), comm })
    }

    fn check(&self, operation: &'static str, code: c_int) -> Result<(), GpuError> {
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: the library returns a text of its own that lasts.
        let text = unsafe { (self.get_error_string)(code) };
        // SAFETY: as above.
        let text = if text.is_null() { "unknown error".into() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy() };
        Err(GpuError::Nccl { problem: format!("{operation}: {text} ({code})") })
    }
}

impl Handle {
    /// Begins to gather `bytes` bytes from everyone. `from` and `to` are memory of the device with room for them, and for those of all.
    pub(super) fn all_gather(&mut self, from: u64, to: u64, bytes: usize, stream: *mut c_void) -> Result<(), GpuError> {
        // SAFETY: the caller's memory is as large as said and stays until the stream is done or this communicator aborted.
        let done =
            unsafe { (self.library.all_gather)(from as *const c_void, to as *mut c_void, bytes, UINT8, self.comm, stream) };
        if done == IN_PROGRESS { Ok(()) } else { self.library.check("ncclAllGather", done) }
    }

    /// Whether what was begun may still end: false while the library is at work by itself.
    pub(super) fn settled(&self) -> Result<bool, GpuError> {
        let mut state = SUCCESS;
        // SAFETY: the pointer is to a number of its type.
        self.library.check("ncclCommGetAsyncError", unsafe { (self.library.comm_get_async_error)(self.comm, &raw mut state) })?;
        if state == IN_PROGRESS {
            return Ok(false);
        }
        self.library.check("a collective", state).map(|()| true)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the communicator is from `init` and this is its end. Aborting ends what is under way, and is right for one at rest.
        unsafe { (self.library.comm_abort)(self.comm) };
    }
}

impl fmt::Debug for Nccl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nccl")
    }
}

impl fmt::Debug for NcclId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // who knows it can join
        f.write_str("NcclId")
    }
}
