//! Where each swap stands, for people and programs.

use crate::{door::Door, metrics::outcome_name};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tombolo_swap::htlc::{Deed, Look, Next, Role, Settled, Standing, Swap};
use tombolo_types::{Class, UnixMillis, id::OrderId, swap::Deadline};

/// What everybody who reads of a swap must know.
pub const ASSURANCE: &str = "weaker than two-phase commit: nobody who follows the protocol is \
                             worse off; not all or nothing";

/// One leg, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegReport {
    /// The chain, as the configuration names it.
    pub chain: String,
    /// How much, in the asset's smallest unit.
    pub amount: String,
    /// What.
    pub asset: String,
    /// Who locks.
    pub locker: String,
    /// Who receives.
    pub recipient: String,
    /// From when on it can be taken back.
    pub deadline: String,
    /// `absent`, `locked`, `claimed`, `refunded`, each with `(pending)` where it is not final;
    /// `differs` where it is locked otherwise than agreed; `unknown` where the chain gives no answer.
    pub standing: String,
    /// What is left until its deadline, at the least, in milliseconds.
    pub left_ms: Option<u64>,
}

/// One swap, with its next allowed step. Req: PRJ-5-9
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapReport {
    /// Which order.
    pub order: String,
    /// `first party`, `party 1` and so on, or `watcher`; `unknown` where its journal is unreadable.
    pub role: String,
    /// All parties have accepted it.
    pub accepted: bool,
    /// `completed`, `undone`, `lost` or `watched`, once it is over.
    pub outcome: Option<String>,
    /// The next allowed step: `lock leg 0`, `claim leg 1`, `refund leg 0`, `wait`, `none`.
    pub next: String,
    /// Why nothing can be done now: class and sentence.
    pub waits_for: Option<(String, String)>,
    /// From when on what is locked can be taken back.
    pub refund_from: Option<String>,
    /// Since when it stands so, by the host's clock, in milliseconds.
    pub since_ms: u64,
    /// Both legs.
    pub legs: Vec<LegReport>,
    /// What failed last: class and sentence.
    pub failure: Option<(String, String)>,
    /// How much it promises.
    pub assurance: String,
}

impl SwapReport {
    /// A swap as a look shows it; `doors` are those of the legs' chains.
    #[must_use]
    pub fn of(order: OrderId, swap: &Swap, since: UnixMillis, look: &Look, doors: &[Door]) -> Self {
        let (next, waits_for, refund_from) = match swap.next(look) {
            Next::Do(Deed::Lock(leg)) => (format!("lock leg {leg}"), None, None),
            Next::Do(Deed::Claim(leg)) => (format!("claim leg {leg}"), None, None),
            Next::Do(Deed::Refund(leg)) => (format!("refund leg {leg}"), None, None),
            Next::Wait { why, refund_from } => {
                let why = (why.class.code().to_owned(), why.message);
                ("wait".into(), Some(why), refund_from.map(|from| from.to_string()))
            }
            Next::Over(_) => ("none".into(), None, None),
        };
        Self {
            order: order.to_string(),
            role: role_name(swap.role()),
            accepted: swap.accepted(),
            outcome: swap.outcome().map(|outcome| outcome_name(outcome).to_owned()),
            next,
            waits_for,
            refund_from,
            since_ms: since.0,
            legs: legs(swap, look, doors),
            failure: None,
            assurance: ASSURANCE.into(),
        }
    }

    /// A swap of which nothing can be said yet: no chain was looked at, or its journal is unreadable.
    #[must_use]
    pub fn unread(order: OrderId) -> Self {
        Self {
            order: order.to_string(),
            role: "unknown".into(),
            accepted: false,
            outcome: None,
            next: "none".into(),
            waits_for: None,
            refund_from: None,
            since_ms: 0,
            legs: Vec::new(),
            failure: None,
            assurance: ASSURANCE.into(),
        }
    }

    /// Whether something is left to do.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.outcome.is_none()
    }
}

/// A role as people see it.
#[must_use]
pub fn role_name(role: Role) -> String {
    match role {
        Role::Party(0) => "first party".into(),
        Role::Party(number) => format!("party {number}"),
        Role::Watcher => "watcher".into(),
    }
}

fn legs(swap: &Swap, look: &Look, doors: &[Door]) -> Vec<LegReport> {
    let terms = swap.terms();
    let legs = terms.locks().iter().enumerate().map(|(leg, lock)| LegReport {
        chain: doors.get(leg).map_or_else(|| lock.chain.to_string(), |door| door.name.clone()),
        amount: lock.amount.to_string(),
        asset: lock.asset.to_string(),
        locker: lock.locker.to_string(),
        recipient: lock.recipient.to_string(),
        deadline: deadline_text(lock.deadline),
        standing: standing(swap, look, leg),
        left_ms: look.left_ms(terms, leg, swap.profiles()),
    });
    legs.collect()
}

fn deadline_text(deadline: Deadline) -> String {
    match deadline {
        Deadline::Height(height) => format!("height {height}"),
        Deadline::Time(time) => format!("{time} ms"),
    }
}

fn standing(swap: &Swap, look: &Look, leg: usize) -> String {
    let Some(sight) = look.sight(leg) else { return "unknown".into() };
    let name = match look.found(swap.terms(), leg) {
        None if sight.found.is_some() => return "differs".into(),
        None => return "absent".into(),
        Some(found) => match found.standing {
            Standing::Funded => "locked",
            Standing::Claimed => "claimed",
            Standing::Refunded => "refunded",
        },
    };
    let settled = look.found(swap.terms(), leg).map(|found| found.settled);
    match settled {
        Some(Settled::Pending) => format!("{name} (pending)"),
        _ => name.into(),
    }
}

/// Where every swap stands. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<BTreeMap<OrderId, SwapReport>>>);

impl Reports {
    /// All, by order.
    #[must_use]
    pub fn all(&self) -> Vec<SwapReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn put(&self, order: OrderId, report: SwapReport) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = all.get(&order).and_then(|before| before.failure.clone());
        all.insert(order, SwapReport { failure: report.failure.clone().or(failure), ..report });
    }

    pub(crate) fn failed(&self, order: OrderId, class: Class, why: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let report = all.entry(order).or_insert_with(|| SwapReport::unread(order));
        report.failure = Some((class.code().to_owned(), why.to_owned()));
    }

    pub(crate) fn mended(&self, order: OrderId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = all.get_mut(&order) {
            report.failure = None;
        }
    }
}
