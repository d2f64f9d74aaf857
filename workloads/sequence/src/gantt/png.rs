//! A scene as PNG: boxes filled by the share of each pixel that they cover, letters from a bitmap font.

use super::scene::{ADVANCE, Anchor, Ink, LETTER, Scene, Shape, light, width};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

/// Pixels to a unit of the scene; letters of the font have the size of [`ADVANCE`] × [`LETTER`] at this scale.
const SCALE: f64 = 2.0;
const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size32;
const _: () = assert!(HEIGHT.val() as f64 == LETTER * SCALE && get_raster_width(WEIGHT, HEIGHT) as f64 == ADVANCE * SCALE);

/// The file.
pub(super) fn render(scene: &Scene) -> Vec<u8> {
    let mut canvas = Canvas::new(scene);
    for shape in &scene.shapes {
        match shape {
            Shape::Box { x, y, width, height, ink, .. } => canvas.fill([*x, *y, x + width, y + height], *ink),
            Shape::Line { x, y, height, ink } => canvas.fill([x - 0.5, *y, x + 0.5, y + height], *ink),
            Shape::Word { x, y, anchor, ink, text } => canvas.word(*x, *y, *anchor, *ink, text),
        }
    }
    canvas.encode()
}

/// Red, green and blue of each pixel, row by row.
struct Canvas {
    columns: usize,
    rows: usize,
    pixels: Vec<[u8; 3]>,
}

impl Canvas {
    fn new(scene: &Scene) -> Self {
        let pixels = |units: f64| (units * SCALE).ceil() as usize;
        let (columns, rows) = (pixels(scene.width), pixels(scene.height));
        Self { columns, rows, pixels: vec![light(Ink::Paper); columns * rows] }
    }

    /// Fills from left, top to right, bottom, in units of the scene.
    fn fill(&mut self, edges: [f64; 4], ink: Ink) {
        let [left, top, right, bottom] = edges.map(|edge| edge * SCALE);
        for row in span(top, bottom, self.rows) {
            let down = cover(row, top, bottom);
            for column in span(left, right, self.columns) {
                self.blend(column, row, ink, down * cover(column, left, right));
            }
        }
    }

    fn word(&mut self, x: f64, y: f64, anchor: Anchor, ink: Ink, text: &str) {
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width(text) / 2.0,
            Anchor::End => x - width(text),
        };
        // Whole pixels: the font was drawn for them.
        let (mut column, top) = ((left * SCALE).round(), ((y - LETTER / 2.0) * SCALE).round());
        for c in text.chars() {
            if let Some(letter) = letter(c) {
                for (down, line) in letter.rows().enumerate() {
                    for (right, &share) in line.iter().enumerate() {
                        let (at, row) = (column + right as f64, top + down as f64);
                        if at >= 0.0 && row >= 0.0 {
                            self.blend(at as usize, row as usize, ink, f64::from(share) / 255.0);
                        }
                    }
                }
            }
            column += ADVANCE * SCALE;
        }
    }

    fn blend(&mut self, column: usize, row: usize, ink: Ink, share: f64) {
        if column >= self.columns || row >= self.rows {
            return;
        }
        let pixel = &mut self.pixels[row * self.columns + column];
        for (old, new) in pixel.iter_mut().zip(light(ink)) {
            *old = (f64::from(*old) * (1.0 - share) + f64::from(new) * share).round() as u8;
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let (columns, rows) = (self.columns as u32, self.rows as u32);
        let mut encoder = png::Encoder::new(&mut out, columns, rows);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Balanced);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(self.pixels.as_flattened()));
        written.expect("memory takes every byte, and there are as many pixels as the header says");
        out
    }
}

/// The pixels that lie at least in part between two edges.
fn span(from: f64, to: f64, limit: usize) -> std::ops::Range<usize> {
    (from.max(0.0).floor() as usize).min(limit)..(to.max(0.0).ceil() as usize).min(limit)
}

/// The share of a pixel that lies between two edges.
fn cover(pixel: usize, from: f64, to: f64) -> f64 {
    let pixel = pixel as f64;
    ((pixel + 1.0).min(to) - pixel.max(from)).clamp(0.0, 1.0)
}

fn letter(c: char) -> Option<RasterizedChar> {
    get_raster(c, WEIGHT, HEIGHT).or_else(|| get_raster('?', WEIGHT, HEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gantt::draw::{draw, tests::plan};

    fn decode(file: &[u8]) -> (png::OutputInfo, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info, pixels)
    }

    #[test]
    fn the_file_shows_each_group_in_its_colour() {
        let scene = draw(&plan(true), "ünicode → x");
        let (info, pixels) = decode(&render(&scene));
        assert_eq!((f64::from(info.width), f64::from(info.height)), (scene.width * SCALE, scene.height * SCALE));
        let mut boxes = 0;
        for shape in &scene.shapes {
            if let Shape::Box { x, y, ink: ink @ Ink::Group(_), .. } = shape {
                // A corner, where no word is.
                let at = ((y * SCALE) as usize + 3) * info.width as usize + (x * SCALE) as usize + 3;
                assert_eq!(pixels[at * 3..at * 3 + 3], light(*ink));
                boxes += 1;
            }
        }
        assert!(boxes >= 6);
    }

    #[test]
    fn a_pixel_that_is_covered_in_part_takes_that_share_of_the_colour() {
        let scene = Scene { width: 4.0, height: 4.0, title: String::new(), shapes: Vec::new() };
        let mut canvas = Canvas::new(&scene);
        canvas.fill([0.0, 0.0, 1.25, 1.0], Ink::Word);
        let [paper, word] = [Ink::Paper, Ink::Word].map(|ink| f64::from(light(ink)[0]));
        assert_eq!(
            canvas.pixels[..4].iter().map(|p| f64::from(p[0])).collect::<Vec<_>>(),
            [word, word, ((paper + word) / 2.0).round(), paper]
        );
    }

    #[test]
    fn words_beyond_the_edge_are_cut() {
        let mut canvas = Canvas::new(&Scene { width: 20.0, height: 10.0, title: String::new(), shapes: Vec::new() });
        canvas.word(-30.0, 0.0, Anchor::Start, Ink::Word, "a long word");
        canvas.word(1e9, 1e9, Anchor::End, Ink::Word, "far away");
        assert!(canvas.pixels.iter().any(|pixel| *pixel != light(Ink::Paper)));
    }
}
