//! Specs as people write them, and what is said of wrong ones.

use super::*;

const SMALL: &str = "
domains:
  prose: [prose.txt]
  code: { paths: [code], cap: 5000 }
context: 32
batch: 8
steps: 40
trainer: { builtin: {} }
methods: [stratified, { method: proportional, name: flat, exponent: 0.5 }]
seeds: [1, 2]
";

fn refused(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from));
    MixSpec::parse("a.yml", &SMALL.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_spec_reads_back() {
    let mut spec = MixSpec::parse("a.yml", SMALL).unwrap();
    spec.domains.0[0].1 = spec.domains.0[0].1.clone().beside(Path::new("/data"));
    assert_eq!(spec.domains.names().collect::<Vec<_>>(), ["prose", "code"]);
    assert_eq!(spec.domains.0[0].1.paths, [PathBuf::from("/data/prose.txt")]);
    assert_eq!(spec.domains.0[1].1.cap, Some(5000));
    assert_eq!(spec.methods[1].name, "flat");
    assert_eq!(spec.control(), 0);
    let job = MixJob { spec, out: "/out".into() };
    let text = serde_json::to_string(&job).unwrap();
    assert_eq!(serde_json::from_str::<MixJob>(&text).unwrap(), job);
}

#[test]
fn what_is_wrong_with_a_spec_is_named() {
    for (from, to, said) in [
        ("batch: 8", "batch: 1", "a.yml: a batch of 1 slots cannot hold each of 2 domains"),
        ("steps: 40", "steps: 0", "a.yml: steps: it must be at least 1"),
        ("steps: 40", "stepz: 40", "stepz"),
        ("steps: 40", "steps: many", "a.yml: steps: expected a whole number of 0 or more at line"),
        ("steps: 40", "steps: 40\nsplit: { validation: 0.9 }", "split: validation is 0.9: more than 0 and less than 0.5"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "seeds: give at least one, and none twice"),
        ("seeds: [1, 2]", "control: none", "control: no method is called none"),
        ("methods: [stratified,", "methods: [flat,", "unknown variant `flat`"),
        ("name: flat", "name: stratified", "methods: give at least one, each with a name of its own"),
        ("[stratified,", "[{method: fixed, proportions: [0.5, 0.6]},", "they sum to 1.1, not to 1"),
        ("[stratified,", "[{method: fixed, proportions: [1.0]},", "fixed proportions: expected 2 entries"),
        ("{ builtin: {} }", "{ builtin: {}, command: {} }", "trainer: it names 2 trainers, not one"),
        ("cap: 5000", "cup: 5000", "a path, a list of paths, or {paths, field, integers, cap, tokens}"),
        ("  prose: [prose.txt]\n", "  \" \": [prose.txt]\n", "domains: number 1 has no name"),
    ] {
        let text = refused(from, to);
        assert!(text.starts_with("a.yml") && text.contains(said), "{text}");
    }
}
