//! The books: accounts, what changes them, and how a charge ends. Nothing else changes a balance.

mod account;
mod charge;
mod image;
mod keys;
mod ledger;
mod recovery;

pub use account::{Account, Accounts, KeyOptions, NamespaceTotals};
pub use charge::{Charge, Ending, Outcome, RefundPolicy, Settled};
pub use ledger::{Ledger, LedgerParts, Written};
pub(crate) use ledger::{Line, NO_TICKET};
pub use recovery::{OpenCharge, StoredAccount, Totals};
