//! All parameters of a model in one slice, and where each tensor lies in it.
//!
//! One slice is what an all-reduce, an optimizer and a checkpoint want; the table says which part is which tensor, by the name that
//! it has in a checkpoint.

use super::ModelConfig;
use std::ops::Range;

/// One tensor's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name in a checkpoint: `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
    /// Its elements in the slice.
    pub range: Range<usize>,
    /// How it begins.
    pub start: Start,
}

/// How a tensor begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Every element the same.
    Constant(f32),
    /// Normal around 0 with this deviation.
    Normal(f32),
}

/// The tensors of a model, in the order of the slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    places: Vec<Place>,
    elements: usize,
}

impl Eq for Start {}

impl Table {
    /// The tensors of this model over a vocabulary.
    pub fn of(config: &ModelConfig, vocabulary: usize) -> Self {
        let (width, mlp) = (config.width, config.mlp_width);
        let mut table = Self::default();
        let normal = |inputs: usize| Start::Normal(1.0 / (inputs as f32).sqrt());
        // What is added to the residual stream begins smaller, the more layers add to it (GPT-2).
        let residual = |inputs: usize| Start::Normal(1.0 / (inputs as f32 * 2.0 * config.layers.len() as f32).sqrt());
        table.push("model.embed_tokens.weight", &[vocabulary, width], Start::Normal(0.02));
        for (layer, mixing) in config.layers.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            table.push(name("mixer_norm.weight"), &[width], Start::Constant(1.0));
            for projection in mixing.projections(config) {
                table.push(
                    name(&format!("mixer.{}_proj.weight", projection.input.name)),
                    &[projection.input.width, width],
                    normal(width),
                );
                if let Some(bias) = projection.bias {
                    table.push(
                        name(&format!("mixer.{}_proj.bias", projection.input.name)),
                        &[projection.input.width],
                        Start::Constant(bias),
                    );
                }
            }
            table.push(name("mixer.out_norm.weight"), &[config.inner()], Start::Constant(1.0));
            table.push(name("mixer.o_proj.weight"), &[width, config.inner()], residual(config.inner()));
            table.push(name("mlp_norm.weight"), &[width], Start::Constant(1.0));
            table.push(name("mlp.gate_proj.weight"), &[mlp, width], normal(width));
            table.push(name("mlp.up_proj.weight"), &[mlp, width], normal(width));
            table.push(name("mlp.down_proj.weight"), &[width, mlp], residual(mlp));
        }
        table.push("model.norm.weight", &[width], Start::Constant(1.0));
        table.push("lm_head.weight", &[vocabulary, width], normal(width));
        table
    }

    fn push(&mut self, name: impl Into<String>, shape: &[usize], start: Start) {
        let range = self.elements..self.elements + shape.iter().product::<usize>();
        self.elements = range.end;
        self.places.push(Place { name: name.into(), shape: shape.to_vec(), range, start });
    }

    /// Elements of the slice.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// The tensors, in order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The range of a tensor that this model has.
    ///
    /// # Panics
    /// For a name that it does not have: a mistake of this crate.
    pub(super) fn range(&self, name: &str) -> Range<usize> {
        let place = self.places.iter().find(|place| place.name == name);
        place.map(|place| place.range.clone()).unwrap_or_else(|| unreachable!("the model has no tensor {name}"))
    }

    /// The parameters that a training begins with: the same for the same seed, on every machine.
    pub fn begin(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.elements];
        for place in &self.places {
            match place.start {
                Start::Constant(value) => values[place.range.clone()].fill(value),
                Start::Normal(deviation) => {
                    for index in place.range.clone() {
                        values[index] = deviation * normal(seed, index as u64);
                    }
                }
            }
        }
        values
    }
}

/// A standard normal number for (seed, element), by Box and Muller's transform of two counter-based uniforms.
fn normal(seed: u64, element: u64) -> f32 {
    let key = [seed as u32, (seed >> 32) as u32];
    let [first, second, ..] = braid_kernels::philox4x32([element as u32, (element >> 32) as u32, 0x6d6f_6465, 0], key);
    let unit = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
    let radius = (-2.0 * libm::log(unit(first))).sqrt();
    (radius * libm::cos(2.0 * std::f64::consts::PI * unit(second))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mixing, config::Epsilon};

    fn config() -> ModelConfig {
        let layers = vec![Mixing::Gla, Mixing::Softmax];
        ModelConfig { width: 8, heads: 2, head_dim: 4, mlp_width: 12, layers, norm_epsilon: Epsilon(1e-6) }
    }

    #[test]
    fn tensors_fill_the_slice_without_gaps_and_have_names_of_their_own() {
        let table = Table::of(&config(), 256);
        let mut end = 0;
        for place in table.places() {
            assert_eq!(place.range.start, end);
            assert_eq!(place.range.len(), place.shape.iter().product::<usize>());
            end = place.range.end;
        }
        assert_eq!(end, table.elements());
        let names: std::collections::BTreeSet<_> = table.places().iter().map(|place| &place.name).collect();
        assert_eq!(names.len(), table.places().len());
    }

    #[test]
    fn a_seed_decides_how_a_model_begins() {
        let table = Table::of(&config(), 256);
        let values = table.begin(7);
        assert_eq!(values, table.begin(7));
        assert_ne!(values, table.begin(8));
        let embedding = &values[table.range("model.embed_tokens.weight")];
        let mean = embedding.iter().sum::<f32>() / embedding.len() as f32;
        let deviation = (embedding.iter().map(|x| x * x).sum::<f32>() / embedding.len() as f32).sqrt();
        assert!(mean.abs() < 0.002 && (deviation - 0.02).abs() < 0.002, "{mean} {deviation}");
    }
}
