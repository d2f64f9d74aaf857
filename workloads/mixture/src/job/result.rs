//! What a run comes to: `result.json`.

use crate::{Proportions, online::Cost};
use serde::{Deserialize, Serialize};

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The method that decided its proportions.
    pub method: String,
    /// Its seed.
    pub seed: u64,
    /// Loss in nats a token on the test data of each domain; empty where the run only serves another.
    pub test: Vec<f64>,
    /// The same on validation data, where a law is fitted to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<f64>,
    /// What the method would have another run train on.
    pub learnt: Proportions,
    /// What the run has trained on.
    pub realised: Proportions,
    /// Tokens of each domain that it has read.
    pub tokens: Vec<u64>,
    /// What it has cost.
    pub cost: Cost,
}

impl RunResult {
    /// Mean loss over the domains, in nats a token.
    pub fn mean_loss(&self) -> f64 {
        self.test.iter().sum::<f64>() / self.test.len().max(1) as f64
    }

    /// Mean perplexity over the domains.
    pub fn mean_perplexity(&self) -> f64 {
        self.test.iter().map(|loss| libm::exp(*loss)).sum::<f64>() / self.test.len().max(1) as f64
    }
}
