//! The Hugging Face hub by its API: the commit that a revision stands for, and what is in it.
//!
//! One question for each repository; from then on the files are read at that commit, which never changes.

use super::{fault::Fault, fetch::Version};
use crate::hub::HubName;
use reqwest::StatusCode;
use serde::Deserialize;

/// Where the hub is, unless HF_ENDPOINT says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// A repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The URL below which its files are.
    pub(super) files: String,
    /// The commit.
    pub(super) commit: String,
    /// The names of its files.
    pub(super) names: Vec<String>,
}

#[derive(Deserialize)]
struct Repository {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Asks the hub about `hf://organisation/name@revision`, in which slashes of the revision are written `%2F`.
pub(super) async fn find(place: &str, client: &reqwest::Client, endpoint: Option<&str>) -> Result<Found, Fault> {
    let written = place.replace("%2F", "/");
    let name = HubName::of_url(&written).ok_or_else(|| Fault::Lasting("it is no organisation/name@revision".into()))?;
    let endpoint = endpoint.unwrap_or(ENDPOINT).trim_end_matches('/');
    let HubName { repository, revision } = &name;
    let url = format!("{endpoint}/api/models/{repository}/revision/{}", revision.replace('/', "%2F"));
    let failed = |error: reqwest::Error| Fault::Failed(format!("{url}: {error}"));
    let answer = client.get(&url).send().await.map_err(failed)?;
    match answer.status() {
        StatusCode::OK => {}
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            return Err(Fault::Refused { status: status.as_u16(), answer: url });
        }
        StatusCode::NOT_FOUND => return Err(Fault::Missing { bucket: false, answer: url }),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Fault::Failed(format!("{url}: status {status}")));
        }
        status => return Err(Fault::Lasting(format!("{url}: status {status}"))),
    }
    let text = answer.bytes().await.map_err(failed)?;
    let Repository { sha, siblings } = serde_json::from_slice(&text)
        .map_err(|error| Fault::Lasting(format!("{url}: the answer is none of the hub's: {error}")))?;
    if sha.is_empty() || !sha.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Fault::Lasting(format!("{url}: {sha:?} is no commit")));
    }
    let names = siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    Ok(Found { files: format!("{endpoint}/{repository}/resolve/{sha}"), commit: sha, names })
}

/// The version of a file at a commit.
pub(super) fn at_commit(version: Version, commit: &str) -> Version {
    Version { tag: Some(commit.to_owned()), modified: 0, ..version }
}
