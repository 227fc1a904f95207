//! Decides a batch as one: all calls are paid for in one deduction, or none is.

use std::collections::HashMap;
use std::sync::Arc;

use super::argument_size::TooDeep;
use super::checks::{self, Facts};
use super::decision::DenyReason;
use super::gate::{BatchCharge, Charged, Gate, Locked, limited};
use super::price::Arguments;
use crate::config::GateConfig;
use crate::credits::Credits;
use crate::journal::Ticket;
use crate::ledger::{Charge, Line, NO_TICKET};
use crate::limit::quota::QuotaDemand;

/// What was decided of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchVerdict {
    /// All calls may go on.
    Allowed,
    /// None may.
    Denied {
        /// Why.
        reason: DenyReason,
        /// The call that was refused, counted from 0; 0 when the batch was refused as a whole.
        index: usize,
        /// Whether the reason is the whole batch's rather than one call's.
        whole: bool,
    },
    /// The caller would be refused, but refusals are only noted: all calls go on unpaid.
    Shadowed(DenyReason),
}

/// One call of a batch that may go on.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchLine {
    /// Credits that were taken for it.
    pub charged: Credits,
    /// Why it would have been refused, when refusals are only noted.
    pub shadowed: Option<Box<DenyReason>>,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchDecision {
    /// What was decided.
    pub verdict: BatchVerdict,
    /// Credits that were taken in all.
    pub total: Credits,
    /// The calls in order; empty unless the verdict is [`BatchVerdict::Allowed`].
    pub lines: Vec<BatchLine>,
    /// The balance afterwards; 0 when the key is not known.
    pub remaining: Credits,
}

/// One call of a batch, as far as it is judged.
pub type BatchCall<'a> = (&'a str, Arguments<'a>);

/// Calls that were judged one by one: what each costs, and which the shadow mode lets through unpaid, and why.
struct Judged {
    lines: Vec<Line>,
    shadowed: Vec<(usize, DenyReason)>,
}

impl Judged {
    fn total(&self) -> u64 {
        self.lines.iter().map(|(_, price)| price.get()).sum()
    }
}

/// Why the walk over a batch ended.
struct Refusal {
    reason: DenyReason,
    index: usize,
    whole: bool,
}

impl Refusal {
    fn whole(reason: DenyReason) -> Self {
        Self { reason, index: 0, whole: true }
    }
}

