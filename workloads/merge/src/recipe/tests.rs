//! What a user meets: recipes as people have them, and what is said about those that are wrong.

use super::*;
use crate::{hub::Hub, methods::Scalar};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// The error and the hint that a user sees.
fn said(text: &str) -> String {
    match Recipe::parse(text, "r.yml") {
        Ok(_) => "no error".into(),
        Err(error) => error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}\nhint: {hint}")),
    }
}

fn parse(text: &str) -> Recipe {
    Recipe::parse(text, "r.yml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_whole_of_a_recipe_is_read() {
    let recipe = parse(
        "merge_method: ties
name: mine
base_model: ./base/
models:
  - model: base   # with or without parameters, the base is the base
  - {model: {model: {path: 'a+b@c', revision: null}, lora: null}, parameters: {weight: '1e-1', density: [1, 0.5]}}
  - model: c
    parameters:
      weight:
        - {filter: self_attn, value: [0, 1]}
        - {filter: '*', value: 0.25}
parameters: {normalize: 0, int8_mask: yes, lambda: 1.5}
dtype: torch.float32
out_dtype: bfloat16
tokenizer_source: base
chat_template: chatml
",
    );
    assert_eq!(recipe.method.name(), "ties");
    assert_eq!(recipe.models.iter().map(|model| model.path.as_str()).collect::<Vec<_>>(), ["base", "a+b@c", "c"]);
    assert_eq!((recipe.base, recipe.donor()), (Some(0), 0));
    assert_eq!((recipe.dtype, recipe.out_dtype), (Some(Dtype::F32), Some(Dtype::BF16)));
    assert_eq!(recipe.tokenizer.as_ref().map(|tokenizer| &tokenizer.source), Some(&TokenizerSource::Base));
    assert!(matches!(&recipe.chat_template, Some(ChatTemplate::Text(text)) if text.contains("<|im_start|>")));
    let [Module { name: None, slices, .. }] = recipe.modules.as_slice() else { panic!("{recipe:?}") };
    let [Slice { inputs, .. }] = slices.as_slice() else { panic!("{recipe:?}") };
    let value =
        |input: usize, name: &str, tensor: &str, t: f64| inputs[input].settings.get(name).and_then(|s| s.value(tensor, t));
    assert_eq!(value(1, "weight", "x", 0.0), Some(Scalar::Number(0.1)));
    assert_eq!(value(1, "density", "x", 0.5), Some(Scalar::Number(0.75)));
    assert_eq!(value(2, "weight", "l.self_attn.q", 0.5), Some(Scalar::Number(0.5)));
    assert_eq!(value(2, "weight", "l.mlp.q", 0.5), Some(Scalar::Number(0.25)));
    assert_eq!(recipe.settings.get("normalize").and_then(|s| s.value("x", 0.0)), Some(Scalar::Flag(false)));
    assert_eq!(recipe.settings.get("int8_mask").and_then(|s| s.value("x", 0.0)), Some(Scalar::Flag(true)));
    assert_eq!(inputs[2].at, Span { line: 7, column: 5 });
}

#[test]
fn slices_and_modules_take_one_form() {
    let recipe = parse(
        "merge_method: slerp
base_model: a
modules:
  text_decoder:
    slices:
      - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [1, 3]}]
        residual_weight: 0.5
        parameters: {t: 0.5}
      - {base_model: b, sources: [{model: b, layer_range: [2, 3]}, {model: c, layer_range: [2, 3]}]}
  vision_tower: {models: [{model: a}, {model: b}]}
parameters: {t: [0, 1]}
",
    );
    let names: Vec<_> = recipe.modules.iter().map(|module| module.name.as_ref().map(|name| name.value.as_str())).collect();
    assert_eq!(names, [Some("text_decoder"), Some("vision_tower")]);
    let [first, second] = recipe.modules[0].slices.as_slice() else { panic!("{recipe:?}") };
    let inputs = |slice: &Slice| slice.inputs.iter().map(|input| (input.model, input.layers.clone())).collect::<Vec<_>>();
    assert_eq!(inputs(first), [(0, Some(0..2)), (1, Some(1..3))]);
    assert_eq!(inputs(second), [(1, Some(2..3)), (2, Some(2..3))]);
    assert_eq!((recipe.base_of(first), recipe.base_of(second)), (Some(0), Some(1)));
}

