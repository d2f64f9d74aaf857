//! Plans: what every tensor of the output is made of, from a recipe and the headers of its checkpoints.
//!
//! ```text
//! recipe ──┬─ outline (names: which tensor of which model) ─┬─ resolve (parameters) ─┐
//! headers ─┘                                                └─ types and shapes ─────┴─ MergePlan
//! ```
//!
//! Pure: the same recipe, headers and options give the same plan on every machine, so that each worker makes its own.
//! Everything that can be known to be wrong before a tensor is read is found here.

mod adapted;
mod canonical;
mod config;
mod error;
mod header;
mod modules;
mod moe;
mod names;
mod outline;
mod pieces;
mod resolve;
mod rows;
#[cfg(test)]
mod tests;
mod types;
mod vocabulary;

pub use canonical::Summary;
pub use error::{PlanError, PlanProblem};
pub use header::{ModelHeader, TensorHeader};
pub use pieces::PlannedPiece;
pub use rows::{Pick, RowMap, Run};
pub use vocabulary::Vocabulary;

use crate::{
    methods::{Buffer, Folder, Joint, Method, Passthrough, TensorParameters},
    moe::Gates,
    recipe::{ChatTemplate, Recipe, Span},
    survey::Case,
    tokenizer::TokenizerFile,
};
use braid_kernels::Dtype;
pub(crate) use config::float_named;
pub(crate) use names::{has_vocabulary, is_output};
use outline::{Draft, Outline};
use resolve::Context;
use serde_json::{Map, Value};
use std::{path::PathBuf, sync::Arc};
use vocabulary::Alignment;

/// What a merge depends on beside its recipe and its inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanOptions {
    /// Decides the random masks.
    pub seed: u64,
    /// The rows of gates that prompts give.
    pub(crate) gates: Option<Gates>,
    /// The tokenizer that the recipe chooses, where it is that of none of its models.
    pub tokenizer: Option<Arc<TokenizerFile>>,
}

/// The whole of a merge.
#[derive(Debug, Clone, PartialEq)]
pub struct MergePlan {
    /// The method of the recipe.
    pub method: &'static dyn Method,
    /// The folders of all models, numbered as in the recipe.
    pub models: Vec<PathBuf>,
    /// The model whose tokenizer and other files the output gets.
    pub donor: usize,
    /// The output's tensors: those before the layers, the layers in order, those after them.
    pub tensors: Vec<PlannedTensor>,
    /// Runs of them that are made together, in order; all others are made one by one.
    pub pieces: Vec<PlannedPiece>,
    /// What the method's questions about whole models depend on, where it asks any.
    pub survey: Option<Case>,
    /// What the output is.
    pub makes: Folder,
    /// The output's `config.json`.
    pub config: Map<String, Value>,
    /// The tokenizer of the output, where the recipe brings vocabularies together; without, the donor's.
    pub vocabulary: Option<Vocabulary>,
    /// The chat template of the output, if not the donor's.
    pub chat_template: Option<ChatTemplate>,
}

/// One tensor of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTensor {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dtype: Dtype,
    /// Its shape, which all sources share.
    pub shape: Vec<u64>,
    /// What it is made of, in the order in which the method sees it; at least one.
    pub sources: Vec<Source>,
    /// How it is made.
    pub method: &'static dyn Method,
    /// What decides it beside the sources.
    pub parameters: TensorParameters,
    elements: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which model of the plan.
    pub model: usize,
    /// The name of the tensor there.
    pub tensor: String,
    /// Its type.
    pub dtype: Dtype,
    /// Its shape, as a method sees it.
    pub shape: Vec<u64>,
    /// What its rows are, where they are not those of the tensor in their order.
    pub rows: Option<Arc<RowMap>>,
    /// The bytes that are read for all of it, where it is computed as it is read.
    pub computed: Option<u64>,
}

impl Source {
    /// The elements of a row: all that one number of the first axis has.
    pub fn row_elements(&self) -> u64 {
        header::elements(self.shape.get(1..).unwrap_or(&[])).unwrap_or(u64::MAX)
    }

    /// The bytes that are read of it in a pass.
    pub fn bytes(&self) -> u64 {
        match (&self.rows, self.computed) {
            (Some(rows), _) => rows.bytes(self.row_elements()),
            (None, Some(bytes)) => bytes,
            (None, None) => header::elements(&self.shape).unwrap_or(u64::MAX).saturating_mul(self.dtype.size() as u64),
        }
    }

    /// The bytes that are read of it before any pass, for rows that are the mean of all others.
    pub fn bytes_ahead(&self) -> u64 {
        if self.rows.as_ref().is_some_and(|rows| rows.padding().is_some()) { self.bytes() } else { 0 }
    }
}

