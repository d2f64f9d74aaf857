use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn linear(name: &str, models: &[&str]) -> String {
    let models: Vec<String> = models.iter().map(|model| format!("{{model: {model}}}")).collect();
    let name = if name.is_empty() { String::new() } else { format!("name: {name}\n") };
    format!("{name}merge_method: linear\nmodels: [{}]\nparameters: {{weight: 1}}\n", models.join(", "))
}

fn names(stages: &Stages) -> Vec<Option<&str>> {
    stages.all().iter().map(|stage| stage.name.as_deref()).collect()
}

#[test]
fn one_recipe_is_the_result() {
    let text = linear("", &["x", "v"]);
    let stages = Stages::parse(&text, "r.yml").unwrap();
    assert!(stages.before().is_empty());
    assert_eq!((stages.result().text.as_str(), &stages.result().models), (text.as_str(), &vec![None, None]));
    // a name means nothing where there is nobody to use it
    assert_eq!(names(&Stages::parse(&linear("a", &["x", "v"]), "r.yml").unwrap()), [Some("a")]);
}

#[test]
fn stages_come_before_those_that_use_them() {
    let text = [linear("", &["b", "a", "./c"]), linear("b", &["a", "x"]), linear("a", &["x", "v"])].join("---\n");
    let stages = Stages::parse(&text, "r.yml").unwrap();
    assert_eq!(names(&stages), [Some("a"), Some("b"), None]);
    assert_eq!(stages.result().models, [Some(1), Some(0), None], "a folder");
    assert_eq!(stages.before()[1].models, [Some(0), None]);
    assert_eq!(stages.before()[0].text.trim(), linear("a", &["x", "v"]).trim());
    assert_eq!(stages.result().text, text);
    let lost = |model: &str| {
        let problem = Problem::ModelNotFound { model: model.into(), tried: Vec::new() };
        stages.suggest(RecipeError::new(Place { file: "r.yml".into(), at: Span::default() }, problem))
    };
    assert_eq!(lost("bb").hint(), Some("did you mean `b`, a recipe of this file?"));
    assert_eq!(lost("elsewhere").hint(), None);
}

#[test]
fn without_a_nameless_recipe_the_unused_one_is_the_result() {
    let text = [linear("z", &["a", "x"]), linear("a", &["x", "v"])].join("---\n");
    assert_eq!(names(&Stages::parse(&text, "r.yml").unwrap()), [Some("a"), Some("z")]);
}

#[test]
fn a_tokenizer_may_be_that_of_a_stage() {
    let text = [linear("a", &["x", "v"]), linear("", &["x", "v"]) + "tokenizer_source: a\n"].join("---\n");
    assert_eq!(Stages::parse(&text, "r.yml").unwrap().result().tokenizer, Some(0));
}

#[test]
fn an_adapter_may_be_that_of_a_stage() {
    let long = "merge_method: passthrough\nmodels: [{model: {model: {path: a}, lora: {path: b}}}]\n";
    for user in [linear("", &["x+b", "a+c", "./b+./a"]), linear("", &["x+b", "a"]), long.to_owned()] {
        let text = [user, linear("b", &["x+a", "v"]), linear("a", &["x", "v"])].join("---\n");
        let stages = Stages::parse(&text, "r.yml").unwrap();
        assert_eq!(names(&stages), [Some("a"), Some("b"), None], "{text}");
        assert_eq!((&stages.before()[1].models, &stages.before()[1].adapters), (&vec![None, None], &vec![Some(0), None]));
        let uses = |index: usize| (stages.result().models[index], stages.result().adapters[index]);
        assert!([(None, Some(1)), (Some(0), Some(1))].contains(&uses(0)), "{text}");
        if stages.result().models.len() == 3 {
            assert_eq!((uses(1), uses(2)), ((Some(0), None), (None, None)), "folders");
        }
    }
    let circle = [linear("a", &["x+b"]), linear("b", &["a"])].join("---\n");
    let error = Stages::parse(&circle, "r.yml").unwrap_err();
    assert_eq!(error.to_string(), "r.yml:3:18: `a` needs `b`, which needs `a`");
}

#[test]
fn what_cannot_be_is_refused_where_it_stands() {
    for (recipes, expected) in [
        (vec![linear("a", &["x"]), linear("a", &["x"])], "r.yml:6:7: two recipes have the name `a`"),
        (vec![linear("", &["x"]), linear("", &["x"])], "r.yml:5:1: two recipes have no name: this one and that in line 1"),
        (
            vec![linear("a", &["x"]), linear("b", &["x"])],
            "r.yml:6:7: `a` and `b` are used by no other recipe, and only one can give the result",
        ),
        (vec![linear("a", &["x"]), linear("", &["x"])], "r.yml:1:7: no recipe uses `a`"),
        (vec![linear("a", &["b"]), linear("b", &["x", "a"])], "r.yml:3:18: `a` needs `b`, which needs `a`"),
        (vec![linear("a", &["a"])], "r.yml:3:18: `a` needs `a`"),
        (
            vec![linear("", &["a"]), linear("a", &["b"]), linear("b", &["c"]), linear("c", &["b"])],
            "r.yml:12:18: `b` needs `c`, which needs `b`",
        ),
        (vec![linear("a", &["x"]), "merge_method: linaer\n".into()], "r.yml:6:15: unknown method `linaer`"),
        (vec![String::new()], "r.yml: the recipe is empty"),
    ] {
        let error = Stages::parse(&recipes.join("---\n"), "r.yml").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    /// Any use of recipes with smaller numbers, in any order in the file.
    #[test]
    fn whatever_is_used_comes_first(
        uses in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 1..4), 1..8),
        order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        // every recipe but the first uses the one before it, so that none is idle
        let recipe = |index: usize, more: &[prop::sample::Index]| {
            let before = if index == 0 { "x".into() } else { format!("s{}", index - 1) };
            let others = more.iter().map(|more| format!("s{}", more.index(index + 1))).filter(|other| *other != format!("s{index}"));
            let models: BTreeSet<String> = others.chain([before]).collect();
            linear(&format!("s{index}"), &models.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let all: Vec<String> = uses.iter().enumerate().map(|(index, more)| recipe(index, more)).collect();
        let shuffled: Vec<&str> = order.iter().filter_map(|at| all.get(*at)).map(String::as_str).collect();
        let stages = Stages::parse(&shuffled.join("---\n"), "r.yml").unwrap();
        prop_assert_eq!(stages.all().len(), all.len());
        let last = format!("s{}", all.len() - 1);
        prop_assert_eq!(stages.result().name.as_deref(), Some(last.as_str()));
        for (index, stage) in stages.all().iter().enumerate() {
            prop_assert!(stage.models.iter().flatten().all(|used| *used < index));
        }
    }
}
