//! One turn of a swap by hand, where no service runs, or for somebody who is absent.

use crate::{
    door::{Door, sights},
    journal::{Journal, JournalError, Opened},
    task::{Settings, pay_out},
};
use std::time::Duration;
use tokio::time::timeout;
use tombolo_adapter::AdapterError;
use tombolo_swap::htlc::{Effect, Input, Look, Outcome, Role, Step, Swap};
use tombolo_types::{
    Class, Refusal,
    id::{ChainId, TxId},
    swap::Secret,
};

/// Why a turn was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandError {
    /// It is not allowed now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A chain. What was begun is written down and may have happened.
    #[error(transparent)]
    Chain(#[from] AdapterError),
}

impl HandError {
    /// What the caller is told.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class,
            Self::Journal(error) => error.class(),
            Self::Chain(error) => error.class(),
        }
    }
}

/// What a turn is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A claim.
    Claim,
    /// A refund.
    Refund,
}

/// A deed that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoneByHand {
    /// `lock`, `claim` or `refund`.
    pub deed: &'static str,
    /// Of which leg.
    pub leg: usize,
    /// In which transaction; `None` where it had happened already.
    pub transaction: Option<TxId>,
}

/// A swap in somebody's hand. Without a journal it is a watcher's: what that forgets costs nobody.
pub struct Hand {
    swap: Swap,
    journal: Option<Journal>,
    doors: Vec<Door>,
    settings: Settings,
}

impl Hand {
    /// A party's or a watcher's own, from its journal.
    #[must_use]
    pub fn of_journal(opened: Opened, doors: Vec<Door>, settings: Settings) -> Self {
        let swap = opened.swap.step((settings.now)(), Input::Resumed).state;
        Self { swap, journal: Some(opened.journal), doors, settings }
    }

    /// A watcher's, who may know the secret.
    ///
    /// # Errors
    /// `E_UNSUPPORTED` where the machine is a party's: what that does must be written down.
    pub fn of_watcher(
        swap: Swap,
        secret: Option<Secret>,
        doors: Vec<Door>,
        settings: Settings,
    ) -> Result<Self, Refusal> {
        if swap.role() != Role::Watcher {
            let why = "a party acts by its journal; use the folder that holds it";
            return Err(Refusal::new(Class::Unsupported, why));
        }
        let at = (settings.now)();
        let swap = secret.map_or(swap.clone(), |it| swap.step(at, Input::Shown(it)).state);
        Ok(Self { swap, journal: None, doors, settings })
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.swap.outcome()
    }

    /// Looks at all chains and, where what is wanted is allowed, does all that is due: what the
    /// machine has written down as begun must not be left undone. Then looks again.
    ///
    /// # Errors
    /// [`HandError::Refused`] with the class that a party or the chain would be told.
    ///
    /// Req: PRJ-5-6, PRJ-5-7
    pub async fn act(&mut self, wanted: Wanted) -> Result<Vec<DoneByHand>, HandError> {
        let (look, failures) = self.look().await;
        let step = self.swap.step(look.at, Input::Seen(look.sights.clone()));
        if !step.effects.iter().any(|effect| is_wanted(effect, wanted)) {
            return Err(why_not(&step.state, &look, wanted, failures));
        }
        self.keep(&step)?;
        let mut done = Vec::new();
        for effect in step.effects {
            done.extend(self.carry_out(effect).await?);
        }
        let (look, _) = self.look().await;
        let step = self.swap.step(look.at, Input::Seen(look.sights));
        // What falls due by now waits for the next turn; to write it down would say that it was begun.
        if step.state.outcome().is_some() {
            self.keep(&step)?;
        }
        pay_out(&self.doors, self.swap.terms(), self.settings.deed_within).await;
        Ok(done)
    }

    async fn look(&self) -> (Look, Vec<(usize, AdapterError)>) {
        let within = self.settings.answer_within;
        let (sights, failures) = sights(&self.doors, self.swap.terms(), within).await;
        (Look { at: (self.settings.now)(), sights }, failures)
    }

    fn keep(&mut self, step: &Step) -> Result<(), JournalError> {
        if let Some(journal) = &mut self.journal
            && step.state != self.swap
        {
            journal.append(&step.state, (self.settings.now)())?;
        }
        self.swap = step.state.clone();
        Ok(())
    }

    async fn carry_out(&self, effect: Effect) -> Result<Option<DoneByHand>, AdapterError> {
        let (deed, leg) = match &effect {
            Effect::Lock { leg, .. } => ("lock", *leg),
            Effect::Claim { leg, .. } => ("claim", *leg),
            Effect::Refund { leg, .. } => ("refund", *leg),
            // A ticket is asked for again at the next turn; the rest is for who runs a service.
            Effect::Ticket { .. } | Effect::Alarm(_) | Effect::Over(_) => return Ok(None),
        };
        let (Some(door), Some(lock)) = (self.doors.get(leg), self.swap.terms().lock(leg)) else {
            return Ok(None);
        };
        let (chain, within) = (&door.chain, self.settings.deed_within);
        let acted = async {
            match &effect {
                Effect::Lock { attempt, .. } => chain.lock(lock, *attempt).await,
                Effect::Claim { secret, ticket, attempt, .. } => {
                    chain.claim(lock, secret, ticket, *attempt).await
                }
                Effect::Refund { ticket, attempt, .. } => {
                    chain.refund(lock, ticket, *attempt).await
                }
                Effect::Ticket { .. } | Effect::Alarm(_) | Effect::Over(_) => Ok(TxId::ZERO),
            }
        };
        let acted = timeout(within, acted).await;
        match acted.unwrap_or_else(|_| Err(silent(lock.chain, within))) {
            Ok(transaction) => Ok(Some(DoneByHand { deed, leg, transaction: Some(transaction) })),
            Err(error) if error.class() == Class::Replay => {
                Ok(Some(DoneByHand { deed, leg, transaction: None }))
            }
            Err(error) => Err(error),
        }
    }
}

fn silent(chain: ChainId, within: Duration) -> AdapterError {
    crate::door::no_answer(chain, "carrying out a deed", within)
}

fn is_wanted(effect: &Effect, wanted: Wanted) -> bool {
    match effect {
        Effect::Claim { .. } => wanted == Wanted::Claim,
        Effect::Refund { .. } => wanted == Wanted::Refund,
        Effect::Lock { .. } | Effect::Ticket { .. } | Effect::Alarm(_) | Effect::Over(_) => false,
    }
}

/// Why what is wanted is not allowed; where a chain was silent, that.
fn why_not(
    swap: &Swap,
    look: &Look,
    wanted: Wanted,
    failures: Vec<(usize, AdapterError)>,
) -> HandError {
    let legs = match (swap.role(), wanted) {
        (Role::Watcher, _) => (0..swap.terms().locks().len()).collect(),
        (Role::Party(number), _) => {
            let own = usize::try_from(number).unwrap_or(usize::MAX);
            vec![if wanted == Wanted::Refund { own } else { swap.terms().received_for(own) }]
        }
    };
    if let Some((_, error)) = failures.into_iter().find(|(leg, _)| legs.contains(leg)) {
        return error.into();
    }
    let refusals = legs.iter().filter_map(|leg| match wanted {
        Wanted::Claim => swap.may_claim(look, *leg).err(),
        Wanted::Refund => swap.may_refund(look, *leg).err(),
    });
    let first = refusals.min_by_key(|refusal| refusal.class);
    first.unwrap_or_else(|| Refusal::new(Class::State, "the swap is over")).into()
}
