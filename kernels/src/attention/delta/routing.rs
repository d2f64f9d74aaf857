//! Which memories a token goes to: the largest of its router logits, with weights that sum to one.

use super::super::Real;

/// The `chosen` largest logits of a token, by descending logit (equal ones: the first memory first).
fn largest<T: Real>(logits: &[T], chosen: usize) -> Vec<usize> {
    let mut memories: Vec<usize> = (0..logits.len()).collect();
    // A stable sort; what cannot be compared (NaN) keeps its place.
    memories.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap_or(std::cmp::Ordering::Equal));
    memories.truncate(chosen);
    memories
}

/// The memories of a token and their weights: the softmax of all logits, of which the largest are kept and brought to sum to one,
/// which is the softmax of the largest.
pub(super) fn route<T: Real>(logits: &[T], chosen: usize) -> Vec<(usize, T)> {
    let memories = largest(logits, chosen);
    let Some(&first) = memories.first() else { return vec![] };
    let exps: Vec<T> = memories.iter().map(|&memory| (logits[memory] - logits[first]).exp()).collect();
    let sum: T = exps.iter().copied().sum();
    memories.into_iter().zip(exps).map(|(memory, exp)| (memory, exp / sum)).collect()
}

/// Adds the gradients of a token's logits from those of its weights, which `d_weights` has for all memories.
pub(super) fn route_backward<T: Real>(logits: &[T], chosen: usize, d_weights: &[T], d_logits: &mut [T]) {
    let routed = route(logits, chosen);
    let mean: T = routed.iter().map(|&(memory, weight)| weight * d_weights[memory]).sum();
    for (memory, weight) in routed {
        d_logits[memory] += weight * (d_weights[memory] - mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_logits_are_chosen_and_ties_go_to_the_first() {
        let routed = route(&[0.0, 3.0f64.ln(), 0.0, -5.0], 2);
        assert_eq!(routed.iter().map(|routed| routed.0).collect::<Vec<_>>(), [1, 0]);
        assert!((routed[0].1 - 0.75).abs() < 1e-15 && (routed[1].1 - 0.25).abs() < 1e-15);
        assert_eq!(route(&[800.0f32, -800.0], 1), [(0, 1.0)]);
    }
}
