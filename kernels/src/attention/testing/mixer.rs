//! The proof of a [`Mixer`]: forward, recurrent, any split, backward, differences, documents, threads.

use super::{
    super::{Documents, Gradients, Mixer, Real, Span, StateShape},
    Oracle, Proof,
    case::{Case, Random, Shapes, Size, case},
    check::{close, close_above, derivative, dot, gradient},
};

const TINY_CASES: u64 = 4;
const CASES: u64 = 10;

/// As [`prove`](super::prove), otherwise than by default.
pub(crate) fn prove_with(f32: &dyn Mixer<f32>, f64: &dyn Mixer<f64>, oracle: Oracle<'_>, proof: Proof) {
    let shapes = shapes(f64);
    for seed in 0..CASES {
        let case = case(&shapes, proof.draw, seed, Size::Chunks);
        let mut states = case.states.clone();
        let out = oracle(&case.whole(), &mut states);
        let small = case.cast::<f32>();
        forward_equals(f64, &case, &out, &states, 1e-12);
        forward_equals(f32, &small, &out, &states, proof.f32_tolerance);
        ranks_equal_one(f64, &case, 1e-11);
        ranks_equal_one(f32, &small, 30.0 * proof.f32_tolerance);
        precisions_agree(f32, &small, f64, &case, 30.0 * proof.f32_tolerance);
        directions(f64, &case, oracle, &proof);
        documents_stand_alone(f64, &case);
    }
    for seed in 0..TINY_CASES {
        elements(f64, &case(&shapes, proof.draw, 1000 + seed, Size::Tiny), oracle, &proof);
    }
    threads_do_not_matter(f32, &case(&shapes, proof.draw, 77, Size::Chunks).cast());
    nothing_changes_nothing(f64, &case(&shapes, proof.draw, 78, Size::Tiny));
}

fn shapes(mixer: &dyn Mixer<f64>) -> Shapes {
    Shapes {
        inputs: mixer.inputs(),
        params: mixer.params(),
        output_width: mixer.output_width(),
        halo: mixer.halo(),
        states: mixer.states(),
        adjoint_states: mixer.adjoint_states(),
    }
}

fn forward<T: Real>(mixer: &dyn Mixer<T>, span: &Span<'_, T>, states: &[T]) -> (Vec<T>, Vec<T>) {
    let mut out = vec![T::of(f64::NAN); span.len() * mixer.output_width()];
    let mut calls = 0;
    let fill = &mut |given: &mut [T]| {
        calls += 1;
        let empty: Vec<T> = mixer.states().iter().flat_map(StateShape::empty_state).collect();
        assert!(given == empty, "{}: the carried slice comes filled with the empty state", mixer.name());
        given.copy_from_slice(states);
    };
    let after = mixer.forward(span, fill, &mut out);
    assert!(calls <= 1, "{}: forward asked {calls} times for the state", mixer.name());
    (out, after)
}

fn backward<T: Real>(
    mixer: &dyn Mixer<T>,
    span: &Span<'_, T>,
    states: &[T],
    d_out: &[T],
    d_states: &[T],
) -> (Gradients<T>, Vec<T>) {
    let (mut gradients, mut calls) = (Gradients::zeros(span), 0);
    let fill = &mut |given: &mut [T]| {
        calls += 1;
        given.copy_from_slice(d_states);
    };
    let before = mixer.backward(span, states, d_out, fill, &mut gradients);
    assert!(calls <= 1, "{}: backward asked {calls} times for the state", mixer.name());
    (gradients, before)
}

/// Chunk by chunk and token by token, both are the oracle.
fn forward_equals<T: Real>(mixer: &dyn Mixer<T>, case: &Case<T>, out: &[f64], states: &[f64], tolerance: f64) {
    let what = |form: &str, of: &str| format!("{} seed {}: {of} of {form}", mixer.name(), case.seed);
    let (chunkwise, after) = forward(mixer, &case.whole(), &case.states);
    close(&chunkwise, out, tolerance, &|| what("forward", "output"));
    close(&after, states, tolerance, &|| what("forward", "states"));
    let (mut after, mut recurrent) = (case.states.clone(), vec![T::of(f64::NAN); out.len()]);
    mixer.recurrent(&case.whole(), &mut after, &mut recurrent);
    close(&recurrent, out, tolerance, &|| what("recurrent", "output"));
    close(&after, states, tolerance, &|| what("recurrent", "states"));
}

/// What comes to each rank when maps are composed from where a state starts, and what leaves each.
fn through_ranks<T: Real>(shapes: &[StateShape], maps: &[Vec<T>], start: &[T]) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
    let (mut incoming, mut outgoing) = (vec![vec![]; maps.len()], vec![vec![]; maps.len()]);
    let (mut map_at, mut state_at) = (0, 0);
    for shape in shapes {
        let start = &start[state_at..state_at + shape.state_len()];
        let mut composed = shape.identity::<T>();
        let mut order: Vec<usize> = (0..maps.len()).collect();
        if shape.direction == super::super::Direction::Reverse {
            order.reverse();
        }
        for rank in order {
            incoming[rank].extend(shape.apply(&composed, start));
            composed = shape.compose(&composed, &maps[rank][map_at..map_at + shape.map_len()]);
            outgoing[rank].extend(shape.apply(&composed, start));
        }
        map_at += shape.map_len();
        state_at += shape.state_len();
    }
    (incoming, outgoing)
}

