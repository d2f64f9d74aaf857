//! What can be wrong with a recipe, said so that a person can mend it: where, what was expected, what is there.

use super::place::Place;
use std::{fmt, path::PathBuf};

/// A recipe that cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeError {
    /// Where in which file.
    pub place: Place,
    /// What is wrong.
    pub problem: Box<Problem>,
    hint: Option<String>,
}

/// What is wrong with a recipe.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// More text than any recipe has.
    #[error("{bytes} bytes are too many for a recipe (at most {limit})")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not YAML.
    #[error("{0}")]
    Yaml(String),
    /// A value of another type.
    #[error("{what}: expected {expected}, found {found}")]
    Type {
        /// The key or thing.
        what: String,
        /// The type or values allowed.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A key that means nothing here.
    #[error("unknown key `{key}` in {within}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        within: String,
    },
    /// A key that must be there.
    #[error("{within} has no `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
        /// Where it should stand.
        within: String,
    },
    /// A parameter that the method does not have.
    #[error("`{name}` is no parameter of {method}")]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// The method.
        method: &'static str,
    },
    /// A parameter that belongs elsewhere.
    #[error("`{name}` is set for one model, but {method} has one value of it for all models")]
    SharedParameter {
        /// The parameter.
        name: &'static str,
        /// The method.
        method: &'static str,
    },
    /// A required parameter that nothing sets.
    #[error("{method} needs `{name}`{}, and the recipe sets none", for_model(.model))]
    MissingParameter {
        /// The method.
        method: &'static str,
        /// The parameter.
        name: &'static str,
        /// The model that lacks it; none for a parameter of the whole merge.
        model: Option<String>,
    },
    /// A method that nobody knows.
    #[error("unknown method `{name}`")]
    UnknownMethod {
        /// What was written.
        name: String,
    },
    /// Something of mergekit's that Braid does not do yet.
    #[error("{0} is not supported yet")]
    NotYet(String),
    /// The number of inputs, or the base, does not fit the method.
    #[error("{0}")]
    Inputs(String),
    /// Values that contradict each other or mean nothing.
    #[error("{0}")]
    Value(String),
    /// A checkpoint that is not there.
    #[error("model `{model}` is not there (looked for {})", paths(.tried))]
    ModelNotFound {
        /// As written.
        model: String,
        /// The folders tried.
        tried: Vec<PathBuf>,
    },
}

impl RecipeError {
    pub(crate) fn new(place: Place, problem: Problem) -> Self {
        Self { place, problem: Box::new(problem), hint: None }
    }

    pub(crate) fn hint_is(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for RecipeError {}

fn for_model(model: &Option<String>) -> String {
    model.as_ref().map_or_else(String::new, |model| format!(" for model `{model}`"))
}

fn paths(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}
