//! Metrics and health of real processes, as a scraper and a probe ask for them.

use crate::harness::{Process, Scratch, command, eventually};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// What is served at a path: the status and the body.
pub(super) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until the metrics have all these lines.
fn counted(address: &str, lines: &[&str]) {
    eventually(&format!("{lines:?}"), || {
        let (status, text) = get(address, "/metrics");
        assert_eq!(status, 200, "{text}");
        lines.iter().all(|line| text.lines().any(|found| found == *line)).then_some(())
    });
}

#[test]
fn a_fleet_shows_what_it_does() {
    let scratch = Scratch::new();
    let mut coordinate = command(scratch.path());
    coordinate.args(["coordinator", "--insecure", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", "state"]);
    let mut coordinator = Process::spawn("coordinator", coordinate, &scratch.join("coordinator.log"));
    let [listening, http] = coordinator.first_lines();
    let (listening, http) = (listening.strip_prefix("listening on ").unwrap(), http.strip_prefix("http on ").unwrap());
    assert_eq!(get(http, "/healthz"), (200, "ok\n".into()));

    let mut work = command(scratch.path());
    work.args(["worker", "--insecure", "--join", listening, "--http", "127.0.0.1:0", "--data-dir", "node", "--threads", "1"]);
    let mut worker = Process::spawn("worker", work, &scratch.join("worker.log"));
    let worker_http = worker.first_line();
    let worker_http = worker_http.strip_prefix("http on ").unwrap();
    counted(http, &["braid_nodes{state=\"ready\"} 1"]);
    counted(worker_http, &["braid_worker_connected 1", "braid_worker_threads 1"]);
    assert_eq!(get(worker_http, "/healthz"), (200, "ok\n".into()));

    let mut bench = command(scratch.path());
    bench.args(["bench", "--tasks", "5", "--coordinator", listening, "--insecure"]);
    assert!(bench.output().unwrap().status.success());
    counted(
        http,
        &[
            "braid_jobs_submitted_total{kind=\"noop\"} 1",
            "braid_jobs_ended_total{kind=\"noop\",outcome=\"done\"} 1",
            "braid_tasks_started_total{kind=\"noop\"} 5",
            "braid_tasks_ended_total{kind=\"noop\",outcome=\"done\"} 5",
            "braid_tasks_waiting{kind=\"noop\"} 0",
            "braid_job_wait_seconds_count{kind=\"noop\"} 1",
            "braid_rpcs_total{method=\"Jobs/Submit\",code=\"ok\"} 1",
            "braid_rpc_seconds_count{method=\"Jobs/Submit\"} 1",
        ],
    );
    counted(
        worker_http,
        &["braid_worker_tasks_ended_total{kind=\"noop\",outcome=\"done\"} 5", "braid_worker_tasks_running{kind=\"noop\"} 0"],
    );
    let commits = get(http, "/metrics").1;
    assert!(!commits.contains("braid_store_commit_seconds_count 0"), "{commits}");

    coordinator.kill9();
    counted(worker_http, &["braid_worker_connected 0", "braid_worker_sessions_lost_total 1"]);
    assert_eq!(get(worker_http, "/healthz"), (200, "ok, without a coordinator\n".into()));
}

#[test]
fn a_port_that_is_taken_is_known_before_anything_starts() {
    let scratch = Scratch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut coordinate = command(scratch.path());
    coordinate.args(["coordinator", "--insecure", "--listen", "127.0.0.1:0", "--http", &address, "--data-dir", "state"]);
    let done = coordinate.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")) && done.stdout.is_empty(), "{said}");
    assert!(!scratch.join("state").exists(), "{said}");
}
