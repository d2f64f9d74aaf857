//! The document as trainers read it. What a trainer cannot do is an error, not left out: most know one mixture for the whole run,
//! and each reads some formats only.

mod configs;
mod megatron;
mod olmix;
mod python;

use super::{Document, Format, Source};
use crate::MixtureError;
use serde::{Deserialize, Serialize};

/// Who is to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trainer {
    /// Arguments of Megatron-LM: `--data-path weight prefix …`. It composes by the largest sampling error, as Braid does.
    Megatron,
    /// Python for Hugging Face `datasets`: `interleave_datasets`, which draws every example.
    HuggingFace,
    /// JSON for MosaicML Streaming: streams with proportions; `stratified` batches where the rule is exact.
    Streaming,
    /// YAML of OLMo-core's `SourceMixtureDatasetConfig`.
    OlmoCore,
    /// YAML of Levanter's data configuration; a schedule is in steps.
    Levanter,
    /// Python for torchtitan: a mix of data sets that the caller has made.
    Torchtitan,
    /// YAML with Olmix's `data` and `mix`.
    Olmix,
}

/// What a document does not say of a trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Tokens of a sequence.
    pub sequence: u64,
    /// Sequences of a batch.
    pub batch: u64,
}

/// Writes a document for a trainer.
///
/// # Errors
/// [`MixtureError::Setting`] naming what the trainer cannot do: a schedule, a format, a batch rule; or that a number is missing.
pub fn export(document: &Document, trainer: Trainer, shape: Shape) -> Result<String, MixtureError> {
    document.check()?;
    match trainer {
        Trainer::Megatron => megatron::write(document, shape),
        Trainer::HuggingFace => python::hugging_face(document),
        Trainer::Streaming => configs::streaming(document),
        Trainer::OlmoCore => configs::olmo_core(document, shape),
        Trainer::Levanter => configs::levanter(document, shape),
        Trainer::Torchtitan => python::torchtitan(document),
        Trainer::Olmix => olmix::write(document, shape),
    }
}

fn refuse(object: &'static str, name: &'static str, value: impl ToString, wanted: &str) -> MixtureError {
    MixtureError::Setting { object, name, value: value.to_string(), wanted: wanted.into() }
}

/// The domains with their share of the one mixture of a document, for trainers that know no schedule. One that has no share is
/// left out: no trainer draws from it, and some refuse it.
fn only<'a>(document: &'a Document, object: &'static str) -> Result<Vec<(&'a Source, f64)>, MixtureError> {
    let mut mixtures = document.mixtures()?;
    match (mixtures.pop(), mixtures.len()) {
        (Some((_, mixture)), 0) => {
            let shares = document.domains.iter().zip(mixture.iter());
            Ok(shares.filter(|(_, share)| *share > 0.0).collect())
        }
        (_, more) => Err(refuse(object, "schedule", format!("of {} periods", more + 1), "one period: its mixture never changes")),
    }
}

/// That every domain is in a format that the trainer reads.
fn demand_formats(document: &Document, object: &'static str, wanted: &str, known: &[Format]) -> Result<(), MixtureError> {
    match document.domains.iter().find(|source| !known.contains(&source.format)) {
        None => Ok(()),
        Some(source) => {
            Err(refuse(object, "format", format!("{:?} for domain {}", source.format, source.name).to_lowercase(), wanted))
        }
    }
}

fn yaml(value: &impl Serialize) -> Result<String, MixtureError> {
    serde_saphyr::to_string(value).map_err(|error| MixtureError::State(error.to_string()))
}
