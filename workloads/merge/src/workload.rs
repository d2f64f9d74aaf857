//! The deciding half of a merge.
//!
//! ```text
//!    ┌──────────────── while the file has more recipes: the next, or all that is left ─────────────┐
//!    ▼                                                                                              │
//!   Plan ──┬──────────────────────────────────────────┬──▶ Tensors … Tensors ──(the last one done)──▶ Publish ──▶ finished
//!          │                                          ├──▶ Publish     when an interrupted run had written every tensor
//!          │                                          └──▶ finished    when the result is there already
//!          └──▶ Survey … Survey ─(rounds)─▶ Spread ───┘
//!               where the method asks about whole models, and no earlier run has the answers
//! ```

use crate::{
    MergeError, methods,
    recipe::Stages,
    spec::{KIND, MergeSpec},
    step::{self, Group, Looked, Planned, Published, Step, Taken},
    survey::{Asked, Looking, Next, Survey},
};
use braid_workload::{Advance, Demand, JobResult, Plan, Reach, SpecError, TaskSpec, Workload};
use bytesize::ByteSize;
use serde_json::{Value, json};

/// Decides what the tasks of a merge are.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergeWorkload;

impl Workload for MergeWorkload {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn is_resumable(&self, _: &Value) -> bool {
        true
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let spec = read_spec(spec).map_err(refuse)?;
        let stages = spec.stages().map_err(refuse)?;
        spec.check_out().map_err(refuse)?;
        Ok(Plan {
            label: format!("{} -> {}", what(&stages), spec.out.display()),
            exclusive: Some(format!("out:{}", spec.out.display())),
            state: Value::Null,
            tasks: vec![plan().map_err(refuse)?],
        })
    }

    fn reach(&self, spec: &Value) -> Result<Reach, SpecError> {
        read_spec(spec).and_then(|spec| spec.may_use()).map_err(refuse)
    }

    fn advance(
        &self,
        spec: &Value,
        state: &Value,
        finished: &TaskSpec,
        value: &Value,
        open: usize,
    ) -> Result<Advance, SpecError> {
        let next = || match step::read(&finished.payload)? {
            Step::Plan => after_plan(&read_spec(spec)?, &step::read(value)?),
            Step::Survey { asked, .. } => after_look(step::read(state)?, asked.index, step::read(value)?, open),
            Step::Spread { .. } => after_plan(&read_spec(spec)?, &step::read(value)?),
            Step::Tensors { plan, .. } if open == 0 => go_on(vec![publish(plan)?]),
            Step::Tensors { .. } => go_on(Vec::new()),
            Step::Publish { .. } => match step::read(value)? {
                Published { stage: Some(_), .. } => go_on(vec![plan()?]),
                published => Ok(Advance::Finished(result(published))),
            },
        };
        next().map_err(refuse)
    }
}

fn after_plan(spec: &MergeSpec, planned: &Planned) -> Result<Advance, MergeError> {
    if planned.published {
        let out = spec.out.display().to_string();
        let summary = format!("{out} already holds this merge");
        return Ok(Advance::Finished(JobResult { summary, details: json!({ "out": out, "tensors": planned.tensors }) }));
    }
    if let Some(surveyed) = &planned.survey {
        let survey = survey_of(&surveyed.method)?;
        let begun = Looking::begin(survey, planned.plan.clone(), planned.memory, surveyed.clone());
        let looking = begun.ok_or_else(|| MergeError::Task("a survey has no question".into()))?;
        return looks(&looking, looking.tasks());
    }
    if planned.groups.is_empty() {
        return go_on(vec![publish(planned.plan.clone())?]);
    }
    let tensors = |&Group(first, end, bytes): &Group| {
        let step = Step::Tensors { first, end, plan: planned.plan.clone() };
        task(format!("tensors {first}..{end}"), &step, Demand { bytes, memory: planned.memory, wide: true, ..Demand::default() })
    };
    go_on(planned.groups.iter().map(tensors).collect::<Result<_, _>>()?)
}

