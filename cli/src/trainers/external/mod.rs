//! A trainer that asks: its program runs as those of `braid run` do, and calls `braid.v1.Mixture` on a socket of its own.
//!
//! ```text
//! this thread       calls ◀─ channel ◀─ service (a thread with a small runtime) ◀─ socket ◀─ the program
//!                   answers one after the other, and looks at the clock
//! another thread    runs the program to its end
//! ```
//!
//! What the calls mean is decided in `braid_mixture::steer`.

mod message;
mod service;
mod settings;

use braid_command::CommandExecute;
use braid_mixture::{
    online::Ask,
    trainer::{External, Led, Opening, Session, Shape, Trainer, TrainerError},
};
use braid_workload::{Failure, FailureKind, TaskContext};
use serde_json::Value;
use service::{Asked, Service};
use settings::Settings;
use std::{
    path::Path,
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

/// The variables by which a program finds the socket, and the folder for its checkpoints.
const SOCKET: &str = "BRAID_MIXTURE";
const FOLDER: &str = "BRAID_MIXTURE_FOLDER";
/// How often it is looked whether the program still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(super) struct Asking {
    execute: CommandExecute,
}

impl Asking {
    pub(super) fn new(execute: CommandExecute) -> Self {
        Self { execute }
    }

    fn run(&self, settings: &Settings, address: &str, folder: &Path, context: &TaskContext) -> Result<(), Failure> {
        let variables = [(SOCKET, address.to_owned()), (FOLDER, folder.display().to_string())];
        self.execute.run_for(&settings.command, &variables, context)
    }
}

impl Trainer for Asking {
    fn check(&self, settings: &Value) -> Result<(), TrainerError> {
        Settings::read(settings).map(drop)
    }

    /// Relative paths of the program begin from the folder of the spec.
    fn beside(&self, settings: Value, folder: &Path) -> Value {
        settings::beside(settings, folder)
    }

    /// Nobody knows what a program does.
    fn is_bounded(&self) -> bool {
        false
    }

    fn offers(&self, settings: &Value) -> Result<Option<Vec<Ask>>, TrainerError> {
        Ok(Some(Settings::read(settings)?.offers))
    }

    fn external(&self) -> Option<&dyn External> {
        Some(self)
    }

    fn open<'a>(&'a self, _: Opening<'a>) -> Result<Box<dyn Session + 'a>, TrainerError> {
        Err(TrainerError::Unsupported("to be asked: it asks"))
    }
}

impl External for Asking {
    fn shape(&self, settings: &Value) -> Result<Shape, TrainerError> {
        Ok(Settings::read(settings)?.shape())
    }

    fn lead(&self, settings: &Value, led: Led<'_>) -> Result<(), TrainerError> {
        let settings = Settings::read(settings)?;
        let what = "the trainer".to_owned();
        let failed = |problem: String| TrainerError::Failed { what: what.clone(), problem };
        let service = Service::start(led.domains.clone()).map_err(|error| failed(error.to_string()))?;
        let Led { folder, context, answer, gone, .. } = led;
        let address = service.address().to_owned();
        thread::scope(|scope| {
            let program = scope.spawn(|| {
                let ended = self.run(&settings, &address, folder, context);
                if let Err(failure) = &ended {
                    gone(&failure.message);
                }
                ended
            });
            let mut heard = Instant::now();
            let mut awaited = "its first call".to_owned();
            let mut late = None;
            while !program.is_finished() {
                match service.next(LOOK_EVERY) {
                    Ok(Asked { call, what, reply }) => {
                        // A caller that is gone needs none.
                        let _ = reply.send(answer(call));
                        (heard, awaited) = (Instant::now(), format!("another call after {what}"));
                    }
                    Err(RecvTimeoutError::Timeout) if late.is_none() && heard.elapsed() >= settings.patience => {
                        late = Some(awaited.clone());
                        context.cancel.cancel();
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    // Nobody can call any more; the program will notice.
                    Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
                }
            }
            let ended = program.join().unwrap_or_else(|_| Err(Failure::fatal("the thread of the trainer's program broke")));
            match (late, ended) {
                (Some(awaited), _) => {
                    let after = humantime::format_duration(settings.patience);
                    Err(TrainerError::Died { what, problem: format!("{awaited} had not come after {after}, and it was stopped") })
                }
                (None, Ok(())) => Ok(()),
                (None, Err(failure)) => Err(error(what, failure)),
            }
        })
    }
}

/// How the end of the program counts.
fn error(what: String, failure: Failure) -> TrainerError {
    match failure.kind {
        FailureKind::Cancelled => TrainerError::Cancelled,
        FailureKind::Retry => TrainerError::Died { what, problem: failure.message },
        FailureKind::Fatal => TrainerError::Failed { what, problem: failure.message },
    }
}
