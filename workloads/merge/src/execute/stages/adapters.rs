//! Adapters that one recipe of a file makes and another uses: what comes out is what the same recipes make from files of their own.

use super::{config, inputs, models, run};
use crate::{
    MergeExecute,
    dry_run::dry_run,
    testing::{context, drive, merge, read_checkpoint, spec},
};
use braid_kernels::Dtype;
use serde_json::Value;
use std::{fs, path::Path};

const EXTRACT: &str = "merge_method: lora_extract\nbase_model: base\nmodels: [{model: x}]\nparameters: {rank: 3}\n";
const OTHER: &str = "merge_method: lora_extract\nbase_model: base\nmodels: [{model: v}]\nparameters: {rank: 2, save: false}\n";
const BOTH: &str = "merge_method: lora_merge\nmodels: [{model: ONE, parameters: {weight: 0.5}}, {model: TWO}]\n";
/// On a model in a folder, with a method that passes twice; with the long form, and on two models.
const USERS: [&str; 3] = [
    "merge_method: linear\nmodels: [{model: base+ADAPTER, parameters: {weight: 0.3}}, {model: z, parameters: {weight: 0.7}}]\n",
    "merge_method: slerp\nbase_model: z\nmodels: [{model: {model: {path: base}, lora: {path: ADAPTER}}}]\nparameters: {t: 0.4}\n",
    "merge_method: ties\nbase_model: base\nparameters: {density: 0.5, weight: 1}\nmodels: [{model: base+ADAPTER}, {model: v+ADAPTER}]\n",
];

fn done(root: &Path, recipe: &str, out: &str) {
    merge(root, recipe, out, 2).unwrap_or_else(|failure| panic!("{recipe}: {failure:?}"));
}

/// Requires that both folders hold the same, but for the names of the models.
fn same(root: &Path, one: &str, other: &str, recipe: &str) {
    let (one, other) = (root.join(one), root.join(other));
    assert!(read_checkpoint(&one) == read_checkpoint(&other), "{recipe}");
    assert_eq!(inputs(&one), inputs(&other), "{recipe}");
}

#[test]
fn an_adapter_that_a_recipe_makes_is_put_on_models_of_another() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::BF16, 160);
    done(root, EXTRACT, "alone");
    for (number, user) in USERS.iter().enumerate() {
        let file = format!("name: made\n{EXTRACT}---\n{}", user.replace("ADAPTER", "made"));
        done(root, &file, &format!("out-{number}"));
        done(root, &user.replace("ADAPTER", "alone"), &format!("then-{number}"));
        same(root, &format!("out-{number}"), &format!("then-{number}"), &file);
        assert_eq!(config(&root.join(format!("out-{number}"))), config(&root.join(format!("then-{number}"))));
        assert!(!root.join(format!(".out-{number}.stages")).exists());
    }
    // on what a recipe makes too, which is written for it
    let first = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: base}, {model: z}]\n";
    let user = "merge_method: passthrough\nmodels: [{model: FIRST+ADAPTER}]\n";
    let file = format!(
        "name: made\n{EXTRACT}---\nname: first\n{first}---\n{}",
        user.replace("FIRST", "first").replace("ADAPTER", "made")
    );
    let planned = dry_run(&serde_json::from_value(spec(root, &file, "nowhere")).unwrap()).unwrap();
    assert!(planned.stages.len() == 2 && planned.stages.iter().all(|stage| stage.written));
    done(root, &file, "on-stage");
    done(root, first, "first-alone");
    done(root, &user.replace("FIRST", "first-alone").replace("ADAPTER", "alone"), "on-stage-then");
    same(root, "on-stage", "on-stage-then", &file);
}

#[test]
fn adapters_that_recipes_make_are_merged_with_each_other() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    // those of the first have no factors of norms, which cannot be merged
    let one = EXTRACT.replace("rank: 3", "rank: 3, save: false");
    done(root, &one, "one");
    done(root, OTHER, "two");
    let both = BOTH.replace("ONE", "one").replace("TWO", "two");
    done(root, &both, "both");
    let stages = format!("name: a\n{one}---\nname: b\n{OTHER}---\n");
    let merged = BOTH.replace("ONE", "a").replace("TWO", "b");
    done(root, &format!("{stages}{merged}"), "as-result");
    same(root, "as-result", "both", &stages);
    let read = |out: &str| fs::read(root.join(out).join("adapter_config.json")).unwrap();
    assert!(read("as-result") == read("both"));
    assert!(root.join("as-result/adapter_model.safetensors").exists() && !root.join("as-result/config.json").exists());
    // and the merged one is used by a third
    let user = USERS[0].replace("ADAPTER", "c");
    done(root, &format!("{stages}name: c\n{merged}---\n{user}"), "chain");
    done(root, &USERS[0].replace("ADAPTER", "both"), "chain-then");
    same(root, "chain", "chain-then", &user);
}

