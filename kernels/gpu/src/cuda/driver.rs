//! The calls of the driver's library that are used here, each with its result checked. Nothing is decided here.
//!
//! cudarc has the signatures and looks for the library; a library or a symbol that is not there makes it panic, so [`library`] asks
//! for all of them first, and nothing else may be called before it.
#![allow(unsafe_code, reason = "calls of a C library; each block says why its arguments are what the library expects")]

use std::{
    error::Error,
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use cudarc::driver::sys::{self, CUresult};

use crate::GpuError;

/// What is called here, as the library exports it.
const SYMBOLS: [&str; 26] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorString",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamQuery",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuLaunchKernel",
];

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) operation: &'static str,
    pub(super) code: u32,
    pub(super) text: String,
}

pub(super) const OUT_OF_MEMORY: u32 = 2;
pub(super) const NO_DEVICE: u32 = 100;
pub(super) const NO_BINARY_FOR_GPU: u32 = 209;
pub(super) const UNSUPPORTED_PTX: u32 = 222;

type Answer<T> = Result<T, Refusal>;

/// A pointer that the library handed out. Any thread may hand it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle<T>(*mut T);

// SAFETY: contexts, modules, functions, streams and pinned memory of the driver belong to no thread; its calls lock for themselves.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handle<T> {}

impl<T> Handle<T> {
    /// For another library of the driver's.
    pub(super) fn pointer(self) -> *mut c_void {
        self.0.cast()
    }
}

pub(super) type Context = Handle<sys::CUctx_st>;
pub(super) type Function = Handle<sys::CUfunc_st>;
pub(super) type Module = Handle<sys::CUmod_st>;
pub(super) type Stream = Handle<sys::CUstream_st>;

/// Whether the library is there and has what is called here.
pub(super) fn library() -> Result<(), GpuError> {
    // SAFETY: loading the driver's library runs what it does on loading, which is what it is for.
    if !unsafe { sys::is_culib_present() } {
        // SAFETY: as above; it has just failed to load, and this asks why.
        let problem = unsafe { libloading::Library::new("libcuda.so.1") }.err().map_or_else(String::new, |error| reason(&error));
        return Err(GpuError::NoLibrary { library: "libcuda", problem });
    }
    // SAFETY: the library is there, so that this does not panic.
    let library = unsafe { sys::culib() };
    for name in SYMBOLS {
        // SAFETY: the symbol is only looked for, not used.
        if unsafe { library.get::<*const c_void>(name.as_bytes()) }.is_err() {
            return Err(GpuError::BrokenLibrary { library: "libcuda", problem: format!("it has no {name}") });
        }
    }
    Ok(())
}

/// What the loader says, which is behind what libloading says.
fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn check(operation: &'static str, result: CUresult) -> Answer<()> {
    if result == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let mut text: *const c_char = ptr::null();
    // SAFETY: the library sets the pointer to a text of its own that lasts, or leaves it.
    let known = unsafe { sys::cuGetErrorString(result, &raw mut text) } == CUresult::CUDA_SUCCESS && !text.is_null();
    // SAFETY: as above.
    let text = if known { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() } else { "unknown error".into() };
    Err(Refusal { operation, code: result as u32, text })
}

/// Must succeed before any of what follows.
pub(super) fn init() -> Answer<()> {
    // SAFETY: takes no pointer.
    check("cuInit", unsafe { sys::cuInit(0) })
}

/// The newest CUDA that the driver takes, as 1000 × major + 10 × minor.
pub(super) fn version() -> Answer<u32> {
    let mut version = 0;
    // SAFETY: the pointer is to a number of its type.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut version) })?;
    Ok(u32::try_from(version).unwrap_or_default())
}

pub(super) fn count() -> Answer<u32> {
    let mut count = 0;
    // SAFETY: as above.
    check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&raw mut count) })?;
    Ok(u32::try_from(count).unwrap_or_default())
}

