//! What a model is made of, as a person writes it in a spec and as `config.json` keeps it.

use super::{Mixing, ModelError};
use serde::{Deserialize, Serialize};

/// The sizes of a hybrid language model: linear-time and softmax layers in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Channels of the residual stream.
    pub width: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Channels of a head, for keys and values alike.
    pub head_dim: usize,
    /// Channels inside the gated MLP.
    pub mlp_width: usize,
    /// How each layer mixes tokens, from the first to the last.
    pub layers: Vec<Mixing>,
    /// Added under the root of every norm.
    #[serde(default = "default_epsilon")]
    pub norm_epsilon: Epsilon,
}

/// A small number, written as such: `1e-6`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epsilon(pub f32);

impl Eq for Epsilon {}

fn default_epsilon() -> Epsilon {
    Epsilon(1e-6)
}

/// Elements of one tensor beyond which a model is refused: this trainer holds all of it on every worker.
const LARGEST: usize = 1 << 31;

impl ModelConfig {
    /// Channels of all heads together.
    pub fn inner(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Checks that every size is one that a model can have.
    ///
    /// # Errors
    /// [`ModelError::Size`] naming the field.
    pub fn check(&self, vocabulary: usize) -> Result<(), ModelError> {
        let sizes = [
            ("width", self.width),
            ("heads", self.heads),
            ("head_dim", self.head_dim),
            ("mlp_width", self.mlp_width),
            ("layers", self.layers.len()),
        ];
        if let Some((field, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ModelError::Size { field, problem: "it must be at least 1".into() });
        }
        let inner = self.heads.checked_mul(self.head_dim);
        let widest = inner.map(|inner| inner.max(self.mlp_width).max(vocabulary));
        let largest = widest.and_then(|widest| widest.checked_mul(self.width));
        match largest {
            Some(elements) if elements <= LARGEST && self.layers.len() <= 1024 => {}
            _ => return Err(ModelError::Size { field: "width", problem: "the model is larger than this trainer holds".into() }),
        }
        if !(self.norm_epsilon.0 > 0.0 && self.norm_epsilon.0 < 1.0) {
            return Err(ModelError::Size { field: "norm_epsilon", problem: "it must lie between 0 and 1".into() });
        }
        Ok(())
    }
}
