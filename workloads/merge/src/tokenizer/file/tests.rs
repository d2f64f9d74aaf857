use super::*;
use crate::tokenizer::testing::{bpe, tokenizer};
use serde_json::{Value, json};
use std::fs;

fn parse(value: &Value) -> Result<TokenizerFile, MergeError> {
    TokenizerFile::parse(Path::new("m"), value.to_string().as_bytes())
}

#[test]
fn every_kind_is_understood() {
    let numbered = json!({"a": 0, "b": 1});
    for (model, expected) in [
        (json!({"type": "BPE", "vocab": numbered, "merges": []}), Kind::Bpe),
        (json!({"vocab": numbered, "merges": [["a", "b"]]}), Kind::Bpe),
        (json!({"type": "WordPiece", "vocab": numbered}), Kind::WordPiece),
        (json!({"vocab": numbered, "continuing_subword_prefix": "##"}), Kind::WordPiece),
        (json!({"type": "WordLevel", "vocab": numbered}), Kind::WordLevel),
        (json!({"type": "Unigram", "vocab": [["a", -1.5], ["b", -2]]}), Kind::Unigram),
    ] {
        let found = parse(&json!({"model": model, "added_tokens": []})).unwrap();
        assert_eq!((found.kind, found.id("b"), found.token(0), found.count()), (expected, Some(1), Some("a"), Ok(2)), "{model}");
    }
}

#[test]
fn added_tokens_are_tokens() {
    let found = tokenizer(&["a", "<s>"], &[(1, "<s>"), (2, "<pad>")]);
    assert_eq!(found.tokens().collect::<Vec<_>>(), [(0, "a"), (1, "<s>"), (2, "<pad>")]);
    assert_eq!(found.added().map(|token| token.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((found.count(), found.last()), (Ok(3), Some((2, "<pad>"))));
}

#[test]
fn numbers_with_holes_and_numbers_of_two_tokens_are_told() {
    let hole = tokenizer(&["a", "b"], &[(3, "<s>")]);
    assert_eq!(hole.count().unwrap_err(), "no token has the number 2, though 3 tokens are numbered up to 3");
    let twice = tokenizer(&["a", "b"], &[(1, "<s>")]);
    assert_eq!(twice.count().unwrap_err(), "\"<s>\" and \"b\" both have the number 1");
}

#[test]
fn what_is_no_tokenizer_is_refused_with_its_file() {
    let said = |text: &str| TokenizerFile::parse(Path::new("m"), text.as_bytes()).unwrap_err().to_string();
    for (text, expected) in [
        ("", "m/tokenizer.json: is no tokenizer: EOF"),
        ("[1]", "m/tokenizer.json: is no tokenizer: "),
        ("{}", "m/tokenizer.json: is no tokenizer: missing field `model`"),
        (r#"{"model": {"vocab": {"a": -1}}}"#, "m/tokenizer.json: is no tokenizer: "),
        (r#"{"model": {"vocab": {"a": 1}}}"#, "m/tokenizer.json: does not say of what kind its model is"),
        (r#"{"model": {"type": "BPE", "vocab": [["a", 1]]}}"#, "m/tokenizer.json: has a model \"BPE\" that is not known, or "),
        (r#"{"model": {"type": "Other", "vocab": {"a": 1}}}"#, "m/tokenizer.json: has a model \"Other\" that is not known, or "),
    ] {
        assert!(said(text).starts_with(expected), "{text}: {}", said(text));
    }
}

#[test]
fn a_file_is_read_again_only_while_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(TokenizerFile::open(&Sources::mounted(), folder.path()).unwrap(), None);
    let text = bpe(&["a"], &[]);
    fs::write(folder.path().join(FILE), text.to_string()).unwrap();
    let found = TokenizerFile::open(&Sources::mounted(), folder.path()).unwrap().unwrap();
    assert_eq!(read_json(&Sources::mounted(), folder.path(), found.digest).unwrap(), text);
    fs::write(folder.path().join(FILE), "{}").unwrap();
    let changed = read_json(&Sources::mounted(), folder.path(), found.digest).unwrap_err().to_string();
    assert!(changed.ends_with("tokenizer.json: changed since the merge was planned"), "{changed}");
}
