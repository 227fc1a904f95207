//! The books: accounts, what changes them, and how a charge ends. Nothing else changes a balance.

mod account;
mod charge;
mod image;
mod keys;
mod ledger;
mod payment;
mod recovery;

pub use account::{Account, Accounts, KeyOptions, NamespaceTotals};
pub use charge::{Charge, Ending, Outcome, RefundPolicy, Settled};
pub use keys::ToolRights;
pub use ledger::{Ledger, LedgerParts, RotationListener, Written};
pub(crate) use ledger::{Line, NO_TICKET};
pub use payment::{Paid, PaymentError};
pub use recovery::{OpenCharge, StoredAccount, Totals};
