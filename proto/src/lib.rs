//! Braid's wire: the messages and services of `braid/v1/*.proto`, and conversions to the types of `braid-workload`.
//!
//! Only the wire lives here, and the tokens that people pass on. What a message means is decided by who receives it.

mod convert;
mod token;

pub use convert::DecodeError;
pub use token::{COORDINATOR_NAME, Fingerprint, NoToken, Purpose, Secret, Token};

/// The generated messages, clients and servers.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("braid.v1");
}

/// Every call of every service of a coordinator, as the path of its requests: `/braid.v1.Jobs/Submit`.
pub const CALLS: &[&str] = include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// The version of the worker's session. Raised when an older peer would misunderstand a newer one; both sides refuse
/// another number with a message that says which side to update.
pub const PROTOCOL: u32 = 2;

/// The header by which a coordinator that does not lead names the address of the one that does. The code beside it is
/// FAILED_PRECONDITION.
pub const LEADER_HEADER: &str = "braid-leader";

/// What a coordinator says, with the code UNAVAILABLE, while none is known to lead: another will soon.
pub const NO_LEADER: &str = "no coordinator leads at the moment";

/// The version of this software, as people see it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
