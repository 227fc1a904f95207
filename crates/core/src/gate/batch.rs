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
use crate::ledger::Charge;
use crate::limit::quota::QuotaDemand;
use crate::usage::{Subject, Telling};

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
    pub shadowed: Option<DenyReason>,
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

/// A call that was judged: its name for events, its price, and why the shadow mode lets it through unpaid.
struct Priced {
    tool: Arc<str>,
    price: Credits,
    shadowed: Option<DenyReason>,
    limited: bool,
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
        let (decision, charges) = self.decide_batch(key, calls, address, false)?;
        if let Some(last) = charges.iter().flatten().last() {
            // A failure is told by the journal, which keeps the entry and tries again: the decision stands.
            let _ = self.ledger.wait(last.ticket);
        }
        Ok(decision)
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
        let (decision, charges) = self.decide_batch(key, calls, address, true)?;
        let charges =
            charges.into_iter().map(|charge| charge.map(|charge| Charged::new(self.clone(), charge)));
        Ok(BatchCharge { decision, charges: charges.collect() })
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
        let mut locked = self.lock(&account, team.as_ref(), any_limited(&config, calls));
        if caller_allowed(&config, &locked, address).is_err() {
            return Ok(None);
        }
        let Ok(priced) = self.judge_calls(&config, &mut locked, calls)? else { return Ok(None) };
        let total = total_of(&priced);
        let judged = self.judge_total(&config, &mut locked, priced.len(), total);
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
    ) -> Result<(BatchDecision, Vec<Option<Charge>>), TooDeep> {
        if calls.is_empty() {
            let nothing = BatchDecision {
                verdict: BatchVerdict::Allowed,
                total: Credits::ZERO,
                lines: Vec::new(),
                remaining: Credits::ZERO,
            };
            return Ok((nothing, Vec::new()));
        }
        self.ledger.save_edits();
        let config = self.config();
        let unpaid = |decision| Ok((decision, Vec::new()));
        let account = match self.account(key) {
            Ok(account) => account,
            Err((reason, _)) => return unpaid(caller_refused(&config, reason, Credits::ZERO)),
        };
        let team = key.and_then(|key| self.ledger.teams.of_member(key));
        let mut locked = self.lock(&account, team.as_ref(), any_limited(&config, calls));
        if let Err(reason) = caller_allowed(&config, &locked, address) {
            let known = matches!(reason, DenyReason::IpNotAllowed(_));
            let balance = if known { locked.record.credits } else { Credits::ZERO };
            return unpaid(caller_refused(&config, reason, balance));
        }
        let mut priced = match self.judge_calls(&config, &mut locked, calls)? {
            Ok(priced) => priced,
            Err(refusal) => return unpaid(refused(refusal, locked.record.credits)),
        };
        let total = total_of(&priced);
        if let Err(reason) = self.judge_total(&config, &mut locked, calls.len(), total)
            && !config.shadow_mode
        {
            return unpaid(refused(Refusal::whole(reason), locked.record.credits));
        }
        if total > locked.record.credits.get() {
            // Only the shadow mode gets here: what cannot be paid is let through unpaid.
            let reason = DenyReason::InsufficientCredits { need: total, have: locked.record.credits };
            for call in &mut priced {
                call.shadowed.get_or_insert_with(|| reason.clone());
            }
        }
        Ok(self.take_batch(&config, locked, priced, open))
    }

    /// Asks, for each call in order, what is asked of single calls: the tool, and the tool's own limit.
    fn judge_calls(
        &self,
        config: &GateConfig,
        locked: &mut Locked<'_>,
        calls: &[BatchCall<'_>],
    ) -> Result<Result<Vec<Priced>, Refusal>, TooDeep> {
        let mut priced = Vec::with_capacity(calls.len());
        let mut seen: HashMap<&str, u64> = HashMap::new();
        for (index, (tool, arguments)) in calls.iter().enumerate() {
            let terms = config.prices.terms(tool);
            let mut judged = checks::tool_permitted(&locked.record, tool);
            if let (Ok(()), Some(terms), true) = (&judged, terms, limited(terms)) {
                let nth = seen.entry(tool).or_default();
                *nth += 1;
                let windows = locked.windows.as_mut().expect("locked when any tool has a limit");
                judged = checks::tool_rate_allows_nth(terms, windows.tool_count(tool, locked.now), *nth);
            }
            let shadowed = match judged {
                Ok(()) => None,
                Err(reason) if config.shadow_mode => Some(reason),
                Err(reason) => return Ok(Err(Refusal { reason, index, whole: false })),
            };
            priced.push(Priced {
                tool: terms.map_or_else(|| self.tool_name(tool), |terms| terms.name.clone()),
                price: config.prices.price(tool, *arguments)?,
                shadowed,
                limited: limited(terms),
            });
        }
        Ok(Ok(priced))
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

    fn take_batch(
        &self,
        config: &GateConfig,
        mut locked: Locked<'_>,
        priced: Vec<Priced>,
        open: bool,
    ) -> (BatchDecision, Vec<Option<Charge>>) {
        let now = locked.now;
        if let Some(windows) = &mut locked.windows {
            if self.global_rate_limit() > 0.0 {
                windows.all.take_many(now, if config.batch_rate_per_call { priced.len() as u64 } else { 1 });
            }
            for call in priced.iter().filter(|call| call.limited) {
                windows.tool(&call.tool).take(now);
            }
        }
        // Calls that go on unpaid count in quotas like the others; they are lines of no credits.
        let paid = |call: &Priced| if call.shadowed.is_some() { Credits::ZERO } else { call.price };
        let lines: Vec<_> = priced.iter().map(|call| (call.tool.clone(), paid(call))).collect();
        let team = locked.team.as_deref_mut();
        let ticket = self.ledger.take(locked.account, &mut locked.record, now, &lines, open, team);
        let charges = priced.iter().enumerate().map(|(at, call)| {
            Some(Charge {
                account: locked.account.clone(),
                tool: call.tool.clone(),
                credits: paid(call),
                calls: u64::from(at == 0),
                day: locked.record.counters.day,
                month: locked.record.counters.month,
                team: locked.shared_team.cloned(),
                sequence: if ticket.first == 0 { 0 } else { ticket.first + at as u64 },
                ticket,
            })
        });
        let charges = charges.collect();
        let (remaining, identity) = (locked.record.credits, locked.record.identity.clone());
        let place = locked.account.place();
        drop(locked);
        for (tool, credits) in &lines {
            self.tell(Telling {
                at: now,
                who: Subject::Known(place, &identity),
                tool: tool.clone(),
                credits: credits.as_i64(),
                allowed: true,
                reason: None,
            });
        }
        let total = Credits::new(lines.iter().map(|(_, credits)| credits.get()).sum())
            .expect("what was taken from a balance is within the bound");
        let lines =
            priced.into_iter().map(|call| BatchLine { charged: paid(&call), shadowed: call.shadowed });
        let lines = lines.collect();
        (BatchDecision { verdict: BatchVerdict::Allowed, total, lines, remaining }, charges)
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

fn any_limited(config: &GateConfig, calls: &[BatchCall<'_>]) -> bool {
    calls.iter().any(|(tool, _)| limited(config.prices.terms(tool)))
}

fn total_of(priced: &[Priced]) -> u64 {
    priced.iter().filter(|call| call.shadowed.is_none()).map(|call| call.price.get()).sum()
}
