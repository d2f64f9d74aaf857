//! A merge of any size stays inside the memory that it was given.

use crate::harness::{Family, Process, Scratch, Size, command, eventually};

/// Four checkpoints of 0.69 GB: ten times the limit.
const FAMILY: Size = Size { layers: 22, hidden: 1024, vocabulary: 32_000, experts: 3, shards: 4 };
const LIMIT: u64 = 256 << 20;
/// The program itself, its threads' stacks, the state of the job.
const BESIDE: u64 = 64 << 20;

#[test]
fn a_family_ten_times_larger_than_the_limit_merges_inside_it() {
    let scratch = Scratch::new();
    let family = Family::write(scratch.path(), FAMILY, 5);
    assert!(4 * family.bytes >= 10 * LIMIT, "the family has {} bytes", 4 * family.bytes);
    // One elementwise method; one that selects by magnitude and one that draws and rescales, in several passes.
    for method in ["linear", "ties", "dare_ties"] {
        scratch.write("recipe.yml", family.recipe(method, 0.2));
        let mut command = command(scratch.path());
        command.args(["merge", "recipe.yml", method, "--memory", "256MiB", "--threads", "2", "--quiet"]);
        let mut process = Process::spawn("merge", command, &scratch.join("merge.log"));
        let mut peak = 0;
        eventually("the end of the merge", || {
            // The mark only rises, so the last look before the end sees the peak but for its last moments.
            peak = peak.max(process.peak_rss().unwrap_or(0));
            (!process.is_running()).then_some(())
        });
        assert!(process.wait().success(), "{}", process.log());
        println!("{method}: peak of {} MiB", peak >> 20);
        assert!(peak > 0 && peak <= LIMIT + BESIDE, "{method}: peak of {} MiB", peak >> 20);
        std::fs::remove_dir_all(scratch.join(method)).unwrap();
    }
}
