//! Tokenizers as vocabularies: which tokens a `tokenizer.json` has, under which numbers. No text is cut into tokens here.
//!
//! ```text
//! tokenizer.json of each model ── file (tokens, numbers) ── union (what the output's has beside) ── edit (its files)
//! ```
//!
//! Which row of which embedding a token gets is [`crate::plan`]'s business.

mod edit;
mod file;
#[cfg(test)]
pub(crate) mod testing;
mod union;

pub(crate) use edit::{edited, is_fast, renumber, with_added};
pub use file::{AddedToken, Kind, TokenizerFile};
pub(crate) use file::{FILE, read_json};
pub(crate) use union::{Additions, additions};
