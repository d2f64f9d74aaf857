//! The log of the process, on stderr. What a verb tells its user goes through `console.rs` instead.

use tracing_subscriber::EnvFilter;

/// The variable that overrides the flags: `braid_coordinator=debug,info`.
const VARIABLE: &str = "BRAID_LOG";

/// Who writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A coordinator or worker: its log is how an operator follows it.
    Service,
    /// Any other verb: only what went wrong.
    Client,
}

/// Starts the log.
pub(crate) fn start(role: Role, verbose: u8, quiet: bool, color: bool) {
    let filter = std::env::var(VARIABLE).ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(level(role, verbose, quiet)));
    // A second subscriber in one process is a mistake of a test, not of a user.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color).try_init();
}

fn level(role: Role, verbose: u8, quiet: bool) -> &'static str {
    match (role, verbose, quiet) {
        (_, _, true) => "error",
        (Role::Client, 0, _) => "warn",
        (Role::Client, 1, _) | (Role::Service, 0, _) => "info",
        (Role::Client, 2, _) | (Role::Service, 1, _) => {
            "info,braid=debug,braid_coordinator=debug,braid_worker=debug,braid_merge=debug"
        }
        _ => "debug",
    }
}
