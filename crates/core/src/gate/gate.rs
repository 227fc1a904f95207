//! Drives a decision: asks the checks in order, has the price taken, tells of it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{MutexGuard, RwLock};

use super::argument_size::TooDeep;
use super::checks::{self, Facts};
use super::decision::{Decision, DenyReason, Verdict};
use super::price::{Arguments, ToolTerms};
use crate::clock::Timestamp;
use crate::config::GateConfig;
use crate::credits::Credits;
use crate::journal::Ticket;
use crate::key::record::{Identity, Record};
use crate::key::team::{SharedTeam, Team};
use crate::ledger::{
    Account, Charge, Ending, Ledger, Line, NO_TICKET, OpenCharge, Outcome, Settled, Written,
};
use crate::limit::quota::QuotaDemand;
use crate::limit::rate_limiter::KeyWindows;
use crate::usage::{EventSink, Subject, Telling, UsageMeter};

/// Names of unlisted tools that are remembered, so that their events share one text.
const TOOL_NAMES_MAX: usize = 10_000;

/// One tool call, as far as it is judged.
#[derive(Debug, Clone, Copy)]
pub struct CallRequest<'a> {
    /// The caller's key; an empty one counts as none.
    pub key: Option<&'a str>,
    /// The tool's exact name.
    pub tool: &'a str,
    /// Its arguments.
    pub arguments: Arguments<'a>,
    /// The caller's address; without one no allowlist is asked.
    pub address: Option<&'a str>,
}

/// What a gate is built from.
pub struct GateParts {
    /// The books.
    pub ledger: Arc<Ledger>,
    /// The latest events.
    pub meter: Arc<UsageMeter>,
    /// Others who hear of events.
    pub sinks: Vec<Arc<dyn EventSink>>,
}

/// Judges calls and takes their price. Callable from any thread, in or out of an async runtime.
pub struct Gate {
    config: RwLock<Arc<GateConfig>>,
    /// Calls a minute of each key, as configured when the gate was made.
    global_rate_limit: f64,
    pub(super) ledger: Arc<Ledger>,
    meter: Arc<UsageMeter>,
    sinks: Vec<Arc<dyn EventSink>>,
    tool_names: RwLock<HashSet<Arc<str>, foldhash::fast::RandomState>>,
}

/// What a call would meet, before anything is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Every check passes, at this price.
    Passes(Credits),
    /// Some check fails.
    Fails,
}

/// A charge whose call has not ended. Dropped without [`Self::settle`], it settles as [`Ending::Lost`].
#[must_use = "a charge is settled by the ending of its call"]
pub struct Charged {
    gate: Arc<Gate>,
    charge: Option<Charge>,
}

/// The answer to a call whose ending is still to come.
pub struct Taken {
    /// What was decided.
    pub decision: Decision,
    /// The charge, when one was taken.
    pub charge: Option<Charged>,
}

/// The answer to a batch whose calls are still to end.
pub struct BatchCharge {
    /// What was decided.
    pub decision: super::BatchDecision,
    /// The charge of each call, in order; none when the batch was refused, or let through unpaid as a whole.
    pub charges: Vec<Charged>,
}

impl Charged {
    pub(super) fn new(gate: Arc<Gate>, charge: Charge) -> Self {
        Self { gate, charge: Some(charge) }
    }

    /// What to wait on before the call goes to the backend.
    pub fn ticket(&self) -> Ticket {
        self.charge.as_ref().expect("taken only by settle and undo, which consume").ticket()
    }

    /// What was taken.
    pub fn credits(&self) -> Credits {
        self.charge.as_ref().expect("taken only by settle and undo, which consume").credits()
    }

    /// Ends the charge by the table of endings.
    pub fn settle(mut self, ending: Ending) -> Settled {
        let charge = self.charge.take().expect("taken only by settle and undo, which consume");
        self.gate.settle(charge, ending)
    }

