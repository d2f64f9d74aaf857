//! Several recipes in one file, of which later ones merge what earlier ones make: mergekit-multi's files.
//!
//! ```text
//! name: a ──┐
//!           ├─▶ name: c ──┐
//! name: b ──┘             ├─▶ (no name): the result
//!        └────────────────┘
//! ```
//!
//! A recipe that has a `name` is a stage. Where another recipe writes that name for a model, what the stage makes is meant, and not a
//! folder. One recipe gives the result: that without a name, or else the one that no other uses. Pure: whether a stage is
//! ever written to a disk is not decided here.

use super::{
    ModelRef, Place, Problem, Recipe, RecipeError, Span, TokenizerSource, documents::documents, nearest::nearest, node::MAX_BYTES,
};
use std::sync::Arc;

/// All recipes of a file, each after those that it uses; the last gives the result.
#[derive(Debug, Clone)]
pub struct Stages(Vec<Stage>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name; the recipe that gives the result may do without.
    pub name: Option<String>,
    /// The recipe.
    pub recipe: Recipe,
    /// Its text: of the one that gives the result, all of the file.
    pub text: String,
    /// For each of [`Recipe::models`], the stage that makes it, if one does.
    pub models: Vec<Option<usize>>,
    /// For each of them, the stage that makes the adapter on it, if one does.
    pub adapters: Vec<Option<usize>>,
    /// The stage whose tokenizer is chosen, where that is none of the models.
    pub tokenizer: Option<usize>,
}

impl Stages {
    /// Reads the recipes of a file; `file` is the name that errors give it.
    ///
    /// # Errors
    /// What is wrong in one of them, or in how they use each other, with its position.
    pub fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        if text.len() > MAX_BYTES {
            let problem = Problem::TooLarge { bytes: text.len(), limit: MAX_BYTES };
            return Err(RecipeError::new(Place { file: file.into(), at: Span::default() }, problem));
        }
        let documents = documents(text);
        let mut recipes = Vec::with_capacity(documents.len().max(1));
        for document in &documents {
            recipes.push(Parsed { recipe: Recipe::parse(&document.padded, file)?, line: document.line });
        }
        if recipes.is_empty() {
            // it says what is missing
            recipes.push(Parsed { recipe: Recipe::parse(text, file)?, line: 0 });
        }
        let file = Arc::from(file);
        let error = |at, problem| RecipeError::new(Place { file: Arc::clone(&file), at }, problem);
        check_names(&recipes, error)?;
        let uses: Vec<Uses> = recipes.iter().map(|parsed| Uses::of(&parsed.recipe, &recipes)).collect();
        let last = result(&recipes, &uses, error)?;
        let order = order(&recipes, &uses, last, error)?;

        let place = |old: usize| order.iter().position(|index| *index == old);
        let mut slots: Vec<Option<(Parsed, Uses)>> = recipes.into_iter().zip(uses).map(Some).collect();
        let stage = |old: &usize| {
            let (Parsed { recipe, .. }, Uses { models, adapters, tokenizer }) = slots.get_mut(*old)?.take()?;
            let places = |used: Vec<Option<usize>>| used.into_iter().map(|stage| stage.and_then(place)).collect();
            let text = match (*old == last, documents.get(*old)) {
                (false, Some(document)) => document.text().to_owned(),
                _ => text.to_owned(),
            };
            Some(Stage {
                name: recipe.name.as_ref().map(|name| name.value.clone()),
                models: places(models),
                adapters: places(adapters),
                tokenizer: tokenizer.and_then(place),
                recipe,
                text,
            })
        };
        Ok(Self(order.iter().filter_map(stage).collect()))
    }

    /// The recipe that gives the result.
    pub fn result(&self) -> &Stage {
        // `parse` leaves none without
        &self.0[self.0.len() - 1]
    }

    /// Those that it uses, each after those that it uses itself.
    pub fn before(&self) -> &[Stage] {
        &self.0[..self.0.len() - 1]
    }

    /// All of them; [`Stage::models`] counts in this list.
    pub fn all(&self) -> &[Stage] {
        &self.0
    }

    /// Everywhere that a stage is used: the recipe, and the model as it is named there.
    pub(crate) fn users(&self, stage: usize) -> impl Iterator<Item = (&Recipe, &ModelRef)> {
        self.0.iter().flat_map(move |user| {
            let models = user.recipe.models.iter().zip(&user.models);
            models.filter(move |(_, made)| **made == Some(stage)).map(move |(model, _)| (&user.recipe, model))
        })
    }

    /// The same error, and the stage that a model which is not there was perhaps meant to be.
    pub(crate) fn suggest(&self, error: RecipeError) -> RecipeError {
        let Problem::ModelNotFound { model, .. } = &*error.problem else { return error };
        match nearest(model, self.before().iter().filter_map(|stage| stage.name.as_deref())) {
            Some(meant) => error.hint_is(format!("did you mean `{meant}`, a recipe of this file?")),
            None => error,
        }
    }
}

/// A recipe and the line of the first thing that it says.
struct Parsed {
    recipe: Recipe,
    line: u32,
}

/// What a recipe uses, by the numbers of the recipes in the file.
struct Uses {
    models: Vec<Option<usize>>,
    adapters: Vec<Option<usize>>,
    tokenizer: Option<usize>,
}

