//! Who trains for a mixture: a kind of job knows no trainer, and no other kind; here they are brought together.

mod builtin;
mod command;
mod external;

use crate::kinds;
use braid_mixture::trainer::{EXTERNAL, Trainer, Trainers};
use std::sync::Arc;

/// The trainers that a spec may name.
pub(crate) fn all() -> Trainers {
    let builtin: Arc<dyn Trainer> = Arc::new(builtin::Builtin);
    let command = Arc::new(command::Command::new(kinds::command()));
    let external = Arc::new(external::Asking::new(kinds::command()));
    Trainers::new([("builtin", builtin), ("command", command), (EXTERNAL, external)])
}
