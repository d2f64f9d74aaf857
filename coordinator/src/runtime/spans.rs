//! Spans of what the driver does for a job, where the job is part of a trace.

use crate::engine::{Effect, Event, Message, Run};
use braid_telemetry::trace;
use tracing::{Span, field};

/// Of the step that takes in an event: a job is planned when it is submitted.
pub(super) fn step(event: &Event) -> Span {
    match event {
        Event::Submit { trace: Some(place), .. } => {
            let span = tracing::info_span!("plan");
            trace::adopt(&span, Some(place));
            span
        }
        _ => Span::none(),
    }
}

/// Of what a decision leads to: from then until the worker is told. The attempt is told to go on from there.
pub(super) fn placement(effect: &mut Effect) -> Span {
    let Effect::Send { message: Message::Run(run), .. } = effect else { return Span::none() };
    let Run { held, trace, .. } = &mut **run;
    if trace.is_none() {
        return Span::none();
    }
    let span = tracing::info_span!(
        "placement",
        task = field::display(held.task),
        attempt = held.attempt.0,
        lease = field::display(held.lease)
    );
    trace::adopt(&span, trace.as_ref());
    if let Some(place) = trace::of(&span) {
        *trace = Some(place);
    }
    span
}
