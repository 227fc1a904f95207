//! What is shown of keys whose first characters are all that is on record.

use paygate_core::key::record::shown_prefix;
use paygate_core::ledger::Accounts;

/// The first characters of a key, with `...` behind them. Of a key that has no others no more than half is shown.
pub(super) fn shown_key(accounts: &Accounts, first_characters: &str) -> String {
    if accounts.find(first_characters).is_some() {
        shown_prefix(first_characters)
    } else {
        format!("{first_characters}...")
    }
}
