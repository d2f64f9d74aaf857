//! What is on a drawing, in units of one CSS pixel: boxes, lines and words, each with an ink by role.
//!
//! Letters are [`ADVANCE`] wide and [`LETTER`] high in every renderer, so that whether a word fits is known before it is
//! drawn.

/// The width of a letter.
pub(super) const ADVANCE: f64 = 7.0;
/// The height of a line of letters.
pub(super) const LETTER: f64 = 16.0;

/// A colour by what it is for; renderers choose the shade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Behind everything.
    Paper,
    /// Where no rank works.
    Idle,
    /// Words.
    Word,
    /// Words of less weight.
    Faint,
    /// Lines that mark a barrier.
    Rule,
    /// The groups of one degree, by the degree's binary logarithm.
    Group(usize),
    /// Words on such a group.
    OnGroup(usize),
}

/// Which point of a word is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One thing on the drawing; later ones cover earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// `tip` is for whoever points at it.
    Box { x: f64, y: f64, width: f64, height: f64, ink: Ink, tip: Option<String> },
    /// Downwards.
    Line { x: f64, y: f64, height: f64, ink: Ink },
    /// `y` is the middle of its letters.
    Word { x: f64, y: f64, anchor: Anchor, ink: Ink, text: String },
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What it is, for those who cannot see it.
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

/// How wide a word is.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * ADVANCE
}

/// Red, green and blue of an ink on light paper.
pub(super) fn light(ink: Ink) -> [u8; 3] {
    match ink {
        Ink::Paper => [0xff, 0xff, 0xff],
        Ink::Idle => [0xee, 0xf0, 0xf3],
        Ink::Word => [0x1c, 0x21, 0x28],
        Ink::Faint => [0x5c, 0x66, 0x73],
        Ink::Rule => [0x1c, 0x21, 0x28],
        Ink::Group(power) => shade(power).0,
        Ink::OnGroup(power) => shade(power).1,
    }
}

/// The same on dark paper; groups keep their colours.
pub(super) fn dark(ink: Ink) -> [u8; 3] {
    match ink {
        Ink::Paper => [0x12, 0x16, 0x1c],
        Ink::Idle => [0x20, 0x26, 0x2f],
        Ink::Word => [0xe8, 0xec, 0xf1],
        Ink::Faint => [0x9a, 0xa5, 0xb3],
        Ink::Rule => [0xe8, 0xec, 0xf1],
        group => light(group),
    }
}

/// Colours for degrees 1, 2, 4, …: warm and narrow to cool and wide, each with the colour of words on it. The last one
/// is for all larger degrees.
const SHADES: [([u8; 3], [u8; 3]); 10] = {
    const DARK: [u8; 3] = [0x1c, 0x21, 0x28];
    const LIGHT: [u8; 3] = [0xff, 0xff, 0xff];
    [
        ([0xf6, 0xcf, 0x57], DARK),
        ([0xf2, 0xa6, 0x55], DARK),
        ([0xe8, 0x7c, 0x66], DARK),
        ([0xb8, 0x4a, 0x84], LIGHT),
        ([0x7d, 0x4f, 0xb5], LIGHT),
        ([0x45, 0x66, 0xc4], LIGHT),
        ([0x20, 0x7b, 0xa3], LIGHT),
        ([0x1b, 0x83, 0x70], LIGHT),
        ([0x4b, 0x7f, 0x3a], LIGHT),
        ([0x6e, 0x6a, 0x2c], LIGHT),
    ]
};

fn shade(power: usize) -> ([u8; 3], [u8; 3]) {
    SHADES[power.min(SHADES.len() - 1)]
}

/// How many colours there are for groups.
pub(super) const GROUP_INKS: usize = SHADES.len();

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2).
    fn luminance(rgb: [u8; 3]) -> f64 {
        let linear = rgb.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn every_word_can_be_read_on_what_is_behind_it() {
        for shades in [light, dark] {
            for ink in [Ink::Word, Ink::Faint] {
                assert!(contrast(shades(ink), shades(Ink::Paper)) >= 4.5, "{ink:?}");
            }
        }
        for power in 0..GROUP_INKS {
            assert!(contrast(light(Ink::Group(power)), light(Ink::OnGroup(power))) >= 4.5, "2^{power}");
        }
    }
}