#[test]
fn the_base_joins_the_inputs_where_the_method_wants_it() {
    let inputs = |text: &str| parse(text).modules[0].slices[0].inputs.iter().map(|input| input.model).collect::<Vec<_>>();
    assert_eq!(inputs("{merge_method: task_arithmetic, base_model: b, models: [{model: a}], parameters: {weight: 1}}"), [0, 1]);
    assert_eq!(inputs("{merge_method: linear, base_model: b, models: [{model: a}], parameters: {weight: 1}}"), [0, 1]);
    assert_eq!(inputs("{merge_method: passthrough, base_model: b, models: [{model: a}]}"), [0]);
    let listed = "{merge_method: slerp, base_model: ./b, models: [{model: a}, {model: b/}], parameters: {t: 1}}";
    assert_eq!(inputs(listed), [0, 1]);
}

const ONE: &str = "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\n";

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let names: Vec<&str> = crate::methods::METHODS.iter().map(|method| method.name()).collect();
    let all = format!("the methods are {}", names.join(", "));
    for (text, expected) in [
        ("", "r.yml: the recipe is empty"),
        ("- a", "r.yml:1:1: the recipe: expected a mapping, found a list"),
        ("models: []", "r.yml:1:1: the recipe has no `merge_method`"),
        ("merge_method: 1", "r.yml:1:15: `merge_method`: expected text, found 1\nhint: put it in quotes if it is meant as text"),
        ("merge_method: tes", "r.yml:1:15: unknown method `tes`\nhint: did you mean `ties`?"),
        ("merge_method: slurp9000", &format!("r.yml:1:15: unknown method `slurp9000`\nhint: {all}")),
        ("merge_method: linear", "r.yml: the recipe names no inputs\nhint: give `models`, `slices` or `modules`"),
        ("merge_method: linear\nmodels: []", "r.yml:2:9: `models`: expected a list, found an empty one"),
        ("merge_method: linear\nmodels: a", "r.yml:2:9: `models`: expected a list, found the text \"a\""),
        (&format!("{ONE}slices: [{{}}]"), "r.yml:3:9: only one of `models`, `slices` and `modules` can be given"),
        ("merge_method: linear\nout_dtyp: x", "r.yml:2:1: unknown key `out_dtyp` in the recipe\nhint: did you mean `out_dtype`?"),
        (
            "merge_method: linear\nmodels:\n- model: a\n  weight: 1",
            "r.yml:4:3: unknown key `weight` in a model\nhint: it belongs one level deeper: `parameters: {weight: …}`",
        ),
        ("merge_method: linear\nmodels:\n- modle: a", "r.yml:3:3: unknown key `modle` in a model\nhint: did you mean `model`?"),
        (
            "merge_method: ties\nbase_model: b\nmodels:\n- model: a\n  parameters: {denisty: 1}",
            "r.yml:5:16: `denisty` is no parameter of ties\nhint: did you mean `density`?",
        ),
        (
            "merge_method: slerp\nmodels:\n- model: a\n  parameters: {weight: 1}",
            "r.yml:4:16: `weight` is no parameter of slerp\nhint: known here: t",
        ),
        (
            "merge_method: ties\nbase_model: b\nmodels:\n- model: a\n  parameters: {normalize: true}",
            "r.yml:5:16: `normalize` is set for one model, but ties has one value of it for all models\n\
             hint: move it to the `parameters` of the recipe, of the slice or of the module",
        ),
        (
            "merge_method: ties\nmodels: [{model: a}]",
            "r.yml:1:15: ties needs a base model\nhint: add `base_model:` with the model that the others were trained from",
        ),
        (
            "merge_method: ties\nbase_model: a\nmodels: [{model: a}]",
            "r.yml:3:9: ties needs at least 1 model beside the base, not 0",
        ),
        (
            "merge_method: ties\nbase_model: b\nmodels:\n- model: a\n- model: c\n  parameters: {weight: 1}",
            "r.yml:4:3: ties needs `weight` for model `a`, and the recipe sets none\nhint: add `parameters: {weight: …}` to it",
        ),
        (
            "merge_method: linear\nbase_model: b\nmodels:\n- {model: a, parameters: {weight: 1}}",
            "r.yml:2:13: linear needs `weight` for model `b`, and the recipe sets none\n\
             hint: the base is one of the inputs here: list it under `models` with `parameters: {weight: 0}`",
        ),
        (
            "merge_method: slerp\nbase_model: b\nmodels: [{model: a}]",
            "r.yml:1:15: slerp needs `t`, and the recipe sets none\nhint: add `parameters: {t: …}`",
        ),
        (
            "merge_method: slerp\nbase_model: b\nmodels: [{model: a}, {model: c}]\nparameters: {t: 0}",
            "r.yml:3:9: slerp takes exactly 1 model beside the base, not 2",
        ),
        (
            "merge_method: passthrough\nmodels: [{model: a}, {model: c}]",
            "r.yml:2:9: passthrough takes exactly 1 model, not 2\nhint: to stack layers of several models, give each its own slice",
        ),
        (
            "merge_method: slerp\nbase_model: b\nparameters: {t: 0}\nslices:\n- sources: [{model: a, layer_range: [0, 1]}]",
            "r.yml:5:3: base model `b` is not among the sources of this slice\n\
             hint: list it with the layers that this slice compares the others with",
        ),
        (
            "merge_method: linear\nparameters: {weight: 1}\nslices:\n- sources:\n  - {model: a, layer_range: [0, 2]}\n  - {model: b, layer_range: [0, 1]}",
            "r.yml:6:5: 1 layers where the first source of the slice has 2\nhint: all sources of a slice have as many layers",
        ),
        (
            "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [4, 2]}]",
            "r.yml:3:37: layer_range [4, 2] holds no layer\nhint: the second number is the layer after the last one",
        ),
        (
            "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, -2]}]",
            "r.yml:3:41: `layer_range`: expected a layer number, found -2",
        ),
        (
            "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: 3}]",
            "r.yml:3:37: `layer_range`: expected two layer numbers, [first, end) counted from 0, found 3",
        ),
        ("merge_method: passthrough\nslices:\n- sources: [{model: a}]", "r.yml:3:13: a source of a slice has no `layer_range`"),
        (
            "merge_method: passthrough\nmodules:\n  encoder: {parameters: {}}",
            "r.yml:3:12: module `encoder` needs either `models` or `slices`",
        ),
        (
            "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: ./a}]",
            "r.yml:3:30: model `./a` is listed twice",
        ),
        (
            "merge_method: linear\nmodels: [{model: a@main}]",
            "r.yml:2:18: a revision (`main` of `a`) is not supported yet\nhint: only a name on the hub, `organisation/name@revision`, has revisions; \
             a folder of this very name is written `model: {model: {path: \"a@main\"}}`",
        ),
        (
            "merge_method: linear\nmodels: [{model: a+x+y}]",
            "r.yml:2:18: `a+x+y` is no `model+adapter`\nhint: \
             a folder of this very name is written `model: {model: {path: \"a+x+y\"}}`",
        ),
        (
            "merge_method: linear\nmodels: [{model: a+x@main}]",
            "r.yml:2:18: a revision (`main` of `x`) is not supported yet\nhint: only a name on the hub, `organisation/name@revision`, has revisions; \
             a folder of this very name is written `model: {model: {path: \"a+x@main\"}}`",
        ),
        (
            "merge_method: linear\nmodels:\n- model:\n    model: a+x\n    lora: {path: z}",
            "r.yml:5:11: only one adapter can be put on a model",
        ),
        (
            "merge_method: linear\nmodels: [{model: {model: a, lora: x}}, {model: ./a+x/}]",
            "r.yml:2:48: model `./a+x/` is listed twice",
        ),
        (
            "merge_method: linear\nmodels:\n- model:\n    model: a\n    override_architecture: X",
            "r.yml:5:28: `override_architecture`: another architecture than the checkpoint's is not supported yet\n\
             hint: Braid reads tensors by their names and needs no architecture: leave it out",
        ),
        (
            "merge_method: linear\nmodels: [{model: [a]}]",
            "r.yml:2:18: `model`: expected a path, or a mapping with `model`, found a list",
        ),
        ("merge_method: linear\nmodels: [{model: ''}]", "r.yml:2:18: `model`: expected text, found empty text"),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: .nan}}]",
            "r.yml:2:42: `weight` is NaN, which is no finite number",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: [1, 1e999]}}]",
            "r.yml:2:46: `weight` is inf, which is no finite number",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1e39}}]",
            "r.yml:2:42: `weight` is 1e39, which is too large",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: much}}]",
            "r.yml:2:42: `weight`: expected a number, found the text \"much\"",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: true}}]",
            "r.yml:2:42: `weight`: expected a number, found true",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: [[1], 2]}}]",
            "r.yml:2:43: `weight`: expected a number (gradients do not nest), found a list",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: [{filter: a, value: 1}, 3]}}]",
            "r.yml:2:66: `weight`: expected a mapping with `value`, as the other items of the list are, found 3\n\
             hint: a value for all other tensors is written as {value: 0.5} at the end of the list",
        ),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: {filtre: a, value: 1}}}]",
            "r.yml:2:43: unknown key `filtre` in `weight`\nhint: did you mean `filter`?",
        ),
        (&format!("{ONE}parameters: {{normalize: 2}}"), "r.yml:3:25: `normalize`: expected true or false, found 2"),
        (&format!("{ONE}dtype: bf16"), "r.yml:3:8: `dtype`: unknown dtype \"bf16\"\nhint: did you mean `bfloat16`?"),
        (
            &format!("{ONE}out_dtype: int64"),
            "r.yml:3:12: `out_dtype`: weights cannot be merged as int64\nhint: integer buffers keep their type in any case",
        ),
        (
            &format!("{ONE}tokenizer_source: base\ntokenizer: {{source: base}}"),
            "r.yml:4:12: `tokenizer_source` and `tokenizer` cannot both be given",
        ),
        (
            &format!("{ONE}chat_template: chatlm"),
            "r.yml:3:16: chat_template \"chatlm\" is neither a known name nor a Jinja template\nhint: did you mean `chatml`?",
        ),
        (&format!("{ONE}---\n{ONE}"), "r.yml:4:1: one recipe was expected, and here begins another"),
        ("dtype: float32\ndtype: float16", "r.yml:2:1: the key `dtype` stands here for the second time"),
        ("merge_method: [1", "r.yml:1:15: not valid YAML: unclosed bracket '['"),
        ("merge_method: *nobody", "r.yml:1:15: not valid YAML: alias references unknown anchor"),
        ("merge_method: !!python/object:os.system x", "r.yml:1:41: not valid YAML: unsupported tag `!!python/object:os.system`"),
    ] {
        assert_eq!(said(text), expected, "\n{text}");
    }
}

