//! `braid lora`: adapters merged with each other, folded into their base, extracted from two checkpoints. Each verb is a recipe that it
//! writes itself, and a merge from then on.

use super::{absolute, destination, merge};
use crate::{
    console::Console,
    error::{Error, Result},
    units,
    work::WhereArgs,
};
use braid_merge::MergeSpec;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LoraVerb {
    Merge(MergeArgs),
    Fold(FoldArgs),
    Extract(ExtractArgs),
}

/// Several adapters of one base as one adapter
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The folders of the adapters
    #[arg(required = true, value_name = "ADAPTER")]
    adapters: Vec<PathBuf>,
    /// The folder that becomes the adapter; must not exist or be empty
    #[arg(long)]
    out: PathBuf,
    /// The weight of each, in their order [default: 1 for all]
    #[arg(long, value_name = "W,W…", value_delimiter = ',', value_parser = units::number, allow_negative_numbers = true)]
    weights: Vec<f64>,
    /// Cut the result to this rank [default: the sum of the ranks, which is exact]
    #[arg(long, value_name = "R", value_parser = rank)]
    rank: Option<u32>,
    #[command(flatten)]
    more: Common,
}

/// A base with an adapter on it as a checkpoint
#[derive(Debug, clap::Args)]
pub(crate) struct FoldArgs {
    /// The folder of the base
    base: PathBuf,
    /// The folder of the adapter
    adapter: PathBuf,
    /// The folder that becomes the checkpoint, or its URL in a store; must not exist or be empty
    out: PathBuf,
    /// Largest file of the result
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = units::size)]
    max_shard_size: u64,
    #[command(flatten)]
    more: Common,
}

/// What a model changed in its base, as an adapter
#[derive(Debug, clap::Args)]
pub(crate) struct ExtractArgs {
    /// The folder of the base
    base: PathBuf,
    /// The folder of the model trained from it
    model: PathBuf,
    /// The folder that becomes the adapter; must not exist or be empty
    out: PathBuf,
    /// The rank of each module
    #[arg(long, value_name = "R", value_parser = rank)]
    rank: u32,
    /// Leave out tensors that are no matrices, instead of keeping them whole
    #[arg(long)]
    matrices_only: bool,
    /// Chooses the directions that are tried
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = units::whole::<u64>, allow_negative_numbers = true)]
    random_seed: u64,
    #[command(flatten)]
    more: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Type of the result: float32, float16 or bfloat16
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<String>,
    #[command(flatten)]
    place: WhereArgs,
}

pub(super) async fn run(verb: LoraVerb, console: &Console) -> Result {
    let start = Instant::now();
    let (spec, place) = match verb {
        LoraVerb::Merge(args) => merged(args)?,
        LoraVerb::Fold(args) => folded(args)?,
        LoraVerb::Extract(args) => extracted(args)?,
    };
    merge::check(&spec)?;
    merge::submit(&spec, place, console, start).await
}

fn merged(args: MergeArgs) -> Result<(MergeSpec, WhereArgs)> {
    let (models, weights) = (args.adapters.len(), args.weights.len());
    if weights != 0 && weights != models {
        return Err(Error::usage(format!("--weights: there are {weights} for {models} adapters"))
            .with_hint("give one for each adapter, with commas between: --weights 0.5,1"));
    }
    let weight = |index: usize| args.weights.get(index).copied().unwrap_or(1.0);
    let input = |(index, path): (usize, &PathBuf)| Ok(json!({"model": model(path)?, "parameters": {"weight": weight(index)}}));
    let models = args.adapters.iter().enumerate().map(input).collect::<Result<Vec<Value>>>()?;
    let parameters = args.rank.map_or_else(|| json!({}), |rank| json!({ "rank": rank }));
    let recipe = json!({"merge_method": "lora_merge", "models": models, "parameters": parameters});
    spec("lora merge", recipe, &args.out, args.more, |_| {})
}

fn folded(args: FoldArgs) -> Result<(MergeSpec, WhereArgs)> {
    let mut both = model(&args.base)?;
    both["lora"] = json!({ "path": text(&args.adapter)? });
    let recipe = json!({"merge_method": "passthrough", "models": [{ "model": both }]});
    spec("lora fold", recipe, &args.out, args.more, |spec| spec.max_shard_size = args.max_shard_size)
}

fn extracted(args: ExtractArgs) -> Result<(MergeSpec, WhereArgs)> {
    let recipe = json!({
        "merge_method": "lora_extract",
        "base_model": model(&args.base)?,
        "models": [{ "model": model(&args.model)? }],
        "parameters": {"rank": args.rank, "save": !args.matrices_only},
    });
    spec("lora extract", recipe, &args.out, args.more, |spec| spec.seed = args.random_seed)
}

/// Reads the rank of an adapter. In a recipe 0 keeps some tensors whole; of a whole adapter it would leave nothing.
fn rank(text: &str) -> std::result::Result<u32, String> {
    const MOST: u32 = 1 << 16;
    match text.parse() {
        Ok(rank) if (1..=MOST).contains(&rank) => Ok(rank),
        _ => Err(format!("not a whole number from 1 to {MOST}")),
    }
}

/// A folder as a recipe names it, whatever characters it has.
fn model(path: &Path) -> Result<Value> {
    Ok(json!({"model": {"path": text(path)?}}))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::usage(format!("{} is not UTF-8, as recipes are", path.display())))
}

fn spec(
    verb: &str,
    mut recipe: Value,
    out: &Path,
    more: Common,
    change: impl FnOnce(&mut MergeSpec),
) -> Result<(MergeSpec, WhereArgs)> {
    if let Some(dtype) = more.dtype {
        recipe["dtype"] = dtype.into();
    }
    let mut spec = MergeSpec {
        // JSON is YAML
        recipe: format!("{recipe:#}\n"),
        recipe_file: format!("braid {verb}"),
        directory: absolute(Path::new("."))?,
        out: destination(out)?,
        max_shard_size: braid_merge::DEFAULT_MAX_SHARD,
        seed: 0,
        reuse: None,
    };
    change(&mut spec);
    Ok((spec, more.place))
}
