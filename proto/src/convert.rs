//! Conversions between the wire and the types of the house. Decoding checks: a peer may send anything.

use crate::v1;
use braid_workload::{Demand, Failure, FailureKind, Input, JobId, LogSource, Member, Space, TaskId};

/// A message that lacks a field or holds one that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} message: {problem}")]
pub struct DecodeError {
    /// The name of the message.
    pub message: &'static str,
    /// The field and what is wrong with it.
    pub problem: String,
}

impl DecodeError {
    /// A field that must be there is not.
    pub fn missing(message: &'static str, field: &'static str) -> Self {
        Self { message, problem: format!("no field {field}") }
    }

    /// A field of JSON text is not JSON.
    pub fn json(message: &'static str, field: &'static str, error: &serde_json::Error) -> Self {
        Self { message, problem: format!("field {field} is not JSON: {error}") }
    }
}

impl From<TaskId> for v1::TaskRef {
    fn from(id: TaskId) -> Self {
        Self { job: id.job.0, index: id.index }
    }
}

impl From<v1::TaskRef> for TaskId {
    fn from(id: v1::TaskRef) -> Self {
        JobId(id.job).task(id.index)
    }
}

impl From<Demand> for v1::Demand {
    fn from(demand: Demand) -> Self {
        Self {
            bytes: demand.bytes,
            memory: demand.memory,
            wide: demand.wide,
            gang: demand.gang.map(|member| v1::Member { rank: member.rank, size: member.size }),
            threads: demand.threads,
            gpus: demand.gpus,
            gpu_kind: demand.gpu_kind,
            labels: demand.labels.into_iter().collect(),
            inputs: demand.inputs.into_iter().map(|Input { name, bytes }| v1::Input { name, bytes }).collect(),
            disk: demand.disk.map(|space| v1::Space { path: space.path, bytes: space.bytes }),
        }
    }
}

impl From<v1::Demand> for Demand {
    fn from(demand: v1::Demand) -> Self {
        Self {
            bytes: demand.bytes,
            memory: demand.memory,
            wide: demand.wide,
            gang: demand.gang.map(|member| Member { rank: member.rank, size: member.size }),
            threads: demand.threads,
            gpus: demand.gpus,
            gpu_kind: demand.gpu_kind,
            labels: demand.labels.into_iter().collect(),
            inputs: demand.inputs.into_iter().map(|v1::Input { name, bytes }| Input { name, bytes }).collect(),
            disk: demand.disk.map(|v1::Space { path, bytes }| Box::new(Space { path, bytes })),
        }
    }
}

impl From<LogSource> for v1::LogSource {
    fn from(source: LogSource) -> Self {
        match source {
            LogSource::Task => Self::Task,
            LogSource::Stdout => Self::Stdout,
            LogSource::Stderr => Self::Stderr,
        }
    }
}

impl From<v1::LogSource> for LogSource {
    fn from(source: v1::LogSource) -> Self {
        match source {
            v1::LogSource::Task => Self::Task,
            v1::LogSource::Stdout => Self::Stdout,
            v1::LogSource::Stderr => Self::Stderr,
        }
    }
}

impl From<Failure> for v1::Failure {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Fatal => v1::failure::Kind::Fatal,
            FailureKind::Retry => v1::failure::Kind::Retry,
            FailureKind::Cancelled => v1::failure::Kind::Cancelled,
        };
        Self { kind: kind.into(), message: failure.message, hint: failure.hint, exit: failure.exit.map(u32::from) }
    }
}

impl From<v1::Failure> for Failure {
    fn from(failure: v1::Failure) -> Self {
        let kind = match failure.kind() {
            v1::failure::Kind::Fatal => FailureKind::Fatal,
            v1::failure::Kind::Retry => FailureKind::Retry,
            v1::failure::Kind::Cancelled => FailureKind::Cancelled,
        };
        let exit = failure.exit.and_then(|exit| u8::try_from(exit).ok());
        Self { kind, message: failure.message, hint: failure.hint, exit }
    }
}
