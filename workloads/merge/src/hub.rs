//! Names on the Hugging Face hub, and the folder in which its tools keep what they have downloaded.
//!
//! ```text
//! CACHE/models--ORGANISATION--NAME/refs/REVISION     the commit that a branch or tag stands for
//!                                 /snapshots/COMMIT/ the files, as links
//! ```
//!
//! Here nothing goes over the network; `cloud/hub.rs` asks the hub itself.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// What an URL of the hub begins with.
pub(crate) const SCHEME: &str = "hf://";

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubName {
    /// `organisation/name`.
    pub repository: String,
    /// A branch, tag or commit.
    pub revision: String,
}

impl HubName {
    /// Reads `organisation/name` or `organisation/name@revision`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (organisation, name) = repository.split_once('/')?;
        let plain = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                && !part.starts_with('.')
        };
        // A branch may have slashes in its name, but leads out of no folder.
        let is_revision = revision.split('/').all(plain);
        (plain(organisation) && plain(name) && is_revision)
            .then(|| Self { repository: repository.into(), revision: revision.into() })
    }

    /// Reads `hf://organisation/name@revision`.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        Self::parse(url.strip_prefix(SCHEME)?.trim_end_matches('/'))
    }

    /// Whether the revision is a commit, which never changes.
    pub(crate) fn is_commit(&self) -> bool {
        self.revision.len() == 40 && self.revision.chars().all(|c| c.is_ascii_hexdigit())
    }
}

/// What the environment says about the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hub {
    /// The folder of what was downloaded.
    pub cache: Option<PathBuf>,
    /// Nothing may go over the network.
    pub offline: bool,
}

impl Hub {
    /// As this process finds it.
    pub(crate) fn of_environment() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    /// With the variables that the hub's own tools look at.
    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = |name: &str| set(name).map(PathBuf::from);
        let home = || {
            let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
            Some(cache.join("huggingface"))
        };
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(folder("HF_HOME").or_else(home)?.join("hub")));
        let truth = |value: OsString| {
            value.to_str().is_some_and(|text| matches!(text.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
        };
        Self { cache, offline: set("HF_HUB_OFFLINE").is_some_and(truth) }
    }

    /// The folder with the files of this model, if they have been downloaded.
    pub(crate) fn snapshot(&self, name: &HubName) -> Option<PathBuf> {
        let model = self.cache.as_ref()?.join(format!("models--{}", name.repository.replace('/', "--")));
        let commit = match fs::read_to_string(model.join("refs").join(&name.revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => name.revision.clone(),
        };
        // What a file says is no path until it looks like a commit.
        let is_name = !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric());
        Some(model.join("snapshots").join(commit)).filter(|folder| is_name && Path::is_dir(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_paths() {
        let parse = |text: &str| HubName::parse(text).map(|name| (name.repository, name.revision));
        let pair = |repository: &str, revision: &str| Some((repository.to_owned(), revision.to_owned()));
        assert_eq!(parse("org/Name-7B.v2"), pair("org/Name-7B.v2", "main"));
        assert_eq!(parse("org/name@refs/pr/1"), pair("org/name", "refs/pr/1"));
        for none in [
            "name",
            "/org/name",
            "a/b/c",
            "./name",
            "../name",
            "org/",
            "org/name@",
            "org/name@../../x",
            "org/name@a//b",
            "org/na me",
        ] {
            assert_eq!(parse(none), None, "{none}");
        }
        assert_eq!(HubName::of_url("hf://org/name/").unwrap().repository, "org/name");
        assert_eq!(HubName::of_url("s3://org/name"), None);
        assert!(HubName::parse(&format!("org/name@{}", "0f".repeat(20))).unwrap().is_commit());
        assert!(!HubName::parse("org/name").unwrap().is_commit());
    }

    #[test]
    fn the_environment_says_where_the_cache_is() {
        let hub = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> = set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            Hub::of(move |name| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
        };
        let cache = |set: &[(&str, &str)]| hub(set).cache.map(|path| path.display().to_string()).unwrap_or_default();
        assert_eq!(cache(&[("HOME", "/h")]), "/h/.cache/huggingface/hub");
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), "/x/huggingface/hub");
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "/f")]), "/f/hub");
        assert_eq!(cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), "/c");
        assert_eq!(cache(&[]), "");
        for (value, offline) in [("1", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(hub(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value:?}");
        }
    }

    #[test]
    fn a_snapshot_is_found_by_branch_and_by_commit() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("models--org--name");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        fs::create_dir_all(model.join("refs")).unwrap();
        fs::create_dir_all(model.join("snapshots").join(commit)).unwrap();
        fs::write(model.join("refs/main"), format!("{commit}\n")).unwrap();
        fs::write(model.join("refs/bad"), "../../..").unwrap();
        fs::write(model.join("refs/gone"), "a".repeat(40)).unwrap();
        let hub = Hub { cache: Some(folder.path().to_owned()), offline: false };
        let snapshot = |text: &str| hub.snapshot(&HubName::parse(text).unwrap());
        let expected = Some(model.join("snapshots").join(commit));
        assert_eq!(snapshot("org/name"), expected);
        assert_eq!(snapshot(&format!("org/name@{commit}")), expected);
        for none in ["org/name@bad", "org/name@gone", "org/name@other", "org/else"] {
            assert_eq!(snapshot(none), None, "{none}");
        }
    }
}
