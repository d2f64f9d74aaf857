//! `ram` and `ramplus_tl`: what one expert alone has changed is added whole, what several have changed is averaged.
//!
//! Paper: "Reinforced Agent Merging" (arXiv 2601.13572). An expert has changed an element where |δᵢ| > `epsilon`. Of an element
//! that c experts have changed, θ = θ₀ + Σ δᵢ/c over these. `ramplus_tl` multiplies what only expert i has changed by 1 +
//! `r` · min(ρᵢ, `alpha`), ρᵢ being how many elements of this tensor it has changed with others, for each one that it has
//! changed alone.
//!
//! `epsilon` is absolute, as in the released code: a bfloat16 fine-tune may well have moved weights by less than 1e-5, and
//! those moves are dropped. The released code divides by `epsilon` where nothing is unique; whatever comes of that is
//! multiplied by nothing.
//!
//! `ram` is of class E: inputs are read once, the output written once. `ramplus_tl` is of class T and reads twice. Flops: about
//! 5 an element and expert.

use super::{BadValue, BaseRule, Class, Contract, Elementwise, MadeOf, Method, Parameter, Scope, TensorParameters, elementwise};
use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_kernels::{KernelError, Overlap, SliceMut, overlaps, ram};

/// One method of the two.
pub(super) struct Ram {
    name: &'static str,
    parameters: &'static [Parameter],
    /// Whether what is unique to an expert is multiplied.
    plus: bool,
}

const EPSILON: Parameter = Parameter::number("epsilon", Scope::Shared, 1e-5);
const R: Parameter = Parameter::number("r", Scope::Shared, 0.1);
const ALPHA: Parameter = Parameter::number("alpha", Scope::Shared, 0.2);

pub(super) static RAM: Ram = Ram { name: "ram", parameters: const { &[EPSILON] }, plus: false };
pub(super) static RAM_PLUS_TL: Ram = Ram { name: "ramplus_tl", parameters: const { &[R, ALPHA, EPSILON] }, plus: true };

impl Method for Ram {
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
        if self.plus { Class::Tensor } else { Class::Elementwise }
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        for (parameter, what) in [(&EPSILON, "the size of a change"), (&ALPHA, "the most that a ratio counts")] {
            let value = parameters.shared.number(parameter);
            if value < 0.0 {
                let problem = format!("{value} is {what}, and cannot be negative");
                return Err(BadValue { parameter: parameter.name, input: None, problem, hint: None });
            }
        }
        Ok(())
    }

    fn elementwise(&self) -> Option<&dyn Elementwise> {
        if self.plus { None } else { Some(self) }
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        if !self.plus {
            return elementwise::run(self, parameters, tiles);
        }
        let shared = &parameters.shared;
        let epsilon = shared.number(&EPSILON) as f32;
        let base = parameters.base.unwrap_or(0);
        let mut sums = vec![Overlap::default(); tiles.inputs().len().saturating_sub(1)];
        for tile in tiles.measure(|tile| overlaps(&tile.inputs[base], &tile.others(base), epsilon))? {
            sums.iter_mut().zip(tile).for_each(|(sum, of_tile)| sum.add(of_tile));
        }
        let factors: Vec<_> = sums.iter().map(|sum| sum.factor(shared.number(&R), shared.number(&ALPHA))).collect();
        tiles.write(|tile, mut out| ram(&tile.inputs[base], &tile.others(base), &factors, epsilon, &mut out))
    }
}

/// Of `ram`, which multiplies nothing.
impl Elementwise for Ram {
    fn tile(&self, of: &MadeOf<'_>, tile: &Tile<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        let base = of.parameters.base.unwrap_or(0);
        let factors = vec![1.0; tile.inputs.len().saturating_sub(1)];
        ram(&tile.inputs[base], &tile.others(base), &factors, of.parameters.shared.number(&EPSILON) as f32, out)
    }
}
