//! What sequence parallelism costs: bytes that reach a rank in one layer, by length and ranks, and time per token on one worker.
//!
//! ```text
//! cargo run --release -p braid-sequence --example sequence_parallel
//! ```
//!
//! Prints Markdown. Ranks are threads of this process; bytes are counted, forward and backward together, f32. Times are those
//! of the processor for one thread, the best of three passes, so that other work on the machine does not count.
#![allow(clippy::print_stdout)] // its output is the point

use std::{error::Error, sync::Arc, thread, time::Duration};

use braid_kernels::attention::{Documents, Gathered, Gla, LinearAttention, Mixer, Softmax, SoftmaxHeads, Tensor};
use braid_sequence::parallel::{Layout, Metered, ParallelError, SequenceGroup, Shard};
use braid_workload::exchange::{ScanMethod, local};
use rustix::time::{ClockId, clock_gettime};

const RANKS: [usize; 4] = [1, 2, 4, 8];
/// Bytes do not depend on how many heads there are but in proportion; one head lets long sequences run in seconds.
const HEADS: usize = 1;
const CHANNELS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let linear = LinearAttention::new(HEADS, CHANNELS, CHANNELS);
    let gated = Gla::new(HEADS, CHANNELS, CHANNELS);
    let lengths: Vec<usize> = (11..=18).map(|power| 1 << power).collect();

    println!("KiB that reach the busiest rank in one layer of {HEADS} × {CHANNELS} × {CHANNELS}, forward and backward:\n");
    println!("| tokens | method | {} |", RANKS.map(|ranks| format!("W = {ranks}")).join(" | "));
    println!("|---|---|{}", "---|".repeat(RANKS.len()));
    for &tokens in &lengths {
        for method in [ScanMethod::Gather, ScanMethod::LogStep] {
            let cells = RANKS.map(|ranks| states(&linear, tokens, ranks, method));
            println!("| {}K | states, {method:?} | {} |", tokens >> 10, row(cells)?);
        }
    }
    // Quadratic work: counted where it is short, and in proportion to the length.
    for &tokens in &lengths[..3] {
        println!("| {}K | softmax, keys and values | {} |", tokens >> 10, row(RANKS.map(|ranks| keys(tokens, ranks)))?);
    }

    println!("\nMicroseconds a token on one thread, {HEADS} × {CHANNELS} × {CHANNELS}:\n");
    println!("| tokens | linear, forward | linear, both ways | gated, forward | gated, both ways |\n|---|---|---|---|---|");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    for &tokens in &lengths {
        let ((linear, both), (gated, gated_both)) =
            pool.install(|| Ok::<_, ParallelError>((time(&linear, tokens)?, time(&gated, tokens)?)))?;
        println!("| {}K | {linear:.3} | {both:.3} | {gated:.3} | {gated_both:.3} |", tokens >> 10);
    }
    Ok(())
}

fn row(cells: [Result<u64, ParallelError>; 4]) -> Result<String, ParallelError> {
    let kib = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0);
    let cells: Vec<_> = cells.into_iter().map(|bytes| bytes.map(kib)).collect::<Result<_, _>>()?;
    Ok(cells.join(" | "))
}

/// Gates are negative, everything else anything small.
fn tensors(inputs: &[Tensor], tokens: usize) -> Vec<Vec<f32>> {
    let number = |i: usize| ((i * 7919) % 257) as f32 / 257.0 - 0.5;
    let tensor = |tensor: &Tensor| {
        let sign = if tensor.name == "g" { |x: f32| -x.abs() / 8.0 } else { |x| x };
        (0..tokens * tensor.width).map(|i| sign(number(i))).collect()
    };
    inputs.iter().map(tensor).collect()
}

/// Bytes that reach the busiest of the ranks while each of them runs `pass`.
fn busiest(ranks: usize, pass: impl Fn(&Metered) -> Result<(), ParallelError> + Sync) -> Result<u64, ParallelError> {
    let received: Result<Vec<u64>, ParallelError> = thread::scope(|scope| {
        let pass = &pass;
        let run = |exchange| {
            let metered = Metered::new(Arc::new(exchange));
            scope.spawn(move || pass(&metered).map(|()| metered.traffic().received()))
        };
        let running: Vec<_> = local::group(ranks).into_iter().map(run).collect();
        running.into_iter().map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    Ok(received?.into_iter().max().unwrap_or(0))
}

fn states(mixer: &dyn Mixer<f32>, tokens: usize, ranks: usize, method: ScanMethod) -> Result<u64, ParallelError> {
    let layout = Layout::balanced(Documents::one(tokens), ranks);
    busiest(ranks, |exchange| {
        let group = SequenceGroup::new(exchange, &layout)?.with_method(method);
        both_ways(&group, mixer, layout.own(group.rank()).len()).map(drop)
    })
}

fn keys(tokens: usize, ranks: usize) -> Result<u64, ParallelError> {
    let softmax = Softmax { heads: SoftmaxHeads::equal(HEADS, CHANNELS, CHANNELS) };
    let family: &dyn Gathered<f32> = &softmax;
    let layout = Layout::balanced(Documents::one(tokens), ranks);
    busiest(ranks, |exchange| {
        let group = SequenceGroup::new(exchange, &layout)?;
        let own = layout.own(group.rank()).len();
        let inputs = tensors(&family.inputs(), own);
        let shard = Shard { inputs: inputs.iter().map(Vec::as_slice).collect(), params: vec![] };
        let attended = group.forward_gathered(family, &shard)?;
        group.backward_gathered(family, &shard, &attended.kept, &vec![0.5; own * family.output_width()]).map(drop)
    })
}

/// The times of one pass forward and one backward.
fn both_ways(group: &SequenceGroup<'_>, mixer: &dyn Mixer<f32>, own: usize) -> Result<[Duration; 2], ParallelError> {
    let inputs = tensors(&mixer.inputs(), own);
    let shard = Shard { inputs: inputs.iter().map(Vec::as_slice).collect(), params: vec![] };
    let d_out = vec![0.5; own * mixer.output_width()];
    let started = processor();
    let mixed = group.forward(mixer, &shard)?;
    let forward = processor() - started;
    group.backward(mixer, &shard, &mixed.kept, &d_out)?;
    Ok([forward, processor() - started])
}

/// What this thread has used of the processor.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Microseconds a token: forward, and both ways.
fn time(mixer: &dyn Mixer<f32>, tokens: usize) -> Result<(f64, f64), ParallelError> {
    let layout = Layout::balanced(Documents::one(tokens), 1);
    let mut best = [Duration::MAX; 2];
    for exchange in local::group(1) {
        let group = SequenceGroup::new(&exchange, &layout)?;
        for _ in 0..3 {
            let times = both_ways(&group, mixer, tokens)?;
            best = [best[0].min(times[0]), best[1].min(times[1])];
        }
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / tokens as f64;
    Ok((each(best[0]), each(best[1])))
}
