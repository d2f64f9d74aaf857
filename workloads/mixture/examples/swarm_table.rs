//! RegMix's public swarm fitted again: how well laws of small models rank larger ones.
//!
//! `cargo run --release -p braid-mixture --example swarm_table` prints the table of docs/mix.md.
#![allow(clippy::print_stdout)]

use braid_mixture::{
    MixtureError,
    files::regmix,
    swarm::{LawKind, Swarm, fit},
};
use std::time::Instant;

/// The loss that RegMix aims at.
const TARGET: &str = "metric/the_pile_pile_cc_val_loss";
const RUNS: [usize; 4] = [32, 64, 128, 512];
const LAWS: [(&str, LawKind); 3] = [("log-linear", LawKind::LogLinear), ("linear", LawKind::Linear), ("trees", LawKind::Trees)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let train = read("train_mixture_1m.csv", "train_pile_loss_1m.csv")?;
    let tests = [
        read("test_mixture_1m.csv", "test_pile_loss_1m.csv")?,
        read("test_mixture_1m.csv", "test_pile_loss_60m.csv")?,
        read("test_mixture_1B.csv", "test_pile_loss_1B.csv")?,
    ];
    println!(
        "| law, runs fitted | Pile-CC: 1 M | 60 M | 1 B | mean of 13 losses: 1 M | 60 M | 1 B | worst loss, 1 B | time of a fit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, kind) in LAWS {
        for runs in RUNS {
            println!("| {name}, {runs} {}", row(&train, &tests, kind, runs)?);
        }
    }
    Ok(())
}

fn read(mixtures: &str, losses: &str) -> Result<Swarm, Box<dyn std::error::Error>> {
    let text = |name: &str| std::fs::read_to_string(format!("{}/testdata/regmix/{name}", env!("CARGO_MANIFEST_DIR")));
    Ok(regmix::read((mixtures, &text(mixtures)?), (losses, &text(losses)?))?)
}

/// The cells after the first.
fn row(train: &Swarm, tests: &[Swarm; 3], kind: LawKind, runs: usize) -> Result<String, MixtureError> {
    let target = train.metric(TARGET)?;
    let begin = Instant::now();
    let laws = (0..train.metrics.len()).map(|metric| {
        let (mixtures, values) = train.column(metric, runs);
        fit(kind, &mixtures, &values)
    });
    let laws = laws.collect::<Result<Vec<_>, _>>()?;
    let time = begin.elapsed().as_secs_f64() * 1e3 / laws.len() as f64;
    let ranks = |test: &Swarm| -> Vec<f64> {
        let rank = |(metric, law): (usize, &braid_mixture::swarm::Law)| {
            let (mixtures, values) = test.column(metric, test.runs.len());
            law.agreement(&mixtures, &values).spearman.unwrap_or(0.0)
        };
        laws.iter().enumerate().map(rank).collect()
    };
    let ranks = tests.each_ref().map(ranks);
    let mean = |ranks: &Vec<f64>| format!("{:.3}", ranks.iter().sum::<f64>() / ranks.len() as f64);
    let aimed = |ranks: &Vec<f64>| ranks.get(target).map_or_else(String::new, |rank| format!("{rank:.3}"));
    let worst = ranks[2].iter().copied().fold(1.0, f64::min);
    let cells = ranks.iter().map(aimed).chain(ranks.iter().map(mean)).collect::<Vec<_>>().join(" | ");
    Ok(format!("| {cells} | {worst:.3} | {time:.0} ms |"))
}
