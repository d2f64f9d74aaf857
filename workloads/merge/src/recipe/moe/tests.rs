use crate::recipe::{GateMode, Recipe};
use braid_kernels::Dtype;

fn refused(text: &str) -> String {
    Recipe::parse(text, "moe.yml").unwrap_err().to_string()
}

const TWO: &str = "experts:\n- {source_model: a, positive_prompts: [x]}\n- {source_model: b, positive_prompts: [k]}\n";

#[test]
fn mergekits_keys_are_read() {
    let recipe = Recipe::parse(
        "base_model: base\ngate_mode: cheap_embed\ndtype: bfloat16\nexperts_per_token: 1\narchitecture: qwen\nexperts:\n\
         - source_model: a\n  positive_prompts: [x, 'y z']\n  negative_prompts: [w]\n- source_model: base\n  positive_prompts: [v]\n  \
         noise_scale: 0.1\n  residual_scale: 2\nshared_experts:\n- {source_model: a, positive_prompts: [u]}\n",
        "moe.yml",
    )
    .unwrap();
    let mixture = recipe.mixture.unwrap();
    assert_eq!((recipe.method.name(), recipe.dtype, recipe.base), ("moe", Some(Dtype::BF16), Some(0)));
    assert_eq!(recipe.models.iter().map(|model| model.path.as_str()).collect::<Vec<_>>(), ["base", "a"]);
    assert_eq!(
        (mixture.gates, mixture.experts_per_token, mixture.architecture.as_deref()),
        (GateMode::CheapEmbed, 1, Some("qwen"))
    );
    let [first, second] = mixture.experts.as_slice() else { panic!("two experts") };
    assert_eq!(
        (first.model, first.positive.as_slice(), first.negative.as_slice()),
        (1, &["x".into(), "y z".into()][..], &["w".into()][..])
    );
    assert_eq!((second.model, second.noise, second.residual), (0, Some(0.1), Some(2.0)));
    assert_eq!(mixture.shared.len(), 1);
    let drawn = Recipe::parse("base_model: b\ngate_mode: random\nexperts: [{source_model: b}, {source_model: b}]", "moe.yml");
    assert_eq!(drawn.unwrap().mixture.unwrap().experts_per_token, 2);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let with = |rest: &str| format!("base_model: base\n{TWO}{rest}\n");
    for (text, expected) in [
        (
            with(""),
            "moe.yml:3:3: `gate_mode: hidden` runs the base model over the prompts, and Braid runs no models; it is what mergekit takes",
        ),
        (with("gate_mode: hidden"), "moe.yml:5:12: `gate_mode: hidden` runs the base model"),
        (with("gate_mode: randon"), "moe.yml:5:12: `gate_mode`: unknown mode \"randon\""),
        (
            with("gate_mode: random\nexperts_per_token: 3"),
            "`experts_per_token`: expected a number from 1 to 2, of the experts, found 3",
        ),
        (with("gate_mode: random\nexperts_per_token: 0"), "`experts_per_token`: expected a number from 1 to 2"),
        (with("gate_mode: random\nexpert_per_token: 1"), "unknown key `expert_per_token` in a recipe with `experts`"),
        (with("gate_mode: random\nmerge_method: linear"), "a recipe with `experts` has no `merge_method`"),
        (with("gate_mode: random\nmodels: []"), "unknown key `models`"),
        (with("gate_mode: random\ndtype: int8"), "`dtype`: unknown dtype \"int8\""),
        (format!("{TWO}gate_mode: random"), "a recipe with `experts` has no `base_model`"),
        ("base_model: b\ngate_mode: random\nexperts: []".into(), "`experts`: expected a list, found an empty one"),
        (
            "base_model: b\ngate_mode: random\nexperts: [{source_model: a}]".into(),
            "`experts_per_token` is 2 where it is not given",
        ),
        ("base_model: b\ngate_mode: random\nexperts: [{}, {}]".into(), "an expert has no `source_model`"),
        ("base_model: b\ngate_mode: random\nexperts: [a]".into(), "an expert: expected a mapping"),
        (
            with("gate_mode: cheap_embed").replace(", positive_prompts: [k]", ""),
            "moe.yml:4:3: this expert has no `positive_prompts`",
        ),
        (with("gate_mode: cheap_embed").replace("[k]", "y"), "`positive_prompts`: expected a list"),
        (with("gate_mode: cheap_embed").replace("[k]", "[[]]"), "`positive_prompts`: expected text"),
        (with("gate_mode: cheap_embed").replace("[k]", "[x]"), "all experts have the same prompts"),
        (with("gate_mode: cheap_embed").replace("model: b", "model: a"), "all experts are the same model"),
        (
            with("gate_mode: random").replace("[k]", "[k], noise_scale: -1"),
            "`noise_scale` is a standard deviation, and -1 is below 0",
        ),
        (with("gate_mode: random").replace("[k]", "[k], residual_scale: .nan"), "`residual_scale`: expected a finite number"),
        (with("gate_mode: random").replace("[k]", "[k], residual_scale: 1.0e+300"), "`residual_scale`: expected a finite number"),
        (with("gate_mode: random").replace("[k]", "[k], nose_scale: 1"), "unknown key `nose_scale` in an expert"),
        (
            with("gate_mode: cheap_embed\nshared_experts: [{source_model: a, positive_prompts: [z]}, {source_model: b}]"),
            "some shared experts have prompts and some have none",
        ),
    ] {
        let found = refused(&text);
        assert!(found.contains(expected), "expected {expected:?}, got {found:?}");
    }
}
