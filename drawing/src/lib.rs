//! Drawings: what is where, and two renderers of it.
//!
//! ```text
//! Scene (boxes, lines, words, each with an ink by role) ─┬─ svg: text, light and dark
//!                                                        └─ png: pixels, light
//! ```
//!
//! Pure: a scene in, text or bytes out. It knows no plan and no figure: whoever has some says where they are.

mod png;
mod scene;
mod svg;

pub use png::{SCALE, png};
pub use scene::{ADVANCE, Anchor, Ink, LETTER, SHADES, Scene, Shape, dark, light, width};
pub use svg::svg;
