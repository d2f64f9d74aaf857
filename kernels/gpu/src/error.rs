//! Everything that can be wrong with a device, or with what it is given.

use std::path::PathBuf;

use braid_kernels::KernelError;

/// Why a device did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The operands are wrong, or a result is not a number: the CPU form would say the same.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A library of the driver is not there, or cannot be loaded.
    #[error(
        "{library} cannot be loaded ({problem}): there is no driver of NVIDIA here, or it is not where libraries are looked for"
    )]
    NoLibrary {
        /// Which one.
        library: &'static str,
        /// What the loader says.
        problem: String,
    },
    /// It is there, but lacks what is needed.
    #[error("{library} is broken or too old: {problem}")]
    BrokenLibrary {
        /// Which one.
        library: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The driver shows none.
    #[error("the driver shows no such GPU; is CUDA_VISIBLE_DEVICES set to none?")]
    NoDevice,
    /// The driver is older than the machine code.
    #[error("the driver is one of CUDA {major}.{minor}, and CUDA 13.0 is needed: driver 580 or newer")]
    OldDriver {
        /// The newest CUDA that it takes.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// There is no machine code for it.
    #[error("{device} is of architecture {major}.{minor}, and there are kernels for 8.0 and newer alone")]
    Architecture {
        /// Which one.
        device: String,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// Too little memory is free.
    #[error("{device} has no {bytes} bytes of memory free")]
    OutOfMemory {
        /// Which one.
        device: String,
        /// What was asked for.
        bytes: usize,
    },
    /// It does not answer, or not as it should.
    #[error("{device} has failed: {problem}")]
    Lost {
        /// Which one.
        device: String,
        /// What was seen of it.
        problem: String,
    },
    /// It computes something else than a CPU does.
    #[error("{device} is not used: its answer of {operation} is not the CPU's")]
    WrongAnswer {
        /// Which one.
        device: String,
        /// What it was asked for.
        operation: &'static str,
    },
    /// There is no NCCL.
    #[error("NCCL cannot be loaded ({problem}): is libnccl.so.2 where libraries are looked for?")]
    NoNccl {
        /// What the loader says.
        problem: String,
    },
    /// A group of GPUs has failed.
    #[error("NCCL: {problem}")]
    Nccl {
        /// What was seen.
        problem: String,
    },
    /// There is no cuBLAS.
    #[error("cuBLAS cannot be loaded ({problem}): is libcublas.so.13 where libraries are looked for?")]
    NoBlas {
        /// What the loader says.
        problem: String,
    },
    /// It does not multiply.
    #[error("cuBLAS on {device}: {problem}")]
    Blas {
        /// Where.
        device: String,
        /// What it says.
        problem: String,
    },
    /// There is no cuFile, or it has no direct way from any storage here.
    #[error("files are read through the processor's memory: cuFile cannot be used ({problem})")]
    NoCuFile {
        /// What the loader says, or the library.
        problem: String,
    },
    /// A device cannot read a file by itself.
    #[error("{} cannot be read by a GPU itself: {problem}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Devices are used, but for softmax attention.
    #[error("softmax attention of trainings is computed on the CPU: {problem}")]
    NoSoftmax {
        /// What went wrong with products.
        problem: Box<GpuError>,
    },
    /// There is a CPU form of it, but none for GPUs.
    #[error("{operation}: GPUs cannot do {what}")]
    Unsupported {
        /// What was asked for.
        operation: &'static str,
        /// What of it.
        what: String,
    },
}