/// Any split, each rank with no more than its rows and the states that the maps of the others give, is one rank.
fn ranks_equal_one<T: Real>(mixer: &dyn Mixer<T>, case: &Case<T>, tolerance: f64) {
    let ranks = case.ranks(&mut Random::new(case.seed ^ 0xabcd));
    let what = |of: &str, rank: usize| format!("{} seed {}: {of} of rank {rank} of {ranks:?}", mixer.name(), case.seed);
    let (shapes, adjoint_shapes) = (mixer.states(), mixer.adjoint_states());
    let map_len = |shapes: &[StateShape]| shapes.iter().map(StateShape::map_len).sum();

    let (whole_out, _) = forward(mixer, &case.whole(), &case.states);
    let maps: Vec<Vec<T>> = ranks
        .iter()
        .map(|own| {
            let mut map = vec![T::of(f64::NAN); map_len(&shapes)];
            mixer.summarize(&case.part(own.clone()), &mut map);
            map
        })
        .collect();
    let (before, after) = through_ranks(&shapes, &maps, &case.states);
    let mut out = vec![];
    for (rank, own) in ranks.iter().enumerate() {
        let (part, states) = forward(mixer, &case.part(own.clone()), &before[rank]);
        close_above(&states, &after[rank], 1.0, tolerance, &|| what("states", rank));
        out.extend(part);
    }
    close(&out, &whole_out, tolerance, &|| what("output", ranks.len()));

    let (whole, _) = backward(mixer, &case.whole(), &case.states, &case.d_out, &case.d_states);
    let maps: Vec<Vec<T>> = ranks
        .iter()
        .zip(&before)
        .map(|(own, states)| {
            let mut map = vec![T::of(f64::NAN); map_len(&adjoint_shapes)];
            mixer.adjoint(&case.part(own.clone()), states, case.d_out_of(own), &mut map);
            map
        })
        .collect();
    let (d_after, d_before) = through_ranks(&adjoint_shapes, &maps, &case.d_states);
    let mut sum = Gradients::zeros(&case.whole());
    for (rank, own) in ranks.iter().enumerate() {
        let span = case.part(own.clone());
        let (part, d_states) = backward(mixer, &span, &before[rank], case.d_out_of(own), &d_after[rank]);
        close_above(&d_states, &d_before[rank], 1.0, tolerance, &|| what("state gradient", rank));
        case.add_gradients(&mut sum, &span.rows, &part);
    }
    let all = |gradients: &Gradients<T>| [gradients.inputs.clone(), gradients.params.clone()].concat();
    for (tensor, (sum, whole)) in all(&sum).iter().zip(&all(&whole)).enumerate() {
        close_above(sum, whole, 1e-2, tolerance, &|| what(&format!("gradient {tensor}"), ranks.len()));
    }
}

/// Backward in f32 is backward in f64 to rounding.
fn precisions_agree(f32: &dyn Mixer<f32>, small: &Case<f32>, f64: &dyn Mixer<f64>, case: &Case<f64>, tolerance: f64) {
    let (narrow, d_narrow) = backward(f32, &small.whole(), &small.states, &small.d_out, &small.d_states);
    let (wide, d_wide) = backward(f64, &case.whole(), &case.states, &case.d_out, &case.d_states);
    let what = |of: &str| format!("{} seed {}: f32 gradient of {of}", f64.name(), case.seed);
    let names: Vec<&str> = f64.inputs().iter().chain(&f64.params()).map(|tensor| tensor.name).collect();
    let pairs = narrow.inputs.iter().chain(&narrow.params).zip(wide.inputs.iter().chain(&wide.params));
    for (name, (narrow, wide)) in names.iter().zip(pairs) {
        close_above(narrow, wide, 1e-2, tolerance, &|| what(name));
    }
    close_above(&d_narrow, &d_wide, 1e-2, tolerance, &|| what("states"));
}

/// The tensors of a case one after the other, each with what backward says of it and whether that is a true gradient.
fn with_gradients(mixer: &dyn Mixer<f64>, case: &Case<f64>, proof: &Proof) -> Vec<(String, usize, Vec<f64>)> {
    let (gradients, d_states) = backward(mixer, &case.whole(), &case.states, &case.d_out, &case.d_states);
    let names: Vec<_> = mixer.inputs().into_iter().chain(mixer.params()).map(|tensor| tensor.name).collect();
    let tensors = gradients.inputs.into_iter().chain(gradients.params);
    let mut all: Vec<_> = names
        .iter()
        .zip(tensors)
        .enumerate()
        .filter(|(_, (name, _))| !proof.straight_through.contains(name))
        .map(|(at, (name, gradient))| (name.to_string(), at, gradient))
        .collect();
    if proof.state_gradient {
        all.push(("states".into(), names.len(), d_states));
    }
    all
}

