//! A toy kind of job: plan, then parts (some of which ask for one more), then a last task.
//!
//! Its state remembers each part that it has taken in, so that a result counted twice, or lost, is a wrong result. It also
//! writes down each call, so that the simulation can compare the calls with what became durable.

use braid_workload::{Advance, Demand, Failure, JobResult, Member, Plan, Registry, SpecError, TaskOutcome, TaskSpec, Workload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The number of the first task.
const PLAN: u64 = 0;
/// The number of the last task.
const LAST: u64 = 1_000_000;
/// What a part adds to its number to name the further part that it asks for.
const FURTHER: u64 = 1000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ToySpec {
    /// Unique to the job.
    pub(crate) tag: String,
    pub(crate) parts: u64,
    /// How many of the parts ask for one more.
    pub(crate) further: u64,
    /// How many members the last task has; 0 and 1: it is no gang.
    pub(crate) gang: u32,
    /// Keep no state: most results change nothing but their own task.
    pub(crate) quiet: bool,
    pub(crate) exclusive: Option<String>,
    /// Bytes that make each task's spec larger.
    pub(crate) padding: usize,
    /// Its tasks lose what they have done when they are stopped.
    pub(crate) stubborn: bool,
    pub(crate) trouble: Option<Trouble>,
}

/// What is wrong with the first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// It always fails in a way that another try may mend.
    Poison,
    /// It always fails for good.
    Fatal,
    /// It ends its worker.
    Killer,
    /// Its value is not one of this kind.
    Garbage,
    /// After it the state is too large.
    Huge,
    /// After it the job asks for tasks too large for a record.
    HugeTask,
    /// After the last part there is neither a task nor a result.
    Stall,
    /// It is planned without a task.
    Idle,
    /// Its tasks name more bytes than can be added up.
    Endless,
    /// It fails at its only try, and the job goes on without it.
    Lame,
}

#[derive(Default, Serialize, Deserialize)]
struct ToyState {
    sum: u64,
    seen: Vec<u64>,
}

/// A call of `advance`: the job's tag, the task's number.
pub(crate) type Call = (String, u64);

#[derive(Default)]
pub(crate) struct Toy {
    calls: Arc<Mutex<Vec<Call>>>,
}

/// The toy as the only kind, and its list of calls.
pub(crate) fn registry() -> (Registry<dyn Workload>, Arc<Mutex<Vec<Call>>>) {
    let toy = Toy::default();
    let calls = toy.calls.clone();
    let toy: Arc<dyn Workload> = Arc::new(toy);
    (Registry::new([("toy", toy)]), calls)
}

impl ToySpec {
    pub(crate) fn value(&self) -> Value {
        serde_json::to_value(self).unwrap()
    }

    pub(crate) fn read(spec: &Value) -> Result<Self, SpecError> {
        serde_json::from_value(spec.clone()).map_err(wrong)
    }

    /// The numbers of all its tasks, in order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let further = 1..=self.further.min(self.parts);
        [PLAN].into_iter().chain(1..=self.parts).chain(further.map(|part| part + FURTHER)).chain([LAST]).collect()
    }

    /// The result that is right.
    pub(crate) fn sum(&self) -> u64 {
        if self.quiet {
            0
        } else {
            self.numbers().into_iter().filter(|number| *number != PLAN && *number != LAST).map(square).sum()
        }
    }

    /// Runs a task as a worker would. `None`: the worker dies.
    pub(crate) fn run(&self, payload: &Value) -> Option<TaskOutcome> {
        let number = number(payload).unwrap();
        Some(match self.trouble {
            Some(Trouble::Poison | Trouble::Lame) if number == 1 => TaskOutcome::Failed(Failure::retry("the disk is full")),
            Some(Trouble::Fatal) if number == 1 => TaskOutcome::Failed(Failure::fatal("the input is wrong")),
            Some(Trouble::Killer) if number == 1 => return None,
            Some(Trouble::Garbage) if number == 1 => TaskOutcome::Done(json!({ "not": "a number" })),
            _ => TaskOutcome::Done(json!(square(number))),
        })
    }

    fn task(&self, number: u64) -> TaskSpec {
        let padding = if self.trouble == Some(Trouble::HugeTask) && number > PLAN { 40_000 } else { self.padding };
        TaskSpec {
            label: format!("part {number}"),
            payload: json!({ "number": number, "padding": "x".repeat(padding) }),
            demand: Demand {
                bytes: if self.trouble == Some(Trouble::Endless) { u64::MAX } else { number % 7 * 1000 },
                memory: number % 3,
                wide: number.is_multiple_of(2),
                ..Demand::default()
            },
        }
    }

    /// What comes last: one task, or a gang. Only the value of its first member is right.
    fn last(&self) -> Vec<TaskSpec> {
        let size = self.gang.max(1);
        let member = |rank| {
            let mut task = self.task(LAST);
            task.payload["number"] = json!(LAST + u64::from(rank));
            task.demand = Demand { wide: false, gang: (size > 1).then_some(Member { rank, size }), ..task.demand };
            task
        };
        (0..size).map(member).collect()
    }
}

