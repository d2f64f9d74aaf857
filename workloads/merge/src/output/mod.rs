//! Writing a checkpoint so that nobody ever sees half of one.
//!
//! ```text
//!  absent ──prepare──▶ staged ──(tensors written, one by one)──▶ complete ──publish──▶ OUT
//!                        ▲                                          │
//!                        └── killed: prepared again, what is        └── killed: published again,
//!                            verified stays                             the same files
//! ```
//!
//! All work happens in the staging folder beside OUT; publishing is one rename. Where OUT is in a store, that has no rename of folders,
//! its objects are written one by one, and the manifest last: [`prefix`]. Not here: computing tensors.

mod card;
mod companions;
mod files;
mod layout;
mod lock;
mod manifest;
mod place;
mod prefix;
mod progress;
mod publish;
mod scratch;
mod shard_file;
mod staging;
mod staging_prefix;
mod target;

pub(crate) use card::card;
pub(crate) use companions::{companions, pretty, set_template, set_tokenizer, template, tokenizer_text};
pub use layout::{Layout, Place, Shard, TensorShape};
pub(crate) use manifest::{MadeOf, Provenance, digest, manifest, result_digest};
pub(crate) use place::{Output, Staged, Staging};
pub(crate) use prefix::{OutputPrefix, check_url};
pub(crate) use progress::{Claim, Digest, Progress, Record, boot_id};
pub(crate) use publish::{Content, Extra, publish};
pub(crate) use scratch::Scratch;
pub use shard_file::ShardFile;
pub(crate) use staging::{PlanRecord, StagingFolder};
pub(crate) use staging_prefix::StagingPrefix;
pub(crate) use target::{INPUTS, MANIFEST, OutputFolder, STAGES, STAGING, hidden};
