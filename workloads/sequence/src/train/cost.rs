//! What a group of ranks costs: the planner's cost model for this trainer, measured by `braid profile` or estimated from the sizes
//! of the model.

use super::{TrainError, TrainSpec};
use crate::{
    SequenceError,
    model::{Mixing, ModelConfig, Table},
    planner::{
        Charge, Cluster, CostModel, Degrees, Exchange, LinearLayers, ModelProfile, ParameterCount, Pool, Speed, Tokens,
        profile_file,
    },
    profile::Fit,
};
use std::{collections::BTreeMap, fs};

/// Arithmetic of a thread in operations a millisecond, where nothing was measured.
const OPERATIONS_A_MS: f64 = 2e7;
/// Bytes between ranks in GB/s, where nothing was measured.
const GB_PER_S: f64 = 2.0;
/// Milliseconds of an exchange beside its bytes, where nothing was measured.
const LATENCY_MS: f64 = 0.1;
/// Milliseconds of a micro-batch whatever it holds, where nothing was measured.
const FIXED_MS: f64 = 1.0;
/// The class of an estimated cluster's workers.
const CLASS: &str = "worker";

/// A cost model, as a profile file holds it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Memory and exchange.
    pub cluster: Cluster,
    /// Compute.
    pub model: ModelProfile,
}

impl Profile {
    /// Reads a profile from the `text` of the file `name`.
    ///
    /// # Errors
    /// The text is no YAML, has keys that are not known, or figures that cannot be.
    pub fn parse(name: &str, text: &str) -> Result<Self, SequenceError> {
        profile_file::parse(name, text, |profile: &Self| profile.cluster.check().and_then(|()| profile.model.check()))
    }
}

/// The cost model of a training's ranks.
///
/// # Errors
/// A profile that cannot be read, or is not of as many ranks.
pub(super) fn cost_model(spec: &TrainSpec, vocabulary: usize) -> Result<CostModel, TrainError> {
    let profile = match &spec.profile {
        None => estimated(spec, vocabulary),
        Some(path) => {
            let name = path.display().to_string();
            let unusable = |problem| SequenceError::Profile { name: name.clone(), problem };
            let text = fs::read_to_string(path).map_err(|error| unusable(format!("it cannot be read: {error}")))?;
            let profile = Profile::parse(&name, &text)?;
            let measured = profile.cluster.gpus();
            if measured != spec.ranks {
                let ranks = spec.ranks;
                Err(unusable(format!("it was measured on {measured} ranks, and this training has {ranks}")))?;
            }
            profile
        }
    };
    Ok(CostModel::new(&profile.cluster, &profile.model, Tokens(spec.context as u64), Degrees::Any)?)
}

/// A cost model by counting operations.
fn estimated(spec: &TrainSpec, vocabulary: usize) -> Profile {
    let softmax = softmax_layers(&spec.model) as f64;
    let speed = Speed {
        alpha1_ms: softmax * quadratic_operations(&spec.model) / OPERATIONS_A_MS,
        alpha2_ms: linear_operations(&spec.model, vocabulary) / OPERATIONS_A_MS,
        beta1_ms: FIXED_MS,
    };
    let mut profile = profile(spec, speed);
    (profile.cluster.all_to_all, profile.cluster.all_gather) = (Some(exchange()), Some(exchange()));
    profile
}

/// The profile that a measurement says.
pub fn measured_profile(spec: &TrainSpec, fit: &Fit) -> Profile {
    let speed = Speed { alpha1_ms: fit.alpha1_ms, alpha2_ms: fit.alpha2_ms, beta1_ms: fit.beta1_ms };
    let charge = |(&degree, &(per_token_ms, per_group_ms)): (&u32, &(f64, f64))| (degree, Charge { per_token_ms, per_group_ms });
    let mut profile = profile(spec, speed);
    profile.cluster.charges = fit.exchange.iter().map(charge).collect();
    if profile.cluster.charges.is_empty() {
        // One rank exchanges with none.
        profile.cluster.all_to_all = Some(exchange());
    }
    profile
}

fn exchange() -> Exchange {
    Exchange { gb_per_s: [(2, GB_PER_S)].into(), latency_ms: LATENCY_MS }
}

