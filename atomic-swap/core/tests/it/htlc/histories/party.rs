//! One side of a swap: the production machine with a disk, or somebody who deviates.

use super::{
    Chance, Setting,
    chain::{Chain, Tx},
};
use crate::htlc::fixture::SECRET;
use tombolo_swap::htlc::{Effect, Input, Margins, Opening, Role, Swap, Terms};
use tombolo_types::UnixMillis;

/// How one deviates, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deviation {
    None,
    NeverLocks,
    NeverClaims,
    AtTheLastMoment,
    AtOnce,
    WithinAFork,
}

/// A process that dies at a step that changes something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    /// At which.
    pub(super) step: u32,
    /// Whether the step was written before.
    pub(super) written: bool,
    /// For which part of the outage that is allowed for it stays down, in hundredths.
    pub(super) part: u64,
}

pub(super) struct Party {
    pub(super) deviation: Option<Deviation>,
    pub(super) swap: Swap,
    pub(super) margins: Margins,
    pub(super) next_look: Option<u64>,
    /// How many steps have changed something.
    pub(super) steps: u32,
    disk: Vec<u8>,
    host: i64,
    crash: Option<Crash>,
}

impl Party {
    pub(super) fn new(setting: &Setting, number: usize, terms: &Terms, now: u64) -> Self {
        let opening = Opening {
            terms: terms.clone(),
            role: Role::Party(u32::try_from(number).unwrap()),
            secret: (number == 0).then_some(SECRET),
            profiles: setting.profiles.to_vec(),
            margins: setting.margins,
        };
        let swap = Swap::open(opening).unwrap().step(UnixMillis(now), Input::Accepted).state;
        let deviates = setting.deviations[number] != Deviation::None;
        Self {
            deviation: deviates.then_some(setting.deviations[number]),
            disk: borsh::to_vec(&swap).unwrap(),
            swap,
            margins: setting.margins,
            next_look: (!deviates).then_some(now),
            steps: 0,
            host: setting.hosts[number],
            crash: setting.crashes[number],
        }
    }

    /// Looks at both chains, writes what it decides, and does it; or dies in between.
    pub(super) fn look(
        &mut self,
        now: u64,
        chains: &mut [Chain; 2],
        terms: &Terms,
        chance: &mut Chance,
    ) {
        let at = UnixMillis(now.checked_add_signed(self.host).unwrap());
        let sights = (0..2).map(|leg| Some(chains[leg].sight(now, terms, leg))).collect();
        let step = self.swap.step(at, Input::Seen(sights));
        self.next_look = Some(now + 1 + chance.up_to(self.margins.relay_ms - 1));
        if step.state == self.swap && step.effects.is_empty() {
            return;
        }
        let crash = self.crash.filter(|crash| crash.step == self.steps);
        self.steps += 1;
        if crash.is_none_or(|crash| crash.written) {
            self.disk = borsh::to_vec(&step.state).unwrap();
        }
        if let Some(crash) = crash {
            let read: Swap = borsh::from_slice(&self.disk).unwrap();
            self.swap = read.step(at, Input::Resumed).state;
            self.next_look = Some(now + (self.margins.outage_ms * crash.part / 100).max(1));
            return;
        }
        self.swap = step.state;
        for effect in step.effects {
            match effect {
                Effect::Lock { leg, .. } => chains[leg].hand_in(Tx::Lock),
                Effect::Claim { leg, .. } => chains[leg].hand_in(Tx::Claim),
                Effect::Refund { leg, .. } => chains[leg].hand_in(Tx::Refund),
                Effect::Ticket { .. } | Effect::Alarm(_) | Effect::Over(_) => {}
            }
        }
    }
}
