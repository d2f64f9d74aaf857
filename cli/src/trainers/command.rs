//! A trainer that is any program: each call is a run of it, asked and answered by files (`braid_mixture::trainer::contract`). It runs
//! as the programs of `braid run` do: in a group of its own, its lines in the job's log, ended at its deadline, and with its worker.

use braid_command::{CommandExecute, CommandSpec, CommandWorkload};
use braid_mixture::{
    Domains, MixtureError,
    data::Part,
    trainer::{
        Opening, Session, Stretch, Trained, Trainer, TrainerError,
        contract::{Answer, CONTRACT, Call, CallFiles, Request, by_name, encode},
    },
};
use braid_workload::{Execute, FailureKind, TaskContext, TaskSpec, Workload};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
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

    fn open<'a>(&'a self, opening: Opening<'a>) -> Result<Box<dyn Session + 'a>, TrainerError> {
        let settings = Settings::read(opening.settings)?;
        fs::create_dir_all(opening.scratch).map_err(TrainerError::file("create", opening.scratch))?;
        let (model, step) = opening.from.map_or((None, 0), |(folder, step)| (Some(folder.to_owned()), step));
        Ok(Box::new(Open { trainer: self, settings, opening, model, step, calls: 0 }))
    }
}

/// A model in the middle of its training: a folder that the last call has written.
struct Open<'a> {
    trainer: &'a Command,
    settings: Settings,
    opening: Opening<'a>,
    model: Option<PathBuf>,
    step: u64,
    calls: u64,
}

impl Session for Open<'_> {
    fn train(&mut self, stretch: &Stretch<'_>) -> Result<Trained, TrainerError> {
        if stretch.objective.is_some() {
            return Err(TrainerError::Unsupported("weights of domains in the objective"));
        }
        if stretch.excess {
            return Err(TrainerError::Unsupported("excess losses over a reference model"));
        }
        let files = self.files();
        fs::create_dir(&files.save).map_err(TrainerError::file("create", &files.save))?;
        let (data, domains) = (self.opening.data, self.opening.data.domains());
        let draws = stretch.batches.iter().flat_map(|batch| batch.0.iter().enumerate());
        let sequences = draws.flat_map(|(domain, draws)| draws.clone().map(move |draw| data.draw(stretch.stream, domain, draw)));
        write_sequences(&files.sequences, sequences)?;
        let counts: Vec<Vec<u64>> =
            stretch.batches.iter().map(|batch| batch.0.iter().map(|draws| draws.end - draws.start).collect()).collect();
        let steps = counts.len() as u64;
        let tokens = |domain| counts.iter().filter_map(|counts| counts.get(domain)).sum::<u64>() * data.context() as u64;
        let asked: Vec<u64> = (0..domains.len()).map(tokens).collect();
        let call = Call::Train {
            save: &files.save,
            steps,
            proportions: by_name(domains, stretch.proportions),
            counts,
            draws: stretch.batches.first().map_or_else(Vec::new, |batch| batch.0.iter().map(|draws| draws.start).collect()),
            sequences: &files.sequences,
        };
        let what = format!("the trainer's call for steps {} to {}", self.step, self.step + steps);
        let answer = self.call(&what, &files, call)?;
        let tokens = answer.tokens(domains, asked)?;
        let mut losses = answer.losses(domains)?;
        for (loss, &tokens) in losses.iter_mut().zip(&tokens) {
            // A loss that is no number is told as such: whoever asked knows the domain's name.
            *loss = (tokens > 0).then_some(loss.unwrap_or(f64::NAN));
        }
        self.model = Some(files.save);
        self.step += steps;
        Ok(Trained { tokens, losses, excess: vec![] })
    }

    fn evaluate(&mut self, part: Part, domains: &[usize], most: u64) -> Result<Vec<f64>, TrainerError> {
        let (data, files) = (self.opening.data, self.files());
        let counts = domains.iter().map(|&domain| data.held_out(part, domain, most)).collect::<Result<Vec<_>, _>>()?;
        let held_out = domains.iter().zip(&counts);
        let sequences =
            held_out.flat_map(|(&domain, &count)| (0..count).map(move |index| data.held_out_sequence(part, domain, index)));
        write_sequences(&files.sequences, sequences)?;
        let what = format!("the trainer's evaluation at step {}", self.step);
        let answer = self.call(&what, &files, Call::Evaluate { part, of: domains, counts, sequences: &files.sequences })?;
        let asked = Domains::new(domains.iter().map(|&domain| data.domains().name(domain)))?;
        Ok(answer.losses(&asked)?.into_iter().map(|loss| loss.unwrap_or(f64::NAN)).collect())
    }

    fn save(&mut self, folder: &Path) -> Result<(), TrainerError> {
        let Some(model) = &self.model else {
            let problem = "nothing has been trained yet".into();
            return Err(TrainerError::Failed { what: "saving a checkpoint".into(), problem });
        };
        copy(model, folder)
    }
}

impl Open<'_> {
    fn files(&mut self) -> CallFiles {
        self.calls += 1;
        CallFiles::new(self.opening.scratch, self.calls)
    }

    fn call(&self, what: &str, files: &CallFiles, call: Call<'_>) -> Result<Answer, TrainerError> {
        let Opening { data, seed, schedule, task, .. } = self.opening;
        let (from, step, context) = (self.model.as_deref(), self.step, data.context());
        let request = Request { contract: CONTRACT, from, step, seed, schedule, context, domains: data.domains().names(), call };
        fs::write(&files.request, encode(&request)).map_err(TrainerError::file("write", &files.request))?;
        self.trainer.call(&self.settings, what, files, task)?;
        // Large, and read by now.
        let _ = fs::remove_file(&files.sequences);
        Ok(Answer::read(&files.answer)?)
    }
}

fn write_sequences(path: &Path, sequences: impl Iterator<Item = Result<Vec<u32>, MixtureError>>) -> Result<(), TrainerError> {
    let mut file = BufWriter::new(File::create(path).map_err(TrainerError::file("create", path))?);
    for sequence in sequences {
        let bytes: Vec<u8> = sequence?.into_iter().flat_map(u32::to_le_bytes).collect();
        file.write_all(&bytes).map_err(TrainerError::file("write", path))?;
    }
    file.flush().map_err(TrainerError::file("write", path))
}

/// Copies what is in a folder into another one, by links where the disk has them: nobody changes a checkpoint.
fn copy(from: &Path, to: &Path) -> Result<(), TrainerError> {
    for entry in fs::read_dir(from).map_err(TrainerError::file("read", from))? {
        let entry = entry.map_err(TrainerError::file("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(TrainerError::file("read", &path))?.is_dir() {
            fs::create_dir(&target).map_err(TrainerError::file("create", &target))?;
            copy(&path, &target)?;
        } else if fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(TrainerError::file("copy", &path))?;
        }
    }
    Ok(())
}
