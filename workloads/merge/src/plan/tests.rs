//! Plans of the golden recipes, of made-up models, and of those that do not fit together.

use super::*;
use crate::{
    hub::Hub,
    methods::Scalar,
    recipe::{RecipeError, Within},
};
use proptest::prelude::*;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A model of these tensors, all of one type.
fn model(dtype: Dtype, tensors: &[(&str, &[u64])]) -> ModelHeader {
    let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), TensorHeader { dtype, shape: shape.to_vec() }));
    ModelHeader { tensors: tensors.collect(), ..Default::default() }
}

/// A small decoder with an embedding, layers of two tensors, a norm and an output layer.
fn decoder(layers: u32) -> ModelHeader {
    let mut header =
        model(Dtype::BF16, &[("model.embed_tokens.weight", &[8, 4]), ("lm_head.weight", &[8, 4]), ("model.norm.weight", &[4])]);
    for layer in 0..layers {
        for (rest, shape) in [("mlp.up.weight", vec![4, 4]), ("self_attn.q.weight", vec![4, 4])] {
            header.tensors.insert(format!("model.layers.{layer}.{rest}"), TensorHeader { dtype: Dtype::BF16, shape });
        }
    }
    header.config = config(json!({"num_hidden_layers": layers, "torch_dtype": "bfloat16"}));
    header
}

fn config(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Plans a recipe over models of these names.
fn plan(text: &str, models: &[(&str, ModelHeader)]) -> Result<MergePlan, PlanError> {
    let recipe = Recipe::parse(text, "r.yml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let find =
        |path: &str| models.iter().find(|(name, _)| *name == path.trim_start_matches("./")).map(|(_, header)| header.clone());
    let named = recipe.models.iter().map(|model| (PathBuf::from(&model.path), find(&model.path).unwrap_or_default())).collect();
    MergePlan::new(&recipe, named, &PlanOptions::default())
}

fn said(text: &str, models: &[(&str, ModelHeader)]) -> String {
    match plan(text, models) {
        Ok(_) => "no error".into(),
        Err(error) => error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}\nhint: {hint}")),
    }
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/goldens")
}

fn header(folder: &Path) -> ModelHeader {
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut header =
        ModelHeader { config: serde_json::from_slice(&read(&folder.join("config.json"))).unwrap(), ..Default::default() };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let bytes = read(&path);
            for (name, view) in safetensors::SafeTensors::deserialize(&bytes).unwrap().iter() {
                let dtype = Dtype::parse(&view.dtype().to_string()).unwrap();
                let shape = view.shape().iter().map(|length| *length as u64).collect();
                header.tensors.insert(name.to_owned(), TensorHeader { dtype, shape });
            }
        }
    }
    header
}

fn golden(name: &str) -> MergePlan {
    let path = goldens().join("recipes").join(format!("{name}.yml"));
    let recipe = Recipe::parse(&fs::read_to_string(&path).unwrap(), name).unwrap_or_else(|error: RecipeError| panic!("{error}"));
    let within = Within { folders: &[&goldens()], hub: &Hub::default(), exists: Path::exists };
    let folders = recipe.locate(&[], &within).unwrap().into_iter().flatten();
    let models = folders.into_iter().map(|folder| (folder.clone(), header(&folder))).collect();
    MergePlan::new(&recipe, models, &PlanOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The names, types and shapes of a plan, and nothing else, are those that mergekit wrote.
#[test]
fn golden_recipes_plan_the_tensors_that_mergekit_wrote() {
    let mut count = 0;
    for entry in fs::read_dir(goldens().join("recipes")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(goldens().join("expected").join(format!("{name}.safetensors"))).unwrap();
        let expected: BTreeMap<String, (String, Vec<u64>)> = safetensors::SafeTensors::deserialize(&bytes)
            .unwrap()
            .iter()
            .map(|(name, view)| (name.to_owned(), (view.dtype().to_string(), view.shape().iter().map(|n| *n as u64).collect())))
            .collect();
        let plan = golden(&name);
        let found: BTreeMap<_, _> = plan
            .tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), (tensor.dtype.name().to_owned(), tensor.shape.clone())))
            .collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(found.len(), plan.tensors.len(), "{name}: each name once");
        let layers = expected.keys().filter_map(|name| names::layer(name)).map(|place| place.layer + 1).max();
        assert_eq!(plan.config["num_hidden_layers"], json!(layers.unwrap()), "{name}");
        count += 1;
    }
    assert!(count >= 20, "only {count} recipes");
}

