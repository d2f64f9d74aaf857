//! Documents that are whole or not, and what each trainer is given: goldens in `testdata/document`.

use super::{
    Document, Format, Source,
    export::{Shape, Trainer, export},
    import,
};
use crate::{Domains, Proportions, files::olmix};

const TEXT: &str = "
version: 1
domains:
  - {name: web, uri: data/web.jsonl, format: jsonl, tokens: 900000}
  - {name: code, uri: data/code.jsonl, format: jsonl, tokens: 100000}
schedule:
  - {start_tokens: 0, weights: {code: 0.25, web: 0.75}}
  - {start_tokens: 393216, weights: {web: 0.5, code: 0.5}}
caps: {max_epochs: 2}
tokens: 512000
seed: 7
";

const SHAPE: Shape = Shape { sequence: 2048, batch: 16 };

fn read(text: &str) -> Document {
    Document::read("mix.yml", text).unwrap()
}

/// One period, in the format of a trainer.
fn single(format: &str) -> Document {
    let start = TEXT.find("  - {start_tokens: 393216").unwrap();
    let end = TEXT[start..].find('\n').unwrap() + start + 1;
    let (before, after) = (&TEXT[..start], &TEXT[end..]);
    read(&format!("{before}{after}").replace("jsonl", format))
}

#[test]
fn a_document_is_read_and_written_the_same() {
    let document = read(TEXT);
    let mixtures = document.mixtures().unwrap();
    assert_eq!((mixtures[0].0, mixtures[0].1.as_slice()), (0, &[0.75, 0.25][..]));
    assert_eq!(mixtures[1].0, 393_216);
    assert_eq!(read(&document.write().unwrap()), document);
    assert_eq!(read(&serde_json::to_string(&document).unwrap()), document, "JSON is YAML");
}

#[test]
fn what_is_wrong_with_a_document_is_said() {
    let wrong = |from: &str, to: &str| {
        assert!(TEXT.contains(from), "{from}");
        Document::read("mix.yml", &TEXT.replace(from, to)).unwrap_err().to_string()
    };
    assert_eq!(wrong("version: 1", "version: 2"), "document: version is 2: 1, the only one that this program knows");
    assert_eq!(wrong("code: 0.25", "code: 0.35"), "weights from token 0: they sum to 1.1, not to 1");
    assert_eq!(wrong("code: 0.25", "cede: 0.25"), "weights from token 0: expected the domains web, code, found cede, web");
    assert_eq!(wrong("code: 0.25", "code: much"), "domain code: its weight from token 0 is \"much\", which is no number");
    assert_eq!(wrong("name: code", "name: web"), "domains: web is there twice");
    assert_eq!(wrong("start_tokens: 0", "start_tokens: 5"), "document: the first start_tokens is 5: 0");
    assert_eq!(wrong("393216", "0"), "document: start_tokens is 0: later than in the period before");
    assert_eq!(
        wrong("max_epochs: 2", "max_epochs: 1"),
        "domain code: the schedule takes 157696 tokens of it, but it has 100000, which may be seen 1 times"
    );
    assert_eq!(wrong("tokens: 100000", "tokens: 0"), "domain code: it has no tokens, but the schedule gives it a share");
    assert!(wrong("seed: 7", "sead: 7").starts_with("mix.yml: "), "{}", wrong("seed: 7", "sead: 7"));
}

#[test]
fn trainers_get_what_they_read() {
    let cases = [
        (Trainer::Megatron, single("bin"), "megatron.args"),
        (Trainer::HuggingFace, Document { batch: crate::BatchRule::Multinomial, ..single("jsonl") }, "hugging_face.py"),
        (Trainer::Streaming, single("mds"), "streaming.json"),
        (Trainer::OlmoCore, single("npy"), "olmo_core.yml"),
        (Trainer::Levanter, read(TEXT), "levanter.yml"),
        (Trainer::Torchtitan, single("jsonl"), "torchtitan.py"),
        (Trainer::Olmix, single("npy"), "olmix.yml"),
    ];
    for (trainer, document, name) in cases {
        let found = export(&document, trainer, SHAPE).unwrap();
        let path = format!("{}/testdata/document/{name}", env!("CARGO_MANIFEST_DIR"));
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, wanted, "{name}:\n{found}");
    }
}

