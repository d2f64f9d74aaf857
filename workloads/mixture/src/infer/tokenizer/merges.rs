//! The merges of a BPE, in either form that files have them in.

use super::Token;
use serde::Deserialize;
use std::collections::HashMap;

/// One step of training: two tokens that became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merge {
    /// The token on the left.
    pub left: Token,
    /// The token on the right.
    pub right: Token,
    /// The token that they make.
    pub made: Token,
}

/// A merge as the file writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Written {
    /// `["t", "h"]`.
    Pair(String, String),
    /// `"t h"`, in files of older versions.
    Joined(String),
}

impl Written {
    /// Left and right; none where a joined form does not have one space between two tokens.
    pub(super) fn halves(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Joined(text) => {
                text.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
            }
        }
    }
}

/// Finds the tokens of each merge. The right half of a merge loses the prefix of continued words.
pub(super) fn read(written: &[Written], vocab: &HashMap<String, Token>, prefix: &str) -> Result<Vec<Merge>, String> {
    let mut made = String::new();
    let read = |(number, merge): (usize, &Written)| {
        let (left, right) = merge.halves().ok_or_else(|| format!("merge {number} is {merge:?}, and not two tokens"))?;
        made.clear();
        made.push_str(left);
        made.push_str(right.strip_prefix(prefix).unwrap_or(right));
        let find = |token: &str| {
            let number_of = vocab.get(token).copied();
            number_of.ok_or_else(|| {
                format!("merge {number} ({left:?} and {right:?}) needs the token {token:?}, which its vocabulary lacks")
            })
        };
        let merge = Merge { left: find(left)?, right: find(right)?, made: find(&made)? };
        if merge.made == merge.left || merge.made == merge.right {
            return Err(format!("merge {number} ({left:?} and {right:?}) makes one of its halves"));
        }
        Ok(merge)
    };
    written.iter().enumerate().map(read).collect()
}
