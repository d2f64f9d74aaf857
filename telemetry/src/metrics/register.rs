//! From names to a registry, and from registries to text.

use super::{
    labels::OfBuild,
    names::{BUILD_INFO, Kind, Name},
};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

/// Makes a metric under its name.
pub(super) fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: Name) -> M {
    add_made(registry, name, M::default())
}

/// Puts a metric under its name.
pub(super) fn add_made<M: Metric + Clone>(registry: &mut Registry, name: Name, metric: M) -> M {
    // The encoder writes the end of a counter's name itself.
    let stem = if name.kind == Kind::Counter { name.name.trim_end_matches("_total") } else { name.name };
    registry.register(stem, name.help, metric.clone());
    metric
}

/// Says which role and version this process is.
pub(super) fn add_build(registry: &mut Registry, role: &'static str, version: &'static str) {
    let build: Family<OfBuild, Gauge> = add(registry, BUILD_INFO);
    build.get_or_create(&OfBuild { role, version }).set(1);
}

/// Seconds from a tenth of a millisecond to more than an hour, each five to ten times the last but one.
pub(super) fn seconds() -> Histogram {
    Histogram::new([0.000_1, 0.000_25, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0])
}

/// What registries hold, one after the other.
pub(super) fn text(registries: &[&Registry]) -> String {
    let mut text = String::new();
    for registry in registries {
        // A string takes everything.
        let _ = encode_registry(&mut text, registry);
    }
    let _ = encode_eof(&mut text);
    text
}
