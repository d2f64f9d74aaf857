//! Which certificates of which node count. Pure.
//!
//! ```text
//!   absent ──join──▶ admitted ──renew──▶ admitted ──revoke──▶ revoked ──join──▶ admitted
//!                       └──all certificates expired──▶ lapsed ──join──▶ admitted
//! ```
//! A certificate counts if the fleet's CA has signed it, its time is not over, and this record lists it.

use crate::model::Millis;
use serde::{Deserialize, Serialize};

/// Certificates of a node that may be in use at once: one that was renewed, and the one before it until it expires.
const KEPT: usize = 4;
/// The longest name, as of a DNS label.
const MAX_NAME: usize = 63;

/// What is stored of a node that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Those that count, oldest first.
    pub certificates: Vec<Issued>,
    /// When it was put out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Millis>,
}

/// A certificate as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When its time is over.
    pub expires: Millis,
}

/// Why a node may not join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Another machine has the name.
    #[error("a node {0} has joined already and has a valid certificate")]
    Taken(String),
    /// Not a name.
    #[error("a node's name has 1 to {MAX_NAME} of the characters a-z, 0-9, - and .")]
    Name,
}

/// Checks a name that a certificate is to carry.
///
/// # Errors
/// [`NodeError::Name`].
pub fn check_name(name: &str) -> Result<(), NodeError> {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) { Err(NodeError::Name) } else { Ok(()) }
}

impl NodeRecord {
    /// The record after the node has joined with this certificate. `again`: the same machine asks again.
    ///
    /// # Errors
    /// [`NodeError::Taken`] while another machine has the name.
    pub fn join(earlier: Option<&Self>, name: &str, issued: Issued, again: bool, now: Millis) -> Result<Self, NodeError> {
        if !again && earlier.is_some_and(|earlier| earlier.ends(now).is_some()) {
            return Err(NodeError::Taken(name.to_owned()));
        }
        Ok(Self { certificates: vec![issued], revoked: None })
    }

    /// The record after a renewal.
    pub fn renew(&self, issued: Issued, now: Millis) -> Self {
        let mut certificates: Vec<Issued> = self.certificates.iter().filter(|old| old.expires > now).cloned().collect();
        certificates.push(issued);
        let excess = certificates.len().saturating_sub(KEPT);
        certificates.drain(..excess);
        Self { certificates, revoked: self.revoked }
    }

    /// The record after it was put out.
    pub fn revoke(&self, now: Millis) -> Self {
        Self { certificates: Vec::new(), revoked: Some(self.revoked.unwrap_or(now)) }
    }

    /// Why the certificate with this serial number does not count, if it does not.
    ///
    /// # Errors
    /// In a word.
    pub fn accept(&self, serial: &str, now: Millis) -> Result<(), &'static str> {
        match self.certificates.iter().find(|known| known.serial == serial) {
            Some(known) if known.expires > now => Ok(()),
            Some(_) => Err("expired"),
            None if self.revoked.is_some() => Err("revoked"),
            None => Err("not one that counts any more"),
        }
    }

    /// When the last certificate that counts is over; `None` when it is.
    pub fn ends(&self, now: Millis) -> Option<Millis> {
        self.certificates.iter().map(|issued| issued.expires).max().filter(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(serial: &str, expires: u64) -> Issued {
        Issued { serial: serial.into(), expires: Millis(expires) }
    }

    #[test]
    fn a_name_belongs_to_who_joined_until_it_lapses_or_is_put_out() {
        let first = NodeRecord::join(None, "n", issued("1", 100), false, Millis(0)).unwrap();
        let again = |record: &NodeRecord, same, now| NodeRecord::join(Some(record), "n", issued("2", 200), same, Millis(now));
        assert_eq!(again(&first, false, 50), Err(NodeError::Taken("n".into())));
        assert_eq!(again(&first, true, 50).unwrap().accept("1", Millis(50)), Err("not one that counts any more"));
        assert!(again(&first, false, 100).is_ok(), "it has lapsed");
        let revoked = first.revoke(Millis(60));
        assert_eq!(revoked.accept("1", Millis(61)), Err("revoked"));
        let back = again(&revoked, false, 70).unwrap();
        assert_eq!((back.accept("2", Millis(71)), back.accept("1", Millis(71)).is_err()), (Ok(()), true));
    }

    #[test]
    fn renewed_certificates_count_side_by_side_until_they_expire() {
        let mut record = NodeRecord::join(None, "n", issued("1", 100), false, Millis(0)).unwrap();
        record = record.renew(issued("2", 200), Millis(66));
        assert_eq!((record.accept("1", Millis(99)), record.accept("2", Millis(99))), (Ok(()), Ok(())));
        assert_eq!((record.accept("1", Millis(100)), record.ends(Millis(100))), (Err("expired"), Some(Millis(200))));
        for serial in 3..20 {
            record = record.renew(issued(&serial.to_string(), 1000), Millis(150));
        }
        assert_eq!(record.certificates.len(), KEPT);
        assert_eq!(record.ends(Millis(1000)), None);
    }

    #[test]
    fn names_are_those_that_workers_choose() {
        assert_eq!(check_name("alpha-1.lan-00ff"), Ok(()));
        for name in ["", "A", "a b", "ä", "../x", "a/b", "n\u{0}", &"x".repeat(64)] {
            assert_eq!(check_name(name), Err(NodeError::Name), "{name:?}");
        }
    }
}
