//! The machine of one who takes part in a swap, or watches over it.
//!
//! What is kept is what no chain can say: the secret, what was begun, what is final. A state is
//! written down before any effect of it is carried out; then a crash at any line, and an effect
//! that is lost or carried out twice, change nothing, because the next look leads to the same step.

use super::{Look, Margins, Profile, Sight, Terms};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_types::{Refusal, UnixMillis, ensure, refuse, swap::Secret};

/// For whom the machine acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Role {
    /// For the party who locks this leg, and receives the one before it. The first has the secret.
    Party(u32),
    /// For whoever is absent: it claims and gives back in favour of whom a lock names, once the
    /// secret is public. It locks nothing and has no secret.
    Watcher,
}

/// All that a machine is told when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What was agreed, or will be.
    pub terms: Terms,
    /// For whom it acts.
    pub role: Role,
    /// The first party's own, and nobody else's.
    pub secret: Option<Secret>,
    /// The chain of each leg.
    pub profiles: Vec<Profile>,
    /// What lies between them.
    pub margins: Margins,
}

/// When something was last begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Attempt {
    /// From 1. A chain that takes fees is offered more with each.
    pub number: u32,
    /// By the host's clock.
    pub at: UnixMillis,
    /// By the chain's.
    pub chain_time: UnixMillis,
}

/// How a lock ended, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum End {
    /// Its recipient has it.
    Claimed,
    /// Its locker has it again.
    Refunded,
    /// It never came, and cannot come any more.
    Never,
}

/// What the machine has done about one leg, and what it knows for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Progress {
    /// Its lock was begun.
    pub locked: Option<Attempt>,
    /// Its claim was begun: from here on the secret may be public.
    pub claimed: Option<Attempt>,
    /// Its refund was begun.
    pub refunded: Option<Attempt>,
    /// What lets anybody end it; asked for once where its chain needs that.
    pub ticket: Option<Vec<u8>>,
    /// How it ended.
    pub end: Option<End>,
    /// Half of the margin for its claim was gone.
    pub alarmed: bool,
}

impl Progress {
    fn resume(&mut self) {
        let begun = [&mut self.locked, &mut self.claimed, &mut self.refunded];
        for attempt in begun.into_iter().flatten() {
            (attempt.at, attempt.chain_time) = (UnixMillis::ZERO, UnixMillis::ZERO);
        }
    }
}

/// How a swap ended for the one for whom the machine acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// What was to be received was received.
    Completed,
    /// What was locked came back, or was never locked, and nothing was received.
    Undone,
    /// What was locked is gone and nothing was received. Not for who follows the protocol.
    Lost,
    /// Nothing is left to watch.
    Watched,
}

/// What may happen to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// All parties have accepted the order. Nothing is locked before.
    Accepted,
    /// The hub has closed the order before all had accepted it: nothing will be locked under it. Not
    /// believed by who has heard that all have accepted.
    Closed,
    /// The process began anew from what was written: what was begun last may never have been done,
    /// so it is due at once. Need not be written itself.
    Resumed,
    /// What all chains say now.
    Seen(Vec<Option<Sight>>),
    /// Somebody has shown the secret elsewhere: to the hub, say. Not believed, but hashed.
    Shown(Secret),
    /// What lets anybody end the lock of a leg.
    Ticket {
        /// Which.
        leg: usize,
        /// Opaque; at most [`Swap::TICKET_BYTES_MAX`].
        ticket: Vec<u8>,
    },
}

/// What somebody must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A claim is not in, and half of the margin for it is gone.
    ClaimIsLate {
        /// Of which leg.
        leg: usize,
        /// What is left, in milliseconds.
        left_ms: u64,
    },
    /// What was locked is gone and nothing can be received.
    Lost,
}

/// What the machine does. Each may be repeated: a chain takes it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lock a leg.
    Lock {
        /// Which.
        leg: usize,
        /// See [`Attempt::number`].
        attempt: u32,
    },
    /// Sign what will let anybody end the lock of a leg in one's favour.
    Ticket {
        /// Which.
        leg: usize,
        /// What the chain knows its funding by.
        funding: Vec<u8>,
    },
    /// Claim a leg for its recipient.
    Claim {
        /// Which.
        leg: usize,
        /// What opens it.
        secret: Secret,
        /// As it was given; empty where none is needed.
        ticket: Vec<u8>,
        /// See [`Attempt::number`].
        attempt: u32,
    },
    /// Give a leg back to its locker.
    Refund {
        /// Which.
        leg: usize,
        /// As it was given; empty where none is needed.
        ticket: Vec<u8>,
        /// See [`Attempt::number`].
        attempt: u32,
    },
    /// Tell an operator.
    Alarm(Alarm),
    /// Tell that it is over.
    Over(Outcome),
}

