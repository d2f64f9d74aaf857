//! The exchange over TCP.
//!
//! ```text
//!   Listener   one port of a worker, for all its groups: takes hellos, parks them
//!   connect    forms a group: the lower rank of a pair dials, the higher one claims what its listener parked
//!   Mesh       one connection per pair; whoever waits drives all of them
//!     core     who drives, and the loop of it
//!     input, output   the halves of one connection
//!     round    the messages of one call
//!     frame    the 56 bytes before every message
//!     hello    the first words on a connection
//!     wire     a connection: the socket, or TLS on it;  tls  whom TLS believes
//! ```
//!
//! **Whoever waits drives.** A call writes from the caller's slices and reads into them, on the caller's thread, on all
//! links at once, with sockets that do not block and one `poll`. So nothing is copied twice, nothing is handed between
//! threads, and two ranks that both send first cannot block each other. Only what nobody waits for — a gather that was
//! started — is driven by a thread of the group, which steps aside for callers.
//!
//! **Socket buffers** are left to the kernel, which grows them with the connection; a fixed size would turn that off and
//! is capped lower by default. **No checksum** of the payload: TCP's own and the network's frame check are what Gloo and
//! NCCL rely on too, and a second one costs a tenth of the bandwidth of a loopback. Frames begin with a mark, so that a
//! stream that lost its place ends in an error.
//!
//! **Who comes late to an epoch that has ended** may learn only that a member is gone: one that left because of an error stays
//! to be heard for a moment, and what it said is lost with its connection when a latecomer writes to it before reading.
//!
//! **Trust.** Both sides of a connection prove that they know the group's token, without sending it. In a fleet with certificates
//! ([`Listener::bind_secure`]) there is TLS below that, and both show that they are nodes of the fleet: nobody else reads or changes
//! what members say. Without certificates bytes after the first words are neither encrypted nor signed, as with Gloo and
//! NCCL: the network between the members is trusted then. The default address is the loopback.

mod connect;
mod core;
mod frame;
mod hello;
mod input;
mod listener;
mod mesh;
mod output;
mod round;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use connect::{GroupId, GroupSpec, Token, connect};
pub use listener::Listener;
pub use mesh::Mesh;

use braid_workload::exchange::Group;

/// One member's end of a group over TCP.
pub type TcpExchange = Group<Mesh>;
