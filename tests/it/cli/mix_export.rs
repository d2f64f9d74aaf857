//! `braid mix export`: what it prints, and what it says of a document that a trainer cannot read.

use crate::{
    harness::{Run, Scratch},
    see,
};

const DOCUMENT: &str = "
version: 1
domains:
  - {name: web, uri: data/web.bin, format: bin, tokens: 900000}
  - {name: code, uri: data/code.bin, format: bin, tokens: 100000}
schedule:
  - {start_tokens: 0, weights: {code: 0.25, web: 0.75}}
tokens: 200000
seed: 7
";

fn export(scratch: &Scratch, document: &str, to: &str) -> Run {
    scratch.write("mixture.yml", document);
    scratch.braid(["mix", "export", "mixture.yml", "--to", to, "--sequence", "2048", "--batch", "16"])
}

#[test]
fn a_document_becomes_what_a_trainer_reads() {
    let scratch = Scratch::new();
    see!(scratch, export(&scratch, DOCUMENT, "megatron"), @"
    exit: 0
    --- stdout
    --data-path
    0.75 data/web
    0.25 data/code
    --seq-length 2048
    --global-batch-size 16
    --seed 7
    --train-samples 97
    --- stderr
    ");
}

#[test]
fn what_cannot_be_written_is_said() {
    let scratch = Scratch::new();
    let wrong = |from: &str, with: &str, to: &str| {
        assert!(DOCUMENT.contains(from), "{from}");
        export(&scratch, &DOCUMENT.replace(from, with), to)
    };
    see!(scratch, wrong("seed", "seed", "olmo-core"), @"
    exit: 2
    --- stdout
    --- stderr
    error: mixture.yml: export to olmo-core: format is bin for domain web: npy
    ");
    see!(scratch, wrong("web: 0.75", "web: 0.8", "megatron"), @"
    exit: 2
    --- stdout
    --- stderr
    error: mixture.yml: weights from token 0: they sum to 1.05, not to 1

    hint: give weights that sum to one, or normalize them first
    ");
    see!(scratch, wrong("code: 0.25", "cede: 0.25", "megatron"), @"
    exit: 2
    --- stdout
    --- stderr
    error: mixture.yml: weights from token 0: expected the domains web, code, found cede, web
    ");
    see!(scratch, wrong("tokens: 100000", "tokens: 0", "megatron"), @"
    exit: 2
    --- stdout
    --- stderr
    error: mixture.yml: domain code: it has no tokens, but the schedule gives it a share
    ");
    see!(scratch, wrong("tokens: 200000", "tokens: 900000\ncaps: {max_epochs: 1}", "megatron"), @"
    exit: 2
    --- stdout
    --- stderr
    error: mixture.yml: domain code: the schedule takes 225000 tokens of it, but it has 100000, which may be seen 1 times
    ");
    let run = wrong("version: 1", "version: [", "megatron");
    assert!(run.code == Some(2) && run.stderr.starts_with("error: mixture.yml: "), "{run}");
}
