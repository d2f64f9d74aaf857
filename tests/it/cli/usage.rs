//! Command lines that cannot be understood or are refused before anything happens.

use crate::{
    harness::{Scratch, command, finish},
    see,
};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn words_that_are_not_known_are_usage_errors() {
    let scratch = Scratch::new();
    see!(scratch, scratch.braid(["merg", "a.yml", "out"]), @"");
    see!(scratch, scratch.braid(["merge", "a.yml"]), @"");
    see!(scratch, scratch.braid(["merge", "a.yml", "out", "--memory", "lots"]), @"");
    see!(scratch, scratch.braid(["merge", "a.yml", "out", "--threads", "0"]), @"");
    see!(scratch, scratch.braid(["job", "show", "twelve", "--coordinator", "127.0.0.1:1", "--insecure"]), @"");
    see!(scratch, scratch.braid(["job", "ls", "--coordinator", "nowhere"]), @"");
    see!(scratch, scratch.braid(["job", "wait", "1", "--timeout", "soon"]), @"");
    see!(scratch, scratch.braid(["coordinator", "--listen", "127.0.0.1:0", "--data-dir", "d", "--store", "redis://a:1"]), @"");
    assert!(scratch.names().is_empty(), "nothing is left behind");
}

#[test]
fn plaintext_is_refused_unless_asked_for() {
    let scratch = Scratch::new();
    see!(scratch, scratch.braid(["coordinator", "--listen", "127.0.0.1:0", "--data-dir", "d"]), @"");
    see!(scratch, scratch.braid(["worker", "--join", "127.0.0.1:1", "--data-dir", "d", "--token", "t"]), @"");
    see!(scratch, scratch.braid(["job", "ls", "--coordinator", "127.0.0.1:1"]), @"");
    assert!(scratch.names().is_empty(), "nothing is left behind");
}

#[test]
fn a_coordinator_that_is_not_there_is_unavailable() {
    let scratch = Scratch::new();
    // Port 1 is privileged and free on any sane machine.
    see!(scratch, scratch.braid(["job", "ls", "--coordinator", "127.0.0.1:1", "--insecure"]), @"");
}

#[test]
fn help_names_every_verb_and_exit_code() {
    let scratch = Scratch::new();
    see!(scratch, scratch.braid(["--help"]), @"");
    see!(scratch, scratch.braid(["merge", "--help"]), @"");
    assert_eq!(scratch.braid(["--version"]).ok().stdout, format!("braid {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn shells_get_completions() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = scratch.braid(["completions", shell]).ok();
        assert!(run.stdout.contains("max-shard-size") && run.stderr.is_empty(), "{shell}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let scratch = Scratch::new();
    let mut command = command(scratch.path());
    let mut child =
        command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // More is printed than a pipe holds, so the process still writes when the pipe closes.
    let mut stdout = BufReader::with_capacity(16, child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn consent_to_plaintext_can_come_from_the_environment() {
    let scratch = Scratch::new();
    for (value, code) in [("1", 4), ("true", 4), ("0", 2), ("", 2)] {
        let mut command = command(scratch.path());
        command.args(["job", "ls", "--coordinator", "127.0.0.1:1"]).env("BRAID_INSECURE", value);
        assert_eq!(finish(command).code, Some(code), "BRAID_INSECURE={value:?}");
    }
}
