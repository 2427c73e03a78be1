//! What may be done now, and for what reason not: the same rules for the machine and for people.

use super::{
    End, Expiry, Found, Look, Outcome, Settled, Standing, Swap, check_gaps, lock_needs_ms, reached,
    reveal_needs_ms,
};
use tombolo_types::{Class, Refusal, ensure, refuse, swap::Deadline};

/// Something that a party or a watcher does about a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Locks it.
    Lock(usize),
    /// Claims it for its recipient.
    Claim(usize),
    /// Gives it back to its locker.
    Refund(usize),
}

/// The next allowed step of an unfinished swap. Req: PRJ-5-9
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This can be done now.
    Do(Deed),
    /// Nothing can be done now, and why the nearest step cannot.
    Wait {
        /// What is missing.
        why: Refusal,
        /// What is locked can be taken back from here on.
        refund_from: Option<Deadline>,
    },
    /// Nothing is left to do.
    Over(Outcome),
}

impl Swap {
    /// Whether the own leg may be locked now.
    ///
    /// # Errors
    /// The first in the order of rule G1:
    /// - `E_NOTFOUND`: a leg before it is not locked as agreed;
    /// - `E_UNSUPPORTED`: a watcher locks nothing;
    /// - `E_REPLAY`: it is locked, or a leg before it is claimed;
    /// - `E_STATE`: not accepted, the secret is out, a chain gives no answer, or two deadlines have
    ///   come too near;
    /// - `E_TIMEOUT`: what must follow does not fit any more;
    /// - `E_FINALITY`: a leg before it is not final.
    ///
    /// Req: PRJ-5-5, PRJ-5-8
    pub fn may_lock(&self, look: &Look) -> Result<(), Refusal> {
        let Some(own) = self.own() else {
            refuse!(Unsupported, "a watcher locks nothing");
        };
        for leg in 0..own {
            self.funded(look, leg)?;
        }
        let was_there = matches!(self.end(own), Some(End::Claimed | End::Refunded));
        ensure!(
            look.found(&self.terms, own).is_none() && !was_there,
            Replay,
            "leg {own} is locked already"
        );
        ensure!(self.accepted, State, "the order is not accepted by all parties; wait for that");
        ensure!(!self.is_shown(look), State, "the secret is out; nothing is locked under it");
        self.check_gaps(look)?;
        let needs_ms = self.lock_needs_ms(own);
        let last = self.terms.last();
        let left_ms = self.left_ms(look, last)?;
        ensure!(
            left_ms >= needs_ms,
            Timeout,
            "leg {last} may end in {left_ms} ms, less than the {needs_ms} ms that must follow the \
             lock of leg {own}; let the swap go"
        );
        for leg in 0..own {
            ensure!(
                self.funded(look, leg)?.settled == Settled::Final,
                Finality,
                "leg {leg} is locked and not final yet; wait for that"
            );
        }
        Ok(())
    }

    /// Whether a leg may be claimed now, for its recipient.
    ///
    /// The first party's claim shows the secret, so it asks for time; once the secret is out,
    /// nothing is asked but that the deadline has not come. On a chain that cannot end a claim, one
    /// that was begun in time goes on.
    ///
    /// # Errors
    /// The first in the order of rule G1:
    /// - `E_NOTFOUND`: it is not locked as agreed;
    /// - `E_REPLAY`: it is claimed;
    /// - `E_STATE`: it is given back, the secret is not known, or the chain gives no answer;
    /// - `E_TIMEOUT`: the deadline has come, or is so near that the claim could miss it after
    ///   showing the secret;
    /// - `E_FINALITY`: the lock is not final, and the secret not out.
    ///
    /// Req: PRJ-5-6
    pub fn may_claim(&self, look: &Look, leg: usize) -> Result<(), Refusal> {
        let found = self.funded(look, leg)?;
        ensure!(self.secret.is_some(), State, "the secret of leg {leg} is not known yet");
        let (Some(profile), Some(sight)) = (self.profiles.get(leg), look.sight(leg)) else {
            refuse!(State, "the chain of leg {leg} gives no answer");
        };
        let begun = self.progress.get(leg).is_some_and(|progress| progress.claimed.is_some());
        if reached(found.lock.deadline, sight.clock) && !(begun && profile.expiry == Expiry::Open) {
            refuse!(
                Timeout,
                "leg {leg} has ended at {}; nothing is claimed from then on",
                found.lock.deadline
            );
        }
        if self.is_shown(look) {
            return Ok(());
        }
        let needs_ms = reveal_needs_ms(profile, &self.margins);
        let left_ms = self.left_ms(look, leg)?;
        ensure!(
            left_ms >= needs_ms,
            Timeout,
            "leg {leg} may end in {left_ms} ms, less than the {needs_ms} ms that its claim may \
             take; showing the secret now could lose both legs"
        );
        ensure!(
            found.settled == Settled::Final,
            Finality,
            "leg {leg} is locked and not final yet; wait before showing the secret"
        );
        Ok(())
    }

