//! A file system of a few megabytes, mounted for a test: a disk that can be full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of so many megabytes, on a folder that is made. Tests run as root, in a container or not.
    pub(crate) fn mount(folder: PathBuf, megabytes: u32) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).status();
        assert!(mount.is_ok_and(|status| status.success()), "mounting takes root");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What cannot be unmounted goes with the namespace.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
