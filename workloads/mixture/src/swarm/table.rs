//! What a swarm has measured: mixtures and metrics of runs.

use crate::{Domains, MixtureError, Proportions};

/// Runs on known mixtures.
#[derive(Debug, Clone, PartialEq)]
pub struct Swarm {
    /// What was mixed.
    pub domains: Domains,
    /// What was measured, such as the validation loss of each domain.
    pub metrics: Vec<String>,
    /// One a mixture.
    pub runs: Vec<SwarmRun>,
}

/// One run of a swarm.
#[derive(Debug, Clone, PartialEq)]
pub struct SwarmRun {
    /// Its name.
    pub id: String,
    /// What it trained on.
    pub proportions: Proportions,
    /// What came out, in the order of the metrics.
    pub values: Vec<f64>,
}

impl Swarm {
    /// Where a metric is.
    ///
    /// # Errors
    /// [`MixtureError::Setting`] naming those that there are.
    pub fn metric(&self, name: &str) -> Result<usize, MixtureError> {
        self.metrics.iter().position(|own| own == name).ok_or_else(|| MixtureError::Setting {
            object: "swarm",
            name: "aim",
            value: name.to_owned(),
            wanted: format!("one of the metrics {}", self.metrics.join(", ")),
        })
    }

    /// Mixtures and values of one metric, of the first `runs` runs.
    pub fn column(&self, metric: usize, runs: usize) -> (Vec<Proportions>, Vec<f64>) {
        let rows = self.runs.iter().take(runs);
        rows.filter_map(|run| Some((run.proportions.clone(), *run.values.get(metric)?))).unzip()
    }
}
