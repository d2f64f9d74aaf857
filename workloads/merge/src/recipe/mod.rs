//! Recipes: mergekit's YAML as people have it on disk, read strictly and with positions.
//!
//! ```text
//! text ─ node (YAML tree) ─ fields, setting, layout, … (typed parts) ─ check (does it fit the method?) ─ Recipe
//!
//! a file of several ─ documents (text) ─ a Recipe of each ─ stages (which uses which?) ─ Stages
//! ```
//!
//! A [`Recipe`] is plain data and says what the user wants; it has seen no checkpoint. What it comes to for given checkpoints
//! is [`crate::plan`]'s business. Unlike mergekit, a key or parameter that means nothing is an error here.

mod chat_template;
mod check;
mod documents;
mod error;
mod fields;
mod layout;
mod lines;
mod locate;
mod model_ref;
mod moe;
mod nearest;
mod node;
mod place;
mod setting;
mod stages;
#[cfg(test)]
mod tests;
mod tokenizer;

pub use chat_template::{ChatTemplate, most_common};
pub use error::{Problem, RecipeError};
pub use layout::{Input, Module, Settings, Slice};
pub use lines::Lines;
pub(crate) use locate::Within;
pub use model_ref::ModelRef;
pub use moe::{Expert, GateMode, Mixture};
pub use place::{At, Place, Span};
pub use setting::Setting;
pub use stages::{Stage, Stages};
pub use tokenizer::{TokenName, TokenRule, TokenSource, Tokenizer, TokenizerSource};

use crate::methods::{self, Method};
use braid_kernels::Dtype;
use fields::{Source, did_you_mean};
use layout::Reader;
use node::{Node, Value};
use std::sync::Arc;

/// A recipe, complete and fit for its method.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The name under which it was given, as errors print it.
    pub file: Arc<str>,
    /// The name that other recipes of its file may use for what it makes.
    pub name: Option<At<String>>,
    /// How tensors are merged.
    pub method: &'static dyn Method,
    /// Every model that the recipe names, in the order of the inputs; bases that are no inputs come last.
    pub models: Vec<ModelRef>,
    /// The base, where one is named.
    pub base: Option<usize>,
    /// The parts of the output; at least one.
    pub modules: Vec<Module>,
    /// What holds for the whole merge.
    pub settings: Settings,
    /// How far each layer goes from the base, where not all of them go all the way.
    pub lines: Option<Lines>,
    /// What inputs are loaded as in mergekit; here the output's dtype unless `out_dtype` says otherwise.
    pub dtype: Option<Dtype>,
    /// The output's dtype.
    pub out_dtype: Option<Dtype>,
    /// Which tokenizer the output gets; without, that of the donor is copied, and vocabularies are taken to agree.
    pub tokenizer: Option<Tokenizer>,
    /// Which chat template the output's tokenizer gets, instead of its own.
    pub chat_template: Option<ChatTemplate>,
    /// What is to be made a mixture of experts, instead of being merged.
    pub mixture: Option<Mixture>,
}

const KEYS: [&str; 13] = [
    "merge_method",
    "base_model",
    "models",
    "slices",
    "modules",
    "parameters",
    "lines",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "name",
];