#[test]
fn every_method_of_mergekit_is_known() {
    for name in [
        "linear",
        "slerp",
        "nuslerp",
        "multislerp",
        "karcher",
        "passthrough",
        "model_stock",
        "arcee_fusion",
        "nearswap",
        "ram",
        "ramplus_tl",
        "sce",
        "task_arithmetic",
        "ties",
        "dare_ties",
        "dare_linear",
        "breadcrumbs",
        "breadcrumbs_ties",
        "della",
        "della_linear",
    ] {
        assert!(crate::methods::find(name).is_some(), "{name}");
    }
}

#[test]
fn templates_that_are_there() {
    assert_eq!(parse(&format!("{ONE}chat_template: auto")).chat_template, Some(ChatTemplate::Auto));
    let own = parse(&format!("{ONE}chat_template: \"{{{{ messages }}}}\"")).chat_template;
    assert_eq!(own, Some(ChatTemplate::Text("{{ messages }}".into())));
    for name in ["alpaca", "chatml", "llama3", "mistral", "exaone"] {
        let template = parse(&format!("{ONE}chat_template: {name}")).chat_template;
        assert!(
            matches!(template, Some(ChatTemplate::Text(text)) if text.contains("add_generation_prompt") || name == "mistral")
        );
    }
}

#[test]
fn hostile_yaml_is_refused_before_it_grows() {
    let bomb = (1..20).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        let last = n - 1;
        format!("{text}a{n}: &a{n} [*a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}]\n")
    });
    for (text, expected) in [
        ("x".repeat(70_000), "r.yml: 70000 bytes are too many for a recipe (at most 65536)"),
        ("[".repeat(60_000), "recursion limit exceeded"),
        ("{a: ".repeat(10_000), "recursion limit exceeded"),
        ("- ".repeat(30_000), "nested too deeply"),
        (bomb, "its aliases stand for too much"),
        ("a: &a [*a]".into(), "not valid YAML"),
    ] {
        let said = said(&text);
        assert!(said.contains(expected), "{said}");
    }
}