#[test]
fn golden_recipes_come_to_these_values() {
    let number = |plan: &MergePlan, tensor: &str, input: Option<usize>, name: &str| {
        let tensor = plan.tensors.iter().find(|planned| planned.name == tensor).unwrap();
        let values = input.map_or(&tensor.parameters.shared, |input| &tensor.parameters.inputs[input]);
        match values.iter().find(|(key, _)| *key == name) {
            Some((_, Scalar::Number(number))) => (number * 1e9).round() / 1e9,
            other => panic!("{other:?}"),
        }
    };
    let plan = golden("linear_gradient");
    for (tensor, expected) in [
        ("model.embed_tokens.weight", [0.0, 1.0, 0.5]),
        ("model.layers.0.mlp.up_proj.weight", [0.0, 1.0, 0.5]),
        ("model.layers.1.mlp.up_proj.weight", [0.2, 0.733333333, 0.5]),
        ("model.layers.2.mlp.up_proj.weight", [0.533333333, 0.466666667, 0.5]),
        ("model.layers.3.mlp.up_proj.weight", [1.0, 0.2, 0.5]),
        ("model.norm.weight", [0.0, 1.0, 0.5]),
        ("lm_head.weight", [0.0, 1.0, 0.5]),
    ] {
        assert_eq!([0, 1, 2].map(|input| number(&plan, tensor, Some(input), "weight")), expected, "{tensor}");
    }
    let plan = golden("slerp_gradient");
    assert_eq!(plan.tensors[0].parameters.base, Some(0));
    for (tensor, expected) in [
        ("model.layers.1.self_attn.q_proj.weight", 0.433333333),
        ("model.layers.2.mlp.up_proj.weight", 0.433333333),
        ("model.layers.1.mlp.up_proj.weight", 0.566666667),
        ("model.layers.2.input_layernorm.weight", 0.5),
        ("lm_head.weight", 0.5),
    ] {
        assert_eq!(number(&plan, tensor, None, "t"), expected, "{tensor}");
    }
    let plan = golden("ties_gradient");
    assert_eq!(plan.tensors[0].parameters.base, Some(3), "the base comes after the models listed");
    assert_eq!(number(&plan, "model.layers.3.mlp.up_proj.weight", Some(0), "density"), 0.1);
    let plan = golden("passthrough_scaled");
    let of = |name: &str| plan.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    assert_eq!(of("model.layers.2.self_attn.o_proj.weight").sources[0].tensor, "model.layers.1.self_attn.o_proj.weight");
    assert_eq!(number(&plan, "model.layers.2.self_attn.o_proj.weight", Some(0), "scale"), 0.0);
    assert_eq!(number(&plan, "model.layers.2.self_attn.q_proj.weight", Some(0), "scale"), 1.0);
    assert_eq!(of("model.layers.1.self_attn.o_proj.weight").parameters.inputs[0].iter().count(), 0, "the first slice sets none");
}

