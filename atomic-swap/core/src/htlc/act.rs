//! What the machine does when it looks: learn, claim, give back, lock, and find out that it is over.

use super::{
    Alarm, Attempt, Effect, End, Look, Outcome, Progress, Settled, Spending, Standing, Step,
    gap_needs_ms, reached, reveal_needs_ms, settled_after,
};

impl Step {
    pub(super) fn see(&mut self, look: &Look) {
        self.learn(look);
        for leg in 0..self.state.terms.locks().len() {
            self.ask_for_ticket(leg, look);
            self.claim(leg, look);
            self.refund(leg, look);
        }
        self.lock(look);
        self.conclude(look);
    }

    /// Without acceptance nothing of one's own was locked, so there is nothing to lose by believing it.
    pub(super) fn close(&mut self) {
        if !self.state.accepted && self.state.own().is_some() {
            self.state.over = Some(Outcome::Undone);
            self.effects.push(Effect::Over(Outcome::Undone));
        }
    }

    /// What is final is kept for good, whatever a node says later; and the secret, before it is
    /// used.
    fn learn(&mut self, look: &Look) {
        if let Some(secret) = look.secret(&self.state.terms) {
            self.state.learn_secret(secret);
        }
        for leg in 0..self.state.terms.locks().len() {
            let end = match look.found(&self.state.terms, leg) {
                Some(found) if found.settled == Settled::Final => match found.standing {
                    Standing::Funded => None,
                    Standing::Claimed => Some(End::Claimed),
                    Standing::Refunded => Some(End::Refunded),
                },
                _ => None,
            };
            if let Some(progress) = self.state.progress.get_mut(leg) {
                progress.end = progress.end.or(end);
            }
        }
    }

    fn ask_for_ticket(&mut self, leg: usize, look: &Look) {
        let state = &self.state;
        let needed = state.profiles.get(leg).map(|profile| profile.spending);
        let party = state.own() == Some(leg) || state.received() == Some(leg);
        let Some(progress) = state.progress.get(leg) else { return };
        if needed == Some(Spending::ByTicket)
            && party
            && progress.ticket.is_none()
            && let Some(found) = look.found(&state.terms, leg)
            && found.standing == Standing::Funded
            && found.settled == Settled::Final
        {
            self.effects.push(Effect::Ticket { leg, funding: found.funding.clone() });
        }
    }

    fn claim(&mut self, leg: usize, look: &Look) {
        if !self.state.claims(leg) || self.state.may_claim(look, leg).is_err() {
            return;
        }
        let Some(secret) = self.state.secret else { return };
        self.alarm(leg, look);
        let Some(progress) = self.state.progress.get(leg) else { return };
        if let Some(attempt) = self.due(leg, progress.claimed, look) {
            let ticket = progress.ticket.clone().unwrap_or_default();
            self.effects.push(Effect::Claim { leg, secret, ticket, attempt: attempt.number });
            self.note(leg, |progress| progress.claimed = Some(attempt));
        }
    }

    /// Req: attack A37
    fn alarm(&mut self, leg: usize, look: &Look) {
        let state = &self.state;
        let Some(left_ms) = look.left_ms(&state.terms, leg, &state.profiles) else { return };
        let after = leg.saturating_add(1);
        let margin_ms = match (state.profiles.get(leg), state.profiles.get(after)) {
            (Some(first), Some(second)) => gap_needs_ms(first, second, &state.margins),
            (Some(last), None) => reveal_needs_ms(last, &state.margins),
            (None, _) => return,
        };
        let begun = state.progress.get(leg).filter(|progress| progress.claimed.is_some());
        if begun.is_some_and(|progress| !progress.alarmed) && left_ms <= margin_ms.div_euclid(2) {
            self.effects.push(Effect::Alarm(Alarm::ClaimIsLate { leg, left_ms }));
            self.note(leg, |progress| progress.alarmed = true);
        }
    }

