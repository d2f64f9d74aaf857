//! Vocabularies brought together: which tokens the output has, and what the embedding of each is in every model.
//!
//! As in mergekit 0.1.5. A model's own embedding of a token goes to the number that the output's tokenizer gives it. What a model
//! does not know gets the embedding that the recipe's rule for the token says; without a rule, that of the only model that has it,
//! or else of the base, or else the mean of all that have it, or else zeros. Differences: numbers of tokens beyond the embeddings,
//! and models without a tokenizer, are errors here; what a second checkpoint of a model (its Fisher) knows of a token that the
//! model does not have is nothing, so zero.

use super::{
    PlanOptions, Source,
    error::{PlanError, PlanProblem},
    header::{ModelHeader, TensorHeader},
    rows::{Pick, RowMap},
};
use crate::{
    methods::Folder,
    recipe::{Input, ModelRef, Recipe, Slice, Span, TokenName, TokenRule, TokenSource, Tokenizer, TokenizerSource},
    tokenizer::{Additions, TokenizerFile, additions},
};
use braid_kernels::Dtype;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// The tokenizer of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// The tokenizer that it is made of.
    pub file: Arc<TokenizerFile>,
    /// What it has beside.
    pub(crate) additions: Additions,
    /// How many tokens it has.
    pub tokens: u64,
    /// How many rows embeddings have: one a token, and padding.
    pub rows: u64,
    /// Numbers of the donor's tokens that are other ones now.
    pub(crate) renumbered: BTreeMap<u32, u32>,
}

/// A vocabulary, and what every model has of it.
pub(super) struct Alignment<'a> {
    recipe: &'a Recipe,
    headers: &'a [ModelHeader],
    wanted: &'a Tokenizer,
    pub(super) vocabulary: Vocabulary,
    /// For each model of the recipe and token of the output the number that it has there; empty for second checkpoints.
    own: Vec<Vec<Option<u32>>>,
    /// What the recipe says about tokens, by number.
    rules: HashMap<u32, &'a TokenRule>,
}

/// What the recipe's tokenizer comes to; `None` where it has none.
pub(super) fn align<'a>(
    recipe: &'a Recipe,
    headers: &'a [ModelHeader],
    options: &PlanOptions,
) -> Result<Option<Alignment<'a>>, PlanError> {
    let Some(wanted) = &recipe.tokenizer else { return Ok(None) };
    let error = |at: Span, problem| PlanError::new(recipe.place(at), PlanProblem::Vocabulary(problem));
    if recipe.method.joint().is_some_and(|joint| joint.takes() == Folder::Adapter) {
        return Err(error(wanted.at, format!("{} merges adapters, which have no tokenizers", recipe.method.name())));
    }
    let donor = recipe.donor();
    let models: Vec<usize> = with_tokenizers(recipe);
    let mut files: BTreeMap<usize, &Arc<TokenizerFile>> = BTreeMap::new();
    for model in &models {
        let (name, at) = recipe.models.get(*model).map_or_else(Default::default, |model| (model.name(), model.at));
        let file = headers.get(*model).and_then(|header| header.tokenizer.as_ref());
        let missing = || error(at, format!("model `{name}` has no tokenizer.json")).hint_is(SAVE_FAST);
        files.insert(*model, file.ok_or_else(missing)?);
    }
    let of = |model: usize| files.get(&model).copied();
    let chosen = match &wanted.source {
        TokenizerSource::Union | TokenizerSource::Base => of(donor),
        TokenizerSource::Model(model) => match recipe.models.iter().position(|other| other.same(model)) {
            Some(model) if of(model).is_some() => of(model),
            _ => options.tokenizer.as_ref(),
        },
    };
    let Some(chosen) = chosen else {
        let name = match &wanted.source {
            TokenizerSource::Model(model) => model.path.clone(),
            _ => String::new(),
        };
        return Err(error(wanted.at, format!("`{name}` has no tokenizer.json")).hint_is(SAVE_FAST));
    };
    let first = (chosen.kind, chosen.folder.display());
    if let Some((model, file)) = files.iter().find(|(_, file)| file.kind != chosen.kind) {
        let (name, at) = recipe.models.get(*model).map_or_else(Default::default, |model| (model.name(), model.at));
        let (own, wanted) = (file.kind, chosen.kind);
        let problem =
            format!("the tokenizer of model `{name}` is {own}, that of {} is {wanted}: their tokens mean other things", first.1);
        return Err(error(at, problem).hint_is("only models with tokenizers of one kind can be brought to one vocabulary"));
    }
    let count = chosen.count().map_err(|problem| {
        let problem = format!("the tokenizer in {} cannot be the output's: {problem}", first.1);
        error(wanted.at, problem).hint_is("each token is a row of the embedding, so their numbers have to be 0, 1, 2 and so on")
    })?;

    let others: Vec<&TokenizerFile> = match wanted.source {
        TokenizerSource::Union => {
            models.iter().filter(|model| **model != donor).filter_map(|model| Some(&**of(*model)?)).collect()
        }
        _ => Vec::new(),
    };
    let additions = additions(chosen, count, &others, wanted.tokens.iter().map(|rule| rule.token.as_str()));
    let texts: Vec<&str> =
        chosen.tokens().map(|(_, token)| token).chain(additions.new.iter().map(|token| token.content.as_str())).collect();
    let own = |model: usize| of(model).map_or_else(Vec::new, |file| texts.iter().map(|token| file.id(token)).collect());
    let own: Vec<Vec<Option<u32>>> = (0..recipe.models.len()).map(own).collect();
    let numbers: HashMap<&str, u32> = (0u32..).zip(&texts).map(|(id, token)| (*token, id)).collect();
    let rules = wanted.tokens.iter().filter_map(|rule| Some((*numbers.get(rule.token.as_str())?, rule))).collect();
    let renumbered = of(donor).into_iter().flat_map(|file| file.tokens());
    let renumbered =
        renumbered.filter_map(|(id, token)| Some((id, *numbers.get(token)?))).filter(|(old, new)| old != new).collect();
    let tokens = texts.len() as u64;
    let rows = wanted.pad_to_multiple_of.and_then(|pad| tokens.checked_next_multiple_of(pad)).unwrap_or(tokens);
    let vocabulary = Vocabulary { file: Arc::clone(chosen), additions, tokens, rows, renumbered };
    Ok(Some(Alignment { recipe, headers, wanted, vocabulary, own, rules }))
}

