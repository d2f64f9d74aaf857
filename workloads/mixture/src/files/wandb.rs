//! The table of runs that Weights & Biases exports as CSV: a run a line, with its configuration and summary as columns.
//!
//! Which columns are proportions and which are metrics nobody but the user knows: they are named, or share a prefix. Runs are
//! told apart by `ID`, or by `Name` where an export has no ids. All other columns are left alone.

use super::csv::{self, join};
use crate::{MixtureError, swarm::Swarm};
use ::csv::StringRecord;

/// By what runs are called.
const KEYS: [&str; 2] = ["ID", "Name"];
/// How far a run came.
const STATE: &str = "State";

/// Some columns of a table.
#[derive(Debug, Clone, Copy)]
pub enum Pick<'a> {
    /// All whose names begin so, such as `mix.`; what follows is the name of the domain or metric.
    Prefix(&'a str),
    /// These, in this order.
    Columns(&'a [&'a str]),
}

/// How a table is to be understood.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// The share of each domain.
    pub proportions: Pick<'a>,
    /// What was measured.
    pub metrics: Pick<'a>,
    /// Refuse a table with a run whose `State` is not `finished`.
    pub finished_alone: bool,
}

/// Reads an export.
///
/// # Errors
/// [`MixtureError::File`] naming the file, line and column: a column that is missing, a run that is there twice or has not finished,
/// what is no number (NaN and empty fields among it), shares that do not sum to one.
pub fn read(file: &str, text: &str, table: &Table<'_>) -> Result<Swarm, MixtureError> {
    let state = |header: &StringRecord, record: &StringRecord| {
        let column = |wanted: &str| header.iter().position(|name| name == wanted).and_then(|index| record.get(index));
        match column(STATE) {
            Some(state) if table.finished_alone && state != "finished" => {
                let run = KEYS.iter().find_map(|key| column(key)).unwrap_or_default();
                Err(format!("column {STATE}: run {run} is {state}, not finished"))
            }
            _ => Ok(()),
        }
    };
    let read = |pick: &Pick<'_>| {
        let mut read = csv::Table::read_some(file, text, &KEYS, |header, _| pick.of(header), state)?;
        if let Pick::Prefix(prefix) = pick {
            read.columns.iter_mut().for_each(|name| *name = name.strip_prefix(prefix).unwrap_or(name).to_owned());
        }
        Ok::<_, MixtureError>(read)
    };
    join(read(&table.proportions)?, read(&table.metrics)?)
}

impl Pick<'_> {
    /// Where the columns are.
    fn of(&self, header: &StringRecord) -> Result<Vec<usize>, String> {
        match self {
            Self::Prefix(prefix) => {
                let places = header.iter().enumerate().filter(|(_, name)| name.starts_with(prefix)).map(|(index, _)| index);
                let places: Vec<usize> = places.collect();
                if places.is_empty() { Err(format!("no column begins with {prefix:?}")) } else { Ok(places) }
            }
            Self::Columns(names) => {
                let place = |wanted: &&str| {
                    let place = header.iter().position(|name| name == *wanted);
                    place.ok_or_else(|| format!("there is no column {wanted:?}"))
                };
                names.iter().map(place).collect()
            }
        }
    }
}
