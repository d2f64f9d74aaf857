//! How a fitted swarm is shown: a table for people, and a schema for scripts.

use super::{PlanFormat, SCHEMA, table};
use crate::error::{Error, Result};
use braid_mixture::swarm::Study;
use serde::Serialize;
use serde_json::Value;

/// `braid mix fit`.
#[derive(Debug, Serialize)]
pub(crate) struct FitView {
    schema: &'static str,
    #[serde(flatten)]
    study: Study,
}

impl FitView {
    pub(crate) fn new(study: Study) -> Self {
        Self { schema: SCHEMA, study }
    }

    /// What should not be relied on.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.study.metrics.iter().filter_map(|metric| metric.warning.as_deref())
    }

    pub(crate) fn render(&self, format: PlanFormat) -> Result<String> {
        let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot write the output: {error}"));
        match format {
            PlanFormat::Table => Ok(self.table()),
            PlanFormat::Json => serde_json::to_string_pretty(self).map_err(|error| broken(&error)),
            PlanFormat::Yaml => serde_saphyr::to_string(self).map_err(|error| broken(&error)),
        }
    }

    fn table(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.3}"));
        let metrics: Vec<[String; 4]> = self
            .study
            .metrics
            .iter()
            .map(|fit| {
                let held = fit.held_out;
                [fit.metric.clone(), number(held.spearman), number(held.explained), format!("{:.4}", held.error)]
            })
            .collect();
        let share = |share: Option<&Value>| {
            share.and_then(Value::as_f64).map(|share| format!("{:>7.2} %", 100.0 * share)).unwrap_or_default()
        };
        let mixtures: Vec<[String; 3]> = self
            .study
            .proposal
            .iter()
            .map(|(name, proposed)| [name.clone(), share(self.study.prior.get(name)), share(Some(proposed))])
            .collect();
        format!(
            "{}\n{}\n{} runs; each was predicted by a law of others\n",
            table::columns(["METRIC", "RANKS", "R2", "ERROR"], &metrics),
            table::columns(["DOMAIN", "    MEAN", "PROPOSED"], &mixtures),
            self.study.runs,
        )
    }
}
