//! The family of methods that add weighted differences to a base: `task_arithmetic`, `ties`, `dare_linear`, `dare_ties`,
//! `dare_published`, `breadcrumbs`, `breadcrumbs_ties`, `della`, `della_linear`.
//!
//! They differ in which elements of a difference stay, in whether elements that disagree with the majority are left out, and in
//! two defaults. The formulas are in [`braid_kernels::task_vectors`]; this file turns parameters into what stays of each tile.
//!
//! DARE: "Language Models are Super Mario" (arXiv 2311.03099). An element of δ stays with the probability `density`, and what stays is
//! divided by it: δ' = m ⊙ δ / `density`, whose mean over masks is δ. That is `dare_published`: θ₀ + `lambda` · Σ `weight`ᵢ δ'ᵢ. mergekit's
//! `dare_linear` and `dare_ties` scale what stays to the L1 norm of the whole tensor instead, which needs a pass more and differs where a
//! tensor is small or its tails are heavy. Masks come from a counter and not from a stream, so they are not those of the authors' code
//! for any seed. `dare_published` is of class E. Bytes: every input is read once, the output written once; flops: about 5 an element and
//! expert, and the random numbers.
//!
//! Breadcrumbs: "Model Breadcrumbs" (arXiv 2312.06795). Of the n elements of a difference the ⌊`gamma`·n⌋ largest go, and of
//! the rest stay the ⌊`density`·n⌋ largest; where that leaves too few, fewer of the largest go, as in mergekit 0.1.5, and with
//! a density of 1 none. Both borders are exact order statistics, equal magnitudes in the order of their place. Where mergekit
//! sorts, this reads the tensor once for both. Class T; bytes: every input read twice, the output written once; flops: about 15
//! an element and expert.
//!
//! DELLA: "DELLA-Merging" (arXiv 2406.11617). An element of a row (the last dimension; a vector is one row) of n that has rank
//! r among the magnitudes of the row, 0 the smallest, stays with the probability `density` − `epsilon` + 2 · `epsilon` · r/(n −
//! 1). What stays is scaled to the L1 norm of the whole tensor's difference, as mergekit does it; the paper divides each
//! element by its own probability. Ranks are counted in steps of at most 1.6 % of magnitude, equals share the middle of theirs:
//! see `kernels/src/ranks.rs`. In mergekit the order of equals is the sort's business, and with bfloat16 ranks have eight bits.
//! A row of one element stays with the probability `density`; mergekit divides by zero there. Class T, of rows; bytes: every
//! input read twice, and the rows at the ends of a tile once more; flops: about 100 an element and expert, most of them for
//! random numbers.

use super::sparsify::{Chosen, Sparse, Sparsify, Vector};
use super::{BadValue, BaseRule, Class, Contract, Elementwise, MadeOf, Method, Parameter, Reads, Scope, TensorParameters};
use super::{reads::row, whole::experts};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Extent, Tile, Tiles},
};
use braid_gpu::{Expert, Inputs};
use braid_kernels::{Combine, GRANULE, KernelError, SliceMut, kept};

/// One method of the family.
pub(super) struct TaskArithmetic {
    name: &'static str,
    sparsify: Sparsify,
    elect_sign: bool,
    /// Whether what chance has left is divided by its density, and nothing is measured.
    by_density: bool,
    parameters: &'static [Parameter],
}

pub(super) static TASK_ARITHMETIC: TaskArithmetic = TaskArithmetic {
    name: "task_arithmetic",
    sparsify: Sparsify::Nothing,
    elect_sign: false,
    by_density: false,
    parameters: const { &schema(false, false) },
};

pub(super) static TIES: TaskArithmetic = TaskArithmetic {
    name: "ties",
    sparsify: Sparsify::Smallest,
    elect_sign: true,
    by_density: false,
    parameters: const { &schema(true, false) },
};

pub(super) static DARE_LINEAR: TaskArithmetic = TaskArithmetic {
    name: "dare_linear",
    sparsify: Sparsify::Random,
    elect_sign: false,
    by_density: false,
    parameters: const { &schema(false, true) },
};

pub(super) static DARE_TIES: TaskArithmetic = TaskArithmetic {
    name: "dare_ties",
    sparsify: Sparsify::Random,
    elect_sign: true,
    by_density: false,
    parameters: const { &schema(false, true) },
};

pub(super) static DARE_PUBLISHED: TaskArithmetic = TaskArithmetic {
    name: "dare_published",
    sparsify: Sparsify::Random,
    elect_sign: false,
    by_density: true,
    parameters: const { &[Parameter::number("weight", Scope::Expert, 1.0), DENSITY, LAMBDA] },
};

