//! The mixture document: on what a run trains, as one file that people, jobs and trainers share.
//!
//! ```yaml
//! version: 1
//! domains:
//!   - {name: web, uri: data/web.jsonl.zst, format: jsonl, tokens: 900000}
//!   - {name: code, uri: data/code.jsonl.zst, format: jsonl, tokens: 100000}
//! schedule:
//!   - {start_tokens: 0, weights: {web: 0.8, code: 0.2}}
//!   - {start_tokens: 400000, weights: {web: 0.6, code: 0.4}}
//! caps: {max_epochs: 4}
//! batch: exact
//! tokens: 500000
//! seed: 7
//! ```
//!
//! Weights are shares of tokens. A document is checked as a whole when it is read: names, sums, an ascending schedule, and that no
//! domain has fewer tokens than the schedule takes from it within its cap. [`export`] writes it for trainers, [`import`] makes one
//! of what other tools have found.

mod check;
pub mod export;
pub mod import;
#[cfg(test)]
mod tests;

use crate::{BatchRule, Domains, MixtureError, Proportions};
use braid_workload::plainly;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version that is written; others are refused.
pub const VERSION: u32 = 1;

/// A mixture and what it is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// What is mixed, in order.
    pub domains: Vec<Source>,
    /// The mixtures; the first from token 0, each later one from a later token.
    pub schedule: Vec<Period>,
    /// What a run may not exceed.
    #[serde(default)]
    pub caps: CapRule,
    /// How batches are composed.
    #[serde(default)]
    pub batch: BatchRule,
    /// Tokens of the whole run, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Keys the order of the data.
    #[serde(default)]
    pub seed: u64,
}

/// A data group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Where its data is: a file, a folder or a pattern, as the trainer understands it.
    pub uri: String,
    /// What is there.
    pub format: Format,
    /// How many tokens, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// How data lies on disk. Compression shows in the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
    /// Plain text.
    Text,
    /// Token ids of 16 or 32 bits, with an index beside them or without.
    Bin,
    /// Token ids as NumPy writes them.
    Npy,
    /// MosaicML's shards.
    Mds,
}

/// A mixture from a token on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// The first token that is trained with it.
    pub start_tokens: u64,
    /// The share of each domain.
    pub weights: Map<String, Value>,
}

/// What a run may not exceed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapRule {
    /// How often a domain's data may be seen; any number of times unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_epochs: Option<f64>,
}

impl Document {
    /// One mixture for the whole run.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of(sources: Vec<Source>, proportions: &Proportions, seed: u64) -> Result<Self, MixtureError> {
        let domains = Domains::new(sources.iter().map(|source| source.name.clone()))?;
        domains.check_len("proportions of the document", proportions.len())?;
        let weights = domains.label(proportions);
        let schedule = vec![Period { start_tokens: 0, weights }];
        let (caps, batch) = (CapRule::default(), BatchRule::default());
        let made = Self { version: VERSION, domains: sources, schedule, caps, batch, tokens: None, seed };
        made.check().map(|()| made)
    }

    /// Reads YAML or JSON, and checks it.
    ///
    /// # Errors
    /// [`MixtureError::File`] with place and reason where the text is no document; else what is wrong in it: names, sums, order,
    /// too little data.
    pub fn read(file: &str, text: &str) -> Result<Self, MixtureError> {
        let wrong = |problem: String| MixtureError::File { file: file.into(), problem };
        let document: Self = serde_saphyr::from_str(text).map_err(|problem| {
            let place = problem.location().map(|at| (at.line(), at.column()));
            wrong(plainly(text, place, problem.without_snippet().to_string()))
        })?;
        document.check()?;
        Ok(document)
    }

    /// Writes YAML.
    ///
    /// # Errors
    /// [`MixtureError::State`] where a number cannot be written, which a checked document does not have.
    pub fn write(&self) -> Result<String, MixtureError> {
        serde_saphyr::to_string(self).map_err(|error| MixtureError::State(error.to_string()))
    }

    /// The names, in order.
    ///
    /// # Errors
    /// [`MixtureError::Domains`].
    pub fn names(&self) -> Result<Domains, MixtureError> {
        Domains::new(self.domains.iter().map(|source| source.name.clone()))
    }

    /// The mixtures of the schedule in the order of the domains, each with its first token.
    ///
    /// # Errors
    /// Weights of other domains, that are no numbers, or that do not sum to one.
    pub fn mixtures(&self) -> Result<Vec<(u64, Proportions)>, MixtureError> {
        let domains = self.names()?;
        self.schedule.iter().map(|period| Ok((period.start_tokens, check::weights(&domains, period)?))).collect()
    }
}