/// Takes in what a task of a survey has found.
fn after_look(mut looking: Looking, index: usize, looked: Looked, open: usize) -> Result<Advance, MergeError> {
    looking.take(index, looked.finding)?;
    if open > 0 {
        return Ok(Advance::Continue { state: Some(step::write(&looking)?), tasks: Vec::new() });
    }
    match looking.next(survey_of(&looking.method)?)? {
        Next::Round(tasks) => looks(&looking, tasks),
        Next::Known(answers) => {
            let step = Step::Spread { plan: looking.plan, answers };
            let spread = task("spread".into(), &step, Demand { wide: true, ..Demand::default() })?;
            Ok(Advance::Continue { state: Some(Value::Null), tasks: vec![spread] })
        }
    }
}

/// The tasks of a round of a survey.
fn looks(looking: &Looking, asked: Vec<(Asked, u64)>) -> Result<Advance, MergeError> {
    let look = |(asked, bytes): (Asked, u64)| {
        let label = format!("survey {}..{}", asked.first, asked.end);
        let demand = Demand { bytes, memory: looking.memory, wide: true, ..Demand::default() };
        task(label, &Step::Survey { plan: looking.plan.clone(), asked }, demand)
    };
    let tasks = asked.into_iter().map(look).collect::<Result<_, _>>()?;
    Ok(Advance::Continue { state: Some(step::write(looking)?), tasks })
}

fn survey_of(method: &str) -> Result<&'static dyn Survey, MergeError> {
    let survey = methods::find(method).and_then(|method| method.survey());
    survey.ok_or_else(|| MergeError::Task(format!("{method} asks nothing about whole models")))
}

fn plan() -> Result<TaskSpec, MergeError> {
    task("plan".into(), &Step::Plan, Demand { wide: true, ..Demand::default() })
}

fn publish(plan: String) -> Result<TaskSpec, MergeError> {
    task("publish".into(), &Step::Publish { plan }, Demand { wide: true, ..Demand::default() })
}

fn result(published: Published) -> JobResult {
    let size = |bytes| ByteSize::b(bytes).display().si();
    let Published { out, recipes, models, tensors, bytes, reused_tensors, reused_bytes, repaired_tensors, taken, .. } =
        &published;
    let by = if *recipes > 1 { format!(" by {recipes} recipes") } else { String::new() };
    let mut summary = format!("merged {}{by} into {out} ({tensors} tensors, {})", checkpoints(*models), size(*bytes));
    if *reused_tensors > 0 {
        summary += &format!(", reusing {reused_tensors} tensors ({}) of an interrupted run", size(*reused_bytes));
    }
    if let Some(Taken { tensors: taken, bytes, from }) = taken {
        summary += &format!(", taking {taken} of {tensors} tensors ({}) from {from}", size(*bytes));
    }
    if *repaired_tensors > 0 {
        summary += &format!(", merging {repaired_tensors} again that a node had lost");
    }
    // A value that was read a moment ago can be written.
    JobResult { summary, details: step::write(&published).unwrap_or_default() }
}

/// What is done to how many checkpoints.
fn what(stages: &Stages) -> String {
    let last = &stages.result().recipe;
    match stages.before().len() {
        0 => format!("{} of {}", last.method.name(), checkpoints(last.models.len())),
        more => format!("{} after {more} other recipe{}", last.method.name(), if more == 1 { "" } else { "s" }),
    }
}

fn checkpoints(count: usize) -> String {
    if count == 1 { "1 checkpoint".into() } else { format!("{count} checkpoints") }
}

fn go_on(tasks: Vec<TaskSpec>) -> Result<Advance, MergeError> {
    Ok(Advance::Continue { state: None, tasks })
}

fn task(label: String, step: &Step, demand: Demand) -> Result<TaskSpec, MergeError> {
    Ok(TaskSpec { label, payload: step::write(step)?, demand })
}

pub(crate) fn read_spec(spec: &Value) -> Result<MergeSpec, MergeError> {
    step::read(spec)
}

fn refuse(error: MergeError) -> SpecError {
    let message = match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    SpecError { kind: KIND, message }
}

#[cfg(test)]
mod tests;
