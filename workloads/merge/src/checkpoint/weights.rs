//! Which files of a folder hold the tensors: safetensors first, then what `torch.save` writes.

use super::{folder::SINGLE, sources::Sources, torch::TorchProblem};
use crate::MergeError;
use std::path::{Path, PathBuf};

const INDEXED: [(&str, &str); 2] =
    [(SINGLE, "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

/// Endings of single files that people save a state dict in.
const LOOSE: [&str; 2] = ["pt", "pth"];

/// Where the tensors of a checkpoint are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// All in one file.
    File(PathBuf),
    /// In the shards that this index names.
    Shards(PathBuf),
}

/// How the tensors of a file are described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Torch,
}

impl Format {
    /// By the name: what a file begins with could be either.
    pub(super) fn of(path: &Path) -> Self {
        let torch = path.extension().is_some_and(|ending| ending == "bin" || LOOSE.iter().any(|loose| ending == *loose));
        if torch { Self::Torch } else { Self::Safetensors }
    }
}

/// Finds the tensors of the checkpoint in the folder `root`.
pub(super) fn find(sources: &Sources, root: &Path) -> Result<Weights, MergeError> {
    for (single, index) in INDEXED {
        if let Some(file) = sources.first_of(root, [single])? {
            return Ok(Weights::File(file));
        }
        if let Some(file) = sources.first_of(root, [index])? {
            return Ok(Weights::Shards(file));
        }
    }
    let names = sources.names(root).ok().flatten().unwrap_or_default();
    let ending = |name: &&String| LOOSE.iter().any(|loose| Path::new(name).extension().is_some_and(|ending| ending == *loose));
    let loose: Vec<&String> = names.iter().filter(ending).collect();
    if let [name] = loose.as_slice() {
        return Ok(Weights::File(root.join(name)));
    }
    let (problem, hint) = if names.iter().any(|name| name == "adapter_config.json") {
        ("holds a LoRA adapter, not a whole checkpoint", "name it with its base: `model: base+adapter`")
    } else if loose.len() > 1 {
        (
            "has several .pt or .pth files, and no index says which tensor is in which",
            "convert them to one checkpoint: load it with transformers and save it with save_pretrained",
        )
    } else {
        (
            "has neither model.safetensors nor model.safetensors.index.json, and no pytorch_model.bin or .pt file",
            "is this the right folder, and is the download complete?",
        )
    };
    Err(MergeError::Checkpoint { path: root.to_owned(), problem: problem.into(), hint: Some(hint.into()) })
}

/// What a file of `torch.save` is refused with.
pub(super) fn refused(path: &Path, problem: &TorchProblem) -> MergeError {
    MergeError::Checkpoint { path: path.to_owned(), problem: problem.to_string(), hint: problem.hint().map(str::to_owned) }
}
