//! Why a recipe and its checkpoints do not fit together, with the line of the recipe that brings in the culprit.

use crate::recipe::Place;
use braid_kernels::Dtype;
use std::fmt;

/// A merge that cannot be planned.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanError {
    /// The place in the recipe.
    pub place: Place,
    /// What does not fit.
    pub problem: Box<PlanProblem>,
    pub(super) hint: Option<String>,
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanProblem {
    /// The headers handed in are not those of the recipe's models.
    #[error("the recipe names {expected} models, and the headers of {found} were read")]
    Models {
        /// Models in the recipe.
        expected: usize,
        /// Headers.
        found: usize,
    },
    /// A model has no tensors.
    #[error("model `{model}` has no tensors")]
    Empty {
        /// The model.
        model: String,
    },
    /// A tensor that the other models have.
    #[error("model `{model}` has no tensor {tensor:?}{}, which `{other}` has", more(*.others))]
    MissingTensor {
        /// The first such tensor.
        tensor: String,
        /// How many more there are.
        others: usize,
        /// The model that lacks it.
        model: String,
        /// A model that has it.
        other: String,
    },
    /// A tensor that the other models do not have.
    #[error("model `{model}` has a tensor {tensor:?}{}, which `{other}` has not", more(*.others))]
    ExtraTensor {
        /// The first such tensor.
        tensor: String,
        /// How many more there are.
        others: usize,
        /// The model that has it.
        model: String,
        /// A model that has not.
        other: String,
    },
    /// Layer counts that differ in a merge of whole models.
    #[error("model `{model}` has {layers} layers (`{stack}`), `{other}` has {expected}")]
    LayerCount {
        /// The list of layers.
        stack: String,
        /// The model that differs.
        model: String,
        /// Its layers.
        layers: u32,
        /// The model it is compared with.
        other: String,
        /// Its layers.
        expected: u32,
    },
    /// A range of layers beyond the last.
    #[error("layer_range ends at {end}, but model `{model}` has {layers} layers (`{stack}`)")]
    LayerRange {
        /// The end in the recipe.
        end: u32,
        /// The list of layers.
        stack: String,
        /// The model.
        model: String,
        /// Its layers.
        layers: u32,
    },
    /// Slices of a model without one list of layers.
    #[error("`slices` need one list of layers, but {what} of model `{model}` has {found}")]
    Stacks {
        /// The module, or the whole.
        what: String,
        /// The model.
        model: String,
        /// The lists found, or that there are none.
        found: String,
    },
    /// A module that no tensor belongs to.
    #[error("no tensor of model `{model}` belongs to module `{module}`")]
    EmptyModule {
        /// The module.
        module: String,
        /// The model.
        model: String,
    },
    /// A tensor that no module of the recipe holds.
    #[error("tensor {tensor:?} of model `{model}` belongs to none of the recipe's modules ({modules})")]
    NoModule {
        /// The tensor.
        tensor: String,
        /// The model.
        model: String,
        /// The modules listed.
        modules: String,
    },
    /// Shapes that differ.
    #[error("tensor {tensor:?} has unequal shapes: {}", .shapes.join(", "))]
    Shape {
        /// The output tensor.
        tensor: String,
        /// Each model with its shape.
        shapes: Vec<String>,
    },
    /// Types that cannot be brought together.
    #[error("tensor {tensor:?} has types that cannot be merged: {}", .dtypes.join(", "))]
    Dtype {
        /// The output tensor.
        tensor: String,
        /// Each model with its type.
        dtypes: Vec<String>,
    },
    /// A required parameter for which no rule covers a tensor.
    #[error("{method} needs `{parameter}`{}, but no rule of the recipe covers tensor {tensor:?}", of_model(.model))]
    Uncovered {
        /// The method.
        method: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The model that lacks it; none for a parameter of the tensor as a whole.
        model: Option<String>,
        /// The tensor.
        tensor: String,
    },
    /// A value that the method cannot work with.
    #[error("`{parameter}`{} for tensor {tensor:?}: {problem}", of_model(.model))]
    Value {
        /// The parameter.
        parameter: &'static str,
        /// The model that has it; none where it belongs to all of them.
        model: Option<String>,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// Inputs that a method which makes tensors together cannot use.
    #[error("{method}: {problem}")]
    Joint {
        /// The method.
        method: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Vocabularies that cannot be brought together.
    #[error("{0}")]
    Vocabulary(String),
    /// More than any file could hold.
    #[error("tensor {tensor:?} of {dtype} and shape {shape:?} is too large")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// More tensors than a checkpoint should have.
    #[error("the output would have more than {limit} tensors")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl PlanError {
    pub(super) fn new(place: Place, problem: PlanProblem) -> Self {
        Self { place, problem: Box::new(problem), hint: None }
    }

    pub(super) fn hint_is(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for PlanError {}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more)") }
}

fn of_model(model: &Option<String>) -> String {
    model.as_ref().map_or_else(String::new, |model| format!(" for model `{model}`"))
}
