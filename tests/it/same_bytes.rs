//! The output of a merge depends on the recipe and the inputs alone.

use crate::harness::{Coordinator, Family, SMALL, Scratch, Size, Tensors, Worker, WorkerSetup, braid};
use std::{fs, path::Path};

/// All of a result that must not differ: every file but for its time stamps.
#[derive(Debug, PartialEq)]
pub(crate) struct Output(Vec<(String, blake3::Hash)>);

impl Output {
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), blake3::hash(&fs::read(path).unwrap())))
            .collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(files.iter().any(|(name, _)| name == "braid.json"), "{files:?}");
        Self(files)
    }
}

/// What one process makes of a recipe.
pub(crate) fn reference(scratch: &Scratch, recipe: &Path) -> Output {
    braid(scratch.path(), ["merge".as_ref(), recipe.as_os_str(), "reference".as_ref(), "--threads".as_ref(), "1".as_ref()]).ok();
    Output::read(&scratch.join("reference"))
}

#[test]
fn threads_memory_and_runs_change_nothing() {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), SMALL, 1);
    for method in ["linear", "ties", "dare_ties"] {
        let recipe = scratch.write(&format!("{method}.yml"), family.recipe(method, 0.4));
        let recipe = recipe.to_str().unwrap();
        let mut outputs = Vec::new();
        for (run, flags) in [["--threads", "1"], ["--threads", "2"], ["--memory", "32MiB"]].into_iter().enumerate() {
            let out = format!("{method}-{run}");
            scratch.braid(["merge", recipe, &out].into_iter().chain(flags)).ok();
            outputs.push(Output::read(&scratch.join(&out)));
        }
        assert_eq!(outputs[0], outputs[1], "{method}: one thread and two");
        assert_eq!(outputs[0], outputs[2], "{method}: much memory and little");
    }
}

fn workers_and_their_threads_change_nothing(store: Option<&str>) {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), SMALL, 2);
    let recipe = scratch.write("recipe.yml", family.recipe("dare_ties", 0.4));
    let expected = reference(&scratch, &recipe);
    let coordinator = Coordinator::spawn(store);
    let mut workers = Vec::new();
    for count in 1..=3 {
        for threads in [1, 2] {
            workers.clear();
            workers.extend(
                (0..count).map(|_| {
                    Worker::start(coordinator.address(), WorkerSetup { threads: Some(threads), ..WorkerSetup::default() })
                }),
            );
            let out = format!("out-{count}-{threads}");
            coordinator.braid_in(scratch.path(), ["merge", "recipe.yml", &out]).ok();
            assert_eq!(Output::read(&scratch.join(&out)), expected, "{count} workers with {threads} threads");
        }
    }
}

#[test]
fn workers_change_nothing_with_the_embedded_store() {
    workers_and_their_threads_change_nothing(None);
}

#[cfg(feature = "etcd")]
#[test]
fn workers_change_nothing_with_etcd() {
    let etcd = crate::harness::Etcd::spawn();
    workers_and_their_threads_change_nothing(Some(&etcd.url()));
}

/// The rest of mergekit's methods and those of papers, on families just large enough for several tasks.
#[test]
fn workers_change_nothing_whatever_the_method() {
    const METHODS: [&str; 24] = [
        "breadcrumbs",
        "breadcrumbs_ties",
        "della",
        "della_linear",
        "sce",
        "model_stock",
        "ram",
        "ramplus_tl",
        "nearswap",
        "arcee_fusion",
        "slerp",
        "nuslerp",
        "multislerp",
        "karcher",
        "ties",
        "task_arithmetic",
        "dare_published",
        "sce_published",
        "varm",
        "widen",
        "ties_published",
        "pcb",
        "fisher",
        "monna",
    ];
    let scratch = Scratch::new();
    let size = Size { layers: 3, hidden: 512, vocabulary: 4096, experts: 3, shards: 2 };
    let family = Family::write(scratch.path(), size, 4);
    family.inform(size, 4);
    let mut expected = Vec::new();
    for method in METHODS {
        let recipe = scratch.write(&format!("{method}.yml"), family.recipe(method, 0.4));
        expected.push(reference(&scratch, &recipe));
        fs::remove_dir_all(scratch.join("reference")).unwrap();
    }
    let coordinator = Coordinator::spawn(None);
    let mut workers = Vec::new();
    for count in 1..=3 {
        workers.push(Worker::start(coordinator.address(), WorkerSetup { threads: Some(1), ..WorkerSetup::default() }));
        for (method, expected) in METHODS.iter().zip(&expected) {
            coordinator.braid_in(scratch.path(), ["merge", &format!("{method}.yml"), "out"]).ok();
            assert_eq!(&Output::read(&scratch.join("out")), expected, "{method} on {count} workers");
            fs::remove_dir_all(scratch.join("out")).unwrap();
        }
    }
}

/// Adapters and matched models: several tensors to a piece, in tasks of any worker, by the verbs of `braid lora` too.
#[test]
fn workers_change_nothing_where_tensors_are_made_together() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), SMALL, 4);
    scratch.write("match.yml", "merge_method: weight_matching\nbase_model: base\nmodels: [{model: expert1}]\n");
    workers_change_nothing_in(
        &scratch,
        &[
            ("matched", &["merge", "match.yml", "{}"]),
            ("one", &["lora", "extract", "base", "expert1", "{}", "--rank", "4"]),
            ("two", &["lora", "extract", "base", "expert2", "{}", "--rank", "3", "--dtype", "float32"]),
            ("folded", &["lora", "fold", "base", "one-0", "{}", "--max-shard-size", "20MB"]),
        ],
    );
}

