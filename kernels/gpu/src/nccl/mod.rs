//! Collectives between GPUs through NCCL, whose library is looked for at run time, as `libnccl.so.2` or `libnccl.so`.
//!
//! ```text
//!   Nccl ── id ──▶ (whoever forms the group hands it to all ranks) ──▶ Communicator::join ── all_gather ──▶ …
//!                                                                             └── abort: ends what is under way
//! ```
//!
//! A call of NCCL has no deadline. So what is begun is looked at again and again, between questions whether to go on; a communicator
//! that is not to go on is aborted and of no more use. Nothing here knows who the ranks are, or why one is gone.

mod communicator;
mod library;

pub use communicator::Communicator;
pub use library::{Nccl, NcclId};
