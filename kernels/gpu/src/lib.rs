//! The kernels on GPUs: from the slices of `braid_kernels` to the memory of a device, a launch, and back.
//!
//! ```text
//!   Arithmetic        which of them, or the CPU, for each call of a merge
//!   Attending         which of them, if any, for each layer of a training
//!   Lane              linear, task_vectors, gram, …: the signatures and the bytes of the CPU forms
//!   Inputs            tiles that a device may have read by itself: arithmetic by the number of an input
//!   Stream            memory, copies, launches and a library's matrix products, in order
//!   Accelerator       a device that has streams: a GPU, or a process that runs the same .cu files on a processor (`shim`)
//! ```
//!
//! The `.cu` files lie in `kernels/cuda`. All merging kernels give the bytes of their CPU forms, so that a tensor may change its place between two tiles.

mod accelerator;
mod arithmetic;
mod attending;
pub mod attention;
#[cfg(feature = "cuda")]
mod blas;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod inputs;
mod kernel;
mod lanes;
mod merge;
#[cfg(feature = "cuda")]
pub mod nccl;
#[cfg(any(feature = "cuda", feature = "shim"))]
mod products;
mod proof;
#[cfg(feature = "shim")]
pub mod shim;
mod storage;

pub use accelerator::{Accelerator, Argument, Description, Launch, Matrices, Place, Product, Stream};
pub use arithmetic::Arithmetic;
pub use attending::Attending;
#[cfg(feature = "cuda")]
pub use cuda::Device;
pub use error::GpuError;
pub use inputs::{Expert, Inputs};
pub use kernel::Kernel;
pub use merge::{ChainingValue, HASHED, Lane};
pub use storage::{Storage, Stored, StoredFile};
