//! Merges of checkpoints behind a web server and on a hub, both on loopback: the bytes are those of a merge of folders, and trouble on the
//! way is told with the object and what was tried.

mod results;
mod reuse;
mod stages;
mod tokenizers;

use super::{
    Room,
    connect::Environment,
    fetch::Limits,
    server::{Asked, Server, Trouble},
    store::Cloud,
};
use crate::{
    MergeExecute,
    checkpoint::{Sources, Store},
    step::{self, Planned, Step},
    testing::{Tensor, context, drive, spec, write_adapter, write_checkpoint},
};
use braid_kernels::Dtype;
use braid_workload::{Execute, Failure, FailureKind, JobResult, TaskId, TaskSpec};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;

/// Larger than what comes with the header.
const LARGE: u64 = 300_000;

fn limits() -> Limits {
    let pause = Duration::from_millis(1);
    Limits { tries: 3, pause, longest_pause: pause, deadline: Duration::from_secs(30), at_once: 8 }
}

fn execute(environment: &Environment) -> MergeExecute {
    let environment = environment.clone();
    let cloud = move |room: Room| Sources::with(Arc::new(Cloud::new(room, limits(), environment.clone())));
    MergeExecute::new().reading(cloud)
}

fn house() -> TempDir {
    let house = tempfile::tempdir().unwrap();
    for (model, seed) in [("a", 1), ("b", 2)] {
        let root = house.path().join(model);
        write_checkpoint(&root, &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &tensors(seed), 2);
        fs::write(root.join("tokenizer.json"), format!("\"{model}\"")).unwrap();
    }
    house
}

fn tensors(seed: u64) -> Vec<Tensor> {
    let names = ["model.embed_tokens.weight", "model.layers.0.w", "model.layers.1.w", "model.norm.weight"];
    let sizes = [LARGE, LARGE, LARGE, 10];
    names.iter().zip(sizes).zip(seed * 100..).map(|((name, size), seed)| Tensor::noise(name, Dtype::F32, size, seed)).collect()
}

fn recipe(a: &str, b: &str) -> String {
    format!("merge_method: ties\nbase_model: {a}\nmodels:\n- {{model: {b}, parameters: {{weight: 1, density: 0.5}}}}\n")
}

fn merge(root: &Path, recipe: &str, out: &str) -> Result<JobResult, Failure> {
    drive(&execute(&Environment::default()), &spec(root, recipe, out), &context(2, 64 << 20))
}

/// The files of a result whose bytes do not name where the inputs were.
fn files(root: &Path, out: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let mut files: BTreeMap<_, _> = fs::read_dir(root.join(out)).unwrap().map(|entry| read(entry.unwrap())).collect();
    ["README.md", "braid.json", "braid-inputs.json"].iter().for_each(|name| drop(files.remove(*name).unwrap()));
    files
}

/// Merges of one model that is served, up to the tensors: what a task meets when `then` has happened after the plan.
fn after_the_plan(then: impl FnOnce(&TempDir, &Server)) -> (Server, Result<Value, Failure>) {
    let house = house();
    let server = Server::of(house.path());
    let spec = spec(house.path(), &recipe(&format!("{}/a", server.url), "b"), "out");
    let (execute, context) = (execute(&Environment::default()), context(2, 64 << 20));
    let run = |index: u32, step: &Step| {
        let task = TaskSpec { label: String::new(), payload: step::write(step).unwrap(), demand: Default::default() };
        execute.run(&spec, &task, &braid_workload::TaskContext { task: TaskId { index, ..context.task }, ..context.clone() })
    };
    let plan: Planned = step::read(&run(0, &Step::Plan).unwrap()).unwrap();
    then(&house, &server);
    let outcome = run(1, &Step::Tensors { first: 0, end: 4, plan: plan.plan });
    (server, outcome)
}

