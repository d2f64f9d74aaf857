//! The proof of a [`Gathered`] family: any split, backward, differences, documents, threads.

use super::{
    super::{Documents, Gathered, Gradients, Real, Span},
    Oracle, Proof,
    case::{Case, Random, Shapes, Size, whole_case},
    check::{close, close_above, derivative, dot, gradient},
};
use std::ops::Range;

const TINY_CASES: u64 = 4;
const CASES: u64 = 8;

/// Proves a [`Gathered`] family in both precisions against an oracle (whose states are empty).
pub(crate) fn prove_gathered(f32: &dyn Gathered<f32>, f64: &dyn Gathered<f64>, oracle: Oracle<'_>) {
    let proof = Proof::default();
    let shapes = Shapes {
        inputs: f64.inputs(),
        params: f64.params(),
        output_width: f64.output_width(),
        halo: f64.halo(),
        states: vec![],
        adjoint_states: vec![],
    };
    // There is no state to come in from before: the span is all there is.
    let whole = |seed, size| whole_case(&shapes, proof.draw, seed, size);
    for seed in 0..CASES {
        let case = whole(seed, Size::Chunks);
        let out = oracle(&case.whole(), &mut []);
        let small = case.cast::<f32>();
        ranks_equal(f64, &case, &out, 1e-12, 1e-11);
        ranks_equal(f32, &small, &out, proof.f32_tolerance, 30.0 * proof.f32_tolerance);
        directions(f64, &case, oracle, &proof);
        documents_stand_alone(f64, &case);
    }
    for seed in 0..TINY_CASES {
        elements(f64, &whole(1000 + seed, Size::Tiny), oracle, &proof);
    }
    threads_do_not_matter(f32, &whole(77, Size::Chunks).cast());
}

/// Outputs and gradients of ranks that gather each other's contributions.
fn run<T: Real>(family: &dyn Gathered<T>, case: &Case<T>, ranks: &[Range<usize>]) -> (Vec<T>, Gradients<T>) {
    let spans: Vec<_> = ranks.iter().map(|own| case.part(own.clone())).collect();
    let contributions: Vec<Vec<T>> = spans.iter().map(|span| family.contribute(span)).collect();
    for (span, contribution) in spans.iter().zip(&contributions) {
        assert_eq!(contribution.len(), family.contribution_len(span), "{}: length of a contribution", family.name());
    }
    let shared = contributions.concat();
    let (mut out, mut d_shared) = (vec![], vec![T::ZERO; shared.len()]);
    let mut sum = Gradients::zeros(&case.whole());
    for span in &spans {
        let mut part = vec![T::of(f64::NAN); span.len() * family.output_width()];
        family.forward(span, &shared, &mut part);
        out.extend(part);
        let mut gradients = Gradients::zeros(span);
        family.backward(span, &shared, case.d_out_of(&span.own), &mut d_shared, &mut gradients);
        case.add_gradients(&mut sum, &span.rows, &gradients);
    }
    let mut at = 0;
    for (span, contribution) in spans.iter().zip(&contributions) {
        let mut gradients = Gradients::zeros(span);
        family.contribute_backward(span, &d_shared[at..at + contribution.len()], &mut gradients);
        at += contribution.len();
        case.add_gradients(&mut sum, &span.rows, &gradients);
    }
    (out, sum)
}

fn tensors<T: Real>(gradients: &Gradients<T>) -> Vec<Vec<T>> {
    [gradients.inputs.clone(), gradients.params.clone()].concat()
}

/// One rank is the oracle, and so is any split; the gradients of any split are those of one rank.
fn ranks_equal<T: Real>(family: &dyn Gathered<T>, case: &Case<T>, expected: &[f64], forward: f64, backward: f64) {
    let ranks = case.ranks(&mut Random::new(case.seed ^ 0xabcd));
    let what = |of: &str| format!("{} seed {}: {of} of {ranks:?}", family.name(), case.seed);
    let (one, one_gradients) = run(family, case, std::slice::from_ref(&case.own));
    close(&one, expected, forward, &|| what("output of one rank instead"));
    let (out, gradients) = run(family, case, &ranks);
    close(&out, expected, forward, &|| what("output"));
    for (tensor, (split, one)) in tensors(&gradients).iter().zip(&tensors(&one_gradients)).enumerate() {
        close_above(split, one, 1e-2, backward, &|| what(&format!("gradient {tensor}")));
    }
}

