//! Who this coordinator is: a name in its data folder, and the folder held so that no other process is the same one.
//!
//! A coordinator that finds its own name in the leader record knows that whoever led under it is gone, and need not wait
//! for that lease to end.

use crate::{error::CoordinatorError, store::StoreError};
use braid_workload::lock::{LockError, lock};
use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    path::Path,
};

const FILE: &str = "coordinator";

/// The name of a coordinator, while this process has it.
#[derive(Debug)]
pub(crate) struct Instance {
    name: String,
    /// Locked as long as it is open.
    _file: Option<File>,
}

impl Instance {
    /// Takes the name that is kept in a folder, or keeps this new one there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it, [`StoreError::Io`] for what the system refuses.
    pub(crate) fn claim(folder: &Path, new: String) -> Result<Self, CoordinatorError> {
        let path = folder.join(FILE);
        let failed = |operation| {
            let file = path.clone();
            move |source| StoreError::Io { operation, file, source }
        };
        fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(failed("open"))?;
        let waiting = |holder, within| {
            tracing::warn!("{} is held by {holder}; waiting up to {within:?} for its end", path.display());
        };
        match lock(&file, waiting) {
            Ok(()) => {}
            Err(LockError::Held(holder)) => return Err(StoreError::InUse { file: path, holder }.into()),
            Err(LockError::System(error)) => return Err(failed("lock")(error).into()),
        }
        let mut kept = String::new();
        // What is no text is no name: a new one replaces it.
        let _ = file.read_to_string(&mut kept);
        let kept = kept.trim();
        if kept.len() == new.len() && kept.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self { name: kept.to_owned(), _file: Some(file) });
        }
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| writeln!(file, "{new}"))
            .and_then(|()| file.sync_all())
            .map_err(failed("write"))?;
        Ok(Self { name: new, _file: Some(file) })
    }

    /// A name for this process alone.
    pub(crate) fn of_this_process(name: String) -> Self {
        Self { name, _file: None }
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_coordinator_is_the_same_one_and_two_at_once_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new");
        let first = Instance::claim(&data, "00ff".into()).unwrap();
        assert_eq!(first.name(), "00ff");
        let error = Instance::claim(&data, "1111".into()).unwrap_err();
        assert!(matches!(error, CoordinatorError::Store(StoreError::InUse { .. })), "{error}");
        drop(first);
        assert_eq!(Instance::claim(&data, "1111".into()).unwrap().name(), "00ff");
        for broken in [&b""[..], b"00f", b"zzzz\n", b"\xff\xff"] {
            fs::write(data.join(FILE), broken).unwrap();
            assert_eq!(Instance::claim(&data, "1111".into()).unwrap().name(), "1111", "{broken:?}");
        }
    }
}