impl Workload for Toy {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn is_resumable(&self, spec: &Value) -> bool {
        ToySpec::read(spec).is_ok_and(|spec| !spec.stubborn)
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let spec = ToySpec::read(spec)?;
        let tasks = if spec.trouble == Some(Trouble::Idle) { Vec::new() } else { vec![spec.task(PLAN)] };
        Ok(Plan { label: spec.tag, exclusive: spec.exclusive, state: json!(ToyState::default()), tasks })
    }

    fn advance(
        &self,
        spec: &Value,
        state: &Value,
        finished: &TaskSpec,
        value: &Value,
        open: usize,
    ) -> Result<Advance, SpecError> {
        let spec = ToySpec::read(spec)?;
        let mut state: ToyState = serde_json::from_value(state.clone()).map_err(wrong)?;
        let number = number(&finished.payload)?;
        self.calls.lock().unwrap().push((spec.tag.clone(), number));
        let value = value.as_u64().ok_or_else(|| wrong(format!("a result is a number, not {value}")))?;
        let mut tasks = Vec::new();
        match number {
            LAST if value != square(LAST) => return Err(wrong(format!("the value of another member: {value}"))),
            LAST => return Ok(Advance::Finished(JobResult { summary: "added up".into(), details: json!(state.sum) })),
            PLAN => tasks.extend((1..=spec.parts).map(|part| spec.task(part))),
            part => {
                if part <= spec.further {
                    tasks.push(spec.task(part + FURTHER));
                }
                if spec.trouble == Some(Trouble::Huge) {
                    return Ok(Advance::Continue { state: Some(json!("x".repeat(30_000))), tasks });
                }
                if !spec.quiet {
                    if state.seen.contains(&part) {
                        return Err(wrong(format!("part {part} came twice")));
                    }
                    state.seen.push(part);
                    state.sum += value;
                }
            }
        }
        if open == 0 && tasks.is_empty() && spec.trouble != Some(Trouble::Stall) {
            tasks.extend(spec.last());
        }
        Ok(Advance::Continue { state: (!spec.quiet).then(|| json!(state)), tasks })
    }

    fn retries(&self, spec: &Value, usual: u32) -> u32 {
        if is_lame(spec) { 0 } else { usual }
    }

    fn failed(&self, spec: &Value, _: &Value, _: &TaskSpec, _: &Failure, open: usize) -> Option<Advance> {
        let last = || ToySpec::read(spec).map(|spec| spec.last()).unwrap_or_default();
        is_lame(spec).then(|| Advance::Continue { state: None, tasks: if open == 0 { last() } else { Vec::new() } })
    }
}

/// Whether a job goes on without a task that has failed for good.
pub(crate) fn is_lame(spec: &Value) -> bool {
    ToySpec::read(spec).is_ok_and(|spec| spec.trouble == Some(Trouble::Lame))
}

fn number(payload: &Value) -> Result<u64, SpecError> {
    payload["number"].as_u64().ok_or_else(|| wrong("a payload has a number"))
}

fn square(number: u64) -> u64 {
    number * number + 1
}

fn wrong(problem: impl ToString) -> SpecError {
    SpecError { kind: "toy", message: problem.to_string() }
}
