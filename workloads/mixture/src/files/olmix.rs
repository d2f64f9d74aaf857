//! Olmix's tables: `ratios.csv` (a run, its mixture) and `metrics.csv` (the same run, what came out). Runs are named by `run_id`, or by
//! `run` as in the tables that Olmix makes itself; `name` and `index` may be there.

use super::csv::{Table, join, line};
use crate::{MixtureError, swarm::Swarm};

const KEYS: [&str; 2] = ["run_id", "run"];
const IGNORED: [&str; 2] = ["name", "index"];

/// Reads both tables, each a file's name and its text.
///
/// # Errors
/// [`MixtureError::File`] naming the file, line and column: a missing column, no number, shares that do not sum to one, no run in
/// common.
pub fn read((ratios, ratio_text): (&str, &str), (metrics, metric_text): (&str, &str)) -> Result<Swarm, MixtureError> {
    join(Table::read(ratios, ratio_text, &KEYS, &IGNORED)?, Table::read(metrics, metric_text, &KEYS, &IGNORED)?)
}

/// Writes `ratios.csv` and `metrics.csv` as Olmix reads them.
pub fn write(swarm: &Swarm) -> (String, String) {
    let head = |columns: &[String]| line(["run_id", "name"].into_iter().map(String::from).chain(columns.iter().cloned()));
    let row = |id: &String, values: Vec<f64>| line([id.clone(), id.clone()].into_iter().chain(values.iter().map(f64::to_string)));
    let mut ratios = head(swarm.domains.names());
    let mut metrics = head(&swarm.metrics);
    for run in &swarm.runs {
        ratios.push_str(&row(&run.id, run.proportions.iter().collect()));
        metrics.push_str(&row(&run.id, run.values.clone()));
    }
    (ratios, metrics)
}