/// What takes matrices apart, and groups what it finds.
#[test]
fn workers_change_nothing_where_matrices_are_decomposed() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), Size { layers: 2, hidden: 128, vocabulary: 512, experts: 3, shards: 2 }, 5);
    let experts = "base_model: base\nmodels: [{model: expert1}, {model: expert2}, {model: expert3}]\n";
    for method in ["tsvm", "tsvm_reweighted", "opcm"] {
        scratch.write(&format!("{method}.yml"), format!("merge_method: {method}\n{experts}"));
    }
    scratch.write("lego.yml", "merge_method: lora_lego\nmodels: [{model: one-0}, {model: two-0}]\n");
    workers_change_nothing_in(
        &scratch,
        &[
            ("tsvm", &["merge", "tsvm.yml", "{}"]),
            ("reweighted", &["merge", "tsvm_reweighted.yml", "{}"]),
            ("opcm", &["merge", "opcm.yml", "{}"]),
            ("one", &["lora", "extract", "base", "expert1", "{}", "--rank", "8", "--matrices-only"]),
            ("two", &["lora", "extract", "base", "expert2", "{}", "--rank", "8", "--matrices-only"]),
            ("merged", &["lora", "merge", "one-0", "two-0", "--out", "{}", "--rank", "6"]),
            ("lego", &["merge", "lego.yml", "{}"]),
        ],
    );
}

/// Recipes that use each other: one computed as it is read, one of whole models written first, by the worker that another one reads it on.
#[test]
fn workers_change_nothing_where_recipes_use_each_other() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), SMALL, 6);
    let stages = "name: mean\nmerge_method: linear\nparameters: {weight: 1}\nmodels: [{model: expert1}, {model: expert2}]\n---\n\
        name: voted\nmerge_method: ties_published\nbase_model: base\nmodels: [{model: mean}, {model: expert3}]\n---\n\
        merge_method: ties\nbase_model: base\nparameters: {weight: 1, density: 0.6}\nmodels: [{model: voted}, {model: mean}]\n";
    scratch.write("stages.yml", stages);
    workers_change_nothing_in(&scratch, &[("stages", &["merge", "stages.yml", "{}"])]);
}

/// What an earlier result gives is taken by whichever worker merges that tensor.
#[test]
fn workers_change_nothing_where_an_earlier_result_is_reused() {
    let scratch = Scratch::new();
    Family::write(scratch.path(), SMALL, 7);
    let recipe = |layer: &str| {
        let weight = format!("[{{filter: layers.{layer}., value: 0.3}}, {{value: 0.6}}]");
        format!(
            "merge_method: ties\nbase_model: base\nparameters: {{weight: {weight}, density: 0.5}}\nmodels: [{{model: expert1}}, {{model: expert2}}]\n"
        )
    };
    scratch.write("first.yml", recipe("0"));
    scratch.write("second.yml", recipe("1"));
    let steps: [(&str, &[&str]); 3] = [
        ("first", &["merge", "first.yml", "{}"]),
        ("anew", &["merge", "second.yml", "{}"]),
        ("second", &["merge", "second.yml", "{}", "--reuse", "first-0"]),
    ];
    workers_change_nothing_in(&scratch, &steps);
    assert_eq!(Tensors::read(&scratch.join("second-3")), Tensors::read(&scratch.join("anew-0")));
}

/// Runs each step in one process, into NAME-0, and on fleets of one to three workers; `{}` in its arguments is where it writes to.
fn workers_change_nothing_in(scratch: &Scratch, steps: &[(&str, &[&str])]) {
    let named = |args: &[&str], out: &str| args.iter().map(|arg| arg.replace("{}", out)).collect::<Vec<_>>();
    let coordinator = Coordinator::spawn(None);
    for (name, args) in steps {
        let args = [named(args, &format!("{name}-0")), vec!["--threads".to_owned(), "1".to_owned()]].concat();
        scratch.braid(args.iter().map(String::as_str)).ok();
    }
    for count in 1..=3 {
        let workers = (0..count).map(|_| Worker::start(coordinator.address(), WorkerSetup::default()));
        let _workers: Vec<_> = workers.collect();
        for (name, args) in steps {
            let args = named(args, &format!("{name}-{count}"));
            coordinator.braid_in(scratch.path(), args.iter().map(String::as_str)).ok();
            let output = |which: usize| Output::read(&scratch.join(&format!("{name}-{which}")));
            assert_eq!(output(count), output(0), "{name} on {count} workers");
        }
    }
}

/// A larger shard limit moves tensors between files and changes none of them.
#[test]
fn shards_hold_the_same_tensors_however_they_are_cut() {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), SMALL, 3);
    scratch.write("recipe.yml", family.recipe("linear", 1.0));
    scratch.braid(["merge", "recipe.yml", "one"]).ok();
    scratch.braid(["merge", "recipe.yml", "many", "--max-shard-size", "10MB"]).ok();
    let shards = scratch
        .join("many")
        .read_dir()
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "safetensors"));
    assert!(shards.count() >= 5);
    assert_eq!(Tensors::read(&scratch.join("one")), Tensors::read(&scratch.join("many")));
}
