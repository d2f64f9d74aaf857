//! Random packed sequences with their tensors, and random splits of them. Whatever fails is shrunk, and named with its seed.

use std::ops::Range;

use braid_kernels::attention::{Documents, Gradients, Real, Span, Tensor};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{super::Layout, families::Draw};

/// The shape of a case: all that a failure names.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Lengths of documents.
    pub(super) documents: Vec<usize>,
    /// Where ranks begin, but for the first: in thousandths of the sequence.
    cuts: Vec<usize>,
    /// Of the numbers in the tensors.
    pub(super) seed: u64,
}

impl Shape {
    pub(super) fn new(documents: &[usize], cuts: &[usize], seed: u64) -> Self {
        Self { documents: documents.to_vec(), cuts: cuts.to_vec(), seed }
    }

    pub(super) fn layout(&self) -> Layout {
        let documents = Documents::of_lengths(self.documents.iter().copied());
        let tokens = documents.tokens();
        let mut ends: Vec<usize> = self.cuts.iter().map(|cut| cut * tokens / 1000).chain([tokens]).collect();
        ends.sort_unstable();
        let starts = [0].into_iter().chain(ends.iter().copied());
        let lengths: Vec<usize> = starts.zip(&ends).map(|(start, end)| end - start).collect();
        Layout::of_lengths(documents, &lengths).expect("ends are those of a split")
    }
}

/// Documents of one token and of several chunks, cut into one to eight ranks; many ranks are empty or hold next to nothing.
fn shapes() -> impl Strategy<Value = Shape> {
    let length = prop_oneof![1usize..4, 1usize..40, 60usize..140];
    let anywhere = prop::collection::vec(0usize..=1000, 0..8);
    let crowded = (prop::collection::vec(0usize..=30, 0..8), 0usize..970);
    let cuts = prop_oneof![
        3 => anywhere,
        1 => crowded.prop_map(|(cuts, from)| cuts.into_iter().map(|cut| cut + from).collect()),
    ];
    (prop::collection::vec(length, 1..5), cuts, any::<u64>()).prop_map(|(documents, cuts, seed)| Shape { documents, cuts, seed })
}

/// Runs a test on so many shapes, always the same ones.
pub(super) fn for_shapes(cases: u32, test: impl Fn(&Shape)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&shapes(), |shape| {
        test(&shape);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// A generator (splitmix64): the same numbers from the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The tensors of a whole packed sequence.
pub(super) struct Case<T> {
    pub(super) inputs: Vec<Vec<T>>,
    pub(super) params: Vec<Vec<T>>,
    pub(super) d_out: Vec<T>,
    pub(super) widths: Vec<usize>,
    pub(super) output_width: usize,
}

impl<T: Real> Case<T> {
    /// Both precisions get the same numbers: those that f32 can hold.
    pub(super) fn new(shape: &Shape, draw: Draw, inputs: &[Tensor], params: &[Tensor], output_width: usize) -> Self {
        let (tokens, mut random) = (shape.documents.iter().sum::<usize>(), Random(shape.seed));
        let mut drawn = |name: &str, len: usize| -> Vec<T> {
            (0..len).map(|_| T::of(f64::from(draw(name, random.normal()) as f32))).collect()
        };
        Self {
            inputs: inputs.iter().map(|tensor| drawn(tensor.name, tokens * tensor.width)).collect(),
            params: params.iter().map(|tensor| drawn(tensor.name, tensor.width)).collect(),
            d_out: drawn("d_out", tokens * output_width),
            widths: inputs.iter().map(|tensor| tensor.width).collect(),
            output_width,
        }
    }

    /// Some rows of each input.
    pub(super) fn rows(&self, tokens: &Range<usize>) -> Vec<&[T]> {
        self.inputs.iter().zip(&self.widths).map(|(input, width)| &input[tokens.start * width..tokens.end * width]).collect()
    }

    pub(super) fn params(&self) -> Vec<&[T]> {
        self.params.iter().map(Vec::as_slice).collect()
    }

    pub(super) fn d_out_of(&self, tokens: &Range<usize>) -> &[T] {
        &self.d_out[tokens.start * self.output_width..tokens.end * self.output_width]
    }

    /// The whole sequence, as one rank sees it.
    pub(super) fn whole<'a>(&'a self, documents: &'a Documents) -> Span<'a, T> {
        let all = 0..documents.tokens();
        Span { documents, rows: all.clone(), own: all.clone(), inputs: self.rows(&all), params: self.params() }
    }
}

/// The gradients of ranks, in rank order, as those of the whole.
pub(super) fn joined<T: Real>(parts: impl IntoIterator<Item = Gradients<T>>) -> Gradients<T> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().expect("at least one rank");
    for part in parts {
        whole.inputs.iter_mut().zip(part.inputs).for_each(|(whole, part)| whole.extend(part));
        for (whole, part) in whole.params.iter_mut().zip(&part.params) {
            whole.iter_mut().zip(part).for_each(|(whole, &part)| *whole += part);
        }
    }
    whole
}

/// Fails unless all elements lie as close as `tolerance` times the largest of them.
pub(super) fn close<T: Real>(actual: &[T], expected: &[T], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let largest = expected.iter().map(|x| x.to_f64().abs()).filter(|x| x.is_finite()).fold(1e-2, f64::max);
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let (actual, expected) = (actual.to_f64(), expected.to_f64());
        let near = (actual - expected).abs() <= tolerance * largest;
        assert!(near || actual == expected, "{what}: element {i} is {actual} instead of {expected}, largest {largest}");
    }
}
