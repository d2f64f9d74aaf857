//! Where something stands in a recipe.

use std::{fmt, sync::Arc};

/// A position in the text, counted from 1; line 0 means the file as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A position in a named file, printed as editors and compilers do: `ties.yml:4:12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name under which the recipe was given.
    pub file: Arc<str>,
    /// Where in it.
    pub at: Span,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its position.
    pub at: Span,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.at.line > 0 { write!(f, ":{}:{}", self.at.line, self.at.column) } else { Ok(()) }
    }
}
