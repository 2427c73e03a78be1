//! What a chain declares of itself.

use crate::AdapterError;
use std::{collections::BTreeSet, fmt, num::NonZeroU64};
use tombolo_swap::protocol::Locking;
use tombolo_types::id::ChainId;

/// When a block of the chain cannot be taken back any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// As soon as it is there.
    Instant,
    /// Once so many blocks stand on it.
    Depth(NonZeroU64),
    /// Once the chain marks it, or a later one, as final.
    Checkpoint,
}

/// How the chain agrees on its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consensus {
    /// Votes of known validators, of whom less than a third may be faulty.
    Bft,
    /// Known orderers that may crash and are trusted not to lie.
    CrashTolerant,
    /// Staked validators and later finality.
    ProofOfStake,
    /// Work.
    ProofOfWork,
    /// A graph of transactions instead of blocks.
    Graph,
}

/// Who can read what the chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Everybody.
    Public,
    /// Members only.
    Members,
    /// Members, and some parts only some of them.
    Channels,
}

/// What a chain may or may not be able to do, beyond sending and taking lane messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Runs contracts that its users bring.
    Contracts,
    /// Locks assets until a preimage of a SHA-256 hash is shown.
    Hashlock,
    /// Locks items so that a verifier elsewhere can be convinced of it: takes part in two-phase
    /// commit.
    ProvableLock,
    /// Proves its lanes by its own consensus, so that no node need be trusted: mode 1.
    ProvenHeads,
    /// Changes who certifies its blocks, and can lead a light client over it.
    ClientUpdates,
    /// Takes evidence that another chain contradicts itself.
    Misbehaviour,
    /// Finds a transaction by its id.
    Query,
}

impl Ability {
    /// Every ability.
    pub const ALL: [Self; 7] = [
        Self::Contracts,
        Self::Hashlock,
        Self::ProvableLock,
        Self::ProvenHeads,
        Self::ClientUpdates,
        Self::Misbehaviour,
        Self::Query,
    ];
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contracts => "contracts",
            Self::Hashlock => "hash locks",
            Self::ProvableLock => "provable locks",
            Self::ProvenHeads => "heads proved by consensus",
            Self::ClientUpdates => "light client updates",
            Self::Misbehaviour => "evidence of misbehaviour",
            Self::Query => "queries by transaction id",
        })
    }
}

/// What one delivery to the chain may hold, and one message from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest encoded message, in bytes.
    pub message_bytes_max: u64,
    /// The most messages of one delivery.
    pub batch_messages_max: u64,
    /// The most bytes of all messages of one delivery.
    pub batch_bytes_max: u64,
    /// How many deliveries may be handed in one behind the other before the first stands in a block;
    /// 1 where each must be waited for.
    pub deliveries_max: u32,
    /// How many of them may wait at once in all, those included that stand in blocks that are not
    /// final.
    pub unfinal_max: u32,
}

/// What a chain is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The kind of chain, as configuration names it: `tombolo`, `evm`.
    pub kind: String,
    /// The chain.
    pub chain_id: ChainId,
    /// When its blocks are final.
    pub finality: Finality,
    /// How it agrees.
    pub consensus: Consensus,
    /// The symbol of what its transactions are paid in; `None` where they cost nothing.
    pub currency: Option<String>,
    /// Who can read it.
    pub privacy: Privacy,
    /// What it takes at once.
    pub limits: Limits,
    /// What it can do. What is not here is refused.
    pub abilities: BTreeSet<Ability>,
}

impl Descriptor {
    /// Refuses an ability that the chain does not declare.
    ///
    /// # Errors
    /// [`AdapterError::Unsupported`].
    pub fn require(&self, ability: Ability) -> Result<(), AdapterError> {
        if self.abilities.contains(&ability) {
            return Ok(());
        }
        Err(AdapterError::Unsupported { chain: self.chain_id, kind: self.kind.clone(), ability })
    }

    /// How the chain can lock, for the choice of a protocol. Req: PRJ-5-4
    #[must_use]
    pub fn locking(&self) -> BTreeSet<Locking> {
        let all = [(Ability::ProvableLock, Locking::Provable), (Ability::Hashlock, Locking::Hash)];
        let can = |(ability, locking)| self.abilities.contains(&ability).then_some(locking);
        all.into_iter().filter_map(can).collect()
    }
}

/// A chain that says what it is.
pub trait Declare: Send + Sync {
    /// What the chain is and can do. Does not change while the adapter lives.
    fn descriptor(&self) -> &Descriptor;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::Class;

    /// Req: PRJ-14-1, PRJ-5-4
    #[test]
    fn exactly_what_is_declared_is_granted() {
        let descriptor = Descriptor {
            kind: "none".into(),
            chain_id: ChainId([7; 32]),
            finality: Finality::Instant,
            consensus: Consensus::Bft,
            currency: None,
            privacy: Privacy::Public,
            limits: Limits {
                message_bytes_max: 1,
                batch_messages_max: 1,
                batch_bytes_max: 1,
                deliveries_max: 1,
                unfinal_max: 1,
            },
            abilities: [Ability::Query, Ability::Contracts].into(),
        };
        for ability in Ability::ALL {
            let class = descriptor.require(ability).err().map(|error| error.class());
            let declared = matches!(ability, Ability::Query | Ability::Contracts);
            assert_eq!(class, (!declared).then_some(Class::Unsupported), "{ability}");
        }
        assert_eq!(descriptor.locking(), BTreeSet::new());
        let abilities = [Ability::Hashlock, Ability::ProvableLock].into();
        let both = Descriptor { abilities, ..descriptor };
        assert_eq!(both.locking(), [Locking::Provable, Locking::Hash].into());
    }
}
