//! The terms of a swap: an order whose form was checked, and the locks that it comes to.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;
use tombolo_types::{
    Amount, Refusal, ensure,
    id::{AssetId, ChainId, IdentityId, SecretHash},
    swap::{Account, Deadline, LEGS_MAX, Order},
};

/// How many legs version 1 takes. Every rule is about neighbours, so that rings can follow.
pub const LEGS: usize = 2;

/// One lock as a chain shall hold it. Anything else under its hash is another lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Lock {
    /// SHA-256 of what opens it.
    pub hash: SecretHash,
    /// Where.
    pub chain: ChainId,
    /// What.
    pub asset: AssetId,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
    /// Who locks, and gets it back.
    pub locker: Account,
    /// Who gets it for the secret.
    pub recipient: Account,
    /// From when on it can be taken back.
    pub deadline: Deadline,
}

/// An order of the right form. Only [`Terms::read`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    order: Order,
    locks: Vec<Lock>,
}

impl Terms {
    /// Checks the form of an order.
    ///
    /// # Errors
    /// The first in the order of rule G1:
    /// - `E_FORMAT`: not one leg for each of at least two different parties, no hash, an amount of
    ///   zero, a leg from an account to itself, two legs of one locker on one chain;
    /// - `E_LIMIT`: more legs than an order may spell;
    /// - `E_UNSUPPORTED`: more legs than [`LEGS`], or a premium.
    pub fn read(order: Order) -> Result<Self, Refusal> {
        let (parties, legs) = (order.parties.len(), order.legs.len());
        ensure!(
            parties == legs && legs >= LEGS,
            Format,
            "the order has {parties} parties and {legs} legs; name one leg for each of at least \
             {LEGS} parties"
        );
        ensure!(!order.hash.is_zero(), Format, "the order has no hash; hash a secret of 32 bytes");
        let distinct: BTreeSet<&IdentityId> = order.parties.iter().collect();
        ensure!(distinct.len() == parties, Format, "a party of the order stands in it twice");
        let mut lockers = BTreeSet::new();
        for (number, leg) in order.legs.iter().enumerate() {
            ensure!(leg.amount.0 > 0, Format, "leg {number} locks nothing; leave the swap");
            ensure!(
                leg.locker != leg.recipient,
                Format,
                "leg {number} goes from account {} to itself",
                leg.locker
            );
            ensure!(
                lockers.insert((leg.chain, &leg.locker)),
                Format,
                "account {} locks two legs on chain {} under one hash; use two accounts",
                leg.locker,
                leg.chain
            );
        }
        ensure!(
            legs <= LEGS_MAX,
            Limit,
            "the order has {legs} legs, at most {LEGS_MAX} can be spelt"
        );
        ensure!(
            legs == LEGS,
            Unsupported,
            "the order has {legs} legs; swaps of more than {LEGS} parties are not in this version"
        );
        ensure!(
            order.premium == Amount::ZERO,
            Unsupported,
            "the order names a premium of {}; premiums are not in this version, name 0",
            order.premium
        );
        let lock = |leg: &tombolo_types::swap::Leg| Lock {
            hash: order.hash,
            chain: leg.chain,
            asset: leg.asset,
            amount: leg.amount,
            locker: leg.locker.clone(),
            recipient: leg.recipient.clone(),
            deadline: leg.deadline,
        };
        let locks = order.legs.iter().map(lock).collect();
        Ok(Self { order, locks })
    }

    /// What was agreed.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The locks, one for each leg, in order.
    #[must_use]
    pub fn locks(&self) -> &[Lock] {
        &self.locks
    }

    /// The lock of a leg.
    #[must_use]
    pub fn lock(&self, leg: usize) -> Option<&Lock> {
        self.locks.get(leg)
    }

    /// The last leg: the one that the first party claims, and so shows the secret.
    #[must_use]
    pub fn last(&self) -> usize {
        self.locks.len().saturating_sub(1)
    }

    /// The leg that the party who locks this one receives: the one before, or the last.
    #[must_use]
    pub fn received_for(&self, leg: usize) -> usize {
        leg.checked_sub(1).unwrap_or_else(|| self.last())
    }
}

impl BorshSerialize for Terms {
    fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.order.serialize(writer)
    }
}

impl BorshDeserialize for Terms {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        let order = Order::deserialize_reader(reader)?;
        Self::read(order)
            .map_err(|refusal| std::io::Error::new(std::io::ErrorKind::InvalidData, refusal))
    }
}