/// A new state and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be on disk before any effect is carried out.
    pub state: Swap,
    /// In order.
    pub effects: Vec<Effect>,
}

/// One swap, as one party or a watcher has it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Swap {
    pub(super) terms: Terms,
    pub(super) role: Role,
    pub(super) profiles: Vec<Profile>,
    pub(super) margins: Margins,
    pub(super) accepted: bool,
    pub(super) secret: Option<Secret>,
    /// Others have shown the secret.
    pub(super) shown: bool,
    pub(super) progress: Vec<Progress>,
    pub(super) over: Option<Outcome>,
}

impl Swap {
    /// The longest ticket.
    pub const TICKET_BYTES_MAX: usize = 16_384;

    /// Begins.
    ///
    /// # Errors
    /// - `E_FORMAT`: a role that the order does not have, not one profile for each leg, a secret
    ///   where none belongs or none where one does;
    /// - `E_PROOF`: the secret does not open the locks.
    pub fn open(opening: Opening) -> Result<Self, Refusal> {
        let Opening { terms, role, secret, profiles, margins } = opening;
        let legs = terms.locks().len();
        ensure!(
            profiles.len() == legs,
            Format,
            "there are {} profiles for {legs} legs",
            profiles.len()
        );
        if let Role::Party(number) = role {
            let known = usize::try_from(number).is_ok_and(|number| number < legs);
            ensure!(known, Format, "there is no party {number} among the {legs} of the order");
        }
        match (role, secret) {
            (Role::Party(0), None) => refuse!(Format, "the first party has no secret"),
            (Role::Party(0), Some(secret)) => ensure!(
                digest::secret_hash(&secret) == terms.order().hash,
                Proof,
                "the secret does not hash to {}",
                terms.order().hash
            ),
            (_, Some(_)) => refuse!(Format, "only the first party begins with a secret"),
            (_, None) => {}
        }
        let progress = vec![Progress::default(); legs];
        Ok(Self {
            terms,
            role,
            profiles,
            margins,
            accepted: false,
            secret,
            shown: false,
            progress,
            over: None,
        })
    }

    /// What was agreed.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// For whom it acts.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The chain of each leg.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Whether all parties have accepted.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.accepted
    }

    /// What was done about each leg.
    #[must_use]
    pub fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.over
    }

    /// Takes an input. Total; where nothing changes, the state is equal and there is no effect.
    #[must_use]
    pub fn step(&self, at: UnixMillis, input: Input) -> Step {
        let mut step = Step { state: self.clone(), effects: Vec::new() };
        if self.over.is_some() {
            return step;
        }
        match input {
            Input::Accepted => step.state.accepted = true,
            Input::Closed => step.close(),
            Input::Resumed => step.state.progress.iter_mut().for_each(Progress::resume),
            Input::Ticket { leg, ticket } => {
                if let Some(progress) = step.state.progress.get_mut(leg)
                    && ticket.len() <= Self::TICKET_BYTES_MAX
                {
                    progress.ticket.get_or_insert(ticket);
                }
            }
            Input::Seen(sights) => step.see(&Look { at, sights }),
            Input::Shown(secret) => step.state.learn_secret(secret),
        }
        step
    }

    /// The leg that it locks and gets back.
    pub(super) fn own(&self) -> Option<usize> {
        match self.role {
            Role::Party(number) => usize::try_from(number).ok(),
            Role::Watcher => None,
        }
    }

    /// The leg that it receives.
    pub(super) fn received(&self) -> Option<usize> {
        self.own().map(|own| self.terms.received_for(own))
    }

    /// Whether it claims this leg.
    pub(super) fn claims(&self, leg: usize) -> bool {
        self.role == Role::Watcher || self.received() == Some(leg)
    }

    /// Whether it gives this leg back.
    pub(super) fn refunds(&self, leg: usize) -> bool {
        self.role == Role::Watcher || self.own() == Some(leg)
    }

    pub(super) fn end(&self, leg: usize) -> Option<End> {
        self.progress.get(leg)?.end
    }

    /// Whether the secret may be known to others: one's own claim was begun, or it was seen.
    pub(super) fn is_shown(&self, look: &Look) -> bool {
        let begun = self.progress.iter().any(|progress| progress.claimed.is_some());
        begun || self.shown || look.secret(&self.terms).is_some()
    }

    pub(super) fn learn_secret(&mut self, secret: Secret) {
        if digest::secret_hash(&secret) == self.terms.order().hash {
            (self.secret, self.shown) = (Some(secret), true);
        }
    }
}
