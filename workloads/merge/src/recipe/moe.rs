//! Recipes of mixtures of experts, as `mergekit-moe` reads them: a base, experts with the prompts that should reach them, and how gates are made.
//!
//! Not here: which architectures there are, and whether the checkpoints fit one; see [`crate::moe`].

use super::{
    ModelRef, Problem, Recipe, RecipeError, Settings, dtype,
    fields::{Source, did_you_mean},
    layout::{Input, Reader, Slice},
    node::{Node, Value},
    place::Span,
    unnamed,
};
use crate::methods::Moe;

/// The key that tells such a recipe from one of a merge.
pub(super) const EXPERTS: &str = "experts";

const KEYS: [&str; 9] =
    ["base_model", EXPERTS, "shared_experts", "gate_mode", "dtype", "experts_per_token", "architecture", "name", "merge_method"];

/// More experts than any mixture has.
const MAX_EXPERTS: usize = 1024;

/// What such a recipe says beside its models.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// The experts that gates choose from; at least one.
    pub experts: Vec<Expert>,
    /// Experts that every token goes through.
    pub shared: Vec<Expert>,
    /// How gates are made.
    pub gates: GateMode,
    /// How many experts a token goes to.
    pub experts_per_token: usize,
    /// The beginning of the name of an architecture, where one is asked for.
    pub architecture: Option<String>,
    /// Where the experts stand.
    pub at: Span,
}

/// A model whose MLPs are an expert of every layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Expert {
    /// Which of the recipe's models.
    pub model: usize,
    /// What should reach it.
    pub positive: Vec<String>,
    /// What should not.
    pub negative: Vec<String>,
    /// The standard deviation of what is added to its elements.
    pub noise: Option<f64>,
    /// A factor on what it adds to the residual stream.
    pub residual: Option<f64>,
    /// Where it stands.
    pub at: Span,
}

/// How gates are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateMode {
    /// Drawn from the standard normal distribution.
    Random,
    /// Drawn as PyTorch initialises linear layers: uniformly, up to 1/√(inputs) on both sides of zero.
    UniformRandom,
    /// The mean embedding of the tokens of the prompts, the same in every layer.
    CheapEmbed,
}

impl GateMode {
    /// Whether gates are drawn, and not made of prompts.
    pub fn is_random(self) -> bool {
        !matches!(self, Self::CheapEmbed)
    }
}

/// Whether this is such a recipe.
pub(super) fn is_mixture(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|(key, _)| key.text == EXPERTS))
}

/// Reads one.
pub(super) fn parse(source: Source, root: Node) -> Result<Recipe, RecipeError> {
    let mut fields = source.fields(root, "a recipe with `experts`", &KEYS, |_| None)?;
    if let Some(node) = fields.take("merge_method") {
        let problem = Problem::Value("a recipe with `experts` has no `merge_method`: it puts models side by side".into());
        return Err(source.error(node.at, problem));
    }
    let mut reader = Reader { source: &source, method: &Moe, models: Vec::new() };
    let base = ModelRef::parse(&source, fields.require(&source, "base_model")?, "`base_model`")?;
    let base_at = base.at;
    let base = reader.number(base);
    let experts = fields.require(&source, EXPERTS)?;
    let at = experts.at;
    let experts = list(&mut reader, experts, "`experts`")?;
    let shared = match fields.take("shared_experts") {
        Some(Node { value: Value::List(items), .. }) if items.is_empty() => Vec::new(),
        Some(node) => list(&mut reader, node, "`shared_experts`")?,
        None => Vec::new(),
    };
    let gates = gate_mode(&source, fields.take("gate_mode"), at)?;
    let experts_per_token = match fields.take("experts_per_token") {
        Some(node) => match node.value {
            Value::Integer(number) if (1..=experts.len() as i128).contains(&number) => number as usize,
            _ => {
                let expected = format!("a number from 1 to {}, of the experts", experts.len());
                return Err(source.mismatch(&node, "`experts_per_token`", &expected));
            }
        },
        None if experts.len() < 2 => {
            let problem = Problem::Value("`experts_per_token` is 2 where it is not given, and there is only 1 expert".into());
            return Err(source.error(at, problem).hint_is("add an expert, or `experts_per_token: 1`"));
        }
        None => 2,
    };
    let architecture = fields.take("architecture").map(|node| source.text(node, "`architecture`")).transpose()?;
    let dtype = fields.take("dtype").map(|node| dtype(&source, node, "`dtype`")).transpose()?;
    let name = fields.take("name").map(|node| source.text(node, "`name`")).transpose()?;
    let mixture = Mixture { experts, shared, gates, experts_per_token, architecture: architecture.map(|text| text.value), at };
    check(&source, &mixture)?;
    let input = Input { model: base, layers: None, settings: Settings::new(), companion: None, of: None, at: base_at };
    let slice = Slice { inputs: vec![input], base: None, settings: Settings::new(), at };
    Ok(Recipe {
        name,
        method: &Moe,
        models: reader.models,
        base: Some(base),
        modules: vec![unnamed(vec![slice])],
        settings: Settings::new(),
        lines: None,
        dtype,
        out_dtype: None,
        tokenizer: None,
        chat_template: None,
        mixture: Some(mixture),
        file: source.file,
    })
}

