//! The doing half: one program, from the search for it to its end.
//!
//! It runs on the worker's compute thread that the task holds, which waits in `poll`: a program of one thread takes one thread
//! of its worker, and the shared pool is never blocked.

mod environment;
mod lines;
mod memory;
mod outcome;
mod process;
mod program;
mod rendezvous;
mod stop;
#[cfg(test)]
mod tests;

pub(crate) use memory::descendants;

use crate::{
    CommandError, CommandSpec, Guard, KIND, Launcher,
    cgroup::Cgroups,
    workload::{Ended, Payload},
};
use braid_workload::{Execute, Failure, TaskContext, TaskSpec};
use process::{Enclosure, Process};
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Instant};

/// Runs programs, each watched over by a guard.
#[derive(Debug)]
pub struct CommandExecute {
    guard: Arc<Guard>,
    cgroups: Option<Cgroups>,
}

impl CommandExecute {
    /// One whose programs are ended by this guard when the worker is gone.
    pub fn new(guard: Guard) -> Self {
        Self { guard: Arc::new(guard), cgroups: None }
    }

    /// The same, but memory limits are kept by cgroups where this process has some. Without them, and for programs without a
    /// limit, nothing changes.
    #[must_use]
    pub fn with_cgroups(self, launcher: Launcher) -> Self {
        Self { cgroups: Some(Cgroups::new(launcher)), ..self }
    }

    /// Runs the one program of a spec, or this task's member of its gang, for another kind of job: with these variables beside the
    /// usual ones, which are that kind's to name and no user's.
    ///
    /// # Errors
    /// As a task of this kind.
    pub fn run_for(&self, spec: &CommandSpec, variables: &[(&str, String)], context: &TaskContext) -> Result<(), Failure> {
        spec.check()?;
        self.run_program(spec, Payload { index: None }, variables, context)?;
        Ok(())
    }

    fn run_program(
        &self,
        spec: &CommandSpec,
        payload: Payload,
        more: &[(&str, String)],
        context: &TaskContext,
    ) -> Result<Ended, CommandError> {
        let gang = rendezvous::meet(spec, context)?;
        let mut variables = environment::variables(spec, payload, context, gang.as_ref(), self.guard.mark());
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        program::check_folder(&spec.dir)?;
        let program = program::find(&spec.command, &spec.dir, spec.env.get("PATH").map(String::as_str))?;
        let start = Instant::now();
        let process = Process::start(&program, spec, &variables, &self.guard, self.enclosure(spec, context))?;
        let end = process.run(spec, context)?;
        outcome::judge(spec, &end)?;
        Ok(Ended { exit: 0, seconds: start.elapsed().as_secs_f64() })
    }

    /// A cgroup for a program with a limit, where there are any.
    fn enclosure(&self, spec: &CommandSpec, context: &TaskContext) -> Option<Enclosure<'_>> {
        let cgroups = self.cgroups.as_ref()?;
        let group = cgroups.make(context.task, context.attempt, spec.memory?)?;
        Some(Enclosure { launcher: cgroups.launcher(), group })
    }
}

impl Execute for CommandExecute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        let spec = CommandSpec::read(spec).map_err(Failure::from)?;
        let payload = Payload::deserialize(&task.payload).map_err(|error| {
            Failure::from(CommandError::Spec { name: "the task".into(), problem: error.to_string(), hint: None })
        })?;
        let ended = self.run_program(&spec, payload, &[], context).map_err(Failure::from)?;
        serde_json::to_value(ended).map_err(|error| Failure::fatal(format!("the end of a program: {error}")))
    }
}
