use super::{library::Library, *};
use proptest::prelude::*;
use serde_json::{Value, json};

fn tokenizer(model: Value, pre_tokenizer: Value) -> Result<Bpe, String> {
    let file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null, "model": model});
    Bpe::parse(file.to_string().as_bytes())
}

fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})
}

fn model(merges: Value) -> Value {
    json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3, "Ċ": 4, "Ċa": 5}, "merges": merges})
}

fn words(bpe: &Bpe, text: &str) -> Vec<String> {
    let mut words = Vec::new();
    bpe.words(text, &mut |word| words.push(word.to_owned())).unwrap();
    words
}

#[test]
fn both_forms_of_merges_are_read_in_order() {
    let expected = [Merge { left: 0, right: 1, made: 2 }, Merge { left: 2, right: 0, made: 3 }];
    for merges in [json!(["a b", "ab a"]), json!([["a", "b"], ["ab", "a"]])] {
        assert_eq!(tokenizer(model(merges), byte_level()).unwrap().merges, expected);
    }
}

#[test]
fn what_has_no_merges_to_infer_from_is_named() {
    let level = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
    for (model, said) in [
        (model(json!([])), "it has no merges"),
        (json!({"type": "BPE", "vocab": {}}), "it has no merges: its model is no BPE"),
        (level, "its model is WordLevel, and only a BPE has merges"),
        (json!(null), "it has no `model`"),
        (model(json!(["a b", "a c"])), "merge 1 (\"a\" and \"c\") needs the token \"c\", which its vocabulary lacks"),
        (model(json!(["b a"])), "needs the token \"ba\""),
        (model(json!(["ab"])), "merge 0 is Joined(\"ab\"), and not two tokens"),
        (json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 0}, "merges": ["a b"]}), "makes one of its halves"),
        (json!({"type": "BPE", "vocab": {"a": -1}, "merges": ["a b"]}), "it is no BPE tokenizer"),
    ] {
        let error = tokenizer(model, byte_level()).err().unwrap();
        assert!(error.contains(said), "{error}");
    }
    assert!(Bpe::parse(b"{").err().unwrap().starts_with("it is no JSON"));
}

#[test]
fn a_token_that_goes_on_after_a_line_tells_of_whole_documents() {
    let lines = tokenizer(model(json!(["a b"])), byte_level()).unwrap();
    let documents = tokenizer(model(json!(["a b", "Ċ a"])), byte_level()).unwrap();
    assert_eq!((lines.unit, documents.unit), (Unit::Line, Unit::Document));
    assert_eq!(words(&lines, "a\n\n\nb"), ["a", "\n", "\n", "\n", "b"]);
    assert_eq!(words(&documents, "a\n\n\nb"), ["a", "\n\n", "\n", "b"]);
}

#[test]
fn letters_carry_the_prefix_and_the_suffix_of_their_place() {
    let vocab = json!({"a": 0, "##a": 1, "b": 2, "##b</w>": 3, "##b": 4, "ab</w>": 5, "b</w>": 6, "ab": 7});
    let model = json!({"type": "BPE", "vocab": vocab, "merges": [["a", "##b</w>"]], "continuing_subword_prefix": "##",
        "end_of_word_suffix": "</w>"});
    let bpe = tokenizer(model, json!({"type": "WhitespaceSplit"})).unwrap();
    assert_eq!(bpe.merges, [Merge { left: 0, right: 3, made: 5 }]);
    let mut tokens = Vec::new();
    bpe.letters("aab", &mut tokens);
    bpe.letters("b", &mut tokens);
    bpe.letters("?ba", &mut tokens);
    assert_eq!(tokens, [0, 1, 3, 6, 4]);
    assert_eq!(words(&bpe, " aab  b\n"), ["aab", "b"]);
}

#[test]
fn metaspace_marks_words_as_the_library_does() {
    let vocab = json!({"▁": 0, "a": 1, "▁a": 2});
    let model = json!({"type": "BPE", "vocab": vocab, "merges": [["▁", "a"]]});
    let bpe =
        tokenizer(model, json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})).unwrap();
    assert_eq!(words(&bpe, "a aa"), ["▁a", "▁aa"]);
}

#[test]
fn contractions_and_spaces_are_cut_as_the_pattern_says() {
    let bpe = tokenizer(model(json!(["a b"])), byte_level()).unwrap();
    assert_eq!(words(&bpe, "I'll  don't ''s x²3  \t y"), ["I", "'ll", " ", " don", "'t", " ''", "s", " x", "²3", "  \t", " y"]);
}

/// The library's words of plain byte-level BPE, which are written in the letters of bytes.
fn library(prefix_space: bool) -> Library {
    let level = json!({"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": true});
    let file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": level, "post_processor": null, "decoder": null, "model": model(json!(["a b"]))});
    Library::parse(file.to_string().as_bytes()).unwrap()
}

proptest! {
    #[test]
    fn words_are_those_of_the_library(text in r"([ 'a-zA-Z0-9.,;\t\n\u{a0}²äжя日本ـः'-]|\PC|ll|'s|re|  ){0,40}", prefix_space: bool) {
        let level = json!({"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true});
        let splitter = Splitter::of(b"", &Value::Null, &level).unwrap();
        let letters = letters::byte_letters();
        let mut found: Vec<String> = Vec::new();
        splitter.split(&text, &mut |word| found.push(word.bytes().map(|byte| letters[usize::from(byte)]).collect())).unwrap();
        let mut expected: Vec<String> = Vec::new();
        library(prefix_space).split(&text, &mut |word| expected.push(word.to_owned())).unwrap();
        prop_assert_eq!(found, expected);
    }
}
