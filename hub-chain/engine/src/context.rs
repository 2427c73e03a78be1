//! The types that the consensus library is generic over.
//!
//! Each is a thin wrapper, because the library's traits and Tombolo's words both come from other
//! crates. A value is a block's id, never the block: values are cloned, gossiped and logged.

use arc_malachitebft_app_channel::app::types::core::{
    self as core, LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType,
};
use std::{fmt, sync::Arc};
use tombolo_types::{
    Address, Height,
    header::{self, Signature},
    id::BlockId,
};

use crate::signing::Scheme;

/// Names all the types below to the library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context;

/// A height as the library counts it; its first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Level(pub(crate) u64);

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Height> for Level {
    fn from(height: Height) -> Self {
        Self(height.0)
    }
}

impl From<Level> for Height {
    fn from(level: Level) -> Self {
        Self(level.0)
    }
}

impl core::Height for Level {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A validator's address; also what stands for its public key, because signatures recover to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Voter(pub(crate) Address);

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Address for Voter {}

/// What is agreed on: the id of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value(pub(crate) BlockId);

impl core::Value for Value {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        self.0
    }
}

/// A member of a validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    address: Voter,
    power: u64,
}

impl core::Validator<Context> for Validator {
    fn address(&self) -> &Voter {
        &self.address
    }

    fn public_key(&self) -> &Address {
        &self.address.0
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// A validator set, with what the choice of proposers needs worked out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidatorSet {
    members: Arc<[Validator]>,
    power: u64,
    /// Powers divided by their greatest common divisor, summed up to each member.
    turns: Arc<[u64]>,
    stride: u64,
}

impl From<&header::ValidatorSet> for ValidatorSet {
    fn from(set: &header::ValidatorSet) -> Self {
        let members: Arc<[Validator]> = set
            .validators
            .iter()
            .map(|member| Validator { address: Voter(member.address), power: member.power.0 })
            .collect();
        let unit = members.iter().fold(0, |unit, member| gcd(unit, member.power)).max(1);
        let turns: Arc<[u64]> = members
            .iter()
            .scan(0u64, |sum, member| {
                *sum = sum.saturating_add(member.power / unit);
                Some(*sum)
            })
            .collect();
        let cycle = turns.last().copied().unwrap_or(0);
        let power = members.iter().fold(0u64, |sum, member| sum.saturating_add(member.power));
        Self { members, power, turns, stride: stride(cycle) }
    }
}

impl ValidatorSet {
    /// Whose turn it is to propose. Weighted round robin: in as many consecutive turns as there
    /// are units of power, each member has as many as it has units. The stride lies near the
    /// golden section of the cycle, so that the turns of one member lie apart and a dead one
    /// costs one round, not several.
    pub(crate) fn proposer(&self, height: Height, round: u32) -> Option<&Validator> {
        let cycle = u128::from(self.turns.last().copied()?.max(1));
        let turn = (u128::from(height.0) + u128::from(round)) % cycle;
        let slot = turn * u128::from(self.stride) % cycle;
        let position = self.turns.partition_point(|end| u128::from(*end) <= slot);
        self.members.get(position)
    }

    pub(crate) fn power_of(&self, address: Address) -> u64 {
        let found = self.members.binary_search_by_key(&address, |member| member.address.0);
        found.ok().and_then(|position| self.members.get(position)).map_or(0, |found| found.power)
    }

