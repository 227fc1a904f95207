//! Charges that could not be written and were dropped: which numbers they had, and what they would have taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use paygate_core::journal::{Entry, EntryKind, Sequence, Ticket};

/// How many dropped charges are remembered with their numbers. Owners hear of the loss at once; an ending that comes
/// after so many further losses cannot be.
const REMEMBERED_MAX: usize = 65_536;

/// A run of sequence numbers without entries, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
}

/// What was dropped since the journal was opened.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    gaps: Vec<Gap>,
    /// The gaps before this one are in the database.
    written: usize,
    charges: BTreeMap<Sequence, LostCharge>,
}

#[derive(Debug)]
struct LostCharge {
    amount: i64,
    calls: i64,
    tool: Option<Arc<str>>,
}

impl Losses {
    pub(crate) fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Whether an entry of a ticket was dropped.
    pub(crate) fn concern(&self, ticket: Ticket) -> bool {
        let after = self.gaps.partition_point(|gap| gap.last < ticket.first);
        self.gaps.get(after).is_some_and(|gap| gap.first <= ticket.last)
    }

    /// Gaps that the database does not know yet.
    pub(crate) fn unwritten(&self) -> &[Gap] {
        &self.gaps[self.written..]
    }

    /// Notes that the database knows the first so many gaps.
    pub(crate) fn note_written(&mut self) {
        self.written = self.gaps.len();
    }

    /// Notes that a charge was dropped. Numbers come in rising order.
    pub(crate) fn add_charge(&mut self, sequence: Sequence, entry: Entry) {
        match self.gaps.last_mut() {
            Some(gap) if gap.last + 1 == sequence => {
                gap.last = sequence;
                self.written = self.written.min(self.gaps.len() - 1);
            }
            _ => self.gaps.push(Gap { first: sequence, last: sequence }),
        }
        let Entry { amount, calls, tool, .. } = entry;
        self.charges.insert(sequence, LostCharge { amount, calls, tool });
        if self.charges.len() > REMEMBERED_MAX {
            self.charges.pop_first();
        }
    }

    /// Makes an ending of a dropped charge right: its owner settled the charge without having heard of its loss, so
    /// nobody undid it in memory. Charge and ending are entered as one: spent if kept, nothing if given back.
    pub(crate) fn mend(&mut self, entry: &mut Entry) {
        let Some(lost) = entry.charge.and_then(|charge| self.charges.remove(&charge)) else { return };
        entry.kind = EntryKind::Spend;
        entry.amount += lost.amount;
        entry.calls += lost.calls;
        entry.tool = lost.tool;
        entry.charge = None;
    }
}
