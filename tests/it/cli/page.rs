//! The page of a coordinator: that it is served with what it needs, what it is told of the fleet, and, where there is a Chromium,
//! that a browser shows it.

use super::metrics::get;
use crate::harness::{Process, Scratch, command, eventually};
use serde_json::Value;
use std::{path::Path, process::Command};

/// A coordinator with a page, a worker, and a job that has ended. The job's label tries to be markup.
fn fleet(scratch: &Scratch) -> (Process, Process, String) {
    let mut coordinate = command(scratch.path());
    coordinate.args(["coordinator", "--insecure", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", "state"]);
    let mut coordinator = Process::spawn("coordinator", coordinate, &scratch.join("coordinator.log"));
    let [listening, http] = coordinator.first_lines();
    let listening = listening.strip_prefix("listening on ").unwrap();
    let mut work = command(scratch.path());
    work.args(["worker", "--insecure", "--join", listening, "--data-dir", "node", "--threads", "1"]);
    let worker = Process::spawn("worker", work, &scratch.join("worker.log"));
    let mut run = command(scratch.path());
    run.args(["run", "--coordinator", listening, "--insecure", "--name", "<b id=smuggled>first</b>", "--", "true"]);
    assert!(run.output().unwrap().status.success());
    let mut wait = command(scratch.path());
    wait.args(["run", "--coordinator", listening, "--insecure", "--detach", "--memory", "900TB", "--", "true"]);
    assert!(wait.output().unwrap().status.success());
    (coordinator, worker, http.strip_prefix("http on ").unwrap().to_owned())
}

#[test]
fn the_page_is_told_of_jobs_nodes_and_attempts() {
    let scratch = Scratch::new();
    let (_coordinator, _worker, http) = fleet(&scratch);
    let (status, page) = get(&http, "/");
    assert_eq!(status, 200);
    for part in ["page.css", "page.js"] {
        assert!(page.contains(part), "{page}");
        assert_eq!(get(&http, &format!("/{part}")).0, 200);
    }
    // Works without internet: nothing is loaded from elsewhere.
    assert!(!page.contains("//"), "{page}");
    let fleet: Value = eventually("the ended job and why the other waits", || {
        let fleet: Value = serde_json::from_str(&get(&http, "/fleet.json?job=1").1).unwrap();
        let waits =
            fleet["jobs"][1]["reason"].as_str().is_some_and(|reason| reason.contains("memory") || reason.contains("hold"));
        (fleet["jobs"][0]["state"] == "done" && waits).then_some(fleet)
    });
    assert_eq!(fleet["nodes"][0]["state"], "ready");
    let span = &fleet["spans"][0];
    assert_eq!((&span["job"], &span["attempt"], &span["outcome"]), (&1.into(), &1.into(), &"done".into()));
    assert!(span["end"].as_u64() >= span["start"].as_u64(), "{span}");
    assert_eq!((&fleet["tasks"][0]["state"], &fleet["tasks_total"]), (&"done".into(), &1.into()));
    assert_eq!(get(&http, "/fleet.json?job=x").0, 400);
}

#[test]
fn a_browser_shows_it_and_no_label_is_markup() {
    let chromium = Path::new("/usr/bin/chromium");
    if !chromium.exists() {
        return println!("no chromium here: the page was not opened in a browser");
    }
    let scratch = Scratch::new();
    let (_coordinator, _worker, http) = fleet(&scratch);
    let dom = eventually("the page with both jobs", || {
        let shown = Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
            .args(["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=3000", "--dump-dom"])
            .arg(format!("--user-data-dir={}", scratch.join("chromium").display()))
            .arg(format!("http://{http}/"))
            .output()
            .unwrap();
        let dom = String::from_utf8_lossy(&shown.stdout).into_owned();
        dom.contains("nodes here: 1 of 1").then_some(dom)
    });
    assert!(dom.contains("tasks running: 0, waiting: 1"), "{dom}");
    assert!(dom.contains("<rect"), "the chart has a bar: {dom}");
    assert!(!dom.contains("<b id"), "a label became markup: {dom}");
}
