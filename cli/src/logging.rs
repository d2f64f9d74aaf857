//! What of the process is seen from outside while it runs: its log, on stderr, and with the feature `otel` its traces. What a verb
//! tells its user goes through `console.rs` instead.

use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

/// The variable that overrides the flags: `braid_coordinator=debug,info`.
const VARIABLE: &str = "BRAID_LOG";

/// Who writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A coordinator: its log is how an operator follows it.
    Coordinator,
    /// A worker, likewise.
    Worker,
    /// Any other verb: only what went wrong.
    Client,
}

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tone {
    pub(crate) verbose: u8,
    pub(crate) quiet: bool,
    pub(crate) color: bool,
}

/// What was started, to be ended with [`finish`](Seen::finish).
#[must_use]
pub(crate) struct Seen {
    #[cfg(feature = "otel")]
    exporter: Option<braid_telemetry::trace::Exporter>,
}

/// Starts the log and the traces. To be called inside a runtime.
pub(crate) fn start(role: Role, tone: Tone) -> Seen {
    let (mut filter, mut unread) = (EnvFilter::new(level(role, tone)), None);
    if let Ok(text) = std::env::var(VARIABLE) {
        match EnvFilter::try_new(&text) {
            Ok(wished) => filter = wished,
            Err(error) => {
                unread = Some(format!("{VARIABLE} is {text:?}, which is no filter such as braid_worker=debug,info: {error}"))
            }
        }
    }
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(tone.color);
    // Spans are traces; in a line of the log they would be noise, whether they are made or not.
    let log = log.with_filter(filter).with_filter(filter_fn(|metadata| metadata.is_event()));
    let subscriber = tracing_subscriber::registry().with(log);
    #[cfg(feature = "otel")]
    {
        let exporter = braid_telemetry::trace::Exporter::start(role.name(), braid_proto::VERSION);
        let (exporter, problem) = exporter.map_or_else(|problem| (None, Some(problem)), |exporter| (exporter, None));
        // A second subscriber in one process is a mistake of a test, not of a user.
        let _ = subscriber.with(exporter.as_ref().map(braid_telemetry::trace::Exporter::layer)).try_init();
        for problem in unread.into_iter().chain(problem) {
            tracing::warn!("{problem}");
        }
        Seen { exporter }
    }
    #[cfg(not(feature = "otel"))]
    {
        let _ = subscriber.try_init();
        if let Some(problem) = unread {
            tracing::warn!("{problem}");
        }
        Seen {}
    }
}

impl Seen {
    /// Sends the last spans. Blocks, outside the runtime, for as long as the collector takes.
    pub(crate) fn finish(self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter {
            exporter.finish();
        }
    }
}

impl Role {
    /// What traces call the process.
    #[cfg(feature = "otel")]
    fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "braid-coordinator",
            Self::Worker => "braid-worker",
            Self::Client => "braid",
        }
    }
}

fn level(role: Role, tone: Tone) -> &'static str {
    match (role, tone.verbose, tone.quiet) {
        (_, _, true) => "error",
        (Role::Client, 0, _) => "warn",
        (Role::Client, 1, _) | (Role::Coordinator | Role::Worker, 0, _) => "info",
        (Role::Client, 2, _) | (Role::Coordinator | Role::Worker, 1, _) => {
            "info,braid=debug,braid_coordinator=debug,braid_worker=debug,braid_merge=debug"
        }
        _ => "debug",
    }
}
