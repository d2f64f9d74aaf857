//! How a replay is shown.

use super::{SCHEMA, View, table};
use braid_coordinator::replay::Summary;
use serde::Serialize;

/// `braid sim replay`.
#[derive(Debug, Serialize)]
pub(crate) struct ReplayView {
    schema: &'static str,
    #[serde(flatten)]
    summary: Summary,
}

impl ReplayView {
    pub(crate) fn new(summary: Summary) -> Self {
        Self { schema: SCHEMA, summary }
    }
}

impl View for ReplayView {
    fn table(&self, _now: u64) -> String {
        let summary = &self.summary;
        let mut text = table::fields(&[
            ("recorded by", Some(format!("braid {}", summary.recorded_by))),
            ("terms", Some(summary.terms.to_string())),
            ("events", Some(format!("{}, with {} effects", summary.events, summary.effects))),
            ("decisions", Some(format!("{} placements, {} plans", summary.placements, summary.plans))),
            ("differences", Some(summary.count().to_string())),
        ]);
        for note in &summary.notes {
            text.push_str(&format!("\nnote: {note}\n"));
        }
        for difference in &summary.differences {
            text.push_str(&format!("\nterm {}, event {}: {}\n", difference.term, difference.event, difference.what));
            for (sign, lines) in [('-', &difference.recorded), ('+', &difference.now)] {
                for line in lines {
                    text.push_str(&format!("  {sign} {line}\n"));
                }
            }
        }
        if summary.further_differences > 0 {
            text.push_str(&format!("\nand {} more\n", summary.further_differences));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.summary.differences.iter().map(|difference| format!("{}.{}", difference.term, difference.event)).collect()
    }

    fn is_final(&self) -> bool {
        true
    }
}