pub(super) static BREADCRUMBS: TaskArithmetic = TaskArithmetic {
    name: "breadcrumbs",
    sparsify: Sparsify::SmallestAndOutliers,
    elect_sign: false,
    by_density: false,
    parameters: const { &with(GAMMA, false, false) },
};

pub(super) static BREADCRUMBS_TIES: TaskArithmetic = TaskArithmetic {
    name: "breadcrumbs_ties",
    sparsify: Sparsify::SmallestAndOutliers,
    elect_sign: true,
    by_density: false,
    parameters: const { &with(GAMMA, false, false) },
};

pub(super) static DELLA: TaskArithmetic = TaskArithmetic {
    name: "della",
    sparsify: Sparsify::RandomByRank,
    elect_sign: true,
    by_density: false,
    parameters: const { &with(EPSILON, true, true) },
};

pub(super) static DELLA_LINEAR: TaskArithmetic = TaskArithmetic {
    name: "della_linear",
    sparsify: Sparsify::RandomByRank,
    elect_sign: false,
    by_density: false,
    parameters: const { &with(EPSILON, false, true) },
};

const WEIGHT: Parameter = Parameter::required("weight", Scope::Expert);
const DENSITY: Parameter = Parameter::number("density", Scope::Expert, 1.0);
const LAMBDA: Parameter = Parameter::number("lambda", Scope::Shared, 1.0);
/// Only a matter of memory in mergekit, and of nothing here.
const INT8_MASK: Parameter = Parameter::flag("int8_mask", false);
const GAMMA: Parameter = Parameter::number("gamma", Scope::Expert, 0.01);
const EPSILON: Parameter = Parameter::number("epsilon", Scope::Expert, 0.15);

/// What all have; the defaults of two flags differ.
const fn schema(normalize: bool, rescale: bool) -> [Parameter; 6] {
    [WEIGHT, DENSITY, LAMBDA, Parameter::flag("normalize", normalize), Parameter::flag("rescale", rescale), INT8_MASK]
}

/// The same, and one more.
const fn with(more: Parameter, normalize: bool, rescale: bool) -> [Parameter; 7] {
    let [weight, density, lambda, normalize, rescale, int8_mask] = schema(normalize, rescale);
    [weight, density, lambda, normalize, rescale, int8_mask, more]
}

impl Method for TaskArithmetic {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        match self.sparsify {
            Sparsify::Nothing => Class::Elementwise,
            _ if self.by_density => Class::Elementwise,
            _ => Class::Tensor,
        }
    }

    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        let (parameters, numel) = (&tensor.parameters, tensor.elements());
        let densities = || experts(parameters).map(|(_, values)| values.number(&DENSITY));
        let rescales = self.flag(parameters, "rescale");
        let thinned = |sparse: bool| u64::from(rescales && sparse);
        match self.sparsify {
            _ if self.by_density => Reads::passes(1),
            Sparsify::Nothing => Reads::passes(1),
            Sparsify::Smallest if densities().all(|density| kept(density, numel) >= numel) => Reads::passes(1),
            Sparsify::Smallest => Reads::search(tensor, 1 + thinned(true)),
            Sparsify::SmallestAndOutliers => Reads::search(tensor, 1 + thinned(densities().any(|density| density < 1.0))),
            Sparsify::Random => Reads::passes(1 + thinned(densities().any(|density| density < 1.0))),
            Sparsify::RandomByRank => {
                let ranked = densities().filter(|density| *density > 0.0 && *density < 1.0).count() as u64;
                let long = if row(tensor) > GRANULE as u64 { ranked } else { 0 };
                Reads::passes(1 + long + thinned(densities().any(|density| density < 1.0)))
            }
        }
    }

    fn whole_rows(&self, _: &TensorParameters) -> bool {
        self.sparsify == Sparsify::RandomByRank
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        if self.sparsify == Sparsify::Nothing {
            return Ok(());
        }
        for (input, values) in parameters.inputs.iter().enumerate() {
            let bad = |parameter: &Parameter, problem: String, hint: &str| {
                Err(BadValue { parameter: parameter.name, input: Some(input), problem, hint: Some(hint.to_owned()) })
            };
            let (density, gamma) = (values.number(&DENSITY), values.number(&GAMMA));
            if !(0.0..=1.0).contains(&density) {
                let problem = format!("a density of {density} is no share of the elements");
                return bad(&DENSITY, problem, "a density lies between 0 (drop all) and 1 (keep all)");
            }
            if !(0.0..=1.0).contains(&gamma) {
                let problem = format!("a gamma of {gamma} is no share of the elements");
                return bad(&GAMMA, problem, "gamma is the share of the largest elements that go, between 0 (none) and 1");
            }
            let epsilon = values.number(&EPSILON);
            let drawn = self.sparsify == Sparsify::RandomByRank && density > 0.0 && density < 1.0;
            if drawn && (epsilon < 0.0 || density - epsilon <= 0.0 || density + epsilon >= 1.0) {
                let problem =
                    format!("with an epsilon of {epsilon} the chances go from {} to {}", density - epsilon, density + epsilon);
                return bad(&EPSILON, problem, "density - epsilon must be above 0, and density + epsilon below 1");
            }
        }
        Ok(())
    }

    fn elementwise(&self) -> Option<&dyn Elementwise> {
        (self.class() == Class::Elementwise).then_some(self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        if self.class() == Class::Elementwise {
            return tiles
                .write_anywhere(|extent, inputs, mut out| self.unseen(tiles.name(), parameters, (extent, inputs), &mut out));
        }
        let (base, vectors) = vectors(parameters);
        let mut sparse = self.sparsify.prepare(tiles, base, &vectors, parameters.seed)?;
        let scales = match self.flag(parameters, "rescale") {
            true => sparse.rescale(tiles)?,
            false => vec![1.0; vectors.len()],
        };
        sparse.write(tiles, |extent, inputs, chosen, mut out| {
            self.combine(parameters, (extent, inputs), &vectors, (&sparse, chosen), &scales, &mut out)
        })
    }
}

