//! Small tokenizers for tests.

use super::TokenizerFile;
use serde_json::{Value, json};
use std::path::Path;

/// The text of a BPE tokenizer with these plain tokens, numbered from 0, and these special ones.
pub(crate) fn bpe(plain: &[&str], added: &[(u32, &str)]) -> Value {
    let vocab: serde_json::Map<String, Value> =
        plain.iter().enumerate().map(|(id, token)| ((*token).to_owned(), Value::from(id))).collect();
    json!({
        "version": "1.0",
        "added_tokens": added.iter().map(|(id, content)| special(*id, content)).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": null,
        "model": {"type": "BPE", "unk_token": null, "vocab": vocab, "merges": []},
    })
}

/// An added token that is special.
pub(crate) fn special(id: u32, content: &str) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
    })
}

/// The same, understood.
pub(crate) fn tokenizer(plain: &[&str], added: &[(u32, &str)]) -> TokenizerFile {
    TokenizerFile::parse(Path::new("m"), bpe(plain, added).to_string().as_bytes()).expect("a tokenizer")
}
