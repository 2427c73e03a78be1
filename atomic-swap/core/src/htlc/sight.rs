//! What chains say of the locks of a swap, at one moment.

use super::{Clock, Lock, Profile, Terms, earliest};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_types::{UnixMillis, swap::Secret};

/// Where a lock stands on its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// It holds what it shall hold.
    Funded,
    /// Its recipient has it.
    Claimed,
    /// Its locker has it again.
    Refunded,
}

/// Whether what stands there can still be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Settled {
    /// A fork could undo it.
    Pending,
    /// Nothing undoes it.
    Final,
}

/// A lock as it was found on a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Found {
    /// What is locked, all of it as the chain has it; the machine compares.
    pub lock: Lock,
    /// What the chain knows the funding by; empty where it needs no name.
    pub funding: Vec<u8>,
    /// Where it stands.
    pub standing: Standing,
    /// Whether that is final.
    pub settled: Settled,
    /// What was shown to open it, by any transaction, also one that is in no block. Not believed:
    /// it is hashed.
    pub shown: Option<Secret>,
}

/// What one chain says about one lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Sight {
    /// Its clock.
    pub clock: Clock,
    /// The lock; `None` where there is none.
    pub found: Option<Found>,
}

/// What all chains say now: one sight for each leg, `None` where a chain gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Look {
    /// The host's clock. It makes the machine more careful, never less.
    pub at: UnixMillis,
    /// By leg.
    pub sights: Vec<Option<Sight>>,
}

impl Look {
    /// What the chain of a leg says.
    #[must_use]
    pub fn sight(&self, leg: usize) -> Option<&Sight> {
        self.sights.get(leg)?.as_ref()
    }

    /// The lock of a leg, where exactly that is found.
    #[must_use]
    pub fn found(&self, terms: &Terms, leg: usize) -> Option<&Found> {
        let found = self.sight(leg)?.found.as_ref()?;
        (Some(&found.lock) == terms.lock(leg)).then_some(found)
    }

    /// A secret that some chain shows and that opens the locks.
    #[must_use]
    pub fn secret(&self, terms: &Terms) -> Option<Secret> {
        let shown = self.sights.iter().flatten().filter_map(|sight| sight.found.as_ref()?.shown);
        let hash = terms.order().hash;
        shown.into_iter().find(|secret| digest::secret_hash(secret) == hash)
    }

    /// The latest that it may be on the chain of a leg: by its own clock, the host's, and those of
    /// the other chains less what they may be ahead. So a chain that stands still is noticed.
    #[must_use]
    pub fn now(&self, leg: usize, profiles: &[Profile]) -> UnixMillis {
        let clocks = self.sights.iter().zip(profiles).enumerate();
        let times = clocks.filter_map(|(other, (sight, profile))| {
            let time = sight.as_ref()?.clock.time;
            Some(if other == leg { time } else { time.saturating_sub(profile.skew_ms) })
        });
        times.fold(self.at, UnixMillis::max)
    }

    /// The milliseconds that are left, at the least, until the deadline of a leg; `None` where its
    /// chain gives no answer.
    #[must_use]
    pub fn left_ms(&self, terms: &Terms, leg: usize, profiles: &[Profile]) -> Option<u64> {
        let (lock, profile) = (terms.lock(leg)?, profiles.get(leg)?);
        let comes = earliest(lock.deadline, Some(self.sight(leg)?.clock), profile)?;
        Some(comes.since(self.now(leg, profiles)))
    }
}
