//! The cost model: what a group of each degree, of each class of GPU, can hold and how long it takes (FlexSP §4.1.2).
//!
//! ```text
//! memory of a GPU  = Σ s / d · M_token + M_ms                                     (eq. 11)
//! time of a group  = β1 + β2 + fixed(d) + Σ [ (α1 s² + α2 s) / d + bytes(s) / (d · v_d) ]   (eq. 12–14)
//! ```
//!
//! Both depend on the sequences of a group through two integers alone, [`Load`], so that times do not depend on the order
//! in which sequences were added. Linear layers add a charge for each group, not for each token: the gather of W − 1
//! memory states each way.

use super::{Bytes, Charge, Cluster, Degree, Millis, ModelProfile, Rank, Tokens};
use crate::SequenceError;

/// Which degrees a group may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Degrees {
    /// 1, 2, 4, … up to the pool: groups are aligned neighbours, and each rank belongs to few communicators.
    #[default]
    PowersOfTwo,
    /// Every number of GPUs inside a node, and every number of whole nodes: for exchanges that need no power of two.
    Any,
}

/// What the cost of a group depends on: the sum of its lengths, and of their squares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Σ s.
    pub tokens: u64,
    /// Σ s².
    pub squares: u64,
}

impl Load {
    /// One sequence.
    #[must_use]
    pub fn of(tokens: u64) -> Self {
        Self { tokens, squares: tokens.saturating_mul(tokens) }
    }

    /// With `other` added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), squares: self.squares.saturating_add(other.squares) }
    }

    /// With `other`, which is part of it, taken away.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { tokens: self.tokens - other.tokens, squares: self.squares - other.squares }
    }
}

/// A group that could be: so many GPUs of one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupKind {
    /// The pool, as its index in the cluster.
    pub pool: usize,
    /// How many GPUs.
    pub degree: Degree,
    /// Milliseconds for each squared token.
    pub per_square: f64,
    /// Milliseconds for each token, exchange included.
    pub per_token: f64,
    /// Milliseconds for the group, whatever it holds.
    pub fixed: f64,
    /// Of `per_token`, that which is exchange.
    pub exchange_per_token: f64,
    /// How many tokens fit.
    pub capacity: u64,
}

impl GroupKind {
    /// How long a group of this kind takes.
    #[must_use]
    pub fn time(&self, load: Load) -> Millis {
        Millis(self.fixed + self.variable(load))
    }

    /// The same without what does not depend on the load.
    pub(crate) fn variable(&self, load: Load) -> f64 {
        self.per_square * load.squares as f64 + self.per_token * load.tokens as f64
    }

    /// Whether the memory of the group suffices.
    #[must_use]
    pub fn holds(&self, load: Load) -> bool {
        load.tokens <= self.capacity
    }
}

/// A pool of equal nodes, as groups are laid out in it.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolShape {
    /// Its class of GPU.
    pub class: String,
    /// Its first rank.
    pub first_rank: Rank,
    /// How many GPUs it has.
    pub gpus: u32,
    /// How many in a node.
    pub gpus_per_node: u32,
    /// Tokens that one GPU holds beside the model's states.
    pub capacity_per_gpu: Tokens,
}

/// The cost of every group that a model may run in on a cluster, at a context length.
#[derive(Debug, Clone, PartialEq)]
pub struct CostModel {
    kinds: Vec<GroupKind>,
    pools: Vec<PoolShape>,
    mib_per_token: f64,
    degrees: Degrees,
}

