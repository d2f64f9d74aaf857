//! A trainer that asks instead of being asked: a program of its own, alone or as a gang, led through a run by what it calls
//! ([`steer`](crate::steer)). Who starts the program and listens to it is handed in, as all trainers are.

use super::TrainerError;
use crate::{
    Domains, MixtureError,
    steer::{Call, Refusal, Reply},
};
use braid_workload::{Demand, TaskContext};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// Its word in a spec.
pub const EXTERNAL: &str = "external";

/// A trainer that asks.
pub trait External: Send + Sync {
    /// What its settings say of it, without looking at files.
    ///
    /// # Errors
    /// [`TrainerError::Settings`] naming the field.
    fn shape(&self, settings: &Value) -> Result<Shape, TrainerError>;

    /// Runs this rank's program to its end, and has what it calls answered, one call after the other.
    ///
    /// # Errors
    /// It died, hung or was told to stop.
    fn lead(&self, settings: &Value, led: Led<'_>) -> Result<(), TrainerError>;
}

/// What a spec says of a trainer that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// What each of its programs takes of a worker.
    pub demand: Demand,
    /// How many start together; none: one on its own.
    pub gang: Option<u32>,
    /// Tries after one that failed, where the spec says it.
    pub retries: Option<u32>,
    /// How long the ranks wait for each other, and Braid for any of them.
    pub patience: Duration,
}

/// One rank's program, and what is done with its calls.
pub struct Led<'a> {
    /// Names of the domains: what it says by name comes in their order.
    pub domains: &'a Domains,
    /// Where it may keep its checkpoints.
    pub folder: &'a Path,
    /// Its task; its gang is already together.
    pub context: &'a TaskContext,
    /// Answers a call, or passes on why it is none. Blocks until the other ranks have made the same.
    pub answer: &'a mut dyn FnMut(Result<Call, MixtureError>) -> Result<Reply, Refusal>,
    /// Says, from any thread, that this rank has no program any more: an answer that waits for others returns.
    pub gone: &'a (dyn Fn(&str) + Sync),
}