    fn refund(&mut self, leg: usize, look: &Look) {
        if !self.state.refunds(leg) || self.state.may_refund(look, leg).is_err() {
            return;
        }
        let Some(progress) = self.state.progress.get(leg) else { return };
        if let Some(attempt) = self.due(leg, progress.refunded, look) {
            let ticket = progress.ticket.clone().unwrap_or_default();
            self.effects.push(Effect::Refund { leg, ticket, attempt: attempt.number });
            self.note(leg, |progress| progress.refunded = Some(attempt));
        }
    }

    fn lock(&mut self, look: &Look) {
        let Some(leg) = self.state.own() else { return };
        if self.state.may_lock(look).is_err() {
            return;
        }
        let before = self.state.progress.get(leg).and_then(|progress| progress.locked);
        if let Some(attempt) = self.due(leg, before, look) {
            self.effects.push(Effect::Lock { leg, attempt: attempt.number });
            self.note(leg, |progress| progress.locked = Some(attempt));
        }
    }

    /// The attempt that is due: the first, or another once the last one had the time of a block, by
    /// the chain's clock or by the host's. A host clock that is set back does not hold one up.
    fn due(&self, leg: usize, before: Option<Attempt>, look: &Look) -> Option<Attempt> {
        let chain_time = look.sight(leg)?.clock.time;
        let Some(before) = before else {
            return Some(Attempt { number: 1, at: look.at, chain_time });
        };
        let block_ms = self.state.profiles.get(leg)?.block_ms_slowest;
        let waited_ms = look.at.0.abs_diff(before.at.0);
        let due = chain_time.since(before.chain_time).max(waited_ms) >= block_ms.max(1);
        let number = before.number.saturating_add(1);
        due.then_some(Attempt { number, at: look.at, chain_time })
    }

    fn note(&mut self, leg: usize, note: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.state.progress.get_mut(leg) {
            note(progress);
        }
    }

    /// Whether anything is left to do.
    fn conclude(&mut self, look: &Look) {
        for leg in 0..self.state.terms.locks().len() {
            if self.never_comes(leg, look) {
                self.note(leg, |progress| progress.end = progress.end.or(Some(End::Never)));
            }
        }
        let state = &self.state;
        let ends: Vec<Option<End>> = state.progress.iter().map(|progress| progress.end).collect();
        let outcome = match (state.own(), state.received()) {
            (Some(own), Some(received)) => {
                let own = ends.get(own).copied().flatten();
                let received = ends.get(received).copied().flatten();
                self.outcome_of(own, received, look)
            }
            _ => ends.iter().all(Option::is_some).then_some(Outcome::Watched),
        };
        if let Some(outcome) = outcome {
            self.state.over = Some(outcome);
            if outcome == Outcome::Lost {
                self.effects.push(Effect::Alarm(Alarm::Lost));
            }
            self.effects.push(Effect::Over(outcome));
        }
    }

    fn outcome_of(&self, own: Option<End>, received: Option<End>, look: &Look) -> Option<Outcome> {
        match (own?, received) {
            (_, Some(End::Claimed)) => Some(Outcome::Completed),
            (End::Claimed, Some(End::Refunded | End::Never)) => Some(Outcome::Lost),
            (End::Claimed, None) => None,
            // A secret that is out may still bring what was to be received.
            (End::Refunded | End::Never, None) if self.state.is_shown(look) => None,
            (End::Refunded | End::Never, _) => Some(Outcome::Undone),
        }
    }

    /// A lock that is not there and will not be: one's own, once it is too late to begin it; and
    /// any, once whatever was handed in before its deadline has settled on its chain.
    fn never_comes(&self, leg: usize, look: &Look) -> bool {
        let state = &self.state;
        if look.found(&state.terms, leg).is_some() {
            return false;
        }
        let (Some(sight), Some(lock), Some(profile), Some(progress)) = (
            look.sight(leg),
            state.terms.lock(leg),
            state.profiles.get(leg),
            state.progress.get(leg),
        ) else {
            return false;
        };
        let unbegun = state.own() == Some(leg) && progress.locked.is_none();
        (unbegun && state.is_too_late_to_lock(look))
            || reached(settled_after(lock.deadline, profile), sight.clock)
    }
}