#[test]
fn slices_renumber_layers_and_take_each_end_from_its_slice() {
    let mut models = [("a", decoder(3)), ("b", decoder(4))];
    models[0].1.config.insert("layer_types".into(), json!(["x", "y", "z"]));
    models[1].1.config.insert("layer_types".into(), json!(["p", "q", "r", "s"]));
    let text = "{merge_method: passthrough, slices: [{sources: [{model: a, layer_range: [0, 2]}]}, {sources: [{model: b, layer_range: [1, 4]}]}]}";
    let plan = plan(text, &models).unwrap();
    let made: Vec<String> = plan
        .tensors
        .iter()
        .map(|tensor| format!("{} = {}:{}", tensor.name, tensor.sources[0].model, tensor.sources[0].tensor))
        .collect();
    assert_eq!(
        made,
        [
            "model.embed_tokens.weight = 0:model.embed_tokens.weight",
            "model.layers.0.mlp.up.weight = 0:model.layers.0.mlp.up.weight",
            "model.layers.0.self_attn.q.weight = 0:model.layers.0.self_attn.q.weight",
            "model.layers.1.mlp.up.weight = 0:model.layers.1.mlp.up.weight",
            "model.layers.1.self_attn.q.weight = 0:model.layers.1.self_attn.q.weight",
            "model.layers.2.mlp.up.weight = 1:model.layers.1.mlp.up.weight",
            "model.layers.2.self_attn.q.weight = 1:model.layers.1.self_attn.q.weight",
            "model.layers.3.mlp.up.weight = 1:model.layers.2.mlp.up.weight",
            "model.layers.3.self_attn.q.weight = 1:model.layers.2.self_attn.q.weight",
            "model.layers.4.mlp.up.weight = 1:model.layers.3.mlp.up.weight",
            "model.layers.4.self_attn.q.weight = 1:model.layers.3.self_attn.q.weight",
            "lm_head.weight = 1:lm_head.weight",
            "model.norm.weight = 1:model.norm.weight",
        ]
    );
    let expected = json!({"num_hidden_layers": 5, "torch_dtype": "bfloat16", "layer_types": ["x", "y", "q", "r", "s"]});
    assert_eq!(Value::from(plan.config), expected);
}

