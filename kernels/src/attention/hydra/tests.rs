//! Against the recurrence in both directions, and the matrix of whole documents.

use super::{
    super::{
        Documents, Span,
        testing::{Proof, draw, prove_with},
    },
    *,
};

/// The output of one direction: tokens in the order in which the state meets them, `far(t)` whether it begins anew at t.
fn direction(
    of: &Hydra,
    span: &Span<'_, f64>,
    order: &[usize],
    read: [usize; 4],
    state: &mut [f64],
    neighbour: &dyn Fn(usize) -> Option<usize>,
    out: &mut [f64],
) {
    let Hydra { heads, key, value } = *of;
    for &t in order {
        for head in 0..heads {
            let state = &mut state[head * key * value..][..key * value];
            let Some(near) = neighbour(t) else {
                state.fill(0.0);
                continue;
            };
            let row = span.row(near) * heads + head;
            let gate = span.inputs[read[2]][row].exp();
            for c in 0..key {
                for e in 0..value {
                    let s = &mut state[c * value + e];
                    *s = gate * *s + span.inputs[read[1]][row * key + c] * span.inputs[read[3]][row * value + e];
                    let place = ((t - span.own.start) * heads + head) * value + e;
                    out[place] += span.inputs[read[0]][row * key + c] * *s;
                }
            }
        }
    }
}

fn plain(of: &Hydra, span: &Span<'_, f64>, states: &mut [f64]) -> Vec<f64> {
    let Hydra { heads, key, value } = *of;
    let (forward, reverse) = states.split_at_mut(heads * key * value);
    let mut out = vec![0.0; span.len() * heads * value];
    let mut order: Vec<usize> = span.own.clone().collect();
    let before = |t: usize| (span.documents.start_of(t) < t).then(|| t - 1);
    direction(of, span, &order, READ[0], forward, &before, &mut out);
    order.reverse();
    let after = |t: usize| (t + 1 < span.documents.end_of(t)).then_some(t + 1);
    direction(of, span, &order, READ[1], reverse, &after, &mut out);
    for (i, out) in out.iter_mut().enumerate() {
        let at = span.row(span.own.start) * heads * value + i;
        *out += span.inputs[DIAGONAL][at / value] * span.inputs[VALUES][at];
    }
    out
}

fn gates(name: &str, normal: f64) -> f64 {
    draw(if name == "g reverse" { "g" } else { name }, normal)
}

#[test]
fn hydra_is_its_two_recurrences_on_any_ranks() {
    for (heads, key, value) in [(2, 3, 2), (1, 4, 5)] {
        let hydra = Hydra { heads, key, value };
        let proof = Proof { draw: gates, ..Proof::default() };
        prove_with(&hydra, &hydra, &|span, states| plain(&hydra, span, states), proof);
    }
}

#[test]
fn hydra_is_a_quasiseparable_matrix() {
    let (hydra, tokens) = (Hydra { heads: 1, key: 3, value: 1 }, 24);
    let documents = Documents::of_lengths([7, 17]);
    let widths: Vec<_> = Mixer::<f64>::inputs(&hydra).into_iter().map(|tensor| tensor.width).collect();
    let wave = |(i, width): (usize, &usize)| -> Vec<f64> {
        (0..tokens * width).map(|j| (i as f64 + 0.7 * j as f64).sin() - if *width == 1 { 1.0 } else { 0.0 }).collect()
    };
    let inputs: Vec<Vec<f64>> = widths.iter().enumerate().map(wave).collect();
    let span = Span {
        documents: &documents,
        rows: 0..tokens,
        own: 0..tokens,
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        params: vec![],
    };
    let mut out = vec![0.0; tokens];
    hydra.forward(&span, &mut |_| {}, &mut out);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |input: usize, token: usize| &inputs[input][token * 3..][..3];
    for i in 0..tokens {
        let document = documents.start_of(i)..documents.end_of(i);
        let entry = |j: usize| match j.cmp(&i) {
            std::cmp::Ordering::Less => (j + 1..i).map(|t| inputs[2][t].exp()).product::<f64>() * dot(row(0, i - 1), row(1, j)),
            std::cmp::Ordering::Equal => inputs[DIAGONAL][i],
            std::cmp::Ordering::Greater => {
                (i + 1..j).map(|t| inputs[5][t].exp()).product::<f64>() * dot(row(3, i + 1), row(4, j))
            }
        };
        let expected: f64 = document.map(|j| entry(j) * inputs[VALUES][j]).sum();
        assert!((out[i] - expected).abs() < 1e-12, "token {i}: {} instead of {expected}", out[i]);
    }
}
