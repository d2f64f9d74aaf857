//! References to checkpoints, as recipes write them: a path, or a mapping around one.

use super::{
    error::{Problem, RecipeError},
    fields::{Fields, Source},
    node::{Node, Value},
    place::{At, Span},
};
use crate::{checkpoint::url, hub::HubName};
use std::{borrow::Cow, path::Path};

/// A checkpoint that a recipe names. Two references are the same model if their paths are, `./` and a slash at the end aside.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRef {
    /// The path as written.
    pub path: String,
    /// The path of the LoRA adapter on it, as written.
    pub adapter: Option<String>,
    /// Where it is first named.
    pub at: Span,
}

impl ModelRef {
    /// Whether both name the same checkpoint.
    pub fn same(&self, other: &Self) -> bool {
        let parts = |path: &str| -> Vec<String> {
            let root = path.starts_with('/').then(String::new);
            root.into_iter().chain(path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned)).collect()
        };
        let adapter = |model: &Self| model.adapter.as_deref().map(parts);
        parts(&self.path) == parts(&other.path) && adapter(self) == adapter(other)
    }

    /// How messages and manifests name it: `base`, or `base+adapter`.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.adapter {
            None => Cow::Borrowed(&self.path),
            Some(adapter) => Cow::Owned(format!("{}+{adapter}", self.path)),
        }
    }

    /// The paths that it is read from.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        [Some(self.path.as_str()), self.adapter.as_deref()].into_iter().flatten()
    }

    pub(super) fn parse(source: &Source, node: Node, what: &str) -> Result<Self, RecipeError> {
        match node.value {
            Value::Text(_) => written(source, source.text(node, what)?),
            Value::Map(_) => mapping(source, node, what),
            _ => Err(source.mismatch(&node, what, "a path, or a mapping with `model`")),
        }
    }
}

/// `path`, or `path+adapter`; `@revision` is refused in both, but for names on the hub and URLs.
fn written(source: &Source, text: At<String>) -> Result<ModelRef, RecipeError> {
    let At { value: text, at } = text;
    let (path, adapter) = match text.split_once('+') {
        Some((path, adapter)) => (path, Some(adapter)),
        None => (text.as_str(), None),
    };
    if path.is_empty() || adapter.is_some_and(|adapter| adapter.is_empty() || adapter.contains('+')) {
        let problem = Problem::Value(format!("`{text}` is no `model+adapter`"));
        return Err(source.error(at, problem).hint_is(literal(&text)));
    }
    for part in [Some(path), adapter].into_iter().flatten() {
        if url(Path::new(part)).is_some() || HubName::parse(part).is_some() {
            continue;
        }
        if let Some((model, revision)) = part.split_once('@') {
            let problem = Problem::NotYet(format!("a revision (`{revision}` of `{model}`)"));
            return Err(source
                .error(at, problem)
                .hint_is(format!("only a name on the hub, `organisation/name@revision`, has revisions; {}", literal(&text))));
        }
    }
    Ok(ModelRef { path: path.into(), adapter: adapter.map(str::to_owned), at })
}

fn literal(path: &str) -> String {
    format!("a folder of this very name is written `model: {{model: {{path: {path:?}}}}}`")
}

/// `{model: …, lora: …, override_architecture: …}`, where `model` and `lora` are paths or `{path: …, revision: …}`.
fn mapping(source: &Source, node: Node, what: &str) -> Result<ModelRef, RecipeError> {
    let mut outer = source.fields(node, what, &["model", "lora", "override_architecture"], |_| None)?;
    refuse(
        source,
        &mut outer,
        "override_architecture",
        "another architecture than the checkpoint's",
        "Braid reads tensors by their names and needs no architecture: leave it out",
    )?;
    let model = outer.require(source, "model")?;
    let mut model = path(source, model, what)?;
    if let Some(node) = outer.take("lora").filter(|node| !matches!(node.value, Value::Null)) {
        let at = node.at;
        let adapter = path(source, node, "`lora`")?;
        if model.adapter.is_some() || adapter.adapter.is_some() {
            return Err(source.error(at, Problem::Value("only one adapter can be put on a model".into())));
        }
        model.adapter = Some(adapter.path);
    }
    Ok(model)
}

/// A path, or `{path: …, revision: …}`, whose path is taken as it is.
fn path(source: &Source, node: Node, what: &str) -> Result<ModelRef, RecipeError> {
    if !matches!(node.value, Value::Map(_)) {
        return written(source, source.text(node, what)?);
    }
    let mut inner = source.fields(node, what, &["path", "revision"], |_| None)?;
    let revision = inner.take("revision").filter(|node| !matches!(node.value, Value::Null));
    let path = inner.require(source, "path")?;
    let At { value: path, at } = source.text(path, what)?;
    let Some(revision) = revision else { return Ok(ModelRef { path, adapter: None, at }) };
    let At { value: revision, at: of_revision } = source.text(revision, "`revision`")?;
    let named = format!("{path}@{revision}");
    if HubName::parse(&path).or_else(|| HubName::of_url(&path)).is_none() {
        let problem = Problem::NotYet(format!("a revision (`{revision}` of `{path}`)"));
        return Err(source.error(of_revision, problem).hint_is("give the folder that holds that revision"));
    }
    if HubName::parse(&named).or_else(|| HubName::of_url(&named)).is_none() {
        return Err(source.error(of_revision, Problem::Value(format!("`{revision}` is no revision of `{path}`"))));
    }
    Ok(ModelRef { path: named, adapter: None, at })
}

fn refuse(source: &Source, fields: &mut Fields, key: &str, what: &str, hint: &str) -> Result<(), RecipeError> {
    fields.take(key).map_or(Ok(()), |node| Err(source.error(node.at, Problem::NotYet(format!("`{key}`: {what}"))).hint_is(hint)))
}
