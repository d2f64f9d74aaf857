//! What is recorded: a header and the records of the store, then each event with what followed, one JSON line each.
//!
//! ```text
//!   header ─▶ record … ─▶ ( step | idle | asked | planned ) … ─▶ header of the next term, or the end
//! ```
//! Neither tokens nor the secret of gangs are in it: no event carries them, and what workers are told is only named. Jobs are
//! in it as they were submitted.

use super::exact;
use crate::{
    engine::{Event, Records},
    model::{Millis, keys},
    placement::Placement,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The form of recordings that this version writes and reads.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A term begins.
    Header(Header),
    /// Something that the store held then.
    Record {
        /// Which record.
        key: String,
        /// Its text.
        value: String,
    },
    /// The engine took in an event.
    Step(Box<Step>),
    /// Placement was to be asked, and there was nothing to ask.
    Idle,
    /// A plan was asked for.
    Asked {
        /// The number of the question.
        question: u64,
    },
    /// A plan came.
    Planned {
        /// The question that it answers.
        question: u64,
        /// Who is to run what.
        targets: Vec<Placement>,
        /// Seconds until it is done, as the bits of a double.
        makespan: u64,
    },
    /// The disk was too slow, and lines are missing.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// What a term began with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// The form of the lines.
    pub format: u32,
    /// Of the braid that wrote them.
    pub version: String,
    /// Of the coordinator: greater than any before it.
    pub epoch: u64,
    /// How long a worker may be silent.
    pub lease: Duration,
    /// How tasks are placed.
    pub placer: String,
    /// When the records were read.
    pub now: Millis,
}

/// An event and what followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Counts the events of a term, from 1.
    pub number: u64,
    /// When.
    pub now: Millis,
    /// What happened.
    pub event: Event,
    /// What was to be done about it, in words.
    pub effects: Vec<String>,
}

/// A line that cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Another version wrote it.
    #[error("it is in form {format} of braid {version}, and this is braid {here}, which reads form {FORMAT}", here = braid_proto::VERSION)]
    OtherFormat {
        /// The form of its lines.
        format: u64,
        /// Who wrote it.
        version: String,
    },
    /// It is no line of a recording, or only a part of one.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl Line {
    /// Its text, without the end of the line.
    pub fn write(&self) -> serde_json::Result<String> {
        serde_json::to_string(&exact::wrap(serde_json::to_value(self)?))
    }

    /// Reads what [`Line::write`] wrote.
    ///
    /// # Errors
    /// [`LineError`] when another version wrote it, or nobody.
    pub fn read(text: &str) -> Result<Self, LineError> {
        let unreadable = |error: serde_json::Error| LineError::Unreadable(error.to_string());
        let value: Value = serde_json::from_str(text).map_err(unreadable)?;
        if let Some(header) = value.get("header") {
            let format = header.get("format").and_then(Value::as_u64).unwrap_or_default();
            if format != u64::from(FORMAT) {
                let version = header.get("version").and_then(Value::as_str).unwrap_or("(unknown)").to_owned();
                return Err(LineError::OtherFormat { format, version });
            }
        }
        serde_json::from_value(exact::unwrap(value)).map_err(unreadable)
    }
}

/// The lines of all records.
pub(crate) fn records(records: &Records) -> impl Iterator<Item = Line> + '_ {
    let Records { jobs, specs, plans, tasks, nodes, projects } = records;
    [jobs, specs, plans, tasks, nodes, projects]
        .into_iter()
        .flatten()
        .map(|(key, value)| Line::Record { key: key.clone(), value: String::from_utf8_lossy(value).into_owned() })
}

/// Puts a record where it belongs; those of others are ignored.
pub(super) fn file(records: &mut Records, key: String, value: String) {
    let Records { jobs, specs, plans, tasks, nodes, projects } = records;
    let lists = [
        (keys::JOBS, jobs),
        (keys::SPECS, specs),
        (keys::PLANS, plans),
        (keys::TASKS, tasks),
        (keys::NODES, nodes),
        (keys::PROJECTS, projects),
    ];
    if let Some((_, list)) = lists.into_iter().find(|(prefix, _)| key.starts_with(prefix)) {
        list.push((key, value.into_bytes()));
    }
}
