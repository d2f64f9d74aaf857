//! From paths, URLs and names in a recipe to where the checkpoints lie.

use super::{ModelRef, Problem, Recipe, RecipeError, TokenizerSource};
use crate::{
    checkpoint::url,
    hub::{Hub, HubName, SCHEME},
};
use std::path::{Path, PathBuf};

/// Where to look.
pub(crate) struct Within<'a, F> {
    /// Where relative paths start: the working directory, then the recipe's own folder.
    pub folders: &'a [&'a Path],
    /// What was downloaded from the hub.
    pub hub: &'a Hub,
    /// Whether there is something at a path.
    pub exists: F,
}

impl Recipe {
    /// The place of every model of [`Recipe::models`]: its URL, or the first folder under which it exists, or what was downloaded
    /// under its name. Those that a stage makes (`made`, as in [`Stage::models`](super::Stage::models)) have none.
    ///
    /// # Errors
    /// A model that is nowhere.
    pub(crate) fn locate(
        &self,
        made: &[Option<usize>],
        within: &Within<'_, impl Fn(&Path) -> bool>,
    ) -> Result<Vec<Option<PathBuf>>, RecipeError> {
        let one = |(index, model): (usize, &ModelRef)| match made.get(index).copied().flatten() {
            Some(_) => Ok(None),
            None => find(self, model, &model.path, within).map(Some),
        };
        self.models.iter().enumerate().map(one).collect()
    }

    /// The place of every model's adapter, found alike; none where it has none, or where a stage makes it (`made`, as in
    /// [`Stage::adapters`](super::Stage::adapters)).
    ///
    /// # Errors
    /// An adapter that is nowhere.
    pub(crate) fn locate_adapters(
        &self,
        made: &[Option<usize>],
        within: &Within<'_, impl Fn(&Path) -> bool>,
    ) -> Result<Vec<Option<PathBuf>>, RecipeError> {
        let one = |(index, model): (usize, &ModelRef)| match made.get(index).copied().flatten() {
            Some(_) => Ok(None),
            None => model.adapter.as_ref().map(|path| find(self, model, path, within)).transpose(),
        };
        self.models.iter().enumerate().map(one).collect()
    }

    /// The place of [`Recipe::foreign_tokenizer`], found alike; none where there is none.
    ///
    /// # Errors
    /// A tokenizer that is nowhere.
    pub(crate) fn locate_tokenizer(&self, within: &Within<'_, impl Fn(&Path) -> bool>) -> Result<Option<PathBuf>, RecipeError> {
        self.foreign_tokenizer().map(|model| find(self, model, &model.path, within)).transpose()
    }

    /// The checkpoint whose tokenizer the output gets, where it is none of [`Recipe::models`].
    pub fn foreign_tokenizer(&self) -> Option<&ModelRef> {
        match &self.tokenizer.as_ref()?.source {
            TokenizerSource::Model(model) => Some(model).filter(|model| !self.models.iter().any(|other| other.same(model))),
            TokenizerSource::Union | TokenizerSource::Base => None,
        }
    }
}

fn find(
    recipe: &Recipe,
    model: &ModelRef,
    written: &str,
    within: &Within<'_, impl Fn(&Path) -> bool>,
) -> Result<PathBuf, RecipeError> {
    if written.starts_with(SCHEME) {
        return on_the_hub(recipe, model, written, within.hub);
    }
    if url(Path::new(written)).is_some() {
        return Ok(PathBuf::from(written.trim_end_matches('/')));
    }
    let mut tried: Vec<PathBuf> = Vec::new();
    for folder in within.folders {
        let path: PathBuf = folder.join(written).components().collect();
        if (within.exists)(&path) {
            return Ok(path);
        }
        if !tried.contains(&path) {
            tried.push(path);
        }
    }
    let name = HubName::parse(written);
    if let Some(folder) = name.as_ref().and_then(|name| within.hub.snapshot(name)) {
        return Ok(folder);
    }
    let hint = "paths start at the working directory or at the folder of the recipe";
    let Some(name) = name else { return Err(nowhere(recipe, model, written, tried).hint_is(hint)) };
    tried.extend(cache_of(within.hub, &name));
    let other = "if this is a name on the Hugging Face hub, download the model first, or write";
    Err(nowhere(recipe, model, written, tried).hint_is(format!("{hint}; {other} `{SCHEME}{written}` to read it there")))
}

/// A model that the recipe says to be on the hub: as it was downloaded, or its URL.
fn on_the_hub(recipe: &Recipe, model: &ModelRef, written: &str, hub: &Hub) -> Result<PathBuf, RecipeError> {
    let Some(name) = HubName::of_url(written) else {
        let problem = Problem::Value(format!("`{written}` is no `{SCHEME}organisation/name@revision`"));
        return Err(RecipeError::new(recipe.place(model.at), problem));
    };
    let networked = cfg!(feature = "cloud") && !hub.offline;
    // A branch may have moved since it was downloaded; a commit has not.
    if (!networked || name.is_commit())
        && let Some(folder) = hub.snapshot(&name)
    {
        return Ok(folder);
    }
    if networked {
        // A slash would end the revision.
        return Ok(PathBuf::from(format!("{SCHEME}{}@{}", name.repository, name.revision.replace('/', "%2F"))));
    }
    let why = match hub.offline {
        true => "HF_HUB_OFFLINE is set, so only what was downloaded is looked at",
        false => {
            "this program was built without the feature cloud, so only what was downloaded is looked at; build it with `--features cloud`"
        }
    };
    Err(nowhere(recipe, model, written, cache_of(hub, &name).into_iter().collect()).hint_is(why))
}

fn cache_of(hub: &Hub, name: &HubName) -> Option<PathBuf> {
    Some(hub.cache.as_ref()?.join(format!("models--{}", name.repository.replace('/', "--"))))
}

fn nowhere(recipe: &Recipe, model: &ModelRef, written: &str, tried: Vec<PathBuf>) -> RecipeError {
    RecipeError::new(recipe.place(model.at), Problem::ModelNotFound { model: written.to_owned(), tried })
}
