//! Configurations that are data: MosaicML Streaming, OLMo-core, Levanter.

use super::{Document, Format, MixtureError, Shape, demand_formats, only, refuse, yaml};
use crate::BatchRule;
use serde_json::{Map, Value, json};

/// Keyword arguments of `StreamingDataset`, streams as those of `Stream`.
pub(super) fn streaming(document: &Document) -> Result<String, MixtureError> {
    let object = "export to streaming";
    let mixture = only(document, object)?;
    demand_formats(document, object, "mds or jsonl, in shards with an index.json", &[Format::Mds, Format::Jsonl])?;
    let stream = |(source, share): (&super::super::Source, f64)| json!({ "remote": source.uri, "proportion": share });
    let streams: Vec<Value> = document.domains.iter().zip(mixture.iter()).map(stream).collect();
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
    let source = |(source, share): (&super::super::Source, f64)| {
        let mut entry = Map::new();
        entry.insert("source_name".into(), source.name.clone().into());
        entry.insert("target_ratio".into(), share.into());
        entry.insert("paths".into(), json!([source.uri]));
        entry.extend(document.caps.max_epochs.map(|epochs| ("max_repetition_ratio".into(), epochs.into())));
        Value::Object(entry)
    };
    let sources: Vec<Value> = document.domains.iter().zip(mixture.iter()).map(source).collect();
    yaml(&json!({
        "source_list": { "sources": sources },
        "requested_tokens": tokens,
        "global_batch_size": shape.sequence.saturating_mul(shape.batch),
        "seed": document.seed,
    }))
}

/// `data:` of a run; a schedule names the first sequence of each mixture.
pub(super) fn levanter(document: &Document, shape: Shape) -> Result<String, MixtureError> {
    let object = "export to levanter";
    demand_formats(document, object, "jsonl or parquet", &[Format::Jsonl, Format::Parquet])?;
    let domains = document.names()?;
    let mut periods = vec![];
    for (start, mixture) in document.mixtures()? {
        if start % shape.sequence.max(1) != 0 {
            let wanted = format!("a multiple of the {} tokens of a sequence", shape.sequence);
            return Err(refuse(object, "start_tokens", start, &wanted));
        }
        periods.push((start / shape.sequence.max(1), domains.label(&mixture)));
    }
    let configs: Map<String, Value> =
        document.domains.iter().map(|source| (source.name.clone(), json!({ "train_urls": [source.uri] }))).collect();
    let weights = match periods.as_slice() {
        [(_, only)] => json!(only),
        many => json!(many),
    };
    yaml(&json!({ "data": { "configs": configs, "train_weights": weights, "stop_strategy": "restart" } }))
}
