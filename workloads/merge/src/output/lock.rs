//! Who may use a staging folder: any number of workers of one merge together, or one that replaces it alone.
//!
//! The lock is the system's (`flock`) and goes with the process, so a crash leaves nothing to clean up.

use crate::MergeError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// How a folder is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Beside other workers of the same merge.
    Together,
    /// Alone, to replace what is in it.
    Alone,
}

impl Lock {
    /// Takes the lock file at `path`, without waiting; `None` when others hold it in a way that excludes this.
    pub(crate) fn take(path: &Path, how: Use) -> Result<Option<Self>, MergeError> {
        let operation = match how {
            Use::Together => FlockOperation::NonBlockingLockShared,
            Use::Alone => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            let file =
                File::options().create(true).truncate(false).write(true).open(path).map_err(MergeError::io("create", path))?;
            match flock(&file, operation) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                // A file system without locks: the digest of the plan still tells one merge from another.
                Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => return Ok(Some(Self { _file: file })),
                Err(error) => return Err(MergeError::io("lock", path)(error.into())),
            }
            // Another may have replaced the folder, and with it the file, between opening and locking.
            if same_file(&file, path).map_err(MergeError::io("lock", path))? {
                return Ok(Some(Self { _file: file }));
            }
        }
    }
}

fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_use_it_together_or_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let take = |how| Lock::take(&path, how).unwrap();
        let (one, two) = (take(Use::Together), take(Use::Together));
        assert!(one.is_some() && two.is_some());
        assert!(take(Use::Alone).is_none());
        drop((one, two));
        let alone = take(Use::Alone);
        assert!(alone.is_some());
        assert!(take(Use::Together).is_none());
        fs::remove_file(&path).unwrap();
        assert!(take(Use::Together).is_some(), "a new file is a new lock");
    }
}
