//! What each rule comes to, and vocabularies that cannot be brought together. Bytes and files are in `execute/vocabulary.rs`.

use super::*;
use crate::{plan::MergePlan, tokenizer::testing::tokenizer};
use braid_kernels::Dtype;
use serde_json::json;
use std::path::{Path, PathBuf};

const EMBED: &str = "model.embed_tokens.weight";

/// A model with this tokenizer and an embedding of `rows` rows.
fn model(plain: &[&str], added: &[(u32, &str)], rows: u64) -> ModelHeader {
    let tensor = |shape: &[u64]| TensorHeader { dtype: Dtype::BF16, shape: shape.to_vec() };
    ModelHeader {
        config: json!({"vocab_size": rows, "eos_token_id": 0}).as_object().cloned().unwrap(),
        tensors: [(EMBED.to_owned(), tensor(&[rows, 4])), ("model.norm.weight".to_owned(), tensor(&[4]))].into(),
        tokenizer: Some(Arc::new(tokenizer(plain, added))),
        ..Default::default()
    }
}

/// The base knows a, b, c; x knows b, a, d; v knows a, d, e and has rows to spare.
fn three() -> Vec<(&'static str, ModelHeader)> {
    vec![
        ("base", model(&["a", "b", "c"], &[], 3)),
        ("x", model(&["b", "a", "d"], &[(3, "<x>")], 4)),
        ("v", model(&["a", "d", "e"], &[], 9)),
    ]
}