pub(super) fn device(ordinal: u32) -> Answer<c_int> {
    let mut device = 0;
    // SAFETY: as above.
    check("cuDeviceGet", unsafe { sys::cuDeviceGet(&raw mut device, c_int::try_from(ordinal).unwrap_or(c_int::MAX)) })?;
    Ok(device)
}

pub(super) fn name(device: c_int) -> Answer<String> {
    let mut name = [0u8; 256];
    // SAFETY: the library writes at most so many bytes, the last of them zero.
    check("cuDeviceGetName", unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as c_int, device) })?;
    Ok(CStr::from_bytes_until_nul(&name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// Major and minor number of what code must be compiled for, and the number of multiprocessors.
pub(super) fn attributes(device: c_int) -> Answer<[u32; 3]> {
    use sys::CUdevice_attribute_enum as Attribute;
    let mut values = [0; 3];
    let asked = [
        Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
        Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
    ];
    for (value, attribute) in values.iter_mut().zip(asked) {
        let mut found = 0;
        // SAFETY: the pointer is to a number of its type.
        check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&raw mut found, attribute, device) })?;
        *value = u32::try_from(found).unwrap_or_default();
    }
    Ok(values)
}

pub(super) fn memory(device: c_int) -> Answer<u64> {
    let mut bytes = 0usize;
    // SAFETY: as above.
    check("cuDeviceTotalMem", unsafe { sys::cuDeviceTotalMem_v2(&raw mut bytes, device) })?;
    Ok(bytes as u64)
}

/// The context that all users of the device in this process share.
pub(super) fn retain(device: c_int) -> Answer<Context> {
    let mut context = ptr::null_mut();
    // SAFETY: as above.
    check("cuDevicePrimaryCtxRetain", unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, device) })?;
    Ok(Handle(context))
}

pub(super) fn release(device: c_int) -> Answer<()> {
    // SAFETY: takes no pointer.
    check("cuDevicePrimaryCtxRelease", unsafe { sys::cuDevicePrimaryCtxRelease_v2(device) })
}

/// Makes the context that of this thread's next calls.
pub(super) fn enter(context: Context) -> Answer<()> {
    // SAFETY: the context is from `retain`, and is released after all that uses it.
    check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(context.0) })
}

/// Loads a fat binary, which ends where its header says.
pub(super) fn load(image: &'static [u8]) -> Answer<Module> {
    let mut module = ptr::null_mut();
    // SAFETY: the image is what nvcc made, whole, and lives as long as the program.
    check("cuModuleLoadData", unsafe { sys::cuModuleLoadData(&raw mut module, image.as_ptr().cast()) })?;
    Ok(Handle(module))
}

pub(super) fn function(module: Module, name: &CStr) -> Answer<Function> {
    let mut function = ptr::null_mut();
    // SAFETY: the module is from `load`, and the name ends with a zero.
    check("cuModuleGetFunction", unsafe { sys::cuModuleGetFunction(&raw mut function, module.0, name.as_ptr()) })?;
    Ok(Handle(function))
}

/// A stream that waits for no other.
pub(super) fn stream() -> Answer<Stream> {
    const NON_BLOCKING: u32 = 1;
    let mut stream = ptr::null_mut();
    // SAFETY: the pointer is to a pointer of its type.
    check("cuStreamCreate", unsafe { sys::cuStreamCreate(&raw mut stream, NON_BLOCKING) })?;
    Ok(Handle(stream))
}

pub(super) fn destroy(stream: Stream) -> Answer<()> {
    // SAFETY: the stream is from `stream`, and its owner calls this once, at its end.
    check("cuStreamDestroy", unsafe { sys::cuStreamDestroy_v2(stream.0) })
}

pub(super) fn synchronize(stream: Stream) -> Answer<()> {
    // SAFETY: the stream is from `stream` and not destroyed yet.
    check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(stream.0) })
}

/// Whether all is done that the stream was asked for.
pub(super) fn is_done(stream: Stream) -> Answer<bool> {
    // SAFETY: as above.
    match unsafe { sys::cuStreamQuery(stream.0) } {
        CUresult::CUDA_ERROR_NOT_READY => Ok(false),
        result => check("cuStreamQuery", result).map(|()| true),
    }
}

