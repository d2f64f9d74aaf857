//! The kinds of job that this binary knows. A new kind is one line in each of the two tables.

use crate::{on_gpus::Gpus, trainers};
use braid_command::{CommandExecute, CommandWorkload, Guard, Launcher};
use braid_merge::{MergeExecute, MergeWorkload};
use braid_mixture::infer::job::{InferExecute, InferWorkload};
use braid_mixture::job::{MixtureExecute, MixtureWorkload};
use braid_noop::Noop;
use braid_sequence::{
    profile::{ProfileExecute, ProfileWorkload},
    train::{TrainExecute, TrainWorkload},
};
use braid_workload::{Execute, Registry, Workload};
use std::sync::Arc;

/// The deciding halves, for a coordinator.
pub(crate) fn workloads() -> Registry<dyn Workload> {
    let kinds: [Arc<dyn Workload>; 7] = [
        Arc::new(MergeWorkload),
        Arc::new(MixtureWorkload::new(trainers::all())),
        Arc::new(Noop),
        Arc::new(TrainWorkload),
        Arc::new(ProfileWorkload),
        Arc::new(CommandWorkload),
        Arc::new(InferWorkload),
    ];
    Registry::new(kinds.map(|kind| (kind.kind(), kind)))
}

/// The doing halves, for a worker with these GPUs.
pub(crate) fn executors(gpus: Gpus) -> Registry<dyn Execute> {
    let kinds: [Arc<dyn Execute>; 7] = [
        Arc::new(MergeExecute::with(gpus.merges)),
        Arc::new(MixtureExecute::new(trainers::all())),
        Arc::new(Noop),
        Arc::new(TrainExecute::on(gpus.trainings)),
        Arc::new(ProfileExecute),
        Arc::new(command()),
        Arc::new(InferExecute),
    ];
    Registry::new(kinds.map(|kind| (kind.kind(), kind)))
}

/// What runs programs: this very program guards them, and brings them into their cgroups. The link names it even when its file has
/// been replaced.
pub(crate) fn command() -> CommandExecute {
    const SELF: &str = "/proc/self/exe";
    CommandExecute::new(Guard::new(SELF, ["guard"])).with_cgroups(Launcher::new(SELF, ["enter"]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_halves_of_every_kind_are_here() {
        let deciding: Vec<_> = super::workloads().kinds().collect();
        let doing: Vec<_> = super::executors(super::Gpus::default()).kinds().collect();
        assert_eq!(deciding, doing);
        assert_eq!(deciding.len(), 7);
    }
}
