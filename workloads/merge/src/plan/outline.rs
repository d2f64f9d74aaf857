//! Which tensors the output has, and which tensor of which model each is made of. Names only: no values, no types.
//!
//! A merge of whole models needs the same names in all of them. A merge of slices renumbers layers; what is used before the
//! first layer comes from the inputs of the first slice, what is used after the last layer from those of the last slice.

use super::{
    error::{PlanError, PlanProblem},
    header::ModelHeader,
    modules,
    names::{self, Anatomy},
};
use crate::recipe::{Input, Module, Recipe, Slice, Span};
use std::collections::BTreeSet;

/// A checkpoint with more tensors than this is a mistake or an attack.
const MAX_TENSORS: usize = 1 << 20;

/// An output tensor and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) name: String,
    /// One tensor for each input of the slice, in its order.
    pub(super) sources: Vec<String>,
    /// Its place among the layers, for gradients: 0 for the first layer and outside of layers, 1 for the last.
    pub(super) t: f64,
    pub(super) module: usize,
    pub(super) slice: usize,
}

/// The layers that slices put into one stack of the output.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stacked {
    pub(super) module: usize,
    /// How many layers the stack has in the first input of the first slice.
    pub(super) layers_before: u32,
    /// For each layer of the output, the model and layer that its first input is.
    pub(super) layers: Vec<(usize, u32)>,
}

/// The names of the output.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) drafts: Vec<Draft>,
    pub(super) stacked: Vec<Stacked>,
}

pub(super) fn outline(recipe: &Recipe, headers: &[ModelHeader]) -> Result<Outline, PlanError> {
    let frequencies = headers.iter().all(|header| header.tensors.keys().any(|name| names::is_frequencies(name)));
    let mut outline = Outline::default();
    for (index, module) in recipe.modules.iter().enumerate() {
        let builder = Builder { recipe, headers, frequencies, module, index };
        match module.slices.as_slice() {
            [slice] if slice.inputs.iter().all(|input| input.layers.is_none()) => builder.whole(slice, &mut outline)?,
            slices => builder.stack(slices, &mut outline)?,
        }
    }
    Ok(outline)
}

struct Builder<'a> {
    recipe: &'a Recipe,
    headers: &'a [ModelHeader],
    /// Whether frequencies are in every model; where one has dropped them, the output does without.
    frequencies: bool,
    module: &'a Module,
    index: usize,
}

impl<'a> Builder<'a> {
    fn whole(&self, slice: &Slice, outline: &mut Outline) -> Result<(), PlanError> {
        let first = slice.inputs.iter().find(|input| Some(input.model) == self.recipe.base).or_else(|| slice.inputs.first());
        let Some(first) = first else { return Ok(()) };
        let names = self.names(first)?;
        let anatomy = Anatomy::of(names.iter().copied());
        for input in &slice.inputs {
            let others = self.names(input)?;
            self.same_layers(first, &anatomy, input, &Anatomy::of(others.iter().copied()))?;
            self.same_names(first, &names, input, &others)?;
        }
        let mut draft = |name: String, t| {
            let sources = vec![name.clone(); slice.inputs.len()];
            self.push(outline, Draft { name, sources, t, module: self.index, slice: 0 }, slice.at)
        };
        for name in &anatomy.head {
            draft((*name).to_owned(), 0.0)?;
        }
        for (stack, layers) in &anatomy.stacks {
            for (layer, rests) in layers {
                for rest in rests {
                    draft(names::join(stack, *layer, rest), place(*layer, anatomy.layers(stack)))?;
                }
            }
        }
        for name in &anatomy.tail {
            draft((*name).to_owned(), 0.0)?;
        }
        Ok(())
    }

    fn stack(&self, slices: &[Slice], outline: &mut Outline) -> Result<(), PlanError> {
        let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return Ok(()) };
        let Some(reference) = first.inputs.first() else { return Ok(()) };
        let names = self.names(reference)?;
        let stack = self.only_stack(reference, &Anatomy::of(names.iter().copied()))?;
        let mut stacked =
            Stacked { module: self.index, layers_before: self.anatomy(reference)?.layers(&stack), layers: Vec::new() };