    /// Whether a leg may be given back now, to its locker.
    ///
    /// # Errors
    /// - `E_NOTFOUND`: it is not locked as agreed;
    /// - `E_REPLAY`: it is given back;
    /// - `E_STATE`: it is claimed, its deadline has not come, or the chain gives no answer.
    ///
    /// Req: PRJ-5-7
    pub fn may_refund(&self, look: &Look, leg: usize) -> Result<(), Refusal> {
        let known = look.found(&self.terms, leg).map(|found| found.standing);
        match (known, self.end(leg)) {
            (Some(Standing::Refunded), _) | (_, Some(End::Refunded)) => {
                refuse!(Replay, "leg {leg} is given back already");
            }
            (Some(Standing::Claimed), _) | (_, Some(End::Claimed)) => {
                refuse!(State, "leg {leg} is claimed; nothing is left to give back");
            }
            (Some(Standing::Funded), None | Some(End::Never)) => {}
            (None, _) => refuse!(NotFound, "leg {leg} is not locked as agreed"),
        }
        let (Some(lock), Some(sight)) = (self.terms.lock(leg), look.sight(leg)) else {
            refuse!(State, "the chain of leg {leg} gives no answer");
        };
        ensure!(
            reached(lock.deadline, sight.clock),
            State,
            "leg {leg} ends at {}, its chain stands at height {} and time {}; wait until then",
            lock.deadline,
            sight.clock.height,
            sight.clock.time
        );
        Ok(())
    }

    /// What can be done next, or why nothing can.
    #[must_use]
    pub fn next(&self, look: &Look) -> Next {
        if let Some(outcome) = self.over {
            return Next::Over(outcome);
        }
        let legs = 0..self.terms.locks().len();
        let mut nearest: Option<Refusal> = None;
        for leg in legs.clone().filter(|leg| self.claims(*leg)) {
            match self.may_claim(look, leg) {
                Ok(()) => return Next::Do(Deed::Claim(leg)),
                Err(refusal) => nearest = Some(refusal),
            }
        }
        let mut refund_from = None;
        for leg in legs.filter(|leg| self.refunds(*leg)) {
            if self.may_refund(look, leg).is_ok() {
                return Next::Do(Deed::Refund(leg));
            }
            if let Ok(found) = self.funded(look, leg) {
                refund_from = refund_from.or(Some(found.lock.deadline));
            }
        }
        if let Some(own) = self.own()
            && refund_from.is_none()
        {
            match self.may_lock(look) {
                Ok(()) => return Next::Do(Deed::Lock(own)),
                Err(refusal) if refusal.class != Class::Replay => nearest = Some(refusal),
                Err(_) => {}
            }
        }
        let why = nearest.unwrap_or_else(|| Refusal::new(Class::State, "nothing is locked yet"));
        Next::Wait { why, refund_from }
    }

    /// The lock of a leg, where it is funded as agreed.
    fn funded<'a>(&self, look: &'a Look, leg: usize) -> Result<&'a Found, Refusal> {
        let Some(sight) = look.sight(leg) else {
            refuse!(State, "the chain of leg {leg} gives no answer");
        };
        match (look.found(&self.terms, leg), &sight.found) {
            (Some(found), _) => match found.standing {
                Standing::Funded => Ok(found),
                Standing::Claimed => refuse!(Replay, "leg {leg} is claimed already"),
                Standing::Refunded => refuse!(State, "leg {leg} is given back"),
            },
            (None, Some(other)) => refuse!(
                NotFound,
                "leg {leg} is locked otherwise than agreed: {} of asset {} for {} until {}",
                other.lock.amount,
                other.lock.asset,
                other.lock.recipient,
                other.lock.deadline
            ),
            (None, None) => refuse!(NotFound, "leg {leg} is not locked yet"),
        }
    }

    fn left_ms(&self, look: &Look, leg: usize) -> Result<u64, Refusal> {
        match look.left_ms(&self.terms, leg, &self.profiles) {
            Some(left_ms) => Ok(left_ms),
            None => refuse!(State, "the chain of leg {leg} gives no answer"),
        }
    }

    fn lock_needs_ms(&self, own: usize) -> u64 {
        lock_needs_ms(self.profiles.get(own..).unwrap_or_default(), &self.margins)
    }

    /// Asked again at the moment of locking: the hub is not believed, and blocks may have come
    /// faster or slower than any profile promised.
    fn check_gaps(&self, look: &Look) -> Result<(), Refusal> {
        let chains = self.profiles.iter().enumerate().map(|(leg, profile)| {
            let Some(sight) = look.sight(leg) else {
                refuse!(State, "the chain of leg {leg} gives no answer");
            };
            Ok((*profile, Some(sight.clock)))
        });
        check_gaps(&self.terms, &chains.collect::<Result<Vec<_>, _>>()?, &self.margins)
    }

    pub(super) fn is_too_late_to_lock(&self, look: &Look) -> bool {
        let Some(own) = self.own() else { return false };
        let left_ms = look.left_ms(&self.terms, self.terms.last(), &self.profiles);
        left_ms.is_some_and(|left_ms| left_ms < self.lock_needs_ms(own))
    }
}
