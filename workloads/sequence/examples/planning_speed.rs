//! How long planning takes, and how close to the bound it comes: 512 sequences on 64 GPUs, and 4 096 on 1 024.
//!
//! `cargo run --release --example planning_speed -- [BATCHES]`: so many for each of three seeds. CPU is the time of all threads (Linux), wall what passes.
#![allow(clippy::print_stdout)]

use braid_sequence::planner::{
    Batch, Cluster, CostModel, Degrees, Effort, ModelProfile, PlanOptions, Tokens, plan,
    simulate::{Dataset, Lengths},
};
use std::time::Instant;

/// Each begins a sequence of batches.
const SEEDS: [u64; 3] = [5, 6, 7];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batches: u32 = std::env::args().nth(1).map_or(Ok(2), |a| a.parse())?;
    println!(
        "| GPUs | sequences | model, context | data | effort | wall, mean | wall, most | CPU, mean | gap, step | gap, mean of micro-batches | micro-batches |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for effort in [Effort::Fast, Effort::Thorough] {
        for dataset in Dataset::ALL {
            row(8, 512, dataset, effort, batches)?;
        }
    }
    for dataset in Dataset::ALL {
        row(128, 4096, dataset, Effort::Fast, batches.div_ceil(2))?;
    }
    Ok(())
}

fn row(nodes: u32, sequences: usize, dataset: Dataset, effort: Effort, batches: u32) -> Result<(), Box<dyn std::error::Error>> {
    let mut cluster = Cluster::built_in("a100x64")?;
    cluster.pools[0].nodes = nodes;
    let context = Tokens(384_000);
    let cost = CostModel::new(&cluster, &ModelProfile::built_in("gpt-7b")?, context, Degrees::PowersOfTwo)?;
    let mut lengths = SEEDS.map(|seed| Lengths::new(dataset, seed));
    let [mut wall, mut most, mut cpu, mut gap, mut mean_gap, mut micro_batches] = [0.0f64; 6];
    for number in 0..batches as usize * SEEDS.len() {
        let batch =
            Batch::for_context(&lengths[number % SEEDS.len()].batch(sequences, context, cost.world()), context, cost.world());
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        let step = plan(&batch, &cost, &PlanOptions { effort, ..PlanOptions::default() })?;
        let took = start.elapsed().as_secs_f64();
        (wall, most, cpu) = (wall + took, most.max(took), cpu + cpu_seconds() - cpu_start);
        step.check(&batch, &cost)?;
        gap += step.gap();
        mean_gap += step.micro_batches.iter().map(|m| m.gap()).sum::<f64>() / step.micro_batches.len() as f64;
        micro_batches += step.micro_batches.len() as f64;
    }
    let n = f64::from(batches) * SEEDS.len() as f64;
    println!(
        "| {} | {sequences} | gpt-7b, 384K | {} | {effort:?} | {:.0} ms | {:.0} ms | {:.0} ms | {:.2} % | {:.2} % | {:.1} |",
        cost.world(),
        dataset.name(),
        1e3 * wall / n,
        1e3 * most,
        1e3 * cpu / n,
        100.0 * gap / n,
        100.0 * mean_gap / n,
        micro_batches / n,
    );
    Ok(())
}

/// CPU time of all living threads; not a number where the system does not tell.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return f64::NAN };
    let of =
        |path: std::path::PathBuf| std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok();
    tasks.flatten().filter_map(|t| of(t.path())).sum::<f64>() / 1e9
}
