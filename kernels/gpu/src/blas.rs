//! Matrix products by cuBLAS, whose library is looked for at run time. Nothing is decided here.
//!
//! cudarc has the signatures and looks for the library; a library or a symbol that is not there makes it panic, so [`Blas::new`] asks for
//! all of them first, and nothing else may be called before it.
#![allow(unsafe_code, reason = "calls of a C library; each block says why its arguments are what the library expects")]

use std::{
    error::Error,
    ffi::{CStr, c_void},
    ptr,
};

use cudarc::cublas::sys::{self, cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cublasStatus_t, cudaDataType};

use crate::{
    GpuError, Product,
    products::{Factor, Turned},
};

/// What is called here, as the library exports it.
const SYMBOLS: [&str; 5] =
    ["cublasCreate_v2", "cublasDestroy_v2", "cublasSetStream_v2", "cublasGemmStridedBatchedEx", "cublasGetStatusString"];

/// The library at work for one stream.
pub(crate) struct Blas {
    handle: sys::cublasHandle_t,
    device: String,
}

// SAFETY: a handle belongs to no thread, and is not used by two at a time: those who have it have it by exclusive reference.
unsafe impl Send for Blas {}

/// Whether the library is there and has what is called here.
pub(crate) fn library() -> Result<(), GpuError> {
    // SAFETY: loading the library runs what it does on loading, which is what it is for.
    if !unsafe { sys::is_culib_present() } {
        // SAFETY: as above; it has just failed to load, and this asks why.
        let problem = unsafe { libloading::Library::new("libcublas.so.13") }
            .err()
            .map_or_else(String::new, |error| error.source().map_or_else(|| error.to_string(), ToString::to_string));
        return Err(GpuError::NoBlas { problem });
    }
    // SAFETY: the library is there, so that this does not panic.
    let library = unsafe { sys::culib() };
    for name in SYMBOLS {
        // SAFETY: the symbol is only looked for, not used.
        if unsafe { library.get::<*const c_void>(name.as_bytes()) }.is_err() {
            return Err(GpuError::BrokenLibrary { library: "libcublas", problem: format!("it has no {name}") });
        }
    }
    Ok(())
}

impl Blas {
    /// The library for a stream of `device`, whose context must be that of this thread.
    pub(crate) fn new(device: &str, stream: *mut c_void) -> Result<Self, GpuError> {
        library()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the pointer is to a pointer of its type.
        check(device, "cublasCreate", unsafe { sys::cublasCreate_v2(&raw mut handle) })?;
        let blas = Self { handle, device: device.to_owned() };
        // SAFETY: the handle is from the call above; the stream is the caller's, who drops this before it.
        check(device, "cublasSetStream", unsafe { sys::cublasSetStream_v2(handle, stream.cast()) })?;
        Ok(blas)
    }

    /// Asks for a product. The device's context must be that of this thread.
    pub(crate) fn multiply(&mut self, product: &Product) -> Result<(), GpuError> {
        let Turned { size: [rows, columns, inner, count], alpha, beta, a, b, c } = Turned::of(product)?;
        let operation = |of: Factor| if of.transposed { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N };
        // SAFETY: matrices are the caller's memory of the device, as large as it says; the two factors are read before the call returns.
        let done = unsafe {
            sys::cublasGemmStridedBatchedEx(
                self.handle,
                operation(a),
                operation(b),
                rows,
                columns,
                inner,
                (&raw const alpha).cast(),
                a.address as *const c_void,
                number(a),
                a.column,
                a.matrix,
                b.address as *const c_void,
                number(b),
                b.column,
                b.matrix,
                (&raw const beta).cast(),
                c.address as *mut c_void,
                number(c),
                c.column,
                c.matrix,
                count,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        check(&self.device, "cublasGemmStridedBatchedEx", done)
    }
}

fn number(of: Factor) -> cudaDataType {
    match of.number {
        2 => cudaDataType::CUDA_R_16F,
        14 => cudaDataType::CUDA_R_16BF,
        _ => cudaDataType::CUDA_R_32F,
    }
}

fn check(device: &str, operation: &'static str, status: cublasStatus_t) -> Result<(), GpuError> {
    if status == cublasStatus_t::CUBLAS_STATUS_SUCCESS {
        return Ok(());
    }
    // SAFETY: the library returns a text of its own that lasts.
    let text = unsafe { sys::cublasGetStatusString(status) };
    // SAFETY: as above.
    let text = if text.is_null() { "unknown status".into() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy() };
    Err(GpuError::Blas { device: device.to_owned(), problem: format!("{operation}: {text} ({})", status as u32) })
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: the handle is from `new`, and this is its end. What it says of a device that is lost changes nothing.
        unsafe { sys::cublasDestroy_v2(self.handle) };
    }
}
