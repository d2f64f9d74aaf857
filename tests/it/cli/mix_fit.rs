//! `braid mix fit`: what it makes of tables of runs, and what it says of those that are wrong.

use crate::{
    harness::{Run, Scratch},
    see,
};

const RATIOS: &str = "run_id,name,web,code\nr1,a,0.1,0.9\nr2,b,0.3,0.7\nr3,c,0.5,0.5\nr4,d,0.7,0.3\nr5,e,0.9,0.1\nr6,f,0.6,0.4\n";
const METRICS: &str = "run_id,name,loss\nr1,a,2.9\nr2,b,2.7\nr3,c,2.5\nr4,d,2.3\nr5,e,2.1\nr6,f,2.4\n";

fn fit(ratios: &str, metrics: &str) -> Run {
    let scratch = Scratch::new();
    scratch.write("ratios.csv", ratios);
    scratch.write("metrics.csv", metrics);
    scratch.braid(["mix", "fit", "--olmix", "ratios.csv", "metrics.csv", "--law", "linear", "--closeness", "1"])
}

#[test]
fn a_law_of_the_runs_proposes_a_mixture() {
    let scratch = Scratch::new();
    see!(scratch, fit(RATIOS, METRICS), @"
    exit: 0
    --- stdout
    METRIC  RANKS  R2     ERROR
    loss    1.000  1.000  0.0000

    DOMAIN      MEAN   PROPOSED
    web       51.67 %    74.40 %
    code      48.33 %    25.60 %

    6 runs; each was predicted by a law of others
    --- stderr
    ");
}

#[test]
fn the_same_runs_as_weights_and_biases_exports_them_say_the_same() {
    let scratch = Scratch::new();
    let rows = RATIOS.lines().zip(METRICS.lines()).skip(1).map(|(ratios, metrics)| {
        let (ratio, metric): (Vec<&str>, Vec<&str>) = (ratios.split(',').collect(), metrics.split(',').collect());
        format!("\"sun\",\"{}\",\"finished\",\"{}\",\"{}\",\"{}\"\n", ratio[0], ratio[2], ratio[3], metric[2])
    });
    let table = format!("\"Name\",\"ID\",\"State\",\"mix.web\",\"mix.code\",\"eval/loss\"\n{}", rows.collect::<String>());
    let fit = |table: &str| {
        scratch.write("runs.csv", table);
        let prefixes = ["--proportions", "mix.", "--metrics", "eval/"];
        let law = ["--law", "linear", "--closeness", "1", "-o", "json"];
        scratch.braid(["mix", "fit", "--wandb", "runs.csv"].iter().chain(&prefixes).chain(&law))
    };
    let json = fit(&table).ok().json();
    assert_eq!((&json["schema"], &json["runs"], &json["metrics"][0]["metric"]), (&"braid/v1".into(), &6.into(), &"loss".into()));
    assert!((json["proposal"]["web"].as_f64().unwrap() - 0.744).abs() < 1e-3, "{json}");
    see!(scratch, fit(&table.replacen("finished", "crashed", 1)), @"
    exit: 2
    --- stdout
    --- stderr
    error: runs.csv: line 2, column State: run r1 is crashed, not finished
    ");
    see!(scratch, fit(&table.replace("r2", "r1")), @"
    exit: 2
    --- stdout
    --- stderr
    error: runs.csv: line 3, column ID: run r1 is there already, in line 2
    ");
    see!(scratch, fit(&table.replace("eval/", "test/")), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: runs.csv: line 1: no column begins with "eval/"
    "#);
    see!(scratch, fit(&table.replace("\"2.5\"", "\"NaN\"")), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: runs.csv: line 4, column eval/loss: "NaN" is no number
    "#);
}

#[test]
fn a_table_that_is_wrong_is_named_with_its_line_and_column() {
    let scratch = Scratch::new();
    see!(scratch, fit(&RATIOS.replace("run_id", "number"), METRICS), @"
    exit: 2
    --- stdout
    --- stderr
    error: ratios.csv: line 1: expected a column run_id or run, found number, name, web, code
    ");
    see!(scratch, fit(&RATIOS.replace("0.3,0.7", "0.3,0.8"), METRICS), @"
    exit: 2
    --- stdout
    --- stderr
    error: ratios.csv: line 3: the shares of run r2 sum to 1.1, not to 1
    ");
    see!(scratch, fit(RATIOS, &METRICS.replace("2.7", "NaN")), @r#"
    exit: 2
    --- stdout
    --- stderr
    error: metrics.csv: line 3, column loss: "NaN" is no number
    "#);
    see!(scratch, fit(RATIOS, &METRICS.replace(",loss", "")), @"
    exit: 2
    --- stdout
    --- stderr
    error: metrics.csv: line 1: no column beside the one that names the runs
    ");
    see!(scratch, fit(RATIOS, "run_id,loss\nr9,1\n"), @"
    exit: 2
    --- stdout
    --- stderr
    error: metrics.csv: it has none of the runs of the mixtures
    ");
    see!(scratch, fit("", METRICS), @"
    exit: 2
    --- stdout
    --- stderr
    error: ratios.csv: it is empty
    ");
    see!(scratch, fit("run_id,web,code\nr1,0.5,0.5\n", METRICS), @"
    exit: 2
    --- stdout
    --- stderr
    error: swarm: it has 1 of the 3 runs that it takes to predict each by a law of others

    hint: measure more mixtures, or mixtures that differ more
    ");
}
