//! What reads print: deliberate views of the wire's messages, in four forms. The JSON and YAML forms are a stable
//! schema: a field may be added, none may change its name or meaning while `schema` says `braid/v1`.

mod access;
mod explain;
mod fit;
mod infer;
mod job;
mod machine;
mod mix;
mod node;
mod plan;
mod project;
mod replay;
mod table;
mod task;
mod watch;

pub(crate) use access::{AuditList, TokenList};
pub(crate) use explain::ExplanationView;
pub(crate) use fit::FitView;
pub(crate) use infer::InferView;
pub(crate) use job::{JobList, JobShow, state_word};
pub(crate) use mix::{MixFormat, MixView};
#[cfg(feature = "tui")]
pub(crate) use node::node_word;
pub(crate) use node::{NodeList, NodeShow};
pub(crate) use plan::{PlanFormat, PlanView};
pub(crate) use project::ProjectList;
pub(crate) use replay::ReplayView;
pub(crate) use table::fields;
pub(crate) use task::task_word;
pub(crate) use watch::watch;

use crate::error::{Error, Result};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// The version of the JSON and YAML forms.
pub(crate) const SCHEMA: &str = "braid/v1";

/// How a read prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Only the ids, one a line, for use in other commands.
    Name,
}

/// The flags of every read.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ReadArgs {
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Print again after each change, until Ctrl-C or until nothing can change any more
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Something that a read prints.
pub(crate) trait View: Serialize {
    /// For people; `now` in milliseconds since 1970, for ages.
    fn table(&self, now: u64) -> String;
    /// The ids.
    fn names(&self) -> Vec<String>;
    /// Whether it will never change again.
    fn is_final(&self) -> bool;
}

/// The text of a view that is printed once.
pub(crate) fn once(view: &impl View, format: Format) -> Result<String> {
    render(view, format, now(), false)
}

/// The text of a view. `compact` puts JSON on one line, for streams of documents.
fn render(view: &impl View, format: Format, now: u64, compact: bool) -> Result<String> {
    let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot write the output: {error}"));
    Ok(match format {
        Format::Table => view.table(now),
        Format::Json if compact => serde_json::to_string(view).map_err(|error| broken(&error))?,
        Format::Json => serde_json::to_string_pretty(view).map_err(|error| broken(&error))?,
        Format::Yaml => serde_saphyr::to_string(view).map_err(|error| broken(&error))?,
        Format::Name => view.names().join("\n"),
    })
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
