//! The rules for alerts that were set while the program ran, for its next start.

use std::io;

use rusqlite::{Connection, OptionalExtension};

use super::History;

const READ: &str = "SELECT value FROM meta WHERE name = ?1";
const WRITE: &str =
    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";

/// Where the rules are, and the configuration's when they were set.
const RULES: &str = "alert_rules";
const CONFIGURED: &str = "alert_rules_configured";

impl History {
    /// The rules that were set last, as JSON: `None` when none were, or the configuration has others since, which are
    /// newer. `configured` is what it has now.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn alert_rules(&self, configured: &str) -> io::Result<Option<String>> {
        self.journal
            .with_connection(|connection| {
                let then = read(connection, CONFIGURED)?;
                if then.as_deref() != Some(configured) {
                    return Ok(None);
                }
                read(connection, RULES)
            })
            .map_err(io::Error::other)
    }

    /// Keeps rules, as JSON, for the next start with the same configuration.
    ///
    /// # Errors
    /// They cannot be written; those that were kept stay.
    pub fn keep_alert_rules(&self, configured: &str, rules: &str) -> io::Result<()> {
        self.in_transaction(|connection| {
            connection.execute(WRITE, (CONFIGURED, configured))?;
            connection.execute(WRITE, (RULES, rules)).map(drop)
        })
        .map_err(io::Error::other)
    }
}

fn read(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row(READ, [name], |row| row.get(0)).optional()
}
