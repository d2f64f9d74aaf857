//! YAML text as a tree of values that know where they stand. Nothing here knows what a recipe is.
//!
//! The text may be hostile: its length, its depth, and what its aliases may expand to are limited before anything is kept.

use super::{
    error::{Problem, RecipeError},
    place::{Place, Span},
};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Budget, Error, Location, NonFiniteFloatPolicy, Options, Spanned};
use std::{fmt, sync::Arc};

/// The longest recipe; the largest ones people publish have a few KiB.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// A gradient in a filter of a source of a slice of a module lies ten deep.
const MAX_DEPTH: usize = 24;
/// What aliases may add to the values that are written out.
const MAX_REPLAYED: usize = 20_000;

/// A value and its position.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Span,
}

/// Any YAML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Flag(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of an entry.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Span,
}

impl Value {
    /// The value in a few words, for the end of "expected …, found".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Flag(flag) => flag.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => {
                let mut short: String = text.chars().take(40).collect();
                if short.len() < text.len() {
                    short.push('…');
                }
                format!("the text {short:?}")
            }
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a mapping".into(),
        }
    }
}

/// Reads one YAML document.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Node, RecipeError> {
    let error = |at, problem| RecipeError::new(Place { file: Arc::clone(file), at }, problem);
    if text.len() > MAX_BYTES {
        return Err(error(Span::default(), Problem::TooLarge { bytes: text.len(), limit: MAX_BYTES }));
    }
    match serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options()) {
        Ok(root) => Ok(root.into()),
        Err(fault) => Err(explain(fault.without_snippet(), error)),
    }
}

fn options() -> Options {
    let budget: Option<Budget> = serde_saphyr::budget! {
        max_depth: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
        max_events: 4 * MAX_BYTES,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_recorded_anchor_events: 4 * MAX_BYTES,
        max_recorded_anchor_bytes: 8 * MAX_BYTES,
    };
    serde_saphyr::options! {
        budget: budget,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: MAX_DEPTH,
        },
    }
}

fn explain(fault: &Error, error: impl Fn(Span, Problem) -> RecipeError) -> RecipeError {
    let at = fault.location().map_or_else(Span::default, |location| Span::from(&location));
    // what is wrong with an alias is told where it stands, not where its anchor does
    let fault = if let Error::AliasError { error, .. } = fault { error.without_snippet() } else { fault };
    match fault {
        Error::MultipleDocuments { .. } => error(at, Problem::Yaml("one recipe was expected, and here begins another".into())),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("…");
            error(at, Problem::Yaml(format!("the key `{key}` stands here for the second time")))
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            error(at, Problem::Yaml("the YAML is nested too deeply, or its aliases stand for too much".into()))
        }
        other => {
            let text = other.to_string();
            // the position is said in front
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            error(at, Problem::Yaml(format!("not valid YAML: {text}")))
        }
    }
}

impl From<&Location> for Span {
    fn from(location: &Location) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: small(location.line()), column: small(location.column()) }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { at: Span::from(&spanned.referenced), value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Value>>()? {
            map.push((Key { at: Span::from(&key.referenced), text: key.value }, value.into()));
        }
        Ok(Value::Map(map))
    }
}
