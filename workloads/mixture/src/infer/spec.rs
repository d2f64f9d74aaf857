//! What is to be inferred: a tokenizer and the text of each category.

use super::InferError;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, path::PathBuf};

/// The most categories: each is a column of every row.
pub const MAX_CATEGORIES: usize = 512;

/// A tokenizer, and the categories of text that it may have been trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferSpec {
    /// The `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// At least two.
    pub data: Vec<Category>,
    /// Only so many of the first merges are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merges: Option<usize>,
}

/// A category of text: a language, a kind of document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// What it is called.
    pub name: String,
    /// A sample of it: a file, or a folder of files.
    pub path: PathBuf,
}

impl InferSpec {
    /// Checks what the spec alone tells.
    ///
    /// # Errors
    /// [`InferError::Categories`].
    pub fn check(&self) -> Result<(), InferError> {
        let wrong = |problem: String| Err(InferError::Categories(problem));
        let mut names = HashSet::new();
        for Category { name, .. } in &self.data {
            if name.is_empty() {
                return wrong("a category has no name".into());
            }
            if !names.insert(name) {
                return wrong(format!("category `{name}` is named twice"));
            }
        }
        match self.data.len() {
            2..=MAX_CATEGORIES => {}
            0 | 1 => return wrong(format!("of {} category nothing can be inferred: its share is all", self.data.len())),
            many => return wrong(format!("{many} categories are more than {MAX_CATEGORIES}")),
        }
        match self.merges {
            Some(0) => wrong("of 0 merges nothing can be inferred".into()),
            _ => Ok(()),
        }
    }

    /// The merges that are looked at, of those that the tokenizer has.
    pub(crate) fn limit(&self, merges: usize) -> usize {
        self.merges.unwrap_or(merges).min(merges)
    }
}
