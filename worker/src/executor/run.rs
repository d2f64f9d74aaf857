//! Runs one attempt on the thread that calls it, and turns whatever happens into an outcome.

use super::{Key, assignment::Assignment};
use crate::bounds::Bounds;
use braid_telemetry::trace;
use braid_workload::{Execute, Failure, MAX_RECORD, Registry, TaskContext, TaskSpec};
use serde_json::Value;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tracing::{Span, field};

/// The longest text of a failure; it is stored with the task.
const MAX_MESSAGE: usize = 8 << 10;

/// Runs an attempt to its end. The value comes back as JSON text.
pub(super) fn run(
    executors: &Registry<dyn Execute>,
    bounds: &Bounds,
    assignment: Assignment,
    context: &TaskContext,
) -> Result<String, Failure> {
    let key = assignment.key;
    let label = assignment.label.clone();
    // What a task leaves half changed is its own: nothing of the worker's is reachable from it but counters and queues.
    let span = span(&assignment);
    let caught = span.in_scope(|| catch_unwind(AssertUnwindSafe(|| attempt(executors, bounds, assignment, context))));
    let outcome = match caught {
        Ok(outcome) => outcome,
        Err(panic) => Err(Failure::fatal(format!("task {} ({label}) panicked: {}", key.task, panic_text(&*panic)))
            .with_hint("this is a bug in the kind of job, not in the job; please report it with this message")),
    };
    let outcome = outcome.and_then(|value| encode(key, &label, &value)).map_err(bounded);
    if let Err(failure) = &outcome {
        span.record("otel.status_code", "ERROR").record("otel.status_description", failure.message.as_str());
    }
    outcome
}

/// Of the attempt; what the task does on this thread is inside.
fn span(assignment: &Assignment) -> Span {
    let Key { task, attempt } = assignment.key;
    let span = tracing::info_span!(
        "attempt",
        task = field::display(task),
        attempt = attempt.0,
        kind = assignment.kind,
        label = assignment.label,
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
    );
    trace::adopt(&span, assignment.trace.as_ref());
    span
}

fn attempt(
    executors: &Registry<dyn Execute>,
    bounds: &Bounds,
    assignment: Assignment,
    context: &TaskContext,
) -> Result<Value, Failure> {
    let Assignment { key, kind, spec, label, payload, demand, gang: _, roots, trace: _ } = assignment;
    tracing::debug!("begins {key}");
    let unreadable = |what: &str, error: &str| Failure::fatal(format!("task {}: its {what} is not JSON: {error}", key.task));
    let executor = executors.get(&kind).ok_or_else(|| {
        let known: Vec<_> = executors.kinds().collect();
        Failure::fatal(format!("task {}: this worker runs no {kind:?} jobs, only {}", key.task, known.join(", ")))
            .with_hint("update the worker to the coordinator's version")
    })?;
    let value = spec.value().map_err(|error| unreadable("job's spec", error))?;
    bounds.check(&**executor, &spec, value, roots)?;
    let payload = serde_json::from_str(&payload).map_err(|error| unreadable("payload", &error.to_string()))?;
    executor.run(value, &TaskSpec { label, payload, demand }, context)
}

fn encode(key: Key, label: &str, value: &Value) -> Result<String, Failure> {
    let text = value.to_string();
    if text.len() <= MAX_RECORD {
        return Ok(text);
    }
    let bytes = text.len();
    Err(Failure::fatal(format!("task {} ({label}) returned {bytes} bytes; at most {MAX_RECORD} can be stored", key.task)))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn bounded(mut failure: Failure) -> Failure {
    shorten(&mut failure.message, MAX_MESSAGE);
    if let Some(hint) = &mut failure.hint {
        shorten(hint, MAX_MESSAGE);
    }
    failure
}

/// Cuts a text off after so many bytes, at a letter's border, and shows that it did.
pub(super) fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str(" […]");
    }
}
