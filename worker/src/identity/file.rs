//! The file `identity.json` of the data directory: mode 0600, replaced whole.

use super::Identity;
use crate::{WorkerError, private_file};
use serde_json::{Value, json};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const NAME: &str = "identity.json";

pub(super) fn load(data_dir: &Path) -> Result<Option<Identity>, WorkerError> {
    let path = data_dir.join(NAME);
    let failed = |source| WorkerError::Data { operation: "read", path: path.clone(), source };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(WorkerError::Identity(format!("others can read the key in {}", path.display())));
    }
    read(&text).map(Some).ok_or_else(|| WorkerError::Identity(format!("{} holds no identity of a node", path.display())))
}

fn read(text: &[u8]) -> Option<Identity> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let number = |name: &str| value.get(name)?.as_u64();
    Some(Identity {
        ca: text("ca")?.parse().ok()?,
        authority: text("authority"),
        certificate: text("certificate")?,
        key: text("key")?,
        issued: number("issued")?,
        expires: number("expires")?,
    })
}

pub(super) fn save(identity: &Identity, data_dir: &Path) -> Result<(), WorkerError> {
    let Identity { ca, authority, certificate, key, issued, expires } = identity;
    let text = json!({ "ca": ca.to_string(), "authority": authority, "certificate": certificate, "key": key, "issued": issued, "expires": expires });
    let path: PathBuf = data_dir.join(NAME);
    private_file::write(&path, format!("{text:#}\n").as_bytes()).map_err(|source| WorkerError::Data {
        operation: "write",
        path,
        source,
    })
}

/// A certificate as PEM.
pub(super) fn pem(der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for triple in line.chunks(3) {
            let bytes = [triple[0], triple.get(1).copied().unwrap_or(0), triple.get(2).copied().unwrap_or(0)];
            let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
                text.push(if place > triple.len() { '=' } else { char::from(letter) });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_proto::Fingerprint;

    #[test]
    fn an_identity_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
        let identity = Identity {
            ca: Fingerprint::of(b"x"),
            authority: None,
            certificate: "c".into(),
            key: "secret".into(),
            issued: 1,
            expires: u64::MAX,
        };
        let identity = Identity { authority: Some("a".into()), ..identity };
        save(&identity, folder.path()).unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(folder.path()).unwrap(), Some(identity.clone()));
        assert!(!format!("{identity:?}").contains("secret"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("others can read the key"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for broken in ["", "{}", "[1]", "{\"ca\": \"x\"}"] {
            fs::write(&path, broken).unwrap();
            assert!(load(folder.path()).unwrap_err().to_string().contains("holds no identity"), "{broken}");
        }
    }

    #[test]
    fn certificates_are_written_as_openssl_writes_them() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(pem(made.der()), made.pem().replace("\r\n", "\n"));
    }
}