impl Uses {
    fn of(recipe: &Recipe, all: &[Parsed]) -> Self {
        let named = |path: &str| all.iter().position(|other| other.name() == Some(path));
        let stage = |model: &ModelRef| named(&model.path);
        let tokenizer = recipe.tokenizer.as_ref().and_then(|tokenizer| match &tokenizer.source {
            TokenizerSource::Model(model) => stage(model),
            TokenizerSource::Union | TokenizerSource::Base => None,
        });
        let adapters = recipe.models.iter().map(|model| model.adapter.as_deref().and_then(named)).collect();
        Self { models: recipe.models.iter().map(stage).collect(), adapters, tokenizer }
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.models.iter().chain(&self.adapters).copied().chain([self.tokenizer]).flatten()
    }
}

impl Parsed {
    fn name(&self) -> Option<&str> {
        self.recipe.name.as_ref().map(|name| name.value.as_str())
    }

    /// Where it begins, or its name stands.
    fn at(&self) -> Span {
        self.recipe.name.as_ref().map_or(Span { line: self.line, column: 1 }, |name| name.at)
    }

    fn called(&self) -> String {
        self.recipe.called()
    }
}

fn check_names(recipes: &[Parsed], error: impl Fn(Span, Problem) -> RecipeError) -> Result<(), RecipeError> {
    for (index, parsed) in recipes.iter().enumerate() {
        let earlier = &recipes[..index];
        if parsed.name().is_some() && earlier.iter().any(|other| other.name() == parsed.name()) {
            let problem = Problem::Value(format!("two recipes have the name {}", parsed.called()));
            return Err(error(parsed.at(), problem).hint_is("each recipe of a file needs a name of its own"));
        }
        if let Some(other) = earlier.iter().find(|other| parsed.name().is_none() && other.name().is_none()) {
            let problem = Problem::Value(format!("two recipes have no name: this one and that in line {}", other.line));
            return Err(error(parsed.at(), problem).hint_is(
                "one recipe gives the result; give all others a `name`, and use it for a model where their result is to be merged",
            ));
        }
    }
    Ok(())
}

/// Which recipe gives the result. All others must be of use to it.
fn result(recipes: &[Parsed], uses: &[Uses], error: impl Fn(Span, Problem) -> RecipeError) -> Result<usize, RecipeError> {
    let used = |index: usize| uses.iter().enumerate().any(|(by, uses)| by != index && uses.all().any(|used| used == index));
    let unnamed = recipes.iter().position(|parsed| parsed.name().is_none());
    let unused: Vec<usize> = (0..recipes.len()).filter(|index| !used(*index)).collect();
    let result = match (unnamed, unused.as_slice()) {
        (Some(unnamed), _) => unnamed,
        (None, [only]) => *only,
        (None, [first, second, ..]) => {
            let (first, second) = (&recipes[*first], &recipes[*second]);
            let problem = Problem::Value(format!(
                "{} and {} are used by no other recipe, and only one can give the result",
                first.called(),
                second.called()
            ));
            return Err(error(second.at(), problem).hint_is("merge them one after the other, from files of their own"));
        }
        // each is used by another: a circle, which `order` finds
        (None, []) => 0,
    };
    match unused.into_iter().find(|index| *index != result) {
        Some(idle) => {
            let problem = Problem::Value(format!("no recipe uses {}", recipes[idle].called()));
            Err(error(recipes[idle].at(), problem).hint_is("write its name for a model of another recipe, or remove it"))
        }
        None => Ok(result),
    }
}

/// All recipes, each after those that it uses, otherwise as in the file; `last` is the last.
fn order(
    recipes: &[Parsed],
    uses: &[Uses],
    last: usize,
    error: impl Fn(Span, Problem) -> RecipeError,
) -> Result<Vec<usize>, RecipeError> {
    let mut order: Vec<usize> = Vec::with_capacity(recipes.len());
    let mut done = vec![false; recipes.len()];
    while order.len() < recipes.len() {
        // the result comes last, whatever it uses: all others are of use to it, or in a circle
        let may_come = |index: &usize| !done[*index] && (*index != last || order.len() + 1 == recipes.len());
        match (0..recipes.len()).filter(may_come).find(|index| uses[*index].all().all(|used| done[used])) {
            Some(next) => {
                done[next] = true;
                order.push(next);
            }
            None => {
                let left: Vec<usize> = (0..recipes.len()).filter(|index| !done[*index]).collect();
                return Err(circle(recipes, uses, &left, error));
            }
        }
    }
    Ok(order)
}

/// Names the recipes of a circle, which is among `left`: each of them uses one of them.
fn circle(recipes: &[Parsed], uses: &[Uses], left: &[usize], error: impl Fn(Span, Problem) -> RecipeError) -> RecipeError {
    let next = |index: usize| uses[index].all().find(|used| left.contains(used));
    let mut path: Vec<usize> = left.first().copied().into_iter().collect();
    while let Some(used) = path.last().and_then(|index| next(*index)) {
        if let Some(start) = path.iter().position(|index| *index == used) {
            path.drain(..start);
            break;
        }
        path.push(used);
    }
    let (Some(first), Some(start)) = (path.first().copied(), path.first().map(|index| &recipes[*index])) else {
        return error(Span::default(), Problem::Value("the recipes use each other in a circle".into()));
    };
    let mut text = start.called();
    for index in path.iter().skip(1).chain([&first]) {
        text += &format!(" needs {}", recipes[*index].called());
        if *index != first {
            text += ", which";
        }
    }
    let in_circle = |name: &str| path.iter().any(|index| recipes[*index].name() == Some(name));
    let at = start.recipe.models.iter().find(|model| model.paths().any(in_circle));
    error(at.map_or_else(|| start.at(), |model| model.at), Problem::Value(text))
        .hint_is("a folder of that name is written `./name`")
}

#[cfg(test)]
mod tests;
