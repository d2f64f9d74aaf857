//! `lines` on top of methods: whole merges of a model of four layers.

use super::numbers;
use crate::{
    Recipe,
    testing::{Tensor, merge, read_checkpoint, write_checkpoint},
};
use braid_kernels::Dtype;
use serde_json::json;
use std::path::Path;

fn house() -> tempfile::TempDir {
    let house = tempfile::tempdir().unwrap();
    for (name, seed) in [("base", 1), ("a", 20), ("b", 40)] {
        let matrix = |name: String, seed| Tensor { shape: vec![6, 5], ..Tensor::noise(&name, Dtype::F32, 30, seed) };
        let layers = (0..4).map(|layer| matrix(format!("model.layers.{layer}.mlp.up_proj.weight"), seed + layer));
        let outside = ["model.embed_tokens.weight", "model.norm.weight"].map(|name| matrix(name.into(), seed + 9));
        let ids = Tensor { dtype: Dtype::I64, shape: vec![1], bytes: vec![7; 8], ..Tensor::f32("position_ids", &[1], []) };
        let tensors: Vec<Tensor> = layers.chain(outside).chain([ids]).collect();
        write_checkpoint(&house.path().join(name), &json!({"num_hidden_layers": 4}), &tensors, 1);
    }
    house
}

fn run(root: &Path, recipe: &str, out: &str) -> Vec<Tensor> {
    merge(root, recipe, out, 2).unwrap_or_else(|failure| panic!("{recipe}: {failure:?}"));
    read_checkpoint(&root.join(out))
}

const METHODS: [&str; 6] = [
    "merge_method: task_arithmetic\nparameters: {weight: 0.7}",
    "merge_method: ties\nparameters: {weight: 1, density: 0.5}",
    "merge_method: della\nparameters: {weight: 1, density: 0.5}",
    "merge_method: model_stock",
    "merge_method: tsvm",
    "merge_method: widen",
];

#[test]
fn what_is_added_to_the_base_grows_with_the_layers() {
    let house = house();
    let root = house.path();
    let base = read_checkpoint(&root.join("base"));
    for (index, method) in METHODS.iter().enumerate() {
        let recipe = format!("{method}\nbase_model: base\nmodels: [{{model: a}}, {{model: b}}]\n");
        let whole = run(root, &recipe, &format!("whole-{index}"));
        let scaled = run(root, &format!("{recipe}lines: {{alpha: 0.2, beta: 0.6}}\n"), &format!("scaled-{index}"));
        for ((whole, scaled), base) in whole.iter().zip(&scaled).zip(&base) {
            let factor = match base.name.as_str() {
                "model.layers.0.mlp.up_proj.weight" => 0.2,
                "model.layers.1.mlp.up_proj.weight" => 0.4,
                "model.layers.2.mlp.up_proj.weight" => 0.6,
                "model.layers.3.mlp.up_proj.weight" => 0.8,
                "position_ids" => {
                    assert_eq!(scaled, base);
                    continue;
                }
                _ => 0.2,
            };
            for ((whole, scaled), base) in numbers(&whole.bytes).iter().zip(numbers(&scaled.bytes)).zip(numbers(&base.bytes)) {
                let expected = f64::from(base) + factor * (f64::from(*whole) - f64::from(base));
                assert!((f64::from(scaled) - expected).abs() < 1e-6, "{method}: {scaled} for {expected}");
            }
        }
        let nothing = run(root, &format!("{recipe}lines: {{alpha: 0, beta: 0}}\n"), &format!("nothing-{index}"));
        assert_eq!(nothing, base, "{method}");
    }
}

#[test]
fn the_only_layer_is_the_last() {
    let house = tempfile::tempdir().unwrap();
    for (name, values) in [("base", [1.0, 2.0]), ("a", [3.0, 0.0])] {
        let tensor = Tensor::f32("layers.0.w", &[2], values);
        write_checkpoint(&house.path().join(name), &json!({}), &[tensor], 1);
    }
    let recipe = "{merge_method: task_arithmetic, base_model: base, models: [{model: a}], parameters: {weight: 1}, \
                  lines: {alpha: 0.25, beta: 0.25}}";
    assert_eq!(numbers(&run(house.path(), recipe, "out")[0].bytes), [2.0, 1.0]);
}

#[test]
fn what_lines_cannot_mean_is_said() {
    let ta = "merge_method: task_arithmetic\nbase_model: b\nmodels: [{model: a}]\nparameters: {weight: 1}\nlines: ";
    for (recipe, expected) in [
        (format!("{ta}0.5"), "r.yml:5:8: `lines`: expected a mapping, found 0.5"),
        (format!("{ta}{{alpha: 1}}"), "r.yml:5:8: `lines` has no `beta`"),
        (format!("{ta}{{alpha: 1, beta: x}}"), "r.yml:5:25: `beta`: expected a number, found the text \"x\""),
        (format!("{ta}{{alpha: [1, 2], beta: 1}}"), "r.yml:5:16: `alpha`: expected a number"),
        (format!("{ta}{{alpha: 1, betta: 1}}"), "r.yml:5:19: unknown key `betta` in `lines`"),
        (format!("{ta}{{alpha: 3e38, beta: 3e38}}"), "the factor of the last layer is"),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\nlines: {alpha: 1, beta: 1}".into(),
            "r.yml:3:8: `lines` scales what is added to a base, and linear adds nothing to one here",
        ),
        (
            "merge_method: karcher\nbase_model: b\nmodels: [{model: a}]\nlines: {alpha: 1, beta: 1}".into(),
            "karcher adds nothing to one here",
        ),
        (
            "merge_method: nuslerp\nmodels: [{model: a}, {model: c}]\nparameters: {weight: 1}\nlines: {alpha: 1, beta: 1}".into(),
            "nuslerp adds nothing to one here",
        ),
        (
            "merge_method: weight_matching\nbase_model: b\nmodels: [{model: a}]\nlines: {alpha: 1, beta: 1}".into(),
            "weight_matching adds nothing to one here",
        ),
    ] {
        let error = Recipe::parse(&recipe, "r.yml").expect_err(&recipe).to_string();
        assert!(error.contains(expected), "{recipe}: {error}");
    }
}
