//! `braid plan`: what it prints and draws, and what it says of input that cannot be planned.

use crate::{
    harness::{Run, Scratch, command},
    see,
};
use std::{fs, io::Write as _, process::Stdio};

const ON_A100: [&str; 4] = ["--cluster", "a100x64", "--model", "gpt-7b"];

/// A batch of unequal lengths, as text.
fn batch() -> String {
    (0..120u64).map(|i| format!("{}\n", 300 + (i * 7919 % 120).pow(3) / 17)).collect()
}

/// Runs `braid plan lengths.txt` on the built-in cluster.
fn plan(scratch: &Scratch, lengths: &str, flags: &[&str]) -> Run {
    scratch.write("lengths.txt", lengths);
    scratch.braid(["plan", "lengths.txt"].iter().chain(&ON_A100).chain(flags))
}

#[test]
fn the_json_form_places_every_sequence_once_on_ranks_of_its_own() {
    let scratch = Scratch::new();
    for flags in [&[][..], &["--effort", "thorough"], &["--no-barrier"], &["--degrees", "any"], &["--context", "64000"]] {
        let json = plan(&scratch, &batch(), &[flags, &["-o", "json"]].concat()).ok().json();
        let number = |key: &str| json[key].as_f64().unwrap();
        assert!(number("bound_s") > 0.0 && number("bound_s") <= number("predicted_s") * (1.0 + 1e-9));
        assert!((number("gap") - (number("predicted_s") / number("bound_s") - 1.0)).abs() < 1e-6 && number("solve_ms") > 0.0);
        for baseline in ["static_s", "batchada_s"] {
            assert!(json["baselines"][baseline].as_f64().unwrap() >= number("predicted_s"), "{flags:?}: {baseline}");
        }
        let mut seen: Vec<u64> = json["dropped"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap()).collect();
        assert_eq!(seen.is_empty(), !flags.contains(&"--context"));
        for micro_batch in json["micro_batches"].as_array().unwrap() {
            let mut free = 0;
            for group in micro_batch["groups"].as_array().unwrap() {
                let (first, degree) = (group["first_rank"].as_u64().unwrap(), group["degree"].as_u64().unwrap());
                assert!(first >= free && first + degree <= 64);
                free = first + degree;
                seen.extend(group["sequences"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap()));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..120).collect::<Vec<_>>(), "{flags:?}");
    }
}

