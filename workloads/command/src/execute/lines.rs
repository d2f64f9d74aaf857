//! From the bytes that a program prints to lines of a log. Pure.
//!
//! A line ends with a newline, or where it gets too long, at a letter's border. Of a line that was written over (progress bars
//! print carriage returns) the last form is kept. What is not UTF-8 becomes U+FFFD.

/// The longest line, in bytes; a longer one is split.
pub(super) const LONGEST: usize = 4000;

/// What has come of a line that has not ended.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes in what was printed and says the lines that are whole.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut say: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.grow(&bytes[..end], &mut say);
            let line = std::mem::take(&mut self.rest);
            say(text(written_over(line.strip_suffix(b"\r").unwrap_or(&line))));
            bytes = &bytes[end + 1..];
        }
        self.grow(bytes, &mut say);
    }

    /// Says what the last line has come to, if there is anything.
    pub(super) fn finish(self, mut say: impl FnMut(String)) {
        let line = self.rest.strip_suffix(b"\r").unwrap_or(&self.rest);
        if !line.is_empty() {
            say(text(written_over(line)));
        }
    }

    fn grow(&mut self, mut bytes: &[u8], say: &mut impl FnMut(String)) {
        while !bytes.is_empty() {
            let room = (LONGEST + 4).saturating_sub(self.rest.len()).max(1);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() <= LONGEST {
                continue;
            }
            let kept = written_over(&self.rest).len();
            if kept < self.rest.len() {
                self.rest.drain(..self.rest.len() - kept);
            } else {
                let rest = self.rest.split_off(border(&self.rest));
                say(text(&std::mem::replace(&mut self.rest, rest)));
            }
        }
    }
}

/// The last form of a line that was written over. One that ends in a carriage return is about to be.
fn written_over(line: &[u8]) -> &[u8] {
    let end = line.len() - line.iter().rev().take_while(|byte| **byte == b'\r').count();
    let start = line[..end].iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    &line[start..]
}

/// Where to split a line that is too long: not within a letter.
fn border(line: &[u8]) -> usize {
    let inside = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (LONGEST - 3..=LONGEST).rev().find(|at| !inside(at)).unwrap_or(LONGEST)
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut said) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| said.push(line));
        }
        lines.finish(|line| said.push(line));
        said
    }

    #[test]
    fn a_line_is_what_a_terminal_would_show() {
        for (printed, shown) in [
            (&b"a\nb"[..], vec!["a", "b"]),
            (b"\n\na\n", vec!["", "", "a"]),
            (b"a\r\nb\r\n", vec!["a", "b"]),
            (b"10%\r20%\r100%\ndone", vec!["100%", "done"]),
            (b"10%\r20%\r", vec!["20%"]),
            (b"\xff\xfeok\n", vec!["\u{fffd}\u{fffd}ok"]),
            (b"", vec![]),
        ] {
            assert_eq!(lines(&[printed]), shown, "{printed:?}");
        }
    }

    #[test]
    fn a_long_line_is_split_at_a_letter_and_a_bar_never_grows() {
        let long = "é".repeat(5000);
        let split = lines(&[long.as_bytes()]);
        assert!(split.len() == 3 && split.iter().all(|line| line.len() <= LONGEST && !line.contains('\u{fffd}')), "{split:?}");
        assert_eq!(split.concat(), long);
        let bar = "50% of much\r".repeat(100_000);
        assert_eq!(lines(&[bar.as_bytes()]), ["50% of much"]);
    }

    proptest! {
        /// However the bytes come in pieces, the lines are the same, and nothing but line ends is lost.
        #[test]
        fn pieces_do_not_matter(text in "[a-zé\n]{0,200}", cuts in proptest::collection::vec(1usize..50, 0..20), times in 1usize..60) {
            let bytes = text.repeat(times).into_bytes();
            let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            pieces.push(rest);
            let said = lines(&pieces);
            prop_assert_eq!(&said, &lines(&[&bytes]));
            prop_assert_eq!(said.concat(), String::from_utf8(bytes).unwrap().replace('\n', ""));
        }
    }
}
