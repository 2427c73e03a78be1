//! Random histories of two ends beside a naive model of two queues.

use super::{Kind, append, carry, reopen, stand};
use crate::{
    toy::{RESUMED, SEEN},
    world::World,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tombolo_ledger::lanes::LinkStatus;
use tombolo_types::{Class, Hash};

/// What one end has sent, as a queue and nothing else.
#[derive(Default)]
struct Queue {
    /// Not taken in the present epoch: salt, and what it is; `None` for an answer.
    waiting: VecDeque<(Hash, Option<Kind>)>,
    /// How many of the front were taken and not proved to be.
    taken: Vec<(Hash, Option<Kind>)>,
    over: Vec<Hash>,
}

impl Queue {
    fn reopen(&mut self) {
        self.taken.clear();
        for (salt, kind) in std::mem::take(&mut self.waiting) {
            match kind {
                Some(Kind::Asks | Kind::IsRefused) => self.over.push(salt),
                Some(Kind::Decides) | None => self.waiting.push_back((salt, kind)),
            }
        }
    }
}

/// Two ends and their queues, the hub's first.
struct History {
    world: World,
    queues: [Queue; 2],
    /// How often what came, by receiving end.
    came: [BTreeMap<(Hash, bool), u64>; 2],
    epoch: [u32; 2],
    is_open: [bool; 2],
}

impl History {
    fn new() -> Self {
        let (queues, came) = Default::default();
        Self { world: World::new(), queues, came, epoch: [1, 1], is_open: [true, true] }
    }

    fn append(&mut self, end: usize, kind: Kind) {
        let link = self.world.link;
        let salt = match end {
            0 => append(&mut self.world.hub, link, kind),
            _ => append(&mut self.world.chain, link, kind),
        };
        self.queues[end].waiting.push_back((salt, Some(kind)));
    }

    /// Brings something from one end to the other.
    fn carry(&mut self, from: usize, count: u64) {
        let link = self.world.link;
        let World { hub, chain, .. } = &mut self.world;
        let result = match from {
            0 => carry(hub, chain, link, count),
            _ => carry(chain, hub, link, count),
        };
        let to = 1 - from;
        if !self.is_open[to] || self.epoch[from] < self.epoch[to] {
            assert_eq!(result.unwrap_err().class, Class::State, "frozen, or of an epoch before");
            return;
        }
        if self.epoch[from] > self.epoch[to] {
            assert_eq!(result, Ok(()), "an epoch to come freezes");
            self.is_open[to] = false;
            return;
        }
        if let Err(refusal) = result {
            assert_eq!(refusal.class, Class::Replay, "{refusal}");
            return;
        }
        for _ in 0..count {
            let Some((salt, kind)) = self.queues[from].waiting.pop_front() else { break };
            self.queues[from].taken.push((salt, kind));
            if kind != Some(Kind::IsRefused) {
                *self.came[to].entry((salt, kind.is_none())).or_default() += 1;
            } else {
                self.queues[to].waiting.push_back((salt, None));
            }
        }
    }

    /// Freezes one end; what the other does stays as it is.
    fn freeze(&mut self, end: usize) {
        if self.epoch[0] != self.epoch[1] {
            return;
        }
        let (link, status) = (self.world.link, LinkStatus::Frozen);
        match end {
            0 => stand(&mut self.world.hub, link, status),
            _ => stand(&mut self.world.chain, link, status),
        }
        self.is_open[end] = false;
    }

    /// Reopens and thaws one end, where it is frozen. `low` takes the common point lower than it is.
    fn recover(&mut self, end: usize, low: u64) {
        if self.is_open[end] {
            return;
        }
        let (hub, chain) =
            (self.world.hub.lane(self.world.link), self.world.chain.lane(self.world.link));
        let (own, other) = if end == 0 { (hub, chain) } else { (chain, hub) };
        let next = self.epoch[end] + 1;
        // Once the other end is reopened, what it held of this epoch stands in what it remembers.
        let held = match &other.former {
            Some(former) if former.peer_epoch == own.epoch => former.received.size(),
            _ => other.received.size(),
        };
        let received = held - low.min(held - own.taken);
        let queue = &mut self.queues[end];
        for _ in received..held {
            queue.waiting.push_front(queue.taken.pop().unwrap());
        }
        queue.reopen();
        let (link, status) = (self.world.link, LinkStatus::Open);
        match end {
            0 => {
                reopen(&mut self.world.hub, link, next, received).unwrap();
                stand(&mut self.world.hub, link, status);
            }
            _ => {
                reopen(&mut self.world.chain, link, next, received).unwrap();
                stand(&mut self.world.chain, link, status);
            }
        }
        self.epoch[end] = next;
        self.is_open[end] = true;
    }

    fn check(&self) {
        let ends = [&self.world.hub.state, &self.world.chain.state];
        let lanes = [self.world.hub.lane(self.world.link), self.world.chain.lane(self.world.link)];
        for end in 0..2 {
            let found: BTreeMap<(Hash, bool), u64> = SEEN
                .all(ends[end], usize::MAX)
                .into_iter()
                .map(|((salt, is_answer), times)| ((salt, is_answer == 1), times))
                .collect();
            assert_eq!(found, self.came[end], "end {end}");
            let over = RESUMED.all(ends[end], usize::MAX).into_iter();
            let over: Vec<Hash> =
                over.filter(|(_, (_, again))| !again).map(|(_, (salt, _))| salt).collect();
            assert_eq!(over, self.queues[end].over, "end {end}");
            let (own, other) = (&lanes[end], &lanes[1 - end]);
            assert!(own.freed <= own.taken && own.taken <= own.sent.size());
            if self.epoch[0] == self.epoch[1] {
                assert!(own.taken <= other.received.size());
                let waits = own.sent.size() - other.received.size();
                assert_eq!(waits, self.queues[end].waiting.len() as u64, "end {end}");
            }
        }
    }

    /// Recovers what is frozen and brings everything; nothing may be left.
    fn finish(&mut self) {
        for end in 0..2 {
            self.recover(end, 0);
        }
        // Whoever is left behind freezes at the first head of the other, and follows.
        for end in 0..2 {
            if self.epoch[end] < self.epoch[1 - end] {
                self.carry(1 - end, 0);
                self.recover(end, 0);
            }
        }
        for _ in 0..3 {
            for from in [0, 1] {
                self.carry(from, 200);
            }
        }
        self.check();
        for lane in [self.world.hub.lane(self.world.link), self.world.chain.lane(self.world.link)] {
            assert_eq!((lane.freed, lane.bytes), (lane.sent.size(), 0));
        }
        for queue in &self.queues {
            assert_eq!(queue.waiting, []);
        }
    }
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Asks), Just(Kind::IsRefused), Just(Kind::Decides)]
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize, Kind),
    Carry(usize, u64),
    Freeze(usize),
    Recover(usize),
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2usize, any_kind()).prop_map(|(end, kind)| Step::Append(end, kind)),
        6 => (0..2usize, 0..4u64).prop_map(|(from, count)| Step::Carry(from, count)),
        2 => (0..2usize).prop_map(Step::Freeze),
        3 => (0..2usize).prop_map(Step::Recover),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two ends that lose what is under way again and again, and are reopened one after the other:
    /// nothing is taken twice, no decision and no answer is lost, every other request is taken or
    /// goes back to who sent it.
    #[test]
    fn a18_reopened_lanes_lose_no_promise_and_take_nothing_twice(steps in any_steps()) {
        let mut history = History::new();
        for step in steps {
            match step {
                Step::Append(end, kind) => history.append(end, kind),
                Step::Carry(from, count) => history.carry(from, count),
                Step::Freeze(end) => history.freeze(end),
                Step::Recover(end) => history.recover(end, 0),
            }
            history.check();
        }
        history.finish();
        for came in &history.came {
            prop_assert!(came.values().all(|times| *times == 1));
        }
    }

    /// A common point that is told too low brings decisions and answers twice, and nothing else.
    #[test]
    fn a_common_point_that_is_too_low_repeats_promises_only(
        steps in any_steps(),
        low in 0..6u64,
    ) {
        let mut history = History::new();
        let mut asked = BTreeSet::new();
        for step in steps {
            match step {
                Step::Append(end, kind) => {
                    history.append(end, kind);
                    let salt = history.queues[end].waiting.back().unwrap().0;
                    if kind != Kind::Decides {
                        asked.insert((1 - end, salt));
                    }
                }
                Step::Carry(from, count) => history.carry(from, count),
                Step::Freeze(end) => history.freeze(end),
                Step::Recover(end) => history.recover(end, low),
            }
            history.check();
        }
        history.finish();
        for (to, came) in history.came.iter().enumerate() {
            for ((salt, is_answer), times) in came {
                prop_assert!(*times == 1 || *is_answer || !asked.contains(&(to, *salt)));
            }
        }
    }
}
