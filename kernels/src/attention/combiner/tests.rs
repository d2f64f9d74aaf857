//! Against the definition: whole documents, all scores of a row at hand.

use super::{
    super::{Span, testing::prove_gathered},
    *,
};

fn softmax(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| score.exp() / sum).collect()
}

fn dense(of: &Combiner, span: &Span<'_, f64>) -> Vec<f64> {
    let row = |input: usize, token: usize, head: usize, width: usize| {
        &span.inputs[input][(span.row(token) * of.heads + head) * width..][..width]
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() * of.scale;
    let mix = |weights: &[f64], values: &[Vec<f64>]| -> Vec<f64> {
        (0..of.value_width).map(|c| weights.iter().zip(values).map(|(w, v)| w * v[c]).sum()).collect()
    };
    let mut out = vec![];
    for i in span.own.clone() {
        let start = span.documents.start_of(i);
        for head in 0..of.heads {
            let (mut keys, mut values) = (vec![], vec![]);
            let mine = (i - start) / of.region;
            for region in 0..mine {
                let tokens: Vec<usize> = (0..of.region).map(|j| start + region * of.region + j).collect();
                let pool = |input| -> Vec<f64> {
                    let largest = |c| tokens.iter().map(|&t| row(input, t, head, of.key_width)[c]).fold(f64::MIN, f64::max);
                    (0..of.key_width).map(largest).collect()
                };
                let (query, key) = (pool(0), pool(1));
                let scores: Vec<f64> = tokens.iter().map(|&t| dot(&query, row(1, t, head, of.key_width))).collect();
                let its: Vec<_> = tokens.iter().map(|&t| row(2, t, head, of.value_width).to_vec()).collect();
                keys.push(key);
                values.push(mix(&softmax(&scores), &its));
            }
            for token in start + mine * of.region..=i {
                keys.push(row(1, token, head, of.key_width).to_vec());
                values.push(row(2, token, head, of.value_width).to_vec());
            }
            let scores: Vec<f64> = keys.iter().map(|key| dot(row(0, i, head, of.key_width), key)).collect();
            out.extend(mix(&softmax(&scores), &values));
        }
    }
    out
}

#[test]
fn combiner_is_its_definition_on_any_ranks() {
    for (heads, key_width, value_width, region) in [(2, 3, 4, 3), (1, 4, 2, 8), (2, 2, 2, 1)] {
        let combiner = Combiner { heads, key_width, value_width, region, scale: 0.6 };
        prove_gathered(&combiner, &combiner, &|span, _| dense(&combiner, span));
    }
}
