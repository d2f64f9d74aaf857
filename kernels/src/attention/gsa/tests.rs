//! Against the recurrence as it is written.

use super::{
    super::{
        Span,
        testing::{Proof, draw, prove_with},
    },
    *,
};

fn plain(of: &GatedSlots, span: &Span<'_, f64>, states: &mut [f64]) -> Vec<f64> {
    let GatedSlots { heads, slots, key_width: dk, value_width: dv, scale } = *of;
    let mut out = vec![];
    for token in span.own.clone() {
        if span.documents.start_of(token) == token {
            states.fill(0.0);
        }
        for head in 0..heads {
            let x = |input: usize, width: usize, i: usize| span.inputs[input][(span.row(token) * heads + head) * width + i];
            let state = &mut states[head * slots * (dk + dv)..][..slots * (dk + dv)];
            for slot in 0..slots {
                for c in 0..dk + dv {
                    let new = if c < dk { x(1, dk, c) } else { x(2, dv, c - dk) };
                    let memory = &mut state[slot * (dk + dv) + c];
                    *memory = x(4, slots, slot).exp() * *memory + x(3, slots, slot) * new;
                }
            }
            let score = |slot: usize| (0..dk).map(|c| state[slot * (dk + dv) + c] * x(0, dk, c)).sum::<f64>() * scale;
            let weights: Vec<f64> = (0..slots).map(|slot| score(slot).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for c in 0..dv {
                let mixed = |slot: usize| weights[slot] * state[slot * (dk + dv) + dk + c];
                out.push((0..slots).map(mixed).sum::<f64>() / sum);
            }
        }
    }
    out
}

/// Slots take in a little of each token, as they do where s = 1 − a, and scores stay moderate.
fn intake(name: &str, normal: f64) -> f64 {
    if name == "s" { 0.3 * normal } else { draw(name, normal) }
}

#[test]
fn gated_slots_are_their_recurrence_on_any_ranks() {
    for (heads, slots, key_width, value_width) in [(2, 3, 4, 2), (1, 5, 2, 3), (1, 1, 1, 1)] {
        let family = GatedSlots { heads, slots, key_width, value_width, scale: 0.5 };
        let proof = Proof { draw: intake, ..Proof::default() };
        prove_with(&family, &family, &|span, states| plain(&family, span, states), proof);
    }
}

#[test]
fn gates_that_forget_everything_at_once_are_exact() {
    let family = GatedSlots { heads: 1, slots: 2, key_width: 2, value_width: 2, scale: 1.0 };
    let strong: super::super::testing::Draw = |name, normal| match name {
        "g" => -200.0 * normal.abs(),
        _ => intake(name, normal),
    };
    let proof = Proof { draw: strong, ..Proof::default() };
    prove_with(&family, &family, &|span, states| plain(&family, span, states), proof);
}
