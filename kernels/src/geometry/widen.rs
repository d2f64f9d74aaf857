//! WIDEN's scores: how much of what each model changed counts, column by column or element by element.
//!
//! A column of a matrix has a length and a direction. For each model and column there are two changes: of the length, and of the
//! direction (1 − cos). Within a model the columns are ranked by each; a rank of r among n is the significance r/n. Across models the
//! significances of a column go through a softmax, and those above the mean of their model count as a fixed value instead. The
//! weight of a column is the mean of its two scores.

use crate::Dots;

/// From where on a change is significant by itself, and what it then counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Significances above so many times their mean are replaced.
    pub ratio: f64,
    /// What replaces them.
    pub value: f64,
}

/// The weight of each column of each model. A model's columns are the products of those of the base (`a`) with its own (`b`).
///
/// A column of zeros has no direction: it has that of another such, and is at a right angle to any other.
pub fn widen_columns(models: &[Vec<Dots>], calibration: Calibration) -> Vec<Vec<f32>> {
    let significances = |change: fn(&Dots) -> f64| -> Vec<Vec<f64>> {
        models.iter().map(|columns| ranks(&columns.iter().map(change).collect::<Vec<_>>())).collect()
    };
    let scored = |significances: Vec<Vec<f64>>| {
        let mean = |of: &Vec<f64>| of.iter().sum::<f64>() / of.len().max(1) as f64;
        let means: Vec<f64> = significances.iter().map(mean).collect();
        scores(&significances, &means, calibration)
    };
    let (lengths, directions) = (scored(significances(of_length)), scored(significances(of_direction)));
    let mean = |(a, b): (Vec<f64>, Vec<f64>)| a.iter().zip(b).map(|(a, b)| (0.5 * (a + b)) as f32).collect();
    lengths.into_iter().zip(directions).map(mean).collect()
}

/// The weight of each element of vectors, by the magnitude of its change in each model, of which `means` has the means.
pub fn widen_elements(changes: &[Vec<f32>], means: &[f64], calibration: Calibration) -> Vec<Vec<f32>> {
    let wide = |values: &Vec<f32>| values.iter().map(|value| f64::from(value.abs())).collect();
    let scores = scores(&changes.iter().map(wide).collect::<Vec<Vec<f64>>>(), means, calibration);
    scores.into_iter().map(|scores| scores.into_iter().map(|score| score as f32).collect()).collect()
}

/// |‖b‖ − ‖a‖|, from the difference of the squares.
fn of_length(dots: &Dots) -> f64 {
    let lengths = dots.aa.sqrt() + dots.bb.sqrt();
    if lengths > 0.0 { (dots.bb - dots.aa).abs() / lengths } else { 0.0 }
}

/// 1 − cos, from the square of the sine, which does not cancel where the angle is small.
fn of_direction(dots: &Dots) -> f64 {
    let squares = dots.aa * dots.bb;
    if squares <= 0.0 {
        return if dots.aa == dots.bb { 0.0 } else { 1.0 };
    }
    let cosine = (dots.ab / squares.sqrt()).clamp(-1.0, 1.0);
    let sine = ((squares - dots.ab * dots.ab) / squares).max(0.0);
    if cosine > 0.0 { sine / (1.0 + cosine) } else { 1.0 - cosine }
}

/// The rank of each value over their number, the smallest being 0; equals in the order of their place.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, place) in order.into_iter().enumerate() {
        ranks[place] = rank as f64 / values.len() as f64;
    }
    ranks
}

/// The softmax over models, and the calibrated value where a significance is above its model's mean.
fn scores(significances: &[Vec<f64>], means: &[f64], calibration: Calibration) -> Vec<Vec<f64>> {
    let places = significances.first().map_or(0, Vec::len);
    let mut out = vec![vec![0.0; places]; significances.len()];
    for place in 0..places {
        let largest = significances.iter().map(|of| of[place]).fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = significances.iter().map(|of| libm::exp(of[place] - largest)).collect();
        let sum: f64 = powers.iter().sum();
        for (model, power) in powers.into_iter().enumerate() {
            let above = significances[model][place] > means[model] * calibration.ratio;
            out[model][place] = if above { calibration.value } else { power / sum };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &[f64], b: &[f64]) -> Dots {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum();
        Dots { aa: dot(a, a), bb: dot(b, b), ab: dot(a, b) }
    }

    #[test]
    fn changes_of_lengths_and_directions_are_told_apart() {
        for (a, b, length, direction) in [
            ([3.0, 4.0], [3.0, 4.0], 0.0, 0.0),
            ([3.0, 4.0], [6.0, 8.0], 5.0, 0.0),
            ([3.0, 4.0], [-4.0, 3.0], 0.0, 1.0),
            ([3.0, 4.0], [-3.0, -4.0], 0.0, 2.0),
            ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0),
            ([0.0, 0.0], [0.0, 2.0], 2.0, 1.0),
            ([1.0, 0.0], [1.0, 1e-6], 5e-13, 5e-13),
        ] {
            let dots = of(&a, &b);
            let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12_f64.min(1e-3 * expected + 1e-15);
            assert!(close(of_length(&dots), length), "{a:?} {b:?}: {}", of_length(&dots));
            assert!(close(of_direction(&dots), direction), "{a:?} {b:?}: {}", of_direction(&dots));
        }
    }

    #[test]
    fn the_upper_half_of_the_ranks_is_calibrated_and_the_lower_shared() {
        // model 0 changed the columns more and more, model 1 less and less
        let grown = |by: f64| of(&[1.0, 0.0], &[1.0 + by, 0.0]);
        let models = [vec![grown(0.1), grown(0.2), grown(0.3)], vec![grown(0.3), grown(0.2), grown(0.1)]];
        let weights = widen_columns(&models, Calibration { ratio: 1.0, value: 5.0 });
        let share = |own: f64, other: f64| own.exp() / (own.exp() + other.exp());
        let thirds = [0.0, 1.0 / 3.0, 2.0 / 3.0];
        // directions are all equal: ranked by place; the mean rank is a third, which is not above itself
        let expected = [0.5 * (share(0.0, thirds[2]) + 0.5), 0.5 * (share(thirds[1], thirds[1]) + 0.5), 0.5 * (5.0 + 5.0)];
        for (found, expected) in weights[0].iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{weights:?}");
        }
        assert!((weights[1][0] - 0.5 * (5.0 + 0.5)).abs() < 1e-6, "{weights:?}");
    }
}
