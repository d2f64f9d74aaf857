//! `models`, `slices` and `modules`: which layers of which models make the output.
//!
//! All three become one form. `models` is one slice of whole models, without layer ranges; a recipe without `modules` is one
//! module without a name, which holds every tensor.

use super::{
    error::{Problem, RecipeError},
    fields::{Fields, Source, did_you_mean},
    model_ref::ModelRef,
    node::{Node, Value},
    place::{At, Span},
    setting::Setting,
};
use crate::methods::{METHODS, Method, Scope};
use std::{collections::BTreeMap, ops::Range};

/// More layers than any model has; ranges beyond it are typing errors.
const MAX_LAYER: u32 = 65_536;

/// Parameters by name, as one place of the recipe sets them.
pub type Settings = BTreeMap<&'static str, Setting>;

/// A part of the model that has layers of its own, such as an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name; none where the recipe does not speak of modules.
    pub name: Option<At<String>>,
    /// What its layers are made of, first to last; at least one.
    pub slices: Vec<Slice>,
    /// What holds in all of its slices.
    pub settings: Settings,
}

/// A run of layers of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// What it is merged from; at least one.
    pub inputs: Vec<Input>,
    /// Its own base, instead of that of the recipe.
    pub base: Option<usize>,
    /// What holds for all of its inputs.
    pub settings: Settings,
    /// Where it stands.
    pub at: Span,
}

/// A model, or some layers of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Which of the recipe's models.
    pub model: usize,
    /// Its layers; none for all of them.
    pub layers: Option<Range<u32>>,
    /// What holds for this input.
    pub settings: Settings,
    /// The model that has a number for each element of this one, where the method needs such.
    pub companion: Option<usize>,
    /// Whether it is itself such a model: of the input with this number.
    pub of: Option<usize>,
    /// Where it stands.
    pub at: Span,
}

/// Reads a layout and numbers the models in the order in which they are named.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) method: &'static dyn Method,
    pub(super) models: Vec<ModelRef>,
}

