//! Points on a line, and how high a barrier rises between its ends. Pure.

use std::path::PathBuf;

/// A point of the line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    /// How much of the second checkpoint is in it.
    pub(super) alpha: f64,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Its loss, where it was evaluated.
    pub(super) loss: Option<f64>,
}

/// The highest rise above the straight line between the losses of the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Barrier {
    /// How high; 0 at least, which is at the ends.
    pub(super) height: f64,
    /// Where.
    pub(super) alpha: f64,
}

/// So many points from 0 to 1, evenly; at least two.
pub(super) fn alphas(points: usize) -> impl Iterator<Item = f64> {
    let last = points.max(2) - 1;
    (0..=last).map(move |index| index as f64 / last as f64)
}

/// The name of a point's folder: with as many digits as tell the points apart.
pub(super) fn folder(alpha: f64, points: usize) -> String {
    let digits = if points <= 101 { 2 } else { 4 };
    format!("alpha-{alpha:.digits$}")
}

/// The loss on the straight line between the ends.
pub(super) fn chord(points: &[Point], alpha: f64) -> Option<f64> {
    let (first, last) = (points.first()?.loss?, points.last()?.loss?);
    Some((1.0 - alpha) * first + alpha * last)
}

/// The barrier; none where a point has no loss.
pub(super) fn barrier(points: &[Point]) -> Option<Barrier> {
    let mut found = Barrier { height: 0.0, alpha: 0.0 };
    for point in points {
        let height = point.loss? - chord(points, point.alpha)?;
        if height > found.height {
            found = Barrier { height, alpha: point.alpha };
        }
    }
    (!points.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(losses: &[f64]) -> Vec<Point> {
        let one = |(alpha, loss): (f64, &f64)| Point { alpha, folder: PathBuf::new(), loss: Some(*loss) };
        alphas(losses.len()).zip(losses).map(one).collect()
    }

    #[test]
    fn a_barrier_is_what_rises_above_the_chord() {
        for (losses, height, alpha) in [
            (&[1.0, 3.0, 2.0][..], 1.5, 0.5),
            (&[1.0, 1.5, 2.0], 0.0, 0.0),
            (&[2.0, 0.5, 1.0], 0.0, 0.0),
            (&[1.0, 2.0, 4.0, 1.0, 1.0], 3.0, 0.5),
            (&[1.0, 5.0], 0.0, 0.0),
        ] {
            assert_eq!(barrier(&points(losses)), Some(Barrier { height, alpha }), "{losses:?}");
        }
        assert_eq!(barrier(&[]), None);
        let mut without = points(&[1.0, 2.0, 3.0]);
        without[1].loss = None;
        assert_eq!(barrier(&without), None);
    }

    #[test]
    fn folders_tell_the_points_apart() {
        for points in [2usize, 3, 11, 101, 102, 1001] {
            let names: std::collections::BTreeSet<String> = alphas(points).map(|alpha| folder(alpha, points)).collect();
            assert_eq!(names.len(), points);
        }
        assert_eq!(folder(0.5, 11), "alpha-0.50");
    }
}
