//! What a merge job says: the recipe and where the result goes.

use crate::{
    MergeError,
    checkpoint::url,
    hub::Hub,
    output::OutputFolder,
    recipe::{ModelRef, Recipe, Within},
};
use braid_workload::Reach;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The word that names this kind in a job.
pub const KIND: &str = "merge";

/// The limit of a shard where the user sets none, in bytes.
pub const DEFAULT_MAX_SHARD: u64 = 5_000_000_000;

/// The spec of a merge job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeSpec {
    /// The text of the recipe: it travels with the job, so that editing the file does not change a job that runs.
    pub recipe: String,
    /// The name of its file, as messages print it; relative to `directory`.
    pub recipe_file: String,
    /// The working directory of the user, absolute: where relative paths of the recipe start.
    pub directory: PathBuf,
    /// The folder that becomes the result, absolute.
    pub out: PathBuf,
    /// The most bytes of tensors in one file of the result.
    #[serde(default = "default_max_shard")]
    pub max_shard_size: u64,
    /// Decides the random masks of the methods that draw some.
    #[serde(default)]
    pub seed: u64,
    /// An earlier result, absolute, whose tensors are taken where they would come out the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<PathBuf>,
}

fn default_max_shard() -> u64 {
    DEFAULT_MAX_SHARD
}

impl MergeSpec {
    /// Reads the recipe. Pure.
    ///
    /// # Errors
    /// What is wrong in it, with its line.
    pub fn recipe(&self) -> Result<Recipe, MergeError> {
        Ok(Recipe::parse(&self.recipe, &self.recipe_file)?)
    }

    /// Finds the folders of the recipe's models.
    ///
    /// # Errors
    /// A model that is not there.
    pub(crate) fn locate(&self, recipe: &Recipe) -> Result<Vec<PathBuf>, MergeError> {
        let ([directory, beside], hub) = (self.folders(), Hub::of_environment());
        Ok(recipe.locate(&Within { folders: &[&directory, &beside], hub: &hub, exists: Path::exists })?)
    }

    /// Finds the folders of the adapters on them.
    ///
    /// # Errors
    /// An adapter that is not there.
    pub(crate) fn locate_adapters(&self, recipe: &Recipe) -> Result<Vec<Option<PathBuf>>, MergeError> {
        let ([directory, beside], hub) = (self.folders(), Hub::of_environment());
        Ok(recipe.locate_adapters(&Within { folders: &[&directory, &beside], hub: &hub, exists: Path::exists })?)
    }

    /// Finds the folder of the tokenizer that the recipe chooses, where it is that of none of its models.
    ///
    /// # Errors
    /// A folder that is not there.
    pub(crate) fn locate_tokenizer(&self, recipe: &Recipe) -> Result<Option<PathBuf>, MergeError> {
        let ([directory, beside], hub) = (self.folders(), Hub::of_environment());
        Ok(recipe.locate_tokenizer(&Within { folders: &[&directory, &beside], hub: &hub, exists: Path::exists })?)
    }

    /// Where relative paths of the recipe start: the working directory, then the folder of the recipe.
    fn folders(&self) -> [PathBuf; 2] {
        let file = self.directory.join(&self.recipe_file);
        [self.directory.clone(), file.parent().unwrap_or_else(|| Path::new("/")).to_owned()]
    }

    /// Every path where this merge may look or write, without looking.
    ///
    /// # Errors
    /// What is wrong in the recipe.
    pub(crate) fn may_use(&self) -> Result<Reach, MergeError> {
        let (recipe, folders) = (self.recipe()?, self.folders());
        let mut reads: Vec<PathBuf> = Vec::new();
        for written in recipe.models.iter().chain(recipe.foreign_tokenizer()).flat_map(ModelRef::paths) {
            for folder in &folders {
                // A URL is no path below a folder. What a name on the hub stands for, the worker knows that has it.
                let path = if url(Path::new(written)).is_some() { written.into() } else { folder.join(written) };
                if !reads.contains(&path) {
                    reads.push(path);
                }
            }
        }
        reads.extend(self.reuse.clone());
        Ok(self.reach(reads))
    }

    /// The paths that this merge uses on this machine.
    ///
    /// # Errors
    /// What is wrong in the recipe, or a model that is not there.
    pub(crate) fn uses(&self) -> Result<Reach, MergeError> {
        let recipe = self.recipe()?;
        let mut reads = self.locate(&recipe)?;
        reads.extend(self.locate_adapters(&recipe)?.into_iter().flatten());
        reads.extend(self.reuse.clone());
        reads.extend(self.locate_tokenizer(&recipe)?);
        let OutputFolder { out, staging } = self.output()?;
        Ok(Reach::Paths { reads, writes: vec![out, staging] })
    }

    /// The result is made in a hidden folder beside it.
    fn reach(&self, reads: Vec<PathBuf>) -> Reach {
        let mut writes = vec![self.out.clone()];
        if let (Some(parent), Some(name)) = (self.out.parent(), self.out.file_name()) {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(".braid");
            writes.push(parent.join(hidden));
        }
        Reach::Paths { reads, writes }
    }

    /// Where the result goes and is made.
    ///
    /// # Errors
    /// A place that cannot become a folder.
    pub(crate) fn output(&self) -> Result<OutputFolder, MergeError> {
        OutputFolder::new(&self.out)
    }
}
