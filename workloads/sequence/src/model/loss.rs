//! Next-token cross-entropy over a vocabulary, with its gradient, some rows at a time: the scores of a whole shard are never held.

use super::dense::{linear, linear_backward};

/// Rows whose scores are held at once.
const ROWS: usize = 512;

/// What a shard adds to the loss of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Loss {
    /// Nats, summed over the tokens that have a successor.
    pub nats: f64,
    /// How many those are.
    pub tokens: u64,
}

/// The loss of hidden states (tokens × width) against the next token of each (`None`: the last of a document), and its gradients:
/// of the head, added to `d_head`, and of the states, returned. Gradients are those of `nats · scale`.
pub(super) fn cross_entropy(
    hidden: &[f32],
    head: &[f32],
    targets: &[Option<u32>],
    scale: f32,
    d_head: &mut [f32],
    width: usize,
) -> (Loss, Vec<f32>) {
    let mut loss = Loss::default();
    let mut d_hidden = Vec::with_capacity(hidden.len());
    let vocabulary = head.len() / width;
    for (hidden, targets) in hidden.chunks(ROWS * width).zip(targets.chunks(ROWS)) {
        let mut scores = linear(hidden, head, width);
        for (row, target) in scores.chunks_mut(vocabulary).zip(targets) {
            match target {
                Some(target) => {
                    loss.nats += softmax_minus_one(row, *target as usize, scale);
                    loss.tokens += 1;
                }
                None => row.fill(0.0),
            }
        }
        d_hidden.extend(linear_backward(hidden, head, &scores, d_head, width));
    }
    (loss, d_hidden)
}

/// The loss of hidden states against the next token of each, in nats, token by token: those that have a successor, in order.
pub(super) fn losses(hidden: &[f32], head: &[f32], targets: &[Option<u32>], width: usize) -> Vec<f32> {
    let mut losses = vec![];
    let vocabulary = head.len() / width;
    for (hidden, targets) in hidden.chunks(ROWS * width).zip(targets.chunks(ROWS)) {
        let scores = linear(hidden, head, width);
        for (row, target) in scores.chunks(vocabulary).zip(targets) {
            let Some(target) = target else { continue };
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|score| f64::from((score - top).exp())).sum();
            losses.push((sum.ln() + f64::from(top) - f64::from(row[*target as usize])) as f32);
        }
    }
    losses
}

/// Turns scores into the gradient of `scale ·` their cross-entropy, which is returned.
fn softmax_minus_one(row: &mut [f32], target: usize, scale: f32) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let score = row[target];
    let mut sum = 0.0f64;
    for score in row.iter_mut() {
        *score = (*score - top).exp();
        sum += f64::from(*score);
    }
    let by = scale / sum as f32;
    row.iter_mut().for_each(|weight| *weight *= by);
    row[target] -= scale;
    sum.ln() + f64::from(top) - f64::from(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_guess_costs_the_logarithm_of_the_vocabulary() {
        let (width, vocabulary) = (3, 7);
        let hidden = vec![0.0; 2 * width];
        let head = vec![1.0; vocabulary * width];
        let mut d_head = vec![0.0; head.len()];
        let (loss, d_hidden) = cross_entropy(&hidden, &head, &[Some(2), None], 1.0, &mut d_head, width);
        assert_eq!(loss.tokens, 1);
        assert!((loss.nats - 7f64.ln()).abs() < 1e-6, "{loss:?}");
        assert_eq!(d_hidden.len(), hidden.len());
        assert_eq!(losses(&hidden, &head, &[Some(2), None], width), [loss.nats as f32]);
        assert!(d_hidden[width..].iter().all(|&x| x == 0.0), "a token without successor has no gradient");
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let (width, vocabulary) = (3, 5);
        let number = |index: usize| ((index * 37 % 17) as f32 - 8.0) / 8.0;
        let hidden: Vec<f32> = (0..2 * width).map(number).collect();
        let head: Vec<f32> = (0..vocabulary * width).map(|index| number(index + 3)).collect();
        let targets = [Some(1), Some(4)];
        let nats = |hidden: &[f32]| cross_entropy(hidden, &head, &targets, 1.0, &mut vec![0.0; head.len()], width).0.nats;
        let (_, d_hidden) = cross_entropy(&hidden, &head, &targets, 1.0, &mut vec![0.0; head.len()], width);
        for index in 0..hidden.len() {
            let mut moved = hidden.clone();
            moved[index] += 1e-2;
            let above = nats(&moved);
            moved[index] -= 2e-2;
            let slope = (above - nats(&moved)) / 2e-2;
            assert!((slope - f64::from(d_hidden[index])).abs() < 1e-3, "{slope} {}", d_hidden[index]);
        }
    }
}