impl Gate {
    /// Decides a batch as one: either all calls are allowed and paid for, or none is. Returns when it is durable.
    ///
    /// The calls are checked one by one in the order given, then their total is checked once against the key's
    /// balance and limits. No other decision on the same key can fall between the checks and the charge. An empty
    /// batch is allowed and costs nothing.
    ///
    /// # Denials
    /// A refusal is an answer: [`BatchVerdict::Denied`]. No event is told of it.
    ///
    /// # Errors
    /// Arguments that are nested too deeply to be priced; nothing was changed.
    pub fn evaluate_batch(
        &self,
        key: Option<&str>,
        calls: &[BatchCall<'_>],
        address: Option<&str>,
    ) -> Result<BatchDecision, TooDeep> {
        let taken = self.decide_batch(key, calls, address, false)?;
        // A failure is told by the journal, which keeps the entry and tries again: the decision stands.
        let _ = self.ledger.wait(taken.ticket);
        Ok(taken.decision)
    }

    /// As [`Self::evaluate_batch`], but the charges stay open until each call ends, and nothing is waited for.
    ///
    /// # Errors
    /// As [`Self::evaluate_batch`].
    pub fn charge_batch(
        self: &Arc<Self>,
        key: Option<&str>,
        calls: &[BatchCall<'_>],
        address: Option<&str>,
    ) -> Result<BatchCharge, TooDeep> {
        let taken = self.decide_batch(key, calls, address, true)?;
        let charges = taken.charges.into_iter().map(|charge| Charged::new(self.clone(), charge));
        Ok(BatchCharge { decision: taken.decision, charges: charges.collect() })
    }

    /// Asks all checks about a batch and changes nothing. Gives the total, or `None` when some check fails.
    ///
    /// # Errors
    /// As [`Self::evaluate_batch`].
    pub fn judge_batch(
        &self,
        key: Option<&str>,
        calls: &[BatchCall<'_>],
        address: Option<&str>,
    ) -> Result<Option<u64>, TooDeep> {
        let config = self.config();
        let Ok(account) = self.account(key) else { return Ok(None) };
        let team = key.and_then(|key| self.ledger.teams.of_member(key));
        let mut locked = self.lock(&account, team.as_ref(), config.prices.any_limited());
        if caller_allowed(&config, &locked, address).is_err() {
            return Ok(None);
        }
        let Ok(calls) = self.judge_calls(&config, &mut locked, calls)? else { return Ok(None) };
        let total = calls.total();
        let judged = self.judge_total(&config, &mut locked, calls.lines.len(), total);
        Ok((judged.is_ok() || config.shadow_mode).then_some(total))
    }

    /// What a batch costs by its prices alone, whoever calls.
    ///
    /// # Errors
    /// As [`Self::evaluate_batch`].
    pub fn batch_price(&self, calls: &[BatchCall<'_>]) -> Result<u64, TooDeep> {
        let config = self.config();
        calls.iter().map(|(tool, arguments)| Ok(config.prices.price(tool, *arguments)?.get())).sum()
    }

    /// Refuses a batch that passed all checks but the caller's own, a team's. In shadow mode there is nothing to do.
    pub fn refuse_batch_for_team(&self, key: Option<&str>, reason: Option<&str>) -> BatchDecision {
        let remaining = self.account(key).map_or(Credits::ZERO, |account| account.lock().credits);
        refused(Refusal::whole(DenyReason::Team(reason.map(Into::into))), remaining)
    }

    fn decide_batch(
        &self,
        key: Option<&str>,
        calls: &[BatchCall<'_>],
        address: Option<&str>,
        open: bool,
    ) -> Result<Taken, TooDeep> {
        if calls.is_empty() {
            let nothing = BatchDecision {
                verdict: BatchVerdict::Allowed,
                total: Credits::ZERO,
                lines: Vec::new(),
                remaining: Credits::ZERO,
            };
            return Ok(Taken::nothing(nothing));
        }
        self.ledger.save_edits();
        let config = self.config();
        let unpaid = |decision| Ok(Taken::nothing(decision));
        let account = match self.account(key) {
            Ok(account) => account,
            Err((reason, _)) => return unpaid(caller_refused(&config, reason, Credits::ZERO)),
        };
        let team = key.and_then(|key| self.ledger.teams.of_member(key));
        let mut locked = self.lock(&account, team.as_ref(), config.prices.any_limited());
        if let Err(reason) = caller_allowed(&config, &locked, address) {
            let known = matches!(reason, DenyReason::IpNotAllowed(_));
            let balance = if known { locked.record.credits } else { Credits::ZERO };
            return unpaid(caller_refused(&config, reason, balance));
        }
        let mut judged = match self.judge_calls(&config, &mut locked, calls)? {
            Ok(judged) => judged,
            Err(refusal) => return unpaid(refused(refusal, locked.record.credits)),
        };
        let total = judged.total();
        if let Err(reason) = self.judge_total(&config, &mut locked, calls.len(), total)
            && !config.shadow_mode
        {
            return unpaid(refused(Refusal::whole(reason), locked.record.credits));
        }
        if total > locked.record.credits.get() {
            // Only the shadow mode gets here: what cannot be paid is let through unpaid.
            let reason = DenyReason::InsufficientCredits { need: total, have: locked.record.credits };
            for (at, (_, price)) in judged.lines.iter_mut().enumerate() {
                if *price > Credits::ZERO && judged.shadowed.iter().all(|(shadowed, _)| *shadowed != at) {
                    judged.shadowed.push((at, reason.clone()));
                }
                *price = Credits::ZERO;
            }
        }
        Ok(self.take_batch(&config, locked, judged, open))
    }

    /// Asks, for each call in order, what is asked of single calls: the tool, and the tool's own limit.
    fn judge_calls(
        &self,
        config: &GateConfig,
        locked: &mut Locked<'_>,
        calls: &[BatchCall<'_>],
    ) -> Result<Result<Judged, Refusal>, TooDeep> {
        let mut judged = Judged { lines: Vec::with_capacity(calls.len()), shadowed: Vec::new() };
        let mut seen: HashMap<&str, u64> = HashMap::new();
        for (index, (tool, arguments)) in calls.iter().enumerate() {
            let terms = config.prices.terms(tool);
            let mut permitted = checks::tool_permitted(&locked.record, tool);
            if let (Ok(()), Some(terms), true) = (&permitted, terms, limited(terms)) {
                let nth = seen.entry(tool).or_default();
                *nth += 1;
                let windows = locked.windows.as_mut().expect("locked when any tool has a limit");
                permitted = checks::tool_rate_allows_nth(terms, windows.tool_count(tool, locked.now), *nth);
            }
            let mut price = match terms {
                Some(terms) => terms.price(*arguments)?,
                None => config.prices.default,
            };
            if let Err(reason) = permitted {
                if !config.shadow_mode {
                    return Ok(Err(Refusal { reason, index, whole: false }));
                }
                judged.shadowed.push((index, reason));
                price = Credits::ZERO;
            }
            let name = match (terms, judged.lines.last()) {
                (Some(terms), _) => terms.name.clone(),
                (None, Some((last, _))) if **last == **tool => last.clone(),
                (None, _) => self.tool_name(tool),
            };
            judged.lines.push((name, price));
        }
        Ok(Ok(judged))
    }

    /// Asks once, of the total, what is asked of a batch as a whole.
    fn judge_total(
        &self,
        config: &GateConfig,
        locked: &mut Locked<'_>,
        calls: usize,
        total: u64,
    ) -> Result<(), DenyReason> {
        let now = locked.now;
        if let Some(windows) = locked.windows.as_mut().filter(|_| self.global_rate_limit() > 0.0) {
            let more = if config.batch_rate_per_call { calls as u64 } else { 1 };
            checks::rate_allowed(self.global_rate_limit(), windows.all.count(now), more)?;
        }
        let facts = Facts { config, record: &locked.record, address: None };
        checks::credits_available(facts, total)?;
        checks::spending_limit_kept(facts, total)?;
        locked.record.roll_counters(now);
        let facts = Facts { config, record: &locked.record, address: None };
        #[expect(clippy::cast_precision_loss, reason = "a batch holds far fewer calls than 2^53")]
        checks::quota_kept(facts, QuotaDemand::Batch(calls as f64), total)?;
        #[expect(clippy::cast_precision_loss, reason = "judged to be within the balance")]
        checks::team_allows(locked.team.as_deref_mut(), now, total as f64)
    }

    fn take_batch(&self, config: &GateConfig, mut locked: Locked<'_>, judged: Judged, open: bool) -> Taken {
        let now = locked.now;
        let Judged { lines, shadowed } = judged;
        if let Some(windows) = &mut locked.windows {
            if self.global_rate_limit() > 0.0 {
                windows.all.take_many(now, if config.batch_rate_per_call { lines.len() as u64 } else { 1 });
            }
            let any_limited = config.prices.any_limited();
            for (tool, _) in
                lines.iter().filter(|(tool, _)| any_limited && limited(config.prices.terms(tool)))
            {
                windows.tool(tool).take(now);
            }
        }
        // Calls that go on unpaid count in quotas like the others; they are lines of no credits.
        let team = locked.team.as_deref_mut();
        let ticket = self.ledger.take(locked.account, &mut locked.record, now, &lines, open, team);
        let charges = lines.iter().enumerate().take(if open { lines.len() } else { 0 });
        let charges = charges.map(|(at, (tool, credits))| Charge {
            account: locked.account.clone(),
            tool: tool.clone(),
            credits: *credits,
            calls: u64::from(at == 0),
            day: locked.record.counters.day,
            month: locked.record.counters.month,
            team: locked.shared_team.cloned(),
            sequence: if ticket.first == 0 { 0 } else { ticket.first + at as u64 },
            ticket,
        });
        let charges = charges.collect();
        let remaining = locked.record.credits;
        let mut answer: Vec<_> =
            lines.iter().map(|(_, credits)| BatchLine { charged: *credits, shadowed: None }).collect();
        for (at, reason) in shadowed {
            answer[at].shadowed = Some(Box::new(reason));
        }
        let total = Credits::new(lines.iter().map(|(_, credits)| credits.get()).sum())
            .expect("what was taken from a balance is within the bound");
        self.tell_taken(locked, lines.into_iter());
        let decision = BatchDecision { verdict: BatchVerdict::Allowed, total, lines: answer, remaining };
        Taken { decision, ticket, charges }
    }
}

/// What a batch took: the charges of its calls, if they stay open.
struct Taken {
    decision: BatchDecision,
    ticket: Ticket,
    charges: Vec<Charge>,
}

impl Taken {
    fn nothing(decision: BatchDecision) -> Self {
        Self { decision, ticket: NO_TICKET, charges: Vec::new() }
    }
}

/// Asks what comes before any call is looked at.
fn caller_allowed(config: &GateConfig, locked: &Locked<'_>, address: Option<&str>) -> Result<(), DenyReason> {
    let facts = Facts { config, record: &locked.record, address };
    checks::key_usable(facts.record, locked.now)?;
    checks::address_allowed(facts)
}

fn caller_refused(config: &GateConfig, reason: DenyReason, remaining: Credits) -> BatchDecision {
    if !config.shadow_mode {
        return refused(Refusal::whole(reason), remaining);
    }
    let verdict = BatchVerdict::Shadowed(reason);
    BatchDecision { verdict, total: Credits::ZERO, lines: Vec::new(), remaining: Credits::ZERO }
}

fn refused(refusal: Refusal, remaining: Credits) -> BatchDecision {
    let Refusal { reason, index, whole } = refusal;
    let verdict = BatchVerdict::Denied { reason, index, whole };
    BatchDecision { verdict, total: Credits::ZERO, lines: Vec::new(), remaining }
}
