//! What is on a drawing, in units of one CSS pixel: boxes, lines and words, each with an ink by role.
//!
//! Letters are [`ADVANCE`] wide and [`LETTER`] high in every renderer, so that whether a word fits is known before it is
//! drawn.

/// The width of a letter.
pub const ADVANCE: f64 = 7.0;
/// The height of a line of letters.
pub const LETTER: f64 = 16.0;

/// A colour by what it is for; renderers choose the shade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Behind everything.
    Paper,
    /// Where nothing is.
    Idle,
    /// Words.
    Word,
    /// Words of less weight.
    Faint,
    /// Lines of weight.
    Rule,
    /// One of a sequence of colours, as many as [`SHADES`].
    Shade(usize),
    /// Words on such a colour.
    OnShade(usize),
}

/// Which point of a word is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Where it begins.
    Start,
    /// Its middle.
    Middle,
    /// Where it ends.
    End,
}

/// One thing on the drawing; later ones cover earlier ones.
#[expect(missing_docs, reason = "the fields are places, sizes, inks and words")]
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// `tip` is for whoever points at it.
    Box { x: f64, y: f64, width: f64, height: f64, ink: Ink, tip: Option<String> },
    /// Downwards.
    Line { x: f64, y: f64, height: f64, ink: Ink },
    /// From point to point.
    Path { points: Vec<(f64, f64)>, ink: Ink },
    /// `tip` is for whoever points at it.
    Dot { x: f64, y: f64, radius: f64, ink: Ink, tip: Option<String> },
    /// `y` is the middle of its letters.
    Word { x: f64, y: f64, anchor: Anchor, ink: Ink, text: String },
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// To the right edge.
    pub width: f64,
    /// To the lower edge.
    pub height: f64,
    /// What it is, for those who cannot see it.
    pub title: String,
    /// From the lowest to the topmost.
    pub shapes: Vec<Shape>,
}

/// How wide a word is.
pub fn width(text: &str) -> f64 {
    text.chars().count() as f64 * ADVANCE
}

/// Red, green and blue of an ink on light paper.
pub fn light(ink: Ink) -> [u8; 3] {
    match ink {
        Ink::Paper => [0xff, 0xff, 0xff],
        Ink::Idle => [0xee, 0xf0, 0xf3],
        Ink::Word => [0x1c, 0x21, 0x28],
        Ink::Faint => [0x5c, 0x66, 0x73],
        Ink::Rule => [0x1c, 0x21, 0x28],
        Ink::Shade(number) => shade(number).0,
        Ink::OnShade(number) => shade(number).1,
    }
}

/// The same on dark paper; shades keep their colours.
pub fn dark(ink: Ink) -> [u8; 3] {
    match ink {
        Ink::Paper => [0x12, 0x16, 0x1c],
        Ink::Idle => [0x20, 0x26, 0x2f],
        Ink::Word => [0xe8, 0xec, 0xf1],
        Ink::Faint => [0x9a, 0xa5, 0xb3],
        Ink::Rule => [0xe8, 0xec, 0xf1],
        shade => light(shade),
    }
}

/// Warm to cool, each with the colour of words on it. The last one stands for all that follow.
const COLOURS: [([u8; 3], [u8; 3]); 10] = {
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

fn shade(number: usize) -> ([u8; 3], [u8; 3]) {
    COLOURS[number.min(COLOURS.len() - 1)]
}

/// How many colours there are.
pub const SHADES: usize = COLOURS.len();

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
        for number in 0..SHADES {
            assert!(contrast(light(Ink::Shade(number)), light(Ink::OnShade(number))) >= 4.5, "{number}");
        }
    }
}
