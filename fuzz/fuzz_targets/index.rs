//! An index of shards from a stranger: refused, or every shard is a path below the folder.

#![no_main]

use braid_merge::checkpoint::Index;
use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};

fuzz_target!(|text: &[u8]| {
    let Ok(Index(shards)) = Index::parse(text) else { return };
    for shard in shards.values() {
        let path = Path::new("/model").join(shard);
        assert!(path.starts_with("/model"), "{shard:?}");
        assert!(!path.components().any(|part| part == Component::ParentDir), "{shard:?}");
    }
});
