//! Addresses as people type them, and the rule of what may be spoken without TLS.

use crate::error::{Error, Result};
use std::{fmt, net::IpAddr, str::FromStr};

/// `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.starts_with("https://") {
            return Err("TLS is not built yet: give HOST:PORT, and --insecure to speak plaintext".into());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Whether only this machine can speak there.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Refuses plaintext that nobody has asked for: a fleet is never open by accident. `what` completes "refusing to …".
pub(crate) fn plaintext_allowed(insecure: bool, what: impl fmt::Display) -> Result {
    if insecure {
        return Ok(());
    }
    Err(Error::usage(format!("refusing to {what} without TLS, which is not built yet"))
        .with_hint("--insecure allows plaintext; use it on loopback or a network that you trust"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_type_them() {
        for (text, shown, loopback) in [
            ("127.0.0.1:7117", "127.0.0.1:7117", true),
            ("http://localhost:1/", "localhost:1", true),
            ("[::1]:80", "[::1]:80", true),
            ("node-1.lan:7117", "node-1.lan:7117", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("127.0.0.1.example.org:9", "127.0.0.1.example.org:9", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_loopback()), (shown, loopback), "{text}");
        }
        for text in ["", "host", "host:", ":80", "host:99999", "a b:1", "::1:80", "[host]:1", "https://h:1", "h/x:1", "user@h:1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn plaintext_needs_the_flag() {
        assert!(plaintext_allowed(true, "listen").is_ok());
        let error = plaintext_allowed(false, "listen on 127.0.0.1:1").unwrap_err();
        assert_eq!(error.exit.code(), 2);
        assert!(error.message.starts_with("refusing to listen on 127.0.0.1:1 without TLS"));
    }
}
