//! From paths in a recipe to folders of checkpoints.

use super::{ModelRef, Problem, Recipe, RecipeError};
use std::path::{Path, PathBuf};

impl Recipe {
    /// The folder of every model of [`Recipe::models`]: the first of `folders` under which it `exists` (the working
    /// directory, then the recipe's own folder).
    ///
    /// # Errors
    /// A model that is under none of them.
    pub fn locate(&self, folders: &[&Path], exists: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, RecipeError> {
        self.models.iter().map(|model| find(self, model, &model.path, folders, &exists)).collect()
    }

    /// The folder of every model's adapter, found alike; none where it has none.
    ///
    /// # Errors
    /// An adapter that is under none of them.
    pub fn locate_adapters(
        &self,
        folders: &[&Path],
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Vec<Option<PathBuf>>, RecipeError> {
        let one = |model: &ModelRef| model.adapter.as_ref().map(|path| find(self, model, path, folders, &exists)).transpose();
        self.models.iter().map(one).collect()
    }
}

fn find(
    recipe: &Recipe,
    model: &ModelRef,
    written: &str,
    folders: &[&Path],
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, RecipeError> {
    let mut tried: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let path: PathBuf = folder.join(written).components().collect();
        if exists(&path) {
            return Ok(path);
        }
        if !tried.contains(&path) {
            tried.push(path);
        }
    }
    let error = RecipeError::new(recipe.place(model.at), Problem::ModelNotFound { model: written.to_owned(), tried });
    let hint = "paths start at the working directory or at the folder of the recipe";
    Err(match hub_name(written) {
        true => error.hint_is(format!(
            "{hint}; if this is a name on the Hugging Face hub, download the model first (Braid does not) and give its folder"
        )),
        false => error.hint_is(hint),
    })
}

/// `organisation/name`.
fn hub_name(path: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && !part.starts_with('.')
    };
    path.split_once('/').is_some_and(|(organisation, name)| part(organisation) && part(name))
}
