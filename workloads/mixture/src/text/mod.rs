//! Text in files: which forms of it are read, and how documents come out of each.
//!
//! ```text
//! name ──▶ Kind ─┬─ text      the file is one document        ┐
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
use std::path::Path;

/// The field of a line, or the column of a row, that holds the text, unless another is named.
pub(crate) const FIELD: &str = "text";

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

/// What the name of a file says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) form: Form,
    pub(crate) packing: Packing,
}

impl Kind {
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
}
