//! What was handed in at both ends and has not ended yet, and how much may follow it at once.
//!
//! A delivery counts once its block is final, and that takes as long as it takes: so the next one
//! need not wait for it where the ledger keeps the order in which they are handed in. What follows
//! begins where the last one ends, proved by the same head or a later one; should one be lost, those
//! behind it are refused for the gap, nothing else happens, and all begins anew behind what was
//! before it.
//!
//! Two things bound how many: nodes keep only so many that stand in no block, and we keep only so
//! many that are not final.
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

/// How many deliveries an end takes one behind the other; 1 is to wait for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Of those that stand in no block.
    pub in_no_block: u32,
    /// Of those that are not final.
    pub not_final: u32,
}

#[derive(Clone, Debug)]
struct Window {
    most: Most,
    /// How many may stand in no block now.
    open: u32,
    /// In the order in which they were handed in.
    all: VecDeque<Entry>,
    /// When the newest was handed in.
    newest_at: UnixMillis,
    /// How many messages a delivery of a lane held when it was full.
    full: BTreeMap<LaneNumber, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    what: HandedIn,
    /// It stands in a block.
    in_block: bool,
    /// One before it was lost, so it may be as well: nothing follows it.
    doubtful: bool,
}

impl UnderWay {
    /// Nothing yet. Each end takes so many at the most.
    #[must_use]
    pub fn new(most_to_hub: Most, most_to_chain: Most) -> Self {
        let window = |most| Window {
            most,
            open: 1,
            all: VecDeque::new(),
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

    /// Whether anything under way stands in no block: who leaves it alone does not know whether it
    /// will.
    #[must_use]
    pub fn any_in_no_block(&self) -> bool {
        [&self.hub, &self.chain].iter().any(|window| window.all.iter().any(|it| !it.in_block))
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

    /// Something that was handed in stands in a block, which may not be final.
    pub fn in_block(&mut self, to: End, what: HandedIn) {
        self.window_mut(to).in_block(what);
    }

    /// Something that was handed in has ended, well or not.
    pub fn ended(&mut self, to: End, what: HandedIn, well: bool) {
        let window = self.window_mut(to);
        if well {
            window.in_block(what);
        } else {
            window.open = 1;
        }
        let Some(place) = window.all.iter().position(|entry| entry.what == what) else { return };
        window.all.remove(place);
        if !well {
            window.all.range_mut(place..).for_each(|entry| entry.doubtful = true);
        }
    }

    /// Something could not be handed in. It may have been all the same; then what follows, which
    /// begins where it began, takes its place or is refused.
    pub fn failed(&mut self, to: End) {
        self.window_mut(to).open = 1;
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
        self.all.push_back(Entry { what, in_block: false, doubtful: false });
        self.newest_at = now;
    }

    /// As many again may follow what is in a block for the first time.
    fn in_block(&mut self, what: HandedIn) {
        let is_doubted = self.all.iter().any(|entry| entry.doubtful);
        let waiting = |entry: &&mut Entry| entry.what == what && !entry.in_block;
        let Some(entry) = self.all.iter_mut().find(waiting) else { return };
        entry.in_block = true;
        if !is_doubted {
            self.open = self.open.saturating_mul(2).min(self.most.in_no_block).max(1);
        }
    }

    fn beside(&self, step: Step, pace: &Pace, now: UnixMillis) -> Option<Step> {
        if self.all.is_empty() {
            return Some(step);
        }
        let count = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
        let all = count(self.all.len());
        let in_blocks = count(self.all.iter().filter(|entry| entry.in_block).count());
        let in_no_block = all.saturating_sub(in_blocks);
        let is_full = in_no_block >= self.open || all >= self.most.not_final;
        let is_held = |entry: &Entry| entry.doubtful || entry.what == HandedIn::Update;
        if is_full || self.all.iter().any(is_held) {
            return None;
        }
        let Step::Deliver { to, lane, first, count, size } = step else {
            // Nothing is handed in beside an update, which changes what it is judged by.
            return (in_no_block == 0).then_some(step);
        };
        let behind = self.end_of(lane);
        if count == 0 {
            // What is under way on the lane brings the acknowledgement, too.
            return behind.is_none().then_some(Step::Deliver { to, lane, first, count, size });
        }
        let first = behind.map_or(first, |behind| behind.max(first));
        let waiting = size.saturating_sub(first.0);
        let full = self.full.get(&lane).copied().unwrap_or(pace.messages_max);
        let doublings = in_no_block.saturating_sub(1).min(32);
        let waits_ms = pace
            .gather_ms
            .saturating_mul(1u64 << doublings)
            .saturating_mul(u64::from(in_blocks.max(1)));
        let due = waiting >= full || now.since(self.newest_at) >= waits_ms;
        let count = waiting.min(pace.messages_max);
        (waiting > 0 && due).then_some(Step::Deliver { to, lane, first, count, size })
    }

    /// Below which number everything of a lane is under way, where anything is.
    fn end_of(&self, lane: LaneNumber) -> Option<MessageNumber> {
        let ends = self.all.iter().filter_map(|entry| match entry.what {
            HandedIn::Delivery { lane: of, upto } if of == lane => Some(upto),
            HandedIn::Delivery { .. } | HandedIn::Update => None,
        });
        ends.max()
    }
}

#[cfg(test)]
mod tests;
