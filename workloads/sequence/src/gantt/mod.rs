//! The drawing of a plan: ranks downwards, time to the right, one box for each group, coloured by degree.
//!
//! ```text
//! Plan ─ schedule (when each group runs) ─ draw (boxes, lines, words) ─ Scene ─ svg or png, by braid-drawing
//! ```
//!
//! Pure: a plan in, text or bytes out. What is written where is the caller's business.

mod draw;
mod schedule;

use crate::planner::Plan;

/// The drawing as an SVG document that needs no other file. `heading` is its first line.
#[must_use]
pub fn svg(plan: &Plan, heading: &str) -> String {
    braid_drawing::svg(&draw::draw(plan, heading))
}

/// The drawing as a PNG file, two pixels to a unit of the SVG. Characters beyond Latin-1 in `heading` become `?`.
#[must_use]
pub fn png(plan: &Plan, heading: &str) -> Vec<u8> {
    braid_drawing::png(&draw::draw(plan, heading))
}
