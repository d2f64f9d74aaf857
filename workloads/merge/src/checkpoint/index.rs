//! `model.safetensors.index.json`: which shard holds which tensor. Pure: text in, names out.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path},
};

/// The shard of each tensor.
#[derive(Debug, PartialEq, Eq)]
pub struct Index(pub BTreeMap<String, String>);

#[derive(Deserialize)]
struct File {
    weight_map: WeightMap,
}

struct WeightMap(BTreeMap<String, String>);

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// What is wrong with it, to be read after the name of the file.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let File { weight_map: WeightMap(map) } =
            serde_json::from_slice(text).map_err(|error| format!("is not an index of shards: {error}"))?;
        if map.is_empty() {
            return Err("names no tensor".into());
        }
        match map.iter().find(|(_, shard)| !stays_inside(shard)) {
            Some((tensor, shard)) => {
                Err(format!("puts tensor {tensor:?} into {shard:?}; a shard must be a file in the folder of the checkpoint"))
            }
            None => Ok(Self(map)),
        }
    }
}

/// Whether a path names something below the folder that it is relative to.
fn stays_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shards;
        impl<'de> Visitor<'de> for Shards {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object that gives each tensor its shard")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WeightMap, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((tensor, shard)) = entries.next_entry::<String, String>()? {
                    if map.contains_key(&tensor) {
                        return Err(A::Error::custom(format!("tensor {tensor:?} is named twice")));
                    }
                    map.insert(tensor, shard);
                }
                Ok(WeightMap(map))
            }
        }
        deserializer.deserialize_map(Shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_transformers_writes() {
        let text = br#"{"metadata": {"total_size": 12, "total_parameters": 6}, "weight_map": {"a": "m-1.safetensors", "b": "x/m-2.safetensors"}}"#;
        let index = Index::parse(text).unwrap();
        assert_eq!(
            index.0.into_iter().collect::<Vec<_>>(),
            [("a".into(), "m-1.safetensors".into()), ("b".into(), "x/m-2.safetensors".into())]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            (r#"{}"#, "missing field `weight_map`"),
            (r#"[1]"#, "is not an index of shards"),
            (r#"{"weight_map": ["a"]}"#, "an object that gives each tensor its shard"),
            (r#"{"weight_map": {}}"#, "names no tensor"),
            (r#"{"weight_map": {"a": 3}}"#, "invalid type: integer `3`"),
            (r#"{"weight_map": {"a": "m", "a": "n"}}"#, "tensor \"a\" is named twice"),
            (r#"{"weight_map": {"a": "../m"}}"#, "puts tensor \"a\" into \"../m\"; a shard must be a file in the folder"),
            (r#"{"weight_map": {"a": "x/../../m"}}"#, "a shard must be a file in the folder"),
            (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "a shard must be a file in the folder"),
            (r#"{"weight_map": {"a": ""}}"#, "a shard must be a file in the folder"),
        ] {
            let error = Index::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
