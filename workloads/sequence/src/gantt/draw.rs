//! Where everything is on the drawing.

use super::schedule::{Run, runs};
use crate::planner::{Millis, Plan};
use braid_drawing::{Anchor, Ink, LETTER, SHADES, Scene, Shape, width};
use std::collections::BTreeSet;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
/// Room above the plot: two lines of words, the legend, the numbers of the micro-batches.
const TOP: f64 = 106.0;
const BOTTOM: f64 = 52.0;
/// How high the plot may be, and how high a rank is where there is room.
const PLOT: std::ops::RangeInclusive<f64> = 96.0..=640.0;
const RANK: f64 = 9.0;
/// Boxes do not touch, so that equal neighbours can be told apart.
const SEAM: f64 = 1.0;
/// How many sequences a tip names.
const NAMED: usize = 12;

/// Maps ranks and times to the plot.
struct Plot {
    per_rank: f64,
    per_ms: f64,
    height: f64,
}

impl Plot {
    fn x(&self, at: Millis) -> f64 {
        LEFT + at.0 * self.per_ms
    }

    fn y(&self, rank: u32) -> f64 {
        TOP + f64::from(rank) * self.per_rank
    }

    fn bottom(&self) -> f64 {
        TOP + self.height
    }
}

/// Draws a plan.
pub(super) fn draw(plan: &Plan, heading: &str) -> Scene {
    let runs = runs(plan);
    let end = runs.iter().map(Run::end).fold(Millis(0.0), Millis::max);
    let height = (f64::from(plan.world) * RANK).clamp(*PLOT.start(), *PLOT.end());
    let plot = Plot {
        per_rank: height / f64::from(plan.world.max(1)),
        per_ms: (WIDTH - LEFT - RIGHT) / if end.0 > 0.0 { end.0 } else { 1.0 },
        height,
    };
    let whole = TOP + height + BOTTOM;
    let summary = summary(plan, &runs, end);
    let mut shapes = vec![
        Shape::Box { x: 0.0, y: 0.0, width: WIDTH, height: whole, ink: Ink::Paper, tip: None },
        word(LEFT, 22.0, Anchor::Start, Ink::Word, heading.to_owned()),
        word(LEFT, 42.0, Anchor::Start, Ink::Faint, summary.clone()),
        Shape::Box { x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height, ink: Ink::Idle, tip: None },
    ];
    legend(&runs, &mut shapes);
    ranks(plan.world, &plot, &mut shapes);
    seconds(end, &plot, &mut shapes);
    runs.iter().for_each(|run| group(run, &plot, &mut shapes));
    if plan.barrier {
        micro_batches(plan, &plot, &mut shapes);
    }
    Scene { width: WIDTH, height: whole, title: format!("{heading}: {summary}"), shapes }
}

fn word(x: f64, y: f64, anchor: Anchor, ink: Ink, text: String) -> Shape {
    Shape::Word { x, y, anchor, ink, text }
}

