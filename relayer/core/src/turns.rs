//! Whose turn it is, where several relayers serve one link and know nothing of each other.
//!
//! All see the same blocks at the same time, so all would bring the same messages: right, and paid
//! for several times. So a relayer yields an end to whoever is faster there: once it was overtaken,
//! or sees taken or acknowledged what it did not bring, it lets things wait a while for somebody else.
//! What has waited longer than its patience it brings itself, and then it does not yield for some
//! time: who brings little and slowly must not keep the others from their work.
//!
//! It decides nothing but when. Losing what is remembered here costs one race.

use crate::{
    observe::{End, EndSight, LinkSight},
    plan::Step,
};
use std::collections::{BTreeMap, VecDeque};
use tombolo_types::{LaneNumber, UnixMillis};

/// How long a relayer that had to step in yields to nobody, in milliseconds.
const FIRM_MS: u64 = 60_000;
/// The most sizes of a lane that are remembered; what comes after counts as old as the last.
const SIZES_MAX: usize = 64;

/// Whose turn it is at both ends of one link, as one relayer sees it.
#[derive(Clone, Debug)]
pub struct Turns {
    patience_ms: u64,
    ends: BTreeMap<End, Turn>,
}

#[derive(Clone, Debug, Default)]
struct Turn {
    yields: bool,
    firm_until: UnixMillis,
    /// What is no news: of each lane, how many messages were taken, and how many of its own this
    /// end knows to be taken.
    known: BTreeMap<LaneNumber, (u64, u64)>,
    /// The same, of what this relayer has handed in: it shows before or after that has ended.
    ours: BTreeMap<LaneNumber, (u64, u64)>,
    /// Sizes of each lane beyond what is taken, with the time at which they were first seen.
    sizes: BTreeMap<LaneNumber, VecDeque<(u64, UnixMillis)>>,
    /// Since when something without messages is due: of a lane, or of the client alone.
    idle: BTreeMap<Option<LaneNumber>, UnixMillis>,
}

impl Turns {
    /// It is this relayer's turn everywhere until it sees another at work. What waits for longer
    /// than `patience_ms` is never left to others; relayers do best with different ones.
    #[must_use]
    pub fn new(patience_ms: u64) -> Self {
        Self { patience_ms, ends: BTreeMap::new() }
    }

    /// Whether an end is left to another relayer.
    #[must_use]
    pub fn yields(&self, end: End) -> bool {
        self.ends.get(&end).is_some_and(|turn| turn.yields)
    }

    /// Of the planned steps those that are ours to carry out now. `now` is the relayer's own clock.
    #[must_use]
    pub fn ours(&mut self, sight: &LinkSight, steps: Vec<Step>, now: UnixMillis) -> Vec<Step> {
        for to in [End::Hub, End::Chain] {
            let turn = self.ends.entry(to).or_default();
            turn.look(sight.end(to), sight.end(to.other()), &steps, to, now);
        }
        steps.into_iter().filter(|step| self.is_ours(step, now)).collect()
    }

    fn is_ours(&mut self, step: &Step, now: UnixMillis) -> bool {
        let (to, since) = match step {
            Step::Blocked { .. } => return true,
            Step::UpdateClient { at, .. } => (*at, self.turn(*at).idle.get(&None).copied()),
            Step::Deliver { to, lane, count: 0, .. } => {
                (*to, self.turn(*to).idle.get(&Some(*lane)).copied())
            }
            Step::Deliver { to, lane, .. } => (*to, self.turn(*to).waiting_since(*lane)),
        };
        let patience_ms = self.patience_ms;
        let turn = self.turn(to);
        if !turn.yields {
            return true;
        }
        let waited = now.since(since.unwrap_or(now));
        if waited < patience_ms {
            return false;
        }
        turn.yields = false;
        turn.firm_until = now.saturating_add(FIRM_MS);
        true
    }

    /// Everything of a lane below `end` was handed in at `to` by this relayer, with the news that
    /// `heard` messages the other way were taken.
    pub fn brings(&mut self, to: End, lane: LaneNumber, end: u64, heard: u64) {
        let (received, taken) = self.turn(to).ours.entry(lane).or_default();
        *received = end.max(*received);
        *taken = heard.max(*taken);
    }

    /// What was handed in at `to` may not count: whoever brings it now may be another.
    pub fn lost(&mut self, to: End) {
        self.turn(to).ours.clear();
    }

    /// Somebody else had done at `to` what this relayer wanted to do.
    pub fn overtaken(&mut self, to: End) {
        let turn = self.turn(to);
        turn.ours.clear();
        turn.yields = true;
        turn.firm_until = UnixMillis::ZERO;
    }

    fn turn(&mut self, end: End) -> &mut Turn {
        self.ends.entry(end).or_default()
    }
}

impl Turn {
    fn look(
        &mut self,
        receiver: &EndSight,
        sender: &EndSight,
        steps: &[Step],
        to: End,
        now: UnixMillis,
    ) {
        let mut others_work = false;
        for (number, lane) in &receiver.lanes {
            let (received, taken) = self.ours.get(number).copied().unwrap_or_default();
            let known = self.known.insert(*number, (lane.received, lane.taken));
            others_work |= known.is_some_and(|known| {
                lane.received > received.max(known.0) || lane.taken > taken.max(known.1)
            });
            let size = sender.lanes.get(number).map_or(0, |sent| sent.size);
            self.see(*number, lane.received, size, now);
            // The acknowledgement was heard: what is due next is due anew.
            let unheard = sender.lanes.get(number).is_some_and(|sent| sent.received > lane.taken);
            if !unheard {
                self.idle.remove(&Some(*number));
            }
        }
        if others_work && now >= self.firm_until {
            self.yields = true;
        }
        let mut moves_client = false;
        for step in steps {
            let due = match step {
                Step::UpdateClient { at, .. } if *at == to => None,
                Step::Deliver { to: end, lane, count: 0, .. } if *end == to => Some(*lane),
                _ => continue,
            };
            moves_client |= due.is_none();
            self.idle.entry(due).or_insert(now);
        }
        if !moves_client {
            self.idle.remove(&None);
        }
    }

    fn see(&mut self, lane: LaneNumber, received: u64, size: u64, now: UnixMillis) {
        let sizes = self.sizes.entry(lane).or_default();
        while sizes.front().is_some_and(|(size, _)| *size <= received) {
            sizes.pop_front();
        }
        if size <= received.max(sizes.back().map_or(0, |(size, _)| *size)) {
            return;
        }
        let is_full = sizes.len() >= SIZES_MAX;
        match sizes.back_mut() {
            Some(last) if is_full => last.0 = size,
            _ => sizes.push_back((size, now)),
        }
    }

    /// Since when the first message of a lane that is not taken has been seen.
    fn waiting_since(&self, lane: LaneNumber) -> Option<UnixMillis> {
        self.sizes.get(&lane)?.front().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests;