fn list(reader: &mut Reader<'_>, node: Node, what: &str) -> Result<Vec<Expert>, RecipeError> {
    let (source, at) = (reader.source, node.at);
    let items = source.list(node, what)?;
    if items.len() > MAX_EXPERTS {
        return Err(source.error(at, Problem::Value(format!("{what}: more than {MAX_EXPERTS} are no mixture"))));
    }
    items.into_iter().map(|item| expert(reader, item)).collect()
}

fn expert(reader: &mut Reader<'_>, node: Node) -> Result<Expert, RecipeError> {
    let (source, at) = (reader.source, node.at);
    let known = ["source_model", "positive_prompts", "negative_prompts", "noise_scale", "residual_scale"];
    let mut fields = source.fields(node, "an expert", &known, |_| None)?;
    let model = ModelRef::parse(source, fields.require(source, "source_model")?, "`source_model`")?;
    let model = reader.number(model);
    let noise = fields.take("noise_scale").map(|node| number(source, &node, "`noise_scale`")).transpose()?;
    if let Some(noise) = noise.filter(|noise| *noise < 0.0) {
        return Err(source.error(at, Problem::Value(format!("`noise_scale` is a standard deviation, and {noise} is below 0"))));
    }
    Ok(Expert {
        model,
        positive: prompts(source, fields.take("positive_prompts"), "`positive_prompts`")?,
        negative: prompts(source, fields.take("negative_prompts"), "`negative_prompts`")?,
        noise,
        residual: fields.take("residual_scale").map(|node| number(source, &node, "`residual_scale`")).transpose()?,
        at,
    })
}

fn prompts(source: &Source, node: Option<Node>, what: &str) -> Result<Vec<String>, RecipeError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        return Ok(Vec::new());
    }
    let items = source.list(node, what)?;
    items.into_iter().map(|item| source.text(item, what).map(|text| text.value)).collect()
}

fn number(source: &Source, node: &Node, what: &str) -> Result<f64, RecipeError> {
    let number = match node.value {
        Value::Integer(number) => number as f64,
        Value::Number(number) => number,
        _ => f64::NAN,
    };
    // elements are computed with in f32
    if (number as f32).is_finite() { Ok(number) } else { Err(source.mismatch(node, what, "a finite number")) }
}

fn gate_mode(source: &Source, node: Option<Node>, experts: Span) -> Result<GateMode, RecipeError> {
    let why = "`gate_mode: hidden` runs the base model over the prompts, and Braid runs no models";
    let help = "use `cheap_embed`, which needs only the embeddings of the prompts, or `random` to train the gates";
    let Some(node) = node else {
        let problem = Problem::Value(format!("{why}; it is what mergekit takes where no `gate_mode` is given"));
        return Err(source.error(experts, problem).hint_is(help));
    };
    let text = source.text(node, "`gate_mode`")?;
    match text.value.as_str() {
        "random" => Ok(GateMode::Random),
        "uniform_random" => Ok(GateMode::UniformRandom),
        "cheap_embed" => Ok(GateMode::CheapEmbed),
        "hidden" | "hidden_avg" | "hidden_last" => Err(source.error(text.at, Problem::Value(why.into())).hint_is(help)),
        other => {
            let known = ["random", "uniform_random", "cheap_embed"];
            let problem = Problem::Value(format!("`gate_mode`: unknown mode {other:?}"));
            Err(source.error(text.at, problem).hint_is(did_you_mean(other, &known)))
        }
    }
}

/// What mergekit refuses too: prompts that are missing or all the same, and one model in the place of all experts.
fn check(source: &Source, mixture: &Mixture) -> Result<(), RecipeError> {
    let Mixture { experts, shared, gates, at, .. } = mixture;
    let error = |at, text: &str| source.error(at, Problem::Value(text.into()));
    if gates.is_random() {
        return Ok(());
    }
    if let Some(expert) = experts.iter().find(|expert| expert.positive.is_empty()) {
        return Err(error(expert.at, "this expert has no `positive_prompts`, which `cheap_embed` makes its gate of")
            .hint_is("give examples of what should reach it, or use `gate_mode: random`"));
    }
    if let Some(expert) = shared.iter().find(|expert| expert.positive.is_empty() != shared[0].positive.is_empty()) {
        return Err(error(expert.at, "some shared experts have prompts and some have none"));
    }
    if let Some((first, others)) = experts.split_first().filter(|(_, others)| !others.is_empty()) {
        if others.iter().all(|other| (&other.positive, &other.negative) == (&first.positive, &first.negative)) {
            return Err(error(*at, "all experts have the same prompts, so that their gates would be the same"));
        }
        let same = |other: &Expert| other.model == first.model && other.noise.is_none() && first.noise.is_none();
        if others.iter().all(same) {
            return Err(error(*at, "all experts are the same model, so that the result would be that model, only slower")
                .hint_is("to train it afterwards, use `gate_mode: random`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
