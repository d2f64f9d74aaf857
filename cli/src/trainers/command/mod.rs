//! A trainer that is any program: each call is a run of it, asked and answered by files (`braid_mixture::trainer::contract`). It runs
//! as the programs of `braid run` do: in a group of its own, its lines in the job's log, ended at its deadline, and with its worker.

mod session;

use braid_command::{CommandExecute, CommandSpec, CommandWorkload};
use braid_mixture::{
    online::Ask,
    trainer::{Opening, Session, Trainer, TrainerError, contract::CallFiles},
};
use braid_workload::{Execute, FailureKind, TaskContext, TaskSpec, Workload};
use serde::Deserialize;
use serde_json::Value;
use session::Open;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Command {
    execute: CommandExecute,
}

/// What a spec may say of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The program and its first arguments; the two files follow.
    run: Vec<String>,
    /// Where it runs.
    #[serde(default = "root")]
    dir: PathBuf,
    /// How long a call may take.
    #[serde(default = "hour", with = "humantime_text")]
    timeout: Duration,
    /// What it can do beside training and evaluating.
    #[serde(default)]
    offers: Vec<Ask>,
}

fn root() -> PathBuf {
    "/".into()
}

fn hour() -> Duration {
    Duration::from_secs(3600)
}

/// `90s`, `2h`.
mod humantime_text {
    use serde::{Deserialize, Deserializer, de::Error};
    use std::time::Duration;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| D::Error::custom(format!("timeout {text:?}: {error}")))
    }
}

impl Settings {
    fn read(settings: &Value) -> Result<Self, TrainerError> {
        let read = Self::deserialize(settings).map_err(|error| TrainerError::Settings(error.to_string()))?;
        if read.run.is_empty() || read.timeout.is_zero() {
            return Err(TrainerError::Settings("give a program to `run` and a `timeout` above 0".into()));
        }
        Ok(read)
    }
}

impl Command {
    pub(super) fn new(execute: CommandExecute) -> Self {
        Self { execute }
    }

    /// Runs a program to its end.
    fn call(&self, settings: &Settings, what: &str, files: &CallFiles, context: &TaskContext) -> Result<(), TrainerError> {
        let failed = |problem: String| TrainerError::Failed { what: what.to_owned(), problem };
        let paths = [&files.request, &files.answer].map(|path| path.display().to_string());
        let mut spec = CommandSpec::new(settings.run.iter().cloned().chain(paths), &settings.dir);
        spec.timeout = Some(settings.timeout);
        let spec = serde_json::to_value(&spec).map_err(|error| failed(error.to_string()))?;
        let plan = CommandWorkload.plan(&spec).map_err(|error| failed(error.to_string()))?;
        let task: TaskSpec = plan.tasks.into_iter().next().ok_or_else(|| failed("it is no program".into()))?;
        let Err(failure) = self.execute.run(&spec, &task, context) else { return Ok(()) };
        if failure.kind == FailureKind::Cancelled || context.is_cancelled() {
            return Err(TrainerError::Cancelled);
        }
        if failure.exit == Some(TIMED_OUT) {
            return Err(TrainerError::Hung { what: what.to_owned(), after: settings.timeout });
        }
        Err(failed(failure.message))
    }
}

/// What a shell sees of a program that was stopped at its deadline.
const TIMED_OUT: u8 = 124;

impl Trainer for Command {
    fn check(&self, settings: &Value) -> Result<(), TrainerError> {
        Settings::read(settings).map(drop)
    }

    /// Relative paths of the program begin from the folder of the spec.
    fn beside(&self, mut settings: Value, folder: &Path) -> Value {
        if let Value::Object(fields) = &mut settings {
            fields.entry("dir").or_insert_with(|| Value::String(folder.display().to_string()));
        }
        settings
    }

    /// Nobody knows what a program does.
    fn is_bounded(&self) -> bool {
        false
    }

    /// Branches are calls like any other, from another folder.
    fn offers(&self, settings: &Value) -> Result<Option<Vec<Ask>>, TrainerError> {
        Ok(Some([Settings::read(settings)?.offers, vec![Ask::Branches]].concat()))
    }

    fn open<'a>(&'a self, opening: Opening<'a>) -> Result<Box<dyn Session + 'a>, TrainerError> {
        let settings = Settings::read(opening.settings)?;
        fs::create_dir_all(opening.scratch).map_err(TrainerError::file("create", opening.scratch))?;
        let (model, step) = opening.from.map_or((None, 0), |(folder, step)| (Some(folder.to_owned()), step));
        Ok(Box::new(Open { trainer: self, settings, opening, model, reference: None, step, calls: 0 }))
    }
}
