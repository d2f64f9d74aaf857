//! Round trips, and every way in which a table can be wrong.

use super::{
    olmix, regmix,
    wandb::{self, Pick, Table},
};
use crate::{Domains, MixtureError, Proportions, swarm::Swarm};

const RATIOS: &str = "run_id,name,web,code\nr1,first,0.25,0.75\nr2,second,0.5,0.5\n";
const METRICS: &str = "run_id,loss,bpb\nr2,3.5,1.0\nr3,1,1\nr1,3.0,0.9\n";

fn joined(ratios: &str, metrics: &str) -> Result<Swarm, MixtureError> {
    olmix::read(("ratios.csv", ratios), ("metrics.csv", metrics))
}

#[test]
fn olmix_tables_are_joined_by_run_and_written_again() {
    let swarm = joined(RATIOS, METRICS).unwrap();
    assert_eq!(swarm.domains.names(), ["web", "code"]);
    assert_eq!(swarm.metrics, ["loss", "bpb"]);
    let rows: Vec<_> = swarm.runs.iter().map(|run| (run.id.as_str(), run.proportions[0], run.values.as_slice())).collect();
    assert_eq!(rows, [("r1", 0.25, &[3.0, 0.9][..]), ("r2", 0.5, &[3.5, 1.0])]);
    let (ratios, metrics) = olmix::write(&swarm);
    assert_eq!(ratios, "run_id,name,web,code\nr1,r1,0.25,0.75\nr2,r2,0.5,0.5\n");
    assert_eq!(joined(&ratios, &metrics).unwrap(), swarm);
    // As Olmix's own cache has them.
    let own = RATIOS.replace("run_id,name", "run,name,index").replace("first", "first,0").replace("second", "second,1");
    assert_eq!(joined(&own, METRICS).unwrap(), swarm);
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let ratios = |text: &str| joined(text, METRICS).unwrap_err().to_string();
    assert_eq!(ratios("web,code\n0.5,0.5\n"), "ratios.csv: line 1: expected a column run_id or run, found web, code");
    assert_eq!(ratios("run_id,name\nr1,a\n"), "ratios.csv: line 1: no column beside the one that names the runs");
    assert_eq!(ratios("run_id,web,code\nr1,0.5,x\n"), "ratios.csv: line 2, column code: \"x\" is no number");
    assert_eq!(ratios("run_id,web,code\nr1,NaN,1\n"), "ratios.csv: line 2, column web: \"NaN\" is no number");
    assert_eq!(ratios("run_id,web,code\nr1,0.5,0.7\n"), "ratios.csv: line 2: the shares of run r1 sum to 1.2, not to 1");
    assert_eq!(
        ratios("run_id,web,code\nr1,-0.5,1.5\n"),
        "ratios.csv, line 2, run r1: entry 0 (counted from 0) is -0.5; each must be a number and none negative"
    );
    assert_eq!(
        ratios("run_id,web,code\nr1,0.5,0.5\nr1,0.5,0.5\n"),
        "ratios.csv: line 3, column run_id: run r1 is there already, in line 2"
    );
    assert_eq!(ratios("run_id,web\n,1\n"), "ratios.csv: line 2, column run_id: it is empty, and names the run");
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

const RUNS: &str = "\"Name\",\"ID\",\"State\",\"Tags\",\"mix.web\",\"mix.code\",\"eval/web\",\"eval/code\",\"lr\"
\"brave-sun-1\",\"x1\",\"finished\",\"a, b\",\"0.25\",\"0.75\",\"3.5\",\"1.25\",\"\"
\"brave-sun-1\",\"x2\",\"finished\",\"\",\"0.5\",\"0.5\",\"3.25\",\"1.5\",\"high\"
";

fn table<'a>(proportions: Pick<'a>, metrics: Pick<'a>) -> Table<'a> {
    Table { proportions, metrics, finished_alone: false }
}

#[test]
fn an_export_of_weights_and_biases_is_a_swarm() {
    let swarm = wandb::read("runs.csv", RUNS, &table(Pick::Prefix("mix."), Pick::Prefix("eval/"))).unwrap();
    assert_eq!(swarm.domains.names(), ["web", "code"]);
    assert_eq!(swarm.metrics, ["web", "code"]);
    let rows: Vec<_> = swarm.runs.iter().map(|run| (run.id.as_str(), run.proportions[0], run.values.as_slice())).collect();
    assert_eq!(rows, [("x1", 0.25, &[3.5, 1.25][..]), ("x2", 0.5, &[3.25, 1.5])]);
    let named = table(Pick::Columns(&["mix.code", "mix.web"]), Pick::Columns(&["eval/code"]));
    let swarm = wandb::read("runs.csv", RUNS, &named).unwrap();
    assert_eq!(
        (swarm.domains.names(), swarm.metrics),
        (&["mix.code".to_owned(), "mix.web".to_owned()][..], vec!["eval/code".to_owned()])
    );
    assert_eq!(swarm.runs[1].values, [1.5]);
    // What Olmix writes of it is the same swarm.
    let (ratios, metrics) =
        olmix::write(&wandb::read("runs.csv", RUNS, &table(Pick::Prefix("mix."), Pick::Prefix("eval/"))).unwrap());
    assert_eq!(joined(&ratios, &metrics).unwrap().runs.len(), 2);
    // Without ids, names name runs.
    let by_name = RUNS.replace("\"ID\"", "\"Group\"").replacen("brave-sun-1", "calm-sea-2", 1);
    assert_eq!(
        wandb::read("runs.csv", &by_name, &table(Pick::Prefix("mix."), Pick::Prefix("eval/"))).unwrap().runs[0].id,
        "calm-sea-2"
    );
}

#[test]
fn what_is_wrong_with_an_export_is_said_with_its_place() {
    let read = |from: &str, to: &str, table: &Table<'_>| {
        assert!(RUNS.contains(from), "{from}");
        wandb::read("runs.csv", &RUNS.replace(from, to), table).map(|swarm| swarm.runs.len()).map_err(|error| error.to_string())
    };
    let all = table(Pick::Prefix("mix."), Pick::Prefix("eval/"));
    let wrong = |from: &str, to: &str| read(from, to, &all).unwrap_err();
    assert_eq!(wrong("\"x2\"", "\"x1\""), "runs.csv: line 3, column ID: run x1 is there already, in line 2");
    assert_eq!(wrong("\"3.25\"", "\"NaN\""), "runs.csv: line 3, column eval/web: \"NaN\" is no number");
    assert_eq!(wrong("\"3.25\"", "\"\""), "runs.csv: line 3, column eval/web: \"\" is no number");
    assert_eq!(wrong("\"0.25\"", "\"0.35\""), "runs.csv: line 2: the shares of run x1 sum to 1.1, not to 1");
    assert_eq!(wrong("mix.", "share."), "runs.csv: line 1: no column begins with \"mix.\"");
    assert_eq!(wrong("mix.web", "mix.code"), "runs.csv: domains: code is there twice");
    assert!(wrong("\"ID\"", "\"Name\"").contains("line 3, column Name: run brave-sun-1 is there already, in line 2"));
    let missing = table(Pick::Prefix("mix."), Pick::Columns(&["eval/web", "eval/prose"]));
    assert_eq!(read("x1", "x1", &missing).unwrap_err(), "runs.csv: line 1: there is no column \"eval/prose\"");
    let crashed = read("\"x2\",\"finished\"", "\"x2\",\"crashed\"", &Table { finished_alone: true, ..all });
    assert_eq!(crashed.unwrap_err(), "runs.csv: line 3, column State: run x2 is crashed, not finished");
    let unnamed = "Step,mix.web\n1,1\n";
    let error = wandb::read("history.csv", unnamed, &table(Pick::Prefix("mix."), Pick::Prefix("mix."))).unwrap_err().to_string();
    assert_eq!(error, "history.csv: line 1: expected a column ID or Name, found Step, mix.web");
}
