//! The delta rule against the recurrence, written out in f64.

use super::{
    super::{
        Span,
        testing::{Proof, draw, prove, prove_with},
    },
    *,
};

/// One token of one head.
struct Token {
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    beta: f64,
    g: Vec<f64>,
}

/// Decays a head's state, corrects it by one token, and adds what it answers to `out`.
fn step(Token { q, k, v, beta, g }: &Token, state: &mut [f64], out: &mut [f64]) {
    let value = v.len();
    for j in 0..value {
        let mut read = 0.0;
        for i in 0..k.len() {
            state[i * value + j] *= g[i].exp();
            read += state[i * value + j] * k[i];
        }
        for i in 0..k.len() {
            state[i * value + j] += k[i] * beta * (v[j] - read);
            out[j] += state[i * value + j] * q[i];
        }
    }
}

/// The columns of a head in a row of an input.
fn row(span: &Span<'_, f64>, input: usize, row: usize, head: usize, width: usize) -> Vec<f64> {
    let data = span.inputs[input];
    let stride = data.len() / span.rows.len();
    data[row * stride + head * width..][..width].to_vec()
}

/// Of length 1 (as far as the small number under the root allows), times a scale.
fn unit(x: Vec<f64>, scale: f64) -> Vec<f64> {
    let length = (x.iter().map(|x| x * x).sum::<f64>() + 1e-6).sqrt();
    x.into_iter().map(|x| x / length * scale).collect()
}

const SHAPES: [(usize, usize, usize); 2] = [(2, 5, 3), (1, 12, 8)];

/// `gates`: how many gate inputs a head has, for a key width.
fn recurrence(span: &Span<'_, f64>, (heads, key, value): (usize, usize, usize), gates: usize, states: &mut [f64]) -> Vec<f64> {
    let mut out = vec![0.0; span.len() * heads * value];
    for segment in span.segments() {
        if segment.fresh {
            states.fill(0.0);
        }
        for t in segment.tokens {
            for head in 0..heads {
                let r = span.row(t);
                let token = Token {
                    q: unit(row(span, 0, r, head, key), (key as f64).powf(-0.5)),
                    k: unit(row(span, 1, r, head, key), 1.0),
                    v: row(span, 2, r, head, value),
                    beta: row(span, 3, r, head, 1)[0],
                    g: if gates == 0 { vec![0.0; key] } else { row(span, 4, r, head, gates).repeat(key / gates) },
                };
                let out = &mut out[((t - span.own.start) * heads + head) * value..][..value];
                step(&token, &mut states[head * key * value..(head + 1) * key * value], out);
            }
        }
    }
    out
}

#[test]
fn deltanet_is_its_recurrence() {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = DeltaNet::new(heads, key, value);
        prove(&mixer, &mixer, &|span, states| recurrence(span, shape, 0, states));
    }
}

#[test]
fn deltanet_without_norm_takes_keys_as_they_are() {
    let (heads, key, value) = (2, 4, 3);
    let mixer = DeltaNet::new(heads, key, value).without_norm().with_scale(2.0);
    let short = |name: &str, x: f64| if name == "k" { x / 3.0 } else { draw(name, x) };
    let oracle = |span: &Span<'_, f64>, states: &mut [f64]| {
        let mut out = vec![0.0; span.len() * heads * value];
        for segment in span.segments() {
            if segment.fresh {
                states.fill(0.0);
            }
            for (t, head) in segment.tokens.flat_map(|t| (0..heads).map(move |head| (t, head))) {
                let r = span.row(t);
                let token = Token {
                    q: row(span, 0, r, head, key).into_iter().map(|q| 2.0 * q).collect(),
                    k: row(span, 1, r, head, key),
                    v: row(span, 2, r, head, value),
                    beta: row(span, 3, r, head, 1)[0],
                    g: vec![0.0; key],
                };
                let out = &mut out[((t - span.own.start) * heads + head) * value..][..value];
                step(&token, &mut states[head * key * value..(head + 1) * key * value], out);
            }
        }
        out
    };
    prove_with(&mixer, &mixer, &oracle, Proof { draw: short, ..Proof::default() });
}

