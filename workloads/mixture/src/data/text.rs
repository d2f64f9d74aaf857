//! Documents of text: a plain file is one, each line of a `.jsonl` is one. Both may be compressed (`.gz`, `.zst`).

use super::files::FileProblem;
use serde_json::Value;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// A line of `.jsonl` is no longer.
const LONGEST_LINE: u64 = 1 << 30;

/// Hands over each document of a file.
pub(super) fn documents(
    path: &Path,
    name: &str,
    field: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), FileProblem> {
    let (mut reader, inner) = open(path, name).map_err(|problem| FileProblem::new(path, problem))?;
    if !inner.ends_with(".jsonl") {
        let mut text = vec![];
        reader.read_to_end(&mut text).map_err(|error| FileProblem::new(path, error))?;
        return if text.is_empty() { Ok(()) } else { take(&text).map_err(|problem| FileProblem::new(path, problem)) };
    }
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
        take(text_of(&line, field).map_err(problem)?.as_bytes()).map_err(problem)?;
    }
}

/// The text of a line.
fn text_of(line: &[u8], field: &str) -> Result<String, String> {
    // A line of its own: its number there is always 1.
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string().replace(" at line 1 ", " at "))?;
    match value {
        Value::Object(mut fields) => match fields.remove(field) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("its field {field:?} is no text")),
            None => Err(format!("it has no field {field:?}")),
        },
        _ => Err("it is no JSON object".into()),
    }
}

/// A reader of what is in the file, and the name that this has.
fn open<'a>(path: &Path, name: &'a str) -> Result<(Box<dyn BufRead>, &'a str), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if let Some(inner) = name.strip_suffix(".gz") {
        return Ok((Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))), inner));
    }
    if let Some(inner) = name.strip_suffix(".zst") {
        let decoder = ruzstd::decoding::StreamingDecoder::new(BufReader::new(file)).map_err(|error| error.to_string())?;
        return Ok((Box::new(BufReader::new(decoder)), inner));
    }
    Ok((Box::new(BufReader::new(file)), name))
}
