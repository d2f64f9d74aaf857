//! Gated sums against the recurrence, written out in f64.

use super::{
    super::{
        Mixer, Span,
        testing::{Proof, draw, prove, prove_with},
    },
    *,
};

/// One token of one head: key, value, query and log gates (as many as keys).
struct Token {
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    g: Vec<f64>,
}

/// `S_t = Diag(e^g) S + k vᵀ`, `o = Sᵀ q`, for each head; `token` says what a head reads of a row.
fn recurrence(
    span: &Span<'_, f64>,
    (heads, key, value): (usize, usize, usize),
    states: &mut [f64],
    token: &dyn Fn(usize, usize) -> Token,
) -> Vec<f64> {
    let mut out = vec![0.0; span.len() * heads * value];
    for segment in span.segments() {
        if segment.fresh {
            states.fill(0.0);
        }
        for t in segment.tokens {
            for head in 0..heads {
                let Token { q, k, v, g } = token(span.row(t), head);
                let state = &mut states[head * key * value..(head + 1) * key * value];
                for i in 0..key {
                    for j in 0..value {
                        let s = &mut state[i * value + j];
                        *s = g[i].exp() * *s + k[i] * v[j];
                        out[((t - span.own.start) * heads + head) * value + j] += *s * q[i];
                    }
                }
            }
        }
    }
    out
}

/// The columns of a head in a row of an input.
fn row(span: &Span<'_, f64>, input: usize, row: usize, head: usize, width: usize) -> Vec<f64> {
    let data = span.inputs[input];
    let stride = data.len() / span.rows.len();
    data[row * stride + head * width..][..width].to_vec()
}

fn scaled(x: Vec<f64>, scale: f64) -> Vec<f64> {
    x.into_iter().map(|x| x * scale).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

const SHAPES: [(usize, usize, usize); 2] = [(2, 5, 3), (1, 16, 8)];

#[test]
fn linear_attention_is_its_recurrence() {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = LinearAttention::new(heads, key, value);
        prove(&mixer, &mixer, &|span, states| {
            recurrence(span, shape, states, &|r, h| Token {
                q: scaled(row(span, 0, r, h, key), (key as f64).powf(-0.5)),
                k: row(span, 1, r, h, key),
                v: row(span, 2, r, h, value),
                g: vec![0.0; key],
            })
        });
    }
}

#[test]
fn a_normaliser_makes_weights_sum_to_one() {
    let (heads, key, value) = (2, 4, 3);
    let mixer = LinearAttention::normalised(heads, key, value);
    let positive = |name: &str, x: f64| if name == "v" { x } else { 0.1 + x.abs() };
    let proof = Proof { draw: positive, ..Proof::default() };
    prove_with(
        &mixer,
        &mixer,
        &|span: &Span<'_, f64>, states: &mut [f64]| {
            let sums = recurrence(span, (heads, key, value + 1), states, &|r, h| Token {
                q: row(span, 0, r, h, key),
                k: row(span, 1, r, h, key),
                v: [row(span, 2, r, h, value), vec![1.0]].concat(),
                g: vec![0.0; key],
            });
            sums.chunks(value + 1).flat_map(|row| row[..value].iter().map(|x| x / row[value]).collect::<Vec<_>>()).collect()
        },
        proof,
    );
}

#[test]
fn lightning_attention_decays_by_its_slopes() {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = Lightning::new(heads, key, value);
        let slopes = |name: &str, x: f64| if name == "slopes" { x.abs() } else { x };
        let proof = Proof { draw: slopes, ..Proof::default() };
        prove_with(
            &mixer,
            &mixer,
            &|span, states| {
                recurrence(span, shape, states, &|r, h| Token {
                    q: row(span, 0, r, h, key),
                    k: row(span, 1, r, h, key),
                    v: row(span, 2, r, h, value),
                    g: vec![-span.params[0][h]; key],
                })
            },
            proof,
        );
    }
}

fn scalar_gates(proof: Proof) {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = ScalarGate::new(heads, key, value).with_scale(1.0);
        prove_with(
            &mixer,
            &mixer,
            &|span, states| {
                recurrence(span, shape, states, &|r, h| Token {
                    q: row(span, 0, r, h, key),
                    k: row(span, 1, r, h, key),
                    v: row(span, 2, r, h, value),
                    g: row(span, 3, r, h, 1).repeat(key),
                })
            },
            proof,
        );
    }
}

fn vector_gates(proof: Proof) {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = Gla::new(heads, key, value).with_scale(0.5);
        prove_with(
            &mixer,
            &mixer,
            &|span, states| {
                recurrence(span, shape, states, &|r, h| Token {
                    q: scaled(row(span, 0, r, h, key), 0.5),
                    k: row(span, 1, r, h, key),
                    v: row(span, 2, r, h, value),
                    g: row(span, 3, r, h, key),
                })
            },
            proof,
        );
    }
}

#[test]
fn gates_of_tokens_and_of_channels_are_the_recurrence() {
    scalar_gates(Proof::default());
    vector_gates(Proof::default());
}

#[test]
fn gates_so_strong_that_their_inverse_overflows_are_exact() {
    let strong = |name: &str, x: f64| if name == "g" { -30.0 * x * x } else { draw(name, x) };
    scalar_gates(Proof { draw: strong, ..Proof::default() });
    vector_gates(Proof { draw: strong, ..Proof::default() });
}

#[test]
fn gates_near_nothing_and_near_all_side_by_side_are_exact() {
    let mixed = |name: &str, x: f64| if name == "g" { -(4.0 * x).exp() } else { draw(name, x) };
    scalar_gates(Proof { draw: mixed, ..Proof::default() });
    vector_gates(Proof { draw: mixed, ..Proof::default() });
}

#[test]
fn liger_takes_gates_from_keys() {
    for shape @ (heads, key, value) in SHAPES {
        let mixer = Liger::new(heads, key, value);
        prove(&mixer, &mixer, &|span, states| {
            recurrence(span, shape, states, &|r, h| {
                let k = row(span, 1, r, h, key);
                Token {
                    q: softmax(&row(span, 0, r, h, key)),
                    g: k.iter().map(|k| -(-k).exp().ln_1p() / 16.0).collect(),
                    k: softmax(&k),
                    v: row(span, 2, r, h, value),
                }
            })
        });
    }
}

#[test]
fn scales_are_of_the_key_and_can_be_set() {
    let names = |mixer: &dyn Mixer<f32>| mixer.name();
    assert_eq!(names(&LinearAttention::new(1, 4, 2)), "linear attention");
    assert_eq!(LinearAttention::new(1, 4, 2), LinearAttention::new(1, 4, 2).with_scale(0.5));
    assert_eq!(Gla::new(1, 16, 2), Gla::new(1, 16, 2).with_scale(0.25));
}
