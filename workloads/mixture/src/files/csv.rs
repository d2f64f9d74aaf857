//! Tables of numbers with one column that names the row. Every complaint names the file, the line and the column.

use crate::{Domains, MixtureError, Proportions};
use csv::StringRecord;

/// How far from one the sum of a written mixture may be; files round to three digits, and Olmix allows as much.
const TOLERANCE: f64 = 0.01;

/// Rows by name.
pub(super) struct Table {
    file: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A run and its numbers.
pub(super) struct Row {
    pub(super) name: String,
    /// Where it is in the file, counted from 1.
    line: u64,
    pub(super) values: Vec<f64>,
}

impl Table {
    /// Reads a table whose rows are named by the first of `keys` that it has; columns in `ignored` are left out. At least one
    /// other column must be there.
    pub(super) fn read(file: &str, text: &str, keys: &[&str], ignored: &[&str]) -> Result<Self, MixtureError> {
        let take = |header: &StringRecord, key: usize| {
            let other = |(index, name): &(usize, &str)| *index != key && !ignored.contains(name) && !keys.contains(name);
            let taken: Vec<usize> = header.iter().enumerate().filter(other).map(|(index, _)| index).collect();
            if taken.is_empty() { Err("no column beside the one that names the runs".into()) } else { Ok(taken) }
        };
        Self::read_some(file, text, keys, take, |_, _| Ok(()))
    }

    /// Reads the columns that `take` names of a header and the place of the key. `look` may refuse a row by header and record.
    pub(super) fn read_some(
        file: &str,
        text: &str,
        keys: &[&str],
        take: impl FnOnce(&StringRecord, usize) -> Result<Vec<usize>, String>,
        look: impl Fn(&StringRecord, &StringRecord) -> Result<(), String>,
    ) -> Result<Self, MixtureError> {
        let wrong = |problem: String| MixtureError::File { file: file.into(), problem };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
        if text.trim().is_empty() {
            return Err(wrong("it is empty".into()));
        }
        let key = keys.iter().find_map(|key| header.iter().position(|name| name == *key)).ok_or_else(|| {
            wrong(format!(
                "line 1: expected a column {}, found {}",
                keys.join(" or "),
                header.iter().collect::<Vec<_>>().join(", ")
            ))
        })?;
        let taken = take(&header, key).map_err(|problem| wrong(format!("line 1: {problem}")))?;
        let columns: Vec<String> = taken.iter().filter_map(|&index| header.get(index)).map(String::from).collect();
        let mut rows: Vec<Row> = vec![];
        for record in reader.records() {
            let record = record.map_err(|error| wrong(error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let name = record.get(key).unwrap_or_default().to_owned();
            let column = header.get(key).unwrap_or("run");
            if name.is_empty() {
                return Err(wrong(format!("line {line}, column {column}: it is empty, and names the run")));
            }
            if let Some(earlier) = rows.iter().find(|row| row.name == name) {
                return Err(wrong(format!(
                    "line {line}, column {column}: run {name} is there already, in line {}",
                    earlier.line
                )));
            }
            look(&header, &record).map_err(|problem| wrong(format!("line {line}, {problem}")))?;
            let number = |&index: &usize| {
                let text = record.get(index).unwrap_or_default();
                let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
                value.ok_or_else(|| {
                    wrong(format!("line {line}, column {}: {text:?} is no number", header.get(index).unwrap_or_default()))
                })
            };
            rows.push(Row { name, line, values: taken.iter().map(number).collect::<Result<_, _>>()? });
        }
        if rows.is_empty() {
            return Err(wrong("it has no row below its header".into()));
        }
        Ok(Self { file: file.into(), columns, rows })
    }

    /// The rows as mixtures of the columns.
    pub(super) fn mixtures(self) -> Result<(Domains, Vec<(String, Proportions)>), MixtureError> {
        let file = self.file;
        let domains =
            Domains::new(self.columns).map_err(|error| MixtureError::File { file: file.clone(), problem: error.to_string() })?;
        let mixture = |Row { name, line, values }: Row| {
            let sum: f64 = values.iter().sum();
            if (sum - 1.0).abs() > TOLERANCE {
                let problem = format!("line {line}: the shares of run {name} sum to {sum}, not to 1");
                return Err(MixtureError::File { file: file.clone(), problem });
            }
            let what = format!("{file}, line {line}, run {name}");
            let made = Proportions::normalize(values).map_err(|problem| MixtureError::Proportions { what, problem })?;
            Ok((name, made))
        };
        Ok((domains, self.rows.into_iter().map(mixture).collect::<Result<_, _>>()?))
    }
}

/// Joins mixtures and metrics by the name of the run, in the order of the mixtures; runs without metrics are left out.
pub(super) fn join(ratios: Table, metrics: Table) -> Result<crate::swarm::Swarm, MixtureError> {
    let (file, names) = (metrics.file, metrics.columns);
    let (domains, mixtures) = ratios.mixtures()?;
    let mut values = metrics.rows;
    let mut runs = vec![];
    for (id, proportions) in mixtures {
        if let Some(index) = values.iter().position(|row| row.name == id) {
            runs.push(crate::swarm::SwarmRun { id, proportions, values: values.swap_remove(index).values });
        }
    }
    if runs.is_empty() {
        return Err(MixtureError::File { file, problem: "it has none of the runs of the mixtures".into() });
    }
    Ok(crate::swarm::Swarm { domains, metrics: names, runs })
}

/// One record of a table that is written.
pub(super) fn line(fields: impl IntoIterator<Item = String>) -> String {
    let quoted = |field: String| {
        if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    let mut line = fields.into_iter().map(quoted).collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}
