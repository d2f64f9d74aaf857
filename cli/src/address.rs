//! Addresses as people type them.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Address {
    host: String,
    port: u16,
}

/// `HOST:PORT[,HOST:PORT…]`: the coordinators of one fleet, of which one leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses(Vec<Address>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        text.split(',').map(str::parse).collect::<std::result::Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if place > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl Addresses {
    /// These; `None` when there are none.
    pub(crate) fn new(addresses: Vec<Address>) -> Option<Self> {
        (!addresses.is_empty()).then_some(Self(addresses))
    }

    /// Each of them, at least one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Address> {
        self.0.iter()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        // Whether it is TLS is said elsewhere: --insecure, or not.
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text).trim_end_matches('/');
        let wrong = || "not an address such as coordinator.lan:7117, 10.0.0.1:7117 or [::1]:7117".to_owned();
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let known = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(named),
        };
        if !known {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port: address.port() }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// This host, in brackets if it is an IPv6 address.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }

    /// The host as it is written before a port.
    pub(crate) fn bracketed_host(&self) -> String {
        self.host.clone()
    }

    /// The host, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether only this machine can speak there.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_type_them() {
        for (text, shown, loopback) in [
            ("127.0.0.1:7117", "127.0.0.1:7117", true),
            ("http://localhost:1/", "localhost:1", true),
            ("https://h:1", "h:1", false),
            ("[::1]:80", "[::1]:80", true),
            ("node-1.lan:7117", "node-1.lan:7117", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("127.0.0.1.example.org:9", "127.0.0.1.example.org:9", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_loopback()), (shown, loopback), "{text}");
        }
        for text in ["", "host", "host:", ":80", "host:99999", "a b:1", "::1:80", "[host]:1", "ftp://h:1", "h/x:1", "user@h:1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn several_coordinators_are_separated_by_commas() {
        let several: Addresses = "a:1,http://b:2/,[::1]:3".parse().unwrap();
        assert_eq!((several.iter().count(), several.to_string().as_str()), (3, "a:1,b:2,[::1]:3"));
        for text in ["", "a:1,", ",a:1", "a:1 b:2", "a:1;b:2"] {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
    }
}
