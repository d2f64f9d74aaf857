//! How a mixture is shown when it is done: methods side by side for people, and a schema for scripts.

use super::{SCHEMA, table};
use crate::{
    error::{Error, Result},
    units::show_duration,
};
use braid_mixture::job::{Paired, Row, Summary};
use serde::Serialize;
use std::time::Duration;

/// How a mixture prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MixFormat {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// `braid mix`.
#[derive(Debug, Serialize)]
pub(crate) struct MixView {
    schema: &'static str,
    #[serde(flatten)]
    summary: Summary,
}

impl MixView {
    /// Of what a job of this kind says of itself.
    pub(crate) fn read(details: &str) -> Result<Self> {
        let broken = |error: serde_json::Error| Error::unavailable(format!("what the job says of itself is no mixture: {error}"));
        Ok(Self { schema: SCHEMA, summary: serde_json::from_str(details).map_err(broken)? })
    }

    /// What should not be relied on.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.summary.warnings
    }

    pub(crate) fn render(&self, format: MixFormat, took: Duration) -> Result<String> {
        let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot write the output: {error}"));
        match format {
            MixFormat::Table => Ok(self.table(took)),
            MixFormat::Json => serde_json::to_string_pretty(self).map_err(|error| broken(&error)),
            MixFormat::Yaml => serde_saphyr::to_string(self).map_err(|error| broken(&error)),
        }
    }

    fn table(&self, took: Duration) -> String {
        let rows: Vec<_> = self.summary.methods.iter().map(row).collect();
        let heading = ["METHOD", "PERPLEXITY", "DIFFERENCE", "95 %", "STEPS", "VALIDATIONS", "PROPORTIONS"];
        let mut text = table::columns(heading, &rows);
        text += &format!("{}, took {}\n", self.summary.line(), show_duration(took));
        text
    }
}

fn row(row: &Row) -> [String; 7] {
    let difference = |paired: &Paired| format!("{:+.3}", paired.mean);
    let interval = |paired: &Paired| match (paired.low, paired.high) {
        (Some(low), Some(high)) => format!("{low:+.3} {high:+.3}"),
        _ => "-".into(),
    };
    let shown = |show: &dyn Fn(&Paired) -> String| row.difference.as_ref().map_or_else(|| "-".into(), show);
    [
        row.name.clone(),
        format!("{:.3}", row.perplexity),
        shown(&difference),
        shown(&interval),
        row.steps.to_string(),
        row.validations.to_string(),
        row.proportions.iter().map(|share| format!("{share:.3}")).collect::<Vec<_>>().join(" "),
    ]
}
