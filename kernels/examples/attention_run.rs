//! Runs a family on tensors from standard input, so that other programs can be held against it.
//!
//! `attention_run FAMILY TOKENS HEADS KEY VALUE < inputs > outputs`: inputs are the family's tensors one after the other, parameters
//! after them, as little-endian f32, rows of tokens; outputs are the outputs and then the states after the last token.
//!
//! `attention_run … --time ROUNDS < inputs` prints instead the median seconds (of the wall clock) of forward and of backward, on as
//! many threads as `RAYON_NUM_THREADS` says. Backward computes again what it needs of forward.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

use std::{
    io::{Read, Write},
    process::ExitCode,
    time::Instant,
};

use braid_kernels::attention::{
    DeltaNet, Documents, GatedDeltaNet, GatedSlots, Gla, Gradients, Kda, Liger, LightNet, Lightning, LinearAttention, Mixer,
    ScalarGate, SlidingWindow, SoftmaxHeads, Span,
};

/// Slots of GSA.
const SLOTS: usize = 16;
/// Tokens of the sliding window.
const WINDOW: usize = 50;

const USAGE: &str = "usage: attention_run FAMILY TOKENS HEADS KEY VALUE [--time ROUNDS] < inputs";

fn family(name: &str, tokens: usize, heads: usize, key: usize, value: usize) -> Option<Box<dyn Mixer<f32>>> {
    Some(match name {
        "linear" => Box::new(LinearAttention::new(heads, key, value)),
        "linear-normalised" => Box::new(LinearAttention::normalised(heads, key, value)),
        "lightning" => Box::new(Lightning::new(heads, key, value)),
        "scalar" => Box::new(ScalarGate::new(heads, key, value)),
        "gla" => Box::new(Gla::new(heads, key, value)),
        "liger" => Box::new(Liger::new(heads, key, value)),
        "deltanet" => Box::new(DeltaNet::new(heads, key, value)),
        "gdn" => Box::new(GatedDeltaNet::new(heads, key, value)),
        "kda" => Box::new(Kda::new(heads, key, value)),
        "gsa" => {
            let scale = (key as f64).powf(-0.5);
            Box::new(GatedSlots { heads, slots: SLOTS, key_width: key, value_width: value, scale })
        }
        "lightnet" => Box::new(LightNet { heads, key_width: key, value_width: value }),
        "softmax" => Box::new(SlidingWindow { heads: SoftmaxHeads::equal(heads, key, value), window: tokens }),
        "window" => Box::new(SlidingWindow { heads: SoftmaxHeads::equal(heads, key, value), window: WINDOW }),
        _ => return None,
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("attention_run: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, numbers @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    let number = |at: usize| numbers.get(at).and_then(|number| number.parse::<usize>().ok()).ok_or(USAGE);
    let (tokens, heads, key, value) = (number(0)?, number(1)?, number(2)?, number(3)?);
    if [tokens, heads, key, value].contains(&0) {
        return Err("tokens, heads, key and value are at least 1".into());
    }
    let mixer = family(name, tokens, heads, key, value).ok_or_else(|| format!("no family is called {name}"))?;

    let mut bytes = vec![];
    std::io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
    let numbers_in: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    let lengths: Vec<usize> = mixer
        .inputs()
        .iter()
        .map(|tensor| tokens * tensor.width)
        .chain(mixer.params().iter().map(|tensor| tensor.width))
        .collect();
    let expected: usize = lengths.iter().sum();
    if numbers_in.len() != expected {
        return Err(format!("{name} of these shapes reads {expected} numbers, standard input has {}", numbers_in.len()));
    }
    let mut rest = &numbers_in[..];
    let mut tensors = lengths.iter().map(|&length| {
        let (tensor, after) = rest.split_at(length);
        rest = after;
        tensor
    });
    let documents = Documents::one(tokens);
    let inputs = tensors.by_ref().take(mixer.inputs().len()).collect();
    let span = Span { documents: &documents, rows: 0..tokens, own: 0..tokens, inputs, params: tensors.collect() };

    let mut out = vec![0.0; tokens * mixer.output_width()];
    if numbers.get(4).is_some_and(|option| option == "--time") {
        return time(mixer.as_ref(), &span, &mut out, number(5)?.max(1));
    }
    let states = mixer.forward(&span, &mut |_| {}, &mut out);
    let bytes: Vec<u8> = out.iter().chain(&states).flat_map(|number| number.to_le_bytes()).collect();
    std::io::stdout().write_all(&bytes).map_err(|error| format!("standard output: {error}"))
}

fn time(mixer: &dyn Mixer<f32>, span: &Span<'_, f32>, out: &mut [f32], rounds: usize) -> Result<(), String> {
    let forward = median(rounds, &mut || {
        mixer.forward(span, &mut |_| {}, out);
    });
    let states: Vec<f32> = mixer.states().iter().flat_map(|shape| shape.empty_state()).collect();
    let (d_out, mut gradients) = (vec![1.0; out.len()], Gradients::zeros(span));
    let backward = median(rounds, &mut || {
        mixer.backward(span, &states, &d_out, &mut |_| {}, &mut gradients);
    });
    println!("{forward} {backward}");
    Ok(())
}

fn median(rounds: usize, work: &mut dyn FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}
