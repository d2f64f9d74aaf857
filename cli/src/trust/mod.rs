//! How the coordinator at the other end of a connection is known, and how this end says who it is. Where a coordinator
//! is, is not decided here.
//!
//! A coordinator is known by the fingerprint of its fleet's CA, which every token carries: there is no certificate to
//! copy about, and no address that a certificate would have to name.

mod credentials;
mod pin;

pub(crate) use credentials::{Credentials, home};

use crate::{
    address::Addresses,
    error::{Error, Result},
};
use braid_proto::{COORDINATOR_NAME, Fingerprint, Purpose, Secret, Token};
use std::path::PathBuf;
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

/// The fleet's idea of safe, for one connection.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// Plaintext: somebody said `--insecure`.
    Plaintext,
    /// TLS with a coordinator of the fleet whose CA has this fingerprint.
    Tls {
        /// Whom to believe.
        ca: Fingerprint,
        /// Who is asking.
        me: Me,
    },
}

/// Who this end is.
#[derive(Debug, Clone)]
pub(crate) enum Me {
    /// A machine that has yet to join.
    Stranger,
    /// A person, by a token.
    Person(Secret),
    /// A node, by its certificate.
    Node(Identity),
}

/// What a verb is told about safety.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TrustArgs {
    /// A credentials file, as the coordinator writes one [default: ~/.config/braid/credentials.json]
    #[arg(long, value_name = "FILE", env = "BRAID_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// A token of `braid token create`, in place of a credentials file
    #[arg(long, value_name = "T", env = "BRAID_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Speak plaintext to the coordinator
    #[arg(long, env = "BRAID_INSECURE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) insecure: bool,
}

impl TrustArgs {
    /// Whom to talk to, and how: what the flags say, and else the credentials file. The addresses are those given, or
    /// else those of the file.
    pub(crate) fn resolve(&self, coordinator: Option<&Addresses>) -> Result<(Addresses, Trust)> {
        let unknown = || Error::usage("no coordinator is named").with_hint("give --coordinator ADDR, or set BRAID_COORDINATOR");
        if self.insecure {
            return Ok((coordinator.ok_or_else(unknown)?.clone(), Trust::Plaintext));
        }
        if let Some(text) = &self.token {
            return Ok((coordinator.ok_or_else(unknown)?.clone(), person(&read_token(text)?)?));
        }
        let credentials = match &self.credentials {
            Some(path) => Credentials::read(path)?,
            None => Credentials::of_user()?.ok_or_else(|| nothing(coordinator))?,
        };
        let addresses = coordinator.cloned().or_else(|| Addresses::new(credentials.coordinators)).ok_or_else(unknown)?;
        Ok((addresses, person(&read_token(&credentials.token)?)?))
    }
}

/// Without a token, what is missing depends on what was given.
fn nothing(coordinator: Option<&Addresses>) -> Error {
    let error = match coordinator {
        Some(address) => Error::usage(format!("refusing to talk to {address} without a token")),
        None => Error::usage("no coordinator is named, and there is no credentials file"),
    };
    error.with_hint(
        "on the coordinator's machine its user has credentials; elsewhere set BRAID_TOKEN to what `braid token create` \
         prints, or say --insecure for plaintext",
    )
}

fn person(token: &Token) -> Result<Trust> {
    match token.purpose {
        Purpose::User => Ok(Trust::Tls { ca: token.ca, me: Me::Person(token.secret.clone()) }),
        Purpose::Join => Err(Error::usage("a join token lets a worker join, and nothing else")
            .with_hint("`braid token create --role viewer` makes one for a person")),
    }
}

/// Reads a token that somebody typed; the error does not repeat it.
pub(crate) fn read_token(text: &str) -> Result<Token> {
    text.parse().map_err(|error: braid_proto::NoToken| Error::usage(error.to_string()))
}

impl Trust {
    /// The scheme of the addresses.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Plaintext => "http",
            Self::Tls { .. } => "https",
        }
    }

    /// What calls carry to say who makes them.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Tls { me: Me::Person(secret), .. } => Some(secret),
            _ => None,
        }
    }

    /// The endpoint with TLS where there is to be any.
    pub(crate) fn secure(&self, endpoint: Endpoint) -> std::result::Result<Endpoint, tonic::transport::Error> {
        let Self::Tls { ca, me } = self else { return Ok(endpoint) };
        let mut config = ClientTlsConfig::new().domain_name(COORDINATOR_NAME);
        if let Me::Node(identity) = me {
            config = config.identity(identity.clone());
        }
        endpoint.tls_config_with_verifier(config, pin::verifier(*ca))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(token: Option<&str>, insecure: bool, credentials: Option<PathBuf>) -> TrustArgs {
        TrustArgs { credentials, token: token.map(str::to_owned), insecure }
    }

    fn token(purpose: Purpose) -> String {
        Token { purpose, secret: Secret::new([1; 32]), ca: Fingerprint::of(b"x") }.reveal()
    }

    #[test]
    fn flags_come_before_the_file_and_plaintext_before_all() {
        let here: Addresses = "a:1".parse().unwrap();
        let user = token(Purpose::User);
        assert!(matches!(args(Some(&user), true, None).resolve(Some(&here)), Ok((_, Trust::Plaintext))));
        let resolved = args(Some(&user), false, None).resolve(Some(&here)).unwrap();
        assert!(matches!(resolved, (address, Trust::Tls { me: Me::Person(_), .. }) if address == here));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.json");
        Credentials { coordinators: vec!["b:2".parse().unwrap()], token: user }.write(&file).unwrap();
        let from_file = args(None, false, Some(file));
        assert_eq!(from_file.resolve(None).unwrap().0.to_string(), "b:2");
        assert_eq!(from_file.resolve(Some(&here)).unwrap().0, here);
    }

    #[test]
    fn what_cannot_be_a_persons_token_is_refused_and_not_repeated() {
        let here: Addresses = "a:1".parse().unwrap();
        for text in ["hunter2", &token(Purpose::Join)] {
            let error = args(Some(text), false, None).resolve(Some(&here)).unwrap_err();
            assert_eq!(error.exit.code(), 2);
            assert!(!error.message.contains(text), "{}", error.message);
        }
        let error = args(Some(&token(Purpose::User)), false, None).resolve(None).unwrap_err();
        assert!(error.message.contains("no coordinator is named"), "{}", error.message);
    }
}
