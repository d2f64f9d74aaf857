//! Text in files: which forms of it are read, and how documents come out of each.
//!
//! ```text
//! name ──▶ Kind ─┬─ text      the file is one document        ┐     .json is one of these two: its first line tells
//!                ├─ .jsonl    a document a line, in a field   ├─ plain, .gz, .zst ── open.rs
//!                └─ .parquet  a document a row, in a column   ── parquet.rs, row group by row group
//! ```
//!
//! Nothing here knows domains, categories or tokens: `data` makes tokens of documents, and `infer` words.

#[cfg_attr(not(feature = "parquet"), path = "parquet_off.rs")]
pub(crate) mod columns;
mod open;

pub(crate) use open::open;

use serde_json::Value;
use std::{
    io::{self, BufRead as _, Read as _},
    path::Path,
};

/// The field of a line, or the column of a row, that holds the text, unless another is named.
pub(crate) const FIELD: &str = "text";
/// What is looked at of the first line of a `.json`.
const LOOK: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One document.
    Text,
    /// A JSON object a line.
    Lines,
    /// Rows of columns.
    Columns,
}

/// How a file is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// What is known of a file before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) form: Form,
    pub(crate) packing: Packing,
}

impl Kind {
    /// By the name, and of a `.json`, which may be a single value or a value a line, by its first line.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn look(path: &Path) -> io::Result<Self> {
        let named = Self::of(path);
        let form = if is_json(path) && begins_with_an_object(path, named.packing)? { Form::Lines } else { named.form };
        Ok(Self { form, ..named })
    }

    /// By the name alone: a `.json` counts as text.
    pub(crate) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (packing, inner) = if let Some(inner) = name.strip_suffix(".gz") {
            (Packing::Gzip, inner)
        } else if let Some(inner) = name.strip_suffix(".zst") {
            (Packing::Zstd, inner)
        } else {
            (Packing::Plain, &*name)
        };
        let form = match inner.rsplit_once('.') {
            Some((_, "jsonl")) => Form::Lines,
            Some((_, "parquet")) => Form::Columns,
            _ => Form::Text,
        };
        Self { form, packing }
    }
}

fn is_json(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".json", ".json.gz", ".json.zst"].iter().any(|end| name.ends_with(end))
}

/// Whether the first line that is not blank is an object, whole; one that is longer than is looked at, is taken for it.
fn begins_with_an_object(path: &Path, packing: Packing) -> io::Result<bool> {
    let mut start = open(path, packing)?.take(LOOK);
    let mut line = vec![];
    while start.read_until(b'\n', &mut line)? > 0 && line.trim_ascii().is_empty() {
        line.clear();
    }
    let is_cut = start.limit() == 0 && !line.ends_with(b"\n");
    let is_whole = || serde_json::from_slice::<serde_json::Map<String, Value>>(&line).is_ok();
    Ok(line.trim_ascii_start().starts_with(b"{") && (is_cut || is_whole()))
}

/// The text of a line of JSON.
///
/// # Errors
/// What is wrong with the line, in words.
pub(crate) fn field(line: &[u8], field: &str) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_in_a_file() {
        let kind = |name: &str| {
            let Kind { form, packing } = Kind::of(Path::new("some.jsonl/folder").join(name).as_path());
            (form, packing)
        };
        assert_eq!(kind("a.jsonl"), (Form::Lines, Packing::Plain));
        assert_eq!(kind("a.jsonl.zst"), (Form::Lines, Packing::Zstd));
        assert_eq!(kind("a.b.txt.gz"), (Form::Text, Packing::Gzip));
        assert_eq!(kind("a.parquet"), (Form::Columns, Packing::Plain));
        assert_eq!(kind("a.parquet.gz"), (Form::Columns, Packing::Gzip));
        assert_eq!(kind("jsonl"), (Form::Text, Packing::Plain));
        assert_eq!(kind("a.zst"), (Form::Text, Packing::Zstd));
    }

    #[test]
    fn the_first_line_tells_whether_a_json_is_one_value_or_one_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let form = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Kind::look(&path).unwrap().form
        };
        let gzip = |text: &str| {
            let mut writer = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
            writer.finish().unwrap()
        };
        let lines = "\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
        let long = format!("{{\"text\": \"{}\"}}", "a".repeat(LOOK as usize));
        assert_eq!(form("a.json", lines.as_bytes()), Form::Lines);
        assert_eq!(form("a.json.gz", &gzip(lines)), Form::Lines);
        assert_eq!(form("a.json.zst", &zstd::encode_all(lines.as_bytes(), 1).unwrap()), Form::Lines);
        assert_eq!(form("long.json.gz", &gzip(&long)), Form::Lines);
        for text in ["{\n  \"text\": \"a\"\n}\n", "{ \"a\": 1,\n\"b\": 2 }", "[{\"text\": \"a\"}]", "3\n{}", ""] {
            assert_eq!(form("b.json", text.as_bytes()), Form::Text, "{text}");
        }
        assert_eq!(form("a.txt", lines.as_bytes()), Form::Text, "its name says so");
        assert!(Kind::look(&folder.path().join("none.json")).is_err());
    }
}