impl Reader<'_> {
    /// The number of a model.
    pub(super) fn number(&mut self, model: ModelRef) -> usize {
        self.models.iter().position(|known| known.same(&model)).unwrap_or_else(|| {
            self.models.push(model);
            self.models.len() - 1
        })
    }

    pub(super) fn modules(&mut self, node: Node) -> Result<Vec<Module>, RecipeError> {
        let at = node.at;
        let Value::Map(entries) = node.value else {
            return Err(self.source.mismatch(&node, "`modules`", "a mapping from names of modules"));
        };
        if entries.is_empty() {
            return Err(self.source.error(at, Problem::Value("`modules` lists none".into())));
        }
        let mut modules = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let within = format!("module `{}`", key.text);
            let at = node.at;
            let mut fields = self.source.fields(node, &within, &["models", "slices", "parameters"], |key| self.stray(key))?;
            let slices = match (fields.take("models"), fields.take("slices")) {
                (Some(models), None) => vec![self.whole(models)?],
                (None, Some(slices)) => self.slices(slices)?,
                _ => {
                    let problem = Problem::Value(format!("{within} needs either `models` or `slices`"));
                    return Err(self.source.error(at, problem));
                }
            };
            let settings = self.settings(fields.take("parameters"), false)?;
            modules.push(Module { name: Some(At { value: key.text, at: key.at }), slices, settings });
        }
        Ok(modules)
    }

    /// `models`: one slice of all layers.
    pub(super) fn whole(&mut self, node: Node) -> Result<Slice, RecipeError> {
        let at = node.at;
        let mut inputs: Vec<Input> = Vec::new();
        for item in self.source.list(node, "`models`")? {
            let at = item.at;
            let known: Vec<&str> = ["model", "parameters"].into_iter().chain(self.method.companion()).collect();
            let mut fields = self.source.fields(item, "a model", &known, |key| self.stray(key))?;
            let model = ModelRef::parse(self.source, fields.require(self.source, "model")?, "`model`")?;
            let model = self.new_input(&inputs, model)?;
            let companion = self.companion(&mut fields)?;
            let settings = self.settings(fields.take("parameters"), true)?;
            inputs.push(Input { model, layers: None, settings, companion, of: None, at });
        }
        Ok(Slice { inputs, base: None, settings: Settings::new(), at })
    }

    pub(super) fn slices(&mut self, node: Node) -> Result<Vec<Slice>, RecipeError> {
        self.source.list(node, "`slices`")?.into_iter().map(|item| self.slice(item)).collect()
    }

    fn slice(&mut self, node: Node) -> Result<Slice, RecipeError> {
        let at = node.at;
        let known = ["sources", "base_model", "residual_weight", "parameters"];
        let mut fields = self.source.fields(node, "a slice", &known, |key| self.stray(key))?;
        let mut inputs: Vec<Input> = Vec::new();
        for item in self.source.list(fields.require(self.source, "sources")?, "`sources`")? {
            let input = self.input(item, &inputs)?;
            if let Some(first) = inputs.first().filter(|first| layers(first) != layers(&input)) {
                let (wanted, found) = (layers(first), layers(&input));
                let problem = Problem::Value(format!("{found} layers where the first source of the slice has {wanted}"));
                return Err(self.source.error(input.at, problem).hint_is("all sources of a slice have as many layers"));
            }
            inputs.push(input);
        }
        if let Some(node) = fields.take("residual_weight")
            && !matches!(node.value, Value::Integer(_) | Value::Number(_))
        {
            return Err(self.source.mismatch(&node, "`residual_weight`", "a number"));
        }
        let base = match fields.take("base_model") {
            Some(node) => {
                let model = ModelRef::parse(self.source, node, "`base_model`")?;
                Some(self.number(model))
            }
            None => None,
        };
        let settings = self.settings(fields.take("parameters"), false)?;
        Ok(Slice { inputs, base, settings, at })
    }

    fn input(&mut self, node: Node, others: &[Input]) -> Result<Input, RecipeError> {
        let at = node.at;
        let known: Vec<&str> = ["model", "layer_range", "parameters"].into_iter().chain(self.method.companion()).collect();
        let mut fields = self.source.fields(node, "a source of a slice", &known, |key| self.stray(key))?;
        let model = ModelRef::parse(self.source, fields.require(self.source, "model")?, "`model`")?;
        let model = self.new_input(others, model)?;
        let layers = Some(self.layer_range(fields.require(self.source, "layer_range")?)?);
        let companion = self.companion(&mut fields)?;
        let settings = self.settings(fields.take("parameters"), true)?;
        Ok(Input { model, layers, settings, companion, of: None, at })
    }

    /// The second checkpoint of an input, for a method that needs one.
    fn companion(&mut self, fields: &mut Fields) -> Result<Option<usize>, RecipeError> {
        let Some(key) = self.method.companion() else { return Ok(None) };
        let model = ModelRef::parse(self.source, fields.require(self.source, key)?, &format!("`{key}`"))?;
        Ok(Some(self.number(model)))
    }

    fn layer_range(&self, node: Node) -> Result<Range<u32>, RecipeError> {
        let expected = "two layer numbers, [first, end) counted from 0";
        let Value::List(items) = &node.value else { return Err(self.source.mismatch(&node, "`layer_range`", expected)) };
        let number = |node: &Node| match node.value {
            Value::Integer(number) => u32::try_from(number).ok().filter(|number| *number <= MAX_LAYER),
            _ => None,
        };
        let [first, end] = items.as_slice() else { return Err(self.source.mismatch(&node, "`layer_range`", expected)) };
        let first = number(first).ok_or_else(|| self.source.mismatch(first, "`layer_range`", "a layer number"))?;
        let end = number(end).ok_or_else(|| self.source.mismatch(end, "`layer_range`", "a layer number"))?;
        if first >= end {
            let problem = Problem::Value(format!("layer_range [{first}, {end}] holds no layer"));
            return Err(self.source.error(node.at, problem).hint_is("the second number is the layer after the last one"));
        }
        Ok(first..end)
    }

    fn new_input(&mut self, others: &[Input], model: ModelRef) -> Result<usize, RecipeError> {
        let (at, path) = (model.at, model.name().into_owned());
        let number = self.number(model);
        if others.iter().any(|other| other.model == number) {
            return Err(self.source.error(at, Problem::Inputs(format!("model `{path}` is listed twice"))));
        }
        Ok(number)
    }

    /// `parameters`, of one model or of all.
    pub(super) fn settings(&self, node: Option<Node>, of_one_model: bool) -> Result<Settings, RecipeError> {
        let Some(node) = node else { return Ok(Settings::new()) };
        let method = self.method;
        let Value::Map(entries) = node.value else { return Err(self.source.mismatch(&node, "`parameters`", "a mapping")) };
        let mut settings = Settings::new();
        for (key, node) in entries {
            let Some(parameter) = method.parameters().iter().find(|parameter| parameter.name == key.text) else {
                let known: Vec<&str> = method.parameters().iter().map(|parameter| parameter.name).collect();
                let help = match known.is_empty() {
                    true => format!("{} has no parameters", method.name()),
                    false => did_you_mean(&key.text, &known),
                };
                let problem = Problem::UnknownParameter { name: key.text, method: method.name() };
                return Err(self.source.error(key.at, problem).hint_is(help));
            };
            if of_one_model && parameter.scope == Scope::Shared {
                let problem = Problem::SharedParameter { name: parameter.name, method: method.name() };
                let help = "move it to the `parameters` of the recipe, of the slice or of the module";
                return Err(self.source.error(key.at, problem).hint_is(help));
            }
            settings.insert(parameter.name, Setting::parse(self.source, node, parameter)?);
        }
        Ok(settings)
    }

    /// The hint for a parameter of some method that stands beside `parameters` instead of in it.
    pub(super) fn stray(&self, key: &str) -> Option<String> {
        let known = METHODS.iter().flat_map(|method| method.parameters()).any(|parameter| parameter.name == key);
        known.then(|| format!("it belongs one level deeper: `parameters: {{{key}: …}}`"))
    }
}

fn layers(input: &Input) -> usize {
    input.layers.as_ref().map_or(0, |layers| layers.len())
}
