//! The books as 2.9.0's state file: an array of `[key, record]` pairs, indented by two spaces.

use std::io;

use serde::ser::{SerializeSeq, Serializer};

use super::ledger::Ledger;

impl Ledger {
    /// Writes all records, in key order.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_image(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let accounts = self.accounts.entries();
        let mut json = serde_json::Serializer::pretty(out);
        let mut list = json.serialize_seq(Some(accounts.len()))?;
        for (key, account) in accounts {
            let object = account.lock().to_object();
            list.serialize_element(&(&*key, object))?;
        }
        list.end()?;
        Ok(())
    }
}
