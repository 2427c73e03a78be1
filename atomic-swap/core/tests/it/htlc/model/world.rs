//! Two chains, their pools, and the parties' disks.

use super::{Event, Network, OUTAGE, RELAY, Twin};
use crate::htlc::fixture::SECRET;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};
use tombolo_swap::htlc::{
    Clock, Effect, Expiry, Found, Input, Settled, Sight, Standing, Step, Swap,
};
use tombolo_types::{Height, UnixMillis, swap::Deadline};

/// A transaction about the leg of the chain that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tx {
    Lock,
    Claim,
    Refund,
}

impl Tx {
    /// What an effect comes to, with its leg.
    pub(super) fn of(effect: &Effect) -> Option<(usize, Self)> {
        match effect {
            Effect::Lock { leg, .. } => Some((*leg, Self::Lock)),
            Effect::Claim { leg, .. } => Some((*leg, Self::Claim)),
            Effect::Refund { leg, .. } => Some((*leg, Self::Refund)),
            Effect::Ticket { .. } | Effect::Alarm(_) | Effect::Over(_) => None,
        }
    }
}

/// What a disk holds. Hashed and compared as its bytes, which are made once.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<(Vec<u8>, Swap)>);

impl Disk {
    pub(super) fn of(swap: &Swap) -> Self {
        let bytes = borsh::to_vec(swap).unwrap();
        let read = borsh::from_slice(&bytes).unwrap();
        Self(Arc::new((bytes, read)))
    }

    fn swap(&self) -> &Swap {
        &self.0.1
    }
}

impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl Eq for Disk {}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.0.hash(state);
    }
}

/// An honest party: what its disk holds, and what it has decided and not written yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub(super) disk: Disk,
    pub(super) decided: Option<(Disk, Vec<(usize, Tx)>)>,
    /// For how many ticks it has not looked though it should.
    pub(super) unread: u8,
    pub(super) down: bool,
    pub(super) outage_left: u8,
}

impl Party {
    pub(super) fn new(swap: &Swap) -> Self {
        Self { disk: Disk::of(swap), decided: None, unread: 0, down: false, outage_left: OUTAGE }
    }

    pub(super) fn swap(&self) -> &Swap {
        self.disk.swap()
    }
}

/// A lock on its chain, with the tick since when it stands so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) standing: Standing,
    pub(super) since: u8,
}

/// A chain that holds one leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chain {
    pub(super) offset: i8,
    /// It makes no block in this tick.
    pub(super) still: bool,
    pub(super) lock: Option<Held>,
    /// Honest transactions with their age in ticks.
    pub(super) pool: Vec<(Tx, u8)>,
    /// A claim was once to be seen here: a hostile party knows its secret.
    pub(super) shown: bool,
}

impl Chain {
    /// Whether a claim is to be seen now; what a pool has lost, nobody shows any more.
    fn shows(&self) -> bool {
        let claimed = self.lock.is_some_and(|held| held.standing == Standing::Claimed);
        claimed || self.pool.iter().any(|(tx, _)| *tx == Tx::Claim)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) now: u8,
    pub(super) chains: [Chain; 2],
    pub(super) parties: [Option<Party>; 2],
    pub(super) evicted: bool,
    pub(super) crashed: bool,
    pub(super) forked: bool,
    pub(super) stalls: u8,
}

impl State {
    pub(super) fn new(parties: [Option<Party>; 2], offsets: [i8; 2], now: u8) -> Self {
        let chain =
            |offset| Chain { offset, still: false, lock: None, pool: Vec::new(), shown: false };
        Self {
            now,
            chains: offsets.map(chain),
            parties,
            evicted: false,
            crashed: false,
            forked: false,
            stalls: 0,
        }
    }

    pub(super) fn crash(&mut self, number: usize) {
        self.crashed = true;
        if let Some(party) = self.parties[number].as_mut() {
            party.down = true;
        }
    }

    /// What a chain's clock says: that of the newest block.
    fn clock(&self, leg: usize) -> Clock {
        let chain = &self.chains[leg];
        let newest = self.now - u8::from(chain.still);
        let time = u64::try_from(i16::from(newest) + i16::from(chain.offset)).unwrap();
        Clock { height: Height(time), time: UnixMillis(time) }
    }

    pub(super) fn tick(&mut self, still: Option<usize>, news: [bool; 2]) {
        self.now += 1;
        self.stalls += u8::from(still.is_some());
        for (leg, chain) in self.chains.iter_mut().enumerate() {
            chain.still = still == Some(leg);
            chain.pool.iter_mut().for_each(|(_, age)| *age += 1);
        }
        for (party, news) in self.parties.iter_mut().zip(news) {
            let Some(party) = party else { continue };
            if party.down {
                party.outage_left -= 1;
            } else {
                party.unread = if news { party.unread + 1 } else { 0 };
            }
        }
    }

    /// Writes what a party has decided, or does it, or both, or neither.
    pub(super) fn carry_out(&mut self, number: usize, write: bool, act: bool) {
        let Some(party) = self.parties[number].as_mut() else { return };
        let Some((disk, done)) = party.decided.take() else { return };
        if write {
            party.disk = disk;
        }
        if !act {
            return;
        }
        for (leg, tx) in done {
            let chain = &mut self.chains[leg];
            chain.shown |= tx == Tx::Claim;
            if !chain.pool.iter().any(|(waiting, _)| *waiting == tx) {
                chain.pool.push((tx, 0));
                chain.pool.sort_unstable();
            }
        }
    }

    /// Whether both legs ended so.
    pub(super) fn ended_as(&self, tx: Tx) -> bool {
        let wanted = if tx == Tx::Claim { Standing::Claimed } else { Standing::Refunded };
        self.chains.iter().all(|chain| chain.lock.is_some_and(|held| held.standing == wanted))
    }

