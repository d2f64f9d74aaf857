//! The parts of an Olmix launch file that say what is trained on: sources with paths, and `mix` with a weight and how often each is
//! repeated.

use super::{Document, Format, MixtureError, Shape, demand_formats, only, yaml};
use serde_json::{Map, Value, json};

pub(super) fn write(document: &Document, shape: Shape) -> Result<String, MixtureError> {
    let object = "export to olmix";
    let mixture = only(document, object)?;
    demand_formats(document, object, "npy", &[Format::Npy])?;
    let sources: Vec<Value> = mixture.iter().map(|(source, _)| json!({ "name": source.name, "paths": [source.uri] })).collect();
    let mut mix = Map::new();
    for (source, share) in mixture {
        // What it takes to fill its share of the run; 1 where either is not known.
        let repeated = match (document.tokens, source.tokens) {
            (Some(run), Some(own)) if own > 0 => (share * run as f64 / own as f64).max(1.0),
            _ => 1.0,
        };
        mix.insert(source.name.clone(), json!({ "weight": share, "repetition_factor": repeated }));
    }
    yaml(&json!({
        "training": { "seed": document.seed, "global_batch_size": shape.batch },
        "data": { "sources": sources },
        "mix": mix,
    }))
}
