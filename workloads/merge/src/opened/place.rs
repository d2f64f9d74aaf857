//! Opening one model of a recipe: a checkpoint or an adapter, in a folder or a store, or made by a recipe of the same file.

use super::models::{Made, Model};
use crate::{
    MergeError,
    adapter::{Adapter, Parts, fold},
    checkpoint::{Checkpoint, Sources},
    methods::Folder,
    recipe::{ModelRef, Problem, Recipe, RecipeError},
};
use std::path::{Path, PathBuf};

/// A model of a recipe, and where it and its adapter lie where no recipe makes them.
pub(super) struct Place<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) model: &'a ModelRef,
    pub(super) root: Option<PathBuf>,
    pub(super) adapter: Option<PathBuf>,
    pub(super) sources: &'a Sources,
}

impl Place<'_> {
    /// A checkpoint, with the adapter on it.
    pub(super) fn checkpoint(self, made: Made) -> Result<Model, MergeError> {
        let method = self.recipe.method.name();
        let checkpoint = match &made.model {
            Some(stage) if stage.plan.makes == Folder::Adapter => {
                let problem =
                    format!("`{}`, which a recipe of this file makes, is an adapter, and {method} merges", self.model.path);
                return Err(self.wrong(format!("{problem} checkpoints"), "put it on its base: `model: base+name`"));
            }
            Some(stage) => stage.as_checkpoint(),
            None => Checkpoint::open_in(self.sources, self.root()?)?,
        };
        let adapter = match (&made.adapter, &self.adapter) {
            (Some(stage), _) => match stage.as_adapter()? {
                Some(adapter) => Some(adapter),
                None => {
                    let name = self.model.adapter.as_deref().unwrap_or_default();
                    let problem = format!("`{name}`, which a recipe of this file makes, is a checkpoint and no adapter");
                    return Err(self.wrong(problem, "make it with lora_extract, lora_merge or lora_lego"));
                }
            },
            (None, Some(adapter)) => Some(Adapter::open(self.sources, adapter)?),
            (None, None) => None,
        };
        let checkpoint = match adapter {
            Some(adapter) => fold(checkpoint, adapter)?,
            None => checkpoint,
        };
        Ok(Model { checkpoint, parts: Parts::default(), made })
    }

    /// An adapter, of which no base is asked.
    pub(super) fn adapter_alone(self, made: Made) -> Result<Model, MergeError> {
        let method = self.recipe.method.name();
        if self.model.adapter.is_some() {
            let problem = format!("{method} merges adapters without their base");
            let hint = Some("name the folder of the adapter alone".into());
            return Err(MergeError::Checkpoint { path: self.root.unwrap_or_else(|| (&self.model.path).into()), problem, hint });
        }
        let made_here = made.model.as_ref().map(|stage| stage.as_adapter()).transpose()?;
        let Adapter { checkpoint, parts, .. } = match made_here {
            Some(Some(adapter)) => adapter,
            Some(None) => {
                let problem =
                    format!("`{}`, which a recipe of this file makes, is a checkpoint, and {method} merges", self.model.path);
                return Err(self.wrong(format!("{problem} adapters"), "make it with lora_extract, lora_merge or lora_lego"));
            }
            None => Adapter::open(self.sources, self.root()?)?,
        };
        Ok(Model { checkpoint, parts, made })
    }

    fn root(&self) -> Result<&Path, MergeError> {
        self.root.as_deref().ok_or_else(|| MergeError::Task(format!("model {:?} has no place", self.model.path)))
    }

    fn wrong(&self, problem: String, hint: &str) -> MergeError {
        RecipeError::new(self.recipe.place(self.model.at), Problem::Value(problem)).hint_is(hint).into()
    }
}