#[test]
fn what_a_trainer_cannot_do_is_an_error() {
    let text = |document: &Document, trainer| export(document, trainer, SHAPE).unwrap_err().to_string();
    assert_eq!(
        text(&read(TEXT), Trainer::Megatron),
        "export to megatron: schedule is of 2 periods: one period: its mixture never changes"
    );
    assert_eq!(text(&single("jsonl"), Trainer::OlmoCore), "export to olmo-core: format is jsonl for domain web: npy");
    assert!(text(&single("jsonl"), Trainer::HuggingFace).contains("batch is not multinomial"));
    assert_eq!(
        text(&Document { tokens: None, ..single("npy") }, Trainer::OlmoCore),
        "export to olmo-core: tokens is unknown: the tokens of the run, which it asks for"
    );
    let odd = export(&read(TEXT), Trainer::Levanter, Shape { sequence: 1000, batch: 16 }).unwrap_err().to_string();
    assert_eq!(odd, "export to levanter: start_tokens is 393216: a multiple of the 16000 tokens of a step");
}

#[test]
fn a_domain_without_a_share_is_left_out() {
    let (shared, none) = ("weights: {code: 0.25, web: 0.75}", "weights: {code: 0, web: 1}");
    let given = |format: &str, trainer| {
        let start = TEXT.find("  - {start_tokens: 393216").unwrap();
        let text = format!("{}tokens: 512000\nbatch: multinomial\n", &TEXT[..start]);
        export(&read(&text.replace(shared, none).replace("jsonl", format)), trainer, SHAPE).unwrap()
    };
    for (format, trainer) in [
        ("bin", Trainer::Megatron),
        ("jsonl", Trainer::HuggingFace),
        ("mds", Trainer::Streaming),
        ("npy", Trainer::OlmoCore),
        ("jsonl", Trainer::Torchtitan),
        ("npy", Trainer::Olmix),
    ] {
        let text = given(format, trainer);
        assert!(text.contains("web") && !text.contains("code"), "{text}");
    }
}

#[test]
fn less_than_all_of_a_source_is_a_fraction_of_it() {
    let half = Document { caps: super::CapRule { max_epochs: Some(0.5) }, tokens: Some(1000), ..single("npy") };
    let text = export(&half, Trainer::OlmoCore, SHAPE).unwrap();
    assert!(text.contains("max_source_fraction: 0.5") && !text.contains("max_repetition_ratio"), "{text}");
}

#[test]
fn a_run_of_a_swarm_becomes_a_document() {
    let swarm = olmix::read(("ratios.csv", "run_id,web,code\nr1,0.25,0.75\n"), ("metrics.csv", "run_id,loss\nr1,3\n")).unwrap();
    let source = |name: &str| Source { name: name.into(), uri: format!("{name}.npy"), format: Format::Npy, tokens: None };
    let document = import::of_run(&swarm, "r1", vec![source("code"), source("web")], 3).unwrap();
    assert_eq!(document.mixtures().unwrap()[0].1, swarm.runs[0].proportions);
    assert_eq!(document.names().unwrap(), Domains::new(["web", "code"]).unwrap());
    let none = import::of_run(&swarm, "r9", vec![], 3).unwrap_err().to_string();
    assert_eq!(none, "swarm: it has no run r9");
    let half = import::of_run(&swarm, "r1", vec![source("web")], 3).unwrap_err().to_string();
    assert_eq!(half, "the sources: expected the domains web, code, found web");
    assert!(Document::of(vec![source("a")], &Proportions::uniform(2), 0).is_err());
}
