#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use braid_sequence::planner::*;
fn main() {
    let cost = CostModel::new(
        &Cluster::built_in("a100x64").unwrap(),
        &ModelProfile::built_in("gpt-7b").unwrap(),
        Tokens(384_000),
        Degrees::PowersOfTwo,
    )
    .unwrap();
    let mut names: Vec<_> = std::fs::read_dir("tests/data").unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for effort in [Effort::Fast, Effort::Thorough] {
        for path in &names {
            let text = std::fs::read_to_string(path).unwrap();
            let batch = Batch::exact(&parse_lengths("x", &text).unwrap());
            let start = std::time::Instant::now();
            let plan = plan(&batch, &cost, &PlanOptions { trials: 1, effort, ..Default::default() }).unwrap();
            let t = start.elapsed();
            plan.check(&batch, &cost).unwrap();
            println!(
                "{:?} n={} M={} {:.1} bound {:.1} gap {:.2}% {:?}",
                path.file_name().unwrap(),
                plan.sequences(),
                plan.micro_batches.len(),
                plan.predicted_ms.0,
                plan.bound_ms.0,
                100.0 * plan.gap(),
                t
            );
        }
    }
}