        self.outside(first, 0, |anatomy| &anatomy.head, outline)?;
        for (index, slice) in slices.iter().enumerate() {
            self.layers(slice, index, &stack, &mut stacked, outline)?;
        }
        self.outside(last, slices.len() - 1, |anatomy| &anatomy.tail, outline)?;
        outline.stacked.push(stacked);
        Ok(())
    }

    /// The layers of one slice, numbered on from those before it.
    fn layers(
        &self,
        slice: &Slice,
        index: usize,
        stack: &str,
        stacked: &mut Stacked,
        outline: &mut Outline,
    ) -> Result<(), PlanError> {
        let mut inputs = Vec::with_capacity(slice.inputs.len());
        for input in &slice.inputs {
            let range = input.layers.clone().unwrap_or(0..0);
            let anatomy = self.anatomy(input)?;
            let layers = anatomy.layers(stack);
            if range.end > layers {
                let problem = PlanProblem::LayerRange { end: range.end, stack: stack.into(), model: self.path(input), layers };
                return Err(self.error(input.at, problem));
            }
            inputs.push((input, range.start, anatomy));
        }
        let Some((reference, start, anatomy)) = inputs.first() else { return Ok(()) };
        let count = reference.layers.as_ref().map_or(0, |range| range.end - range.start);
        for offset in 0..count {
            let rests = |anatomy: &Anatomy<'a>, start: u32| -> Vec<&'a str> {
                anatomy.stacks.get(stack).and_then(|layers| layers.get(&(start + offset))).cloned().unwrap_or_default()
            };
            let named = |start: u32, rest: &str| names::join(stack, start + offset, rest);
            let wanted = rests(anatomy, *start);
            for (input, other_start, other) in &inputs {
                // compare as if both had the layer numbers of the reference, report with their own
                let found: BTreeSet<&str> = rests(other, *other_start).into_iter().collect();
                let missing: Vec<String> =
                    wanted.iter().filter(|rest| !found.contains(*rest)).map(|rest| named(*other_start, rest)).collect();
                self.no_missing(input, reference, &missing)?;
                let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
                let extra: Vec<String> =
                    found.iter().filter(|rest| !wanted.contains(*rest)).map(|rest| named(*other_start, rest)).collect();
                self.no_extra(input, reference, &extra)?;
            }
            let layer = u32::try_from(stacked.layers.len()).unwrap_or(u32::MAX);
            stacked.layers.push((reference.model, start + offset));
            for rest in wanted {
                let draft = Draft {
                    name: names::join(stack, layer, rest),
                    sources: inputs.iter().map(|(_, start, _)| named(*start, rest)).collect(),
                    t: place(offset, count),
                    module: self.index,
                    slice: index,
                };
                self.push(outline, draft, slice.at)?;
            }
        }
        Ok(())
    }

    /// What is used before or after the layers.
    fn outside(
        &self,
        slice: &Slice,
        index: usize,
        part: impl for<'b> Fn(&'b Anatomy<'a>) -> &'b Vec<&'a str>,
        outline: &mut Outline,
    ) -> Result<(), PlanError> {
        let Some(reference) = slice.inputs.first() else { return Ok(()) };
        let anatomy = self.anatomy(reference)?;
        let names = part(&anatomy);
        for input in &slice.inputs {
            self.same_names(reference, names, input, part(&self.anatomy(input)?))?;
        }
        for name in names {
            let sources = vec![(*name).to_owned(); slice.inputs.len()];
            let draft = Draft { name: (*name).to_owned(), sources, t: 0.0, module: self.index, slice: index };
            self.push(outline, draft, slice.at)?;
        }
        Ok(())
    }

    fn push(&self, outline: &mut Outline, draft: Draft, at: Span) -> Result<(), PlanError> {
        if outline.drafts.len() == MAX_TENSORS {
            return Err(self.error(at, PlanProblem::TooMany { limit: MAX_TENSORS }));
        }
        outline.drafts.push(draft);
        Ok(())
    }

    fn anatomy(&self, input: &Input) -> Result<Anatomy<'a>, PlanError> {
        Ok(Anatomy::of(self.names(input)?))
    }

    /// The tensors of a model that are part of this module, in alphabetical order.
    fn names(&self, input: &Input) -> Result<Vec<&'a str>, PlanError> {
        let all = self.headers.get(input.model).into_iter().flat_map(|header| header.tensors.keys().map(String::as_str));
        let all = all.filter(|name| self.frequencies || !names::is_frequencies(name));
        let Some(name) = &self.module.name else {
            let names: Vec<&str> = all.collect();
            return match names.is_empty() {
                true => Err(self.error(input.at, PlanProblem::Empty { model: self.path(input) })),
                false => Ok(names),
            };
        };
        let listed: Vec<&str> =
            self.recipe.modules.iter().filter_map(|module| Some(module.name.as_ref()?.value.as_str())).collect();
        let mut names = Vec::new();
        for tensor in all {
            match modules::owner(&listed, tensor) {
                Some(owner) if owner == self.index => names.push(tensor),
                Some(_) => {}
                None => {
                    let (model, modules) = (self.path(input), listed.join(", "));
                    return Err(self
                        .error(name.at, PlanProblem::NoModule { tensor: tensor.into(), model, modules })
                        .hint_is("list every module of the model, or use `models`, which needs no modules"));
                }
            }
        }
        if names.is_empty() {
            let problem = PlanProblem::EmptyModule { module: name.value.clone(), model: self.path(input) };
            let known: Vec<&str> = modules::known().collect();
            return Err(self
                .error(name.at, problem)
                .hint_is(format!("a module is one of {}, or the first part of tensors' names", known.join(", "))));
        }
        Ok(names)
    }

    fn only_stack(&self, input: &Input, anatomy: &Anatomy<'_>) -> Result<String, PlanError> {
        let mut stacks = anatomy.stacks.keys();
        if let (Some(stack), None) = (stacks.next(), stacks.next()) {
            return Ok((*stack).to_owned());
        }
        let found = match anatomy.stacks.is_empty() {
            true => "none".to_owned(),
            false => anatomy.stacks.keys().copied().collect::<Vec<_>>().join(", "),
        };
        let what = self.module.name.as_ref().map_or_else(|| "the whole".into(), |name| format!("module `{}`", name.value));
        let error = self.error(input.at, PlanProblem::Stacks { what, model: self.path(input), found });
        Err(if anatomy.stacks.is_empty() { error } else { error.hint_is("give each part of the model under `modules`") })
    }

    fn same_layers(&self, first: &Input, wanted: &Anatomy<'_>, input: &Input, found: &Anatomy<'_>) -> Result<(), PlanError> {
        for stack in wanted.stacks.keys() {
            let (expected, layers) = (wanted.layers(stack), found.layers(stack));
            if layers > 0 && layers != expected {
                let (model, other) = (self.path(input), self.path(first));
                let problem = PlanProblem::LayerCount { stack: (*stack).into(), model, layers, other, expected };
                return Err(self.error(input.at, problem).hint_is("to merge some layers of each, use `slices`"));
            }
        }
        Ok(())
    }

    fn same_names(&self, first: &Input, wanted: &[&str], input: &Input, found: &[&str]) -> Result<(), PlanError> {
        let (wanted, found): (BTreeSet<&str>, BTreeSet<&str>) =
            (wanted.iter().copied().collect(), found.iter().copied().collect());
        let missing: Vec<String> = wanted.difference(&found).map(|name| (*name).to_owned()).collect();
        self.no_missing(input, first, &missing)?;
        let extra: Vec<String> = found.difference(&wanted).map(|name| (*name).to_owned()).collect();
        self.no_extra(input, first, &extra)
    }

    fn no_missing(&self, input: &Input, first: &Input, tensors: &[String]) -> Result<(), PlanError> {
        let Some((tensor, others)) = tensors.split_first() else { return Ok(()) };
        let (model, other) = (self.path(input), self.path(first));
        let problem = PlanProblem::MissingTensor { tensor: tensor.clone(), others: others.len(), model, other };
        Err(self.with_tying(self.error(input.at, problem), input, tensor))
    }

    fn no_extra(&self, input: &Input, first: &Input, tensors: &[String]) -> Result<(), PlanError> {
        let Some((tensor, others)) = tensors.split_first() else { return Ok(()) };
        let (model, other) = (self.path(input), self.path(first));
        let problem = PlanProblem::ExtraTensor { tensor: tensor.clone(), others: others.len(), model, other };
        Err(self.with_tying(self.error(input.at, problem), first, tensor))
    }

    /// Explains an output layer that is missing because the embedding serves for it.
    fn with_tying(&self, error: PlanError, without: &Input, tensor: &str) -> PlanError {
        let config = self.headers.get(without.model).map(|header| &header.config);
        let tied = config.and_then(|config| config.get("tie_word_embeddings")) == Some(&serde_json::Value::Bool(true));
        if !(tied && names::has_vocabulary(tensor)) {
            return error;
        }
        let model = self.path(without);
        error.hint_is(format!("`{model}` uses its embedding as output layer too (tie_word_embeddings): save it again with both"))
    }

    fn path(&self, input: &Input) -> String {
        self.recipe.models.get(input.model).map_or_else(String::new, |model| model.name().into_owned())
    }

    fn error(&self, at: Span, problem: PlanProblem) -> PlanError {
        PlanError::new(self.recipe.place(at), problem)
    }
}

/// The place of a layer in 0 ..= 1. A single layer is the last one, as in mergekit.
fn place(layer: u32, layers: u32) -> f64 {
    if layers > 1 { f64::from(layer) / f64::from(layers - 1) } else { 1.0 }
}
