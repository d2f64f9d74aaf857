//! Ports for servers that are killed and started again at the same address.
//!
//! They lie below those that the kernel gives to connections: one of these could take the port of a server while
//! it is dead.

use std::net::{Ipv4Addr, TcpListener};

/// So many ports on which nobody listens on loopback.
pub(crate) fn free(count: usize) -> Vec<u16> {
    // Held together so that they differ.
    let held: Vec<_> = (0..count).map(|_| bind()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn bind() -> TcpListener {
    let tries = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    let mut bound = tries.take(1000).filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    bound.next().expect("a thousand ports are not all taken")
}
