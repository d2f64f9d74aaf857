//! A port of this machine for rank 0's program to listen on.
//!
//! It is let go of before the program binds it, seconds later, and in between nobody must take it. So it lies outside the range
//! from which the system hands out ports by itself, and a socket with its number in its name, which the system drops with this
//! process, keeps it from the gangs of all workers on the machine. A server that binds just this port by itself is left: then the
//! program fails, and another try takes another port.

use crate::CommandError;
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

pub(super) const LOOPBACK: &str = "127.0.0.1";
/// Below it servers of the system live.
const LOWEST: u16 = 10_240;
/// Where the system hands out ports, when it does not say.
const USUAL: Range<u16> = 32_768..61_000;
/// Ports that are tried.
const TRIES: u32 = 200;

/// A port, kept from other gangs while it lives.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _claim: UnixListener,
}

impl Port {
    /// Finds one that is free.
    pub(super) fn find() -> Result<Self, CommandError> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().and_then(|text| read(&text));
        let candidates = outside(range.unwrap_or(USUAL));
        let mut last = None;
        for _ in 0..TRIES {
            match Self::claim(fastrand::u16(candidates.clone())) {
                Ok(port) => return Ok(port),
                Err(error) => last = Some(error),
            }
        }
        let source = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
        Err(CommandError::System { operation: "find a free port for the gang's rank 0", source })
    }

    /// Its number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    fn claim(number: u16) -> std::io::Result<Self> {
        let name = SocketAddr::from_abstract_name(format!("braid-port-{number}"))?;
        let claim = UnixListener::bind_addr(&name)?;
        drop(TcpListener::bind((Ipv4Addr::UNSPECIFIED, number))?);
        Ok(Self { number, _claim: claim })
    }
}

/// `32768 60999`, both of them in it.
fn read(text: &str) -> Option<Range<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}

/// The larger part of the ports that the system does not hand out; those it does, where it hands out nearly all.
fn outside(taken: Range<u16>) -> Range<u16> {
    const ENOUGH: usize = 500;
    let below = LOWEST..taken.start.max(LOWEST);
    let above = taken.end..u16::MAX;
    let larger = if below.len() >= above.len() { below } else { above };
    if larger.len() >= ENOUGH { larger } else { LOWEST..u16::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_lie_where_the_system_does_not_hand_them_out() {
        assert_eq!(read("32768\t60999\n"), Some(32_768..61_000));
        assert_eq!(read("9 5"), None);
        assert_eq!(outside(32_768..61_000), 10_240..32_768);
        assert_eq!(outside(1024..40_000), 40_000..u16::MAX);
        assert_eq!(outside(1024..65_535), LOWEST..u16::MAX);
    }

    #[test]
    fn no_two_gangs_get_one_port() {
        let port = Port::find().unwrap();
        let number = port.number();
        assert!(TcpListener::bind(("127.0.0.1", number)).is_ok(), "its program can have it");
        assert!(Port::claim(number).is_err(), "another gang cannot");
        drop(port);
        assert!(Port::claim(number).is_ok());
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert!(Port::claim(taken.local_addr().unwrap().port()).is_err(), "a server is there");
    }
}
