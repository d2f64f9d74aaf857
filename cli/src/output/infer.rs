//! How inferred proportions are shown: a table for people, and a schema for scripts.

use super::{PlanFormat, SCHEMA, table};
use crate::{
    error::{Error, Result},
    units::show_duration,
};
use braid_mixture::infer::Answer;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// `braid mix infer`.
#[derive(Debug, Serialize)]
pub(crate) struct InferView {
    schema: &'static str,
    #[serde(flatten)]
    answer: Answer,
    count_s: f64,
    solve_s: f64,
}

impl InferView {
    pub(crate) fn new(answer: Answer, count: Duration, solve: Duration) -> Self {
        Self { schema: SCHEMA, answer, count_s: count.as_secs_f64(), solve_s: solve.as_secs_f64() }
    }

    pub(crate) fn render(&self, format: PlanFormat) -> Result<String> {
        let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot write the output: {error}"));
        Ok(match format {
            PlanFormat::Table => self.table(),
            PlanFormat::Json => serde_json::to_string_pretty(self).map_err(|error| broken(&error))?,
            PlanFormat::Yaml => serde_saphyr::to_string(self).map_err(|error| broken(&error))?,
        })
    }

    fn table(&self) -> String {
        let Answer { proportions, uncertainty, merges, explained, rows, programs, slack, bound } = &self.answer;
        let percent = |share: Option<&Value>| share.and_then(Value::as_f64).map(|share| format!("{:.2} %", 100.0 * share));
        let line = |(name, share): (&String, &Value)| {
            let within = percent(uncertainty.get(name)).map_or_else(|| "unknown".to_owned(), |within| format!("± {within}"));
            [name.clone(), format!("{:>8}", percent(Some(share)).unwrap_or_default()), within]
        };
        let lines: Vec<[String; 3]> = proportions.iter().map(line).collect();
        let seconds = |seconds: f64| show_duration(Duration::from_secs_f64(seconds));
        let fields = table::fields(&[
            ("merges", Some(format!("{merges} occur in the text, {explained} need no slack"))),
            ("slack", Some(format!("{:.3} % of all pairs; no proportions need less than {:.3} %", 100.0 * slack, 100.0 * bound))),
            ("programs", Some(format!("{programs}, the last of {rows} rows"))),
            ("took", Some(format!("{} to count, {} to solve", seconds(self.count_s), seconds(self.solve_s)))),
        ]);
        format!("{}\n{fields}", table::columns(["CATEGORY", "   BYTES", "WITHIN"], &lines))
    }
}
