//! Relayers: look, fetch, submit, and between any two of these a chance to die.

use super::{Event, Run};
use crate::{
    relay::{Look, look},
    world::Place,
};
use std::collections::{BTreeMap, VecDeque};
use tombolo_relayer_core::{Ages, Step};

/// Between two steps of a relayer.
enum Stage {
    Idle,
    Looked { look: Look, steps: VecDeque<Step> },
    Fetched { look: Look, steps: VecDeque<Step>, to: Place, call: Vec<u8> },
}

pub(super) struct Relayer {
    key: u8,
    stage: Stage,
    /// A cache, lost in a crash.
    ages: BTreeMap<Place, Ages>,
    next: Place,
    pub(super) cut_until: BTreeMap<Place, u64>,
}

impl Relayer {
    /// One that has just been started.
    pub(super) fn new(key: u8) -> Self {
        Self {
            key,
            stage: Stage::Idle,
            ages: BTreeMap::new(),
            next: Place::A,
            cut_until: BTreeMap::new(),
        }
    }
}

impl Run {
    fn reaches(&self, relayer: usize, place: Place) -> bool {
        let until = self.relayers[relayer].cut_until.get(&place).copied().unwrap_or(0);
        self.world.at(place).is_up() && until <= self.now
    }

    /// One step of a relayer, after which it may die or be cut off.
    pub(super) fn relay(&mut self, number: usize) {
        let stage = std::mem::replace(&mut self.relayers[number].stage, Stage::Idle);
        let stage = self.advance(number, stage);
        let is_resting = matches!(stage, Stage::Idle);
        self.relayers[number].stage = stage;
        if self.random.strikes(self.faults.cut) {
            let place = *self.random.pick(&Place::ALL);
            let ms = self.random.between(1, self.faults.cut_ms);
            self.cut(number, place, ms);
        }
        let mut wait = if is_resting { 100 } else { 10 } + self.random.between(1, 60);
        if self.random.strikes(self.faults.relayer_crash) {
            self.note(format!("relayer {number} dies"));
            self.relayers[number].stage = Stage::Idle;
            self.relayers[number].ages.clear();
            wait = self.random.between(10, 3_000);
        }
        self.schedule(wait, Event::Relayer(number));
    }

    /// Cuts a relayer off from a ledger for a while.
    pub(crate) fn cut(&mut self, number: usize, place: Place, ms: u64) {
        self.note(format!("relayer {number} is cut off from {place:?} for {ms} ms"));
        let until = self.now + ms;
        self.relayers[number].cut_until.insert(place, until);
    }

    fn advance(&mut self, number: usize, stage: Stage) -> Stage {
        match stage {
            Stage::Idle => {
                let islet = self.relayers[number].next;
                self.relayers[number].next = islet.other();
                if !self.reaches(number, islet) || !self.reaches(number, Place::Hub) {
                    return Stage::Idle;
                }
                let Some(look) = look(&self.world, islet) else { return Stage::Idle };
                let ages = self.relayers[number].ages.entry(islet).or_default();
                let steps: VecDeque<Step> = look.plan(ages).into();
                if steps.is_empty() { Stage::Idle } else { Stage::Looked { look, steps } }
            }
            Stage::Looked { look, mut steps } => {
                let Some(step) = steps.pop_front() else { return Stage::Idle };
                let is_reached =
                    self.reaches(number, look.islet) && self.reaches(number, Place::Hub);
                match look.fetch(&self.world, &step).filter(|_| is_reached) {
                    Some((to, call)) => Stage::Fetched { look, steps, to, call },
                    None => Stage::Looked { look, steps },
                }
            }
            Stage::Fetched { look, steps, to, call } => {
                if self.reaches(number, to) {
                    let signer = self.relayers[number].key;
                    self.send(to, signer, &call, false);
                }
                Stage::Looked { look, steps }
            }
        }
    }
}
