//! The deciding half: a task a program, and how the job ends when some of them fail.
//!
//! One program, or a gang, fails its job with its own failure. An array goes on: the job fails once all have run, and says which
//! of them failed. What no other task could do better either (the program is not there) ends it at once.

use crate::{CommandError, CommandSpec};
use braid_workload::{Advance, Demand, Failure, FailureKind, JobResult, Member, Plan, Space, SpecError, TaskSpec, Workload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The word of this kind of job.
pub const KIND: &str = "command";
/// Failed tasks of an array that are named.
const NAMED: usize = 5;
/// The longest word on one of them, in bytes.
const LONGEST: usize = 300;

/// Decides what the tasks of a command are.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandWorkload;

/// Which program of its job a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// Its number in the array.
    pub(crate) index: Option<u32>,
}

/// How a program ended that ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code: 0.
    pub exit: u8,
    /// From its start to its end.
    pub seconds: f64,
}

/// The programs of an array that have failed for good.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Failures {
    count: u32,
    /// The first few: number and reason.
    named: Vec<(u32, String)>,
}

impl Workload for CommandWorkload {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let spec = read(spec)?;
        let size = spec.gang.unwrap_or(1);
        let indices: Vec<Option<u32>> = spec.array.map_or_else(|| vec![None], |array| array.indices().map(Some).collect());
        let tasks = indices.into_iter().flat_map(|index| (0..size).map(move |rank| (index, rank)));
        let tasks = tasks.map(|(index, rank)| TaskSpec {
            label: label(&spec, index, rank),
            payload: json!(Payload { index }),
            demand: demand(&spec, rank),
        });
        Ok(Plan { label: job_label(&spec), exclusive: None, state: Value::Null, tasks: tasks.collect() })
    }

    fn advance(&self, spec: &Value, state: &Value, _: &TaskSpec, value: &Value, open: usize) -> Result<Advance, SpecError> {
        if open > 0 {
            return Ok(Advance::Continue { state: None, tasks: Vec::new() });
        }
        let spec = read(spec)?;
        if let Some(failures) = read_failures(state).filter(|failures| failures.count > 0) {
            return Ok(Advance::Failed(failures.verdict(&spec)));
        }
        let title = spec.title();
        let summary = match (spec.array, spec.gang) {
            (None, None) => format!("ran {title}"),
            (None, Some(size)) => format!("ran {title} as a gang of {size}"),
            (Some(array), None) => format!("ran {title} {} times", array.len()),
            (Some(array), Some(size)) => format!("ran {title} {} times as a gang of {size}", array.len()),
        };
        let details = if spec.is_single() { value.clone() } else { json!({ "tasks": spec.tasks(), "failed": 0 }) };
        Ok(Advance::Finished(JobResult { summary, details }))
    }

    fn is_resumable(&self, spec: &Value) -> bool {
        read(spec).is_ok_and(|spec| spec.resumable)
    }

    fn retries(&self, spec: &Value, usual: u32) -> u32 {
        read(spec).map_or(usual, |spec| spec.retries)
    }

    fn failed(&self, spec: &Value, state: &Value, task: &TaskSpec, failure: &Failure, open: usize) -> Option<Advance> {
        let index = Payload::deserialize(&task.payload).ok()?.index?;
        if failure.kind == FailureKind::Fatal {
            return None;
        }
        let mut failures = read_failures(state).unwrap_or_default();
        failures.count += 1;
        if failures.named.len() < NAMED {
            let mut message = failure.message.clone();
            message.truncate(message.floor_char_boundary(LONGEST));
            failures.named.push((index, message));
        }
        Some(match open {
            0 => Advance::Failed(failures.verdict(&read(spec).ok()?)),
            _ => Advance::Continue { state: Some(json!(failures)), tasks: Vec::new() },
        })
    }
}

impl Failures {
    /// Why the job has failed.
    fn verdict(&self, spec: &CommandSpec) -> Failure {
        let named: Vec<String> = self.named.iter().map(|(index, message)| format!("[{index}] {message}")).collect();
        let more = if self.count as usize > named.len() { ", …" } else { "" };
        let (count, all) = (self.count, spec.tasks());
        Failure::fatal(format!("{count} of {all} programs failed: {}{more}", named.join(", "))).with_exit(1)
    }
}

/// What a program asks of a worker.
fn demand(spec: &CommandSpec, rank: u32) -> Demand {
    Demand {
        memory: spec.memory.unwrap_or(0),
        threads: spec.cpus,
        gpus: spec.gpus,
        disk: spec.disk.map(|bytes| Box::new(Space { path: spec.dir.display().to_string(), bytes })),
        gang: spec.gang.map(|size| Member { rank, size }),
        ..Demand::default()
    }
}

fn label(spec: &CommandSpec, index: Option<u32>, rank: u32) -> String {
    let rank = spec.gang.map(|size| format!("rank {rank} of {size}"));
    let parts: Vec<String> = index.map(|index| format!("[{index}]")).into_iter().chain(rank).collect();
    if parts.is_empty() { spec.title() } else { parts.join(" ") }
}

