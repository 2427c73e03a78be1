//! The next steps for one link.

use crate::observe::{End, EndSight, LaneSight, LinkSight, Standing};
use std::collections::BTreeMap;
use tombolo_types::{
    Height, LaneNumber, MessageNumber, UnixMillis, lane::CONTROL_LANE, verifier::ClientStatus,
};

/// How much to bring at once, and when to bring acknowledgements alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most messages in one delivery.
    pub messages_max: u64,
    /// How long a message that was taken may wait until its sender hears of it, in milliseconds.
    pub acknowledge_after_ms: u64,
    /// How many taken messages may wait for that at the most.
    pub acknowledge_messages: u64,
    /// How old what an end knows by its control lane may grow, in milliseconds: half of the
    /// identity-view limit.
    pub refresh_after_ms: u64,
    /// How long messages that do not fill a delivery wait behind one that is under way, in
    /// milliseconds; behind two of them twice as long, behind three four times, and so on.
    pub gather_ms: u64,
}

/// When something was first seen to wait, per end and lane. A cache: losing it delays
/// acknowledgements once.
pub type Ages = BTreeMap<(End, LaneNumber), UnixMillis>;

/// What shall be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Move the client at `at` through a change of the other end's validators, or refresh it.
    UpdateClient {
        /// Whose client.
        at: End,
        /// The height that it holds.
        from: Height,
    },
    /// Bring messages to `to`.
    Deliver {
        /// Who receives.
        to: End,
        /// Which lane.
        lane: LaneNumber,
        /// The first message: what the receiver has taken so far.
        first: MessageNumber,
        /// How many; 0 brings the acknowledgement alone.
        count: u64,
        /// The size of the sender's lane against which the range is to be proved.
        size: u64,
    },
    /// Nothing can be brought to `to` until an operator or a quorum has acted.
    Blocked {
        /// Who takes nothing.
        to: End,
        /// Why.
        why: Blocker,
    },
}

/// What keeps an end from taking anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocker {
    /// Its client of the other end has expired.
    ClientExpired,
    /// Its client of the other end is frozen.
    ClientFrozen,
    /// The link is frozen or closed there.
    LinkShut,
    /// The other end is in an earlier epoch of a lane.
    EpochDiffers,
}

impl Blocker {
    /// What is wrong, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::ClientExpired => "its light client of the other ledger has expired",
            Self::ClientFrozen => "its light client of the other ledger is frozen",
            Self::LinkShut => "the link is frozen or closed there",
            Self::EpochDiffers => "the other end is in an earlier epoch of a lane",
        }
    }
}

/// The next steps for a link, most urgent first. Steps to different ends may run side by side.
///
/// `now` is the relayer's own clock and paces acknowledgements only.
#[must_use]
pub fn plan(sight: &LinkSight, pace: &Pace, ages: &mut Ages, now: UnixMillis) -> Vec<Step> {
    let mut steps = Vec::new();
    for to in [End::Hub, End::Chain] {
        plan_end(sight, to, pace, ages, now, &mut steps);
    }
    steps
}

fn plan_end(
    sight: &LinkSight,
    to: End,
    pace: &Pace,
    ages: &mut Ages,
    now: UnixMillis,
    steps: &mut Vec<Step>,
) {
    let (receiver, sender) = (sight.end(to), sight.end(to.other()));
    if let Some(why) = blocker(receiver) {
        steps.push(Step::Blocked { to, why });
        return;
    }
    // A head under another set than the client's cannot be proved: walk the change first.
    if receiver.client.validators_root != sender.validators_root {
        steps.push(Step::UpdateClient { at: to, from: receiver.client.height });
        return;
    }
    let mut any = false;
    for (number, sent) in &sender.lanes {
        let Some(taken) = receiver.lanes.get(number) else { continue };
        if sent.epoch > taken.peer_epoch {
            // The other end has been reopened: this one freezes once it sees that, and can follow.
            any = true;
            let first = MessageNumber(taken.received);
            steps.push(Step::Deliver { to, lane: *number, first, count: 0, size: sent.size });
            continue;
        }
        if sent.epoch < taken.peer_epoch {
            steps.push(Step::Blocked { to, why: Blocker::EpochDiffers });
            continue;
        }
        let waiting = sent.size.saturating_sub(taken.received);
        let may_take = receiver.standing != Standing::Proposed || number.0 == 0;
        let count = if may_take { waiting.min(pace.messages_max) } else { 0 };
        let renew = renewal_due(*number, taken, sent, sender, pace);
        if count > 0 || renew || acknowledgement_due(*number, taken, sent, to, pace, ages, now) {
            any = true;
            if count > 0 {
                ages.remove(&(to, *number));
            }
            steps.push(Step::Deliver {
                to,
                lane: *number,
                first: MessageNumber(taken.received),
                count,
                size: sent.size,
            });
        }
    }
    if !any && stale(receiver, sender) {
        steps.push(Step::UpdateClient { at: to, from: receiver.client.height });
    }
}

fn blocker(receiver: &EndSight) -> Option<Blocker> {
    match (receiver.client.status, receiver.standing) {
        (_, Standing::Shut) => Some(Blocker::LinkShut),
        (ClientStatus::Frozen, _) => Some(Blocker::ClientFrozen),
        (ClientStatus::Expired, _) => Some(Blocker::ClientExpired),
        (ClientStatus::Active | ClientStatus::Expiring, _) => None,
    }
}

/// Whether the receiver should hear, without any message, what the other side has taken from it.
fn acknowledgement_due(
    number: LaneNumber,
    receiver: &LaneSight,
    sender: &LaneSight,
    to: End,
    pace: &Pace,
    ages: &mut Ages,
    now: UnixMillis,
) -> bool {
    let unheard = sender.received.saturating_sub(receiver.taken);
    if unheard == 0 {
        ages.remove(&(to, number));
        return false;
    }
    let since = *ages.entry((to, number)).or_insert(now);
    let due = unheard >= pace.acknowledge_messages || now.since(since) >= pace.acknowledge_after_ms;
    if due {
        ages.remove(&(to, number));
    }
    due
}

/// Whether the receiver should hear, without any message, that there is none: what it knows of
/// identities counts as of the newest block up to which it has taken the whole control lane.
fn renewal_due(
    number: LaneNumber,
    receiver: &LaneSight,
    sent: &LaneSight,
    sender: &EndSight,
    pace: &Pace,
) -> bool {
    number == CONTROL_LANE
        && sent.size > 0
        && sent.size == receiver.received
        && sender.time.since(receiver.current_at) >= pace.refresh_after_ms
}

/// Whether the client is so old that a header alone is worth a transaction: a third of the trusting
/// period.
fn stale(receiver: &EndSight, sender: &EndSight) -> bool {
    sender.time.since(receiver.client.time) >= receiver.client.trusting_period_ms / 3
}

#[cfg(test)]
mod tests;
