//! Taking a YAML tree apart: every access either finds what it expects or says, with its position, what stands there instead.

use super::{
    error::{Problem, RecipeError},
    nearest::nearest,
    node::{Node, Value},
    place::{At, Place, Span},
};
use std::sync::Arc;

/// The file that errors name.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) file: Arc<str>,
}

/// The entries of a mapping of which every key is known. A value of `null` counts as absent, as in mergekit.
#[derive(Debug)]
pub(super) struct Fields {
    within: String,
    at: Span,
    entries: Vec<(String, Node)>,
}

impl Source {
    pub(super) fn error(&self, at: Span, problem: Problem) -> RecipeError {
        RecipeError::new(Place { file: Arc::clone(&self.file), at }, problem)
    }

    /// The value at hand is not what `what` must be.
    pub(super) fn mismatch(&self, node: &Node, what: &str, expected: &str) -> RecipeError {
        let problem = Problem::Type { what: what.into(), expected: expected.into(), found: node.value.describe() };
        self.error(node.at, problem)
    }

    /// A mapping with these keys only; `within` names it in errors, `hint` may know better what a stranger was meant to be.
    pub(super) fn fields(
        &self,
        node: Node,
        within: &str,
        known: &[&str],
        hint: impl Fn(&str) -> Option<String>,
    ) -> Result<Fields, RecipeError> {
        let at = node.at;
        let Value::Map(map) = node.value else { return Err(self.mismatch(&node, within, "a mapping")) };
        let mut entries = Vec::with_capacity(map.len());
        for (key, value) in map {
            if !known.contains(&key.text.as_str()) {
                let help = hint(&key.text).unwrap_or_else(|| did_you_mean(&key.text, known));
                let problem = Problem::UnknownKey { key: key.text, within: within.into() };
                return Err(self.error(key.at, problem).hint_is(help));
            }
            if !matches!(value.value, Value::Null) {
                entries.push((key.text, value));
            }
        }
        Ok(Fields { within: within.into(), at, entries })
    }

    /// Text that is not empty. A path that looks like a number must be quoted.
    pub(super) fn text(&self, node: Node, what: &str) -> Result<At<String>, RecipeError> {
        match node.value {
            Value::Text(value) if !value.trim().is_empty() => Ok(At { value, at: node.at }),
            Value::Text(_) => {
                Err(self.error(node.at, Problem::Type { what: what.into(), expected: "text".into(), found: "empty text".into() }))
            }
            Value::Integer(_) | Value::Number(_) | Value::Flag(_) => {
                Err(self.mismatch(&node, what, "text").hint_is("put it in quotes if it is meant as text"))
            }
            _ => Err(self.mismatch(&node, what, "text")),
        }
    }

    /// A list with at least one item.
    pub(super) fn list(&self, node: Node, what: &str) -> Result<Vec<Node>, RecipeError> {
        match node.value {
            Value::List(items) if !items.is_empty() => Ok(items),
            Value::List(_) => {
                Err(self
                    .error(node.at, Problem::Type { what: what.into(), expected: "a list".into(), found: "an empty one".into() }))
            }
            _ => Err(self.mismatch(&node, what, "a list")),
        }
    }
}

impl Fields {
    /// Takes an entry out, if it is there.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.swap_remove(index).1)
    }

    /// Takes an entry out that must be there.
    pub(super) fn require(&mut self, source: &Source, key: &'static str) -> Result<Node, RecipeError> {
        self.take(key).ok_or_else(|| source.error(self.at, Problem::Missing { key, within: self.within.clone() }))
    }
}

/// The hint for a word that is none of `known`.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}
