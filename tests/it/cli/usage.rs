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
    see!(scratch, scratch.braid(["merg", "a.yml", "out"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'merg'

      tip: a similar subcommand exists: 'merge'

    Usage: braid [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["merge", "a.yml"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <OUT>

    Usage: braid merge <RECIPE> <OUT>

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["merge", "a.yml", "out", "--memory", "lots"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'lots' for '--memory <SIZE>': not a size such as 256MiB, 5GB or a number of bytes

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["merge", "a.yml", "out", "--threads", "0"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value '0' for '--threads <N>': not a number of threads, which is at least 1

    For more information, try '--help'.
    ");
    for (args, said) in [
        (&["merge", "a.yml", "out", "--random-seed", "-1"][..], "'-1' for '--random-seed <N>': not a whole number of 0 or more"),
        (&["run", "--gang", "two", "--", "true"], "'two' for '--gang <N>': not a whole number of 0 or more"),
        (&["run", "--priority", "high", "--", "true"], "'high' for '--priority <N>': not a whole number such as 10 or -5"),
        (&["run", "--retries", "99999999999", "--", "true"], "'99999999999' for '--retries <N>': too large a number"),
        (&["audit", "--last", "0"], "'0' for '--last <N>': not a whole number of 1 or more"),
        (&["lora", "extract", "a", "b", "c", "--rank", "0"], "'0' for '--rank <R>': not a whole number from 1 to 65536"),
        (&["lora", "merge", "a", "b", "--out", "c", "--weights", "1,x"], "'x' for '--weights <W,W…>': not a number such as 0.5"),
        (&["lora", "merge", "a", "b", "--out", "c", "--weights", "1"], "--weights: there are 1 for 2 adapters"),
        (&["mix", "infer", "t", "--data", "a=b", "--merges", "0"], "'0' for '--merges <N>': not a whole number of 1 or more"),
        (&["mix", "infer", "t", "--data", "a=b", "--detach"], "--detach leaves the work to a fleet"),
        (
            &["worker", "--join", "a:1", "--data-dir", "d", "--exchange", "a:1"],
            "'a:1' for '--exchange <ADDR>': not an IP address",
        ),
        (&["run", "--disk", "900PB", "--", "true"], "the job asks for 900.0 PB of disk in "),
    ] {
        let run = scratch.braid(args);
        assert!(run.code == Some(2) && run.stderr.contains(said), "{args:?}: {run}");
    }
    see!(scratch, scratch.braid(["job", "show", "twelve", "--coordinator", "127.0.0.1:1", "--insecure"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'twelve' for '<ID>': not a job: give a number as `braid job ls` prints it, or `last`

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["job", "ls", "--coordinator", "nowhere"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'nowhere' for '--coordinator <ADDR>': not an address such as coordinator.lan:7117, 10.0.0.1:7117 or [::1]:7117

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["job", "wait", "1", "--timeout", "soon"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'soon' for '--timeout <D>': not a duration such as 500ms, 30s or 5m

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["coordinator", "--listen", "127.0.0.1:0", "--data-dir", "d", "--store", "redis://a:1"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'redis://a:1' for '--store <STORE>': there is no kind of store called "redis"

    For more information, try '--help'.
    "#);
    assert!(scratch.names().is_empty(), "nothing is left behind");
}

#[test]
fn plaintext_and_strangers_are_refused_unless_asked_for() {
    let scratch = Scratch::new();
    see!(scratch, scratch.braid(["coordinator", "--listen", "127.0.0.1:0", "--data-dir", "d", "--token", "t"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --insecure

    Usage: braid coordinator --listen <ADDR> --data-dir <DIR> --insecure --token <T>

    For more information, try '--help'.
    ");
    see!(scratch, scratch.braid(["worker", "--join", "127.0.0.1:1", "--data-dir", "d", "--token", "t"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: not a token: one begins with braid-join- or braid-user- and has 140 characters
    ");
    see!(scratch, scratch.braid(["job", "ls", "--coordinator", "127.0.0.1:1"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: refusing to talk to 127.0.0.1:[PORT] without a token

    hint: on the coordinator's machine its user has credentials; elsewhere set BRAID_TOKEN to what `braid token create` prints, or say --insecure for plaintext
    ");
    see!(scratch, scratch.braid(["job", "ls"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: no coordinator is named, and there is no credentials file

    hint: on the coordinator's machine its user has credentials; elsewhere set BRAID_TOKEN to what `braid token create` prints, or say --insecure for plaintext
    ");
    assert!(scratch.names().is_empty(), "nothing is left behind");
}

#[test]
fn a_coordinator_that_is_not_there_is_unavailable() {
    let scratch = Scratch::new();
    // Port 1 is privileged and free on any sane machine.
    see!(scratch, scratch.braid(["job", "ls", "--coordinator", "127.0.0.1:1", "--insecure"]), @"
    exit: 4
    --- stdout
    --- stderr
    error: cannot reach the coordinator at 127.0.0.1:[PORT]: tcp connect error: Connection refused (os error 111)

    hint: is `braid coordinator` running there, and does --coordinator name its address?
    ");
}

#[test]
fn help_names_every_verb_and_exit_code() {
    let scratch = Scratch::new();
    see!(scratch, scratch.braid(["--help"]), @"
    exit: 0
    --- stdout
    Merge checkpoints, learn mixtures, plan and run training: on this machine, or on a fleet

    Usage: braid [OPTIONS] <COMMAND>

    Commands:
      merge        Merge checkpoints as a recipe says
      barrier      Checkpoints on the line between two, and how much worse they are than its ends
      mix          Learn on which proportions of its data a model is trained
      lora         LoRA adapters: merge several, fold one into its base, extract one
      train        Train a small language model on documents of unequal length
      profile      Measure compute and exchange of a training's ranks, for its planner
      plan         Plan a training step over sequences of unequal length
      run          Run a program as a job: once, as an array, or as a gang
      coordinator  Serve jobs to workers and clients
      worker       Run tasks for a coordinator
      job          Jobs: list, look at, wait for, cancel
      node         Nodes of the fleet
      project      Projects: share and quota
      top          Watch the fleet on a terminal
      token        Tokens, for machines to join and for people
      audit        Show who did what
      sim          What a coordinator decided, decided again
      completions  Print completions for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -q, --quiet       Print data and errors only
      -v, --verbose...  Say more of what happens; twice for even more
          --no-color    No colour (as the environment variable NO_COLOR)
      -h, --help        Print help
      -V, --version     Print version

    Exit codes: 0 ok, 1 the job failed, 2 usage or recipe, 3 not found or conflict,
                4 unavailable, 124 wait timed out, 130 interrupted
    --- stderr
    ");
    see!(scratch, scratch.braid(["merge", "-h"]), @"
    exit: 0
    --- stdout
    Merge checkpoints as a recipe says

    Usage: braid merge [OPTIONS] <RECIPE> <OUT>

    Arguments:
      <RECIPE>  The recipe: YAML as mergekit reads it, or several that use each other, as mergekit-multi
                reads them
      <OUT>     The folder that becomes the merged checkpoint, or its URL in a store; must not exist or
                be empty

    Options:
          --threads <N>            Compute threads [default: all that this process may use]
          --memory <SIZE>          Memory that tasks may hold, such as 256MiB [default: three quarters
                                   of what there is]
          --coordinator <ADDR>     Let the fleet of this coordinator do it; of several, name all,
                                   separated by commas [env: BRAID_COORDINATOR=]
          --credentials <FILE>     A credentials file, as the coordinator writes one [default:
                                   ~/.config/braid/credentials.json] [env: BRAID_CREDENTIALS=]
          --token <T>              A token of `braid token create`, in place of a credentials file [env:
                                   BRAID_TOKEN]
          --insecure               Speak plaintext to the coordinator [env: BRAID_INSECURE=]
          --priority <N>           Jobs of a higher priority go first, and may take the place of lower
                                   ones [default: 0]
          --project <NAME>         In whose name the job runs [default: the project `default`] [env:
                                   BRAID_PROJECT=]
          --detach                 Do not wait: print the number of the job and return
          --max-shard-size <SIZE>  Largest file of the result [default: 5GB]
          --random-seed <N>        Seed of the random masks that some methods draw [default: 0]
          --reuse <FOLDER>         Result of an earlier merge, or its URL in a store: tensors that would
                                   come out the same are taken from it instead of computed
          --dry-run                Check everything and say what would be done, and do nothing
      -q, --quiet                  Print data and errors only
      -v, --verbose...             Say more of what happens; twice for even more
          --no-color               No colour (as the environment variable NO_COLOR)
      -h, --help                   Print help (see more with '--help')
      -V, --version                Print version
    --- stderr
    ");
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
    let mut child = command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // More is printed than a pipe holds, so the process still writes when the pipe closes.
    let mut stdout = BufReader::with_capacity(16, child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn a_filter_of_the_log_that_is_none_is_said() {
    let scratch = Scratch::new();
    let mut command = command(scratch.path());
    command.args(["completions", "bash", "--no-color"]).env("BRAID_LOG", "braid=loud");
    let run = finish(command);
    let said = "BRAID_LOG is \"braid=loud\", which is no filter such as braid_worker=debug,info";
    assert!(run.code == Some(0) && run.stderr.contains(said), "{run}");
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
