//! Verbs that talk to a coordinator.

use crate::{
    harness::{Coordinator, CoordinatorSetup, Process, Run, Scratch, Worker, WorkerSetup, command, eventually, goldens, timed},
    see,
};
use rustix::process::Signal;
use std::time::Duration;

/// Leaves a job that nobody runs: there is no worker.
fn submit_to_nobody(coordinator: &Coordinator, scratch: &Scratch) -> String {
    let out = scratch.join("out");
    let args = ["merge", "recipes/linear.yml", out.to_str().unwrap(), "--detach"];
    coordinator.braid_in(&goldens(), args).ok().stdout.trim().to_owned()
}

#[test]
fn a_job_from_start_to_end() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(None);
    see!(scratch, coordinator.braid(["job", "ls"]), @"
    exit: 0
    --- stdout
    ID  KIND  STATE  TASKS  BYTES  AGE  LABEL
    --- stderr
    ");
    see!(scratch, coordinator.braid(["node", "ls", "-o", "yaml"]), @"
    exit: 0
    --- stdout
    schema: braid/v1
    nodes: []
    --- stderr
    ");

    let memory = Some("256MiB".to_owned());
    let _worker = Worker::start(coordinator.address(), WorkerSetup { memory, ..WorkerSetup::default() });
    coordinator.wait_for_nodes(1);
    let nodes = coordinator.braid(["node", "ls", "-o", "json"]).json();
    let node = &nodes["nodes"][0];
    assert_eq!((&node["threads"], &node["memory"], &node["state"]), (&1.into(), &(256 << 20).into(), &"ready".into()));
    assert_eq!(node["kinds"], serde_json::json!(["command", "merge", "mixture", "mixture-infer", "noop", "profile", "train"]));
    let names = coordinator.braid(["node", "ls", "-o", "name"]).ok().stdout;
    assert_eq!(names.trim(), node["name"].as_str().unwrap());
    let table = coordinator.braid(["node", "ls"]).ok().stdout;
    assert!(table.starts_with("NAME") && table.lines().nth(1).unwrap().starts_with(names.trim()), "{table}");

    let figures = coordinator.braid(["bench", "--tasks", "3"]).ok().json();
    assert_eq!((&figures["tasks"], &figures["job"]), (&3.into(), &1.into()));
    assert!(figures["tasks_per_second"].as_f64().unwrap() > 0.0);

    see!(scratch, coordinator.braid(["job", "show", "1"]), @"
    exit: 0
    --- stdout
    job        1
    kind       noop
    label      nothing, 3 times
    state      done
    submitted  [DATE]
    finished   [DATE] (after [TIME])
    tasks      3 done, 0 running, 0 waiting
    result     did nothing 3 times
    --- stderr
    ");
    see!(scratch, coordinator.braid(["job", "show", "last", "--tasks", "-o", "name"]), @"
    exit: 0
    --- stdout
    1.0
    1.1
    1.2
    --- stderr
    ");
    see!(scratch, coordinator.braid(["job", "ls", "-o", "name"]), @"
    exit: 0
    --- stdout
    1
    --- stderr
    ");
    see!(scratch, coordinator.braid(["job", "wait", "last"]), @"
    exit: 0
    --- stdout
    --- stderr
    job 1 is done: did nothing 3 times
    ");
    see!(scratch, coordinator.braid(["job", "wait", "last", "--quiet"]), @"
    exit: 0
    --- stdout
    --- stderr
    ");
    see!(scratch, coordinator.braid(["job", "show", "1", "--watch", "-o", "name"]), @"
    exit: 0
    --- stdout
    1
    --- stderr
    ");
    see!(scratch, coordinator.braid(["job", "logs", "1"]), @"
    exit: 0
    --- stdout
    --- stderr
    ");
    see!(scratch, coordinator.braid(["job", "cancel", "1"]), @"
    exit: 3
    --- stdout
    --- stderr
    error: job 1 is over
    ");
    let jobs = coordinator.braid(["job", "ls", "-o", "json"]).json();
    assert_eq!((&jobs["schema"], &jobs["jobs"][0]["state"]), (&"braid/v1".into(), &"done".into()));
}

#[test]
fn of_several_jobs_and_nodes_one_that_cannot_be_changed_keeps_no_other() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(Some("memory:"));
    submit_to_nobody(&coordinator, &scratch);
    see!(scratch, coordinator.braid(["job", "cancel", "9", "1", "8"]), @"
    exit: 3
    --- stdout
    --- stderr
    job 1 is cancelled
    error: there is no job 9
    error: there is no job 8
    ");
    see!(scratch, coordinator.braid(["node", "drain", "n7", "n8"]), @"
    exit: 3
    --- stdout
    --- stderr
    error: there is no node n7
    error: there is no node n8
    ");
}

#[test]
fn what_is_not_there_is_not_found() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(Some("memory:"));
    see!(scratch, coordinator.braid(["job", "show", "7"]), @"
    exit: 3
    --- stdout
    --- stderr
    error: there is no job 7
    ");
    see!(scratch, coordinator.braid(["job", "show", "last"]), @"
    exit: 3
    --- stdout
    --- stderr
    error: there is no job yet
    ");
    for verb in [&["job", "wait", "last"][..], &["job", "wait", "7"], &["job", "logs", "7"], &["job", "cancel", "7"]] {
        let run = coordinator.braid(verb);
        assert_eq!(run.code, Some(3), "{verb:?}: {run}");
    }
}

#[test]
fn a_job_that_nobody_runs_can_be_waited_for_and_cancelled() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(Some("memory:"));
    let id = submit_to_nobody(&coordinator, &scratch);
    assert_eq!(id, "1");
    let (run, took) = timed(|| coordinator.braid(["job", "wait", "1", "--timeout", "300ms", "--quiet"]));
    see!(scratch, run, @"
    exit: 124
    --- stdout
    --- stderr
    error: job 1 has not ended within 300ms

    hint: it goes on; `braid job show 1` says how far it is
    ");
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    let job = coordinator.braid(["job", "show", "1", "-o", "json"]).json();
    assert_eq!((&job["state"], &job["task_counts"]["waiting"]), (&"running".into(), &1.into()));
    assert!(job["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "a job that waits says why: {job}");

    see!(scratch, submit_again(&coordinator, &scratch), @"
    exit: 3
    --- stdout
    --- stderr
    error: job 1 is not over yet and holds out:[DIR]/out

    hint: wait for that job or cancel it, or choose another folder for the result
    ");
    see!(scratch, coordinator.braid(["job", "cancel", "last"]), @"
    exit: 0
    --- stdout
    --- stderr
    job 1 is cancelled
    ");
    see!(scratch, coordinator.braid(["job", "wait", "1"]), @"
    exit: 1
    --- stdout
    --- stderr
    error: job 1 was cancelled
    ");
    assert!(scratch.names().is_empty(), "a job that never ran leaves nothing: {:?}", scratch.names());
}

/// Two jobs must not write one folder.
fn submit_again(coordinator: &Coordinator, scratch: &Scratch) -> Run {
    let out = scratch.join("out");
    coordinator.braid_in(&goldens(), ["merge", "recipes/ties.yml", out.to_str().unwrap(), "--detach"])
}

#[test]
fn a_failed_job_says_why_wherever_it_is_asked() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(Some("memory:"));
    let _worker = Worker::spawn(coordinator.address());
    coordinator.wait_for_nodes(1);
    let recipe = scratch.write("r.yml", "merge_method: linear\nmodels:\n  - {model: gone, parameters: {weight: 1}}\n");
    let merge = || coordinator.braid_in(scratch.path(), ["merge", recipe.to_str().unwrap(), "out", "--quiet"]);
    see!(scratch, merge(), @"
    exit: 1
    --- stdout
    --- stderr
    error: job 1: [DIR]/r.yml:3:13: model `gone` is not there (looked for [DIR]/gone)

    hint: paths start at the working directory or at the folder of the recipe
    ");
    see!(scratch, coordinator.braid(["job", "wait", "1", "--quiet"]), @"
    exit: 1
    --- stdout
    --- stderr
    error: job 1: [DIR]/r.yml:3:13: model `gone` is not there (looked for [DIR]/gone)

    hint: paths start at the working directory or at the folder of the recipe
    ");
    assert_eq!(scratch.names(), ["r.yml"], "nothing is left behind");
}

#[test]
fn a_worker_needs_the_token_of_its_coordinator() {
    let scratch = Scratch::new();
    let setup = CoordinatorSetup { token: Some("right".into()), store: Some("memory:".into()), ..CoordinatorSetup::default() };
    let coordinator = Coordinator::start(setup);
    let join = |args: &[&str]| {
        let start = ["worker", "--insecure", "--join", coordinator.address(), "--data-dir", "w", "--quiet"];
        let run = scratch.braid(start.iter().chain(args));
        // The name of the node is the machine's.
        let node = std::fs::read_to_string(scratch.join("w/node")).unwrap();
        Run { stderr: run.stderr.replace(node.trim(), "[NODE]"), ..run }
    };
    see!(scratch, join(&["--token", "wrong"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the coordinator refused worker [NODE]: the join token is not the coordinator's

    hint: check the --token of the worker against that of the coordinator
    ");
    see!(scratch, join(&[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the coordinator refused worker [NODE]: the coordinator wants a join token: start the worker with --token

    hint: check the --token of the worker against that of the coordinator
    ");
    let token = Some("right".to_owned());
    let _worker = Worker::start(coordinator.address(), WorkerSetup { token, ..WorkerSetup::default() });
    coordinator.wait_for_nodes(1);
}

#[test]
fn a_worker_tells_of_its_disks_and_measures_its_node_once() {
    let coordinator = Coordinator::spawn(None);
    let mut worker = Worker::start(coordinator.address(), WorkerSetup { measures: true, ..WorkerSetup::default() });
    coordinator.wait_for_nodes(1);
    let node = || coordinator.braid(["node", "ls", "-o", "json"]).ok().json()["nodes"][0].clone();
    let first = node();
    let disks = first["disks"].as_array().unwrap();
    let root = disks.iter().find(|disk| disk["mount"] == "/").expect("without a policy all disks count");
    assert!(root["total"].as_u64() > Some(0) && root["free"].as_u64() <= root["total"].as_u64(), "{root}");
    let measured = &first["measured"];
    assert!(measured["unix_millis"].as_u64() > Some(0), "{measured}");
    // On a machine that is very busy a look may not end in time.
    if measured["memory_bytes_per_second"].is_u64() && measured["disk_read_bytes_per_second"].is_u64() {
        worker.restart();
        eventually("the node again", || (node()["state"] == "ready").then_some(()));
        assert_eq!(node()["measured"]["unix_millis"], measured["unix_millis"], "it is kept");
    }
}

#[test]
fn one_process_at_a_time_holds_a_data_folder() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(None);
    let data = coordinator.folder().join("data");
    let args = ["coordinator", "--insecure", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let run = scratch.braid(args);
    let said = format!("error: the coordinator cannot start: {}/state.redb: in use by process ", data.display());
    assert!(run.code == Some(3) && run.stdout.is_empty() && run.stderr.contains(&said), "{run}");
    assert!(run.stderr.contains("is held by process ") && run.stderr.contains("waiting up to 2s for its end"), "{run}");
    let hint = "hint: another coordinator runs on this data directory: stop it, or use another --data-dir";
    assert!(run.stderr.contains(hint), "{run}");
    let run = scratch.braid(["coordinator", "--insecure", "--listen", coordinator.address(), "--data-dir", "other"]);
    see!(scratch, run, @"
    exit: 4
    --- stdout
    --- stderr
    error: cannot listen on 127.0.0.1:[PORT]: Address already in use (os error 98)
    ");
}

#[test]
fn services_stop_when_told_to() {
    let mut coordinator = Coordinator::spawn(None);
    let mut worker = Worker::spawn(coordinator.address());
    coordinator.wait_for_nodes(1);
    worker.process().signal(Signal::TERM);
    assert_eq!(worker.process().wait().code(), Some(0), "{}", worker.process().log());
    coordinator.process().signal(Signal::INT);
    assert_eq!(coordinator.process().wait().code(), Some(0), "{}", coordinator.process().log());
}

#[test]
fn a_restarted_coordinator_knows_its_jobs_and_a_waiting_client_outlives_the_restart() {
    let scratch = Scratch::new();
    let mut coordinator = Coordinator::spawn(None);
    let id = submit_to_nobody(&coordinator, &scratch);
    let mut wait = Process::spawn("wait", coordinator.command(scratch.path(), ["job", "wait", &id]), &scratch.join("log"));
    eventually("the first line of progress", || (!wait.log().is_empty()).then_some(()));
    coordinator.restart();
    let job = coordinator.braid(["job", "show", "last", "-o", "json"]).ok().json();
    assert_eq!((&job["id"], &job["state"]), (&1.into(), &"running".into()));
    let _worker = Worker::spawn(coordinator.address());
    assert_eq!(wait.wait().code(), Some(0), "{}", wait.log());
    assert!(scratch.join("out/config.json").exists());
}

#[cfg(feature = "etcd")]
#[test]
fn jobs_in_etcd_outlive_the_coordinator_and_an_outage_of_the_store() {
    let scratch = Scratch::new();
    let mut etcd = crate::harness::Etcd::spawn();
    let mut coordinator = Coordinator::spawn(Some(&etcd.url()));
    submit_to_nobody(&coordinator, &scratch);
    etcd.kill9();
    let job = coordinator.braid(["job", "show", "last", "-o", "json"]).ok().json();
    assert_eq!(job["state"], "running", "what is known is told without the store");
    etcd.restart();
    coordinator.braid(["job", "cancel", "last"]).ok();
    coordinator.restart();
    let job = coordinator.braid(["job", "show", "last", "-o", "json"]).ok().json();
    assert_eq!((&job["id"], &job["state"]), (&1.into(), &"cancelled".into()));
}

#[test]
fn a_signal_ends_a_watch() {
    let scratch = Scratch::new();
    let coordinator = Coordinator::spawn(Some("memory:"));
    let command = coordinator.command(scratch.path(), ["job", "ls", "--watch", "-o", "json"]);
    let mut watch = Process::spawn("watch", command, &scratch.join("log"));
    assert_eq!(watch.first_line(), r#"{"schema":"braid/v1","jobs":[]}"#);
    watch.signal(Signal::INT);
    assert_eq!(watch.wait().code(), Some(130), "{}", watch.log());
}

#[test]
fn plaintext_beyond_this_machine_is_warned_of() {
    let scratch = Scratch::new();
    let mut open = command(scratch.path());
    open.args(["coordinator", "--insecure", "--listen", "0.0.0.0:0", "--data-dir", "data"]);
    let mut open = Process::spawn("coordinator", open, &scratch.join("log"));
    assert!(open.first_line().starts_with("listening on 0.0.0.0:"));
    assert!(open.log().contains("warning: anyone who can reach 0.0.0.0:0 may run jobs"), "{}", open.log());
}
