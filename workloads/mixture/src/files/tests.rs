//! Round trips, and every way in which a table can be wrong.

use super::{olmix, regmix};
use crate::{Domains, Proportions};

const RATIOS: &str = "run_id,name,web,code\nr1,first,0.25,0.75\nr2,second,0.5,0.5\n";
const METRICS: &str = "run_id,loss,bpb\nr2,3.5,1.0\nr3,1,1\nr1,3.0,0.9\n";

#[test]
fn olmix_tables_are_joined_by_run_and_written_again() {
    let swarm = olmix::read(RATIOS, METRICS).unwrap();
    assert_eq!(swarm.domains.names(), ["web", "code"]);
    assert_eq!(swarm.metrics, ["loss", "bpb"]);
    let rows: Vec<_> = swarm.runs.iter().map(|run| (run.id.as_str(), run.proportions[0], run.values.as_slice())).collect();
    assert_eq!(rows, [("r1", 0.25, &[3.0, 0.9][..]), ("r2", 0.5, &[3.5, 1.0])]);
    let (ratios, metrics) = olmix::write(&swarm);
    assert_eq!(ratios, "run_id,name,web,code\nr1,r1,0.25,0.75\nr2,r2,0.5,0.5\n");
    assert_eq!(olmix::read(&ratios, &metrics).unwrap(), swarm);
    // As Olmix's own cache has them.
    let own = RATIOS.replace("run_id,name", "run,name,index").replace("first", "first,0").replace("second", "second,1");
    assert_eq!(olmix::read(&own, METRICS).unwrap(), swarm);
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let ratios = |text: &str| olmix::read(text, METRICS).unwrap_err().to_string();
    assert_eq!(ratios("web,code\n0.5,0.5\n"), "ratios.csv: line 1: expected a column run_id or run, found web, code");
    assert_eq!(ratios("run_id,name\nr1,a\n"), "ratios.csv: line 1: no column beside the one that names the runs");
    assert_eq!(ratios("run_id,web,code\nr1,0.5,x\n"), "ratios.csv: line 2, column code: \"x\" is no number");
    assert_eq!(ratios("run_id,web,code\nr1,NaN,1\n"), "ratios.csv: line 2, column web: \"NaN\" is no number");
    assert_eq!(ratios("run_id,web,code\nr1,0.5,0.7\n"), "ratios.csv: the shares of run r1 sum to 1.2, not to 1");
    assert_eq!(
        ratios("run_id,web,code\nr1,-0.5,1.5\n"),
        "ratios.csv, run r1: entry 0 (counted from 0) is -0.5; each must be a number and none negative"
    );
    assert_eq!(ratios("run_id,web,code\nr1,0.5,0.5\nr1,0.5,0.5\n"), "ratios.csv: line 3: run_id \"r1\" is empty or there twice");
    assert_eq!(ratios("run_id,web,web\nr1,0.5,0.5\n"), "ratios.csv: domains: web is there twice");
    assert_eq!(ratios("run_id,web,code\n"), "ratios.csv: it has no row below its header");
    assert!(ratios("run_id,web,code\nr1,0.5\n").contains("line: 2"), "{}", ratios("run_id,web,code\nr1,0.5\n"));
    assert_eq!(ratios("run_id,web,code\nr9,0.5,0.5\n"), "metrics.csv: it has none of the runs of the mixtures");
}

#[test]
fn a_regmix_config_is_read_and_written() {
    let domains = Domains::new(["train_the_pile_arxiv", "no"]).unwrap();
    let mixture = Proportions::new(vec![0.3, 0.7]).unwrap();
    let text = regmix::write_config(&domains, &mixture, &["valid_the_pile_pile_cc".into()], 42);
    assert_eq!(
        text,
        "train:\n  \"train_the_pile_arxiv\": 0.3\n  \"no\": 0.7\nvalid:\n  \"valid_the_pile_pile_cc\": 1.0\nseed: 42\n"
    );
    assert_eq!(regmix::read_config("n1.yaml", &text).unwrap(), (domains, mixture));
    // As published: keys of the trainer, weights that sum to one only about.
    let published = "train:\n  a: 0.2\n  b: 0.79\nvalid:\n  v: 1.0\nmodel_name: tinyllama_1M\n";
    assert!((regmix::read_config("n2.yaml", published).unwrap().1[0] - 0.2 / 0.99).abs() < 1e-15);
    let wrong = |text: &str| regmix::read_config("n.yaml", text).unwrap_err().to_string();
    assert_eq!(wrong("train:\n  a: x\n"), "n.yaml: train, domain a: \"x\" is no number");
    assert_eq!(wrong("train: {}\n"), "n.yaml: train: domains: there is none");
    assert!(wrong("valid: {}\n").contains("train"), "{}", wrong("valid: {}\n"));
}