impl MergePlan {
    /// Plans a merge. `models` has the folder and the header of each of [`Recipe::models`], in that order.
    ///
    /// # Errors
    /// A [`PlanError`] for the first thing that does not fit, with the line of the recipe that it goes back to.
    pub fn new(recipe: &Recipe, models: Vec<(PathBuf, ModelHeader)>, options: &PlanOptions) -> Result<Self, PlanError> {
        let (folders, headers): (Vec<PathBuf>, Vec<ModelHeader>) = models.into_iter().unzip();
        if headers.len() != recipe.models.len() {
            let problem = PlanProblem::Models { expected: recipe.models.len(), found: headers.len() };
            return Err(PlanError::new(recipe.place(Span::default()), problem));
        }
        if let Some(mixture) = &recipe.mixture {
            return moe::plan(recipe, mixture, folders, &headers, options);
        }
        let joint = recipe.method.joint();
        let adapters = joint.is_some_and(|joint| joint.takes() == Folder::Adapter);
        let outline = if adapters { Outline::default() } else { outline::outline(recipe, &headers)? };
        let alignment = vocabulary::align(recipe, &headers, options)?;
        if let Some(alignment) = &alignment
            && !outline.drafts.iter().any(|draft| names::follows_vocabulary(&draft.name))
        {
            return Err(alignment.is_of_no_use());
        }
        let one = |draft| planned(recipe, &headers, draft, options, alignment.as_ref());
        let tensors = outline.drafts.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let modules = if adapters { adapted::modules(recipe, &headers, options)? } else { Vec::new() };
        let (tensors, pieces) = match joint {
            Some(joint) => pieces::arrange(recipe, &headers, joint, tensors, modules)?,
            None => (tensors, Vec::new()),
        };
        let survey = survey(recipe, &tensors)?;
        let vocabulary = alignment.map(|alignment| alignment.vocabulary);
        Ok(Self {
            method: recipe.method,
            models: folders,
            donor: recipe.donor(),
            config: config::config(recipe, &headers, &outline.stacked, types::common(&tensors), vocabulary.as_ref()),
            tensors,
            pieces,
            survey,
            makes: joint.map_or(Folder::Checkpoint, Joint::makes),
            vocabulary,
            chat_template: recipe.chat_template.clone(),
        })
    }

    /// The piece that tensor `index` is part of, if it is made together with others.
    pub(crate) fn piece_of(&self, index: usize) -> Option<&PlannedPiece> {
        self.pieces.iter().find(|piece| piece.tensors.contains(&index))
    }
}

impl PlannedTensor {
    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Whether the method of the recipe makes it, and it is not copied.
    pub(crate) fn is_merged_by(&self, method: &dyn Method) -> bool {
        self.method.name() == method.name()
    }

    /// Whether it is copied as it is, because its elements are no weights.
    pub(crate) fn is_buffer(&self) -> bool {
        self.method.name() == Buffer.name()
    }

    /// Whether it can be made tile by tile, of the same tiles of its sources.
    pub(crate) fn is_elementwise(&self) -> bool {
        let alone = self.is_buffer() && self.sources.len() == 1;
        (alone || self.method.elementwise().is_some()) && self.parameters.scaling.is_none()
    }

    /// The tensor of this name that is source `input` as it is.
    pub(crate) fn copy_of(mut self, input: usize, name: String) -> Self {
        self.sources = self.sources.into_iter().skip(input).take(1).collect();
        self.bytes_in = self.sources.iter().map(Source::bytes).sum();
        let TensorParameters { seed, identities, .. } = self.parameters;
        let identities = identities.into_iter().skip(input).take(1).collect();
        self.parameters = TensorParameters { seed, identities, ..TensorParameters::default() };
        Self { name, method: &Passthrough, ..self }
    }

    /// The bytes of all sources.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// The bytes of sources that are read before a method sees them.
    pub fn bytes_ahead(&self) -> u64 {
        self.sources.iter().map(Source::bytes_ahead).fold(0, u64::saturating_add)
    }

    /// The bytes of the output.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}

/// What is to be asked about whole models: all tensors must be of the same ones.
fn survey(recipe: &Recipe, tensors: &[PlannedTensor]) -> Result<Option<Case>, PlanError> {
    let Some(survey) = recipe.method.survey() else { return Ok(None) };
    let error =
        |problem| PlanError::new(recipe.place(Span::default()), PlanProblem::Joint { method: recipe.method.name(), problem });
    let merged: Vec<&PlannedTensor> = tensors.iter().filter(|tensor| tensor.is_merged_by(recipe.method)).collect();
    let models = |tensor: &PlannedTensor| tensor.sources.iter().map(|source| source.model).collect::<Vec<_>>();
    if let Some((first, other)) = merged.first().and_then(|first| {
        let wanted = models(first);
        Some((first, merged.iter().find(|tensor| models(tensor) != wanted)?))
    }) {
        let problem = format!("it looks at whole models, but {:?} and {:?} are made of different ones", first.name, other.name);
        return Err(error(problem).hint_is("list the same models in the same order everywhere, or use `models`"));
    }
    if merged.iter().all(|tensor| tensor.elements() == 0) {
        return Ok(None);
    }
    survey.case(&merged).map(Some).map_err(error)
}

fn planned(
    recipe: &Recipe,
    headers: &[ModelHeader],
    draft: Draft,
    options: &PlanOptions,
    alignment: Option<&Alignment<'_>>,
) -> Result<PlannedTensor, PlanError> {
    // an outline refers only to modules, slices and tensors that it was made from
    let module = &recipe.modules[draft.module];
    let slice = &module.slices[draft.slice];
    let parameters = Context { recipe, module, slice, draft: &draft }.parameters(options.seed)?;
    types::planned(recipe, slice, headers, draft, parameters, alignment)
}