#[test]
fn a_merge_over_the_network_has_the_bytes_of_one_of_folders() {
    let house = house();
    let server = Server::of(house.path());
    merge(house.path(), &recipe("a", "b"), "local").unwrap();
    merge(house.path(), &recipe(&format!("{}/a/", server.url), &format!("{}/b", server.url)), "out").unwrap();
    assert_eq!(files(house.path(), "local"), files(house.path(), "out"));
    // ties reads its inputs more than once, but there was memory to keep them
    let all = 4 * (3 * LARGE + 10);
    for model in ["a", "b"] {
        let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        let read: u64 = [one, two].map(|shard| server.bytes(&format!("{model}/{shard}"))).iter().sum();
        assert!(read <= all + 2 * 65_536, "{read} of {all}");
    }
}

#[test]
fn adapters_lie_there_too() {
    let house = house();
    let noise = |name: &str, shape: [u64; 2], seed| Tensor { shape: shape.to_vec(), ..Tensor::noise(name, Dtype::F32, 16, seed) };
    let base = [Tensor { shape: vec![8, 8], ..Tensor::noise("model.layers.0.q.weight", Dtype::F32, 64, 1) }];
    write_checkpoint(&house.path().join("base"), &json!({}), &base, 1);
    let module = "base_model.model.model.layers.0.q";
    let factors = [noise(&format!("{module}.lora_A.weight"), [2, 8], 2), noise(&format!("{module}.lora_B.weight"), [8, 2], 3)];
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"]});
    write_adapter(&house.path().join("lora"), &config, &factors);
    let server = Server::of(house.path());
    let recipe = |at: &str| format!("merge_method: linear\nmodels: [{{model: {at}base+{at}lora, parameters: {{weight: 1}}}}]\n");
    merge(house.path(), &recipe(""), "local").unwrap();
    merge(house.path(), &recipe(&format!("{}/", server.url)), "out").unwrap();
    assert_eq!(files(house.path(), "local"), files(house.path(), "out"));
}

#[test]
fn a_task_downloads_what_it_needs() {
    let house = house();
    let server = Server::of(house.path());
    let spec = spec(house.path(), &recipe(&format!("{}/a", server.url), "b"), "out");
    let (execute, context) = (execute(&Environment::default()), context(2, 64 << 20));
    let run = |step: &Step| {
        let task = TaskSpec { label: String::new(), payload: step::write(step).unwrap(), demand: Default::default() };
        execute.run(&spec, &task, &context).unwrap()
    };
    let plan: Planned = step::read(&run(&Step::Plan)).unwrap();
    let shard = |number: u32| server.bytes(&format!("a/model-0000{number}-of-00002.safetensors"));
    let (one, two) = (shard(1), shard(2));
    assert!(one <= 65_536 && two <= 65_536, "headers: {one}, {two}");
    run(&Step::Tensors { first: 1, end: 2, plan: plan.plan });
    assert_eq!((shard(1) - one, shard(2) - two), (4 * LARGE, 0));
}

#[test]
fn connections_that_break_are_made_again() {
    let (_, outcome) = after_the_plan(|_, server| {
        let seen = Mutex::new(BTreeMap::<(u64, u64), u32>::new());
        server.trouble(move |asked: &Asked| {
            let mut seen = seen.lock().unwrap();
            let count = seen.entry(asked.range?).or_default();
            *count += 1;
            match *count {
                1 => Some(Trouble::Cut(1000)),
                2 => Some(Trouble::Status(503, "slow down".into())),
                _ => None,
            }
        });
    });
    outcome.unwrap();
}

