//! The files of a tokenizer that gets tokens, and numbers of tokens in configs.

use super::union::Additions;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The files of which the library of fast tokenizers makes a tokenizer. All others are older forms of the same, which would
/// not know what was added.
const FAST: [&str; 5] =
    [super::file::FILE, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json"];

/// Whether a file that a tokenizer may have is still true where it has got tokens.
pub(crate) fn is_fast(name: &str) -> bool {
    FAST.contains(&name)
}

/// A `tokenizer.json` with these tokens beside its own.
pub(crate) fn with_added(mut tokenizer: Value, additions: &Additions) -> Value {
    let Some(file) = tokenizer.as_object_mut() else { return tokenizer };
    let list = file.entry("added_tokens").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        let added = additions.promoted.iter().chain(&additions.new);
        list.extend(added.filter_map(|token| serde_json::to_value(token).ok()));
        list.sort_by_key(|token| token.get("id").and_then(Value::as_u64));
    }
    tokenizer
}

/// A `tokenizer_config.json` that lists added tokens, with these beside its own.
pub(crate) fn edited(config: &mut Map<String, Value>, additions: &Additions) {
    let Some(Value::Object(list)) = config.get_mut("added_tokens_decoder") else { return };
    for token in additions.promoted.iter().chain(&additions.new) {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(token) else { continue };
        fields.shift_remove("id");
        list.insert(token.id.to_string(), fields.into());
    }
}

/// Numbers of tokens in a config, such as `eos_token_id`, under which other tokens are known now.
pub(crate) fn renumber(config: &mut Map<String, Value>, numbers: &BTreeMap<u32, u32>) {
    let new = |value: &Value| {
        let old = u32::try_from(value.as_u64()?).ok()?;
        numbers.get(&old).copied().map(Value::from)
    };
    for (key, value) in config.iter_mut() {
        match value {
            Value::Object(inner) => renumber(inner, numbers),
            Value::Array(list) if key.ends_with("_token_id") => list.iter_mut().for_each(|one| {
                if let Some(number) = new(one) {
                    *one = number;
                }
            }),
            one if key.ends_with("_token_id") => {
                if let Some(number) = new(one) {
                    *one = number;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        testing::{bpe, special, tokenizer},
        union::additions,
    };
    use super::*;
    use serde_json::json;

    #[test]
    fn added_tokens_stand_in_the_order_of_their_numbers() {
        let base = tokenizer(&["a", "<x>"], &[(2, "<s>")]);
        let found = additions(&base, 3, &[&tokenizer(&["b"], &[(1, "<x>")])], []);
        let text = with_added(bpe(&["a", "<x>"], &[(2, "<s>")]), &found);
        let mut b = special(3, "b");
        (b["normalized"], b["special"]) = (true.into(), false.into());
        assert_eq!(text["added_tokens"], json!([special(1, "<x>"), special(2, "<s>"), b]));
        assert_eq!(text["model"], bpe(&["a", "<x>"], &[])["model"]);
        let mut config = json!({"added_tokens_decoder": {"2": {"content": "<s>"}}}).as_object().cloned().unwrap();
        edited(&mut config, &found);
        let list = &config["added_tokens_decoder"];
        assert_eq!((&list["1"]["content"], &list["3"]["normalized"], list["3"].get("id")), (&json!("<x>"), &json!(true), None));
        let mut without = Map::new();
        edited(&mut without, &found);
        assert!(without.is_empty());
    }

    #[test]
    fn configs_name_tokens_by_their_new_numbers() {
        let mut config = json!({
            "bos_token_id": 0, "eos_token_id": [1, 7, null], "pad_token_id": null, "hidden_size": 1,
            "text_config": {"eos_token_id": 1}, "suppress_tokens": [1],
        });
        let map = BTreeMap::from([(0, 5), (1, 0)]);
        renumber(config.as_object_mut().unwrap(), &map);
        assert_eq!(
            config,
            json!({
                "bos_token_id": 5, "eos_token_id": [0, 7, null], "pad_token_id": null, "hidden_size": 1,
                "text_config": {"eos_token_id": 0}, "suppress_tokens": [1],
            })
        );
    }
}
