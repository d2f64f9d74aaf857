//! GPUs of NVIDIA through the driver's library.
//!
//! ```text
//!   Device     a GPU that is open: its context, the machine code on it
//!   Queue      a stream: pinned memory on the way there and back, memory of the device that is used again
//!   driver     the calls, each with its result checked
//! ```
//!
//! The library is looked for when a device is opened. Where it is missing or broken, or has no GPU that the machine code is for, opening
//! says so; nothing here panics.

mod device;
mod driver;
mod queue;

pub use device::Device;
pub(crate) use device::Open;
pub(crate) use queue::Queue;
