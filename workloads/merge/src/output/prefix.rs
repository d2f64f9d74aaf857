//! A folder of a store that is to become the result, and whether it may.
//!
//! ```text
//! s3://bucket/
//!   .OUT.braid/       while the merge runs, as `staging_prefix` has it
//!   OUT/
//!     model-….safetensors    each whole once it is there
//!     config.json, …
//!     braid.json             written last: where it is, all is
//! ```

use super::{
    staging::PlanRecord,
    staging_prefix::{PLAN, Whose, begun, forget, whose},
    target::{ANOTHER, HOLDS_MERGE, INPUTS, MANIFEST, holds},
};
use crate::{
    MergeError,
    checkpoint::{Sources, Store},
};
use serde::Deserialize;
use std::sync::Arc;

/// The schemes of stores that take results.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];

/// Where the result goes, and what is kept beside it while it is made.
#[derive(Debug, Clone)]
pub(crate) struct OutputPrefix {
    /// The URL of the result, without a slash at its end.
    pub out: String,
    /// The URL beside it of what is remembered while it is made.
    pub staging: String,
    /// What [`INPUTS`] says of the files that the result is made of; known when they have been opened.
    pub inputs: String,
    pub(super) store: Arc<dyn Store>,
}

/// Requires that results can go to this URL: to a folder in a bucket. Asks nobody.
///
/// # Errors
/// A scheme that no result goes to; a whole bucket.
pub(crate) fn check_url(url: &str) -> Result<(), MergeError> {
    let refused = |problem: &str, hint: &str| MergeError::Output {
        path: url.into(),
        problem: problem.to_owned(),
        hint: Some(hint.to_owned()),
    };
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if !SCHEMES.contains(&scheme) {
        return Err(refused(
            "results are written to folders, and to s3://, gs:// and az:// alone",
            "give a folder, or a folder in a bucket",
        ));
    }
    match rest.trim_end_matches('/').split_once('/') {
        Some((bucket, folder)) if !bucket.is_empty() && !folder.starts_with('/') => Ok(()),
        _ => Err(refused("is no name of a folder in a bucket", "give a folder that the merge may fill")),
    }
}

impl OutputPrefix {
    /// The result at this URL.
    ///
    /// # Errors
    /// A URL that cannot become one; a program without stores.
    pub(crate) fn new(url: &str, sources: &Sources) -> Result<Self, MergeError> {
        check_url(url)?;
        let out = url.trim_end_matches('/').to_owned();
        let (parent, name) = out.rsplit_once('/').unwrap_or_default();
        let staging = format!("{parent}/.{name}.braid");
        Ok(Self { staging, inputs: String::new(), store: sources.store_of_result(url)?, out })
    }

    /// Requires that the merge of this record could be made here, or is there already, which is what it returns; writes nothing.
    pub(super) fn check(&self, plan: &PlanRecord) -> Result<bool, MergeError> {
        if self.is_made(plan)? {
            return Ok(true);
        }
        if begun(self, plan)?.is_none() {
            self.require_free()?;
        }
        Ok(false)
    }

    /// Whether the result of this very merge is there: of the same plan, and of the same inputs by what tells them from others. The
    /// times that stores give are in whole seconds of their own clocks, and decide nothing.
    pub(super) fn is_made(&self, plan: &PlanRecord) -> Result<bool, MergeError> {
        #[derive(Deserialize)]
        struct Manifest {
            plan: String,
        }
        let Some(text) = self.store.read(&self.object(MANIFEST))? else { return Ok(false) };
        let same = serde_json::from_slice(&text).is_ok_and(|manifest: Manifest| manifest.plan == plan.plan);
        Ok(same && self.store.read(&self.object(INPUTS))?.is_some_and(|inputs| inputs == self.inputs.as_bytes()))
    }

    /// Requires that there is no object right in the folder. What folders below it hold is no part of a checkpoint.
    pub(super) fn require_free(&self) -> Result<(), MergeError> {
        let names = self.store.names(&self.out)?.unwrap_or_default();
        match names.iter().min() {
            None => Ok(()),
            Some(_) if names.iter().any(|name| name == MANIFEST) => Err(self.refuse(HOLDS_MERGE.into(), ANOTHER)),
            Some(first) => Err(self.refuse(holds(first), ANOTHER)),
        }
    }

    /// Removes what was made here of other inputs than those of this record. The place of the result that it is for must be that of this
    /// merge: then nobody works here but attempts at it, of which one that was given up may still run.
    pub(super) fn make_way(&self, plan: &PlanRecord) -> Result<(), MergeError> {
        let mut names = self.store.names(&self.out)?.unwrap_or_default();
        // Asked last: what another attempt has begun since is not in the way.
        let whose = whose(self, plan)?;
        let nothing = names.is_empty() && matches!(whose, Whose::Nobodys);
        if nothing || matches!(whose, Whose::Ours(_)) || self.is_made(plan)? {
            return Ok(());
        }
        // Without its manifest nobody takes the rest for a result.
        names.sort_by_key(|name| name != MANIFEST);
        names.iter().try_for_each(|name| self.store.remove(&self.object(name)))?;
        forget(self)
    }

    /// Removes all that is in the folder in which the result lies.
    pub(super) fn remove_parent(&self) -> Result<(), MergeError> {
        let (parent, _) = self.out.rsplit_once('/').unwrap_or_default();
        let mut names = self.store.below(parent)?;
        // As long as there is a manifest, all that it names is there; and as long as something is remembered, the plan that it is of.
        let last = |name: &str| name.ends_with(&format!("/{PLAN}"));
        names.sort_by_key(|name| (!name.ends_with(&format!("/{MANIFEST}")), last(name)));
        names.iter().try_for_each(|name| self.store.remove(&format!("{parent}/{name}")))
    }

    pub(super) fn refuse(&self, problem: String, hint: &str) -> MergeError {
        MergeError::Output { path: self.out.clone().into(), problem, hint: Some(hint.to_owned()) }
    }

    /// The URL of an object of the result.
    pub(super) fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_to_folders_in_buckets() {
        for url in ["s3://bucket/out", "gs://bucket/a/b/", "az://container/x", "abfss://container@account.dfs/x"] {
            check_url(url).unwrap();
        }
        for url in ["https://host/x", "hf://org/name", "ftp://host/x", "S3://bucket/out"] {
            assert!(check_url(url).unwrap_err().to_string().contains("results are written to folders, and to s3://"), "{url}");
        }
        for url in ["s3://bucket", "s3://bucket/", "s3://bucket//", "s3:///out", "s3://bucket//out"] {
            assert!(check_url(url).unwrap_err().to_string().ends_with("is no name of a folder in a bucket"), "{url}");
        }
    }

    #[test]
    fn without_a_store_a_result_is_refused_with_what_to_do() {
        let error = OutputPrefix::new("s3://bucket/out", &Sources::mounted()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot write to s3://bucket/out: this program was built without the feature cloud"), "{text}");
        assert!(error.hint().unwrap().contains("--features cloud"));
    }
}
