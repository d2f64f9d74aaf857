//! What to run, as a job file or another kind of job says it. Checks what can be checked without a machine.

mod array;
mod signal;
mod values;

pub use array::Array;
pub use signal::{SaveSignal, StopSignal};

use crate::CommandError;
use braid_workload::with_key;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// The most tasks that one job may have.
pub const MAX_TASKS: u32 = 1_000_000;
/// The most members of a gang.
pub const MAX_GANG: u32 = 4096;
/// How long a program may take to end after it was told to, unless its spec says otherwise.
const GRACE: Duration = Duration::from_secs(10);
/// The longest name of a job, in bytes.
const MAX_NAME: usize = 200;

/// A program and how to run it. A job file has these keys and no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments; one string instead is given to `/bin/sh -c`.
    #[serde(deserialize_with = "values::command")]
    pub command: Vec<String>,
    /// What a person sees in a list of jobs; the command itself unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The folder in which it runs, on the worker: an absolute path once the spec is read.
    #[serde(default)]
    pub dir: PathBuf,
    /// Variables beside those of the worker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "values::variables")]
    pub env: BTreeMap<String, String>,
    /// Copies that start together and know of each other; none: the program is on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<u32>,
    /// Run once for each of these numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<Array>,
    /// GPUs of each program.
    #[serde(default, skip_serializing_if = "values::is_zero")]
    pub gpus: u32,
    /// Threads of a worker that each program takes.
    #[serde(default = "values::one", skip_serializing_if = "values::is_one")]
    pub cpus: u32,
    /// Bytes of memory that each program may hold, with all that it starts; no limit unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "values::size")]
    pub memory: Option<u64>,
    /// Bytes that must be free on the disk of the folder where each program starts.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "values::size")]
    pub disk: Option<u64>,
    /// How long each try may run.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "values::duration")]
    pub timeout: Option<Duration>,
    /// From the wish that it ends (SIGTERM) until it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "values::duration")]
    pub grace: Option<Duration>,
    /// A signal so long before the timeout: `USR1@60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_signal: Option<SaveSignal>,
    /// Tries after the first that failed.
    #[serde(default, skip_serializing_if = "values::is_zero")]
    pub retries: u32,
    /// It goes on where a try of it that was stopped left off: it may be stopped to make room for a job of a higher priority.
    #[serde(default, skip_serializing_if = "values::is_false")]
    pub resumable: bool,
}

impl CommandSpec {
    /// A program, run once in the folder `dir`, with nothing else asked for. The other fields are public.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>, dir: impl Into<PathBuf>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            name: None,
            dir: dir.into(),
            env: BTreeMap::new(),
            gang: None,
            array: None,
            gpus: 0,
            cpus: 1,
            memory: None,
            disk: None,
            timeout: None,
            grace: None,
            save_signal: None,
            retries: 0,
            resumable: false,
        }
    }

    /// Reads the job file `name` with this `text`; what it does not say about the folder is `dir`, from which a relative one
    /// begins.
    ///
    /// # Errors
    /// [`CommandError::Spec`] naming the file and, where it is known, the line.
    pub fn parse(name: &str, text: &str, dir: &Path) -> Result<Self, CommandError> {
        let mut spec: Self = serde_saphyr::from_str(text).map_err(|problem| {
            let place = problem.location().map(|at| (at.line(), at.column()));
            let problem = with_key(text, place, problem.without_snippet().to_string());
            CommandError::Spec { name: name.into(), hint: values::meant(&problem), problem }
        })?;
        // Component by component: joined to nothing, a folder would end in a slash.
        spec.dir = dir.components().chain(spec.dir.components()).fold(PathBuf::new(), |path, part| path.join(part));
        spec.check().map_err(|error| CommandError::Spec { name: name.into(), hint: error.hint(), problem: error.to_string() })?;
        Ok(spec)
    }

    /// Reads a spec as it was submitted.
    ///
    /// # Errors
    /// [`CommandError`] when it is none or cannot be run.
    pub fn read(spec: &serde_json::Value) -> Result<Self, CommandError> {
        let spec = Self::deserialize(spec).map_err(|problem| {
            let problem = problem.to_string();
            CommandError::Spec { name: "the job".into(), hint: values::meant(&problem), problem }
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks what can be checked without a machine.
    ///
    /// # Errors
    /// [`CommandError::Field`] naming the key, [`CommandError::Variable`] naming the variable.
    pub fn check(&self) -> Result<(), CommandError> {
        let field = |field, problem: String| Err(CommandError::Field { field, problem });
        let nul = |text: &str| text.contains('\0');
        match self.command.first() {
            None => return field("command", "name a program".into()),
            Some(program) if program.is_empty() => return field("command", "the name of the program is empty".into()),
            Some(_) => {}
        }
        if let Some(at) = self.command.iter().position(|word| nul(word)) {
            return field("command", format!("argument {at} holds a NUL byte, which no argument of a program can"));
        }
        if !self.dir.is_absolute() || nul(&self.dir.to_string_lossy()) {
            return field("dir", format!("{:?} is not an absolute path", self.dir));
        }
        for (name, value) in &self.env {
            values::check_variable(name, value)?;
        }
        if let Some(gang) = self.gang
            && !(1..=MAX_GANG).contains(&gang)
        {
            return field("gang", format!("{gang} is not between 1 and {MAX_GANG}"));
        }
        if self.tasks() > u64::from(MAX_TASKS) {
            return field("array", format!("these are {} programs, and a job holds at most {MAX_TASKS}", self.tasks()));
        }
        if self.cpus == 0 {
            return field("cpus", "a program takes at least 1".into());
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return field("timeout", "it leaves no time to run".into());
        }
        if let Some(save) = &self.save_signal {
            match self.timeout {
                None if self.resumable => {}
                None => return field("save_signal", "it comes before the timeout, and there is none".into()),
                Some(timeout) if timeout <= save.before => {
                    let (before, timeout) = (values::show(save.before), values::show(timeout));
                    return field("save_signal", format!("{before} before the timeout of {timeout} is before the start"));
                }
                Some(_) => {}
            }
        }
        if self.name.as_ref().is_some_and(|name| name.len() > MAX_NAME || name.is_empty()) {
            return field("name", format!("it has 1 to {MAX_NAME} bytes"));
        }
        Ok(())
    }

    /// How long it may take to end after it was told to.
    pub fn grace(&self) -> Duration {
        self.grace.unwrap_or(GRACE)
    }

    /// How long it may take to end after its task was told to stop: one that goes on later saves first.
    pub fn stops_within(&self) -> Duration {
        let saves = self.save_signal.filter(|_| self.resumable).map_or(Duration::ZERO, |save| save.before);
        self.grace().saturating_add(saves)
    }

    /// Programs in all.
    pub fn tasks(&self) -> u64 {
        self.array.map_or(1, |array| u64::from(array.len())) * u64::from(self.gang.unwrap_or(1))
    }

    /// Whether it is one program, whose end is that of the job.
    pub fn is_single(&self) -> bool {
        self.gang.is_none() && self.array.is_none()
    }

    /// What a person sees: its name, or the command as it could be typed.
    pub fn title(&self) -> String {
        const LONGEST: usize = 80;
        if let Some(name) = &self.name {
            return name.clone();
        }
        let mut title = self.command.iter().map(|word| values::quoted(word)).collect::<Vec<_>>().join(" ");
        if title.len() > LONGEST {
            title.truncate(title.floor_char_boundary(LONGEST));
            title.push('…');
        }
        title
    }
}

#[cfg(test)]
mod tests;
