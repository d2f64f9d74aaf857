//! What a launcher does: enters a group and becomes the program.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

/// Enters the group with this folder and becomes the program. Comes back only when that fails.
pub fn enter(group: &Path, program: &Path, name: &OsStr, arguments: &[OsString]) -> io::Error {
    // 0 stands for whoever writes it.
    match fs::write(group.join("cgroup.procs"), "0") {
        Ok(()) => Command::new(program).arg0(name).args(arguments).exec(),
        Err(error) => error,
    }
}