impl CostModel {
    /// Brings a cluster and a model together. `context` sets the number of parameters.
    ///
    /// # Errors
    /// The model has no figures for a class of the cluster, or its states do not fit.
    pub fn new(cluster: &Cluster, model: &ModelProfile, context: Tokens, degrees: Degrees) -> Result<Self, SequenceError> {
        let world = cluster.gpus();
        let mib_per_token = model.activation_mib_per_token;
        // 16 bytes a parameter: weights and gradients in 16 bits, three copies in 32 (Adam), sharded over all (ZeRO-3)
        let states_mib = model.parameters_at(context) * 16.0 / f64::from(1 << 20) / f64::from(world);
        let mut kinds = Vec::new();
        let mut pools = Vec::new();
        let mut first_rank = 0;
        for (index, pool) in cluster.pools.iter().enumerate() {
            let problem = |problem: String| SequenceError::Profile { name: model.name.clone(), problem };
            let speed = model.classes.get(&pool.class).ok_or_else(|| {
                let known: Vec<_> = model.classes.keys().map(String::as_str).collect();
                problem(format!("no times for class {} of cluster {}; it has {}", pool.class, cluster.name, known.join(", ")))
            })?;
            let capacity = ((pool.memory_gib * 1024.0 - states_mib) / mib_per_token).floor();
            if capacity < 1.0 {
                return Err(SequenceError::ModelTooLarge {
                    model: model.name.clone(),
                    class: pool.class.clone(),
                    states: Bytes::from_mib(states_mib),
                    memory: Bytes::from_mib(pool.memory_gib * 1024.0),
                });
            }
            let capacity = capacity as u64;
            for degree in degrees_of(pool.gpus(), pool.gpus_per_node, degrees) {
                let d = f64::from(degree);
                let Charge { per_token_ms: exchange, per_group_ms } = charge(cluster, model, degree).map_err(problem)?;
                kinds.push(GroupKind {
                    pool: index,
                    degree: Degree(degree),
                    per_square: speed.alpha1_ms / d,
                    per_token: speed.alpha2_ms / d + exchange,
                    fixed: speed.beta1_ms + per_group_ms,
                    exchange_per_token: exchange,
                    capacity: capacity * u64::from(degree),
                });
            }
            pools.push(PoolShape {
                class: pool.class.clone(),
                first_rank: Rank(first_rank),
                gpus: pool.gpus(),
                gpus_per_node: pool.gpus_per_node,
                capacity_per_gpu: Tokens(capacity),
            });
            first_rank += pool.gpus();
        }
        Ok(Self { kinds, pools, mib_per_token, degrees })
    }

    /// Every kind of group, by pool and then by degree, ascending.
    #[must_use]
    pub fn kinds(&self) -> &[GroupKind] {
        &self.kinds
    }

    /// The pools, in order of rank.
    #[must_use]
    pub fn pools(&self) -> &[PoolShape] {
        &self.pools
    }

    /// How many GPUs there are.
    #[must_use]
    pub fn world(&self) -> u32 {
        self.pools.iter().map(|p| p.gpus).sum()
    }

    /// Which degrees were allowed.
    #[must_use]
    pub fn degrees(&self) -> Degrees {
        self.degrees
    }

    /// How many tokens all GPUs together hold.
    #[must_use]
    pub fn capacity(&self) -> Tokens {
        self.pools.iter().map(|p| Tokens(p.capacity_per_gpu.0 * u64::from(p.gpus))).sum()
    }

    /// The kind of a group that starts at `first` and has `degree` GPUs, if there is such.
    #[must_use]
    pub fn kind_at(&self, first: Rank, degree: Degree) -> Option<&GroupKind> {
        let index = self.pools.iter().position(|p| first >= p.first_rank && first.0 < p.first_rank.0 + p.gpus)?;
        self.kinds.iter().find(|k| k.pool == index && k.degree == degree)
    }

    /// The kind that holds the most tokens.
    pub(crate) fn largest(&self) -> Option<&GroupKind> {
        self.kinds.iter().max_by_key(|k| k.capacity)
    }

    /// The same where every length is a multiple of `unit`: no group holds more than a multiple of it. Kinds that hold none are left out.
    pub(crate) fn in_units(&self, unit: u64) -> Self {
        let unit = unit.max(1);
        let mut rounded = self.clone();
        rounded.kinds.iter_mut().for_each(|k| k.capacity -= k.capacity % unit);
        rounded.kinds.retain(|k| k.capacity > 0);
        rounded
    }

    pub(crate) fn activation_bytes(&self, tokens: u64) -> Bytes {
        Bytes::from_mib(self.mib_per_token * tokens as f64)
    }
}

fn degrees_of(gpus: u32, per_node: u32, degrees: Degrees) -> Vec<u32> {
    match degrees {
        Degrees::PowersOfTwo => {
            (0..u32::BITS).map(|p| 1 << p).take_while(|&d| d <= gpus).filter(|&d| d <= per_node || d % per_node == 0).collect()
        }
        Degrees::Any => (1..=per_node).chain((2..=gpus / per_node).map(|nodes| nodes * per_node)).collect(),
    }
}

