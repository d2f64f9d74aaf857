//! The file that says where a fleet is and who one is there: one fleet, one person, mode 0600.

use crate::{
    address::Address,
    error::{Error, Result},
};
use braid_worker::private_file;
use serde::{Deserialize, Serialize};
use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// What it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// Where coordinators are.
    pub(crate) coordinators: Vec<Address>,
    /// A token, as `braid token create` prints it.
    pub(crate) token: String,
}

impl Credentials {
    /// Reads a file that only its owner may read.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::find(path)?.ok_or_else(|| Error::usage(format!("there is no credentials file {}", path.display())))
    }

    /// The user's own, if there are any.
    pub(crate) fn of_user() -> Result<Option<Self>> {
        home().map_or(Ok(None), |path| Self::find(&path))
    }

    fn find(path: &Path) -> Result<Option<Self>> {
        let cannot = |error: io::Error| Error::usage(format!("cannot read the credentials file {}: {error}", path.display()));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
        };
        let mode = fs::metadata(path).map_err(cannot)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::usage(format!("others can read the credentials file {}", path.display()))
                .with_hint(format!("chmod 600 {}; if somebody has, revoke its token", path.display())));
        }
        // The text of the error could repeat the token.
        let known = serde_json::from_str(&text)
            .map_err(|error| Error::usage(format!("{}:{}: not a credentials file", path.display(), error.line())))?;
        Ok(Some(known))
    }

    /// Writes it, at once or not at all.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        private_file::write(path, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }
}

/// Where the user's own credentials are, if there is a place for them.
pub(crate) fn home() -> Option<PathBuf> {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")))?;
    Some(folder.join("braid/credentials.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/credentials.json");
        assert!(Credentials::read(&path).unwrap_err().message.starts_with("there is no credentials file"));
        let credentials = Credentials { coordinators: vec!["h:1".parse().unwrap()], token: "braid-user-x".into() };
        credentials.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Credentials::read(&path).unwrap(), credentials);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert!(error.message.starts_with("others can read") && error.hint.unwrap().starts_with("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{\n\"token\": \"braid-user-secret\", \"x\": 1}").unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert!(error.message.ends_with(":2: not a credentials file"), "{}", error.message);
    }
}
