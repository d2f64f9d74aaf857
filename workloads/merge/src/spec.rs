//! What a merge job says: the recipe, or several in one text, and where the result goes.

use crate::{
    MergeError,
    checkpoint::{Sources, url},
    hub::Hub,
    output::{Output, OutputFolder, OutputPrefix, STAGES, STAGING, check_url, hidden},
    recipe::{ModelRef, Stage, Stages, Within},
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
    /// The folder that becomes the result, absolute; or the URL of one in a store.
    pub out: PathBuf,
    /// The most bytes of tensors in one file of the result.
    #[serde(default = "default_max_shard")]
    pub max_shard_size: u64,
    /// Decides the random masks of the methods that draw some.
    #[serde(default)]
    pub seed: u64,
    /// An earlier result, absolute or the URL of one in a store, whose tensors are taken where they would come out the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<PathBuf>,
}

fn default_max_shard() -> u64 {
    DEFAULT_MAX_SHARD
}

impl MergeSpec {
    /// Reads the recipes. Pure.
    ///
    /// # Errors
    /// What is wrong in them, with its line.
    pub fn stages(&self) -> Result<Stages, MergeError> {
        Ok(Stages::parse(&self.recipe, &self.recipe_file)?)
    }

    /// Finds the folders of a recipe's models, but of those that a stage makes.
    ///
    /// # Errors
    /// A model that is not there.
    pub(crate) fn locate(&self, stages: &Stages, stage: &Stage) -> Result<Vec<Option<PathBuf>>, MergeError> {
        self.find(|within| stage.recipe.locate(&stage.models, within)).map_err(|error| stages.suggest(error).into())
    }

    /// Finds the folders of the adapters on them, but of those that a stage makes.
    ///
    /// # Errors
    /// An adapter that is not there.
    pub(crate) fn locate_adapters(&self, stages: &Stages, stage: &Stage) -> Result<Vec<Option<PathBuf>>, MergeError> {
        self.find(|within| stage.recipe.locate_adapters(&stage.adapters, within)).map_err(|error| stages.suggest(error).into())
    }

    /// Finds the folder of the tokenizer that a recipe chooses, where it is that of none of its models and of no stage.
    ///
    /// # Errors
    /// A folder that is not there.
    pub(crate) fn locate_tokenizer(&self, stage: &Stage) -> Result<Option<PathBuf>, MergeError> {
        match stage.tokenizer {
            Some(_) => Ok(None),
            None => Ok(self.find(|within| stage.recipe.locate_tokenizer(within))?),
        }
    }

    /// Looks for something that a recipe names, wherever it may lie on this machine.
    fn find<T>(&self, look: impl FnOnce(&Within<'_, fn(&Path) -> bool>) -> T) -> T {
        let ([directory, beside], hub) = (self.folders(), Hub::of_environment());
        look(&Within { folders: &[&directory, &beside], hub: &hub, exists: Path::exists })
    }

    /// Where relative paths of the recipe start: the working directory, then the folder of the recipe.
    fn folders(&self) -> [PathBuf; 2] {
        let file = self.directory.join(&self.recipe_file);
        [self.directory.clone(), file.parent().unwrap_or_else(|| Path::new("/")).to_owned()]
    }

    /// Every path where this merge may look or write, without looking.
    ///
    /// # Errors
    /// What is wrong in the recipes.
    pub(crate) fn may_use(&self) -> Result<Reach, MergeError> {
        let (stages, folders) = (self.stages()?, self.folders());
        let mut reads: Vec<PathBuf> = Vec::new();
        for stage in stages.all() {
            let made = stage.models.iter().zip(&stage.adapters);
            let models = stage.recipe.models.iter().zip(made).flat_map(|(model, (made, adapter_made))| {
                let adapter = model.adapter.as_deref().filter(|_| adapter_made.is_none());
                [Some(model.path.as_str()).filter(|_| made.is_none()), adapter].into_iter().flatten()
            });
            let tokenizer = stage.recipe.foreign_tokenizer().filter(|_| stage.tokenizer.is_none());
            for written in models.chain(tokenizer.into_iter().flat_map(ModelRef::paths)) {
                for folder in &folders {
                    // A URL is no path below a folder. What a name on the hub stands for, the worker knows that has it.
                    let path = if url(Path::new(written)).is_some() { written.into() } else { folder.join(written) };
                    if !reads.contains(&path) {
                        reads.push(path);
                    }
                }
            }
        }
        reads.extend(self.reuse.clone());
        Ok(self.reach(reads, &stages))
    }

    /// The paths that this merge uses on this machine.
    ///
    /// # Errors
    /// What is wrong in the recipes, or a model that is not there.
    pub(crate) fn uses(&self) -> Result<Reach, MergeError> {
        let stages = self.stages()?;
        let mut reads = Vec::new();
        for stage in stages.all() {
            reads.extend(self.locate(&stages, stage)?.into_iter().flatten());
            reads.extend(self.locate_adapters(&stages, stage)?.into_iter().flatten());
            reads.extend(self.locate_tokenizer(stage)?);
        }
        reads.extend(self.reuse.clone());
        if url(&self.out).is_some() {
            return Ok(self.reach(reads, &stages));
        }
        let OutputFolder { out, staging } = OutputFolder::new(&self.out)?;
        let mut writes = vec![out, staging];
        writes.extend(self.stages_folder(&stages)?);
        Ok(Reach::Paths { reads, writes })
    }

    /// The result is made in a hidden folder beside it, and so are the results of stages.
    fn reach(&self, reads: Vec<PathBuf>, stages: &Stages) -> Reach {
        let mut writes = vec![self.out.clone()];
        writes.extend(hidden(&self.out, STAGING));
        writes.extend(hidden(&self.out, STAGES).filter(|_| !stages.before().is_empty()));
        Reach::Paths { reads, writes }
    }

    /// Requires that the result could go where it is to go, without looking.
    ///
    /// # Errors
    /// A path that is not absolute; a URL that this result does not go to.
    pub fn check_out(&self) -> Result<(), MergeError> {
        match url(&self.out) {
            Some(url) => check_url(url),
            None if self.out.is_absolute() => Ok(()),
            None => Err(MergeError::Task(format!("out is {:?}, not an absolute path", self.out))),
        }
    }

    /// Where the result goes and is made.
    ///
    /// # Errors
    /// A place that cannot become the result; a program without stores.
    pub(crate) fn output(&self, sources: &Sources) -> Result<Output, MergeError> {
        match url(&self.out) {
            Some(url) => OutputPrefix::new(url, sources).map(Output::Prefix),
            None => OutputFolder::new(&self.out).map(Output::Folder),
        }
    }

    /// The folder, or its URL, that holds what stages have made until the result is there; none where there are no stages.
    ///
    /// # Errors
    /// A place that cannot become a folder.
    pub(crate) fn stages_folder(&self, stages: &Stages) -> Result<Option<PathBuf>, MergeError> {
        if stages.before().is_empty() {
            return Ok(None);
        }
        match url(&self.out) {
            Some(_) => Ok(hidden(&self.out, STAGES)),
            // beside what a link stands for, as the staging folder is
            None => Ok(hidden(&OutputFolder::new(&self.out)?.out, STAGES)),
        }
    }
}