    /// Takes the charge back after its entry could not be made durable: it never was. Those who heard of the charge
    /// hear of a refund.
    pub fn undo(mut self) {
        let charge = self.charge.take().expect("taken only by settle and undo, which consume");
        let (tool, credits, account) = (charge.tool.clone(), charge.credits, charge.account.clone());
        self.gate.ledger.undo(charge);
        if credits > Credits::ZERO {
            self.gate.tell_refund_of(&account, tool, credits);
        }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            self.gate.settle(charge, Ending::Lost);
        }
    }
}

/// An account locked for a decision, with what belongs to it.
pub(super) struct Locked<'a> {
    pub(super) account: &'a Arc<Account>,
    pub(super) record: MutexGuard<'a, Record>,
    pub(super) windows: Option<MutexGuard<'a, KeyWindows>>,
    pub(super) team: Option<MutexGuard<'a, Team>>,
    pub(super) shared_team: Option<&'a SharedTeam>,
    pub(super) now: Timestamp,
}

impl Gate {
    /// A gate over some books.
    pub fn new(config: GateConfig, parts: GateParts) -> Self {
        Self {
            global_rate_limit: config.global_rate_limit,
            config: RwLock::new(Arc::new(config)),
            ledger: parts.ledger,
            meter: parts.meter,
            sinks: parts.sinks,
            tool_names: RwLock::default(),
        }
    }

    /// The books.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The latest events.
    pub fn meter(&self) -> &Arc<UsageMeter> {
        &self.meter
    }

    /// What the gate goes by now.
    pub fn config(&self) -> Arc<GateConfig> {
        self.config.read().clone()
    }

    /// Makes the gate go by another configuration from the next decision on. The global rate limit stays.
    pub fn set_config(&self, config: GateConfig) {
        *self.config.write() = Arc::new(config);
    }

    /// Calls a minute of each key; 0 or below is no limit.
    pub fn global_rate_limit(&self) -> f64 {
        self.global_rate_limit
    }

    /// Decides one call and takes its price for good. Returns when the change is durable.
    ///
    /// # Denials
    /// A refusal is an answer: see [`Decision`]. It changes nothing but the meter.
    ///
    /// # Errors
    /// Arguments that are nested too deeply to be priced; nothing was changed.
    pub fn evaluate(&self, call: &CallRequest<'_>) -> Result<Decision, TooDeep> {
        let (decision, ticket, _) = self.decide(call, false)?;
        // A failure is told by the journal, which keeps the entry and tries again: the decision stands.
        let _ = self.ledger.wait(ticket);
        Ok(decision)
    }

