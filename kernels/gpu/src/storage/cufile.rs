//! The calls of cuFile's library that are used here. Nothing is decided here.
//!
//! Loaded by itself and not through cudarc, which does not look for the one name that NVIDIA's packages have, `libcufile.so.0`, and whose
//! list of errors is that of one version.
//!
//! cuFile has a compatibility mode: where there is no direct way from a disk to a GPU, it reads into memory of its own and copies from there.
//! That is what Braid does anyway, in its own buffers and on its own threads, so it is switched off before anything else, and a file
//! without a direct way is refused when it is registered.
#![allow(unsafe_code, reason = "calls of a C library; each block says why its arguments are what the library expects")]

use std::{
    error::Error,
    ffi::{c_int, c_void},
    fmt,
    fs::File,
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr,
    sync::Arc,
};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::GpuError;

/// Where it is looked for.
const NAMES: [&str; 2] = ["libcufile.so.0", "libcufile.so"];
/// `CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE` of cufile.h.
const ALLOW_COMPAT_MODE: c_int = 1;

/// `CU_FILE_HANDLE_TYPE_OPAQUE_FD`.
const OPAQUE_FD: c_int = 1;

type Handle = *mut c_void;

/// `CUfileError_t`: what the library says, and what the driver said to it.
#[repr(C)]
struct Status {
    cufile: c_int,
    driver: c_int,
}

/// `CUfileDescr_t`.
#[repr(C)]
struct Descriptor {
    kind: c_int,
    handle: FileHandle,
    operations: *const c_void,
}

/// What a file is known as; on Linux by its descriptor.
#[repr(C)]
union FileHandle {
    descriptor: c_int,
    _pointer: *mut c_void,
}

/// The library, opened.
pub(crate) struct Library {
    handle_register: unsafe extern "C" fn(*mut Handle, *mut Descriptor) -> Status,
    handle_deregister: unsafe extern "C" fn(Handle),
    buf_register: unsafe extern "C" fn(*const c_void, usize, c_int) -> Status,
    buf_deregister: unsafe extern "C" fn(*const c_void) -> Status,
    read: unsafe extern "C" fn(Handle, *mut c_void, usize, i64, i64) -> isize,
    /// Keeps the functions where they are. It has threads of its own, so it stays until the program ends.
    _library: ManuallyDrop<libloading::Library>,
}

/// A file that the library knows.
pub(crate) struct Registered {
    library: Arc<Library>,
    handle: Handle,
    /// What the handle is of.
    _file: OwnedFd,
}

// SAFETY: the library's handles of files belong to no thread, and its calls lock for themselves.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

/// Memory of a device that the library has been told of.
pub(crate) struct Landing {
    library: Arc<Library>,
    address: u64,
}

impl Library {
    /// Loads it and opens it, without its compatibility mode.
    pub(crate) fn open() -> Result<Arc<Self>, GpuError> {
        let mut problem = String::new();
        for name in NAMES {
            // SAFETY: loading the library runs what it does on loading, which is what it is for.
            match unsafe { libloading::Library::new(name) } {
                Ok(library) => return Self::of(library).map(Arc::new),
                Err(error) => problem = error.source().map_or_else(|| error.to_string(), ToString::to_string),
            }
        }
        Err(GpuError::NoCuFile { problem })
    }

    fn of(library: libloading::Library) -> Result<Self, GpuError> {
        fn symbol<T: Copy>(library: &libloading::Library, name: &str) -> Result<T, GpuError> {
            // SAFETY: the types are those of cufile.h, which has kept them since its version 1.0.
            let found = unsafe { library.get::<T>(name.as_bytes()) };
            let lacking = |_| GpuError::BrokenLibrary { library: "libcufile", problem: format!("it has no {name}") };
            found.map(|symbol| *symbol).map_err(lacking)
        }
        let set: unsafe extern "C" fn(c_int, bool) -> Status = symbol(&library, "cuFileSetParameterBool")?;
        let open: unsafe extern "C" fn() -> Status = symbol(&library, "cuFileDriverOpen")?;
        let refused = |problem| GpuError::NoCuFile { problem };
        // SAFETY: takes no pointer, and comes before the library is opened, as it demands.
        check("cuFileSetParameterBool", unsafe { set(ALLOW_COMPAT_MODE, false) }).map_err(refused)?;
        // SAFETY: takes no argument.
        check("cuFileDriverOpen", unsafe { open() }).map_err(refused)?;
        Ok(Self {
            handle_register: symbol(&library, "cuFileHandleRegister")?,
            handle_deregister: symbol(&library, "cuFileHandleDeregister")?,
            buf_register: symbol(&library, "cuFileBufRegister")?,
            buf_deregister: symbol(&library, "cuFileBufDeregister")?,
            read: symbol(&library, "cuFileRead")?,
            _library: ManuallyDrop::new(library),
        })
    }

