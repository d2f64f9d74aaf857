//! A scene as SVG: one document with its own style, light or dark as the reader's screen is.

use crate::{Anchor, Ink, SHADES, Scene, Shape, dark, light};
use std::fmt::Write as _;

/// Letters of this size are as wide as [`crate::ADVANCE`] says, or a little less.
const FONT: &str = "font:11.6px ui-monospace,'Noto Sans Mono','DejaVu Sans Mono',Menlo,Consolas,monospace";

/// The document.
pub fn svg(scene: &Scene) -> String {
    let Scene { width, height, title, shapes } = scene;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>{}</title>\n",
        escape(title)
    );
    style(shapes.iter().any(|shape| matches!(shape, Shape::Path { .. })), &mut out);
    for shape in shapes {
        match shape {
            Shape::Box { x, y, width, height, ink, tip } => {
                let class = class(*ink);
                let _ =
                    write!(out, "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"");
                let _ = match tip {
                    Some(tip) => writeln!(out, "><title>{}</title></rect>", escape(tip)),
                    None => writeln!(out, "/>"),
                };
            }
            Shape::Line { x, y, height, ink } => {
                let (class, left) = (class(*ink), x - 0.5);
                let _ =
                    writeln!(out, "<rect class=\"{class}\" x=\"{left:.2}\" y=\"{y:.2}\" width=\"1\" height=\"{height:.2}\"/>");
            }
            Shape::Path { points, ink } => {
                let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect();
                let _ = writeln!(out, "<polyline class=\"l {}\" points=\"{}\"/>", class(*ink), points.join(" "));
            }
            Shape::Dot { x, y, radius, ink, tip } => {
                let _ = write!(out, "<circle class=\"{}\" cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius:.2}\"", class(*ink));
                let _ = match tip {
                    Some(tip) => writeln!(out, "><title>{}</title></circle>", escape(tip)),
                    None => writeln!(out, "/>"),
                };
            }
            Shape::Word { x, y, anchor, ink, text } => {
                let (class, base) = (class(*ink), y + 4.0);
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.2}\" y=\"{base:.2}\"{anchor}>{}</text>", escape(text));
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Colours by class, twice. Readers that know no `@media` skip the second set.
fn style(paths: bool, out: &mut String) {
    let inks = || {
        let shades = (0..SHADES).flat_map(|number| [Ink::Shade(number), Ink::OnShade(number)]);
        [Ink::Paper, Ink::Idle, Ink::Word, Ink::Faint, Ink::Rule].into_iter().chain(shades)
    };
    let rule = |ink, [r, g, b]: [u8; 3]| {
        let class = class(ink);
        let path = if paths { format!(".l.{class}{{stroke:#{r:02x}{g:02x}{b:02x}}}") } else { String::new() };
        format!(".{class}{{fill:#{r:02x}{g:02x}{b:02x}}}{path}")
    };
    let all: String = inks().map(|ink| rule(ink, light(ink))).collect();
    let changed: String = inks().filter(|&ink| dark(ink) != light(ink)).map(|ink| rule(ink, dark(ink))).collect();
    let _ = writeln!(
        out,
        "<style>text{{{FONT};pointer-events:none}}{all}@media(prefers-color-scheme:dark){{{changed}}}{}</style>",
        if paths { ".l{fill:none!important;stroke-width:1.6;stroke-linejoin:round}" } else { "" }
    );
}

fn class(ink: Ink) -> String {
    match ink {
        Ink::Paper => "paper".into(),
        Ink::Idle => "idle".into(),
        Ink::Word => "word".into(),
        Ink::Faint => "faint".into(),
        Ink::Rule => "rule".into(),
        Ink::Shade(number) => format!("g{number}"),
        Ink::OnShade(number) => format!("on{number}"),
    }
}

/// XML text: names come from files. Control characters have no form in XML at all.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(text: &str) -> Scene {
        let shapes = vec![
            Shape::Box { x: 1.0, y: 2.0, width: 3.0, height: 4.0, ink: Ink::Shade(3), tip: Some(text.into()) },
            Shape::Path { points: vec![(0.0, 0.0), (5.0, 5.0)], ink: Ink::Shade(1) },
            Shape::Dot { x: 5.0, y: 5.0, radius: 2.0, ink: Ink::Shade(1), tip: None },
            Shape::Word { x: 0.0, y: 9.0, anchor: Anchor::End, ink: Ink::Word, text: text.into() },
        ];
        Scene { width: 20.0, height: 10.0, title: text.into(), shapes }
    }

    #[test]
    fn names_from_files_cannot_break_the_document() {
        let text = svg(&scene("a<b>&\"c\"\u{1b}[2J"));
        assert!(text.contains("a&lt;b&gt;&amp;&quot;c&quot; [2J"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_document_holds_each_shape_and_no_other_file() {
        let text = svg(&scene("x"));
        assert_eq!(text.matches("http").count(), 1, "the namespace alone");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert!(text.contains("prefers-color-scheme:dark"));
        assert!(text.contains("<polyline class=\"l g1\" points=\"0.00,0.00 5.00,5.00\"/>"));
        assert!(text.contains("<circle class=\"g1\" cx=\"5.00\""));
        for (open, close) in [("<text", "</text>"), ("<svg", "</svg>"), ("<style>", "</style>"), ("<title>", "</title>")] {
            assert_eq!(text.matches(open).count(), text.matches(close).count(), "{open}");
        }
    }
}