/// Of those that measure nothing.
impl Elementwise for TaskArithmetic {
    fn tile(&self, of: &MadeOf<'_>, tile: &Tile<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        let at = (&tile.extent(), &Inputs::here(of.arithmetic, tile.inputs));
        self.unseen(of.name, of.parameters, at, out)
    }
}

/// Where the base is among the inputs, and the task vectors of the others.
fn vectors(parameters: &TensorParameters) -> (usize, Vec<Vector>) {
    let base = parameters.base.unwrap_or(0);
    let vectors: Vec<Vector> = parameters
        .inputs
        .iter()
        .zip(&parameters.identities)
        .enumerate()
        .filter(|(expert, _)| *expert != base)
        .map(|(expert, (values, identity))| Vector {
            expert,
            density: values.number(&DENSITY),
            gamma: values.number(&GAMMA),
            epsilon: values.number(&EPSILON),
            identity: *identity,
        })
        .collect();
    (base, vectors)
}

impl TaskArithmetic {
    /// A tile of a tensor of this name that nobody has to look at before.
    fn unseen(
        &self,
        name: &str,
        parameters: &TensorParameters,
        at: (&Extent, &Inputs<'_>),
        out: &mut SliceMut<'_>,
    ) -> Result<(), KernelError> {
        let (base, vectors) = vectors(parameters);
        let sparse = self.sparsify.unseen(name, base, &vectors, parameters.seed);
        let scale = |vector: &Vector| if self.by_density { inverse(vector.density) } else { 1.0 };
        let scales: Vec<f32> = vectors.iter().map(scale).collect();
        self.combine(parameters, at, &vectors, (&sparse, &Chosen::default()), &scales, out)
    }

    /// Adds up what stays of the task vectors in one tile, each times its scale.
    fn combine(
        &self,
        parameters: &TensorParameters,
        (extent, inputs): (&Extent, &Inputs<'_>),
        vectors: &[Vector],
        (sparse, chosen): (&Sparse, &Chosen),
        scales: &[f32],
        out: &mut SliceMut<'_>,
    ) -> Result<(), KernelError> {
        let combine = Combine {
            elect_sign: self.elect_sign,
            normalize: self.flag(parameters, "normalize"),
            lambda: parameters.shared.number(&LAMBDA) as f32,
        };
        let experts = vectors.iter().zip(scales).enumerate().map(|(index, (vector, scale))| Expert {
            input: vector.expert,
            keep: sparse.keep(extent, index, chosen),
            scale: *scale,
            weight: parameters.inputs[vector.expert].number(&WEIGHT) as f32,
        });
        inputs.task_vectors(sparse.base, &experts.collect::<Vec<_>>(), &combine, out)
    }

    /// A switch that some of the family have.
    fn flag(&self, parameters: &TensorParameters, name: &str) -> bool {
        let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
        parameter.is_some_and(|parameter| parameters.shared.flag(parameter))
    }
}

/// The factor that gives what stays of a random share the mean of the whole; of nothing, nothing is left to scale.
fn inverse(density: f64) -> f32 {
    if density > 0.0 { density.recip() as f32 } else { 1.0 }
}