/// The tensors that have true gradients: their names, their places, and what backward says.
fn with_gradients(family: &dyn Gathered<f64>, case: &Case<f64>, proof: &Proof) -> Vec<(&'static str, usize, Vec<f64>)> {
    let (_, gradients) = run(family, case, std::slice::from_ref(&case.own));
    let names = family.inputs().into_iter().chain(family.params()).map(|tensor| tensor.name);
    let all = names.zip(tensors(&gradients)).enumerate().map(|(at, (name, gradient))| (name, at, gradient));
    all.filter(|(name, _, _)| !proof.straight_through.contains(name)).collect()
}

fn loss(case: &Case<f64>, at: usize, replaced: &[f64], oracle: Oracle<'_>) -> f64 {
    let mut span = case.whole();
    let inputs = span.inputs.len();
    *if at < inputs { &mut span.inputs[at] } else { &mut span.params[at - inputs] } = replaced;
    dot(&oracle(&span, &mut []), &case.d_out)
}

fn tensor(case: &Case<f64>, at: usize) -> &[f64] {
    case.inputs.iter().chain(&case.params).map(Vec::as_slice).nth(at).expect("a tensor of the case")
}

fn elements(family: &dyn Gathered<f64>, case: &Case<f64>, oracle: Oracle<'_>, proof: &Proof) {
    for (name, at, actual) in with_gradients(family, case, proof) {
        let expected = gradient(tensor(case, at), &mut |moved| loss(case, at, moved, oracle));
        let what = || format!("{} seed {}: gradient of {name} against differences", family.name(), case.seed);
        close_above(&actual, &expected, 1e-2, 1e-7, &what);
    }
}

fn directions(family: &dyn Gathered<f64>, case: &Case<f64>, oracle: Oracle<'_>, proof: &Proof) {
    let mut random = Random::new(case.seed ^ 0x1234);
    for (name, at, actual) in with_gradients(family, case, proof) {
        let direction = random.normals(actual.len());
        let slope = derivative(tensor(case, at), &direction, &mut |moved| loss(case, at, moved, oracle));
        let length = dot(&actual, &actual).sqrt();
        let what = || format!("{} seed {}: slope along {name}", family.name(), case.seed);
        close_above(&[dot(&actual, &direction)], &[slope], length.max(1e-2), 1e-6, &what);
    }
}

fn documents_stand_alone(family: &dyn Gathered<f64>, case: &Case<f64>) {
    let (width, span, inputs) = (family.output_width(), case.whole(), family.inputs());
    let (packed, _) = run(family, case, std::slice::from_ref(&case.own));
    for segment in span.segments().filter(|segment| segment.fresh && segment.last) {
        let tokens = segment.tokens;
        let rows = span.row(tokens.start)..span.row(tokens.end);
        let documents = Documents::one(tokens.len());
        let cut = |(data, width): (&'_ &[f64], usize)| data[rows.start * width..rows.end * width].to_vec();
        let cut: Vec<Vec<f64>> = span.inputs.iter().zip(inputs.iter().map(|tensor| tensor.width)).map(cut).collect();
        let alone = Span {
            documents: &documents,
            rows: 0..tokens.len(),
            own: 0..tokens.len(),
            inputs: cut.iter().map(Vec::as_slice).collect(),
            params: span.params.clone(),
        };
        let mut out = vec![f64::NAN; tokens.len() * width];
        family.forward(&alone, &family.contribute(&alone), &mut out);
        let place = (tokens.start - case.own.start) * width..(tokens.end - case.own.start) * width;
        let what = || format!("{} seed {}: document {tokens:?} alone", family.name(), case.seed);
        close(&out, &packed[place], 1e-12, &what);
    }
}

fn threads_do_not_matter(family: &dyn Gathered<f32>, case: &Case<f32>) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| run(family, case, std::slice::from_ref(&case.own)))
    };
    assert!(on(1) == on(3), "{}: results depend on the number of threads", family.name());
}
