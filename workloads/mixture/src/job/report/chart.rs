//! A rectangle with two axes, to draw figures into. Arithmetic alone.

use braid_drawing::{Anchor, Ink, Scene, Shape, width};

/// Room at the left for numbers, and below for numbers and the axis' name.
const LEFT: f64 = 64.0;
const BELOW: f64 = 40.0;
const ABOVE: f64 = 28.0;

/// A rectangle with two axes.
pub(super) struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

/// A drawing that is made from top to bottom.
pub(super) struct Sheet {
    width: f64,
    height: f64,
    pub(super) shapes: Vec<Shape>,
}

impl Sheet {
    /// A sheet so wide, with a heading.
    pub(super) fn new(width: f64, heading: &str) -> Self {
        let mut sheet = Self { width, height: 36.0, shapes: vec![] };
        sheet.word((16.0, 20.0), Anchor::Start, Ink::Word, heading);
        sheet
    }

    /// One line of swatches with names, as many as there is room for.
    pub(super) fn legend(&mut self, names: &[String]) {
        let (mut x, y) = (16.0, self.height + 6.0);
        for (index, name) in names.iter().enumerate() {
            let next = x + 18.0 + width(name) + 16.0;
            if next > self.width {
                break;
            }
            self.shapes.push(Shape::Box { x, y: y - 6.0, width: 12.0, height: 12.0, ink: ink(index), tip: None });
            self.word((x + 18.0, y), Anchor::Start, Ink::Word, name);
            x = next;
        }
        self.height += 24.0;
    }

    /// A panel below all that is there. Both ranges get some room; `names` are what stands above it and along its x axis.
    pub(super) fn panel(&mut self, height: f64, x: (f64, f64), y: (f64, f64), names: (&str, &str)) -> Panel {
        let panel =
            Panel { left: LEFT, top: self.height + ABOVE, width: self.width - LEFT - 24.0, height, x: roomy(x), y: roomy(y) };
        self.height = panel.top + height + BELOW;
        let Panel { left, top, width, .. } = panel;
        self.shapes.push(Shape::Box { x: left, y: top, width, height, ink: Ink::Idle, tip: None });
        self.word((left, top - 12.0), Anchor::Start, Ink::Word, names.0);
        for at in ticks(panel.x) {
            let (x, _) = panel.at(at, panel.y.0);
            self.shapes.push(Shape::Line { x, y: top + height, height: 4.0, ink: Ink::Faint });
            self.word((x, top + height + 14.0), Anchor::Middle, Ink::Faint, &number(at, panel.x));
        }
        for at in ticks(panel.y) {
            let (_, y) = panel.at(panel.x.0, at);
            self.word((left - 6.0, y), Anchor::End, Ink::Faint, &number(at, panel.y));
        }
        self.word((left + width / 2.0, top + height + 30.0), Anchor::Middle, Ink::Faint, names.1);
        panel
    }

    pub(super) fn word(&mut self, (x, y): (f64, f64), anchor: Anchor, ink: Ink, text: &str) {
        self.shapes.push(Shape::Word { x, y, anchor, ink, text: text.to_owned() });
    }

    /// The drawing.
    pub(super) fn scene(mut self, title: &str) -> Scene {
        let paper = Shape::Box { x: 0.0, y: 0.0, width: self.width, height: self.height, ink: Ink::Paper, tip: None };
        self.shapes.insert(0, paper);
        Scene { width: self.width, height: self.height, title: title.to_owned(), shapes: self.shapes }
    }
}

impl Panel {
    /// Where a pair of values is.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let part = |value: f64, (from, to): (f64, f64)| (value - from) / (to - from);
        (self.left + part(x, self.x) * self.width, self.top + (1.0 - part(y, self.y)) * self.height)
    }

    /// The range of the x axis.
    pub(super) fn x(&self) -> (f64, f64) {
        self.x
    }

    /// The range of the y axis.
    pub(super) fn y(&self) -> (f64, f64) {
        self.y
    }
}

/// The colour of the `index`-th of a list: neighbours in the list are far apart in the sequence of colours.
pub(super) fn ink(index: usize) -> Ink {
    const ORDER: [usize; 10] = [5, 2, 7, 3, 0, 8, 4, 1, 6, 9];
    Ink::Shade(ORDER[index % ORDER.len()])
}

/// The range of finite values; none of none.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |range, value| {
        Some(range.map_or((value, value), |(low, high): (f64, f64)| (low.min(value), high.max(value))))
    })
}

/// A little more on both sides, and never nothing.
fn roomy((low, high): (f64, f64)) -> (f64, f64) {
    let room = if high > low { (high - low) * 0.04 } else { low.abs().max(1.0) * 0.05 };
    (low - room, high + room)
}

/// Between four and nine round values inside a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let step = step(high - low);
    let first = (low / step).ceil();
    (0..10).map(|index| (first + f64::from(index)) * step).take_while(|at| *at <= high).collect()
}

fn step(length: f64) -> f64 {
    let power = libm::pow(10.0, (length / 8.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| length / step <= 8.0).unwrap_or(steps[3])
}

/// With as many decimals as tell ticks apart.
fn number(value: f64, (low, high): (f64, f64)) -> String {
    let decimals = (-step(high - low).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.trim_start_matches(['-', '0', '.']).is_empty() { text.trim_start_matches('-').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks((0.0, 1.0)), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        for range in [(0.0, 1.0), (-3.2, 8.9), (1234.0, 1235.0), (0.0, 1e-6), (-0.001, 4000.0)] {
            let count = ticks(range).len();
            assert!((3..=9).contains(&count), "{range:?}: {count}");
        }
        assert_eq!(
            (number(0.25, (0.0, 1.0)), number(-0.0, (-1.0, 1.0)), number(40.0, (0.0, 300.0))),
            ("0.2".into(), "0.0".into(), "40".into())
        );
    }

    #[test]
    fn values_are_where_the_axes_say() {
        let mut sheet = Sheet::new(400.0, "x");
        let panel = sheet.panel(100.0, (0.0, 10.0), (0.0, 1.0), ("a", "b"));
        let (left, bottom) = panel.at(panel.x().0, panel.y().0);
        let (right, top) = panel.at(panel.x().1, panel.y().1);
        assert!((right - left - (400.0 - LEFT - 24.0)).abs() < 1e-9 && (bottom - top - 100.0).abs() < 1e-9);
        assert_eq!(range([f64::NAN, 3.0, -1.0]), Some((-1.0, 3.0)));
        assert_eq!(range([]), None);
    }
}
