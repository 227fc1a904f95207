//! Credits that somebody paid for: granted once, however often the payment is told of.

use super::account::Account;
use super::ledger::{Ledger, NO_TICKET, Written};
use crate::clock::Timestamp;
use crate::credits::{Credits, CreditsError};
use crate::journal::{Entry, EntryKind, JournalError, Payment, PaymentStanding};
use crate::key::record::Record;

/// What became of a payment that was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// It was granted now.
    Granted {
        /// The balance afterwards.
        balance: Credits,
    },
    /// It was granted before; nothing was changed.
    Repeated,
    /// There is no key to grant it to; it is on record until there is.
    Parked,
}

/// Why nothing became of a payment. It is not on record, and may be told of again.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The key cannot take the credits.
    #[error(transparent)]
    Credits(#[from] CreditsError),
    /// The record of payments cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Ledger {
    /// Grants a payment, unless it was granted before: to its key, to the successor of a rotated one, and to an expired
    /// one too. With an unknown or revoked key it is parked, and granted when it is told of again and the key is there.
    ///
    /// The grant and the ids of the payment are written in one commit, so a payment is granted at most once for the life
    /// of the books; books in memory forget with the process.
    ///
    /// # Errors
    /// [`PaymentError`]; nothing was changed.
    pub fn grant_once(&self, payment: Payment) -> Result<Written<Paid>, PaymentError> {
        let _alone = self.payments.lock();
        let standing = self.journal.find_payment(&payment.ids)?;
        if standing == Some(PaymentStanding::Granted) {
            return Ok(Written { value: Paid::Repeated, ticket: NO_TICKET });
        }
        self.save_edits();
        let now = self.now();
        let account = self.accounts.find(&payment.key);
        let granted = account.and_then(|account| {
            self.on_current(&account, |account, record| {
                record.active.then(|| self.grant_payment(account, record, &payment, now))
            })
        });
        match granted {
            Some(written) => Ok(written?),
            None if standing == Some(PaymentStanding::Parked) => {
                Ok(Written { value: Paid::Parked, ticket: NO_TICKET })
            }
            None => {
                let ticket = self.journal.append_payment(None, payment);
                Ok(Written { value: Paid::Parked, ticket })
            }
        }
    }

    fn grant_payment(
        &self,
        account: &Account,
        record: &mut Record,
        payment: &Payment,
        now: Timestamp,
    ) -> Result<Written<Paid>, CreditsError> {
        record.credits = record.credits.plus(payment.credits)?;
        record.granted += payment.credits.get();
        let credits = payment.credits.as_i64();
        let entry = self.entry(EntryKind::Payment, account, record, now);
        let entry = Entry { amount: credits, granted: credits, ..entry };
        let ticket = self.journal.append_payment(Some(entry), payment.clone());
        Ok(Written { value: Paid::Granted { balance: record.credits }, ticket })
    }

    /// Grants a payment that is parked to a key that its owner names, whatever key it was told for; a rotated key's
    /// goes to its successor. Gives the payment, now for that key, and what became of it: it stays parked when the key
    /// is unknown or was revoked, and is repeated when somebody was quicker. `None` when no payment that is parked has
    /// the id.
    ///
    /// # Errors
    /// [`PaymentError`]; nothing was changed.
    pub fn assign_payment(
        &self,
        id: &str,
        key: &str,
    ) -> Result<Option<(Payment, Written<Paid>)>, PaymentError> {
        let parked = self.unmatched_payments()?;
        let Some(payment) = parked.into_iter().find(|payment| payment.ids.iter().any(|known| **known == *id))
        else {
            return Ok(None);
        };
        let payment = Payment { key: key.into(), ..payment };
        let written = self.grant_once(payment.clone())?;
        Ok(Some((payment, written)))
    }

    /// Payments that wait for their key, in the order in which they came.
    ///
    /// # Errors
    /// The record of payments cannot be read.
    pub fn unmatched_payments(&self) -> Result<Vec<Payment>, JournalError> {
        self.journal.parked_payments()
    }
}
