//! Which key of a YAML text a place belongs to, for messages about its value: readers of YAML say the place alone.

/// The key before this place in its line, both counted from 1; `None` where the line has none before it.
///
/// It is for people, and looks at the text alone: in a line of a multi-line string it may find what is no key.
pub fn key_at(text: &str, line: u64, column: u64) -> Option<&str> {
    let line = text.lines().nth(usize::try_from(line.checked_sub(1)?).ok()?)?;
    let end = line.char_indices().nth(usize::try_from(column.checked_sub(1)?).ok()?).map_or(line.len(), |(at, _)| at);
    let (before, _) = line.get(..end)?.rsplit_once(':')?;
    let key = before.rsplit(['{', ',', '[']).next()?.trim().trim_start_matches("- ").trim_matches(['"', '\'']);
    let is_key = !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || "_-.".contains(letter));
    is_key.then_some(key)
}

/// A message about a place of a text, with the key that it belongs to before it, unless it names that already.
pub fn with_key(text: &str, place: Option<(u64, u64)>, problem: String) -> String {
    let problem = match wanted(text, &problem) {
        Some(plain) => plain,
        None => problem,
    };
    match place.and_then(|(line, column)| key_at(text, line, column)) {
        Some(key) if !problem.contains(&format!("`{key}`")) => format!("{key}: {problem}"),
        _ => problem,
    }
}

/// A message in people's words and, where it is about a number, with its key before it; for readers whose other messages say of which
/// part of the text they are.
pub fn plainly(text: &str, place: Option<(u64, u64)>, problem: String) -> String {
    match wanted(text, &problem) {
        Some(plain) => with_key(text, place, plain),
        None => problem,
    }
}

/// What was expected, where the reader of YAML names a type of this program.
fn wanted(text: &str, problem: &str) -> Option<String> {
    if problem.starts_with("unexpected end of input") && text.lines().all(|line| line.trim().is_empty() || line.starts_with('#'))
    {
        return Some("it is empty".into());
    }
    let (kind, rest) = problem.strip_prefix("invalid ")?.split_once(" at ")?;
    let wanted = match kind {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "floating point" => "a number",
        _ => return None,
    };
    Some(format!("expected {wanted} at {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_belongs_to_the_key_before_it() {
        let text = "steps: ten\nmodel: { width: 16, \"heads\": two, layers: [gla, soft] }\n- rate:   x\nplain\nä: ü\n";
        let cases = [
            (1, 8, Some("steps")),
            (1, 1, None),
            (2, 17, Some("width")),
            (2, 30, Some("heads")),
            (2, 44, Some("layers")),
            (3, 11, Some("rate")),
            (4, 1, None),
            (5, 4, Some("ä")),
            (5, 99, Some("ä")),
            (0, 1, None),
            (1, 0, None),
            (9, 1, None),
            (u64::MAX, u64::MAX, None),
        ];
        for (line, column, key) in cases {
            assert_eq!(key_at(text, line, column), key, "{line}:{column}");
        }
    }

    #[test]
    fn a_message_names_the_key_once() {
        let named = |problem: &str| with_key("steps: ten", Some((1, 8)), problem.into());
        assert_eq!(named("invalid u64 at line 1, column 8"), "steps: expected a whole number of 0 or more at line 1, column 8");
        assert_eq!(named("invalid floating point at line 1, column 8"), "steps: expected a number at line 1, column 8");
        assert_eq!(named("invalid colour at line 1, column 8"), "steps: invalid colour at line 1, column 8");
        assert_eq!(named("unknown variant of `steps`"), "unknown variant of `steps`");
        assert_eq!(with_key("steps: ten", None, "no".into()), "no");
    }

    #[test]
    fn a_text_without_anything_is_empty() {
        let end = "unexpected end of input at line 1, column 1".to_owned();
        for text in ["", "\n", "# nothing\n"] {
            assert_eq!(with_key(text, Some((1, 1)), end.clone()), "it is empty", "{text:?}");
            assert_eq!(plainly(text, Some((1, 1)), end.clone()), "it is empty", "{text:?}");
        }
        assert_eq!(plainly("a: [", Some((1, 4)), end.clone()), end);
        let (place, number) = (Some((1, 8)), "invalid u32 at line 1, column 8".to_owned());
        assert_eq!(plainly("steps: ten", place, number), "steps: expected a whole number of 0 or more at line 1, column 8");
        assert_eq!(plainly("steps: ten", place, "method x: no".into()), "method x: no");
    }
}
