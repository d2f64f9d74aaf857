//! A scene as PNG: boxes filled by the share of each pixel that they cover, letters from a bitmap font.

use crate::scene::{ADVANCE, Anchor, Ink, LETTER, Scene, Shape, light, width};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

/// Pixels to a unit of the scene; letters of the font have the size of [`ADVANCE`] × [`LETTER`] at this scale.
pub const SCALE: f64 = 2.0;
const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size32;
const _: () = assert!(HEIGHT.val() as f64 == LETTER * SCALE && get_raster_width(WEIGHT, HEIGHT) as f64 == ADVANCE * SCALE);

/// The file.
pub fn png(scene: &Scene) -> Vec<u8> {
    let mut canvas = Canvas::new(scene);
    for shape in &scene.shapes {
        match shape {
            Shape::Box { x, y, width, height, ink, .. } => canvas.fill([*x, *y, x + width, y + height], *ink),
            Shape::Line { x, y, height, ink } => canvas.fill([x - 0.5, *y, x + 0.5, y + height], *ink),
            Shape::Path { points, ink } => points.windows(2).for_each(|pair| {
                if let [from, to] = pair {
                    canvas.stroke(*from, *to, *ink);
                }
            }),
            Shape::Dot { x, y, radius, ink, .. } => canvas.round((*x, *y), (*x, *y), *radius, *ink),
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

    /// A line of 1.6 units, round at its ends.
    fn stroke(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        self.round(from, to, 0.8, ink);
    }

    /// All pixels that are no farther than `radius` from the line between two points, in units of the scene.
    fn round(&mut self, from: (f64, f64), to: (f64, f64), radius: f64, ink: Ink) {
        let [x, y, right, down, radius] = [from.0, from.1, to.0 - from.0, to.1 - from.1, radius].map(|units| units * SCALE);
        let reach = radius + 1.0;
        let (left, end) = (x.min(x + right) - reach, x.max(x + right) + reach);
        let (top, bottom) = (y.min(y + down) - reach, y.max(y + down) + reach);
        let length = right * right + down * down;
        for row in span(top, bottom, self.rows) {
            for column in span(left, end, self.columns) {
                let (px, py) = (column as f64 + 0.5 - x, row as f64 + 0.5 - y);
                let along = if length > 0.0 { ((px * right + py * down) / length).clamp(0.0, 1.0) } else { 0.0 };
                let away = (px - along * right).hypot(py - along * down);
                let share = (radius + 0.5 - away).clamp(0.0, 1.0);
                if share > 0.0 {
                    self.blend(column, row, ink, share);
                }
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
        let mut encoder = ::png::Encoder::new(&mut out, columns, rows);
        encoder.set_color(::png::ColorType::Rgb);
        encoder.set_depth(::png::BitDepth::Eight);
        encoder.set_compression(::png::Compression::Balanced);
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

    fn decode(file: &[u8]) -> (::png::OutputInfo, Vec<u8>) {
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info, pixels)
    }

    #[test]
    fn the_file_shows_each_shape_in_its_colour() {
        let shapes = vec![
            Shape::Box { x: 2.0, y: 2.0, width: 10.0, height: 8.0, ink: Ink::Shade(4), tip: None },
            Shape::Path { points: vec![(20.0, 5.0), (30.0, 5.0), (30.0, 15.0)], ink: Ink::Shade(1) },
            Shape::Dot { x: 10.0, y: 20.0, radius: 3.0, ink: Ink::Shade(7), tip: None },
        ];
        let scene = Scene { width: 40.0, height: 30.0, title: String::new(), shapes };
        let (info, pixels) = decode(&png(&scene));
        assert_eq!((f64::from(info.width), f64::from(info.height)), (scene.width * SCALE, scene.height * SCALE));
        let at = |x: f64, y: f64| {
            let at = ((y * SCALE) as usize * info.width as usize + (x * SCALE) as usize) * 3;
            pixels[at..at + 3].to_vec()
        };
        for (x, y, ink) in [(7.0, 5.0, 4), (25.0, 5.0, 1), (30.0, 12.0, 1), (10.0, 20.0, 7), (11.5, 21.5, 7)] {
            assert_eq!(at(x, y), light(Ink::Shade(ink)), "{x} {y}");
        }
        assert_eq!(at(25.0, 12.0), light(Ink::Paper));
        assert_eq!(at(13.0, 23.0), light(Ink::Paper), "a dot is round");
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
