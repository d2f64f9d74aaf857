//! Hands over the documents of a file, whatever form it has.

use super::{files::FileProblem, source::DomainSource};
use crate::text::{self, Form, Kind, Packing, columns};
use std::{
    io::{BufRead as _, Read as _},
    path::Path,
};

/// A line of JSON is no longer.
const LONGEST_LINE: u64 = 1 << 30;

/// Hands over each document of a file.
pub(super) fn documents(
    path: &Path,
    source: &DomainSource,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), FileProblem> {
    let kind = Kind::look(path).map_err(|problem| FileProblem::new(path, problem))?;
    if kind.form == Form::Columns {
        let read = match kind.packing {
            Packing::Plain => columns::documents(path, source.field.as_deref(), &(0..u64::MAX), |text| take(text.as_bytes())),
            _ => Err(columns::PACKED.into()),
        };
        return read.map_err(|problem| FileProblem::new(path, problem));
    }
    let mut reader = text::open(path, kind.packing).map_err(|problem| FileProblem::new(path, problem))?;
    if kind.form == Form::Text {
        let mut text = vec![];
        reader.read_to_end(&mut text).map_err(|error| FileProblem::new(path, error))?;
        return if text.is_empty() { Ok(()) } else { take(&text).map_err(|problem| FileProblem::new(path, problem)) };
    }
    let field = source.field.as_deref().unwrap_or(text::FIELD);
    let (mut line, mut number) = (vec![], 0u64);
    loop {
        line.clear();
        number += 1;
        let problem = |problem: String| FileProblem::new(path, format!("line {number}: {problem}"));
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|error| problem(error.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == LONGEST_LINE {
            return Err(problem(format!("it is longer than {} MiB", LONGEST_LINE >> 20)));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        take(text::field(&line, field).map_err(problem)?.as_bytes()).map_err(problem)?;
    }
}
