//! Tokens as people pass them on: a secret, what it is for, and the fingerprint by which the coordinator is known.
//!
//! `braid-join-SECRET-FINGERPRINT` or `braid-user-SECRET-FINGERPRINT`, both parts 64 hexadecimal digits. Whoever holds
//! such a text needs nothing else to reach a coordinator safely: no certificate has to be copied first.

use std::{fmt, str::FromStr};

/// What every coordinator's certificate names, whatever its addresses: clients demand this name of a certificate that
/// the fleet's CA has signed.
pub const COORDINATOR_NAME: &str = "coordinator.braid";

/// SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` prints it but for the colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// 256 bits that nobody can guess.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Lets one machine join.
    Join,
    /// Says who a person is.
    User,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is for.
    pub purpose: Purpose,
    /// What the coordinator is shown.
    pub secret: Secret,
    /// The CA of the coordinator that it is for.
    pub ca: Fingerprint,
}

/// Text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token: one begins with braid-join- or braid-user- and has 140 characters")]
pub struct NoToken;

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl Secret {
    /// These bytes, which must come from a source that nobody can guess.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is shown to a coordinator.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// From what [`Secret::to_hex`] gave.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// The bytes, to be hashed.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::User => "user",
        }
    }
}

impl Token {
    /// The text to hand on.
    pub fn reveal(&self) -> String {
        format!("braid-{}-{}-{}", self.purpose.word(), self.secret.to_hex(), self.ca)
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let mut parts = text.trim().split('-');
        let mut next = || parts.next().ok_or(NoToken);
        if next()? != "braid" {
            return Err(NoToken);
        }
        let purpose = match next()? {
            "join" => Purpose::Join,
            "user" => Purpose::User,
            _ => return Err(NoToken),
        };
        let secret = Secret::from_hex(next()?).ok_or(NoToken)?;
        let ca = next()?.parse()?;
        if parts.next().is_some() { Err(NoToken) } else { Ok(Self { purpose, secret, ca }) }
    }
}

impl FromStr for Fingerprint {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        unhex(text).map(Self).ok_or(NoToken)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Leaves the secret out: it would end in logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_it_is_handed_on() {
        for purpose in [Purpose::Join, Purpose::User] {
            let token = Token { purpose, secret: Secret::new([0xa5; 32]), ca: Fingerprint::of(b"certificate") };
            let text = token.reveal();
            assert_eq!(text.len(), 140);
            assert_eq!(format!("{text}\n").parse(), Ok(token.clone()));
            assert!(!format!("{token:?}").contains("a5a5"), "{token:?}");
            for wrong in
                [&text[1..], &text[..139], &format!("{text}-"), &text.replace("a5", "ä"), &text.replace("braid-", "braid-x"), ""]
            {
                assert_eq!(wrong.parse::<Token>(), Err(NoToken), "{wrong}");
            }
        }
    }

    #[test]
    fn a_fingerprint_is_the_one_that_openssl_prints() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Fingerprint::of(b"").to_string(), of_nothing);
    }
}
