//! The audit log as a table for spreadsheets.

use std::sync::Arc;

use super::event::AuditEvent;

const HEADER: &str = "id,timestamp,type,actor,message";

/// One line an event and no line end after the last. Actor and message are always quoted, as in 2.9.0, the other
/// columns where they must be; metadata is left out.
pub(super) fn table(events: &[Arc<AuditEvent>]) -> String {
    let mut table = HEADER.to_owned();
    for event in events {
        table.push('\n');
        table.push_str(&event.id.to_string());
        for (text, quoted) in [
            (&*event.when.text(), false),
            (&*event.kind, false),
            (&*event.actor, true),
            (&*event.message, true),
        ] {
            table.push(',');
            push_field(&mut table, text, quoted);
        }
    }
    table
}

/// A field of RFC 4180. A spreadsheet would take a text that begins like a formula for one, so that gets a `'`.
fn push_field(table: &mut String, text: &str, quoted: bool) {
    let quoted = quoted || text.contains([',', '"', '\n', '\r']);
    if quoted {
        table.push('"');
    }
    if text.starts_with(['=', '+', '-', '@']) {
        table.push('\'');
    }
    if quoted {
        table.push_str(&text.replace('"', "\"\""));
        table.push('"');
    } else {
        table.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str, quoted: bool) -> String {
        let mut field = String::new();
        push_field(&mut field, text, quoted);
        field
    }

    #[test]
    fn quotes_are_doubled_and_stand_where_they_must() {
        assert_eq!(field("key.created", false), "key.created");
        assert_eq!(field("a,b", false), "\"a,b\"");
        assert_eq!(field("a\"b", true), "\"a\"\"b\"");
        assert_eq!(field("two\nlines", false), "\"two\nlines\"");
        assert_eq!(field("", true), "\"\"");
    }

    #[test]
    fn what_looks_like_a_formula_is_text() {
        for text in ["=1+1", "+1", "-1", "@sum"] {
            assert_eq!(field(text, true), format!("\"'{text}\""));
            assert_eq!(field(text, false), format!("'{text}"));
        }
    }
}
