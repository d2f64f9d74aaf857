//! `lines`: how far from the base each layer of a merge goes, from the first to the last.

use super::{
    error::{Problem, RecipeError},
    fields::Source,
    node::{Node, Value},
    place::Span,
    setting::scalar,
};
use crate::methods::{Parameter, Scalar, Scope};

/// LiNeS (Wang et al., ICLR 2025, arXiv 2410.17146): what a method adds to the base is multiplied in layer ℓ of L by
/// `alpha` + `beta` · ℓ/(L − 1), and outside of layers by `alpha`. The only layer of a model is its last.
///
/// The authors' code gives every block of a stack its own factor by its number, as here. Its `alpha` for several tasks, the ratio
/// of two L1 norms over the whole model, is 1/T for a sum of T task vectors, and otherwise not computed here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lines {
    /// The factor of the first layer, and outside of layers.
    pub alpha: f64,
    /// What the last layer has more.
    pub beta: f64,
    /// Where it stands.
    pub at: Span,
}

const ALPHA: Parameter = Parameter::required("alpha", Scope::Shared);
const BETA: Parameter = Parameter::required("beta", Scope::Shared);

impl Lines {
    pub(super) fn parse(source: &Source, node: Node) -> Result<Self, RecipeError> {
        let at = node.at;
        let mut fields = source.fields(node, "`lines`", &[ALPHA.name, BETA.name], |_| None)?;
        let mut number = |parameter: &Parameter| {
            let node = fields.require(source, parameter.name)?;
            match scalar(source, &node, parameter)? {
                Scalar::Number(number) if !matches!(node.value, Value::Text(_)) => Ok(number),
                _ => Err(source.mismatch(&node, parameter.name, "a number")),
            }
        };
        let (alpha, beta) = (number(&ALPHA)?, number(&BETA)?);
        if !((alpha + beta) as f32).is_finite() {
            let problem = Problem::Value(format!("the factor of the last layer is {}, which is too large", alpha + beta));
            return Err(source.error(at, problem));
        }
        Ok(Self { alpha, beta, at })
    }

    /// The factor at `t` in 0 ..= 1, the place among the layers.
    pub fn factor(&self, t: f64) -> f32 {
        (self.alpha + self.beta * t) as f32
    }
}