/// `predicted 7.66 s, bound 7.23 s, gap 5.9 %, ranks busy 93 % of the time`
fn summary(plan: &Plan, runs: &[Run<'_>], end: Millis) -> String {
    let busy: f64 = runs.iter().map(|run| run.group.predicted_ms.0 * f64::from(run.group.degree.0)).sum();
    let all = end.0 * f64::from(plan.world);
    let busy = if all > 0.0 { 100.0 * busy / all } else { 0.0 };
    let order = if plan.barrier { "" } else { ", no barrier between micro-batches" };
    format!(
        "predicted {:.2} s, bound {:.2} s, gap {:.1} %, ranks busy {busy:.0} % of the time{order}",
        plan.predicted_ms.seconds(),
        plan.bound_ms.seconds(),
        100.0 * plan.gap()
    )
}

fn legend(runs: &[Run<'_>], shapes: &mut Vec<Shape>) {
    let degrees: BTreeSet<u32> = runs.iter().map(|run| run.group.degree.0).collect();
    let y = 66.0;
    let mut x = LEFT;
    shapes.push(word(x, y, Anchor::Start, Ink::Faint, "ranks in a group".into()));
    x += width("ranks in a group") + 14.0;
    let mut swatch = |ink, text: String| {
        let next = x + 18.0 + width(&text) + 14.0;
        if next <= WIDTH - RIGHT {
            shapes.push(Shape::Box { x, y: y - 6.0, width: 12.0, height: 12.0, ink, tip: None });
            shapes.push(word(x + 18.0, y, Anchor::Start, Ink::Word, text));
            x = next;
        }
    };
    for degree in degrees {
        swatch(Ink::Shade(power(degree)), degree.to_string());
    }
    swatch(Ink::Idle, "idle".into());
}

/// Degrees that are no powers of two have the colour of the next lower one.
fn power(degree: u32) -> usize {
    (degree.max(1).ilog2() as usize).min(SHADES - 1)
}

/// The scale at the left: not more than nine ranks by number.
fn ranks(world: u32, plot: &Plot, shapes: &mut Vec<Shape>) {
    let step = world.div_ceil(8).next_power_of_two();
    for rank in (0..world).step_by(step as usize) {
        let y = plot.y(rank) + LETTER / 2.0 - 2.0;
        shapes.push(word(LEFT - 8.0, y, Anchor::End, Ink::Faint, rank.to_string()));
    }
    shapes.push(word(LEFT - 8.0, TOP - 14.0, Anchor::End, Ink::Faint, "rank".into()));
}

/// The scale below.
fn seconds(end: Millis, plot: &Plot, shapes: &mut Vec<Shape>) {
    let step = tick(end.seconds());
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let mut ticks = 0u32;
    while f64::from(ticks) * step <= end.seconds() * (1.0 + 1e-9) && ticks < 100 {
        let at = f64::from(ticks) * step;
        let x = plot.x(Millis(at * 1000.0));
        shapes.push(Shape::Line { x, y: plot.bottom(), height: 5.0, ink: Ink::Faint });
        shapes.push(word(x, plot.bottom() + 16.0, Anchor::Middle, Ink::Faint, format!("{at:.decimals$}")));
        ticks += 1;
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    shapes.push(word(middle, plot.bottom() + 36.0, Anchor::Middle, Ink::Faint, "seconds".into()));
}

/// 1, 2 or 5 times a power of ten, so that 5 to 12 of them make `whole`.
fn tick(whole: f64) -> f64 {
    if !(whole.is_finite() && whole > 0.0) {
        return 1.0;
    }
    let rough = whole / 12.0;
    let unit = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * unit).find(|&step| step >= rough).unwrap_or(10.0 * unit)
}

fn group(run: &Run<'_>, plot: &Plot, shapes: &mut Vec<Shape>) {
    let (first, degree) = (run.group.first_rank.0, run.group.degree.0);
    let (x, y) = (plot.x(run.start), plot.y(first));
    let box_width = (plot.x(run.end()) - x - SEAM).max(0.5);
    let height = plot.per_rank * f64::from(degree);
    let height = if height > 3.0 * SEAM { height - SEAM } else { height };
    let ink = power(degree);
    shapes.push(Shape::Box { x, y, width: box_width, height, ink: Ink::Shade(ink), tip: Some(tip(run)) });
    if height < LETTER - 3.0 {
        return;
    }
    let count = run.group.sequences.len();
    let label = [format!("{count} seq on {degree}"), format!("{count}/{degree}"), degree.to_string()];
    if let Some(label) = label.into_iter().find(|label| width(label) + 8.0 <= box_width) {
        shapes.push(word(x + box_width / 2.0, y + height / 2.0, Anchor::Middle, Ink::OnShade(ink), label));
    }
}

/// All that is known of a group.
fn tip(run: &Run<'_>) -> String {
    let ranks = run.group.ranks();
    let who = match run.group.degree.0 {
        1 => format!("rank {}", ranks.start),
        _ => format!("ranks {} to {}", ranks.start, ranks.end.saturating_sub(1)),
    };
    let names: Vec<String> = run.group.sequences.iter().take(NAMED).map(usize::to_string).collect();
    let more = match run.group.sequences.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "micro-batch {}, {who}: {:.3} s from {:.3} s; sequences {}{more}",
        run.micro_batch + 1,
        run.group.predicted_ms.seconds(),
        run.start.seconds(),
        names.join(", ")
    )
}

/// Numbers and times above, a line where all ranks wait.
fn micro_batches(plan: &Plan, plot: &Plot, shapes: &mut Vec<Shape>) {
    let mut start = Millis(0.0);
    for (index, m) in plan.micro_batches.iter().enumerate() {
        let end = start + m.predicted_ms;
        let (left, right) = (plot.x(start), plot.x(end));
        let number = index + 1;
        let labels = [
            format!("micro-batch {number}: {:.2} s", m.predicted_ms.seconds()),
            format!("{number}: {:.2} s", m.predicted_ms.seconds()),
            number.to_string(),
        ];
        if let Some(label) = labels.into_iter().find(|label| width(label) + 6.0 <= right - left) {
            shapes.push(word((left + right) / 2.0, TOP - 14.0, Anchor::Middle, Ink::Word, label));
        }
        if number < plan.micro_batches.len() {
            shapes.push(Shape::Line { x: right - SEAM / 2.0, y: TOP - 6.0, height: plot.height + 6.0, ink: Ink::Rule });
        }
        start = end;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::planner::{Degree, Group, MicroBatch, Rank};

    /// Eight ranks, two micro-batches of 3 s and 2 s; without the barrier they overlap.
    pub(in crate::gantt) fn plan(barrier: bool) -> Plan {
        let group = |first, degree, seconds, sequences: &[usize]| Group {
            first_rank: Rank(first),
            degree: Degree(degree),
            predicted_ms: Millis(seconds * 1000.0),
            sequences: sequences.to_vec(),
        };
        let micro_batch =
            |seconds, groups| MicroBatch { predicted_ms: Millis(seconds * 1000.0), bound_ms: Millis(seconds * 950.0), groups };
        Plan {
            world: 8,
            barrier,
            micro_batches: vec![
                micro_batch(3.0, vec![group(0, 4, 3.0, &[0]), group(4, 2, 2.0, &[1, 2]), group(6, 1, 1.5, &[3])]),
                micro_batch(
                    2.0,
                    vec![group(4, 2, 1.0, &[4, 5]), group(0, 4, 2.0, &[6]), group(6, 2, 1.0, &(7..40).collect::<Vec<_>>())],
                ),
            ],
            predicted_ms: Millis(5000.0),
            bound_ms: Millis(4750.0),
            any_division_bound_ms: Millis(4000.0),
        }
    }

    fn words(scene: &Scene) -> Vec<&str> {
        let texts = scene.shapes.iter().filter_map(|shape| match shape {
            Shape::Word { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn every_group_is_a_box_inside_the_plot() {
        for barrier in [true, false] {
            let scene = draw(&plan(barrier), "a heading");
            let mut seen = 0;
            for shape in &scene.shapes {
                if let Shape::Box { x, y, width, height, tip: Some(_), .. } = shape {
                    seen += 1;
                    assert!(*x >= LEFT && x + width <= WIDTH - RIGHT && *y >= TOP && y + height <= scene.height - BOTTOM);
                }
            }
            assert_eq!(seen, 6);
        }
    }

    #[test]
    fn words_say_what_is_planned_and_stay_on_the_paper() {
        let scene = draw(&plan(true), "gpt-7b on a100x8");
        let words = words(&scene);
        for said in [
            "gpt-7b on a100x8",
            "predicted 5.00 s, bound 4.75 s, gap 5.3 %, ranks busy 74 % of the time",
            "micro-batch 2: 2.00 s",
            "33 seq on 2",
            "0",
            "7",
            "0.5",
            "5.0",
        ] {
            assert!(words.contains(&said), "{said} is not in {words:?}");
        }
        for shape in &scene.shapes {
            if let Shape::Word { x, y, anchor, text, .. } = shape {
                let left = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width(text) / 2.0,
                    Anchor::End => x - width(text),
                };
                assert!(left >= 0.0 && left + width(text) <= WIDTH && *y > 8.0 && *y < scene.height - 8.0, "{text}");
            }
        }
    }

    #[test]
    fn without_a_barrier_no_line_is_drawn_through_the_groups() {
        let rules = |barrier| {
            let scene = draw(&plan(barrier), "");
            scene.shapes.iter().filter(|shape| matches!(shape, Shape::Line { ink: Ink::Rule, .. })).count()
        };
        assert_eq!((rules(true), rules(false)), (1, 0));
    }

    #[test]
    fn tips_name_a_few_sequences_and_count_the_rest() {
        let plan = plan(true);
        let runs = runs(&plan);
        assert_eq!(tip(&runs[2]), "micro-batch 1, rank 6: 1.500 s from 0.000 s; sequences 3");
        let many = tip(&runs[5]);
        assert!(
            many.starts_with("micro-batch 2, ranks 6 to 7: 1.000 s from 3.000 s; sequences 7, 8, ")
                && many.ends_with("18 and 21 more"),
            "{many}"
        );
    }

    #[test]
    fn ticks_are_round_and_neither_crowded_nor_rare() {
        for whole in [0.003, 0.07, 1.0, 7.6, 12.0, 29.5, 133.0, 86_400.0] {
            let count = (whole / tick(whole)).floor();
            assert!((5.0..=12.0).contains(&count), "{whole}: {count}");
        }
        assert_eq!((tick(29.5), tick(0.0), tick(f64::NAN)), (5.0, 1.0, 1.0));
    }

    #[test]
    fn an_empty_plan_and_a_hostile_one_are_drawn() {
        let mut plan = plan(true);
        plan.world = 2; // its groups reach beyond
        draw(&plan, "");
        plan.micro_batches.clear();
        plan.world = 0;
        draw(&plan, "");
    }
}
