//! The state as gauges.

use crate::{engine::State, model::Node};
use braid_telemetry::metrics::{FleetGauges, NodeGauges, NodeState};

/// Counts what there is. Walks jobs and nodes, not tasks.
pub(super) fn look(state: &State) -> FleetGauges {
    let mut gauges = FleetGauges::default();
    for job in state.jobs() {
        // A kind stays at zero after its last job: a series that vanishes looks like one that was never there.
        let tally = job.tally();
        for (counts, more) in [
            (&mut gauges.jobs, u64::from(!job.is_over())),
            (&mut gauges.tasks_waiting, tally.waiting.into()),
            (&mut gauges.tasks_running, tally.assigned.into()),
        ] {
            *counts.entry(job.kind.clone()).or_default() += more;
        }
    }
    gauges.nodes = state.nodes().map(|node| (node.id.0.clone(), node_gauges(node))).collect();
    gauges
}

fn node_gauges(node: &Node) -> NodeGauges {
    let offer = node.inventory.as_ref();
    NodeGauges {
        state: if node.session.is_some() { NodeState::Ready } else { NodeState::Silent },
        tasks: node.tasks.len() as u64,
        threads: offer.map_or(0, |offer| offer.threads.into()),
        memory: offer.map_or(0, |offer| offer.memory),
        rate: node.rate.bytes_per_second(),
    }
}