#[test]
fn the_nearest_setting_wins_and_filters_see_the_name_in_the_model() {
    let models = [("a", decoder(4)), ("b", decoder(4))];
    let text = "
merge_method: linear
modules:
  model:
    parameters: {weight: 4}
    slices:
    - sources:
      - {model: a, layer_range: [0, 2], parameters: {weight: [{filter: layers.1, value: 1}]}}
      - {model: b, layer_range: [1, 3], parameters: {weight: [{filter: layers.1, value: 2}]}}
      parameters: {weight: {filter: q, value: 3}}
  lm_head: {models: [{model: a}, {model: b}], parameters: {weight: 6}}
parameters: {weight: 5}
";
    let plan = plan(text, &models).unwrap();
    let weights = |name: &str| {
        let tensor = plan.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        tensor
            .parameters
            .inputs
            .iter()
            .map(|values| format!("{:?}", values.iter().next().unwrap().1))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (tensor, expected) in [
        ("model.layers.0.mlp.up.weight", "Number(4.0) Number(2.0)"),
        ("model.layers.0.self_attn.q.weight", "Number(3.0) Number(2.0)"),
        ("model.layers.1.mlp.up.weight", "Number(1.0) Number(4.0)"),
        ("model.embed_tokens.weight", "Number(4.0) Number(4.0)"),
        ("lm_head.weight", "Number(6.0) Number(6.0)"),
    ] {
        assert_eq!(weights(tensor), expected, "{tensor}");
    }
}

#[test]
fn a_mask_belongs_to_a_model_whether_the_base_is_listed_or_not() {
    let models = [("a", decoder(1)), ("b", decoder(1)), ("c", decoder(1))];
    let identities = |text: &str| {
        let plan = plan(text, &models).unwrap();
        let tensor = &plan.tensors[0];
        let name = |index: usize| plan.models[tensor.sources[index].model].display().to_string();
        let pairs: BTreeMap<String, u32> =
            tensor.parameters.identities.iter().enumerate().map(|(i, id)| (name(i), *id)).collect();
        format!("{pairs:?}")
    };
    for listed in ["{model: a}, {model: c}", "{model: b}, {model: a}, {model: c}", "{model: a}, {model: b}, {model: c}"] {
        let text = format!("{{merge_method: dare_ties, base_model: b, models: [{listed}], parameters: {{weight: 1}}}}");
        assert_eq!(identities(&text), r#"{"a": 0, "b": 2, "c": 1}"#, "{listed}");
    }
}

const LINEAR: &str = "merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: b\n";

#[test]
fn types_are_promoted_buffers_copied_and_configs_told() {
    let with = |dtype: Dtype, buffer: Dtype| {
        let mut header = decoder(1);
        header.tensors.values_mut().for_each(|tensor| tensor.dtype = dtype);
        header.tensors.insert("model.position_ids".into(), TensorHeader { dtype: buffer, shape: vec![1, 8] });
        header
    };
    let of = |text: &str, a: Dtype, b: Dtype| {
        let plan = plan(text, &[("a", with(a, Dtype::I64)), ("b", with(b, Dtype::I64))]).unwrap();
        let find = |name: &str| {
            plan.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| (tensor.dtype, tensor.method.name())).unwrap()
        };
        (find("model.norm.weight"), find("model.position_ids"), plan.config["torch_dtype"].clone())
    };
    let buffer = (Dtype::I64, "buffer");
    assert_eq!(of(LINEAR, Dtype::BF16, Dtype::F16), ((Dtype::F32, "linear"), buffer, json!("float32")));
    assert_eq!(of(LINEAR, Dtype::F16, Dtype::F16), ((Dtype::F16, "linear"), buffer, json!("float16")));
    let chosen = format!("{LINEAR}dtype: float32\nout_dtype: bfloat16");
    assert_eq!(of(&chosen, Dtype::F32, Dtype::F32), ((Dtype::BF16, "linear"), buffer, json!("bfloat16")));

    let summary = plan(LINEAR, &[("a", with(Dtype::BF16, Dtype::I64)), ("b", with(Dtype::BF16, Dtype::I64))]).unwrap().summary();
    let expected = json!({
        "method": "linear", "models": ["a", "b"], "donor": "a", "tensors": 6, "parameters": 108,
        "dtypes": ["BF16", "I64"], "bytes_in": 528, "bytes_read": 656, "bytes_out": 264,
    });
    assert_eq!(serde_json::to_value(summary).unwrap(), expected);
}

#[test]
fn old_frequencies_are_copied_where_all_have_them_and_left_out_elsewhere() {
    let mut old = decoder(2);
    old.tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), TensorHeader { dtype: Dtype::F32, shape: vec![2] });
    let method = |a: &ModelHeader, b: &ModelHeader| {
        let plan = plan(&format!("{LINEAR}dtype: bfloat16"), &[("a", a.clone()), ("b", b.clone())]).unwrap();
        plan.tensors.iter().find(|tensor| tensor.name.ends_with("inv_freq")).map(|tensor| (tensor.method.name(), tensor.dtype))
    };
    assert_eq!(method(&old, &old), Some(("buffer", Dtype::F32)));
    assert_eq!(method(&old, &decoder(2)), None);
    assert_eq!(method(&decoder(2), &old), None);
}

