//! Whose tokenizer the output gets. Only that of the donor for now: other choices move rows of the embeddings.

use super::{
    error::{Problem, RecipeError},
    fields::Source,
    model_ref::ModelRef,
    node::{Node, Value},
};

/// What the recipe says about the tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokenizer {
    /// Nothing: that of the donor is copied, and vocabularies are taken to agree.
    Unspecified,
    /// That of the base, which must have the vocabulary of every other model.
    Base,
}

/// `tokenizer_source: base | union | PATH | model:PATH`. The path of the donor means the base.
pub(super) fn source_key(source: &Source, node: Node, donor: &ModelRef) -> Result<Tokenizer, RecipeError> {
    if matches!(node.value, Value::Map(_)) {
        return model(source, ModelRef::parse(source, node, "`tokenizer_source`")?, donor);
    }
    let text = source.text(node, "`tokenizer_source`")?;
    match text.value.as_str() {
        "base" => Ok(Tokenizer::Base),
        "union" => Err(not_yet(source, text.at, "the union of all vocabularies (`union`)")),
        other => {
            let path = other.strip_prefix("model:").unwrap_or(other).to_owned();
            model(source, ModelRef { path, adapter: None, at: text.at }, donor)
        }
    }
}

/// `tokenizer: {source: …, tokens: …, pad_to_multiple_of: …}`, of which the source is `union` unless given.
pub(super) fn mapping(source: &Source, node: Node, donor: &ModelRef) -> Result<Tokenizer, RecipeError> {
    let at = node.at;
    let mut fields = source.fields(node, "`tokenizer`", &["source", "tokens", "pad_to_multiple_of"], |_| None)?;
    if let Some(tokens) = fields.take("tokens") {
        return Err(not_yet(source, tokens.at, "choosing embeddings token by token (`tokens`)"));
    }
    if let Some(pad) = fields.take("pad_to_multiple_of") {
        return Err(not_yet(source, pad.at, "padding the vocabulary (`pad_to_multiple_of`)"));
    }
    match fields.take("source") {
        Some(chosen) => source_key(source, chosen, donor),
        None => Err(not_yet(source, at, "the union of all vocabularies (the default of `tokenizer`)")),
    }
}

fn model(source: &Source, chosen: ModelRef, donor: &ModelRef) -> Result<Tokenizer, RecipeError> {
    if chosen.same(donor) {
        return Ok(Tokenizer::Base);
    }
    Err(not_yet(source, chosen.at, &format!("the tokenizer of a model other than the base (`{}`)", chosen.path)))
}

fn not_yet(source: &Source, at: super::place::Span, what: &str) -> RecipeError {
    source
        .error(at, Problem::NotYet(what.into()))
        .hint_is("models of one vocabulary need only `tokenizer_source: base`, which copies the tokenizer of the base")
}
