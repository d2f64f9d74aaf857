//! Decisions in words: short enough to be recorded, whole enough to be compared, and without secrets.

use crate::{
    engine::{Effect, Event, Message},
    model::Change,
    placement::{Decision, Placement},
};
use serde::Serialize;

/// Values up to this many bytes are shown, and longer ones by their digest.
const SHOWN: usize = 240;

/// What is to be done, in order.
pub(crate) fn effects(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(effect).collect()
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Prepare(of) => format!("prepare {}", change(of)),
        Effect::Write(of) => format!("write {}", change(of)),
        Effect::Answer { reply, result: Ok(job) } => format!("answer {}: job {job}", reply.0),
        Effect::Answer { reply, result: Err(refusal) } => format!("answer {}: {refusal}", reply.0),
        Effect::Confirm { reply, result: Ok(()) } => format!("answer {}: done", reply.0),
        Effect::Confirm { reply, result: Err(refusal) } => format!("answer {}: {refusal}", reply.0),
        Effect::Send { session, message } => format!("tell stream {}: {}", session.0, told(message)),
        Effect::Close { session, reason } => format!("close stream {}: {reason}", session.0),
    }
}

fn change(change: &Change) -> String {
    let value = match &change.value {
        None => "is removed".to_owned(),
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) if text.len() <= SHOWN => text.to_owned(),
            _ => format!("({} bytes, BLAKE3 {})", value.len(), blake3::hash(value).to_hex()),
        },
    };
    format!("{} {value}", change.key)
}

fn told(message: &Message) -> String {
    match message {
        Message::Welcome { lease, patience, drop } => {
            let drop: Vec<String> = drop.iter().map(|held| format!("{} try {}", held.task, held.attempt.0)).collect();
            format!("welcome, lease {}, {} ms, drop [{}]", lease.0, patience.as_millis(), drop.join(", "))
        }
        Message::Run(run) => {
            let gang = run.gang.as_ref().map(|gang| format!(", rank {} of [{}]", gang.rank, gang.members.join(", ")));
            let held = &run.held;
            format!("run {} try {}, lease {}{}", held.task, held.attempt.0, held.lease.0, gang.unwrap_or_default())
        }
        Message::Stop { task, attempt } => format!("stop {task} try {}", attempt.0),
        Message::Taken { task, attempt } => format!("taken {task} try {}", attempt.0),
    }
}

/// What placement decided.
pub(super) fn decision(decision: &Decision) -> Vec<String> {
    let alone = decision.placements.iter().map(placement);
    let gangs = decision.gangs.iter().map(|gang| {
        let nodes: Vec<&str> = gang.nodes.iter().map(|node| node.0.as_str()).collect();
        format!("job {}: a gang on {} of class {}", gang.job, nodes.join(", "), text(&gang.class))
    });
    let waits = decision.reasons.iter().map(|(job, wait)| format!("job {job} waits: {}", text(wait)));
    alone.chain(gangs).chain(waits).collect()
}

/// Some tasks for a node.
pub(super) fn placement(placement: &Placement) -> String {
    let Placement { job, class, node, count } = placement;
    format!("job {job}: {count} on {node} of class {}", text(class))
}

/// The word for an event.
pub(super) fn event(event: &Event) -> &'static str {
    match event {
        Event::Submit { .. } => "submit",
        Event::Cancel { .. } => "cancel",
        Event::ChangeNode { .. } => "change of a node",
        Event::SetProject { .. } => "change of a project",
        Event::Hello { .. } => "hello of a worker",
        Event::Disconnected { .. } => "end of a stream",
        Event::KeepAlive { .. } => "keep-alive",
        Event::Disks { .. } => "disks of a worker",
        Event::Finished { .. } => "result",
        Event::Placed(_) => "placement",
        Event::Awoke => "end of a pause",
        Event::Tick => "tick",
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}