#[test]
fn what_does_not_fit_is_said_with_the_line_that_brings_it_in() {
    let without = |name: &str| {
        let mut header = decoder(2);
        header.tensors.remove(name);
        header
    };
    let reshaped = |name: &str, shape: &[u64], dtype: Dtype| {
        let mut header = decoder(2);
        header.tensors.insert(name.into(), TensorHeader { dtype, shape: shape.to_vec() });
        header
    };
    let mut tied = without("lm_head.weight");
    tied.config.insert("tie_word_embeddings".into(), json!(true));
    let slices = "{merge_method: passthrough, slices: [{sources: [{model: a, layer_range: [0, 9]}]}]}";
    let modules = "merge_method: passthrough\nmodules:\n  text_decoder: {models: [{model: a}]}";
    let two = model(Dtype::F32, &[("encoder.layers.0.w", &[1]), ("decoder.layers.0.w", &[1])]);
    for (text, a, b, expected) in [
        (
            LINEAR,
            decoder(2),
            without("model.norm.weight"),
            "r.yml:5:3: model `b` has no tensor \"model.norm.weight\", which `a` has",
        ),
        (
            LINEAR,
            without("model.norm.weight"),
            decoder(2),
            "r.yml:5:3: model `b` has a tensor \"model.norm.weight\", which `a` has not",
        ),
        (
            LINEAR,
            decoder(2),
            tied,
            "r.yml:5:3: model `b` has no tensor \"lm_head.weight\", which `a` has\n\
             hint: `b` uses its embedding as output layer too (tie_word_embeddings): save it again with both",
        ),
        (LINEAR, decoder(2), ModelHeader::default(), "r.yml:5:3: model `b` has no tensors"),
        (
            LINEAR,
            decoder(2),
            decoder(3),
            "r.yml:5:3: model `b` has 3 layers (`model.layers`), `a` has 2\nhint: to merge some layers of each, use `slices`",
        ),
        (
            LINEAR,
            decoder(2),
            reshaped("model.norm.weight", &[5], Dtype::BF16),
            "r.yml:5:3: tensor \"model.norm.weight\" has unequal shapes: `a` [4], `b` [5]\n\
             hint: only checkpoints of one architecture and size can be merged",
        ),
        (
            LINEAR,
            decoder(2),
            reshaped("lm_head.weight", &[9, 4], Dtype::BF16),
            "r.yml:5:3: tensor \"lm_head.weight\" has unequal shapes: `a` [8, 4], `b` [9, 4]\n\
             hint: the models have different vocabularies: `tokenizer_source: union` or `tokenizer_source: base` brings them together",
        ),
        (
            LINEAR,
            decoder(2),
            reshaped("model.norm.weight", &[4], Dtype::U8),
            "r.yml:4:3: tensor \"model.norm.weight\" has types that cannot be merged: `a` BF16, `b` U8",
        ),
        (
            "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 0.1}}\n- {model: b, parameters: {weight: [-0.1, 1]}}",
            decoder(2),
            decoder(2),
            "r.yml:3:35: `weight` for tensor \"model.embed_tokens.weight\": the weights sum to zero (0.1 + -0.1), and their mean is asked for\n\
             hint: set `normalize: false` to add without dividing",
        ),
        (
            "merge_method: ties\nbase_model: a\nmodels:\n- model: b\n  parameters: {weight: 1, density: [0, 1.5]}",
            decoder(2),
            decoder(2),
            "r.yml:5:36: `density` for model `b` for tensor \"model.layers.1.mlp.up.weight\": a density of 1.5 is no share of the elements\n\
             hint: a density lies between 0 (drop all) and 1 (keep all)",
        ),
        (
            "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: b, parameters: {weight: {filter: mlp, value: 1}}}",
            decoder(2),
            decoder(2),
            "r.yml:4:3: linear needs `weight` for model `b`, but no rule of the recipe covers tensor \"model.embed_tokens.weight\"\n\
             hint: end the list with a rule for all other tensors: {value: …}",
        ),
        (slices, decoder(2), decoder(2), "r.yml:1:49: layer_range ends at 9, but model `a` has 2 layers (`model.layers`)"),
        (
            slices,
            two.clone(),
            decoder(2),
            "r.yml:1:49: `slices` need one list of layers, but the whole of model `a` has decoder.layers, encoder.layers\n\
             hint: give each part of the model under `modules`",
        ),
        (
            modules,
            two,
            decoder(2),
            "r.yml:3:3: tensor \"decoder.layers.0.w\" of model `a` belongs to none of the recipe's modules (text_decoder)\n\
             hint: list every module of the model, or use `models`, which needs no modules",
        ),
        (
            &modules.replace("text_decoder", "audio"),
            ModelHeader::default(),
            decoder(2),
            "r.yml:3:3: no tensor of model `a` belongs to module `audio`\nhint: a module is one of text_decoder, vision_tower, \
             vision_model, multi_modal_projector, encoder, shared, decoder, or the first part of tensors' names",
        ),
        (
            "{merge_method: passthrough, models: [{model: a}]}",
            reshaped("model.norm.weight", &[u64::MAX, 2], Dtype::BF16),
            decoder(2),
            "r.yml:1:37: tensor \"model.norm.weight\" of BF16 and shape [18446744073709551615, 2] is too large",
        ),
    ] {
        assert_eq!(said(text, &[("a", a), ("b", b)]), expected, "\n{text}");
    }
}

