//! An earlier result, opened: where its tensors lie, and what they are made of.

use super::identity::{Files, Identity, identities, read_inputs};
use crate::{
    MergeError,
    checkpoint::{Checkpoint, Sources},
    methods::Folder,
    output::{Digest, MANIFEST, TensorShape, result_digest},
};
use braid_kernels::Dtype;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashMap, path::Path, time::SystemTime};

/// A result of an earlier merge.
#[derive(Debug)]
pub(crate) struct Previous {
    /// Where its tensors lie.
    pub(crate) checkpoint: Checkpoint,
    tensors: HashMap<String, Earlier>,
    /// For each model of this merge, the model of the earlier one that has the same files.
    twins: Vec<Option<usize>>,
}

/// What the earlier result says about one of its tensors.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    /// Its part of the recipe; none where an older version has written it.
    pub(crate) part: Option<Digest>,
    /// The digest of its bytes.
    pub(crate) output: Digest,
    /// The number of each input's model, and the digest of the input's bytes.
    pub(crate) inputs: Vec<(usize, Digest)>,
    /// What the work that made it said.
    pub(crate) note: Option<Value>,
}

#[derive(Deserialize)]
struct Manifest {
    digest: Digest,
    tensors: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    blake3: Digest,
    part: Option<Digest>,
    note: Option<Value>,
    inputs: Vec<InputLine>,
}

#[derive(Deserialize)]
struct InputLine {
    model: usize,
    blake3: Digest,
}

impl Previous {
    /// Opens the result at `root`, a folder or its URL, which `makes` says what it should be; `models` are those of this merge.
    ///
    /// # Errors
    /// It is no result of a merge, or its manifest contradicts itself.
    pub(crate) fn open(sources: &Sources, root: &Path, makes: Folder, models: &[Checkpoint]) -> Result<Self, MergeError> {
        let path = root.join(MANIFEST);
        let refuse =
            |problem: String, hint: &str| MergeError::Checkpoint { path: path.clone(), problem, hint: Some(hint.to_owned()) };
        let Some(text) = sources.read_if_there(&path)? else {
            return Err(refuse(
                "is not there, so there is nothing to reuse".into(),
                "--reuse takes the folder or the URL of an earlier result of braid merge",
            ));
        };
        let Manifest { digest, tensors } = serde_json::from_slice(&text).map_err(|error| {
            refuse(format!("is not the manifest of a merge: {error}"), "name another result, or leave out --reuse")
        })?;
        let own = result_digest(tensors.iter().filter_map(|line| Some((shape(line)?, line.blake3))));
        if own != digest.0 {
            return Err(refuse(
                "has been changed: its digest is not that of the tensors that it lists".into(),
                "name another result, or leave out --reuse",
            ));
        }
        let checkpoint = match makes {
            Folder::Checkpoint => Checkpoint::open_in(sources, root)?,
            Folder::Adapter => Checkpoint::open_adapter(sources, root)?,
        };
        let earlier = |line: Line| {
            let inputs = line.inputs.iter().map(|input| (input.model, input.blake3)).collect();
            (line.name, Earlier { part: line.part, output: line.blake3, inputs, note: line.note })
        };
        let (kept, begun) = read_inputs(sources, root)?;
        let twins = models.iter().map(|model| Ok(twin(&identities(model)?, &kept, begun))).collect::<Result<_, MergeError>>()?;
        Ok(Self { checkpoint, tensors: tensors.into_iter().map(earlier).collect(), twins })
    }

    /// What it says about the tensor of this name.
    pub(crate) fn tensor(&self, name: &str) -> Option<&Earlier> {
        self.tensors.get(name)
    }

    /// Whether model `model` of this merge has the very files that model `earlier` of the earlier one had.
    pub(crate) fn same_files(&self, model: usize, earlier: usize) -> bool {
        self.twins.get(model).copied().flatten() == Some(earlier)
    }
}

/// The model that had these files.
fn twin(files: &[Identity], kept: &[Files], begun: SystemTime) -> Option<usize> {
    // what a recipe of the same file made has none
    let same = |kept: &Files| {
        !files.is_empty() && kept.len() == files.len() && files.iter().zip(kept).all(|(file, kept)| file.is(kept, begun))
    };
    kept.iter().position(same)
}

fn shape(line: &Line) -> Option<TensorShape<'_>> {
    Some(TensorShape { name: &line.name, dtype: Dtype::parse(&line.dtype).ok()?, shape: &line.shape })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_model_has_a_twin_only_where_all_its_files_are_the_same() {
        let kept = |names: &[&str]| -> Files { names.iter().map(|name| (*name).to_owned()).collect() };
        let now = |names: &[&str]| -> Vec<Identity> { names.iter().map(|name| Identity::of(name)).collect() };
        assert_eq!(super::twin(&[], &[kept(&[])], SystemTime::UNIX_EPOCH), None);
        let kept = [kept(&["a", "d"]), kept(&["b", "c"])];
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(2);
        let twin = |names: &[&str]| twin(&now(names), &kept, begun);
        assert_eq!(twin(&["b", "c"]), Some(1));
        assert_eq!([twin(&["c", "b"]), twin(&["a", "x"]), twin(&["b"])], [None; 3]);
        assert_eq!(super::twin(&now(&["b", "c"]), &kept, SystemTime::UNIX_EPOCH), None, "written as the merge began");
    }
}
