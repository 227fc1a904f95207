//! The life of a charge: `taken → kept | refunded`, and the one table that says which.

use std::sync::Arc;

use super::account::Account;
use crate::credits::Credits;
use crate::journal::{Sequence, Ticket};
use crate::key::team::SharedTeam;
use crate::text::date::{Day, Month};

/// How a call that was paid for ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The backend answered with a result.
    Result,
    /// The backend answered with a result that says `isError: true`.
    ToolError,
    /// The backend answered with a JSON-RPC error.
    RpcError,
    /// A remote backend answered with an HTTP error.
    HttpError,
    /// No answer came in time.
    TimedOut,
    /// The backend ended while the call was with it.
    BackendExited,
    /// The answer could not be read.
    Unparsable,
    /// The call never reached the backend: it was down, its queue was full, there is no such backend.
    NeverReached,
    /// The gateway ended while the call was open.
    GatewayRestart,
    /// The call was abandoned inside the gateway without an ending of its own.
    Lost,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 10] = [
        Self::Result,
        Self::ToolError,
        Self::RpcError,
        Self::HttpError,
        Self::TimedOut,
        Self::BackendExited,
        Self::Unparsable,
        Self::NeverReached,
        Self::GatewayRestart,
        Self::Lost,
    ];
}

/// Which endings give the credits back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefundPolicy {
    /// Give credits back for every ending but a result.
    pub on_failure: bool,
    /// Give credits back for results that say `isError: true`.
    pub on_tool_error: bool,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The credits are spent.
    Kept,
    /// The credits are back.
    Refunded,
}

impl RefundPolicy {
    /// The table: what an ending means for the credits.
    pub const fn outcome(self, ending: Ending) -> Outcome {
        let refunded = match ending {
            Ending::Result => false,
            Ending::ToolError => self.on_tool_error,
            Ending::NeverReached => true,
            Ending::RpcError
            | Ending::HttpError
            | Ending::TimedOut
            | Ending::BackendExited
            | Ending::Unparsable
            | Ending::GatewayRestart
            | Ending::Lost => self.on_failure,
        };
        if refunded { Outcome::Refunded } else { Outcome::Kept }
    }
}

impl RefundPolicy {
    /// Whether a restart that found the charge still open would settle it in the same way. If not, the ending must be
    /// durable before anybody is told of it.
    pub fn same_after_restart(self, ending: Ending) -> bool {
        self.outcome(ending) == self.outcome(Ending::GatewayRestart)
    }
}

/// Credits taken for one call that has not ended.
#[derive(Debug)]
pub struct Charge {
    pub(crate) account: Arc<Account>,
    pub(crate) tool: Arc<str>,
    pub(crate) credits: Credits,
    /// 1 when this charge counted as a deduction of its own; the others of a batch count with its first.
    pub(crate) calls: u64,
    pub(crate) day: Day,
    pub(crate) month: Month,
    pub(crate) team: Option<SharedTeam>,
    /// The charge's own entry; 0 when the journal keeps none.
    pub(crate) sequence: Sequence,
    /// To wait on before the call may go on.
    pub(crate) ticket: Ticket,
}

impl Charge {
    /// The price that was taken.
    pub fn credits(&self) -> Credits {
        self.credits
    }

    /// The entry that took it; 0 when the journal keeps none.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// What to wait on before the call may go on.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }
}

/// How a charge was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Kept or refunded.
    pub outcome: Outcome,
    /// What the call cost in the end: 0 after a refund.
    pub credits: Credits,
    /// The balance afterwards, of the key that has the account now.
    pub balance: Credits,
    /// To wait on for the ending to be durable.
    pub ticket: Ticket,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_one_outcome_under_each_policy() {
        let kept = |on_failure, on_tool_error| {
            let policy = RefundPolicy { on_failure, on_tool_error };
            Ending::ALL.into_iter().filter(|e| policy.outcome(*e) == Outcome::Kept).collect::<Vec<_>>()
        };
        let all_but_never_reached: Vec<_> =
            Ending::ALL.into_iter().filter(|e| *e != Ending::NeverReached).collect();
        assert_eq!(kept(false, false), all_but_never_reached);
        assert_eq!(kept(true, false), [Ending::Result, Ending::ToolError]);
        assert_eq!(kept(true, true), [Ending::Result]);
    }

    #[test]
    fn a_result_may_be_told_at_once_only_where_a_restart_keeps_open_charges() {
        let policy = |on_failure| RefundPolicy { on_failure, on_tool_error: false };
        assert!(policy(false).same_after_restart(Ending::Result));
        assert!(!policy(false).same_after_restart(Ending::NeverReached));
        assert!(!policy(true).same_after_restart(Ending::Result));
        assert!(policy(true).same_after_restart(Ending::RpcError));
    }
}
