//! What is in deploy/ speaks of a program that exists: every flag that a unit, a script or a chart gives is one of its verb, every
//! variable is one that it reads, and every metric of the dashboard is one that it has.

use crate::harness::{Scratch, command};
use std::{collections::BTreeSet, fs, path::Path};

/// Each file, and the verbs that it calls.
const FILES: &[(&str, &[&str])] = &[
    ("systemd/braid-coordinator.service", &["coordinator"]),
    ("systemd/braid-worker.service", &["worker"]),
    ("systemd/coordinator.env", &["coordinator"]),
    ("systemd/worker.env", &["worker"]),
    ("container/Dockerfile", &["coordinator", "worker"]),
    ("helm/braid/templates/coordinator.yaml", &["coordinator"]),
    ("helm/braid/templates/worker.yaml", &["worker", "token create"]),
    ("helm/braid/templates/NOTES.txt", &["token create", "node ls"]),
    ("slurm/braid.sbatch", &["coordinator", "worker", "token create"]),
];

/// Flags of the other programs that these files call.
const FOREIGN: &[&str] = &[
    // docker and the lines of a Dockerfile
    "--build-arg",
    "--target",
    "--mount",
    "--from",
    "--chown",
    "--no-install-recommends",
    "--release",
    "--locked",
    "--bin",
    "--features",
    // kubectl
    "--from-file",
    // Slurm
    "--nodes",
    "--gpus-per-node",
    "--time",
    "--job-name",
    "--ntasks-per-node",
    "--exclusive",
    "--requeue",
    "--signal",
    "--overlap",
    "--kill-on-bad-exit",
];

fn deploy(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All that looks like a long flag.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.match_indices("--")
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| is_part(c) || c.is_ascii_uppercase()))
        .map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect::<String>())
        .filter(|flag| flag.len() > 3 && flag.as_bytes()[2] != b'-')
        .collect()
}

#[test]
fn every_flag_is_one_of_the_program() {
    let scratch = Scratch::new();
    for (file, verbs) in FILES {
        let mut known: BTreeSet<String> = FOREIGN.iter().map(ToString::to_string).collect();
        for verb in *verbs {
            let mut help = command(scratch.path());
            let help = help.args(verb.split(' ')).arg("--help").output().unwrap();
            assert!(help.status.success(), "{file} calls braid {verb}, which there is not");
            known.append(&mut flags(&String::from_utf8(help.stdout).unwrap()));
        }
        let given = flags(&deploy(file));
        let unknown: Vec<_> = given.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: braid {verbs:?} has no {unknown:?}");
    }
}

#[test]
fn the_units_say_what_systemd_reads() {
    for file in ["systemd/braid-coordinator.service", "systemd/braid-worker.service"] {
        let text = deploy(file);
        let (mut section, mut sections) = ("", BTreeSet::new());
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
                sections.insert(name);
            } else {
                let key = line.split_once('=').map(|(key, _)| key);
                assert!(
                    !section.is_empty() && key.is_some_and(|key| key.chars().all(char::is_alphanumeric)),
                    "{file}:{number}: {line}"
                );
            }
        }
        assert_eq!(sections, BTreeSet::from(["Install", "Service", "Unit"]), "{file}");
        let reads: Vec<_> = text.lines().filter(|line| line.starts_with("ExecStart=")).collect();
        assert_eq!(reads.len(), 1, "{file}");
    }
}

#[test]
fn every_metric_of_the_dashboard_is_documented() {
    let board: serde_json::Value = serde_json::from_str(&deploy("grafana/braid.json")).unwrap();
    let known = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.len() > 8);
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let names: Vec<&str> = query
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .filter(|word| word.starts_with("braid_"))
                .collect();
            assert!(!names.is_empty(), "{title}: {query}");
            for name in names {
                let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(
                    known.contains(&format!("`{name}`")) || known.contains(&format!("`{base}`")),
                    "{title}: no metric {name}"
                );
            }
        }
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels of one id");
}
