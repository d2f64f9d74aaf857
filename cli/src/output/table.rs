//! Columns and fields as plain text: no lines, no colour, nothing that `awk` stumbles over.

/// Columns with a heading, two spaces apart. The last column is as long as it is.
pub(crate) fn columns<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| harmless(cell))).collect();
    let mut widths = heading.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[&str]| {
        let mut out = String::new();
        for (cell, widest) in cells.iter().zip(widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', widest + 2 - width(cell)));
        }
        text.push_str(out.trim_end());
        text.push('\n');
    };
    line(&heading);
    for row in &rows {
        line(&row.each_ref().map(String::as_str));
    }
    text
}

/// One field a line, the values below each other; fields without a value are left out.
pub(crate) fn fields(fields: &[(&str, Option<String>)]) -> String {
    let widest = fields.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in fields {
        if let Some(value) = value {
            text.push_str(&format!("{name:widest$}  {}\n", harmless(value)));
        }
    }
    text
}

/// On one line, and nothing that steers a terminal.
fn harmless(text: &str) -> String {
    crate::console::harmless(text).replace('\n', " ")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".to_owned(), "fünf".to_owned()], ["1000".to_owned(), "a\x1b[2Jb\n".to_owned()]];
        assert_eq!(columns(["ID", "LABEL"], &rows), "ID    LABEL\n1     fünf\n1000  a [2Jb\n");
        assert_eq!(columns::<2>(["ID", "LABEL"], &[]), "ID  LABEL\n");
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        assert_eq!(fields(&[("a", Some("1".into())), ("long", None), ("bc", Some("2".into()))]), "a     1\nbc    2\n");
    }
}
