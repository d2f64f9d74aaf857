//! The documents of a YAML file, each as text of its own in which everything stands where it stands in the file.
//!
//! A line that begins with `---` begins a document and one that begins with `...` ends it, whatever stands around it: nothing else in
//! YAML may begin so (YAML 1.2.2, 9.1.2). What is in the documents is not looked at.

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Its text, after as many empty lines as the file has before it.
    pub(super) padded: String,
    /// The line of the first thing that it says, from 1.
    pub(super) line: u32,
}

impl Document {
    /// Its text alone.
    pub(super) fn text(&self) -> &str {
        self.padded.trim_start_matches('\n').trim_end()
    }
}

/// The documents that say something, in order. A file of one document is that document, as it is.
pub(super) fn documents(text: &str) -> Vec<Document> {
    let mut found: Vec<Document> = Vec::new();
    let mut own = String::new();
    // where it begins to say something; directives before `---` belong to what comes after it
    let mut says: Option<u32> = None;
    let mut close = |own: &mut String, says: &mut Option<u32>, next: usize| {
        if let Some(line) = says.take() {
            found.push(Document { padded: std::mem::take(own), line });
        }
        *own = "\n".repeat(next);
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match marker(line) {
            Some("---") => {
                close(&mut own, &mut says, index);
                own.push_str("   ");
                own.push_str(&line[3..]);
            }
            Some(_) => {
                close(&mut own, &mut says, index);
                own.push('\n');
            }
            None if line.starts_with('%') && says.is_none() => own.push('\n'),
            None => own.push_str(line),
        }
        let said = line.strip_prefix("---").unwrap_or(line).trim_start();
        if says.is_none() && marker(line) != Some("...") && !said.is_empty() && !said.starts_with(['#', '%']) {
            says = Some(u32::try_from(index + 1).unwrap_or(u32::MAX));
        }
    }
    close(&mut own, &mut says, 0);
    found
}

/// The marker that a line begins with.
fn marker(line: &str) -> Option<&str> {
    let (first, rest) = (line.get(..3)?, line.get(3..)?);
    (matches!(first, "---" | "...") && (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<(u32, String)> {
        documents(text).into_iter().map(|document| (document.line, document.text().to_owned())).collect()
    }

    #[test]
    fn documents_are_told_apart_by_their_markers() {
        for (text, expected) in [
            ("a: 1\n", vec![(1, "a: 1")]),
            ("---\na: 1\n---\n\n# b\nb: 2", vec![(2, "   \na: 1"), (6, "   \n\n# b\nb: 2")]),
            ("--- {a: 1}\n---\n", vec![(1, "    {a: 1}")]),
            ("a: 1\n...\n---\n# nothing\n---\nb: 2\n...\n", vec![(1, "a: 1"), (6, "   \nb: 2")]),
            ("%YAML 1.2\n---\na: 1\n", vec![(3, "   \na: 1")]),
            ("a: |\n  text\n---x: 1\n--- \nb: 2\n", vec![(1, "a: |\n  text\n---x: 1"), (5, "    \nb: 2")]),
            ("# nothing\n---\n\n", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<(u32, String)> = expected.into_iter().map(|(line, text)| (line, text.to_owned())).collect();
            let found: Vec<(u32, String)> =
                split(text).into_iter().map(|(line, text)| (line, text.trim_end().to_owned())).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_single_document_is_the_text_itself() {
        let text = "# what it is\nmerge_method: linear\nmodels: []\n";
        assert_eq!(documents(text)[0].padded, text);
    }

    proptest! {
        #[test]
        fn every_line_stays_where_it_is(lines in proptest::collection::vec("(---|\\.\\.\\.|a: 1|  b|#|%x|é---|)", 0..12)) {
            let text = lines.join("\n");
            for document in documents(&text) {
                for (index, line) in document.padded.lines().enumerate() {
                    let kept = line.trim().is_empty() || lines[index] == line;
                    prop_assert!(kept, "{:?} of {text:?} is {line:?}", lines.get(index));
                }
                prop_assert!(!lines[document.line as usize - 1].is_empty());
            }
        }
    }
}
