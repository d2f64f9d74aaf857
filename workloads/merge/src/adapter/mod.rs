//! LoRA adapters in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! ```text
//! adapter_config.json ── config/ (ranks, scales, what is refused) ─┐
//! names of its tensors ── parts (which module, which factor) ──────┴─ modules: B · A · scale for each
//!                                                                        │
//!        base checkpoint + modules ── fold: a checkpoint whose tensors are computed as they are read
//! ```
//!
//! An adapter changes a matrix `W` of its base to `W + s · B · A` (Hu et al., "LoRA", arXiv 2106.09685), where `s` is `alpha / r`, or
//! `alpha / √r` (Kalajdzievski, arXiv 2312.03732). Not here: adapters of other kinds, which are refused, and merging several.

mod config;
mod factors;
mod fold;
mod parts;

pub use config::AdapterConfig;
pub use factors::{Factors, Orientation};
pub(crate) use factors::{read_bytes, read_f32};
pub(crate) use fold::fold;
pub(crate) use parts::{Parts, parts};

use crate::{
    MergeError,
    checkpoint::{Checkpoint, Sources},
};
use std::path::Path;

/// The config of an adapter.
pub(crate) const CONFIG: &str = "adapter_config.json";
/// The tensors of an adapter.
pub(crate) const TENSORS: &str = "adapter_model.safetensors";
/// The same, as `torch.save` writes it.
pub(crate) const TORCH_TENSORS: &str = "adapter_model.bin";

/// An adapter that has been found to be one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Adapter {
    /// Its folder and tensors; `config` is its `adapter_config.json`.
    pub(crate) checkpoint: Checkpoint,
    /// What that says.
    pub(crate) config: AdapterConfig,
    /// What its tensors are.
    pub(crate) parts: Parts,
}

impl Adapter {
    /// Reads the config and the header of the adapter in the folder `root`.
    ///
    /// # Errors
    /// What is missing, wrong or of another kind than LoRA, naming the file and the tensor.
    pub(crate) fn open(sources: &Sources, root: &Path) -> Result<Self, MergeError> {
        Self::of(Checkpoint::open_adapter(sources, root)?)
    }

    /// The adapter that these tensors are, with their `adapter_config.json`.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub(crate) fn of(checkpoint: Checkpoint) -> Result<Self, MergeError> {
        let config = AdapterConfig::read(&checkpoint.config).map_err(|unfit| unfit.at(&checkpoint.root.join(CONFIG)))?;
        let parts = parts(&checkpoint.tensors, &config).map_err(|unfit| unfit.at(&checkpoint.tensors_path()))?;
        Ok(Self { checkpoint, config, parts })
    }
}

/// Why an adapter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    problem: String,
    hint: Option<&'static str>,
}

impl Unfit {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), hint: None }
    }

    fn hint(problem: impl Into<String>, hint: &'static str) -> Self {
        Self { problem: problem.into(), hint: Some(hint) }
    }

    fn at(self, path: &Path) -> MergeError {
        MergeError::Checkpoint { path: path.to_owned(), problem: self.problem, hint: self.hint.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests;
