//! What attention needs beside its inputs, outputs and gradients does not grow with the sequence, but for a few bytes a token.
//!
//! A program of its own: it counts every allocation.
#![allow(clippy::print_stdout)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use braid_kernels::attention::{
    DeltaNet, Documents, Gla, Gradients, LinearAttention, Memories, Mixer, MixtureOfMemories, ScalarGate, Span, StateShape,
};

/// The system's allocator, and how many bytes it has given out: now, and at most.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(data, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HEADS: usize = 2;
const WIDTH: usize = 16;

/// The most bytes at once that `work` takes beside those there were.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    work();
    MOST.load(Relaxed) - before
}

/// Of a pass forward and of one backward over a document of so many tokens.
fn peaks(mixer: &dyn Mixer<f32>, tokens: usize) -> [usize; 2] {
    let documents = Documents::one(tokens);
    let number = |name: &str, i: usize| {
        let x = ((i * 7919) % 257) as f32 / 257.0;
        if name == "g" { -x / 8.0 } else { x - 0.3 }
    };
    let tensor = |name: &str, len: usize| (0..len).map(|i| number(name, i)).collect::<Vec<f32>>();
    let inputs: Vec<_> = mixer.inputs().iter().map(|input| tensor(input.name, tokens * input.width)).collect();
    let span = Span {
        documents: &documents,
        rows: 0..tokens,
        own: 0..tokens,
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        params: vec![],
    };
    let states: Vec<f32> = mixer.states().iter().flat_map(StateShape::empty_state).collect();
    let (mut out, mut gradients) = (vec![0.0; tokens * mixer.output_width()], Gradients::zeros(&span));
    let forward = peak(|| drop(mixer.forward(&span, &mut |_| {}, &mut out)));
    let backward = peak(|| drop(mixer.backward(&span, &states, &out, &mut |_| {}, &mut gradients)));
    [forward, backward]
}

#[test]
fn room_beside_the_tensors_does_not_grow_with_the_sequence() {
    // One thread: what a pool allocates for its own purposes comes and goes.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let memories = Memories { routed: 3, chosen: 2, shared: true, one_projection: true };
    let families: [Box<dyn Mixer<f32>>; 6] = [
        Box::new(LinearAttention::new(HEADS, WIDTH, WIDTH)),
        Box::new(LinearAttention::normalised(HEADS, WIDTH, WIDTH)),
        Box::new(ScalarGate::new(HEADS, WIDTH, WIDTH)),
        Box::new(Gla::new(HEADS, WIDTH, WIDTH)),
        Box::new(DeltaNet::new(HEADS, WIDTH, WIDTH)),
        Box::new(MixtureOfMemories::new(HEADS, WIDTH, WIDTH, memories)),
    ];
    for mixer in families {
        let (short, long) = (8 << 10, 64 << 10);
        let [few, many] = pool.install(|| [peaks(&*mixer, short), peaks(&*mixer, long)]);
        for (pass, (few, many)) in ["forward", "backward"].into_iter().zip(few.into_iter().zip(many)) {
            let each = many.saturating_sub(few) as f64 / (long - short) as f64;
            println!("{} {pass}: {few} bytes for {short} tokens, {many} for {long}, {each:.1} more a token", mixer.name());
            // Where a head's rows of the outputs are, chunks, routes, and the states between stretches. A row of one head of one
            // tensor alone is 64.
            let most = if mixer.name().contains("memories") { 100.0 } else { 48.0 };
            assert!(each <= most, "{} {pass}: {each:.1} bytes more a token", mixer.name());
        }
    }
}
