//! A scene as SVG: one document with its own style, light or dark as the reader's screen is.

use super::scene::{Anchor, GROUP_INKS, Ink, Scene, Shape, dark, light};
use std::fmt::Write as _;

/// Letters of this size are as wide as [`super::scene::ADVANCE`] says, or a little less.
const FONT: &str = "font:11.6px ui-monospace,'Noto Sans Mono','DejaVu Sans Mono',Menlo,Consolas,monospace";

/// The document.
pub(super) fn render(scene: &Scene) -> String {
    let Scene { width, height, title, shapes } = scene;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>{}</title>\n",
        escape(title)
    );
    style(&mut out);
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
fn style(out: &mut String) {
    let inks = || {
        let groups = (0..GROUP_INKS).flat_map(|power| [Ink::Group(power), Ink::OnGroup(power)]);
        [Ink::Paper, Ink::Idle, Ink::Word, Ink::Faint, Ink::Rule].into_iter().chain(groups)
    };
    let rule = |ink, [r, g, b]: [u8; 3]| format!(".{}{{fill:#{r:02x}{g:02x}{b:02x}}}", class(ink));
    let all: String = inks().map(|ink| rule(ink, light(ink))).collect();
    let changed: String = inks().filter(|&ink| dark(ink) != light(ink)).map(|ink| rule(ink, dark(ink))).collect();
    let _ = writeln!(out, "<style>text{{{FONT};pointer-events:none}}{all}@media(prefers-color-scheme:dark){{{changed}}}</style>");
}

fn class(ink: Ink) -> String {
    match ink {
        Ink::Paper => "paper".into(),
        Ink::Idle => "idle".into(),
        Ink::Word => "word".into(),
        Ink::Faint => "faint".into(),
        Ink::Rule => "rule".into(),
        Ink::Group(power) => format!("g{power}"),
        Ink::OnGroup(power) => format!("on{power}"),
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
    use crate::gantt::draw::{draw, tests::plan};

    #[test]
    fn names_from_files_cannot_break_the_document() {
        let text = render(&draw(&plan(true), "a<b>&\"c\"\u{1b}[2J"));
        assert!(text.contains("a&lt;b&gt;&amp;&quot;c&quot; [2J"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_document_holds_one_box_for_each_group_and_no_other_file() {
        let text = render(&draw(&plan(true), "x"));
        assert_eq!(text.matches("<title>micro-batch").count(), 6);
        assert_eq!(text.matches("http").count(), 1, "the namespace alone");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert!(text.contains("prefers-color-scheme:dark"));
        for (open, close) in [("<text", "</text>"), ("<svg", "</svg>"), ("<style>", "</style>"), ("<title>", "</title>")] {
            assert_eq!(text.matches(open).count(), text.matches(close).count(), "{open}");
        }
    }
}
