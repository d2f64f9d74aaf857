//! Prints how fast attention runs on one core, beside what its matrix products alone reach in the same run.
//!
//! `cargo run --release -p braid-kernels --example attention_speed [NAME…]`: a table of forward and backward; with names, only the
//! families whose name has one of them. With `--long`, the time per token from 2K to 1M tokens instead, forward and backward.
//!
//! Operations are counted by the products of the chunkwise form, unmasked, whatever the code does: for chunks of C tokens, forward
//! `2 C (dk + dv) + 4 dk dv` a token and head; the delta rule adds `2 C dk` for K Kᵀ, `C² / 3` for the inverse, `2 C (dk + dv)` for
//! W and U and `2 dk dv` for W S. Backward, the products are counted likewise. The ceiling is the rate of the four products of a
//! gated sum's chunk with nothing between them, from cache. Times are of the thread's processor clock, medians of several rounds.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use braid_kernels::attention::{
    DeltaNet, Documents, GatedDeltaNet, Gla, Gradients, Kda, Liger, Lightning, LinearAttention, Matrix, MatrixMut, Memories,
    Mixer, MixtureOfMemories, ScalarGate, Span, Update, product,
};
use rustix::time::{ClockId, clock_gettime};

const CHUNK: usize = 64;
const TOKENS: usize = 4096;
const HEADS: usize = 4;
const WIDTH: usize = 128;
const ROUNDS: usize = 9;
/// Where a round takes seconds, so many are enough.
const LONG_ROUNDS: usize = 3;

/// Operations a token and head, forward and backward.
type Count = (f64, f64);

/// A family, how its gates are drawn, and its operations.
type Case = (String, Box<dyn Mixer<f32>>, f32, Count);

fn gated_sum(c: f64, d: f64) -> Count {
    (4.0 * c * d + 4.0 * d * d, 10.0 * c * d + 10.0 * d * d)
}

fn delta_rule(c: f64, d: f64) -> Count {
    let forward = gated_sum(c, d).0 + 6.0 * c * d + c * c / 3.0 + 2.0 * d * d;
    (forward, 22.0 * c * d + c * c / 3.0 + 16.0 * d * d)
}

fn cases(heads: usize, d: usize) -> Vec<Case> {
    let (gated, delta) = (gated_sum(CHUNK as f64, d as f64), delta_rule(CHUNK as f64, d as f64));
    let memories = Memories { routed: 4, chosen: 2, shared: true, one_projection: true };
    let mom = (3.0 * delta.0, 3.0 * delta.1);
    let case = |name: &str, mixer: Box<dyn Mixer<f32>>, gates, count| (name.to_string(), mixer, gates, count);
    vec![
        case("linear attention", Box::new(LinearAttention::new(heads, d, d)), 0.0, gated),
        case("linear attention, normalised", Box::new(LinearAttention::normalised(heads, d, d)), 0.0, gated),
        case("Lightning", Box::new(Lightning::new(heads, d, d)), 0.0, gated),
        case("scalar gate", Box::new(ScalarGate::new(heads, d, d)), 1.0 / 16.0, gated),
        case("GLA, gates log σ(x) / 16", Box::new(Gla::new(heads, d, d)), 1.0 / 16.0, gated),
        case("GLA, gates log σ(x)", Box::new(Gla::new(heads, d, d)), 1.0, gated),
        case("Liger", Box::new(Liger::new(heads, d, d)), 0.0, gated),
        case("DeltaNet", Box::new(DeltaNet::new(heads, d, d)), 0.0, delta),
        case("Gated DeltaNet", Box::new(GatedDeltaNet::new(heads, d, d)), 1.0 / 16.0, delta),
        case("KDA, gates log σ(x) / 16", Box::new(Kda::new(heads, d, d)), 1.0 / 16.0, delta),
        case("MoM, 2 of 4 and shared", Box::new(MixtureOfMemories::new(heads, d, d, memories)), 1.0 / 16.0, mom),
    ]
}

/// Inputs and parameters of a family for so many tokens.
struct Data {
    documents: Documents,
    inputs: Vec<Vec<f32>>,
    params: Vec<Vec<f32>>,
}

impl Data {
    fn of(mixer: &dyn Mixer<f32>, tokens: usize, gates: f32) -> Self {
        let mut random = Random(tokens as u64);
        let mut draw = |name: &str, len: usize| -> Vec<f32> {
            let normal = (0..len).map(|_| random.normal());
            match name {
                "g" => normal.map(|x| -(-x).exp().ln_1p() * gates).collect(),
                "beta" => normal.map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
                "slopes" => Lightning::alibi_slopes(len).into_iter().map(|slope| slope as f32).collect(),
                // Positive, for the normaliser; no other family's speed depends on it.
                "q" | "k" => normal.map(|x| x.abs() + 0.1).collect(),
                _ => normal.collect(),
            }
        };
        let inputs = mixer.inputs().iter().map(|tensor| draw(tensor.name, tokens * tensor.width)).collect();
        let params = mixer.params().iter().map(|tensor| draw(tensor.name, tensor.width)).collect();
        Self { documents: Documents::one(tokens), inputs, params }
    }

    fn span(&self) -> Span<'_, f32> {
        let tokens = self.documents.tokens();
        Span {
            documents: &self.documents,
            rows: 0..tokens,
            own: 0..tokens,
            inputs: self.inputs.iter().map(Vec::as_slice).collect(),
            params: self.params.iter().map(Vec::as_slice).collect(),
        }
    }
}

struct Random(u64);

impl Random {
    /// Nearly normal: a sum of uniform numbers.
    fn normal(&mut self) -> f32 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        (0..4).map(|_| uniform()).sum::<f32>() * 1.7
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let run = || if wanted.iter().any(|name| name == "--long") { long(&wanted) } else { table(&wanted) };
    match pool {
        Ok(pool) => pool.install(run),
        Err(error) => println!("no thread to measure on: {error}"),
    }
}

