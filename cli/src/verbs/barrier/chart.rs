//! The losses along a line, as a drawing. Pure.

use super::path::{Barrier, Point, chord};
use braid_drawing::{Anchor, Ink, Scene, Shape};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 24.0;
const ABOVE: f64 = 44.0;
const BELOW: f64 = 56.0;

/// Every point with its loss, the straight line between the ends, and the barrier.
pub(super) fn draw(points: &[Point], found: Barrier) -> Scene {
    let losses = || points.iter().filter_map(|point| point.loss);
    let (low, high) = losses().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| (low.min(loss), high.max(loss)));
    let room = if high > low { (high - low) * 0.06 } else { low.abs().max(1.0) * 0.05 };
    let (low, high) = (low - room, high + room);
    let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - ABOVE - BELOW);
    let at = |alpha: f64, loss: f64| (LEFT + alpha * width, ABOVE + (high - loss) / (high - low) * height);

    let mut shapes = vec![
        Shape::Box { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT, ink: Ink::Paper, tip: None },
        Shape::Box { x: LEFT, y: ABOVE, width, height, ink: Ink::Idle, tip: None },
    ];
    let mut word = |x: f64, y: f64, anchor: Anchor, ink: Ink, text: String| shapes.push(Shape::Word { x, y, anchor, ink, text });
    word(LEFT, 20.0, Anchor::Start, Ink::Word, format!("barrier {:.4} at alpha {:.2}", found.height, found.alpha));
    word(LEFT + width / 2.0, HEIGHT - 14.0, Anchor::Middle, Ink::Faint, "alpha: the share of the second checkpoint".into());
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let loss = low + part * (high - low);
        word(LEFT - 8.0, at(0.0, loss).1, Anchor::End, Ink::Faint, format!("{loss:.3}"));
        word(at(part, low).0, HEIGHT - 36.0, Anchor::Middle, Ink::Faint, format!("{part:.2}"));
    }
    if let (Some(first), Some(last)) = (chord(points, 0.0), chord(points, 1.0)) {
        shapes.push(Shape::Path { points: vec![at(0.0, first), at(1.0, last)], ink: Ink::Rule });
    }
    let line = points.iter().filter_map(|point| Some(at(point.alpha, point.loss?))).collect();
    shapes.push(Shape::Path { points: line, ink: Ink::Shade(5) });
    for point in points {
        let Some(loss) = point.loss else { continue };
        let ((x, y), tip) = (at(point.alpha, loss), Some(format!("alpha {:.3}: {loss}", point.alpha)));
        shapes.push(Shape::Dot { x, y, radius: 4.0, ink: Ink::Shade(5), tip });
    }
    Scene { width: WIDTH, height: HEIGHT, title: "Loss along the line between two checkpoints".into(), shapes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_point_is_within_the_frame_even_where_all_losses_are_the_same() {
        for losses in [[1.0, 3.0, 2.0], [2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-1e9, 1e9, 0.0]] {
            let one =
                |(index, loss): (usize, &f64)| Point { alpha: index as f64 / 2.0, folder: PathBuf::new(), loss: Some(*loss) };
            let points: Vec<Point> = losses.iter().enumerate().map(one).collect();
            let scene = draw(&points, Barrier { height: 1.0, alpha: 0.5 });
            let dots: Vec<(f64, f64)> = scene
                .shapes
                .iter()
                .filter_map(|shape| if let Shape::Dot { x, y, .. } = shape { Some((*x, *y)) } else { None })
                .collect();
            assert_eq!(dots.len(), 3);
            assert!(
                dots.iter().all(|(x, y)| (LEFT..=WIDTH - RIGHT).contains(x) && (ABOVE..=HEIGHT - BELOW).contains(y)),
                "{dots:?}"
            );
        }
    }
}
