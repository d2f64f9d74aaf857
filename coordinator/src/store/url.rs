//! The address of a store, as a person writes it.

use super::StoreError;
use std::{fmt, path::PathBuf, str::FromStr};

/// Which store to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:` — gone with the process.
    Memory,
    /// A folder — one file in it, for one coordinator.
    Embedded(PathBuf),
    /// `etcd://HOST:PORT[,HOST:PORT…]` — for several coordinators.
    Etcd(Vec<String>),
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let wrong = |reason: String| StoreError::Url { text: text.to_owned(), reason };
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        match text.split_once("://") {
            Some(("etcd", endpoints)) => {
                let endpoints: Vec<_> = endpoints.split(',').map(str::to_owned).collect();
                match endpoints.iter().find(|endpoint| !is_host_and_port(endpoint)) {
                    Some(endpoint) => Err(wrong(format!("{endpoint:?} is not HOST:PORT"))),
                    None => Ok(Self::Etcd(endpoints)),
                }
            }
            Some((scheme, _)) => Err(wrong(format!("there is no kind of store called {scheme:?}"))),
            None if text.is_empty() => Err(wrong("it is empty".into())),
            None => Ok(Self::Embedded(text.into())),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Embedded(folder) => folder.display().fmt(f),
            Self::Etcd(endpoints) => write!(f, "etcd://{}", endpoints.join(",")),
        }
    }
}

/// Whether the text has the shape of `name:1`, `10.0.0.1:1` or `[::1]:1`.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let name = |host: &str| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name(host),
    };
    host && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_prints() {
        let etcd = |endpoints: &[&str]| StoreUrl::Etcd(endpoints.iter().map(|text| (*text).to_owned()).collect());
        for (text, expected) in [
            ("memory:", StoreUrl::Memory),
            ("/var/lib/braid", StoreUrl::Embedded("/var/lib/braid".into())),
            ("data", StoreUrl::Embedded("data".into())),
            ("etcd://a:2379", etcd(&["a:2379"])),
            ("etcd://10.0.0.1:2379,b-1.example:1,[::1]:65535", etcd(&["10.0.0.1:2379", "b-1.example:1", "[::1]:65535"])),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url, expected);
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_named_in_the_error() {
        for (text, part) in [
            ("", "empty"),
            ("redis://a:1", "\"redis\""),
            ("etcd://", "\"\" is not HOST:PORT"),
            ("etcd://a", "\"a\" is not HOST:PORT"),
            ("etcd://a:1,", "\"\" is not HOST:PORT"),
            ("etcd://a:0", "\"a:0\""),
            ("etcd://a:99999", "\"a:99999\""),
            ("etcd://a b:1", "\"a b:1\""),
            ("etcd://::1:1", "\"::1:1\""),
            ("etcd://user@a:1/x", "\"user@a:1/x\""),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(error.hint().is_some());
        }
    }
}
