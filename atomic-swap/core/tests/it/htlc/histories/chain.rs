//! A chain that keeps its profile to the last millisecond.

use super::{Chance, Setting, party::Deviation};
use crate::htlc::fixture::SECRET;
use tombolo_swap::htlc::{Clock, Expiry, Found, Profile, Settled, Sight, Standing, Terms, reached};
use tombolo_types::{Height, UnixMillis};

/// How blocks come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    Fastest,
    Slowest,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tx {
    Lock,
    Claim,
    Refund,
}

/// An honest transaction that waits, and what the clock of its block may be at the latest.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    tx: Tx,
    by: u64,
}

/// One leg's chain.
pub(super) struct Chain {
    pub(super) profile: Profile,
    pub(super) next_block: u64,
    pub(super) ever_shown: bool,
    pace: Pace,
    offset: i64,
    lag_ms: u64,
    newest: Clock,
    held: Option<(Standing, u64)>,
    pool: Vec<Waiting>,
}

impl Chain {
    pub(super) fn new(setting: &Setting, leg: usize, now: u64) -> Self {
        let profile = setting.profiles[leg];
        let skew = i64::try_from(profile.skew_ms).unwrap();
        let mut chain = Self {
            profile,
            next_block: now + profile.block_ms_fastest,
            ever_shown: false,
            pace: setting.paces[leg],
            offset: skew * setting.off[leg] / 100,
            lag_ms: profile.time_lag_ms * setting.lag[leg] / 100,
            newest: Clock::default(),
            held: None,
            pool: Vec::new(),
        };
        chain.newest = Clock { height: Height(800_000), time: chain.time_of(now) };
        chain
    }

    /// What the chain's clock reads in a block at this moment.
    fn time_of(&self, now: u64) -> UnixMillis {
        UnixMillis(now.checked_add_signed(self.offset).unwrap() - self.lag_ms)
    }

    pub(super) fn clock(&self) -> Clock {
        self.newest
    }

    pub(super) fn standing(&self) -> Option<Standing> {
        self.held.map(|(standing, _)| standing)
    }

    pub(super) fn sight(&self, now: u64, terms: &Terms, leg: usize) -> Sight {
        let found = self.held.map(|(standing, since)| Found {
            lock: terms.locks()[leg].clone(),
            funding: Vec::new(),
            standing,
            settled: if now >= since + self.profile.finality_ms {
                Settled::Final
            } else {
                Settled::Pending
            },
            shown: self.shows().then_some(SECRET),
        });
        Sight { clock: self.newest, found }
    }

    fn shows(&self) -> bool {
        self.standing() == Some(Standing::Claimed)
            || self.pool.iter().any(|waiting| waiting.tx == Tx::Claim)
    }

    /// Takes an honest transaction into the pool.
    pub(super) fn hand_in(&mut self, tx: Tx) {
        self.ever_shown |= tx == Tx::Claim;
        if !self.pool.iter().any(|waiting| waiting.tx == tx) {
            let by = self.newest.time.0 + self.profile.inclusion_ms;
            self.pool.push(Waiting { tx, by });
        }
    }

    /// Makes the block that is due. Each waiting transaction gets in by chance, and at the latest
    /// in the last block that could keep the promise.
    pub(super) fn make_block(&mut self, now: u64, terms: &Terms, leg: usize, chance: &mut Chance) {
        self.newest = Clock { height: self.newest.height.next(), time: self.time_of(now) };
        let next_may_be = self.newest.time.0 + self.profile.block_ms_slowest;
        let (now_in, later): (Vec<Waiting>, Vec<Waiting>) = std::mem::take(&mut self.pool)
            .into_iter()
            .partition(|waiting| next_may_be > waiting.by || chance.up_to(3) == 0);
        self.pool = later;
        for waiting in now_in {
            self.apply(waiting.tx, now, terms, leg);
        }
        let spread = self.profile.block_ms_slowest - self.profile.block_ms_fastest;
        let interval = match self.pace {
            Pace::Fastest => self.profile.block_ms_fastest,
            Pace::Slowest => self.profile.block_ms_slowest,
            Pace::Any => self.profile.block_ms_fastest + chance.up_to(spread),
        };
        self.next_block = now + interval;
    }

    fn is_over(&self, terms: &Terms, leg: usize, clock: Clock) -> bool {
        reached(terms.locks()[leg].deadline, clock)
    }

    fn apply(&mut self, tx: Tx, now: u64, terms: &Terms, leg: usize) {
        let over = self.is_over(terms, leg, self.newest);
        let open = self.profile.expiry == Expiry::Open;
        let standing = match (tx, self.standing()) {
            (Tx::Lock, None) if !over || open => Standing::Funded,
            (Tx::Claim, Some(Standing::Funded)) if !over || open => Standing::Claimed,
            (Tx::Refund, Some(Standing::Funded)) if over => Standing::Refunded,
            _ => return,
        };
        self.held = Some((standing, now));
    }

    /// The clock of the block that is about to be made, and of the slowest one after it.
    fn coming(&self, now: u64) -> (Clock, Clock) {
        let height = self.newest.height.next();
        let this = Clock { height, time: self.time_of(now) };
        let slowest = self.time_of(now + self.profile.block_ms_slowest);
        (this, Clock { height: height.next(), time: slowest })
    }

    /// Who deviates gets its own lock in, takes it away again within a fork, or takes it back as
    /// soon as the chain lets it.
    pub(super) fn hostile_lock(
        &mut self,
        deviation: Deviation,
        now: u64,
        terms: &Terms,
        leg: usize,
        first_is_there: bool,
    ) {
        let (this, _) = self.coming(now);
        match self.held {
            None if deviation != Deviation::NeverLocks
                && first_is_there
                && !self.is_over(terms, leg, this) =>
            {
                self.held = Some((Standing::Funded, now));
            }
            Some((Standing::Funded, since)) => {
                let is_final = now >= since + self.profile.finality_ms;
                if deviation == Deviation::WithinAFork && !is_final {
                    self.held = None;
                } else if self.is_over(terms, leg, this) {
                    self.held = Some((Standing::Refunded, now));
                }
            }
            _ => {}
        }
    }

    /// Who deviates claims at once, or in the last block that may take it; on a chain that ends no
    /// claim, in the block before the refund must be in.
    pub(super) fn hostile_claim(
        &mut self,
        deviation: Deviation,
        now: u64,
        terms: &Terms,
        leg: usize,
    ) {
        let (this, next) = self.coming(now);
        let over = self.is_over(terms, leg, this);
        let last = match self.profile.expiry {
            Expiry::Enforced => !over && self.is_over(terms, leg, next),
            Expiry::Open => {
                let next_may_be = this.time.0 + self.profile.block_ms_slowest;
                self.pool.iter().any(|it| it.tx == Tx::Refund && next_may_be > it.by)
            }
        };
        let claims = match deviation {
            Deviation::AtOnce | Deviation::WithinAFork => {
                !over || self.profile.expiry == Expiry::Open
            }
            Deviation::AtTheLastMoment => last,
            Deviation::None | Deviation::NeverLocks | Deviation::NeverClaims => false,
        };
        if claims && self.standing() == Some(Standing::Funded) {
            self.held = Some((Standing::Claimed, now));
            self.ever_shown = true;
        }
    }
}