fn job_label(spec: &CommandSpec) -> String {
    let array = spec.array.map(|array| format!(", array {array}")).unwrap_or_default();
    let gang = spec.gang.map(|size| format!(", gang of {size}")).unwrap_or_default();
    format!("{}{array}{gang}", spec.title())
}

fn read(spec: &Value) -> Result<CommandSpec, SpecError> {
    CommandSpec::read(spec).map_err(|error: CommandError| SpecError { kind: KIND, message: error.to_string() })
}

fn read_failures(state: &Value) -> Option<Failures> {
    Failures::deserialize(state).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;

    fn spec(change: impl FnOnce(&mut CommandSpec)) -> Value {
        let mut spec = CommandSpec::new(["echo", "a b"], "/tmp");
        change(&mut spec);
        json!(spec)
    }

    fn labels(spec: &Value) -> (String, Vec<String>) {
        let plan = CommandWorkload.plan(spec).unwrap();
        (plan.label, plan.tasks.into_iter().map(|task| task.label).collect())
    }

    #[test]
    fn a_job_has_a_task_for_each_number_and_member() {
        assert_eq!(labels(&spec(|_| {})), ("echo 'a b'".into(), vec!["echo 'a b'".into()]));
        let array = |spec: &mut CommandSpec| spec.array = Array::new(5, 6);
        assert_eq!(labels(&spec(array)), ("echo 'a b', array 5-6".into(), vec!["[5]".into(), "[6]".into()]));
        let both = spec(|spec| {
            array(spec);
            spec.gang = Some(2);
            spec.name = Some("sweep".into());
        });
        let tasks = ["[5] rank 0 of 2", "[5] rank 1 of 2", "[6] rank 0 of 2", "[6] rank 1 of 2"];
        assert_eq!(labels(&both), ("sweep, array 5-6, gang of 2".into(), tasks.map(str::to_owned).to_vec()));
    }

    #[test]
    fn an_array_goes_on_without_those_that_fail_and_names_them_in_the_end() {
        let spec = spec(|spec| spec.array = Array::new(0, 9));
        let tasks = CommandWorkload.plan(&spec).unwrap().tasks;
        let failure = Failure::retry("it exited with code 3");
        let mut state = Value::Null;
        for index in [7, 2] {
            match CommandWorkload.failed(&spec, &state, &tasks[index], &failure, 1).unwrap() {
                Advance::Continue { state: Some(next), tasks } if tasks.is_empty() => state = next,
                other => panic!("{other:?}"),
            }
        }
        let value = json!(Ended { exit: 0, seconds: 0.1 });
        let end = CommandWorkload.advance(&spec, &state, &tasks[0], &value, 0).unwrap();
        let said = "2 of 10 programs failed: [7] it exited with code 3, [2] it exited with code 3";
        assert_eq!(end, Advance::Failed(Failure::fatal(said).with_exit(1)));
        assert!(matches!(CommandWorkload.failed(&spec, &state, &tasks[1], &failure, 0), Some(Advance::Failed(_))));
        let missing = Failure::fatal("there is no program");
        assert_eq!(CommandWorkload.failed(&spec, &state, &tasks[1], &missing, 5), None, "no other finds it either");
        for index in 0..1000 {
            let many = Failure::retry("é".repeat(5000));
            if let Some(Advance::Continue { state: Some(next), .. }) =
                CommandWorkload.failed(&spec, &state, &tasks[index % 10], &many, 1)
            {
                state = next;
            }
        }
        assert!(state.to_string().len() < 4096, "the state stays small");
    }

    #[test]
    fn a_program_on_its_own_and_a_gang_fail_their_job() {
        let spec = spec(|_| {});
        let task = CommandWorkload.plan(&spec).unwrap().tasks.remove(0);
        assert_eq!(CommandWorkload.failed(&spec, &Value::Null, &task, &Failure::retry("x"), 0), None);
        assert_eq!(CommandWorkload.retries(&spec, 2), 0);
        assert!(!CommandWorkload.is_resumable(&spec), "it would begin anew");
        assert!(CommandWorkload.is_resumable(&self::spec(|spec| spec.resumable = true)));
        let value = json!(Ended { exit: 0, seconds: 1.5 });
        let Advance::Finished(result) = CommandWorkload.advance(&spec, &Value::Null, &task, &value, 0).unwrap() else { panic!() };
        assert_eq!((result.summary.as_str(), &result.details), ("ran echo 'a b'", &value));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (spec, said) in [
            (json!({}), "missing field `command`"),
            (json!({ "command": [], "dir": "/" }), "command: name a program"),
            (json!({ "command": ["x"] }), "is not an absolute path"),
        ] {
            let error = CommandWorkload.plan(&spec).unwrap_err().to_string();
            assert!(error.starts_with("command job: ") && error.contains(said), "{error}");
        }
    }
}
