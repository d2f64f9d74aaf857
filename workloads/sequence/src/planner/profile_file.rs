//! Reading a profile (a cluster or a model) from YAML.

use crate::SequenceError;
use braid_workload::with_key;
use serde::de::DeserializeOwned;

/// Reads `text` of the file `name` and checks what it says.
pub(crate) fn parse<T: DeserializeOwned>(
    name: &str,
    text: &str,
    check: fn(&T) -> Result<(), String>,
) -> Result<T, SequenceError> {
    let error = |problem| SequenceError::Profile { name: name.into(), problem };
    let value: T = serde_saphyr::from_str(text).map_err(|problem| {
        let place = problem.location().map(|at| (at.line(), at.column()));
        error(with_key(text, place, problem.without_snippet().to_string()))
    })?;
    check(&value).map_err(error)?;
    Ok(value)
}

/// There is no built-in profile of this name.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> SequenceError {
    let problem = format!("no built-in {what} of this name; there are {}, or give a file", known.join(", "));
    SequenceError::Profile { name: name.into(), problem }
}