fn places(recipe: &Recipe, within: &Within<'_, impl Fn(&Path) -> bool>) -> Result<Vec<PathBuf>, RecipeError> {
    Ok(recipe.locate(&[], within)?.into_iter().flatten().collect())
}

#[test]
fn models_are_looked_for_in_each_folder_in_turn() {
    let recipe = parse("merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: ./a}, {model: /b/c}, {model: org/name}]");
    let there = |paths: &'static [&str]| move |path: &Path| paths.iter().any(|known| Path::new(known) == path);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub { cache: Some(cache.path().to_owned()), offline: false };
    let folders = [Path::new("/models"), Path::new("/models/recipes")];
    let locate = |paths| places(&recipe, &Within { folders: &folders, hub: &hub, exists: there(paths) });
    let found = locate(&["/models/a", "/models/recipes/a", "/b/c", "/models/recipes/org/name"]);
    assert_eq!(found.unwrap(), ["/models/a", "/b/c", "/models/recipes/org/name"].map(PathBuf::from));

    let error = locate(&["/models/recipes/a", "/b/c"]).unwrap_err();
    let downloaded = cache.path().join("models--org--name");
    let tried = format!("/models/org/name and /models/recipes/org/name and {}", downloaded.display());
    assert_eq!(error.to_string(), format!("r.yml:3:47: model `org/name` is not there (looked for {tried})"));
    assert_eq!(
        error.hint(),
        Some(
            "paths start at the working directory or at the folder of the recipe; if this is a name on the Hugging Face hub, \
             download the model first, or write `hf://org/name` to read it there"
        )
    );
    // what was downloaded from the hub
    let snapshot = downloaded.join("snapshots/0123abc");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(downloaded.join("refs")).unwrap();
    std::fs::write(downloaded.join("refs/main"), "0123abc").unwrap();
    assert_eq!(locate(&["/models/a", "/b/c"]).unwrap()[2], snapshot);
    let error = locate(&[]).unwrap_err();
    assert_eq!(error.to_string(), "r.yml:3:18: model `./a` is not there (looked for /models/a and /models/recipes/a)");
    assert_eq!(error.hint(), Some("paths start at the working directory or at the folder of the recipe"));
}