fn table(wanted: &[String]) {
    let ceiling = ceiling();
    println!("One core, f32, {TOKENS} tokens, {HEADS} heads of {WIDTH} key and value channels, chunks of {CHUNK}.");
    println!("Ceiling: {:.1} GFLOP/s in products of a chunk's shapes; {:.1} GB/s in a triad.\n", ceiling / 1e9, triad() / 1e9);
    println!("| family | forward ms | GFLOP/s | of ceiling | backward ms | GFLOP/s | of ceiling |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (name, mixer, gates, (forward, backward)) in cases(HEADS, WIDTH) {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let data = Data::of(mixer.as_ref(), TOKENS, gates);
        let (ahead, back) = (time_forward(mixer.as_ref(), &data), time_backward(mixer.as_ref(), &data));
        let rate = |count: f64, seconds: f64| count * (TOKENS * HEADS) as f64 / seconds;
        let (f, b) = (rate(forward, ahead), rate(backward, back));
        println!(
            "| {name} | {:.1} | {:.1} | {:.0} % | {:.1} | {:.1} | {:.0} % |",
            ahead * 1e3,
            f / 1e9,
            100.0 * f / ceiling,
            back * 1e3,
            b / 1e9,
            100.0 * b / ceiling
        );
    }
}

/// Time per token, as sequences grow.
fn long(wanted: &[String]) {
    let lengths = [2 << 10, 16 << 10, 128 << 10, 1 << 20];
    println!("One core, f32, one head of 64 key and value channels: nanoseconds a token.\n");
    println!("| family | pass | 2K | 16K | 128K | 1M | 1M to 2K |\n|---|---|---:|---:|---:|---:|---:|");
    for (name, mixer, gates, _) in cases(1, 64) {
        if wanted.len() > 1 && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let of = |&tokens: &usize| {
            let data = Data::of(mixer.as_ref(), tokens, gates);
            [time_forward(mixer.as_ref(), &data), time_backward(mixer.as_ref(), &data)]
                .map(|seconds| seconds / tokens as f64 * 1e9)
        };
        let times: Vec<[f64; 2]> = lengths.iter().map(of).collect();
        for (pass, called) in ["forward", "backward"].into_iter().enumerate() {
            let cells: Vec<String> = times.iter().map(|times| format!("{:.0}", times[pass])).collect();
            println!("| {name} | {called} | {} | {:.2} |", cells.join(" | "), times[times.len() - 1][pass] / times[0][pass]);
        }
    }
}

fn time_forward(mixer: &dyn Mixer<f32>, data: &Data) -> f64 {
    let span = data.span();
    let mut out = vec![0.0; span.len() * mixer.output_width()];
    // Short runs are repeated until the clock has something to measure.
    let repeat = (4096 / span.len()).max(1);
    let seconds = median(&mut || {
        for _ in 0..repeat {
            mixer.forward(&span, &mut |_| {}, &mut out);
        }
    });
    seconds / repeat as f64
}

fn time_backward(mixer: &dyn Mixer<f32>, data: &Data) -> f64 {
    let span = data.span();
    let d_out = vec![0.5; span.len() * mixer.output_width()];
    let states: Vec<f32> = mixer.states().iter().flat_map(|shape| shape.empty_state()).collect();
    let mut gradients = Gradients::zeros(&span);
    let repeat = (4096 / span.len()).max(1);
    let seconds = median(&mut || {
        for _ in 0..repeat {
            mixer.backward(&span, &states, &d_out, &mut |_| {}, &mut gradients);
        }
    });
    seconds / repeat as f64
}

fn median(work: &mut dyn FnMut()) -> f64 {
    let mut timed = || {
        let start = cpu_seconds();
        work();
        cpu_seconds() - start
    };
    let rounds = if timed() > 0.5 { LONG_ROUNDS } else { ROUNDS };
    let mut times: Vec<f64> = (0..rounds).map(|_| timed()).collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

/// Operations a second of the four products of a chunk.
fn ceiling() -> f64 {
    const TIMES: usize = 500;
    let rows = vec![0.5f32; CHUNK * WIDTH];
    let (mut pairs, mut out, mut state) = (vec![0.5; CHUNK * CHUNK], rows.clone(), vec![0.5; WIDTH * WIDTH]);
    let seconds = median(&mut || {
        for _ in 0..TIMES {
            let x = Matrix::dense(&rows, CHUNK, WIDTH);
            product(Update::Set, MatrixMut::dense(&mut pairs, CHUNK, CHUNK), 1.0, x, x.t());
            product(Update::Set, MatrixMut::dense(&mut out, CHUNK, WIDTH), 1.0, Matrix::dense(&pairs, CHUNK, CHUNK), x);
            product(Update::Add, MatrixMut::dense(&mut out, CHUNK, WIDTH), 1.0, x, Matrix::dense(&state, WIDTH, WIDTH));
            product(Update::Set, MatrixMut::dense(&mut state, WIDTH, WIDTH), 1.0, x.t(), x);
        }
    });
    gated_sum(CHUNK as f64, WIDTH as f64).0 * (CHUNK * TIMES) as f64 / seconds
}

/// Bytes a second of `a = b + s c`, from memory.
fn triad() -> f64 {
    const LEN: usize = 1 << 25;
    let (mut a, b, c) = (vec![0.0f32; LEN], vec![1.0f32; LEN], vec![2.0f32; LEN]);
    let seconds = median(&mut || a.iter_mut().zip(b.iter().zip(&c)).for_each(|(a, (b, c))| *a = b + 3.0 * c));
    (12 * LEN) as f64 / seconds
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
