//! Where the data of a domain lies, as a spec says it. Reads nothing.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The files of a domain. In a spec also just a path, or a list of paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct DomainSource {
    /// Files, or folders that are read with all that is in them, in the order of their names.
    pub paths: Vec<PathBuf>,
    /// The field of a line of `.jsonl`, or the column of a `.parquet`, that holds the text: `text` unless it is named, or else the
    /// only column of strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What a `.bin` without an index beside it holds.
    pub integers: Integers,
    /// Take the first so many tokens alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<u64>,
    /// How many tokens it has, where its trainer reads it and nobody here counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// The integers that a file of tokens is made of, little endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Integers {
    /// Two bytes each.
    #[default]
    Uint16,
    /// Four bytes each.
    Uint32,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a path, a list of paths, or {paths, field, integers, cap, tokens}")]
enum Written {
    Path(PathBuf),
    Paths(Vec<PathBuf>),
    Full(Full),
    /// The trainer knows where it is.
    Elsewhere(()),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    #[serde(default)]
    paths: Vec<PathBuf>,
    field: Option<String>,
    #[serde(default)]
    integers: Integers,
    cap: Option<u64>,
    tokens: Option<u64>,
}

impl DomainSource {
    /// The same with paths made absolute, beginning from `folder`.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        self.paths.iter_mut().for_each(|path| *path = folder.join(&*path));
        self
    }
}

impl From<Written> for DomainSource {
    fn from(written: Written) -> Self {
        let these = |paths| Full { paths, field: None, integers: Integers::default(), cap: None, tokens: None };
        let full = match written {
            Written::Path(path) => these(vec![path]),
            Written::Paths(paths) => these(paths),
            Written::Full(full) => full,
            Written::Elsewhere(()) => these(vec![]),
        };
        let Full { paths, field, integers, cap, tokens } = full;
        Self { paths, field, integers, cap, tokens }
    }
}