#[test]
fn gated_deltanet_is_its_recurrence() {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = GatedDeltaNet::new(heads, key, value);
        prove(&mixer, &mixer, &|span, states| recurrence(span, shape, 1, states));
    }
}

#[test]
fn kda_is_its_recurrence() {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = Kda::new(heads, key, value);
        prove(&mixer, &mixer, &|span, states| recurrence(span, shape, key, states));
    }
}

#[test]
fn strong_gates_are_exact() {
    let shape @ (heads, key, value) = SHAPES[0];
    let strong = |name: &str, x: f64| if name == "g" { -30.0 * x * x } else { draw(name, x) };
    let proof = Proof { draw: strong, ..Proof::default() };
    let (scalar, vector) = (GatedDeltaNet::new(heads, key, value), Kda::new(heads, key, value));
    prove_with(&scalar, &scalar, &|span, states| recurrence(span, shape, 1, states), proof);
    prove_with(&vector, &vector, &|span, states| recurrence(span, shape, key, states), proof);
}

/// For each token the memories with the largest probabilities, each a recurrence of its own.
fn mixture(span: &Span<'_, f64>, (heads, key, value): (usize, usize, usize), memories: Memories, states: &mut [f64]) -> Vec<f64> {
    let mut out = vec![0.0; span.len() * heads * value];
    for segment in span.segments() {
        if segment.fresh {
            states.fill(0.0);
        }
        for t in segment.tokens {
            let r = span.row(t);
            let p: Vec<f64> = row(span, 1, r, 0, memories.routed).iter().map(|x| x.exp()).collect();
            let mut order: Vec<usize> = (0..memories.routed).collect();
            order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
            let total: f64 = order[..memories.chosen].iter().map(|&m| p[m]).sum();
            let mut goes: Vec<_> = order[..memories.chosen].iter().map(|&m| (m, p[m] / total)).collect();
            goes.extend(memories.shared.then_some((memories.routed, 1.0)));
            for (memory, weight) in goes {
                for head in 0..heads {
                    let copy = head + if memories.one_projection { 0 } else { memory * heads };
                    let token = Token {
                        q: unit(row(span, 0, r, head, key), weight * (key as f64).powf(-0.5)),
                        k: unit(row(span, 2, r, copy, key), 1.0),
                        v: row(span, 3, r, copy, value),
                        beta: row(span, 4, r, copy, 1)[0],
                        g: row(span, 5, r, copy, 1).repeat(key),
                    };
                    let out = &mut out[((t - span.own.start) * heads + head) * value..][..value];
                    step(&token, &mut states[(memory * heads + head) * key * value..][..key * value], out);
                }
            }
        }
    }
    out
}

#[test]
fn a_mixture_of_memories_is_a_recurrence_for_each_memory() {
    let shape @ (heads, key, value) = (2, 4, 3);
    for (routed, chosen, shared, one_projection) in [(4, 2, true, false), (5, 1, false, true)] {
        let memories = Memories { routed, chosen, shared, one_projection };
        let mixer = MixtureOfMemories::new(heads, key, value, memories);
        prove(&mixer, &mixer, &|span, states| mixture(span, shape, memories, states));
    }
}

#[test]
fn a_memory_that_no_token_goes_to_keeps_its_state() {
    let shape @ (heads, key, value) = (1, 4, 3);
    let memories = Memories { routed: 3, chosen: 1, shared: false, one_projection: true };
    let mixer = MixtureOfMemories::new(heads, key, value, memories);
    // All logits alike: every token goes to the first memory, and the others are empty on every rank.
    let first = |name: &str, x: f64| if name == "logits" { 0.0 } else { draw(name, x) };
    let proof = Proof { draw: first, straight_through: &["logits"], ..Proof::default() };
    prove_with(&mixer, &mixer, &|span, states| mixture(span, shape, memories, states), proof);
}