    fn standing(&self, leg: usize) -> Option<Standing> {
        self.chains[leg].lock.map(|held| held.standing)
    }
}

impl Network {
    fn deadline(&self, leg: usize) -> UnixMillis {
        let Deadline::Time(time) = self.terms.locks()[leg].deadline else { unreachable!() };
        time
    }

    fn is_final(&self, state: &State, held: Held) -> bool {
        u64::from(state.now - held.since) >= self.hostility.profile().finality_ms
    }

    /// What a chain lets happen to its lock now; anything else it refuses.
    pub(super) fn apply(&self, state: &mut State, leg: usize, tx: Tx) {
        let time = state.clock(leg).time;
        let (since, ended) = (state.now, time >= self.deadline(leg));
        let open = self.hostility.profile().expiry == Expiry::Open;
        let chain = &mut state.chains[leg];
        chain.shown |= tx == Tx::Claim;
        let standing = match (tx, chain.lock.map(|held| held.standing)) {
            (Tx::Lock, None) if !ended || open => Standing::Funded,
            (Tx::Claim, Some(Standing::Funded)) if !ended || open => Standing::Claimed,
            (Tx::Refund, Some(Standing::Funded)) if ended => Standing::Refunded,
            _ => return,
        };
        chain.lock = Some(Held { standing, since });
    }

    /// What both chains show a party, and what its machine makes of it.
    pub(super) fn step(&self, state: &State, number: usize) -> Step {
        let sights = (0..2).map(|leg| {
            let chain = &state.chains[leg];
            let found = chain.lock.map(|held| Found {
                lock: self.terms.locks()[leg].clone(),
                funding: Vec::new(),
                standing: held.standing,
                settled: match self.twin {
                    Twin::LocksBeforeFinal => Settled::Final,
                    _ if self.is_final(state, held) => Settled::Final,
                    _ => Settled::Pending,
                },
                shown: chain.shows().then_some(SECRET),
            });
            Some(Sight { clock: state.clock(leg), found })
        });
        let party = state.parties[number].as_ref().unwrap();
        // The host's clock is far behind and helps nobody.
        party.swap().step(UnixMillis::ZERO, Input::Seen(sights.collect()))
    }

    /// Whether a look would lead to anything; one that does not is the same as none.
    pub(super) fn decides(&self, state: &State, number: usize) -> bool {
        let step = self.step(state, number);
        let party = state.parties[number].as_ref().unwrap();
        !step.effects.is_empty() || step.state != *party.swap()
    }

    /// Whether a party that is up has not seen all that concerns it.
    pub(super) fn has_news(&self, state: &State, number: usize) -> bool {
        let up = state.parties[number].as_ref().is_some_and(|party| !party.down);
        up && self.decides(state, number)
    }

    /// Time goes on once everybody has had what the profile promises.
    pub(super) fn may_tick(&self, state: &State) -> bool {
        let inclusion = u8::try_from(self.hostility.profile().inclusion_ms).unwrap();
        let included = |(_, age): &(Tx, u8)| *age < inclusion;
        let pools = state.chains.iter().all(|chain| chain.pool.iter().all(included));
        let looked = (0..2).all(|number| match &state.parties[number] {
            None => true,
            Some(party) if party.down => party.outage_left > 0,
            Some(party) => {
                let waited = party.unread >= RELAY;
                party.decided.is_none() && !(waited && self.decides(state, number))
            }
        });
        // Nothing happens any more once nothing is locked and nobody has anything to do.
        let locked = state.chains.iter().any(|chain| match chain.lock {
            None => true,
            Some(held) => held.standing == Standing::Funded,
        });
        let busy = state.parties.iter().flatten().any(|party| party.swap().outcome().is_none());
        pools && looked && (locked || busy)
    }

    /// The hostile party locks, claims and takes back as the chains let it; anybody may claim or
    /// give back for others, which harms nobody.
    pub(super) fn hostile_events(&self, state: &State, number: usize, events: &mut Vec<Event>) {
        let (own, received) = (number, 1 - number);
        let knows = number == 0 || state.chains.iter().any(|chain| chain.shown);
        let moves = |leg: usize, tx| {
            !state.chains[leg].still && {
                let mut after = state.clone();
                self.apply(&mut after, leg, tx);
                after.chains[leg].lock != state.chains[leg].lock
            }
        };
        let deeds = [(own, Tx::Lock, true), (received, Tx::Claim, knows), (own, Tx::Refund, true)];
        for (leg, tx, can) in deeds {
            if can && moves(leg, tx) {
                events.push(Event::Hostile(leg, tx));
            }
        }
        if self.hostility.forks
            && !state.forked
            && let Some(held) = state.chains[own].lock
            && held.standing == Standing::Funded
            && !self.is_final(state, held)
        {
            events.push(Event::Vanish(own));
        }
    }

    /// Who has lost what it locked has, or still gets, what it was to receive.
    pub(super) fn nobody_is_worse_off(&self, state: &State) -> bool {
        (0..2).filter(|number| self.honest[*number]).all(|number| {
            let (own, received) = (state.standing(number), state.standing(1 - number));
            let lost = own == Some(Standing::Claimed);
            let gone = match received {
                Some(Standing::Claimed) => false,
                Some(Standing::Funded) => state.now == self.end,
                Some(Standing::Refunded) | None => true,
            };
            !(lost && gone)
        })
    }

    pub(super) fn nothing_stays_locked(&self, state: &State) -> bool {
        let locked = |number| state.standing(number) == Some(Standing::Funded);
        state.now < self.end || !(0..2).any(|number| self.honest[number] && locked(number))
    }
}
