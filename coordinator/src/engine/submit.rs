//! New jobs, and the wish to end one.

use super::{Effect, Effects, Engine, Fact, MAX_DEPTH, MAX_STATE, MAX_TEXT, Refusal, ending, projects};
use crate::model::{Change, Class, Job, JobEnd, JobPhase, Millis, NewJob, Precedence, Task, chunk_specs, keys};
use braid_telemetry::trace::TraceContext;
use braid_workload::{JobId, MAX_RECORD, SpecError, TaskSpec};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a client wants.
pub(super) struct Wish {
    pub(super) kind: String,
    pub(super) spec: Value,
    pub(super) request_id: String,
    pub(super) precedence: Precedence,
    pub(super) trace: Option<TraceContext>,
}

impl Engine {
    pub(super) fn submit(&mut self, wish: Wish, now: Millis, effects: &mut Effects) -> Result<JobId, Refusal> {
        let Wish { kind, spec, request_id, precedence, trace } = wish;
        if let Some(id) = self.state.requests.get(&request_id) {
            return Ok(*id);
        }
        let precedence = projects::checked(precedence)?;
        let workload = self.workloads.get(&kind).ok_or_else(|| Refusal::UnknownKind {
            kind: kind.clone(),
            known: self.workloads.kinds().collect::<Vec<_>>().join(", "),
        })?;
        within("spec", &spec, MAX_RECORD)?;
        let mut plan = workload.plan(&spec)?;
        clip(&mut plan.label, MAX_TEXT);
        within("state", &plan.state, MAX_STATE)?;
        within("exclusive name", &json!(plan.exclusive), MAX_TEXT)?;
        if plan.tasks.is_empty() {
            return Err(SpecError { kind: workload.kind(), message: "there is nothing to do".into() }.into());
        }
        if let Some(name) = &plan.exclusive
            && let Some(holder) = self.state.jobs().find(|job| !job.is_over() && job.exclusive.as_ref() == Some(name))
        {
            return Err(Refusal::Held { name: name.clone(), holder: holder.id });
        }
        let id = JobId(self.state.last_job + 1);
        let mut job = Job::new(NewJob {
            id,
            kind,
            label: plan.label,
            spec: Arc::new(spec),
            request_id: request_id.clone(),
            precedence,
            trace,
            exclusive: plan.exclusive,
            state: plan.state,
            submitted: now,
        });
        add_tasks(&mut job, plan.tasks, effects)?;
        effects.push(Effect::Prepare(Change::spec(&job)));
        effects.push(Change::job(&job).into());
        self.state.facts.push(Fact::Submitted { kind: job.kind.clone() });
        self.state.last_job = id.0;
        self.state.requests.insert(request_id, id);
        self.state.jobs.insert(id, job);
        self.state.unplaced = true;
        Ok(id)
    }

    pub(super) fn cancel(&mut self, id: JobId, now: Millis, effects: &mut Effects) -> Result<JobId, Refusal> {
        let job = self.state.job(id).ok_or(Refusal::NoSuchJob(id))?;
        match &job.phase {
            JobPhase::Running => {
                ending::end(&mut self.state, id, JobEnd::Cancelled, now, effects);
                Ok(id)
            }
            JobPhase::Ending(JobEnd::Cancelled) | JobPhase::Ended(JobEnd::Cancelled) => Ok(id),
            JobPhase::Ending(_) | JobPhase::Ended(_) => Err(Refusal::Over(id)),
        }
    }
}

/// Adds tasks to a job and writes their specs. The caller writes the job's record afterwards: it counts the chunks.
pub(super) fn add_tasks(job: &mut Job, tasks: Vec<TaskSpec>, effects: &mut Effects) -> Result<(), Refusal> {
    if !tasks.iter().all(|task| shallow(&task.payload, MAX_DEPTH)) {
        return Err(Refusal::TooDeep { what: "payload of a task", limit: MAX_DEPTH });
    }
    whole_gangs(&tasks)?;
    let chunks = chunk_specs(&tasks).ok_or_else(|| Refusal::TooLarge {
        what: "task",
        bytes: tasks.iter().map(|task| task.payload.to_string().len() + task.label.len()).max().unwrap_or(0),
        limit: MAX_RECORD / 2,
    })?;
    for chunk in chunks {
        effects.push(Effect::Prepare(Change::put(keys::plan(job.id, job.chunks), chunk)));
        job.chunks += 1;
    }
    for task in tasks {
        job.push(Task::new(task));
    }
    Ok(())
}

/// Checks that the members of each gang follow each other, from the first to the last, with one demand.
fn whole_gangs(tasks: &[TaskSpec]) -> Result<(), Refusal> {
    let mut expected = None;
    for (index, task) in tasks.iter().enumerate() {
        let demand = &task.demand;
        let class = Class::from(demand);
        let right = match (&expected, demand.gang) {
            (None, None) => true,
            (None, Some(member)) => member.rank == 0 && member.size > 0,
            (Some((expected, rank)), Some(member)) => *expected == class && *rank == member.rank,
            (Some(_), None) => false,
        };
        if !right {
            return Err(Refusal::HalfGang { index });
        }
        let size = class.gang;
        expected = demand.gang.map(|member| (class, member.rank + 1)).filter(|(_, next)| *next < size);
    }
    if expected.is_some() { Err(Refusal::HalfGang { index: tasks.len() }) } else { Ok(()) }
}

/// Checks that a value fits into a record and can be read back from it.
pub(super) fn within(what: &'static str, value: &Value, limit: usize) -> Result<(), Refusal> {
    if !shallow(value, MAX_DEPTH) {
        return Err(Refusal::TooDeep { what, limit: MAX_DEPTH });
    }
    let bytes = value.to_string().len();
    if bytes > limit { Err(Refusal::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

fn shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| shallow(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| shallow(field, depth - 1)),
        _ => true,
    }
}

/// Cuts a text for people to so many bytes of a record, where a character ends.
pub(super) fn clip(text: &mut String, most: usize) {
    let mut written = 0;
    let cut = text.char_indices().find(|(_, letter)| {
        written += match letter {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            letter if letter.is_ascii_control() => 6,
            letter => letter.len_utf8(),
        };
        written > most
    });
    if let Some((end, _)) = cut {
        text.truncate(end);
    }
}