/// The scalar whose gradient backward computes, with one tensor of the case replaced.
fn loss(case: &Case<f64>, at: usize, replaced: &[f64], oracle: Oracle<'_>) -> f64 {
    let (mut span, mut states) = (case.whole(), case.states.clone());
    let inputs = span.inputs.len();
    if at < inputs {
        span.inputs[at] = replaced;
    } else if at < inputs + span.params.len() {
        span.params[at - inputs] = replaced;
    } else {
        states.copy_from_slice(replaced);
    }
    let out = oracle(&span, &mut states);
    // A state whose gradient is laid out otherwise is left out of the loss.
    dot(&out, &case.d_out) + if states.len() == case.d_states.len() { dot(&states, &case.d_states) } else { 0.0 }
}

fn tensor(case: &Case<f64>, at: usize) -> &[f64] {
    let all = case.inputs.iter().chain(&case.params).chain([&case.states]);
    all.map(Vec::as_slice).nth(at).expect("a tensor of the case")
}

/// A case whose loss does not ask for what cannot be compared.
fn comparable(mut case: Case<f64>, proof: &Proof) -> Case<f64> {
    if !proof.state_gradient {
        case.d_states.fill(0.0);
    }
    case
}

/// Backward is the gradient of the oracle, element by element.
fn elements(mixer: &dyn Mixer<f64>, case: &Case<f64>, oracle: Oracle<'_>, proof: &Proof) {
    let case = &comparable(case.cast(), proof);
    for (name, at, actual) in with_gradients(mixer, case, proof) {
        let expected = gradient(tensor(case, at), &mut |moved| loss(case, at, moved, oracle));
        let what = || format!("{} seed {}: gradient of {name} against differences", mixer.name(), case.seed);
        close_above(&actual, &expected, 1e-2, 1e-7, &what);
    }
}

/// The same over several chunks, in random directions.
fn directions(mixer: &dyn Mixer<f64>, case: &Case<f64>, oracle: Oracle<'_>, proof: &Proof) {
    let case = &comparable(case.cast(), proof);
    let mut random = Random::new(case.seed ^ 0x1234);
    for (name, at, actual) in with_gradients(mixer, case, proof) {
        let direction = random.normals(actual.len());
        let slope = derivative(tensor(case, at), &direction, &mut |moved| loss(case, at, moved, oracle));
        // Against the length of the gradient: a direction may happen to be across it.
        let length = dot(&actual, &actual).sqrt();
        let what = || format!("{} seed {}: slope along {name}", mixer.name(), case.seed);
        close_above(&[dot(&actual, &direction)], &[slope], length.max(1e-2), 1e-6, &what);
    }
}

/// Documents packed together are documents alone: nothing leaks.
fn documents_stand_alone(mixer: &dyn Mixer<f64>, case: &Case<f64>) {
    let (width, span) = (mixer.output_width(), case.whole());
    let (packed, _) = forward(mixer, &span, &case.states);
    let tensors = mixer.inputs();
    for segment in span.segments().filter(|segment| segment.fresh && segment.last) {
        let tokens = segment.tokens;
        let rows = span.row(tokens.start)..span.row(tokens.end);
        let documents = Documents::one(tokens.len());
        let inputs = span.inputs.iter().zip(&tensors);
        let alone = Span {
            documents: &documents,
            rows: 0..tokens.len(),
            own: 0..tokens.len(),
            inputs: inputs.map(|(data, tensor)| &data[rows.start * tensor.width..rows.end * tensor.width]).collect(),
            params: span.params.clone(),
        };
        let (out, _) = forward(mixer, &alone, &mixer.states().iter().flat_map(StateShape::empty_state).collect::<Vec<_>>());
        let place = (tokens.start - case.own.start) * width..(tokens.end - case.own.start) * width;
        let what = || format!("{} seed {}: document {tokens:?} alone", mixer.name(), case.seed);
        close(&out, &packed[place], 1e-12, &what);
    }
}

/// The same bits from one thread and from three.
fn threads_do_not_matter(mixer: &dyn Mixer<f32>, case: &Case<f32>) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| {
            let ahead = forward(mixer, &case.whole(), &case.states);
            (ahead, backward(mixer, &case.whole(), &case.states, &case.d_out, &case.d_states))
        })
    };
    assert!(on(1) == on(3), "{}: results depend on the number of threads", mixer.name());
}

/// A span without tokens leaves the state and its gradient as they are.
fn nothing_changes_nothing(mixer: &dyn Mixer<f64>, case: &Case<f64>) {
    let empty = case.part(case.own.start..case.own.start);
    let (out, after) = forward(mixer, &empty, &case.states);
    assert!(out.is_empty());
    close(&after, &case.states, 0.0, &|| format!("{}: states after no tokens", mixer.name()));
    let (_, before) = backward(mixer, &empty, &case.states, &[], &case.d_states);
    close(&before, &case.d_states, 0.0, &|| format!("{}: state gradient before no tokens", mixer.name()));
}