#[test]
fn the_table_says_what_is_planned_dropped_and_gained() {
    let scratch = Scratch::new();
    see!(scratch, plan(&scratch, "60000\n7000\n7000\n7000\n7000\n500\n100000\n", &["--context", "96000"]), @"
    exit: 0
    --- stdout
    #   SEQS      TOKENS    PREDICTED       BOUND     GAP  GROUPS
    1      6       88704       [TIME]      [TIME]   0.0 %  64

    objective  all ranks wait for each other between micro-batches
    predicted  [TIME]
    bound      [TIME] in these micro-batches, [TIME] in any
    gap        0.0 %
    solved in  [TIME]
    static     [TIME] with groups of 64: 1.00 times as long
    BatchAda   [TIME] with groups of 64: 1.00 times as long
    sequences  6, 88704 tokens, each length rounded up to a multiple of 128
    dropped    1: longer than 95872 tokens, the context of 96000 less 128
    --- stderr
    ");
    for (flags, objective) in [(&[][..], "all ranks wait for each other"), (&["--no-barrier"], "the busiest rank; no waiting")] {
        let table = plan(&scratch, &batch(), flags).ok().stdout;
        assert!(table.lines().all(|line| line.chars().count() <= 80) && table.contains(objective), "{table}");
    }
}

#[test]
fn lengths_come_from_standard_input_too() {
    let scratch = Scratch::new();
    let mut command = command(scratch.path());
    command.args(["plan", "-"]).args(ON_A100).args(["-o", "yaml"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1000\n2000").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("schema: braid/v1") && text.contains("context: 2048"), "{text}");
}

#[test]
fn a_plan_is_drawn_as_svg_and_png() {
    let scratch = Scratch::new();
    let run = plan(&scratch, &batch(), &["--gantt", "plan.svg"]).ok();
    assert_eq!(run.stderr, "drew plan.svg\n");
    let svg = fs::read_to_string(scratch.join("plan.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("gpt-7b on a100x64: 120 sequences in "));
    plan(&scratch, &batch(), &["--gantt", "plan.png", "--quiet"]).ok();
    assert!(fs::read(scratch.join("plan.png")).unwrap().starts_with(b"\x89PNG\r\n"));
    see!(scratch, plan(&scratch, &batch(), &["--gantt", "plan.pdf"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'plan.pdf' for '--gantt <FILE>': a drawing ends in .svg or .png

    For more information, try '--help'.
    ");
    see!(scratch, plan(&scratch, &batch(), &["--gantt", "no/such/plan.svg"]), @"
    exit: 4
    --- stdout
    --- stderr
    error: cannot write the drawing no/such/plan.svg: No such file or directory (os error 2)
    ");
}

#[test]
fn cluster_and_model_come_from_files_that_say_the_same_as_the_built_in_ones() {
    let scratch = Scratch::new();
    let profiles = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads/sequence/profiles");
    for name in ["a100x64.yml", "gpt-7b.yml"] {
        fs::copy(profiles.join(name), scratch.join(name)).unwrap();
    }
    let built_in = plan(&scratch, &batch(), &["-o", "json"]).ok().json();
    let run = scratch.braid(["plan", "lengths.txt", "--cluster", "a100x64.yml", "--model", "gpt-7b.yml", "-o", "json"]);
    assert_eq!(run.ok().json()["micro_batches"], built_in["micro_batches"]);
}

#[test]
fn a_line_that_is_no_length_is_named() {
    let scratch = Scratch::new();
    see!(scratch, plan(&scratch, "5000\nfive\n", &[]), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: lengths.txt, line 2: expected a length in tokens (a whole number), found "five"

    hint: one length a line, in tokens, and nothing else: the line's number, from 0, is the sequence's name in the plan
    "#);
    for (lengths, said) in [
        ("5000\n0\n", "lengths.txt, line 2: a sequence of zero tokens cannot be trained on; leave the line out"),
        ("-3\n", "lengths.txt, line 1: a length cannot be negative: -3"),
        ("1\n\n2\n", "lengths.txt, line 2: expected a length in tokens, found an empty line"),
        ("1\n2.5\n", "lengths.txt, line 2: expected a length in tokens (a whole number), found \"2.5\""),
        ("134217729\n", "lengths.txt, line 1: 134217729 tokens is more than a sequence may have (134217728)"),
    ] {
        let run = plan(&scratch, lengths, &[]);
        assert!(run.code == Some(2) && run.stdout.is_empty() && run.stderr.starts_with(&format!("error: {said}\n")), "{run}");
    }
}

#[test]
fn a_file_without_lengths_and_one_that_is_not_there() {
    let scratch = Scratch::new();
    see!(scratch, plan(&scratch, "", &[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: lengths.txt holds no lengths

    hint: one length a line, in tokens, and nothing else: the line's number, from 0, is the sequence's name in the plan
    ");
    see!(scratch, scratch.braid(["plan", "nowhere.txt"].iter().chain(&ON_A100)), @"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the lengths in nowhere.txt: No such file or directory (os error 2)
    ");
    scratch.write("binary.txt", [0xff, 0xfe, 0x00]);
    see!(scratch, scratch.braid(["plan", "binary.txt"].iter().chain(&ON_A100)), @"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the lengths in binary.txt: stream did not contain valid UTF-8
    ");
}

#[test]
fn a_sequence_too_long_for_the_cluster() {
    let scratch = Scratch::new();
    see!(scratch, plan(&scratch, "4000\n500001\n", &[]), @"
    exit: 2
    --- stdout
    --- stderr
    error: lengths.txt, line 2: a sequence of 500001 tokens (planned as 500096) does not fit: the largest group, 64 GPUs of class a100-40g, holds 410048, which is 90048 tokens or 394.00 GiB of activations too few

    hint: shorten it, drop such sequences with --context TOKENS, or use more GPUs or memory
    ");
}

#[test]
fn a_context_that_leaves_nothing() {
    let scratch = Scratch::new();
    see!(scratch, plan(&scratch, "4000\n5000\n", &["--context", "0"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value '0' for '--context <TOKENS>': a context of 0 tokens leaves no sequence to plan

    For more information, try '--help'.
    ");
    see!(scratch, plan(&scratch, "4000\n5000\n", &["--context", "4000"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: lengths.txt: nothing is left to plan: a context of 4000 tokens keeps sequences up to 3872, and all 2 are longer

    hint: give a larger --context, or leave it out to keep every sequence
    ");
}

#[test]
fn a_cluster_or_model_that_is_not_known() {
    let scratch = Scratch::new();
    scratch.write("lengths.txt", "4000\n");
    see!(scratch, scratch.braid(["plan", "lengths.txt", "--cluster", "a100x64", "--model", "gpt-8b"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: there is no built-in model called "gpt-8b" (built in: gpt-7b, gpt-13b, gpt-30b)

    hint: did you mean gpt-7b?
    "#);
    see!(scratch, scratch.braid(["plan", "lengths.txt", "--cluster", "tpu", "--model", "gpt-7b"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: there is no built-in cluster called "tpu" (built in: a100x64)

    hint: give one of these, or a cluster file
    "#);
    see!(scratch, scratch.braid(["plan", "lengths.txt", "--cluster", "mine.yml", "--model", "gpt-7b"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the cluster file mine.yml: No such file or directory (os error 2)
    ");
}

#[test]
fn a_profile_with_a_key_that_is_not_known_or_a_figure_that_cannot_be() {
    let scratch = Scratch::new();
    scratch.write("lengths.txt", "4000\n");
    let cluster = "name: mine\npools:\n  - { class: a100-40g, nodes: 1, gpus_per_node: 8, memory_gib: 30 }\nall_to_all:\n  gb_per_s: { 2: 100 }\n";
    let with = |text: &str| {
        scratch.write("mine.yml", text);
        scratch.braid(["plan", "lengths.txt", "--cluster", "mine.yml", "--model", "gpt-7b"])
    };
    see!(scratch, with(&cluster.replace("all_to_all", "all_to_each")), @"
    exit: 2
    --- stdout
    --- stderr
    error: mine.yml: unknown field `all_to_each`, expected one of name, pools, all_to_all, all_gather, charges at line 4, column 1
    ");
    see!(scratch, with(&cluster.replace("memory_gib: 30", "memory_gib: lots")), @"
    exit: 2
    --- stdout
    --- stderr
    error: mine.yml: memory_gib: expected a number at line 3, column 64
    ");
    see!(scratch, with(&cluster.replace("nodes: 1,", "nodes: 0,")), @"
    exit: 2
    --- stdout
    --- stderr
    error: mine.yml: pool a100-40g: nodes and gpus_per_node must be 1 or more
    ");
    see!(scratch, with(&cluster.replace("a100-40g", "h100")), @"
    exit: 2
    --- stdout
    --- stderr
    error: gpt-7b: no times for class h100 of cluster mine; it has a100-40g
    ");
    see!(scratch, with(cluster), @"
    exit: 0
    --- stdout
    #   SEQS      TOKENS    PREDICTED       BOUND     GAP  GROUPS
    1      1        4000     [TIME]    [TIME]   0.0 %  8

    objective  all ranks wait for each other between micro-batches
    predicted  [TIME]
    bound      [TIME] in these micro-batches, [TIME] in any
    gap        0.0 %
    solved in  [TIME]
    static     [TIME] with groups of 8: 1.00 times as long
    BatchAda   [TIME] with groups of 8: 1.00 times as long
    sequences  1, 4000 tokens, each length rounded up to a multiple of 16
    --- stderr
    ");
}

#[test]
fn a_measured_profile_stands_for_cluster_and_model() {
    let scratch = Scratch::new();
    scratch.write("lengths.txt", "300\n200\n100\n");
    scratch.write(
        "mine.yml",
        "cluster:\n  name: ranks\n  pools: [{ class: worker, nodes: 1, gpus_per_node: 2, memory_gib: 2.0 }]\n  all_to_all: { gb_per_s: { 2: 1 } }\n\
         model:\n  name: small\n  layers: 4\n  hidden: 48\n  activation_mib_per_token: 1.0\n  parameters: [{ context: 0, gi: 0.0 }]\n  \
         classes: { worker: { alpha1_ms: 2.0e-5, alpha2_ms: 0.06, beta1_ms: 0.1 } }\n",
    );
    let json = scratch.braid(["plan", "lengths.txt", "--profile", "mine.yml", "-o", "json"]).ok().json();
    assert_eq!(
        (json["cluster"].as_str(), json["model"].as_str(), json["world"].as_u64()),
        (Some("ranks"), Some("small"), Some(2))
    );
    for (flags, said) in [
        (&["--profile", "nowhere.yml"][..], "error: cannot read the profile nowhere.yml: "),
        (&["--profile", "lengths.txt"], "error: lengths.txt: "),
        (&["--profile", "mine.yml", "--model", "gpt-7b"], "error: the argument '--profile <FILE>' cannot be used with '--model"),
        (&["--model", "gpt-7b"], "error: the following required arguments were not provided:"),
    ] {
        let run = scratch.braid(["plan", "lengths.txt"].iter().chain(flags));
        assert!(run.code == Some(2) && run.stderr.starts_with(said), "{run}");
    }
}