/// The job is dropped after each number of tasks, and begun again.
#[test]
fn an_interrupted_job_goes_on_with_the_adapters_that_are_there() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let file = format!("name: made\n{EXTRACT}---\n{}", USERS[0].replace("ADAPTER", "made"));
    done(root, &file, "undisturbed");
    let expected = read_checkpoint(&root.join("undisturbed"));
    let mut interrupted = 0;
    for stop in 1.. {
        let out = format!("out-{stop}");
        let job = spec(root, &file, &out);
        if run(&job, stop).0 {
            break;
        }
        interrupted += 1;
        drive(&MergeExecute::new(), &job, &context(1, 256 << 20)).unwrap();
        assert!(read_checkpoint(&root.join(&out)) == expected, "after {stop} tasks");
        assert!(!root.join(format!(".{out}.stages")).exists());
    }
    assert!(interrupted >= 5, "{interrupted}: a plan, tensors and publishing for each of two");
}

#[test]
fn what_is_read_is_told_beforehand_of_made_adapters_too() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::BF16, 1600);
    for (number, user) in USERS[..2].iter().enumerate() {
        let file = format!("name: made\n{EXTRACT}---\n{}", user.replace("ADAPTER", "made"));
        let job = spec(root, &file, &format!("out-{number}"));
        let foretold = dry_run(&serde_json::from_value(job.clone()).unwrap()).unwrap().totals().0;
        assert_eq!(run(&job, usize::MAX), (true, foretold), "{user}");
    }
}

/// A tensor that an adapter replaces has the files of the base beside it, and is not the base's for that.
#[test]
fn what_an_adapter_replaces_is_not_taken_for_the_base_s() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let file = format!("name: made\n{EXTRACT}---\nmerge_method: passthrough\nmodels: [{{model: base+made}}]\n");
    done(root, &file, "first");
    let plain = "merge_method: passthrough\nmodels: [{model: base}]\n";
    done(root, plain, "fresh");
    let dated = fs::File::options().write(true).open(root.join("first/braid-inputs.json")).unwrap();
    dated.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(60)).unwrap();
    let mut job: Value = spec(root, plain, "out");
    job["reuse"] = root.join("first").to_str().unwrap().into();
    drive(&MergeExecute::new(), &job, &context(1, 256 << 20)).unwrap();
    assert!(read_checkpoint(&root.join("out")) == read_checkpoint(&root.join("fresh")));
    // the other way round: what is made of stages is computed
    let mut job: Value = spec(root, &file, "again");
    job["reuse"] = root.join("fresh").to_str().unwrap().into();
    let done = drive(&MergeExecute::new(), &job, &context(1, 256 << 20)).unwrap();
    assert!(done.summary.contains("taking 0 of "), "{}", done.summary);
    assert!(read_checkpoint(&root.join("again")) == read_checkpoint(&root.join("first")));
}

#[test]
fn checkpoints_and_adapters_that_are_taken_for_each_other_are_told_apart() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    models(root, Dtype::F32, 160);
    let linear = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: base}, {model: z}]\n";
    let hint = "make it with lora_extract, lora_merge or lora_lego";
    for (file, expected, hint) in [
        (
            format!(
                "name: made\n{EXTRACT}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: made}}, {{model: z}}]\n"
            ),
            "recipe.yml:9:18: `made`, which a recipe of this file makes, is an adapter, and linear merges checkpoints",
            "put it on its base: `model: base+name`",
        ),
        (
            format!("name: made\n{linear}---\nmerge_method: passthrough\nmodels: [{{model: base+made}}]\n"),
            "recipe.yml:7:18: `made`, which a recipe of this file makes, is a checkpoint and no adapter",
            hint,
        ),
        (
            format!("name: made\n{linear}---\nmerge_method: lora_merge\nmodels: [{{model: made}}]\n"),
            "recipe.yml:7:18: `made`, which a recipe of this file makes, is a checkpoint, and lora_merge merges adapters",
            hint,
        ),
        (
            format!(
                "name: made\n{EXTRACT}---\nmerge_method: linear\nparameters: {{weight: 1}}\nmodels: [{{model: base+mabe}}, {{model: base+made}}]\n"
            ),
            "recipe.yml:9:18: model `mabe` is not there",
            "did you mean `made`, a recipe of this file?",
        ),
    ] {
        let failure = merge(root, &file, "out", 1).unwrap_err();
        assert!(failure.message.starts_with(expected), "{}", failure.message);
        assert_eq!(failure.hint.as_deref(), Some(hint));
        assert!(!root.join(".out.stages").exists() && !root.join(".out.braid").exists());
    }
}
