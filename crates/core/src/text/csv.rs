//! Tables for spreadsheets, one line a record and no line end after the last.

/// Whether a field stands in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// It does.
    Always,
    /// It does when it could not be read otherwise.
    WhereNeeded,
}

/// Adds a field of RFC 4180. A spreadsheet would take a text that begins like a formula for one, so that gets a `'`.
///
/// # Examples
/// ```
/// # use paygate_core::text::csv::{Quoting, push_field};
/// let mut line = String::new();
/// push_field(&mut line, "=1+1,2", Quoting::WhereNeeded);
/// assert_eq!(line, "\"'=1+1,2\"");
/// ```
pub fn push_field(line: &mut String, text: &str, quoting: Quoting) {
    let quoted = quoting == Quoting::Always || text.contains([',', '"', '\n', '\r']);
    if quoted {
        line.push('"');
    }
    if text.starts_with(['=', '+', '-', '@']) {
        line.push('\'');
    }
    if quoted {
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str, quoting: Quoting) -> String {
        let mut field = String::new();
        push_field(&mut field, text, quoting);
        field
    }

    #[test]
    fn quotes_are_doubled_and_stand_where_they_must() {
        assert_eq!(field("key.created", Quoting::WhereNeeded), "key.created");
        assert_eq!(field("a,b", Quoting::WhereNeeded), "\"a,b\"");
        assert_eq!(field("a\"b", Quoting::Always), "\"a\"\"b\"");
        assert_eq!(field("two\nlines", Quoting::WhereNeeded), "\"two\nlines\"");
        assert_eq!(field("", Quoting::Always), "\"\"");
    }

    #[test]
    fn what_looks_like_a_formula_is_text() {
        for text in ["=1+1", "+1", "-1", "@sum"] {
            assert_eq!(field(text, Quoting::Always), format!("\"'{text}\""));
            assert_eq!(field(text, Quoting::WhereNeeded), format!("'{text}"));
        }
    }
}
