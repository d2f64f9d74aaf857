use crate::recipe::{Recipe, TokenName, TokenSource, Tokenizer, TokenizerSource};

const HEAD: &str = "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\n";

fn parse(lines: &str) -> Tokenizer {
    Recipe::parse(&format!("{HEAD}{lines}"), "r.yml").unwrap_or_else(|error| panic!("{error}\n{lines}")).tokenizer.unwrap()
}

#[test]
fn sources_are_read_in_every_form() {
    for (lines, expected) in [
        ("tokenizer_source: base", None),
        ("tokenizer: {source: base}", None),
        ("tokenizer_source: union", Some("")),
        ("tokenizer: {}", Some("")),
        ("tokenizer: {source: union, pad_to_multiple_of: 64}", Some("")),
        ("tokenizer_source: ./b", Some("./b")),
        ("tokenizer_source: model:b", Some("b")),
        ("tokenizer_source: {model: {path: 'b@c'}}", Some("b@c")),
    ] {
        let found = match parse(lines).source {
            TokenizerSource::Base => None,
            TokenizerSource::Union => Some(String::new()),
            TokenizerSource::Model(model) => Some(model.path),
        };
        assert_eq!(found.as_deref(), expected, "{lines}");
    }
}

#[test]
fn rules_of_tokens_are_read() {
    let found = parse(
        "tokenizer:
  pad_to_multiple_of: 8
  tokens:
    <zero>: {source: {kind: zero}}
    <b>: {source: b, force: true}
    <s>: {source: {kind: model_token, model: b, token: <bos>}}
    <n>: {source: {kind: model_token, model: {model: {path: b}}, token_id: 7}}
    <new>: {}
",
    );
    assert_eq!(found.pad_to_multiple_of, Some(8));
    let rules: Vec<(&str, bool, String)> = found
        .tokens
        .iter()
        .map(|rule| {
            let source = match &rule.source {
                None => "rule".into(),
                Some(TokenSource::Zero) => "zero".into(),
                Some(TokenSource::Model(model)) => model.path.clone(),
                Some(TokenSource::Token { model, token: TokenName::Text(text) }) => format!("{} {text}", model.path),
                Some(TokenSource::Token { model, token: TokenName::Id(id) }) => format!("{} #{id}", model.path),
            };
            (rule.token.as_str(), rule.force, source)
        })
        .collect();
    let owned = |token, force, source: &str| (token, force, source.to_owned());
    assert_eq!(
        rules,
        [
            owned("<zero>", false, "zero"),
            owned("<b>", true, "b"),
            owned("<s>", false, "b <bos>"),
            owned("<n>", false, "b #7"),
            owned("<new>", false, "rule"),
        ]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (lines, expected) in [
        ("tokenizer: union", "r.yml:3:12: `tokenizer`: expected a mapping, found the text \"union\""),
        ("tokenizer: {sorce: base}", "r.yml:3:13: unknown key `sorce` in `tokenizer`"),
        ("tokenizer: {pad_to_multiple_of: 0}", "r.yml:3:33: `pad_to_multiple_of`: expected a number from 1 to 1048576, found 0"),
        ("tokenizer: {tokens: [a]}", "r.yml:3:21: `tokens`: expected a mapping from tokens to `{source, force}`, found a list"),
        ("tokenizer: {tokens: {a: {source: b, forced: true}}}", "r.yml:3:37: unknown key `forced` in token \"a\""),
        ("tokenizer: {tokens: {a: {force: 1}}}", "r.yml:3:33: `force`: expected true or false, found 1"),
        ("tokenizer: {tokens: {a: {force: true}}}", "r.yml:3:22: token \"a\" is forced, but has no `source` to be forced to"),
        ("tokenizer: {tokens: {'': {source: b}}}", "r.yml:3:22: a token cannot be empty"),
        ("tokenizer: {tokens: {a: {source: {kind: mean}}}}", "r.yml:3:41: unknown kind \"mean\" of an embedding"),
        ("tokenizer: {tokens: {a: {source: {kind: zero, model: b}}}}", "r.yml:3:34: `kind: zero` takes nothing else"),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, token: x}}}}", "r.yml:3:34: `source` has no `model`"),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, model: b}}}}", "r.yml:3:34: give either `token` or `token_id`"),
        (
            "tokenizer: {tokens: {a: {source: {kind: model_token, model: b, token_id: -1}}}}",
            "r.yml:3:74: -1 is no number of a token",
        ),
        (
            "tokenizer: {tokens: {a: {source: {kind: model_token, model: b, token_id: x}}}}",
            "r.yml:3:74: `token_id`: expected a number, found the text \"x\"",
        ),
    ] {
        let error = Recipe::parse(&format!("{HEAD}{lines}"), "r.yml").unwrap_err();
        assert_eq!(error.to_string(), expected, "{lines}");
    }
}
