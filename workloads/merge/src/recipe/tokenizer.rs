//! Whose tokenizer the output gets, and which embeddings tokens get that a model does not know: `tokenizer_source`, `tokenizer`.

use super::{
    error::{Problem, RecipeError},
    fields::Source,
    model_ref::ModelRef,
    node::{Key, Node, Value},
    place::{At, Span},
};

/// The most rows that padding may add.
const MAX_PAD: i128 = 1 << 20;

/// What a recipe says about the tokenizer of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenizer {
    /// Where it comes from.
    pub source: TokenizerSource,
    /// Tokens that it has in any case, with what their embeddings are.
    pub tokens: Vec<TokenRule>,
    /// Embeddings get rows up to a multiple of this.
    pub pad_to_multiple_of: Option<u64>,
    /// Where it stands.
    pub at: Span,
}

/// Where the tokenizer of the output comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenizerSource {
    /// The base's, with the tokens of all other models that it does not have.
    Union,
    /// The base's; without a base, that of the first model.
    Base,
    /// That of this checkpoint, of which nothing but the tokenizer is read.
    Model(ModelRef),
}

/// A token of which the recipe says something.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRule {
    /// The token.
    pub token: String,
    /// What its embedding is in models that do not know it; the rule for all other tokens unless given.
    pub source: Option<TokenSource>,
    /// It is this in all models, whether they know the token or not.
    pub force: bool,
    /// Where it stands.
    pub at: Span,
}

/// An embedding.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenSource {
    /// Zeros.
    Zero,
    /// That of the same token in this model.
    Model(ModelRef),
    /// That of another token of this model.
    Token {
        /// The model.
        model: ModelRef,
        /// The token there.
        token: TokenName,
    },
}

/// How a recipe names a token of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenName {
    /// By its text.
    Text(String),
    /// By its number.
    Id(u64),
}

/// `tokenizer_source: union | base | PATH | model:PATH`, or a mapping around a path.
pub(super) fn source_key(source: &Source, node: Node) -> Result<Tokenizer, RecipeError> {
    let at = node.at;
    Ok(Tokenizer { source: origin(source, node, "`tokenizer_source`")?, tokens: Vec::new(), pad_to_multiple_of: None, at })
}

/// `tokenizer: {source: …, tokens: …, pad_to_multiple_of: …}`, of which the source is `union` unless given.
pub(super) fn mapping(source: &Source, node: Node) -> Result<Tokenizer, RecipeError> {
    let at = node.at;
    let mut fields = source.fields(node, "`tokenizer`", &["source", "tokens", "pad_to_multiple_of"], |_| None)?;
    let chosen = match fields.take("source") {
        Some(node) => origin(source, node, "`source`")?,
        None => TokenizerSource::Union,
    };
    let tokens = match fields.take("tokens") {
        Some(Node { value: Value::Map(entries), .. }) => {
            entries.into_iter().map(|(key, node)| rule(source, key, node)).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(source.mismatch(&other, "`tokens`", "a mapping from tokens to `{source, force}`")),
        None => Vec::new(),
    };
    let pad_to_multiple_of = fields.take("pad_to_multiple_of").map(|node| pad(source, &node)).transpose()?;
    Ok(Tokenizer { source: chosen, tokens, pad_to_multiple_of, at })
}

fn origin(source: &Source, node: Node, what: &str) -> Result<TokenizerSource, RecipeError> {
    if matches!(node.value, Value::Map(_)) {
        return ModelRef::parse(source, node, what).map(TokenizerSource::Model);
    }
    let At { value, at } = source.text(node, what)?;
    match value.as_str() {
        "base" => Ok(TokenizerSource::Base),
        "union" => Ok(TokenizerSource::Union),
        other => {
            let path = other.strip_prefix("model:").unwrap_or(other).to_owned();
            Ok(TokenizerSource::Model(ModelRef { path, adapter: None, at }))
        }
    }
}

fn pad(source: &Source, node: &Node) -> Result<u64, RecipeError> {
    match node.value {
        Value::Integer(number) if (1..=MAX_PAD).contains(&number) => Ok(number as u64),
        _ => Err(source.mismatch(node, "`pad_to_multiple_of`", &format!("a number from 1 to {MAX_PAD}"))),
    }
}

/// `TOKEN: {source: …, force: …}`.
fn rule(source: &Source, key: Key, node: Node) -> Result<TokenRule, RecipeError> {
    let Key { text: token, at } = key;
    if token.is_empty() {
        return Err(source.error(at, Problem::Value("a token cannot be empty".into())));
    }
    let mut fields = source.fields(node, &format!("token {token:?}"), &["source", "force"], |_| None)?;
    let force = match fields.take("force") {
        None => false,
        Some(Node { value: Value::Flag(flag), .. }) => flag,
        Some(other) => return Err(source.mismatch(&other, "`force`", "true or false")),
    };
    let of_token = fields.take("source").map(|node| token_source(source, node)).transpose()?;
    if force && of_token.is_none() {
        let problem = Problem::Value(format!("token {token:?} is forced, but has no `source` to be forced to"));
        return Err(source.error(at, problem));
    }
    Ok(TokenRule { token, source: of_token, force, at })
}

/// `{kind: zero}`, `{kind: model_token, model: …, token: … | token_id: …}`, or a model.
fn token_source(source: &Source, node: Node) -> Result<TokenSource, RecipeError> {
    let kinds = matches!(&node.value, Value::Map(entries) if entries.iter().any(|(key, _)| key.text == "kind"));
    if !kinds {
        return ModelRef::parse(source, node, "`source`").map(TokenSource::Model);
    }
    let at = node.at;
    let mut fields = source.fields(node, "`source`", &["kind", "model", "token", "token_id"], |_| None)?;
    let kind = source.text(fields.require(source, "kind")?, "`kind`")?;
    let others = (fields.take("model"), fields.take("token"), fields.take("token_id"));
    match (kind.value.as_str(), others) {
        ("zero", (None, None, None)) => Ok(TokenSource::Zero),
        ("zero", _) => Err(source.error(at, Problem::Value("`kind: zero` takes nothing else".into()))),
        ("model_token", (Some(model), token, id)) => {
            let model = ModelRef::parse(source, model, "`model`")?;
            let token = match (token, id) {
                (Some(Node { value: Value::Text(text), .. }), None) => TokenName::Text(text),
                (Some(other), None) => return Err(source.mismatch(&other, "`token`", "text")),
                (None, Some(Node { value: Value::Integer(id), at })) => {
                    let problem = || source.error(at, Problem::Value(format!("{id} is no number of a token")));
                    TokenName::Id(u64::try_from(id).map_err(|_| problem())?)
                }
                (None, Some(other)) => return Err(source.mismatch(&other, "`token_id`", "a number")),
                _ => return Err(source.error(at, Problem::Value("give either `token` or `token_id`".into()))),
            };
            Ok(TokenSource::Token { model, token })
        }
        ("model_token", _) => Err(source.error(at, Problem::Missing { key: "model", within: "`source`".into() })),
        (other, _) => {
            let problem = Problem::Value(format!("unknown kind {other:?} of an embedding"));
            Err(source
                .error(kind.at, problem)
                .hint_is("the kinds are `zero` and `model_token`; a model is given by its path alone"))
        }
    }
}

#[cfg(test)]
mod tests;
