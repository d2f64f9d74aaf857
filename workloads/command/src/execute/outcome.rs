//! What the end of a program means. Pure.

use super::stop::Why;
use crate::{CommandError, CommandSpec};
use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

/// How a program ended, and what was done to it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) status: ExitStatus,
    /// Why it had been asked to end.
    pub(super) why: Option<Why>,
    /// It was killed because it held too much memory.
    pub(super) over_memory: bool,
}

/// Whether that is a good end.
pub(super) fn judge(spec: &CommandSpec, end: &End) -> Result<(), CommandError> {
    let what = spec.title();
    match end.why {
        _ if end.over_memory => return Err(CommandError::Memory { what, limit: spec.memory.unwrap_or(0) }),
        Some(Why::Cancelled) => return Err(CommandError::Cancelled),
        Some(Why::Timeout) => return Err(CommandError::Timeout { what, timeout: spec.timeout.unwrap_or_default() }),
        None => {}
    }
    match (end.status.code(), end.status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(CommandError::Exited { what, code: u8::try_from(code & 0xff).unwrap_or(u8::MAX) }),
        (None, signal) => {
            let signal = signal.unwrap_or(0);
            Err(CommandError::Signalled { what, signal, name: name(signal) })
        }
    }
}

/// The name of a signal, for people.
fn name(signal: i32) -> String {
    let names = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL (an illegal instruction)"),
        (6, "SIGABRT (it aborted)"),
        (7, "SIGBUS (a bad access to memory, or to a file that was cut short)"),
        (8, "SIGFPE (an arithmetic error)"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV (a bad access to memory)"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
    ];
    names.into_iter().find(|(known, _)| *known == signal).map_or_else(|| format!("signal {signal}"), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_end_has_its_word_and_its_exit_code() {
        let mut spec = CommandSpec::new(["prog"], "/");
        spec.memory = Some(2 << 30);
        spec.timeout = Some(Duration::from_secs(90));
        let status = ExitStatus::from_raw;
        let end = |raw| End { status: status(raw), why: None, over_memory: false };
        assert!(judge(&spec, &end(0)).is_ok());
        for (end, exit, said) in [
            (end(3 << 8), Some(3), "prog exited with code 3"),
            (end(9), Some(137), "prog was ended by SIGKILL"),
            (end(11), Some(139), "prog was ended by SIGSEGV (a bad access to memory)"),
            (end(64), Some(192), "prog was ended by signal 64"),
            (End { over_memory: true, ..end(9) }, Some(137), "prog ran out of memory: its limit is 2.0 GiB"),
            (End { why: Some(Why::Timeout), ..end(15) }, Some(124), "prog did not end within its timeout of 1m 30s"),
            // It saved and left in peace: its time was over all the same.
            (End { why: Some(Why::Timeout), ..end(0) }, Some(124), "prog did not end within its timeout of 1m 30s"),
            (End { why: Some(Why::Cancelled), ..end(0) }, None, "it was told to stop"),
        ] {
            let error = judge(&spec, &end).unwrap_err();
            assert_eq!((error.exit(), error.to_string().as_str()), (exit, said));
        }
    }
}
