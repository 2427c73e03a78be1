//! What goes wrong between us and a chain, and what to do about it.

use crate::Ability;
use std::time::Duration;
use tombolo_types::{Class, Height, Refusal, id::ChainId};

/// Why a chain did not do or say what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// No answer came, or the connection broke. What was asked may have happened.
    #[error("no answer from chain {chain} while {doing}: {why}")]
    NoAnswer {
        /// Which chain.
        chain: ChainId,
        /// What was being done.
        doing: &'static str,
        /// What the layer below said.
        why: String,
    },
    /// The chain understood and refused.
    #[error("chain {chain} refused: {refusal}")]
    Refused {
        /// Which chain.
        chain: ChainId,
        /// Its refusal, translated where it has refusals of its own.
        refusal: Refusal,
    },
    /// Two things that the endpoint says cannot both be true, or its proof does not hold.
    #[error("the endpoint of chain {chain} contradicts itself: {why}; ask another one")]
    Contradiction {
        /// Which chain.
        chain: ChainId,
        /// What contradicts what.
        why: String,
    },
    /// What was asked for is there and not yet final.
    #[error("{what} of chain {chain} is not final; the newest final height is {newest}")]
    NotFinal {
        /// Which chain.
        chain: ChainId,
        /// What was asked for.
        what: String,
        /// The newest final height.
        newest: Height,
    },
    /// The chain knows no such thing, or keeps it no longer.
    #[error("chain {chain} has no {what}")]
    NotFound {
        /// Which chain.
        chain: ChainId,
        /// What was asked for.
        what: String,
    },
    /// The chain does not offer this.
    #[error("chain {chain} of kind {kind} does not declare {ability}")]
    Unsupported {
        /// Which chain.
        chain: ChainId,
        /// Its kind.
        kind: String,
        /// What was asked for.
        ability: Ability,
    },
}

/// What our own loop does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Ask again, not before this has passed; the caller adds jitter and a budget.
    Retry {
        /// How long to wait at least.
        after: Duration,
    },
    /// Asking again changes nothing. Look at both chains anew and plan from there.
    GiveUp,
    /// A person must act.
    AskOperator,
}

/// Long enough for a restarting node, short against any deadline.
const RETRY_UNREACHABLE: Duration = Duration::from_secs(1);
/// About a block: what is in the way may then be gone.
const RETRY_BUSY: Duration = Duration::from_millis(250);

impl AdapterError {
    /// What the caller is told.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NoAnswer { .. } => Class::Timeout,
            Self::Refused { refusal, .. } => refusal.class,
            Self::Contradiction { .. } => Class::Proof,
            Self::NotFinal { .. } => Class::Finality,
            Self::NotFound { .. } => Class::NotFound,
            Self::Unsupported { .. } => Class::Unsupported,
        }
    }

    /// What our own loop does.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NoAnswer { .. } => Remedy::Retry { after: RETRY_UNREACHABLE },
            Self::NotFinal { .. } => Remedy::Retry { after: RETRY_BUSY },
            Self::NotFound { .. } => Remedy::GiveUp,
            Self::Contradiction { .. } | Self::Unsupported { .. } => Remedy::AskOperator,
            Self::Refused { refusal, .. } => remedy_of(refusal.class),
        }
    }
}

fn remedy_of(class: Class) -> Remedy {
    match class {
        // Another took the nonce or the room, or the block is not final yet.
        Class::Limit | Class::Finality => Remedy::Retry { after: RETRY_BUSY },
        // The chain has moved: another relayer was faster, or the proof is of yesterday.
        Class::NotFound
        | Class::Replay
        | Class::State
        | Class::Timeout
        | Class::Proof
        | Class::ClosedCopy => Remedy::GiveUp,
        // What was brought is not what the chain's own proof holds: somebody lies to us. And our keys,
        // our rights, our program or the money: none of it mends itself.
        Class::Version
        | Class::Format
        | Class::Auth
        | Class::Ident
        | Class::IdMethod
        | Class::Denied
        | Class::Policy
        | Class::Quorum
        | Class::Unsupported
        | Class::Funds
        | Class::Tamper => Remedy::AskOperator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId([7; 32]);

    #[test]
    fn class_and_remedy_of_each_error() {
        let busy = Remedy::Retry { after: RETRY_BUSY };
        let refused =
            |class| AdapterError::Refused { chain: CHAIN, refusal: Refusal::new(class, "") };
        let table = [
            (
                AdapterError::NoAnswer { chain: CHAIN, doing: "asking", why: "silence".into() },
                Class::Timeout,
                Remedy::Retry { after: RETRY_UNREACHABLE },
            ),
            (
                AdapterError::NotFinal {
                    chain: CHAIN,
                    what: "message 2".into(),
                    newest: Height(1),
                },
                Class::Finality,
                busy,
            ),
            (
                AdapterError::NotFound { chain: CHAIN, what: "bodies".into() },
                Class::NotFound,
                Remedy::GiveUp,
            ),
            (
                AdapterError::Contradiction { chain: CHAIN, why: "two roots".into() },
                Class::Proof,
                Remedy::AskOperator,
            ),
            (refused(Class::Limit), Class::Limit, busy),
            (refused(Class::Replay), Class::Replay, Remedy::GiveUp),
            (refused(Class::Proof), Class::Proof, Remedy::GiveUp),
            (refused(Class::Auth), Class::Auth, Remedy::AskOperator),
            (refused(Class::Tamper), Class::Tamper, Remedy::AskOperator),
        ];
        for (error, class, remedy) in table {
            assert_eq!((error.class(), error.remedy()), (class, remedy), "{error}");
        }
    }
}
