//! Taking tensors from an earlier result instead of computing them.
//!
//! ```text
//! earlier result:  braid.json ── of each tensor: its part, the digests of its inputs, that of its bytes
//!                  braid-inputs.json ── of each input file: what tells that it is still the one that was read
//! this merge:      recipe + headers ── part of each tensor
//!
//! same part, and inputs with the same digests ──▶ the bytes are copied, and hashed on the way
//! ```
//!
//! A tensor is addressed by what it is made of: the digest of its [part](part()) of the recipe and the digests of the bytes of its
//! inputs. The digest of an input is known without reading where its file [is](identity) the one that the earlier merge read;
//! otherwise its bytes are hashed now. Copied bytes that have another digest than the earlier result claims are not used.
//!
//! Here is what can be reused; `execute/reuse.rs` does it.

mod identity;
mod part;
mod previous;

pub(crate) use identity::{identities, write_inputs};
pub(crate) use part::part;
pub(crate) use previous::{Earlier, Previous};