pub(super) fn allocate(bytes: usize) -> Answer<u64> {
    let mut address = 0;
    // SAFETY: the pointer is to an address of its type.
    check("cuMemAlloc", unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes) })?;
    Ok(address)
}

pub(super) fn free(address: u64) -> Answer<()> {
    // SAFETY: the address is from `allocate`, and its owner calls this once; the library waits for what uses it.
    check("cuMemFree", unsafe { sys::cuMemFree_v2(address) })
}

pub(super) fn fill(address: u64, byte: u8, bytes: usize, stream: Stream) -> Answer<()> {
    // SAFETY: the callers' memory is from `allocate` and has so many bytes.
    check("cuMemsetD8Async", unsafe { sys::cuMemsetD8Async(address, byte, bytes, stream.0) })
}

/// Copies inside the device.
pub(super) fn copy(from: u64, to: u64, bytes: usize, stream: Stream) -> Answer<()> {
    // SAFETY: both are the callers' memory from `allocate`, and have so many bytes.
    check("cuMemcpyDtoDAsync", unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, stream.0) })
}

/// Runs a kernel. `arguments` are as many and of such sizes as it takes.
pub(super) fn launch(function: Function, (x, y): (u32, u32), block: u32, arguments: &[Vec<u8>], stream: Stream) -> Answer<()> {
    let mut pointers: Vec<*mut c_void> = arguments.iter().map(|bytes| bytes.as_ptr().cast_mut().cast()).collect();
    // SAFETY: the library copies the arguments before it returns; that they are those of the kernel is what the kernels' tests show,
    // and that addresses among them are of memory as large as the kernel touches.
    let done =
        unsafe { sys::cuLaunchKernel(function.0, x, y, 1, block, 1, 1, 0, stream.0, pointers.as_mut_ptr(), ptr::null_mut()) };
    check("cuLaunchKernel", done)
}

/// Memory of the host that the device copies from and to by itself.
#[derive(Debug)]
pub(super) struct Pinned {
    place: Handle<u8>,
    bytes: usize,
}

impl Pinned {
    pub(super) fn new(bytes: usize) -> Answer<Self> {
        let mut place = ptr::null_mut();
        // SAFETY: the pointer is to a pointer of its type.
        check("cuMemHostAlloc", unsafe { sys::cuMemHostAlloc(&raw mut place, bytes, 0) })?;
        // SAFETY: the library has just given so many bytes, which nobody else has.
        unsafe { ptr::write_bytes(place.cast::<u8>(), 0, bytes) };
        Ok(Self { place: Handle(place.cast()), bytes })
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Its bytes. No copy may be under way.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes were given and written, and `self` is the only one that has them; copies under way are excluded by
        // `Queue`, which waits for them first.
        unsafe { std::slice::from_raw_parts_mut(self.place.0, self.bytes) }
    }

    /// Begins a copy of the first `bytes` to the device.
    pub(super) fn send(&self, bytes: usize, to: u64, stream: Stream) -> Answer<()> {
        // SAFETY: `Queue` keeps this memory as it is until the stream is done; the target has so many bytes.
        check("cuMemcpyHtoDAsync", unsafe { sys::cuMemcpyHtoDAsync_v2(to, self.place.0.cast(), bytes.min(self.bytes), stream.0) })
    }

    /// Begins a copy from the device into the first `bytes`.
    pub(super) fn receive(&mut self, bytes: usize, from: u64, stream: Stream) -> Answer<()> {
        // SAFETY: `Queue` does not look at this memory before the stream is done; the source has so many bytes.
        check("cuMemcpyDtoHAsync", unsafe {
            sys::cuMemcpyDtoHAsync_v2(self.place.0.cast(), from, bytes.min(self.bytes), stream.0)
        })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: the memory is from `cuMemHostAlloc`. A context that is lost has given it back already, and says so.
        check("cuMemFreeHost", unsafe { sys::cuMemFreeHost(self.place.0.cast()) }).unwrap_or_default();
    }
}
