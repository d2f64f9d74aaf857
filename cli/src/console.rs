//! The two channels to a person: data on stdout, everything else on stderr. Knows about quiet and colour; nobody else
//! writes to either.

use crate::error::{Error, Result};
use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    quiet: bool,
    color: bool,
    /// Whether a person sees stderr as it is written.
    pub(crate) live_stderr: bool,
    /// Whether a person sees stdout as it is written.
    pub(crate) live_stdout: bool,
}

impl Console {
    /// `no_color` is the flag; the environment variable NO_COLOR counts as well (<https://no-color.org>).
    pub(crate) fn new(quiet: bool, no_color: bool) -> Self {
        let live_stderr = io::stderr().is_terminal();
        let wished = !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { quiet, color: wished && live_stderr, live_stderr, live_stdout: io::stdout().is_terminal() }
    }

    /// Whether notes and progress are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether stderr may be coloured.
    pub(crate) fn is_colored(&self) -> bool {
        self.color
    }

    /// Writes data and ends it with a newline where it has none.
    pub(crate) fn data(&self, text: &str) -> Result {
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let mut out = io::stdout().lock();
        write!(out, "{text}{newline}").and_then(|()| out.flush()).map_err(|error| Error::stdout(&error))
    }

    /// Passes on a line of a program's output, whatever is in it; on a terminal it must not steer it.
    pub(crate) fn line_out(&self, text: &str) -> Result {
        let text = if self.live_stdout { Cow::Owned(harmless(text)) } else { Cow::Borrowed(text) };
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Error::stdout(&error))
    }

    /// The same for what it says on its standard error.
    pub(crate) fn line_err(&self, text: &str) {
        if self.live_stderr { self.say(&harmless(text)) } else { self.say(text) }
    }

    /// Says something that is no data; nothing when quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&harmless(text));
        }
    }

    /// Says what a person should know even when quiet.
    pub(crate) fn warn(&self, text: &str) {
        self.say(&format!("{} {}", self.paint("warning:", "1;33"), harmless(text)));
    }

    /// Says why the verb ended.
    pub(crate) fn error(&self, error: &Error) {
        self.say(&format!("{} {}", self.paint("error:", "1;31"), harmless(&error.message)));
        if let Some(hint) = &error.hint {
            self.say(&format!("\n{} {}", self.paint("hint:", "1;36"), harmless(hint)));
        }
    }

    fn paint(&self, word: &str, style: &str) -> String {
        if self.color { format!("\x1b[{style}m{word}\x1b[0m") } else { word.to_owned() }
    }

    /// A closed stderr leaves nobody to tell.
    fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Text from files, recipes and peers must not steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(super::harmless("a\x1b[2Jb\r\nü\u{9b}"), "a [2Jb \nü ");
    }
}
