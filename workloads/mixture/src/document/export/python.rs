//! Lines of Python, for libraries whose mixtures are made in code. Names and paths are written as JSON strings, which Python reads.

use super::{Document, Format, MixtureError, demand_formats, only, refuse};
use crate::BatchRule;
use serde_json::Value;
use std::fmt::Write;

fn quoted(text: &str) -> Value {
    Value::from(text)
}

pub(super) fn hugging_face(document: &Document) -> Result<String, MixtureError> {
    let object = "export to hugging-face";
    let mixture = only(document, object)?;
    let known = [Format::Jsonl, Format::Parquet, Format::Text];
    demand_formats(document, object, "jsonl, parquet or text", &known)?;
    if document.batch != BatchRule::Multinomial {
        return Err(refuse(object, "batch", "not multinomial", "multinomial, as it draws every example; or use Braid's sampler"));
    }
    let mut text = String::from("from datasets import interleave_datasets, load_dataset\n\nsources = [\n");
    for (source, _) in &mixture {
        let builder = match source.format {
            Format::Parquet => "parquet",
            Format::Text => "text",
            _ => "json",
        };
        let _ = writeln!(
            text,
            "    load_dataset(\"{builder}\", data_files={}, split=\"train\", streaming=True),  # {}",
            quoted(&source.uri),
            quoted(&source.name)
        );
    }
    let shares: Vec<String> = mixture.iter().map(|(_, share)| share.to_string()).collect();
    let _ = write!(
        text,
        "]\nmixture = interleave_datasets(\n    sources,\n    probabilities=[{}],\n    seed={},\n    stopping_strategy=\"all_exhausted\",\n)\n",
        shares.join(", "),
        document.seed
    );
    Ok(text)
}

pub(super) fn torchtitan(document: &Document) -> Result<String, MixtureError> {
    let object = "export to torchtitan";
    let mixture = only(document, object)?;
    demand_formats(document, object, "jsonl", &[Format::Jsonl])?;
    let mut text =
        String::from("# `dataset(name, path)` makes the data set of a file of JSON lines.\nmix = DatasetMixConfig(datasets=(\n");
    for (source, share) in mixture {
        let _ = writeln!(
            text,
            "    WeightedDataset(dataset=dataset({}, {}), weight={share}),",
            quoted(&source.name),
            quoted(&source.uri)
        );
    }
    text.push_str("))\n");
    Ok(text)
}
