//! Ctrl-C and SIGTERM: once is a request, twice is an order.

use crate::{
    error::{Error, Result},
    exit::Exit,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals as one.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::unavailable(format!("cannot listen for signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Makes the next signal end the process at once, whatever it is doing.
    pub(crate) fn next_ends_the_process(&self) {
        // Streams of its own: those of `self` stay with whoever still looks at them. And from here on, not from when the task first
        // runs: a person may be quick.
        if let Ok(mut signals) = Self::listen() {
            tokio::spawn(async move {
                signals.next().await;
                std::process::exit(Exit::Interrupted.code().into());
            });
        }
    }
}

/// What a verb ends with that a signal has stopped.
pub(crate) fn interrupted() -> Error {
    Error::new(Exit::Interrupted, "interrupted")
}
