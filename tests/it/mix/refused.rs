//! What is wrong with a mixture is said with its place, and leaves nothing behind that looks like a result.

use super::*;
use crate::see;

fn refused(scratch: &Scratch, from: &str, to: &str) -> Run {
    let spec = fs::read_to_string(scratch.join("mix.yml")).unwrap();
    assert!(spec.contains(from), "{from}");
    scratch.write("bad.yml", spec.replace(from, to));
    let run = braid(scratch.path(), ["-q", "mix", "bad.yml", "bad"]);
    assert!(!scratch.join("bad/report.json").exists());
    run
}

#[test]
fn before_anything_runs() {
    let scratch = mixture(20);
    see!(scratch, refused(&scratch, "batch: 6", "batch: 2"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: a batch of 2 slots cannot hold each of 3 domains
    ");
    see!(scratch, refused(&scratch, "  builtin:\n", "  torch:\n"), @"
    exit: 2
    --- stdout
    --- stderr
    error: trainer: torch is none; there are builtin, command, external
    ");
    see!(scratch, refused(&scratch, "heads: 2", "heads: 0"), @"
    exit: 2
    --- stdout
    --- stderr
    error: trainer: model.heads: it must be at least 1
    ");
    see!(scratch, refused(&scratch, "- stratified", "- { method: fixed, proportions: [0.5, 0.5, 0.1] }"), @"
    exit: 2
    --- stdout
    --- stderr
    error: bad.yml: method fixed: they sum to 1.1, not to 1 at line 16, column 5
    ");
    for (from, to, said) in [
        ("- stratified", "- alioli", "method alioli: unknown variant `alioli`"),
        ("seeds: [3, 4]", "seeds: []", "seeds: give at least one, and none twice"),
    ] {
        let run = refused(&scratch, from, to);
        assert!(run.code == Some(2) && run.stderr.contains("bad.yml") && run.stderr.contains(said), "{run}");
    }
    assert!(!scratch.join("bad").exists());
}

#[test]
fn when_the_data_is_looked_at() {
    let scratch = mixture(20);
    scratch.write("empty.txt", "");
    see!(scratch, refused(&scratch, "prose.txt", "empty.txt"), @"
    exit: 1
    --- stdout
    --- stderr
    error: domain prose: there is no data in [DIR]/empty.txt
    ");
    see!(scratch, refused(&scratch, "cap: 6000", "cap: 90000"), @"
    exit: 1
    --- stdout
    --- stderr
    error: domain digits: it has 7518 tokens, fewer than its cap of 90000
    ");
    scratch.write("lines.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
    see!(scratch, refused(&scratch, "batch: 6", "batch: 7"), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: domain lines: cannot read [DIR]/lines.jsonl: line 2: it has no field "text"
    "#);
}

#[test]
fn when_the_folder_holds_another_mixture() {
    let scratch = mixture(20);
    scratch.write("mix.yml", fs::read_to_string(scratch.join("mix.yml")).unwrap().replace("seeds: [3, 4]", "seeds: [3]"));
    mix_here(&scratch, "bad").ok();
    fs::remove_file(scratch.join("bad/report.json")).unwrap();
    see!(scratch, refused(&scratch, "batch: 6", "batch: 8"), @"
    exit: 1
    --- stdout
    --- stderr
    error: [DIR]/bad holds the results of another mixture: its spec has another `batch`

    hint: give another output folder, or remove this one
    ");
}

/// A spec whose trainer is this script.
fn programmed(script: &str) -> Scratch {
    let scratch = mixture(20);
    let spec = fs::read_to_string(scratch.join("mix.yml")).unwrap();
    let (before, _) = spec.split_once("trainer:").unwrap();
    let rest = "trainer: { command: { run: [sh, trainer.sh], timeout: 2s } }\nmethods: [stratified]\nseeds: [3]\n";
    scratch.write("mix.yml", format!("{before}{rest}checkpoint_every: 10\n"));
    scratch.write("trainer.sh", script);
    scratch
}

#[test]
fn a_program_trains_as_it_is_asked() {
    // Two calls to train, each of which gets what the one before has saved, and one to evaluate.
    let scratch = programmed(
        r#"
grep -q '"call": "train"' "$1" && {
    save=$(sed -n 's/.*"save": "\(.*\)".*/\1/p' "$1"); from=$(sed -n 's/.*"from": "\(.*\)".*/\1/p' "$1")
    { [ -z "$from" ] || cat "$from/steps"; sed -n 's/.*"steps": \([0-9]*\).*/\1/p' "$1"; } > "$save/steps"
    wc -c < "$(sed -n 's/.*"sequences": "\(.*\)".*/\1/p' "$1")" >> sizes
}
echo '{"losses": {"digits": 1.5, "lines": 2.5, "prose": 3.5}}' > "$2"
"#,
    );
    let run = mix_here(&scratch, "out").ok();
    assert!(run.stdout.contains("stratified"), "{run}");
    let folder = scratch.join("out/runs/stratified/seed-3/main");
    assert_eq!(fs::read_to_string(folder.join("checkpoint-20/model/steps")).unwrap(), "10\n10\n");
    let result: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["test"], serde_json::json!([3.5, 2.5, 1.5]), "in the order of the spec");
    let expected = 10 * 6 * 25 * 4;
    assert_eq!(fs::read_to_string(scratch.join("sizes")).unwrap(), format!("{expected}\n{expected}\n"));
}

/// A script that answers every kind of call; the domain `digits` has the steepest gradient and is furthest from the reference.
const ANSWERS: &str = r#"
of() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" "$request"; }
request=$1
case $(of call) in
train)
    reference=$(of reference)
    [ -z "$reference" ] || cat "$reference/model" >> seen
    echo trained > "$(of save)/model"
    echo '{"losses": {"digits": 1, "lines": 1, "prose": 1}, "excess": {"digits": 0.4, "lines": 0.1, "prose": 0}}' > "$2" ;;
gradients)
    wc -c < "$(of sequences)" >> sizes
    echo '{"squared_norms": {"digits": 9, "lines": 1, "prose": 4}, "variances": {"digits": 1, "lines": 1, "prose": 1}}' > "$2" ;;
evaluate) echo '{"losses": {"digits": 1.5, "lines": 2.5, "prose": 3.5}}' > "$2" ;;
esac
"#;

/// The proportions that a method of such a program has learnt.
fn learnt(offers: &str, method: &str) -> (Scratch, Vec<f64>) {
    let scratch = programmed(ANSWERS);
    let spec = fs::read_to_string(scratch.join("mix.yml")).unwrap();
    let spec = spec.replace("timeout: 2s", &format!("offers: [{offers}]")).replace("[stratified]", &format!("[{method}]"));
    scratch.write("mix.yml", spec);
    let json = scratch.braid(["-q", "mix", "mix.yml", "out", "-o", "json"]).ok().json();
    let shares = json["methods"][0]["proportions"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap());
    (scratch, shares.collect())
}

#[test]
fn a_program_hands_over_gradients_and_excess_losses() {
    let (scratch, shares) = learnt("gradients", "{ method: pike, every: 10, norm_rate: 0.1, variance_rate: 0 }");
    assert!(shares[2] > shares[0] && shares[0] > shares[1], "prose, lines, digits: {shares:?}");
    // Two of each of three domains, 25 tokens of four bytes.
    assert_eq!(fs::read_to_string(scratch.join("sizes")).unwrap(), "600\n600\n");
    let (scratch, shares) = learnt("excess", "{ method: doremi, every: 10, reference_steps: 5, play: sampling }");
    assert!(shares[2] > shares[1] && shares[1] > shares[0], "prose, lines, digits: {shares:?}");
    assert_eq!(fs::read_to_string(scratch.join("seen")).unwrap(), "trained\ntrained\n", "the reference model, at each leg");
}

#[test]
fn a_program_that_does_not_offer_what_a_method_asks_for() {
    let scratch = programmed(ANSWERS);
    for (method, said) in [
        ("pike", "method pike asks the trainer for gradients of single domains (`gradients`), which it does not offer"),
        ("doremi", "method doremi asks the trainer for excess losses over a reference model (`excess`)"),
        ("doge", "method doge asks the trainer for gradients of single domains"),
    ] {
        let run = refused(&scratch, "[stratified]", &format!("[{method}]"));
        assert!(run.code == Some(2) && run.stderr.contains(said), "{run}");
    }
}

#[test]
fn a_loss_that_is_no_number_is_named_with_its_domain() {
    let scratch = programmed("echo '{\"losses\": {\"digits\": 1, \"lines\": NaN, \"prose\": 3}}' > \"$2\"");
    see!(scratch, refused(&scratch, "seeds: [3]", "seeds: [3]"), @"
    exit: 1
    --- stdout
    --- stderr
    error: stratified, seed 3: domain lines, step 10: the training loss is NaN

    hint: a run that diverges teaches nothing: lower the learning rate, or leave this run out
    ");
}

#[test]
fn a_program_that_does_not_do_as_it_is_asked() {
    for (script, said) in [
        ("sleep 30", "steps 0 to 10 had not ended after 2s, and was stopped"),
        ("exit 3", "exited with code 3"),
        ("true", "the trainer's answer: No such file"),
        ("echo '{}' > \"$2\"", "not as the contract has it: missing field `losses`"),
        (
            "echo '{\"losses\": {\"digits\": 1, \"lines\": 2, \"words\": 3}}' > \"$2\"",
            "the trainer's losses: expected the domains prose, lines, digits, found digits, lines, words",
        ),
    ] {
        let scratch = programmed(script);
        let run = refused(&scratch, "seeds: [3]", "seeds: [3]");
        assert!(run.code == Some(1) && run.stderr.contains("stratified, seed 3: ") && run.stderr.contains(said), "{said}: {run}");
    }
}
