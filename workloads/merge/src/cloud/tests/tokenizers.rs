//! Tokenizers over the network: what mixtures make gates with, and what brings vocabularies together.

use super::{files, merge};
use crate::{
    cloud::server::Server,
    moe::tests::{house, recipe},
    testing::{Tensor, write_checkpoint},
    tokenizer::testing::bpe,
};
use serde_json::json;
use std::fs;

#[test]
#[cfg(feature = "bpe")]
fn gates_are_made_of_prompts_with_a_tokenizer_over_the_network() {
    let house = house("llama");
    let server = Server::of(house.path());
    let local = recipe("gate_mode: cheap_embed\nexperts_per_token: 1");
    let remote = ["base", "one", "two"].iter().fold(local.clone(), |text, name| {
        let text = text.replace(&format!("base_model: {name}\n"), &format!("base_model: {}/{name}\n", server.url));
        text.replace(&format!("source_model: {name},"), &format!("source_model: \"{}/{name}\",", server.url))
    });
    assert_eq!(remote.matches(&server.url).count(), 3, "{remote}");
    merge(house.path(), &local, "local").unwrap();
    merge(house.path(), &remote, "out").unwrap();
    assert_eq!(files(house.path(), "local"), files(house.path(), "out"));
    fs::remove_file(house.path().join("base/tokenizer.json")).unwrap();
    let failure = merge(house.path(), &remote, "none").unwrap_err();
    assert!(failure.message.starts_with(&format!("{}/base: has no tokenizer.json", server.url)), "{failure:?}");
}

#[test]
fn vocabularies_over_the_network_are_brought_together() {
    let house = tempfile::tempdir().unwrap();
    for (model, tokens, seed) in [("a", ["p", "q"], 1), ("b", ["q", "r"], 2)] {
        let root = house.path().join(model);
        let embedding =
            Tensor { shape: vec![2, 48], ..Tensor::noise("model.embed_tokens.weight", braid_kernels::Dtype::F32, 96, seed) };
        write_checkpoint(&root, &json!({"vocab_size": 2}), &[embedding], 1);
        fs::write(root.join("tokenizer.json"), bpe(&tokens, &[]).to_string()).unwrap();
    }
    let server = Server::of(house.path());
    let recipe = |at: &str| {
        format!(
            "merge_method: linear\nmodels: [{{model: {at}a, parameters: {{weight: 1}}}}, {{model: {at}b, parameters: {{weight: 1}}}}]\n\
             tokenizer_source: union\n"
        )
    };
    merge(house.path(), &recipe(""), "local").unwrap();
    merge(house.path(), &recipe(&format!("{}/", server.url)), "out").unwrap();
    assert_eq!(files(house.path(), "local"), files(house.path(), "out"));
}