    /// Decides one call and takes its price until the call ends. Returns at once; wait on the charge's ticket before
    /// the call goes on.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn charge(self: &Arc<Self>, call: &CallRequest<'_>) -> Result<Taken, TooDeep> {
        let (decision, _, charge) = self.decide(call, true)?;
        Ok(Taken { decision, charge: charge.map(|charge| Charged::new(self.clone(), charge)) })
    }

    /// Asks all checks about a call and changes nothing. For callers that have a check of their own to make before
    /// [`Self::evaluate`], which asks again.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn judge(&self, call: &CallRequest<'_>) -> Result<Judgement, TooDeep> {
        let config = self.config();
        let price = config.prices.price(call.tool, call.arguments)?;
        let Ok(account) = self.account(call.key) else { return Ok(Judgement::Fails) };
        let terms = config.prices.terms(call.tool);
        let team = call.key.and_then(|key| self.ledger.teams.of_member(key));
        let mut locked = self.lock(&account, team.as_ref(), limited(terms));
        let judged = self.judge_call(&config, &mut locked, call, terms, price);
        Ok(if judged.is_ok() { Judgement::Passes(price) } else { Judgement::Fails })
    }

    /// Asks about a message that costs nothing, but is not for everyone, what is asked about every call: whether the
    /// key may be used, and from that address; without one no allowlist is asked. In shadow mode everyone may.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, key: Option<&str>, address: Option<&str>) -> Result<(), DenyReason> {
        if self.config.read().shadow_mode {
            return Ok(());
        }
        let account = self.account(key).map_err(|(reason, _)| reason)?;
        let record = account.lock();
        checks::key_usable(&record, self.ledger.now())?;
        match address {
            Some(address) if !record.ip_allowlist.permits(address) => {
                Err(DenyReason::IpNotAllowed(address.into()))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a call that passed all checks but the caller's own, a team's.
    pub fn refuse_for_team(&self, call: &CallRequest<'_>, reason: Option<&str>) -> Decision {
        let denial = DenyReason::Team(reason.map(Into::into));
        let now = self.ledger.now();
        let config = self.config();
        match self.account(call.key) {
            Ok(account) => {
                let record = account.lock();
                let (identity, balance) = (record.identity.clone(), record.credits);
                drop(record);
                let who = Subject::Known(account.place(), &identity);
                self.refuse(&config, call.tool, who, balance, denial, now)
            }
            Err((_, who)) => self.refuse(&config, call.tool, who, Credits::ZERO, denial, now),
        }
    }

    fn decide(
        &self,
        call: &CallRequest<'_>,
        open: bool,
    ) -> Result<(Decision, Ticket, Option<Charge>), TooDeep> {
        self.ledger.save_edits();
        // Not the lock itself: whoever hears of the call may ask for the configuration too.
        let config = self.config();
        let terms = config.prices.terms(call.tool);
        let price = match terms {
            Some(terms) => terms.price(call.arguments)?,
            None => config.prices.default,
        };
        let account = match self.account(call.key) {
            Ok(account) => account,
            Err((reason, who)) => {
                let now = self.ledger.now();
                return Ok((
                    self.refuse(&config, call.tool, who, Credits::ZERO, reason, now),
                    NO_TICKET,
                    None,
                ));
            }
        };
        let team = call.key.and_then(|key| self.ledger.teams.of_member(key));
        let mut locked = self.lock(&account, team.as_ref(), limited(terms));
        let now = locked.now;
        if let Err(reason) = self.judge_call(&config, &mut locked, call, terms, price) {
            let (identity, balance) = (locked.record.identity.clone(), locked.record.credits);
            drop(locked);
            let (who, balance) = match reason {
                DenyReason::InvalidApiKey | DenyReason::ApiKeyExpired => {
                    (Subject::Unknown(&identity.prefix), Credits::ZERO)
                }
                _ => (Subject::Known(account.place(), &identity), balance),
            };
            return Ok((self.refuse(&config, call.tool, who, balance, reason, now), NO_TICKET, None));
        }
        let tool = terms.map_or_else(|| self.tool_name(call.tool), |terms| terms.name.clone());
        let line = [(tool, price)];
        let ticket = self.take(&mut locked, &line, terms, open);
        let [(tool, _)] = line;
        let charge = open.then(|| Charge {
            account: account.clone(),
            tool: tool.clone(),
            credits: price,
            calls: 1,
            day: locked.record.counters.day,
            month: locked.record.counters.month,
            team: team.clone(),
            sequence: ticket.first,
            ticket,
        });
        let remaining = locked.record.credits;
        self.tell_taken(locked, std::iter::once((tool, price)));
        Ok((Decision { verdict: Verdict::Allowed, charged: price, remaining }, ticket, charge))
    }

    /// The account of a key that was given and is known.
    pub(super) fn account<'k>(
        &self,
        key: Option<&'k str>,
    ) -> Result<Arc<Account>, (DenyReason, Subject<'k>)> {
        let key = key.filter(|key| !key.is_empty()).ok_or((DenyReason::MissingApiKey, Subject::Nobody))?;
        let unknown = || (DenyReason::InvalidApiKey, Subject::Unknown(key));
        self.ledger.accounts.find(key).ok_or_else(unknown)
    }

    /// Locks an account and what belongs to it, always in this order.
    pub(super) fn lock<'a>(
        &self,
        account: &'a Arc<Account>,
        team: Option<&'a SharedTeam>,
        tool_limited: bool,
    ) -> Locked<'a> {
        let record = account.lock();
        let windows = (tool_limited || self.global_rate_limit > 0.0).then(|| account.windows.lock());
        Locked {
            account,
            record,
            windows,
            team: team.map(|team| team.lock()),
            shared_team: team,
            now: self.ledger.now(),
        }
    }

    /// Asks the checks of a single call, in the order in which their reasons win.
    fn judge_call(
        &self,
        config: &GateConfig,
        locked: &mut Locked<'_>,
        call: &CallRequest<'_>,
        terms: Option<&ToolTerms>,
        price: Credits,
    ) -> Result<(), DenyReason> {
        let now = locked.now;
        let facts = Facts { config, record: &locked.record, address: call.address };
        checks::key_usable(facts.record, now)?;
        checks::address_allowed(facts)?;
        checks::tool_permitted(facts.record, call.tool)?;
        if let Some(windows) = &mut locked.windows {
            if self.global_rate_limit > 0.0 {
                checks::rate_allowed(self.global_rate_limit, windows.all.count(now), 1)?;
            }
            if let Some(terms) = terms.filter(|terms| terms.calls_per_minute > 0.0) {
                checks::tool_rate_allowed(terms, windows.tool_count(&terms.name, now))?;
            }
        }
        checks::credits_available(facts, price.get())?;
        checks::spending_limit_kept(facts, price.get())?;
        locked.record.roll_counters(now);
        let facts = Facts { config, record: &locked.record, address: call.address };
        checks::quota_kept(facts, QuotaDemand::Call, price.get())?;
        checks::team_allows(locked.team.as_deref_mut(), now, price.as_f64())
    }

    /// Counts the call in its windows and takes its price.
    fn take(
        &self,
        locked: &mut Locked<'_>,
        line: &[Line; 1],
        terms: Option<&ToolTerms>,
        open: bool,
    ) -> Ticket {
        let now = locked.now;
        if let Some(windows) = &mut locked.windows {
            if self.global_rate_limit > 0.0 {
                windows.all.take(now);
            }
            if let Some(terms) = terms.filter(|terms| terms.calls_per_minute > 0.0) {
                windows.tool(&terms.name).take(now);
            }
        }
        let team = locked.team.as_deref_mut();
        self.ledger.take(locked.account, &mut locked.record, now, line, open, team)
    }

    /// Notes a refusal, and lets the call through all the same in shadow mode.
    pub(super) fn refuse(
        &self,
        config: &GateConfig,
        tool: &str,
        who: Subject<'_>,
        remaining: Credits,
        reason: DenyReason,
        now: Timestamp,
    ) -> Decision {
        self.tell(Telling {
            at: now,
            who,
            tool: self.tool_name(tool),
            credits: 0,
            allowed: false,
            reason: match &reason {
                DenyReason::Team(None) => None,
                reason => Some(reason.event_text()),
            },
        });
        let verdict = if config.shadow_mode { Verdict::Shadowed(reason) } else { Verdict::Denied(reason) };
        Decision { verdict, charged: Credits::ZERO, remaining }
    }

    /// Ends a charge and tells of a refund.
    fn settle(&self, charge: Charge, ending: Ending) -> Settled {
        let (tool, credits, account) = (charge.tool.clone(), charge.credits, charge.account.clone());
        let settled = self.ledger.settle(charge, ending, self.config.read().refunds);
        if settled.outcome == Outcome::Refunded && credits > Credits::ZERO {
            self.tell_refund_of(&account, tool, credits);
        }
        settled
    }

    /// Tells of a refund to a known key; one without a name is called unknown, as 2.9.0 did here and only here.
    fn tell_refund_of(&self, account: &Account, tool: Arc<str>, credits: Credits) {
        let mut identity = account.lock().identity.clone();
        if identity.name.is_empty() {
            identity = Arc::new(Identity { name: "unknown".into(), ..(*identity).clone() });
        }
        self.tell_refund(Subject::Known(account.place(), &identity), tool, credits);
    }

    fn tell_refund(&self, who: Subject<'_>, tool: Arc<str>, credits: Credits) {
        self.tell(Telling {
            at: self.ledger.now(),
            who,
            tool,
            credits: -credits.as_i64(),
            allowed: true,
            reason: Some(Cow::Borrowed("refund")),
        });
    }

    /// Settles the charges that an earlier run left open, as [`Ending::GatewayRestart`]. Returns when that is durable.
    pub fn settle_left_open(&self, charges: &[OpenCharge]) {
        let refunds = self.config.read().refunds;
        let settled = charges.iter().filter_map(|open| self.ledger.settle_left_open(open, refunds));
        if let Some(last) = settled.last() {
            // A failure is told by the journal; the entries stay and are tried again.
            let _ = self.ledger.wait(last.ticket);
        }
    }

    /// Gives credits back to a key, naming no charge: to its successor after a rotation, also when it was revoked or
    /// has expired. An event is told in any case. Returns when the change is durable.
    pub fn refund(&self, key: &str, tool: &str, credits: Credits) {
        let written = self.ledger.goodwill(key, credits);
        match &written {
            Some(Written { value: account, .. }) => {
                self.tell_refund_of(account, self.tool_name(tool), credits)
            }
            None => self.tell_refund(Subject::Unknown(key), self.tool_name(tool), credits),
        }
        if let Some(written) = written {
            // A failure is told by the journal, which keeps the entry and tries again.
            let _ = self.ledger.wait(written.ticket);
        }
    }

    /// Whether a key may see a tool in a list: unknown keys, and keys without lists of tools, see all.
    pub fn tool_visible(&self, key: Option<&str>, tool: &str) -> bool {
        let Ok(account) = self.account(key) else { return true };
        let record = account.lock();
        !record.usable(self.ledger.now()) || checks::tool_permitted(&record, tool).is_ok()
    }

    /// Whether lists of tools are filtered for a key: it may be used, and has lists of tools.
    pub fn filters_tools(&self, key: Option<&str>) -> bool {
        let Ok(account) = self.account(key) else { return false };
        let record = account.lock();
        record.usable(self.ledger.now())
            && !(record.allowed_tools.is_empty() && record.denied_tools.is_empty())
    }

    fn tell(&self, event: Telling<'_>) {
        self.publish(&event);
        self.meter.keep(std::iter::once(event));
    }

    fn publish(&self, event: &Telling<'_>) {
        if !self.sinks.is_empty() {
            let event = event.to_event();
            self.sinks.iter().for_each(|sink| sink.publish(&event));
        }
    }

    /// Tells of calls that were paid for at once, in order, and unlocks their account.
    pub(super) fn tell_taken(&self, locked: Locked<'_>, lines: impl Iterator<Item = Line>) {
        let (at, place) = (locked.now, locked.account.place());
        let event = |who, (tool, credits): Line| {
            let credits = credits.as_i64();
            Telling { at, who, tool, credits, allowed: true, reason: None }
        };
        if self.sinks.is_empty() {
            // Under the lock the identity is lent: a clone would touch memory that nothing else here needs.
            let who = Subject::Known(place, &locked.record.identity);
            self.meter.keep(lines.map(|line| event(who, line)));
            return;
        }
        let identity = locked.record.identity.clone();
        drop(locked);
        for line in lines {
            self.tell(event(Subject::Known(place, &identity), line));
        }
    }

    /// The shared text of a tool's name.
    pub(super) fn tool_name(&self, tool: &str) -> Arc<str> {
        if let Some(name) = self.tool_names.read().get(tool) {
            return name.clone();
        }
        let name: Arc<str> = tool.into();
        let mut names = self.tool_names.write();
        if names.len() < TOOL_NAMES_MAX {
            names.insert(name.clone());
        }
        name
    }
}

/// Whether a tool has a limit of its own.
pub(super) fn limited(terms: Option<&ToolTerms>) -> bool {
    terms.is_some_and(|terms| terms.calls_per_minute > 0.0)
}