#[test]
fn what_does_not_pass_is_told_with_its_object() {
    type Then = fn(&TempDir, &Server);
    let cases: [(Then, FailureKind, &str); 6] = [
        (|_, server| server.trouble(|_| Some(Trouble::Cut(1000))), FailureKind::Retry, "; tried 3 times"),
        (|_, server| server.trouble(|_| Some(Trouble::Status(500, "oops".into()))), FailureKind::Retry, "oops; tried 3 times"),
        (
            |_, server| server.trouble(|_| Some(Trouble::Status(404, "gone".into()))),
            FailureKind::Fatal,
            "there is no such object (",
        ),
        (
            |_, server| server.trouble(|_| Some(Trouble::Status(403, "no".into()))),
            FailureKind::Fatal,
            "access is refused, with status 403 (",
        ),
        (|_, server| server.trouble(|_| Some(Trouble::Whole)), FailureKind::Fatal, "the server sends whole objects only"),
        (
            |_, server| server.trouble(|_| Some(Trouble::Status(416, String::new()))),
            FailureKind::Fatal,
            "it is shorter than it was",
        ),
    ];
    for (then, kind, expected) in cases {
        let (server, outcome) = after_the_plan(then);
        let failure = outcome.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        let object = format!("cannot read {}/a/model-0000", server.url);
        assert!(failure.message.starts_with(&object) && failure.message.contains(expected), "{expected}: {failure:?}");
    }
}

