//! In place of `columns` where the program was built without parquet.

use std::{ops::Range, path::Path};

/// What is said of a parquet file that is compressed as a whole.
pub(crate) const PACKED: &str = "this program was built without parquet";

/// Reads nothing.
///
/// # Errors
/// Always.
pub(crate) fn documents(
    _: &Path,
    _: Option<&str>,
    _: &Range<u64>,
    _: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    Err("this program was built without parquet".into())
}
