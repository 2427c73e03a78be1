//! What was handed in at both ends and has not ended yet, and how much may follow it at once.
//!
//! A delivery counts once its block is final, and that takes as long as it takes: so the next one
//! need not wait for it where the ledger keeps the order in which they are handed in. What follows
//! begins where the last one ends, proved by the same head or a later one; should one be lost, those
//! behind it are refused for the gap, nothing else happens, and all begins anew from what the
//! receiver has taken.
//!
//! It decides nothing but how much at a time. Losing what is remembered here costs a repetition
//! that the receiver refuses.

use crate::{
    observe::End,
    plan::{Pace, Step},
};
use std::collections::{BTreeMap, VecDeque};
use tombolo_types::{LaneNumber, MessageNumber, UnixMillis};

/// What is under way at both ends of one link.
#[derive(Clone, Debug)]
pub struct UnderWay {
    hub: Window,
    chain: Window,
}

/// Something that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedIn {
    /// What moves a client.
    Update,
    /// Messages of a lane.
    Delivery {
        /// Which lane.
        lane: LaneNumber,
        /// It brings everything below this number.
        upto: MessageNumber,
    },
}

#[derive(Clone, Debug)]
struct Window {
    /// The most that the end takes one behind the other.
    most: u32,
    /// How many may be under way now.
    open: u32,
    all: VecDeque<HandedIn>,
    /// One did not end well, so those behind it may not either: nothing follows them.
    broken: bool,
    /// When the newest was handed in.
    newest_at: UnixMillis,
    /// How many messages a delivery of a lane held when it was full.
    full: BTreeMap<LaneNumber, u64>,
}

impl UnderWay {
    /// Nothing yet. An end takes so many one behind the other at the most; 1 is to wait for each.
    #[must_use]
    pub fn new(most_to_hub: u32, most_to_chain: u32) -> Self {
        let window = |most: u32| Window {
            most: most.max(1),
            open: 1,
            all: VecDeque::new(),
            broken: false,
            newest_at: UnixMillis::ZERO,
            full: BTreeMap::new(),
        };
        Self { hub: window(most_to_hub), chain: window(most_to_chain) }
    }

    /// Whether anything is under way to an end.
    #[must_use]
    pub fn any(&self, to: End) -> bool {
        !self.window(to).all.is_empty()
    }

    /// Of the planned steps those that may be taken beside what is under way, each beginning behind
    /// it. At most one for each end: what follows depends on what that brings.
    #[must_use]
    pub fn beside(&self, steps: Vec<Step>, pace: &Pace, now: UnixMillis) -> Vec<Step> {
        let mut taken = Vec::new();
        let mut busy = Vec::new();
        for step in steps {
            let end = match &step {
                Step::Blocked { .. } => {
                    taken.push(step);
                    continue;
                }
                Step::UpdateClient { at, .. } => *at,
                Step::Deliver { to, .. } => *to,
            };
            if busy.contains(&end) {
                continue;
            }
            if let Some(step) = self.window(end).beside(step, pace, now) {
                busy.push(end);
                taken.push(step);
            }
        }
        taken
    }

    /// A client update was handed in.
    pub fn updates(&mut self, at: End, now: UnixMillis) {
        self.window_mut(at).push(HandedIn::Update, now);
    }

    /// A delivery was handed in that brings `brought` messages from `first` on, where `asked` were
    /// wanted.
    pub fn delivers(
        &mut self,
        to: End,
        (lane, first): (LaneNumber, MessageNumber),
        (brought, asked): (u64, u64),
        now: UnixMillis,
    ) -> HandedIn {
        let window = self.window_mut(to);
        let full = window.full.get(&lane).copied();
        if brought < asked || full.is_some_and(|full| full < brought) {
            window.full.insert(lane, brought);
        }
        let upto = MessageNumber(first.0.saturating_add(brought));
        let handed_in = HandedIn::Delivery { lane, upto };
        window.push(handed_in, now);
        handed_in
    }

    /// Something that was handed in has ended, well or not.
    pub fn ended(&mut self, to: End, what: HandedIn, well: bool) {
        let window = self.window_mut(to);
        if let Some(place) = window.all.iter().position(|other| *other == what) {
            window.all.remove(place);
        }
        if well && !window.broken {
            window.open = window.open.saturating_mul(2).min(window.most);
        } else {
            window.open = 1;
            window.broken = !window.all.is_empty();
        }
    }

    /// Something could not be handed in.
    pub fn failed(&mut self, to: End) {
        let window = self.window_mut(to);
        window.open = 1;
        window.broken = !window.all.is_empty();
    }

    fn window(&self, end: End) -> &Window {
        match end {
            End::Hub => &self.hub,
            End::Chain => &self.chain,
        }
    }

    fn window_mut(&mut self, end: End) -> &mut Window {
        match end {
            End::Hub => &mut self.hub,
            End::Chain => &mut self.chain,
        }
    }
}

impl Window {
    fn push(&mut self, what: HandedIn, now: UnixMillis) {
        self.all.push_back(what);
        self.newest_at = now;
    }

    fn beside(&self, step: Step, pace: &Pace, now: UnixMillis) -> Option<Step> {
        let under_way = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        if under_way == 0 {
            return Some(step);
        }
        if self.broken || under_way >= self.open || self.all.contains(&HandedIn::Update) {
            return None;
        }
        let Step::Deliver { to, lane, first, count, size } = step else { return None };
        let behind = self.end_of(lane);
        if count == 0 {
            // What is under way on the lane brings the acknowledgement, too.
            return behind.is_none().then_some(Step::Deliver { to, lane, first, count, size });
        }
        let first = behind.map_or(first, |behind| behind.max(first));
        let waiting = size.saturating_sub(first.0);
        let full = self.full.get(&lane).copied().unwrap_or(pace.messages_max);
        let doublings = under_way.saturating_sub(1).min(32);
        let waits_ms = pace.gather_ms.saturating_mul(1u64 << doublings);
        let due = waiting >= full || now.since(self.newest_at) >= waits_ms;
        let count = waiting.min(pace.messages_max);
        (waiting > 0 && due).then_some(Step::Deliver { to, lane, first, count, size })
    }

    /// Below which number everything of a lane is under way, where anything is.
    fn end_of(&self, lane: LaneNumber) -> Option<MessageNumber> {
        let ends = self.all.iter().filter_map(|what| match what {
            HandedIn::Delivery { lane: of, upto } if *of == lane => Some(*upto),
            HandedIn::Delivery { .. } | HandedIn::Update => None,
        });
        ends.max()
    }
}

#[cfg(test)]
mod tests;