/// With nothing said of exchange.
fn profile(spec: &TrainSpec, speed: Speed) -> Profile {
    let TrainSpec { model, ranks, .. } = spec;
    let linear = model.layers.len() - softmax_layers(model);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // Memory is given in tokens: a MiB each.
    let memory_gib = (spec.tokens_per_rank as f64 + 0.5) / 1024.0;
    Profile {
        cluster: Cluster {
            name: "the ranks of a training".into(),
            pools: vec![Pool { class: CLASS.into(), nodes: 1, gpus_per_node: *ranks, memory_gib }],
            all_to_all: None,
            all_gather: None,
            charges: BTreeMap::new(),
        },
        model: ModelProfile {
            name: "the model of a training".into(),
            layers: count(model.layers.len()),
            hidden: count(model.inner()),
            activation_mib_per_token: 1.0,
            parameters: vec![ParameterCount { context: 0, gi: 0.0 }],
            classes: [(CLASS.to_owned(), speed)].into(),
            linear: Some(LinearLayers {
                layers: count(linear),
                state_elements: (model.heads * model.head_dim * model.head_dim) as u64,
            }),
        },
    }
}

fn softmax_layers(model: &ModelConfig) -> usize {
    model.layers.iter().filter(|mixing| **mixing == Mixing::Softmax).count()
}

/// Operations for each squared token of a softmax layer, forward and backward: half of the square, 2 products forward, 5 backward.
fn quadratic_operations(model: &ModelConfig) -> f64 {
    0.5 * 7.0 * 2.0 * model.inner() as f64
}

/// Operations for each token: every parameter multiplies once forward and twice backward.
fn linear_operations(model: &ModelConfig, vocabulary: usize) -> f64 {
    6.0 * Table::of(model, vocabulary).elements() as f64
}

#[cfg(test)]
mod tests {
    use super::{super::spec::tests::SMALL, *};
    use crate::planner::{Degree, Load, Rank};

    #[test]
    fn a_measured_profile_costs_what_was_measured_whatever_layers_there_are() {
        let exchange = [(2, (0.003, 0.25)), (4, (0.002, 0.75))].into();
        let fit = Fit { alpha1_ms: 1e-4, alpha2_ms: 0.01, beta1_ms: 0.5, exchange, ..Fit::default() };
        for (layers, softmax) in [("gla, softmax", 1), ("softmax, softmax", 2), ("gla, gla", 0)] {
            let text = SMALL.replace("gla, softmax", layers).replace("ranks: 2", "ranks: 4");
            let spec = TrainSpec::parse("a.yml", &text).unwrap();
            assert_eq!((softmax_layers(&spec.model), spec.ranks), (softmax, 4));
            let written = serde_saphyr::to_string(&measured_profile(&spec, &fit)).unwrap();
            let Profile { cluster, model } = Profile::parse("p.yml", &written).unwrap();
            let cost = CostModel::new(&cluster, &model, Tokens(64), Degrees::Any).unwrap();
            for degree in [1, 2, 4] {
                let kind = cost.kind_at(Rank(0), Degree(degree)).unwrap();
                let (time, load) = (kind.time(Load::of(60)).0, fit.millis(degree, 60.0, 3600.0));
                assert!((time - load).abs() < 1e-9 * load, "{layers}, degree {degree}: {time} against {load}");
                assert_eq!(kind.capacity, 64 * u64::from(degree));
            }
        }
    }

    #[test]
    fn the_profile_of_one_rank_reads() {
        let spec = TrainSpec::parse("a.yml", SMALL).unwrap();
        let fit = Fit { alpha2_ms: 0.1, ..Fit::default() };
        Profile::parse("p.yml", &serde_saphyr::to_string(&measured_profile(&spec, &fit)).unwrap()).unwrap();
    }

    #[test]
    fn a_profile_whose_figures_cannot_be_is_refused() {
        let spec = TrainSpec::parse("a.yml", SMALL).unwrap();
        let text = serde_saphyr::to_string(&estimated(&spec, 256)).unwrap();
        assert_eq!(Profile::parse("p.yml", &text).unwrap(), estimated(&spec, 256));
        for (from, to, said) in [("nodes: 1", "nodes: 0", "p.yml: pool worker"), ("cluster:", "clusters:", "unknown field")] {
            let error = Profile::parse("p.yml", &text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
