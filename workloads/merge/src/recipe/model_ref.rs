//! References to checkpoints, as recipes write them: a path, or a mapping around one.

use super::{
    error::{Problem, RecipeError},
    fields::{Fields, Source},
    node::{Node, Value},
    place::{At, Span},
};

/// A checkpoint that a recipe names. Two references are the same model if their paths are, `./` and a slash at the end aside.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRef {
    /// The path as written.
    pub path: String,
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
        parts(&self.path) == parts(&other.path)
    }

    pub(super) fn parse(source: &Source, node: Node, what: &str) -> Result<Self, RecipeError> {
        match node.value {
            Value::Text(_) => written(source, source.text(node, what)?),
            Value::Map(_) => mapping(source, node, what),
            _ => Err(source.mismatch(&node, what, "a path, or a mapping with `model`")),
        }
    }
}

/// `path`, with `@revision` or `+adapter` refused.
fn written(source: &Source, text: At<String>) -> Result<ModelRef, RecipeError> {
    let At { value: path, at } = text;
    let literal = format!("a folder of this very name is written `model: {{model: {{path: {path:?}}}}}`");
    if let Some((model, adapter)) = path.split_once('+') {
        let problem = Problem::NotYet(format!("merging the LoRA adapter `{adapter}` into `{model}`"));
        return Err(source.error(at, problem).hint_is(format!("merge the adapter beforehand; {literal}")));
    }
    if let Some((model, revision)) = path.split_once('@') {
        let problem = Problem::NotYet(format!("a revision (`{revision}` of `{model}`)"));
        return Err(source.error(at, problem).hint_is(format!("give the folder that holds that revision; {literal}")));
    }
    Ok(ModelRef { path, at })
}

/// `{model: …, lora: …, override_architecture: …}`, where `model` is a path or `{path: …, revision: …}`.
fn mapping(source: &Source, node: Node, what: &str) -> Result<ModelRef, RecipeError> {
    let mut outer = source.fields(node, what, &["model", "lora", "override_architecture"], |_| None)?;
    refuse(source, &mut outer, "lora", "merging a LoRA adapter", "merge the adapter into its model beforehand")?;
    refuse(
        source,
        &mut outer,
        "override_architecture",
        "another architecture than the checkpoint's",
        "Braid reads tensors by their names and needs no architecture: leave it out",
    )?;
    let model = outer.require(source, "model")?;
    if !matches!(model.value, Value::Map(_)) {
        return written(source, source.text(model, what)?);
    }
    let mut inner = source.fields(model, what, &["path", "revision"], |_| None)?;
    refuse(source, &mut inner, "revision", "a revision", "give the folder that holds that revision")?;
    let path = inner.require(source, "path")?;
    let At { value: path, at } = source.text(path, what)?;
    Ok(ModelRef { path, at })
}

fn refuse(source: &Source, fields: &mut Fields, key: &str, what: &str, hint: &str) -> Result<(), RecipeError> {
    fields.take(key).map_or(Ok(()), |node| Err(source.error(node.at, Problem::NotYet(format!("`{key}`: {what}"))).hint_is(hint)))
}