/// What exchange costs a group beyond its compute: as measured, or by what softmax and linear layers move.
fn charge(cluster: &Cluster, model: &ModelProfile, degree: u32) -> Result<Charge, String> {
    if degree == 1 {
        return Ok(Charge::default());
    }
    if let Some(measured) = cluster.charge(degree) {
        return Ok(measured);
    }
    let needs = |layers: &str, what: &str| {
        format!("it has {layers} layers, so cluster {} needs {what} with gb_per_s and latency_ms", cluster.name)
    };
    let mut charge = Charge::default();
    let mib_per_token = model.all_to_all_mib_per_token();
    if mib_per_token > 0.0 {
        let exchange = cluster.all_to_all.as_ref().ok_or_else(|| needs("softmax", "all_to_all"))?;
        charge.per_token_ms = mib_per_token / (f64::from(degree) * exchange.bandwidth(degree));
        charge.per_group_ms = exchange.latency_ms;
    }
    // forward and backward, (W − 1) states of the other workers
    if let Some(linear) = model.linear.filter(|l| l.layers > 0) {
        let exchange = cluster.all_gather.as_ref().ok_or_else(|| needs("linear", "all_gather"))?;
        let state_mib = linear.state_elements as f64 * 4.0 / f64::from(1 << 20);
        let once = f64::from(degree - 1) * state_mib / exchange.bandwidth(degree) + exchange.latency_ms;
        charge.per_group_ms += 2.0 * f64::from(linear.layers) * once;
    }
    Ok(charge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(context: u64) -> CostModel {
        let cluster = Cluster::built_in("a100x64").unwrap();
        let model = ModelProfile::built_in("gpt-7b").unwrap();
        CostModel::new(&cluster, &model, Tokens(context), Degrees::PowersOfTwo).unwrap()
    }

    #[test]
    fn capacity_is_what_the_states_leave() {
        let cost = model(384_000);
        assert_eq!(cost.capacity(), Tokens(410_048)); // FlexSP's code: 6 407 on each of 64
        assert_eq!(cost.kinds().iter().map(|k| k.degree.0).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn three_long_sequences_on_all_gpus_take_what_the_paper_s_model_says() {
        let cost = model(384_000);
        let load = [138_496, 124_416, 103_040].map(Load::of).into_iter().fold(Load::default(), Load::plus);
        let time = cost.kind_at(Rank(0), Degree(64)).unwrap().time(load);
        assert!((time.0 - 7657.4).abs() < 0.1, "{time}");
    }

    #[test]
    fn linear_layers_charge_each_group_and_no_token() {
        let mut cluster = Cluster::built_in("a100x64").unwrap();
        let mut profile = ModelProfile::built_in("gpt-7b").unwrap();
        profile.linear = Some(crate::planner::LinearLayers { layers: 8, state_elements: 1 << 18 });
        let new = |c: &Cluster| CostModel::new(c, &profile, Tokens(192_000), Degrees::PowersOfTwo);
        assert!(new(&cluster).unwrap_err().to_string().contains("all_gather"));
        cluster.all_gather = Some(crate::planner::Exchange { gb_per_s: [(2, 10.0)].into(), latency_ms: 0.5 });
        let cost = new(&cluster).unwrap();
        let plain = model(192_000);
        for (k, p) in cost.kinds().iter().zip(plain.kinds()) {
            let w = f64::from(k.degree.0);
            let charge = if w > 1.0 { 2.0 * 8.0 * ((w - 1.0) * 1.0 / 10.0 + 0.5) } else { 0.0 };
            assert!((k.fixed - p.fixed - charge).abs() < 1e-9);
            assert!(k.exchange_per_token <= p.exchange_per_token);
        }
    }

    #[test]
    fn any_degree_means_a_part_of_a_node_or_whole_nodes() {
        assert_eq!(degrees_of(16, 4, Degrees::Any), [1, 2, 3, 4, 8, 12, 16]);
        assert_eq!(degrees_of(48, 8, Degrees::PowersOfTwo), [1, 2, 4, 8, 16, 32]);
        assert_eq!(degrees_of(12, 6, Degrees::PowersOfTwo), [1, 2, 4]);
        assert_eq!(degrees_of(12, 6, Degrees::Any), [1, 2, 3, 4, 5, 6, 12]);
    }
}
