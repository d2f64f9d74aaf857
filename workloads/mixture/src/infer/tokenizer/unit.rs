//! Whether training cut its texts into lines, which the merges tell.
//!
//! A trainer that is given files reads them line by line, each with its end; one that is given documents sees what follows
//! a line's end. Only in the second case can a token go on after the end of a line.

use super::merges::Written;

/// What training took for one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A line with its end.
    Line,
    /// A whole document.
    Document,
}

impl Unit {
    /// `byte_level`: tokens are written in the letters of bytes.
    pub(super) fn of(merges: &[Written], byte_level: bool) -> Self {
        let newline = if byte_level { 'Ċ' } else { '\n' };
        let goes_on = |merge: &Written| merge.halves().is_some_and(|(left, _)| left.contains(newline));
        if merges.iter().any(goes_on) { Self::Document } else { Self::Line }
    }
}
