//! A file that one process holds for as long as it lives, such as that of a data folder.
//!
//! The kernel lets go of it when the process is gone, which after a `kill -9` of a large one is a moment later: whoever finds the file
//! held waits for that moment, and then says who holds it.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    thread,
    time::{Duration, Instant},
};

/// How long a holder may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Who holds a file: the number of a process, where the system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder(pub Option<u32>);

/// Why a file is not locked.
#[derive(Debug)]
pub enum LockError {
    /// Somebody holds it, and goes on to.
    Held(Holder),
    /// What the system says.
    System(io::Error),
}

/// Locks a file for this process until it is closed. When another process holds it, `waiting` is told, and it is waited for within
/// bounds; a holder within this process is not, as it will not go.
///
/// # Errors
/// [`LockError::Held`] when it is not let go of in time.
pub fn lock(file: &File, waiting: impl FnOnce(Holder, Duration)) -> Result<(), LockError> {
    let until = Instant::now() + PATIENCE;
    let mut waiting = Some(waiting);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(LockError::System(error)),
        }
        let holder = holder(file);
        if holder.0 == Some(std::process::id()) || Instant::now() >= until {
            return Err(LockError::Held(holder));
        }
        if let Some(waiting) = waiting.take() {
            waiting(holder, PATIENCE);
        }
        thread::sleep(PAUSE);
    }
}

fn holder(file: &File) -> Holder {
    let Ok(about) = file.metadata() else { return Holder(None) };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let (major, minor) = (rustix::fs::major(about.dev()), rustix::fs::minor(about.dev()));
    Holder(find(&locks, major, minor, about.ino()))
}

/// `3: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF` of the file with this device and inode; one that only waits has an arrow after
/// the number. A process of another container has the number 0 or less.
fn find(locks: &str, major: u32, minor: u32, inode: u64) -> Option<u32> {
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    let pid = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, "WRITE", pid, at, ..] if *at == place => pid.parse().ok().filter(|pid| *pid > 0),
            _ => None,
        }
    };
    locks.lines().find_map(pid)
}

impl fmt::Display for Holder {
    /// `process 1234`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead as _, BufReader},
        path::Path,
        process::{Child, Command, Stdio},
    };

    fn open(path: &Path) -> File {
        File::options().write(true).create(true).truncate(false).open(path).unwrap()
    }

    /// A process that holds the file until its standard input ends.
    fn other(path: &Path) -> Child {
        let mut child = Command::new("flock")
            .arg(path)
            .args(["-c", "echo held; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        child
    }

    #[test]
    fn a_holder_in_this_process_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (open(&path), open(&path));
        lock(&first, |_, _| {}).unwrap();
        let error = lock(&second, |_, _| panic!("nobody waits for itself")).unwrap_err();
        assert!(matches!(error, LockError::Held(Holder(Some(pid))) if pid == std::process::id()), "{error:?}");
        drop(first);
        lock(&second, |_, _| {}).unwrap();
    }

    #[test]
    fn a_holder_that_goes_is_waited_for_and_one_that_stays_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = open(&path);
        let mut child = other(&path);
        let mut told = None;
        let error = lock(&file, |holder, _| told = Some(holder)).unwrap_err();
        // flock(1) runs the shell as a child of its own, which holds the file too.
        assert!(matches!(error, LockError::Held(Holder(Some(_)))) && told.is_some(), "{error:?} {told:?}");
        // Its input ends while it is waited for.
        lock(&file, |_, _| drop(child.stdin.take())).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_table_of_locks_is_read() {
        let table = "1: POSIX  ADVISORY  WRITE 7 fe:00:12 0 EOF\n2: FLOCK  ADVISORY  WRITE 41 fe:00:12 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 42 fe:00:12 0 EOF\n3: FLOCK  ADVISORY  WRITE -1 fe:00:13 0 EOF\nnonsense\n";
        for (inode, holder) in [(12, Some(41)), (13, None), (14, None)] {
            assert_eq!(find(table, 0xfe, 0, inode), holder, "{inode}");
        }
        assert_eq!(Holder(Some(41)).to_string(), "process 41");
        assert_eq!(Holder(None).to_string(), "another process");
    }
}
