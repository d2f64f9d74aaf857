//! Configurations that are data: MosaicML Streaming, OLMo-core, Levanter.

use super::{Document, Format, MixtureError, Shape, Source, demand_formats, only, refuse, yaml};
use crate::BatchRule;
use serde_json::{Map, Value, json};

/// Keyword arguments of `StreamingDataset`, streams as those of `Stream`.
pub(super) fn streaming(document: &Document) -> Result<String, MixtureError> {
    let object = "export to streaming";
    let mixture = only(document, object)?;
    demand_formats(document, object, "mds or jsonl, in shards with an index.json", &[Format::Mds, Format::Jsonl])?;
    let stream = |(source, share): (&Source, f64)| json!({ "remote": source.uri, "proportion": share });
    let streams: Vec<Value> = mixture.into_iter().map(stream).collect();
    let method = match document.batch {
        BatchRule::Exact => "stratified",
        BatchRule::Multinomial => "random",
        BatchRule::Floored => return Err(refuse(object, "batch", "floored", "exact or multinomial")),
    };
    let value = json!({ "streams": streams, "batching_method": method, "shuffle": true, "shuffle_seed": document.seed });
    serde_json::to_string_pretty(&value).map(|text| text + "\n").map_err(|error| MixtureError::State(error.to_string()))
}

/// `SourceMixtureDatasetConfig`; it counts the global batch in tokens.
pub(super) fn olmo_core(document: &Document, shape: Shape) -> Result<String, MixtureError> {
    let object = "export to olmo-core";
    let mixture = only(document, object)?;
    demand_formats(document, object, "npy", &[Format::Npy])?;
    let tokens =
        document.tokens.ok_or_else(|| refuse(object, "tokens", "unknown", "the tokens of the run, which it asks for"))?;
    let source = |(source, share): (&Source, f64)| {
        let mut entry = Map::new();
        entry.insert("source_name".into(), source.name.clone().into());
        entry.insert("target_ratio".into(), share.into());
        entry.insert("paths".into(), json!([source.uri]));
        // It repeats once or more often; less than all of a source is a fraction of it.
        if let Some(epochs) = document.caps.max_epochs {
            let name = if epochs < 1.0 { "max_source_fraction" } else { "max_repetition_ratio" };
            entry.insert(name.into(), epochs.into());
        }
        Value::Object(entry)
    };
    let sources: Vec<Value> = mixture.into_iter().map(source).collect();
    yaml(&json!({
        "source_list": { "sources": sources },
        "requested_tokens": tokens,
        "global_batch_size": shape.sequence.saturating_mul(shape.batch),
        "seed": document.seed,
    }))
}

/// Levanter composes in blocks of sequences, of its own default size.
const BLOCK: u64 = 2048;

/// `data:` of a run; a schedule names the first step of each mixture, and mixtures change between blocks alone.
pub(super) fn levanter(document: &Document, shape: Shape) -> Result<String, MixtureError> {
    let object = "export to levanter";
    demand_formats(document, object, "jsonl or parquet", &[Format::Jsonl, Format::Parquet])?;
    let domains = document.names()?;
    let step = shape.sequence.saturating_mul(shape.batch).max(1);
    let (mut periods, mut block) = (vec![], BLOCK);
    for (start, mixture) in document.mixtures()? {
        if start % step != 0 {
            return Err(refuse(object, "start_tokens", start, &format!("a multiple of the {step} tokens of a step")));
        }
        let first = start / shape.sequence.max(1);
        block = (1..=block).rev().find(|block| first.is_multiple_of(*block)).unwrap_or(1);
        periods.push((start / step, domains.label(&mixture)));
    }
    let component = |source: &Source| json!({ "source": { "type": "url", "train_urls": [source.uri] } });
    let components: Map<String, Value> = document.domains.iter().map(|source| (source.name.clone(), component(source))).collect();
    let weights = match periods.as_slice() {
        [(_, only)] => json!(only),
        many => json!(many),
    };
    yaml(&json!({ "data": {
        "components": components, "train_weights": weights, "stop_strategy": "restart", "mixture_block_size": block,
    } }))
}
