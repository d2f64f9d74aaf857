//! What a model is to the planner: its shape, its memory a token, and its speed on each class of GPU.

use super::{Tokens, profile_file};
use crate::SequenceError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A model, as its YAML file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelProfile {
    /// Its name.
    pub name: String,
    /// All layers, softmax and linear.
    pub layers: u32,
    /// The width of the residual stream.
    pub hidden: u32,
    /// Activations of one token over all layers, in MiB (M_token of FlexSP's eq. 11).
    pub activation_mib_per_token: f64,
    /// Parameters by context length, ascending; interpolated between, level outside.
    pub parameters: Vec<ParameterCount>,
    /// Speed by class of GPU.
    pub classes: BTreeMap<String, Speed>,
    /// Those of its layers that use linear attention, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<LinearLayers>,
}

/// How many parameters a model has at a context length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterCount {
    /// The context in tokens.
    pub context: u64,
    /// The count, in units of 2^30.
    pub gi: f64,
}

/// Time of a forward and backward pass (FlexSP's eq. 12).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Milliseconds for each squared token, on one GPU: attention of the softmax layers.
    pub alpha1_ms: f64,
    /// Milliseconds for each token, on one GPU: everything else.
    pub alpha2_ms: f64,
    /// Milliseconds for each micro-batch, whatever it holds.
    pub beta1_ms: f64,
}

/// The layers with linear attention: one gather of memory states each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearLayers {
    /// How many.
    pub layers: u32,
    /// Elements of one layer's memory state (heads × d_k × d_v), exchanged in f32.
    pub state_elements: u64,
}

impl ModelProfile {
    /// The names of the built-in models.
    pub const BUILT_IN: &[&str] = &["gpt-7b", "gpt-13b", "gpt-30b"];

    /// A built-in model by name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn built_in(name: &str) -> Result<Self, SequenceError> {
        let text = match name {
            "gpt-7b" => include_str!("../../profiles/gpt-7b.yml"),
            "gpt-13b" => include_str!("../../profiles/gpt-13b.yml"),
            "gpt-30b" => include_str!("../../profiles/gpt-30b.yml"),
            _ => return Err(profile_file::unknown("model", name, Self::BUILT_IN)),
        };
        Self::parse(name, text)
    }

    /// Reads a model from the `text` of the file `name`.
    ///
    /// # Errors
    /// The text is no YAML, has keys that are not known, or figures that cannot be.
    pub fn parse(name: &str, text: &str) -> Result<Self, SequenceError> {
        profile_file::parse(name, text, Self::check)
    }

    /// The number of parameters at `context`.
    #[must_use]
    pub fn parameters_at(&self, context: Tokens) -> f64 {
        let at = |p: &ParameterCount| p.gi * f64::from(1 << 30);
        let after = self.parameters.partition_point(|p| p.context <= context.0);
        match (after.checked_sub(1).and_then(|i| self.parameters.get(i)), self.parameters.get(after)) {
            (Some(lo), Some(hi)) => {
                let share = (context.0 - lo.context) as f64 / (hi.context - lo.context) as f64;
                at(lo) + (at(hi) - at(lo)) * share
            }
            (Some(p), None) | (None, Some(p)) => at(p),
            (None, None) => 0.0,
        }
    }

    /// Bytes that one token exchanges in all-to-alls: q, k, v and output, forward and backward, two bytes an element, in
    /// each softmax layer; in MiB.
    #[must_use]
    pub fn all_to_all_mib_per_token(&self) -> f64 {
        let softmax = self.layers - self.linear.map_or(0, |l| l.layers);
        f64::from(4 * 2 * 2 * softmax) * f64::from(self.hidden) / f64::from(1 << 20)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let from_zero = |x: f64| x.is_finite() && x >= 0.0;
        if self.layers == 0 || self.hidden == 0 || self.layers > 1 << 16 || self.hidden > 1 << 24 {
            return Err("layers and hidden must be above 0, and no more than 2^16 and 2^24".into());
        }
        if !(self.activation_mib_per_token.is_finite() && self.activation_mib_per_token > 0.0) {
            return Err(format!("activation_mib_per_token is {}; expected a number above 0", self.activation_mib_per_token));
        }
        if self.parameters.is_empty() || !self.parameters.iter().all(|p| from_zero(p.gi)) {
            return Err("parameters needs a count (gi, 0 or more) for at least one context".into());
        }
        if !self.parameters.is_sorted_by(|a, b| a.context < b.context) {
            return Err("parameters must come in ascending order of context".into());
        }
        for (class, s) in &self.classes {
            if ![s.alpha1_ms, s.alpha2_ms, s.beta1_ms].into_iter().all(from_zero) || s.alpha1_ms + s.alpha2_ms == 0.0 {
                return Err(format!("class {class}: times must be 0 or more, and alpha1_ms or alpha2_ms above it"));
            }
        }
        match self.linear {
            Some(l) if l.layers > self.layers => Err(format!("{} linear layers of {} in all", l.layers, self.layers)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_models_read() {
        for name in ModelProfile::BUILT_IN {
            assert_eq!(ModelProfile::built_in(name).unwrap().name, *name);
        }
        assert!(ModelProfile::built_in("gpt-8b").is_err());
    }

    #[test]
    fn parameters_are_interpolated_by_context() {
        let model = ModelProfile::built_in("gpt-7b").unwrap();
        let gi = |context| model.parameters_at(Tokens(context)) / f64::from(1 << 30);
        assert!((gi(384_000) - 7.8499).abs() < 1e-9);
        assert!((gi(288_000) - (7.1174 + 7.8499) / 2.0).abs() < 1e-9);
        assert_eq!((gi(1), gi(1_000_000)), (gi(4_000), gi(384_000)));
        assert!((model.all_to_all_mib_per_token() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let good = include_str!("../../profiles/gpt-7b.yml");
        for (from, to, said) in [
            ("layers: 32", "layers: 0", "layers and hidden"),
            ("context: 4000", "context: 999999", "ascending"),
            ("alpha1_ms: 5.128e-6", "alpha1_ms: -1", "class a100-40g"),
            ("hidden: 4096", "hidden: 4096\nheads: 64", "heads"),
            ("name: gpt-7b", "name: gpt-7b\nlinear: { layers: 33, state_elements: 1 }", "33 linear layers of 32"),
        ] {
            let error = ModelProfile::parse("m.yml", &good.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
