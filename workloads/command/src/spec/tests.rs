use super::*;
use serde_json::json;

fn parse(text: &str) -> Result<CommandSpec, (String, Option<String>)> {
    CommandSpec::parse("job.yml", text, Path::new("/home/me")).map_err(|error| (error.to_string(), error.hint()))
}

#[test]
fn every_key_of_a_job_file_is_read() {
    let text = "
name: tuning
command: [python, train.py, --steps, 100, --rate, 0.5, --fast, true]
dir: runs
env: { SEED: 7, NAME: x }
gang: 4
array: 2-5
gpus: 1
cpus: 3
memory: 2GiB
disk: 3GB
timeout: 1h 30m
grace: 5
save_signal: usr1@60s
retries: 2
";
    let spec = parse(text).unwrap();
    let command = ["python", "train.py", "--steps", "100", "--rate", "0.5", "--fast", "true"];
    let expected = CommandSpec {
        name: Some("tuning".into()),
        env: [("NAME".to_owned(), "x".to_owned()), ("SEED".into(), "7".into())].into(),
        gang: Some(4),
        array: Array::new(2, 5),
        gpus: 1,
        cpus: 3,
        memory: Some(2 << 30),
        disk: Some(3_000_000_000),
        timeout: Some(Duration::from_secs(5400)),
        grace: Some(Duration::from_secs(5)),
        save_signal: Some(SaveSignal { signal: StopSignal::Usr1, before: Duration::from_secs(60) }),
        retries: 2,
        ..CommandSpec::new(command, "/home/me/runs")
    };
    assert_eq!(spec, expected);
    assert_eq!(CommandSpec::read(&json!(spec)).unwrap(), spec, "as it is submitted it reads back");
    assert_eq!((spec.tasks(), spec.is_single(), spec.title().as_str()), (16, false, "tuning"));
}

#[test]
fn little_is_enough_and_a_line_is_the_shells() {
    let spec = parse("command: echo $HOME | wc -c").unwrap();
    assert_eq!(spec, CommandSpec::new(["/bin/sh", "-c", "echo $HOME | wc -c"], "/home/me"));
    assert_eq!(spec.title(), "/bin/sh -c 'echo $HOME | wc -c'");
    assert_eq!((spec.grace(), spec.cpus, spec.retries, spec.is_single()), (GRACE, 1, 0, true));
    assert_eq!(parse("command: [a]\narray: 3").unwrap().array, Array::new(0, 2));
    assert_eq!(parse("command: [a]\ndir: /data").unwrap().dir, Path::new("/data"));
    assert_eq!(
        json!(spec),
        json!({ "command": spec.command, "dir": "/home/me", "cpus": 1 })
            .as_object()
            .map(|map| {
                let mut map = map.clone();
                map.remove("cpus");
                json!(map)
            })
            .unwrap()
    );
}

#[test]
fn what_is_wrong_with_a_job_file_is_named() {
    for (text, said, hint) in [
        ("", "it is empty", None),
        ("comand: [a]", "comand", Some("did you mean `command`?")),
        ("command: [a]\nsave-signal: USR1@5s", "line 2", Some("did you mean `save_signal`?")),
        ("command: [a]\nargs: [b]", "args", Some("arguments follow the program: command: [python, train.py, --steps, 100]")),
        ("command: [a]\nzzz: 1", "unknown field `zzz`", None),
        ("command: []", "command: name a program", None),
        ("command: ['']", "command: the name of the program is empty", None),
        ("command: [a, \"x\\0\"]", "command: argument 1 holds a NUL byte", None),
        ("command: {a: b}", "a list of a program and its arguments", None),
        ("command: [a]\ngang: 0", "gang: 0 is not between 1 and 4096", None),
        ("command: [a]\ngang: 4000\narray: 1000", "array: these are 4000000 programs", None),
        ("command: [a]\narray: 9-5", "\"9-5\" is not an array", None),
        ("command: [a]\narray: 0", "\"0\" is not an array", None),
        ("command: [a]\ncpus: 0", "cpus: a program takes at least 1", None),
        ("command: [a]\nmemory: lots", "\"lots\" is not a size", None),
        ("command: [a]\nmemory: 0", "\"0\" is not a size", None),
        ("command: [a]\ntimeout: soon", "\"soon\" is not a time", None),
        ("command: [a]\ntimeout: 0", "timeout: it leaves no time to run", None),
        ("command: [a]\nsave_signal: USR1@5s", "save_signal: it comes before the timeout, and there is none", None),
        ("command: [a]\ntimeout: 5s\nsave_signal: USR1@5s", "save_signal: 5s before the timeout of 5s is before the start", None),
        ("command: [a]\ntimeout: 9s\nsave_signal: KILL@5s", "\"KILL\" is no signal that asks a program to save", None),
        ("command: [a]\ntimeout: 9s\nsave_signal: USR1", "is not a signal and a time before the timeout", None),
        ("command: [a]\nenv: { 'A=B': c }", "variable \"A=B\": a name holds neither", None),
        ("command: [a]\nenv: { '': c }", "variable \"\": a variable needs a name", None),
        ("command: [a]\nenv: { A: \"\\0\" }", "its value holds a NUL byte", None),
        ("command: [a]\nenv: { BRAID_JOB: 1 }", "names that begin with BRAID_ are set by Braid", None),
        ("command: [a]\nname: ''", "name: it has 1 to 200 bytes", None),
        ("command: [a]\nretries: many", "line 2", None),
    ] {
        let (message, meant) = parse(text).unwrap_err();
        assert!(message.starts_with("job.yml: ") && message.contains(said), "{text:?}: {message}");
        assert_eq!(meant.as_deref(), hint, "{text:?}");
    }
}

#[test]
fn a_long_command_has_a_short_title() {
    let spec = CommandSpec::new(["echo".to_owned(), "é".repeat(100)], "/");
    assert!(spec.title().len() < 90 && spec.title().ends_with('…'), "{}", spec.title());
}