const SAVE_FAST: &str = "AutoTokenizer.from_pretrained(…).save_pretrained(…) of transformers writes one";

/// The models whose tokens count, the donor first: all but second checkpoints of others.
fn with_tokenizers(recipe: &Recipe) -> Vec<usize> {
    let slices = || recipe.modules.iter().flat_map(|module| &module.slices);
    let inputs = slices().flat_map(|slice| &slice.inputs).filter(|input| input.of.is_none()).map(|input| input.model);
    let used: BTreeSet<usize> = inputs.chain(slices().filter_map(|slice| slice.base)).collect();
    let donor = recipe.donor();
    std::iter::once(donor).chain(used.into_iter().filter(|model| *model != donor)).collect()
}

impl Alignment<'_> {
    /// Gives the sources of a tensor with a row for each token the rows of the output's tokens.
    pub(super) fn apply(&self, slice: &Slice, sources: &mut [(&Input, Source)]) -> Result<(), PlanError> {
        for (input, source) in sources.iter() {
            self.check(slice, input, source)?;
        }
        let rows = sources.iter().map(|(input, source)| self.rows(slice, input, source)).collect::<Result<Vec<_>, _>>()?;
        for ((_, source), rows) in sources.iter_mut().zip(rows) {
            let before = source.shape.first().copied().unwrap_or(0);
            if let Some(length) = source.shape.first_mut() {
                *length = rows.count();
            }
            source.rows = (!rows.is_all_of(source.model, before)).then(|| Arc::new(rows));
        }
        Ok(())
    }

    /// Every token of a model has a row, and rows are floats.
    fn check(&self, slice: &Slice, input: &Input, source: &Source) -> Result<(), PlanError> {
        let (tensor, model) = (&source.tensor, self.path(input.model));
        let file = self.headers.get(owner(slice, input)).and_then(|header| header.tokenizer.as_ref());
        let Some(rows) = source.shape.first().filter(|_| self.has_floats(source.model, tensor)) else {
            let (dtype, shape) = (source.dtype, &source.shape);
            let problem = format!("tensor {tensor:?} of model `{model}` has no rows of floats to move: {dtype} {shape:?}");
            return Err(self.error(input.at, problem));
        };
        if let Some((id, token)) = file.and_then(|file| file.last()).filter(|(id, _)| u64::from(*id) >= *rows) {
            let problem =
                format!("tensor {tensor:?} of model `{model}` has {rows} rows, but its tokenizer has a token {id} ({token:?})");
            return Err(self
                .error(input.at, problem)
                .hint_is("the tokenizer is another model's, or tokens were added without rows"));
        }
        Ok(())
    }

    fn rows(&self, slice: &Slice, input: &Input, source: &Source) -> Result<RowMap, PlanError> {
        let models: Vec<usize> = slice.inputs.iter().filter(|input| input.of.is_none()).map(|input| input.model).collect();
        let base = self.recipe.base_of(slice).filter(|base| models.contains(base));
        let own = self.own.get(owner(slice, input)).map_or(&[][..], Vec::as_slice);
        let mut rows = RowMap::default();
        for (id, known) in (0u32..).zip(own) {
            let rule = self.rules.get(&id).copied();
            let pick = match known {
                Some(row) if !rule.is_some_and(|rule| rule.force) => Pick::From { model: input.model, row: u64::from(*row) },
                _ if input.of.is_some() => Pick::Zero,
                _ => match rule.and_then(|rule| Some((rule, rule.source.as_ref()?))) {
                    Some((rule, wanted)) => self.ruled(rule, wanted, id, source)?,
                    None => self.unruled(id, &models, base),
                },
            };
            rows.push(1, pick);
        }
        if self.vocabulary.rows > self.vocabulary.tokens {
            rows.push(self.vocabulary.rows - self.vocabulary.tokens, Pick::MeanOfAll);
        }
        Ok(rows.typed(|model| Some(self.tensor(model, &source.tensor)?.dtype)))
    }

    /// The embedding of a token of which the recipe says nothing.
    fn unruled(&self, id: u32, models: &[usize], base: Option<usize>) -> Pick {
        let row = |model: usize| self.row(model, id).map(|row| (model, row));
        let known: Vec<(usize, u64)> = models.iter().filter_map(|model| row(*model)).collect();
        let only = <[_; 1]>::try_from(known.as_slice()).ok().map(|[only]| only);
        match only.or_else(|| base.and_then(row)) {
            Some((model, row)) => Pick::From { model, row },
            None if known.is_empty() => Pick::Zero,
            None => Pick::Mean(known),
        }
    }

    fn ruled(&self, rule: &TokenRule, wanted: &TokenSource, id: u32, source: &Source) -> Result<Pick, PlanError> {
        let (token, tensor) = (&rule.token, &source.tensor);
        let (model, row) = match wanted {
            TokenSource::Zero => return Ok(Pick::Zero),
            TokenSource::Model(of) => {
                let model = self.number(rule, of)?;
                let unknown =
                    || format!("token {token:?} is to have its embedding in model `{}`, which has no such token", of.path);
                (model, self.row(model, id).ok_or_else(|| self.error(rule.at, unknown()))?)
            }
            TokenSource::Token { model: of, token: TokenName::Text(text) } => {
                let model = self.number(rule, of)?;
                let row = self.headers.get(model).and_then(|header| header.tokenizer.as_ref()?.id(text));
                let unknown = || {
                    format!(
                        "token {token:?} is to have the embedding of {text:?} in model `{}`, which has no such token",
                        of.path
                    )
                };
                (model, u64::from(row.ok_or_else(|| self.error(rule.at, unknown()))?))
            }
            TokenSource::Token { model: of, token: TokenName::Id(id) } => (self.number(rule, of)?, *id),
        };
        let found = self.tensor(model, tensor).filter(|_| self.has_floats(model, tensor));
        let row_of = |shape: &[u64]| shape.get(1..).map(<[u64]>::to_vec);
        let found = found.filter(|header| row_of(&header.shape) == row_of(&source.shape));
        let Some(rows) = found.and_then(|header| header.shape.first().copied()) else {
            let problem = format!(
                "token {token:?} needs a row of tensor {tensor:?} of model `{}`, which has none that fits",
                self.path(model)
            );
            return Err(self.error(rule.at, problem));
        };
        if row >= rows {
            let problem = format!(
                "token {token:?} is to have row {row} of tensor {tensor:?} of model `{}`, which has {rows}",
                self.path(model)
            );
            return Err(self.error(rule.at, problem));
        }
        Ok(Pick::From { model, row })
    }

    fn number(&self, rule: &TokenRule, wanted: &ModelRef) -> Result<usize, PlanError> {
        let found = self.recipe.models.iter().position(|model| model.same(wanted));
        found.filter(|model| self.own.get(*model).is_some_and(|own| !own.is_empty())).ok_or_else(|| {
            let problem = format!("token {:?} refers to model `{}`, which is no model of this merge", rule.token, wanted.name());
            self.error(wanted.at, problem)
        })
    }

    fn row(&self, model: usize, id: u32) -> Option<u64> {
        self.own.get(model)?.get(id as usize)?.map(u64::from)
    }

    fn tensor(&self, model: usize, name: &str) -> Option<&TensorHeader> {
        self.headers.get(model)?.tensors.get(name)
    }

    fn has_floats(&self, model: usize, name: &str) -> bool {
        self.headers.get(model).and_then(|header| header.taken(name)).is_some_and(Dtype::is_float)
    }

    fn path(&self, model: usize) -> String {
        self.recipe.models.get(model).map_or_else(String::new, |model| model.name().into_owned())
    }

    /// No tensor of the output has a row for each token, as far as names tell.
    pub(super) fn is_of_no_use(&self) -> PlanError {
        let problem = "no tensor of these models is known to have a row for each token".into();
        self.error(self.wanted.at, problem).hint_is("leave the tokenizer out, and give the models one vocabulary first")
    }

    fn error(&self, at: Span, problem: String) -> PlanError {
        PlanError::new(self.recipe.place(at), PlanProblem::Vocabulary(problem))
    }
}

/// The model whose tokenizer an input's rows go by.
fn owner(slice: &Slice, input: &Input) -> usize {
    input.of.and_then(|index| slice.inputs.get(index)).unwrap_or(input).model
}

#[cfg(test)]
mod tests;
