//! Plans for one micro-batch: which groups there are, and what goes into each.

mod build;
mod descend;
mod exact;
mod multifit;
pub(crate) mod refine;
mod repair;
mod reshape;

use super::{Load, instance::Instance};

/// One group and what it holds: indices into [`Instance::items`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bin {
    pub(crate) kind: usize,
    pub(crate) load: Load,
    pub(crate) items: Vec<usize>,
}

/// Groups side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packing {
    pub(crate) bins: Vec<Bin>,
    /// The time of the slowest bin.
    pub(crate) time: f64,
}

impl Packing {
    /// Of these bins; those that hold nothing are left out.
    pub(crate) fn new(instance: &Instance<'_>, mut bins: Vec<Bin>) -> Self {
        bins.retain(|b| !b.items.is_empty());
        let time = bins.iter().map(|b| instance.kinds()[b.kind].time(b.load).0).fold(0.0, f64::max);
        Self { bins, time }
    }
}
