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
    match place.and_then(|(line, column)| key_at(text, line, column)) {
        Some(key) if !problem.contains(&format!("`{key}`")) => format!("{key}: {problem}"),
        _ => problem,
    }
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
        assert_eq!(named("invalid u64 at line 1, column 8"), "steps: invalid u64 at line 1, column 8");
        assert_eq!(named("unknown variant of `steps`"), "unknown variant of `steps`");
        assert_eq!(with_key("steps: ten", None, "no".into()), "no");
    }
}
