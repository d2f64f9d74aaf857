//! How well predictions agree with what came: in order, and in size.

/// Spearman's rank correlation; ties get their mean rank. None where one side has no order.
pub(crate) fn spearman(left: &[f64], right: &[f64]) -> Option<f64> {
    if left.len() != right.len() || left.iter().chain(right).any(|value| value.is_nan()) {
        return None;
    }
    correlation(&ranks(left), &ranks(right))
}

/// The part of the variance of `wanted` that `found` explains, R²; none where there is no variance.
pub(crate) fn explained(found: &[f64], wanted: &[f64]) -> Option<f64> {
    let mean = wanted.iter().sum::<f64>() / wanted.len() as f64;
    let total: f64 = wanted.iter().map(|value| (value - mean).powi(2)).sum();
    let left: f64 = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).powi(2)).sum();
    (total > 0.0 && found.len() == wanted.len()).then(|| 1.0 - left / total)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        tied.iter().for_each(|&index| ranks[index] = below as f64 + (tied.len() - 1) as f64 / 2.0);
        below += tied.len();
    }
    ranks
}

fn correlation(left: &[f64], right: &[f64]) -> Option<f64> {
    let count = left.len() as f64;
    let (mean_left, mean_right) = (left.iter().sum::<f64>() / count, right.iter().sum::<f64>() / count);
    let (mut both, mut own, mut theirs) = (0.0, 0.0, 0.0);
    for (left, right) in left.iter().zip(right) {
        both += (left - mean_left) * (right - mean_right);
        own += (left - mean_left).powi(2);
        theirs += (right - mean_right).powi(2);
    }
    (own > 0.0 && theirs > 0.0).then(|| both / (own * theirs).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0, 40.0, 30.0]), Some(0.8));
        assert_eq!(spearman(&[1.0, 2.0], &[5.0, 5.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[5.0, 6.0]), None);
        // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
        let tied = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
        assert_eq!(explained(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0]), Some(0.5));
    }
}
