#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use braid_sequence::planner::{simulate::*, *};
fn main() {
    let cost = CostModel::new(
        &Cluster::built_in("a100x64").unwrap(),
        &ModelProfile::built_in("gpt-7b").unwrap(),
        Tokens(384_000),
        Degrees::PowersOfTwo,
    )
    .unwrap();
    let mut l = Lengths::new(Dataset::Wikipedia, 5);
    for _ in 0..3 {
        let batch = Batch::for_context(&l.batch(512, Tokens(384_000), 64), Tokens(384_000), 64);
        let p = plan(&batch, &cost, &PlanOptions { effort: Effort::Thorough, ..Default::default() }).unwrap();
        for m in &p.micro_batches {
            println!(
                "{:.1} {:.1} {:.2}% n={}",
                m.predicted_ms.0,
                m.bound_ms.0,
                100.0 * m.gap(),
                m.groups.iter().map(|g| g.sequences.len()).sum::<usize>()
            );
            for g in &m.groups {
                if g.degree.0 > 2 {
                    let t: Vec<_> = g.sequences.iter().map(|&i| batch.sequences[i].tokens.0).collect();
                    println!("   d={} {:.1} n={} {:?}", g.degree, g.predicted_ms.0, g.sequences.len(), &t[..t.len().min(6)]);
                }
            }
        }
    }
}
