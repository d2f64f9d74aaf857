//! RegMix's files: tables of mixtures and of losses by `index`, and for each run a YAML with `train: {domain: share}` and
//! `valid: {domain: 1.0}`.

use super::csv::{Table, join};
use crate::{Domains, MixtureError, Proportions, swarm::Swarm};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Reads a table of mixtures and one of losses.
///
/// # Errors
/// As [`olmix::read`](super::olmix::read).
pub fn read((mixtures, mixture_text): (&str, &str), (losses, loss_text): (&str, &str)) -> Result<Swarm, MixtureError> {
    join(Table::read(mixtures, mixture_text, &["index"], &[])?, Table::read(losses, loss_text, &["index"], &[])?)
}

#[derive(Deserialize)]
struct Config {
    train: Map<String, Value>,
}

/// Reads the mixture of one run's YAML; other keys are the trainer's.
///
/// # Errors
/// [`MixtureError::File`] when it is no YAML with `train` weights of one or more domains.
pub fn read_config(file: &str, text: &str) -> Result<(Domains, Proportions), MixtureError> {
    let wrong = |problem: String| MixtureError::File { file: file.into(), problem };
    let config: Config = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let number = |(name, value): (&String, &Value)| {
        value.as_f64().ok_or_else(|| wrong(format!("train, domain {name}: {value} is no number")))
    };
    let shares = config.train.iter().map(number).collect::<Result<_, _>>()?;
    let domains = Domains::new(config.train.keys().cloned()).map_err(|error| wrong(format!("train: {error}")))?;
    // As RegMix does: what was written is a weight.
    let made = Proportions::normalize(shares).map_err(|problem| wrong(format!("train: {problem}")))?;
    Ok((domains, made))
}

/// Writes the YAML of one run; it is evaluated on each of `valid`.
pub fn write_config(domains: &Domains, proportions: &Proportions, valid: &[String], seed: u64) -> String {
    use std::fmt::Write;
    let mut text = String::from("train:\n");
    // Names are JSON strings, which YAML reads too, so that none can be taken for anything else.
    for (name, share) in domains.names().iter().zip(proportions.iter()) {
        let _ = writeln!(text, "  {}: {share}", Value::from(name.as_str()));
    }
    text.push_str("valid:\n");
    for name in valid {
        let _ = writeln!(text, "  {}: 1.0", Value::from(name.as_str()));
    }
    let _ = writeln!(text, "seed: {seed}");
    text
}