impl Recipe {
    /// Reads a recipe; `file` is the name that errors give it.
    ///
    /// # Errors
    /// A [`RecipeError`] for the first thing that is wrong, with its position.
    pub fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        let source = Source { file: file.into() };
        let root = node::parse(&source.file, text)?;
        if matches!(root.value, Value::Null) {
            return Err(source.error(Span::default(), Problem::Value("the recipe is empty".into())));
        }
        if moe::is_mixture(&root) {
            return moe::parse(source, root);
        }
        let mut fields = source.fields(root, "the recipe", &KEYS, |_| None)?;
        let named = fields.require(&source, "merge_method")?;
        let method_at = named.at;
        let method = method(&source, named)?;
        let mut reader = Reader { source: &source, method, models: Vec::new() };
        let modules = match (fields.take("models"), fields.take("slices"), fields.take("modules")) {
            (Some(node), None, None) => vec![unnamed(vec![reader.whole(node)?])],
            (None, Some(node), None) => vec![unnamed(reader.slices(node)?)],
            (None, None, Some(node)) => reader.modules(node)?,
            (None, None, None) => {
                let problem = Problem::Value("the recipe names no inputs".into());
                return Err(source.error(Span::default(), problem).hint_is("give `models`, `slices` or `modules`"));
            }
            (a, b, c) => {
                let at = [a, b, c].into_iter().flatten().map(|node| node.at).max().unwrap_or_default();
                let problem = Problem::Value("only one of `models`, `slices` and `modules` can be given".into());
                return Err(source.error(at, problem));
            }
        };
        let base = match fields.take("base_model") {
            Some(node) => {
                let model = ModelRef::parse(&source, node, "`base_model`")?;
                Some((reader.number(model.clone()), model.at))
            }
            None => None,
        };
        let settings = reader.settings(fields.take("parameters"), false)?;
        let models = reader.models;
        let tokenizer = match (fields.take("tokenizer_source"), fields.take("tokenizer")) {
            (Some(_), Some(node)) => {
                let problem = Problem::Value("`tokenizer_source` and `tokenizer` cannot both be given".into());
                return Err(source.error(node.at, problem));
            }
            (Some(node), None) => Some(tokenizer::source_key(&source, node)?),
            (None, Some(node)) => Some(tokenizer::mapping(&source, node)?),
            (None, None) => None,
        };
        let name = fields.take("name").map(|node| source.text(node, "`name`")).transpose()?;
        let mut recipe = Self {
            name,
            method,
            models,
            base: base.map(|(base, _)| base),
            modules,
            settings,
            lines: fields.take("lines").map(|node| Lines::parse(&source, node)).transpose()?,
            dtype: fields.take("dtype").map(|node| dtype(&source, node, "`dtype`")).transpose()?,
            out_dtype: fields.take("out_dtype").map(|node| dtype(&source, node, "`out_dtype`")).transpose()?,
            tokenizer,
            chat_template: fields.take("chat_template").map(|node| ChatTemplate::parse(&source, node)).transpose()?,
            mixture: None,
            file: source.file,
        };
        check::complete(&mut recipe, method_at, base.map(|(_, at)| at))?;
        Ok(recipe)
    }

    /// The model that gives the output its config, tokenizer and other files: the base, else the first input.
    pub fn donor(&self) -> usize {
        self.base.unwrap_or(0)
    }

    /// How messages call it among the recipes of its file.
    pub(crate) fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| "the recipe without a name".into(), |name| format!("`{}`", name.value))
    }

    /// A position in this recipe, for an error.
    pub fn place(&self, at: Span) -> Place {
        Place { file: Arc::clone(&self.file), at }
    }

    /// The base of a slice.
    pub fn base_of(&self, slice: &Slice) -> Option<usize> {
        slice.base.or(self.base)
    }
}

fn unnamed(slices: Vec<Slice>) -> Module {
    Module { name: None, slices, settings: Settings::new() }
}

fn method(source: &Source, node: Node) -> Result<&'static dyn Method, RecipeError> {
    let At { value: name, at } = source.text(node, "`merge_method`")?;
    if let Some(method) = methods::find(&name) {
        return Ok(method);
    }
    let names: Vec<&str> = methods::METHODS.iter().map(|method| method.name()).collect();
    let hint = match nearest::nearest(&name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the methods are {}", names.join(", ")),
    };
    Err(source.error(at, Problem::UnknownMethod { name }).hint_is(hint))
}

fn dtype(source: &Source, node: Node, key: &str) -> Result<Dtype, RecipeError> {
    let text = source.text(node, key)?;
    match text.value.strip_prefix("torch.").unwrap_or(&text.value) {
        "bfloat16" => Ok(Dtype::BF16),
        "float16" => Ok(Dtype::F16),
        "float32" => Ok(Dtype::F32),
        "float64" => Ok(Dtype::F64),
        "int64" => {
            let problem = Problem::Value(format!("{key}: weights cannot be merged as int64"));
            Err(source.error(text.at, problem).hint_is("integer buffers keep their type in any case"))
        }
        other => {
            let known = ["bfloat16", "float16", "float32", "float64"];
            let help = match other {
                "bf16" => "did you mean `bfloat16`?".into(),
                "fp16" | "half" | "f16" => "did you mean `float16`?".into(),
                "fp32" | "float" | "f32" => "did you mean `float32`?".into(),
                _ => did_you_mean(other, &known),
            };
            Err(source.error(text.at, Problem::Value(format!("{key}: unknown dtype {other:?}"))).hint_is(help))
        }
    }
}
