//! The audit log as a table for spreadsheets.

use std::sync::Arc;

use super::event::AuditEvent;
use crate::text::csv::{Quoting, push_field};

/// The first line of the table.
pub const CSV_HEADER: &str = "id,timestamp,type,actor,message";

/// One line an event and no line end after the last.
pub(super) fn table(events: &[Arc<AuditEvent>]) -> String {
    let mut table = CSV_HEADER.to_owned();
    for event in events {
        table.push('\n');
        event.push_csv(&mut table);
    }
    table
}

impl AuditEvent {
    /// Adds the event's line, without its end. Actor and message are always quoted, as in 2.9.0, the other columns
    /// where they must be; metadata is left out.
    pub fn push_csv(&self, to: &mut String) {
        to.push_str(&self.id.to_string());
        for (text, quoting) in [
            (&*self.when.text(), Quoting::WhereNeeded),
            (&*self.kind, Quoting::WhereNeeded),
            (&*self.actor, Quoting::Always),
            (&*self.message, Quoting::Always),
        ] {
            to.push(',');
            push_field(to, text, quoting);
        }
    }
}