#[test]
fn urls_and_names_on_the_hub_are_places() {
    let text = "merge_method: linear\nparameters: {weight: 1}\nmodels:\n- {model: s3://bucket/a@b/}\n- {model: org/name@v1}\n\
        - {model: hf://org/name@v1}\n- {model: {model: {path: org/name, revision: refs/pr/1}}}\n";
    let recipe = parse(text);
    let paths: Vec<&str> = recipe.models.iter().map(|model| model.path.as_str()).collect();
    assert_eq!(paths, ["s3://bucket/a@b/", "org/name@v1", "hf://org/name@v1", "org/name@refs/pr/1"]);
    let cache = tempfile::tempdir().unwrap();
    let model = cache.path().join("models--org--name");
    for (revision, commit) in [("v1", "11"), ("refs/pr/1", "22")] {
        let file = model.join("refs").join(revision);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, commit).unwrap();
        std::fs::create_dir_all(model.join("snapshots").join(commit)).unwrap();
    }
    let mut hub = Hub { cache: Some(cache.path().to_owned()), offline: true };
    let locate =
        |recipe: &Recipe, hub: &Hub| places(recipe, &Within { folders: &[Path::new("/none")], hub, exists: |_: &Path| false });
    let [v1, pr] = ["11", "22"].map(|commit| model.join("snapshots").join(commit));
    assert_eq!(locate(&recipe, &hub).unwrap(), [PathBuf::from("s3://bucket/a@b"), v1.clone(), v1, pr]);
    let other = parse("merge_method: linear\nmodels: [{model: hf://org/other, parameters: {weight: 1}}]");
    let error = locate(&other, &hub).unwrap_err();
    assert!(error.to_string().contains("model `hf://org/other` is not there (looked for "), "{error}");
    assert_eq!(error.hint(), Some("HF_HUB_OFFLINE is set, so only what was downloaded is looked at"));
    hub.offline = false;
    match cfg!(feature = "cloud") {
        true => assert_eq!(locate(&other, &hub).unwrap(), [PathBuf::from("hf://org/other@main")]),
        false => assert!(locate(&other, &hub).unwrap_err().hint().unwrap().contains("--features cloud")),
    }
    let wrong = parse("merge_method: linear\nmodels: [{model: hf://other, parameters: {weight: 1}}]");
    assert!(locate(&wrong, &hub).unwrap_err().to_string().ends_with("`hf://other` is no `hf://organisation/name@revision`"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Recipe::parse(&text, "r.yml");
        let _ = Recipe::parse(&String::from_utf8_lossy(&bytes), "r.yml");
    }

    /// Cuts, doublings and strange characters in a recipe that is right.
    #[test]
    fn no_change_to_a_recipe_makes_the_parser_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..12usize), 1..6),
    ) {
        const RECIPE: &str = "merge_method: ties\nbase_model: b\nslices:\n- sources:\n  - {model: b, layer_range: [0, 2]}\n  - model: a\n    \
            layer_range: &r [0, 2]\n    parameters:\n      weight: [{filter: mlp, value: [0, 1e-3]}, {value: 0.5}]\n      density: 0.5\n\
            - sources: [{model: b, layer_range: *r}, {model: a, layer_range: *r, parameters: {weight: 1}}]\nparameters: {normalize: true}\n\
            dtype: float32\ntokenizer: {source: base}\nchat_template: auto\n";
        const STRANGE: [&str; 12] = ["", ":", "\n", "  ", "- ", "&r ", "*r", "<<: *r", "null", "[", "{", "\u{0}\u{feff}"];
        parse(RECIPE);
        let mut text: Vec<char> = RECIPE.chars().collect();
        for (from, to, strange) in changes {
            let (a, b) = (from.index(text.len() + 1), to.index(text.len() + 1));
            text.splice(a.min(b)..(a.min(b) + a.abs_diff(b) % 9), STRANGE[strange].chars());
        }
        if let Err(error) = Recipe::parse(&text.iter().collect::<String>(), "r.yml") {
            prop_assert!(error.to_string().starts_with("r.yml"));
        }
    }
}
