//! Printing a read once, or again after each change.

use super::{Format, ReadArgs, View, now, render};
use crate::{console::Console, error::Result};
use std::time::Duration;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_millis(500);

/// Prints what `read` returns; with `--watch` again after each change, on a terminal in place of what was there.
pub(crate) async fn watch<V: View>(console: &Console, args: ReadArgs, mut read: impl AsyncFnMut() -> Result<V>) -> Result {
    if !args.watch {
        return console.data(&render(&read().await?, args.output, now(), false)?);
    }
    let mut shown: Option<String> = None;
    loop {
        let view = read().await?;
        let text = render(&view, args.output, now(), true)?;
        // Ages grow all the time: worth a redraw, but no news for a pipe.
        let news = if console.live_stdout { text.clone() } else { render(&view, Format::Json, 0, true)? };
        if shown.as_ref() != Some(&news) {
            console.data(&framed(&text, args.output, console.live_stdout, shown.is_none()))?;
            shown = Some(news);
        }
        if view.is_final() {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// A reading among others: a terminal is cleared; a pipe gets documents that can be told apart.
fn framed(text: &str, format: Format, live: bool, first: bool) -> String {
    match format {
        Format::Table if live => format!("\x1b[H\x1b[2J{text}"),
        Format::Table if !first => format!("\n{text}"),
        Format::Yaml if !first => format!("---\n{text}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_can_be_told_apart() {
        assert_eq!(framed("x", Format::Table, true, true), "\x1b[H\x1b[2Jx");
        assert_eq!(framed("x", Format::Table, false, true), "x");
        assert_eq!(framed("x", Format::Table, false, false), "\nx");
        assert_eq!(framed("x", Format::Yaml, true, false), "---\nx");
        assert_eq!(framed("{}", Format::Json, true, false), "{}");
    }
}