#[test]
fn the_canonical_form_changes_with_what_decides_the_bytes_and_with_nothing_else() {
    let models = [("a", decoder(2)), ("b", decoder(2)), ("c", decoder(2))];
    let canonical = |text: &str| plan(text, &models).unwrap().canonical().to_string();
    let text =
        "{merge_method: dare_ties, base_model: c, models: [{model: a}, {model: b}], parameters: {weight: 1, density: 0.5}}";
    let same = canonical(text);
    for change in [
        text.replace("base_model: c,", "base_model: ./c, chat_template: chatml,"),
        text.replace("weight: 1", "weight: [1, 1.0]").replace("parameters:", "dtype: bfloat16, parameters:"),
        text.replace("density", "normalize: false, rescale: true, density"),
    ] {
        assert_eq!(canonical(&change), same, "{change}");
    }
    for change in [
        text.replace("0.5", "0.25"),
        text.replace("density", "lambda: 2, density"),
        text.replace("dare_ties", "ties"),
        text.replace("parameters:", "dtype: float32, parameters:"),
        text.replace("{model: a}, {model: b}", "{model: a}"),
    ] {
        assert_ne!(canonical(&change), same, "{change}");
    }
    let recipe = Recipe::parse(text, "r.yml").unwrap();
    let named: Vec<_> = recipe.models.iter().map(|model| (PathBuf::from(&model.path), decoder(2))).collect();
    let seeded = MergePlan::new(&recipe, named, &PlanOptions { seed: 1, ..PlanOptions::default() }).unwrap();
    assert_ne!(seeded.canonical().to_string(), same);
}

proptest! {
    /// Headers that a stranger wrote: whatever the names and shapes, a plan or an error.
    #[test]
    fn strange_headers_make_no_plan_panic(
        names in prop::collection::btree_set("(model[.]|h[.]|layers[.]|[0-9]{1,11}[.]|embed|inv_freq|rotary_emb|[.]){0,5}", 0..12),
        shape in prop::collection::vec(any::<u64>(), 0..3),
        float: bool,
        first in 0u32..5,
        count in 1u32..5,
    ) {
        let dtype = if float { Dtype::F16 } else { Dtype::I8 };
        let tensors = names.into_iter().map(|name| (name, TensorHeader { dtype, shape: shape.clone() })).collect();
        let config = config(json!({"num_hidden_layers": 3, "layer_types": [1, 2]}));
        let header = ModelHeader { config, tensors, ..Default::default() };
        let slices = format!("[{{sources: [{{model: a, layer_range: [{first}, {}]}}, {{model: b, layer_range: [0, {count}]}}]}}]", first + count);
        for layout in ["models: [{model: a}, {model: b}]".to_owned(), format!("slices: {slices}"), format!("modules: {{model: {{slices: {slices}}}}}")] {
            let text = format!("{{merge_method: slerp, base_model: a, parameters: {{t: [0, 1]}}, {layout}}}");
            let _ = said(&text, &[("a", header.clone()), ("b", header.clone())]);
        }
    }
}