    pub(crate) fn power(&self) -> u64 {
        self.power
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The number nearest above 0.618 of the cycle that shares no divisor with it.
fn stride(cycle: u64) -> u64 {
    let start = (u128::from(cycle) * 618 / 1000).try_into().unwrap_or(1u64).max(1);
    (start..).find(|stride| gcd(*stride, cycle) == 1).unwrap_or(1)
}

impl core::ValidatorSet<Context> for ValidatorSet {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.power
    }

    fn get_by_address(&self, address: &Voter) -> Option<&Validator> {
        let found = self.members.binary_search_by_key(address, |member| member.address);
        found.ok().and_then(|position| self.members.get(position))
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.members.get(index)
    }
}

/// A proposer's offer of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) height: Level,
    pub(crate) round: Round,
    pub(crate) value: Value,
    pub(crate) pol_round: Round,
    pub(crate) proposer: Voter,
}

impl core::Proposal<Context> for Proposal {
    fn height(&self) -> Level {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Voter {
        &self.proposer
    }
}

/// A prevote or precommit. Vote extensions are not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) height: Level,
    pub(crate) round: Round,
    pub(crate) value: NilOrVal<BlockId>,
    pub(crate) voter: Voter,
}

impl core::Vote<Context> for Vote {
    fn height(&self) -> Level {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Voter {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }

    fn extend(self, _: SignedExtension<Context>) -> Self {
        self
    }
}

/// A piece of a block on its way from the proposer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Comes first: which turn the block is for.
    Init {
        /// The block's height.
        height: Height,
        /// The round in which it was first proposed.
        round: u32,
        /// Who proposed it then.
        proposer: Address,
    },
    /// A chunk of the encoded block.
    Data(bytes::Bytes),
    /// Comes last: the proposer's signature over turn and block id.
    Fin(Signature),
}

impl core::ProposalPart<Context> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Init { .. })
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Fin(_))
    }
}

impl core::Context for Context {
    type Address = Voter;
    type Height = Level;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Scheme;

    fn select_proposer<'a>(
        &self,
        set: &'a ValidatorSet,
        height: Level,
        round: Round,
    ) -> &'a Validator {
        // The library refuses empty sets before it asks, and asks for defined rounds only.
        set.proposer(height.into(), round.as_u32().unwrap_or(0))
            .unwrap_or_else(|| panic!("the validator set of height {height} is empty"))
    }

    fn new_proposal(
        &self,
        height: Level,
        round: Round,
        value: Value,
        pol_round: Round,
        proposer: Voter,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(
        &self,
        height: Level,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: Voter,
    ) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter }
    }

    fn new_precommit(
        &self,
        height: Level,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: Voter,
    ) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tombolo_types::Power;

    fn set(powers: &[u64]) -> ValidatorSet {
        let validators = (1u8..)
            .zip(powers)
            .map(|(n, power)| header::Validator { address: Address([n; 20]), power: Power(*power) })
            .collect();
        (&header::ValidatorSet { first_height: Height(1), validators }).into()
    }

    fn turns(set: &ValidatorSet, from: u64, count: u64) -> BTreeMap<Address, u64> {
        let mut turns = BTreeMap::new();
        for height in from..from + count {
            *turns.entry(set.proposer(Height(height), 0).unwrap().address.0).or_default() += 1;
        }
        turns
    }

    #[test]
    fn equal_members_take_turns() {
        let set = set(&[100, 100, 100, 100]);
        assert_eq!(turns(&set, 5, 4), (1..=4).map(|n| (Address([n; 20]), 1)).collect());
        let height = Height(9);
        let first = set.proposer(height, 0);
        assert_ne!(first, set.proposer(height, 1), "a dead proposer costs one round");
        assert_eq!(set.proposer(height, 1), set.proposer(height.next(), 0));
    }

    proptest! {
        #[test]
        fn turns_follow_power(powers in prop::collection::vec(1u64..9, 1..6), from in 1u64..1000) {
            let set = set(&powers);
            let cycle = set.turns.last().copied().unwrap();
            let turns = turns(&set, from, cycle);
            let unit = powers.iter().fold(0, |unit, power| gcd(unit, *power));
            for (n, power) in (1u8..).zip(&powers) {
                prop_assert_eq!(turns.get(&Address([n; 20])).copied(), Some(power / unit));
            }
        }

        #[test]
        fn any_height_and_round_has_a_proposer(
            powers in prop::collection::vec(1u64..1 << 33, 1..100), height: u64, round: u32,
        ) {
            prop_assert!(set(&powers).proposer(Height(height), round).is_some());
        }
    }
}
