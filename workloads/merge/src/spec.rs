//! What a merge job says: the recipe and where the result goes.

use crate::{MergeError, output::OutputFolder, recipe::Recipe};
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
        let file = self.directory.join(&self.recipe_file);
        let folders = [self.directory.as_path(), file.parent().unwrap_or_else(|| Path::new("/"))];
        Ok(recipe.locate(&folders, Path::exists)?)
    }

    /// Where the result goes and is made.
    ///
    /// # Errors
    /// A place that cannot become a folder.
    pub(crate) fn output(&self) -> Result<OutputFolder, MergeError> {
        OutputFolder::new(&self.out)
    }
}