    /// Tells it of a file, which is opened once more for that: by the file itself and not by its name, which may be another's by now.
    pub(crate) fn register(self: &Arc<Self>, file: &File) -> Result<Registered, String> {
        let again = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let file = openat(CWD, again, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| format!("it cannot be read past the page cache: {}", io::Error::from(error)))?;
        let handle = FileHandle { descriptor: file.as_raw_fd() };
        let mut of = Descriptor { kind: OPAQUE_FD, handle, operations: ptr::null() };
        let mut handle = ptr::null_mut();
        // SAFETY: both pointers are to values of their types; the descriptor stays open until the handle is given back.
        check("cuFileHandleRegister", unsafe { (self.handle_register)(&raw mut handle, &raw mut of) })?;
        Ok(Registered { library: Arc::clone(self), handle, _file: file })
    }
}

impl Registered {
    /// Reads up to `bytes` bytes at `offset` of the file to place `at` of `to`: how many there were before its end. The device's context
    /// must be that of this thread.
    pub(crate) fn read(&self, offset: u64, to: u64, at: usize, bytes: usize) -> Result<usize, String> {
        let offset = i64::try_from(offset).map_err(|_| format!("no file has a byte {offset}"))?;
        // SAFETY: `to` is the caller's memory of a device, with room for so many bytes from `at` on, which nothing else touches meanwhile.
        let got = unsafe { (self.library.read)(self.handle, to as *mut c_void, bytes, offset, at as i64) };
        match got {
            -1 => Err(format!("cuFileRead: {}", io::Error::last_os_error())),
            ..-1 => Err(format!("cuFileRead: {}", said(got.unsigned_abs()))),
            got => Ok(got.unsigned_abs()),
        }
    }

    /// Tells the library of memory that it will read to, which spares it a copy. It works without, where there is no more such memory.
    pub(crate) fn land(&self, address: u64, bytes: usize) -> Option<Landing> {
        // SAFETY: the memory is the caller's, of a device, and has so many bytes.
        let done = unsafe { (self.library.buf_register)(address as *const c_void, bytes, 0) };
        check("cuFileBufRegister", done).ok()?;
        Some(Landing { library: Arc::clone(&self.library), address })
    }
}

fn check(operation: &'static str, done: Status) -> Result<(), String> {
    match done {
        Status { cufile: 0, .. } => Ok(()),
        Status { cufile, driver: 0 } => Err(format!("{operation}: {}", said(cufile.unsigned_abs() as usize))),
        Status { cufile, driver } => {
            Err(format!("{operation}: {}, error {driver} of CUDA", said(cufile.unsigned_abs() as usize)))
        }
    }
}

/// An error by its number in cufile.h, with what it means where somebody can do something about it.
fn said(error: usize) -> String {
    let meaning = match error {
        5004 => "the module nvidia-fs of the kernel is of another version",
        5007 | 5008 => "there is no direct way from this storage to a GPU",
        5009 => "there is no direct way to this GPU",
        5010 => "the module nvidia-fs of the kernel is not loaded",
        5018 => "no regular file",
        5020 => "the file system does not read past the page cache",
        5025 => "permission denied",
        5036 => "no more of the GPU's memory can be reached from outside",
        _ => return format!("error {error} of cuFile"),
    };
    format!("{meaning} (error {error} of cuFile)")
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the handle is from `register`, and this is its end.
        unsafe { (self.library.handle_deregister)(self.handle) };
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        // SAFETY: the memory was registered and is not freed yet. What the library says of a device that is lost changes nothing.
        unsafe { (self.library.buf_deregister)(self.address as *const c_void) };
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library")
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registered")
    }
}