fn plan_of(text: &str, models: &[(&str, ModelHeader)], options: &PlanOptions) -> Result<MergePlan, PlanError> {
    let recipe = Recipe::parse(text, "r.yml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let find = |path: &str| models.iter().find(|(name, _)| *name == path).map(|(_, header)| header.clone()).unwrap_or_default();
    let named = recipe.models.iter().map(|model| (PathBuf::from(&model.path), find(&model.path))).collect();
    MergePlan::new(&recipe, named, options)
}

fn recipe(base: &str, tokenizer: &str) -> String {
    format!(
        "merge_method: linear\n{base}parameters: {{weight: 1}}\nmodels: [{{model: base}}, {{model: x}}, {{model: v}}]\n{tokenizer}"
    )
}

/// The rows that each source of the embedding has: of which model which row, 0 for zeros, means in parentheses, ~ for padding.
fn rows(plan: &MergePlan) -> Vec<String> {
    let embed = plan.tensors.iter().find(|tensor| tensor.name == EMBED).unwrap();
    let of = |source: &Source| {
        let letter = |model: usize| ["b", "x", "v", "?"][model.min(3)];
        let Some(map) = &source.rows else { return "as it is".to_owned() };
        let mut text = Vec::new();
        for run in map.runs() {
            for index in 0..run.count {
                text.push(match &run.pick {
                    Pick::From { model, row } => format!("{}{}", letter(*model), row + index),
                    Pick::Zero => "0".into(),
                    Pick::Mean(rows) => {
                        let rows: Vec<String> = rows.iter().map(|(model, row)| format!("{}{row}", letter(*model))).collect();
                        format!("({})", rows.join(" "))
                    }
                    Pick::MeanOfAll => "~".into(),
                });
            }
        }
        assert_eq!(text.len() as u64, source.shape[0]);
        text.join(" ")
    };
    embed.sources.iter().map(of).collect()
}

#[test]
fn every_rule_comes_to_these_rows() {
    for (base, tokenizer, expected) in [
        // a b c | d e <x>: what one model has goes to all, what the base has to those that lack it, else a mean
        ("base_model: base\n", "tokenizer_source: union", ["b0 b1 b2 (x2 v1) v2 x3", "x1 x0 b2 x2 v2 x3", "v0 b1 b2 v1 v2 x3"]),
        // without a base, what several have is their mean
        ("", "tokenizer_source: union", ["b0 b1 b2 (x2 v1) v2 x3", "x1 x0 b2 x2 v2 x3", "v0 (b1 x0) b2 v1 v2 x3"]),
        ("base_model: base\n", "tokenizer_source: base", ["as it is", "x1 x0 b2", "v0 b1 b2"]),
        ("base_model: base\n", "tokenizer_source: v", ["b0 (x2 v1) v2", "x1 x2 v2", "v0 v1 v2"]),
        (
            "base_model: base\n",
            "tokenizer: {source: base, pad_to_multiple_of: 5, tokens: {c: {source: {kind: zero}}}}",
            ["b0 b1 b2 ~ ~", "x1 x0 0 ~ ~", "v0 b1 0 ~ ~"],
        ),
        (
            "base_model: base\n",
            "tokenizer: {source: base, tokens: {a: {source: {kind: zero}, force: true}, b: {source: x}, d: {source: v}}}",
            ["0 b1 b2 v1", "0 x0 b2 x2", "0 x0 b2 v1"],
        ),
        (
            "base_model: base\n",
            "tokenizer: {source: base, tokens: {n: {source: {kind: model_token, model: v, token_id: 8}}, m: {}}}",
            ["b0 b1 b2 v8 0", "x1 x0 b2 v8 0", "v0 b1 b2 v8 0"],
        ),
        (
            "base_model: base\n",
            "tokenizer: {source: base, tokens: {c: {source: {kind: model_token, model: x, token: <x>}, force: true}}}",
            ["b0 b1 x3", "x1 x0 x3", "v0 b1 x3"],
        ),
    ] {
        let plan = plan_of(&recipe(base, tokenizer), &three(), &PlanOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rows(&plan), expected, "{base}{tokenizer}");
        let vocabulary = plan.vocabulary.unwrap();
        assert_eq!(plan.config["vocab_size"], json!(vocabulary.rows));
        assert_eq!(plan.tensors.iter().find(|tensor| tensor.name == EMBED).unwrap().shape, [vocabulary.rows, 4]);
    }
}

#[test]
fn a_tokenizer_of_no_model_renumbers_what_the_config_names() {
    let options = PlanOptions { tokenizer: Some(Arc::new(tokenizer(&["z", "c", "a"], &[]))), ..Default::default() };
    let plan = plan_of(&recipe("", "tokenizer_source: elsewhere"), &three(), &options).unwrap();
    assert_eq!(rows(&plan), ["0 b2 b0", "0 b2 x1", "0 b2 v0"]);
    assert_eq!((&plan.config["eos_token_id"], &plan.config["vocab_size"]), (&json!(2), &json!(3)));
    assert_eq!(plan.vocabulary.unwrap().renumbered, BTreeMap::from([(0, 2), (2, 1)]));
}

#[test]
fn what_a_model_does_not_know_has_no_fisher_information() {
    let mut models = three();
    models.push(("f", ModelHeader { tokenizer: None, ..model(&[], &[], 4) }));
    let text = "{merge_method: fisher, models: [{model: base, fisher: base2}, {model: x, fisher: f}], tokenizer_source: union}";
    models.push(("base2", ModelHeader { tokenizer: None, ..models[0].1.clone() }));
    let plan = plan_of(text, &models, &PlanOptions::default()).unwrap();
    // the models are numbered as the recipe names them: base b, its Fisher x, the other model v, its Fisher ?
    assert_eq!(rows(&plan), ["b0 b1 b2 v2 v3", "v1 v0 b2 v2 v3", "x0 x1 x2 0 0", "?1 ?0 0 ?2 ?3"]);
}

#[test]
fn what_cannot_be_brought_together_is_told_with_its_line() {
    let said = |text: &str, models: &[(&str, ModelHeader)]| match plan_of(text, models, &PlanOptions::default()) {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    };
    let with = |change: &dyn Fn(&mut ModelHeader)| {
        let mut models = three();
        change(&mut models[1].1);
        models
    };
    let unigram = br#"{"model": {"type": "Unigram", "vocab": [["a", 0.0], ["d", -1.0]]}}"#;
    let unigram = Arc::new(TokenizerFile::parse(Path::new("m"), unigram).unwrap());
    let rule =
        |rule: &str| recipe("base_model: base\n", &format!("tokenizer: {{source: base, tokens: {{n: {{source: {rule}}}}}}}"));
    let union = recipe("", "tokenizer_source: union");
    let x = "r.yml:3:33: ";
    for (text, models, expected) in [
        (union.clone(), with(&|model| model.tokenizer = None), format!("{x}model `x` has no tokenizer.json")),
        (
            union.clone(),
            with(&|model| model.tokenizer = Some(Arc::clone(&unigram))),
            format!("{x}the tokenizer of model `x` is Unigram, that of m is BPE: their tokens mean other things"),
        ),
        (
            union.clone(),
            with(&|model| model.tensors.insert(EMBED.into(), TensorHeader { dtype: Dtype::BF16, shape: vec![3, 4] }).map_or((), drop)),
            format!("r.yml:3:25: tensor \"{EMBED}\" of model `x` has 3 rows, but its tokenizer has a token 3 (\"<x>\")"),
        ),
        (
            union.clone(),
            with(&|model| model.tensors.insert(EMBED.into(), TensorHeader { dtype: Dtype::I8, shape: vec![4, 4] }).map_or((), drop)),
            format!("r.yml:3:25: tensor \"{EMBED}\" of model `x` has no rows of floats to move: I8 [4, 4]"),
        ),
        (
            recipe("", "tokenizer_source: x"),
            with(&|model| model.tokenizer = Some(Arc::new(tokenizer(&["a"], &[(3, "<x>")])))),
            "r.yml:4:19: the tokenizer in m cannot be the output's: no token has the number 1, though 2 tokens are numbered up to 3"
                .into(),
        ),
        (recipe("", "tokenizer_source: nowhere"), three(), "r.yml:4:19: `nowhere` has no tokenizer.json".into()),
        (
            rule("x"),
            three(),
            "r.yml:5:36: token \"n\" is to have its embedding in model `x`, which has no such token".into(),
        ),
        (
            rule("{kind: model_token, model: x, token: q}"),
            three(),
            "r.yml:5:36: token \"n\" is to have the embedding of \"q\" in model `x`, which has no such token".into(),
        ),
        (
            rule("{kind: model_token, model: x, token_id: 4}"),
            three(),
            format!("r.yml:5:36: token \"n\" is to have row 4 of tensor \"{EMBED}\" of model `x`, which has 4"),
        ),
        (rule("z"), three(), "r.yml:5:48: token \"n\" refers to model `z`, which is no model of this merge".into()),
        (
            union,
            three().into_iter().map(|(name, mut model)| {
                model.tensors.remove(EMBED);
                (name, model)
            }).collect(),
            "r.yml:4:19: no tensor of these models is known to have a row for each token".into(),
        ),
    ] {
        assert_eq!(said(&text, &models), expected, "{text}");
    }
    let adapters = "merge_method: lora_merge\nmodels: [{model: one}]\ntokenizer_source: base\n";
    assert_eq!(said(adapters, &[]), "r.yml:3:19: lora_merge merges adapters, which have no tokenizers");
}