#[test]
fn an_object_that_changes_under_a_merge_is_noticed() {
    let write = |house: &TempDir| {
        let root = house.path().join("a");
        write_checkpoint(&root, &json!({"num_hidden_layers": 2, "torch_dtype": "float32"}), &tensors(7), 2);
    };
    let (server, outcome) = after_the_plan(|house, _| write(house));
    let failure = outcome.unwrap_err();
    let expected = |server: &Server| format!("{}/a/model-0000", server.url);
    assert!(failure.message.starts_with(&expected(&server)), "{failure:?}");
    assert!(failure.message.ends_with(": changed since the merge was planned"), "{failure:?}");
    assert!(server.asked.lock().unwrap().iter().any(|asked| asked.headers.contains_key("if-match")));
    // a server that does not heed If-Match says another tag
    let (_, outcome) = after_the_plan(|_, server| server.trouble(|_| Some(Trouble::Tag(Some("\"other\"".into())))));
    assert!(outcome.is_err());
    // and one without tags another length
    let house = house();
    let server = Server::of(house.path());
    server.trouble(|_| Some(Trouble::Tag(None)));
    let cloud = Cloud::new(Room::LEAST, limits(), Environment::default());
    let object = cloud.find(&format!("{}/a/model-00001-of-00002.safetensors", server.url)).unwrap().unwrap();
    assert_eq!(object.stamp().version, 0);
    let shard = house.path().join("a/model-00001-of-00002.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    object.read_exact_at(&mut [0; 8], 100_000).unwrap();
    bytes.push(0);
    fs::write(&shard, bytes).unwrap();
    let text = object.read_exact_at(&mut [0; 8], 200_000).unwrap_err().to_string();
    assert!(text.ends_with("changed since the merge was planned"), "{text}");
}

#[test]
fn what_is_missing_or_damaged_is_told_before_anything_is_written() {
    type Spoil = fn(&Path, &Server);
    let cases: [(Spoil, &str); 6] = [
        (|root, _| fs::remove_file(root.join("a/config.json")).unwrap(), "/a: has no config.json"),
        (
            |root, _| fs::remove_file(root.join("a/model.safetensors.index.json")).unwrap(),
            "/a: has neither model.safetensors nor",
        ),
        (
            |root, _| fs::remove_file(root.join("a/model-00002-of-00002.safetensors")).unwrap(),
            "names the shard \"model-00002-of-00002.safetensors\", which is not in the folder",
        ),
        (
            |root, _| {
                let shard = root.join("a/model-00001-of-00002.safetensors");
                let bytes = fs::read(&shard).unwrap();
                fs::write(&shard, &bytes[..bytes.len() - 4]).unwrap();
            },
            "it is truncated",
        ),
        (|root, _| fs::write(root.join("a/model-00001-of-00002.safetensors"), "").unwrap(), "is 0 bytes long"),
        (|_, server| server.trouble(|_| Some(Trouble::Status(401, "who?".into()))), "access is refused, with status 401 ("),
    ];
    for (spoil, expected) in cases {
        let house = house();
        let server = Server::of(house.path());
        spoil(house.path(), &server);
        let failure = merge(house.path(), &recipe(&format!("{}/a", server.url), "b"), "out").unwrap_err();
        assert!(failure.message.contains(expected) && failure.message.contains(&server.url), "{expected}: {failure:?}");
        assert!(!house.path().join("out").exists() && !house.path().join(".out.braid").exists());
    }
    let house = house();
    let failure = merge(house.path(), &recipe("ftp://host/a", "b"), "out").unwrap_err();
    assert!(failure.message.contains("`ftp://` is none of s3://"), "{failure:?}");
    let failure = merge(house.path(), &recipe("http://127.0.0.1:1/a", "b"), "out").unwrap_err();
    assert!(failure.message.starts_with("cannot open http://127.0.0.1:1/a/config.json: "), "{failure:?}");
    assert_eq!(failure.kind, FailureKind::Retry);
}

/// A hub that answers as the real one: an API, and files that lie elsewhere.
fn hub(house: &TempDir, commit: &'static str) -> Server {
    let elsewhere = Server::of(house.path());
    let server = Server::of(house.path());
    let root = house.path().to_owned();
    server.trouble(move |asked: &Asked| {
        if asked.headers.get("authorization").map(String::as_str) != Some("Bearer secret") {
            return Some(Trouble::Status(401, "who?".into()));
        }
        if let Some(rest) = asked.path.strip_prefix("/api/models/org/") {
            let (model, revision) = rest.split_once("/revision/")?;
            if !root.join(model).is_dir() || !["main", "refs%2Fpr%2F1"].contains(&revision) {
                return Some(Trouble::Status(404, "none".into()));
            }
            let names = fs::read_dir(root.join(model)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let siblings: Vec<Value> = names.map(|name| json!({ "rfilename": name })).collect();
            return Some(Trouble::Status(200, json!({ "sha": commit, "siblings": siblings }).to_string()));
        }
        let (model, file) = asked.path.strip_prefix("/org/")?.split_once(&format!("/resolve/{commit}/"))?;
        Some(match file.ends_with(".safetensors") {
            true => Trouble::Redirect(format!("{}/{model}/{file}", elsewhere.url)),
            false => Trouble::File(root.join(model).join(file)),
        })
    });
    server
}

#[test]
fn a_model_on_the_hub_is_read_at_one_commit() {
    let house = house();
    fs::write(house.path().join("a/modeling_x.py"), "pass").unwrap();
    let server = hub(&house, "0123456789abcdef");
    let environment = Environment { hub: Some(server.url.clone()), token: Some("secret".into()), ..Environment::default() };
    let run = |environment: &Environment, recipe: &str, out: &str| {
        drive(&execute(environment), &spec(house.path(), recipe, out), &context(2, 64 << 20))
    };
    run(&environment, &recipe("a", "b"), "local").unwrap();
    run(&environment, &recipe("hf://org/a", "hf://org/b@refs/pr/1"), "out").unwrap();
    assert_eq!(files(house.path(), "local"), files(house.path(), "out"));
    assert!(files(house.path(), "out").contains_key("modeling_x.py"));
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|asked| asked.path.starts_with("/api/")).count(), 2, "once for each model");

    let failure = run(&environment, &recipe("hf://org/none", "b"), "none").unwrap_err();
    assert!(failure.message.starts_with("cannot open hf://org/none@main/config.json: there is no such object ("), "{failure:?}");
    let failure = run(&Environment { token: None, ..environment }, &recipe("hf://org/a", "b"), "none").unwrap_err();
    assert!(failure.message.starts_with("cannot open hf://org/a@main/config.json: access is refused, with status 401 ("));
    assert!(failure.hint.unwrap().starts_with("set HF_TOKEN"));
}
