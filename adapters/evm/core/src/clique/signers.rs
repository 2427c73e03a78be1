//! Who may sign, as geth's Clique counts it (EIP-225).

use super::header::{Ballot, is_checkpoint};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{Address, Refusal, abi_struct, ensure};

/// The most signers that a client follows.
pub const SIGNERS_MAX: usize = 256;
/// The most open votes that a client follows; they start anew at every checkpoint.
///
/// A signer who votes on so many candidates within one epoch stops the client, which needs a
/// recovery; without a bound, that signer could fill the follower's state.
pub const VOTES_MAX: usize = 1024;

abi_struct! {
    /// Who sealed a block.
    pub struct CliqueRecent {
        /// The block's number.
        pub number: u64,
        /// Who.
        pub signer: Address,
    }
}

abi_struct! {
    /// A vote that counts until its candidate is decided on, or the next checkpoint.
    pub struct CliqueVote {
        /// Who votes.
        pub signer: Address,
        /// On whom.
        pub candidate: Address,
        /// Whether to let the candidate in, or out.
        pub authorize: bool,
    }
}

/// The signers after a block, and what has a say in who they are after the next.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signers {
    /// Who may sign the next block, ascending.
    pub members: Vec<Address>,
    /// The first block that these members sign.
    pub since: u64,
    /// Who signed recently, ascending by number, and so may not sign now.
    pub recents: Vec<CliqueRecent>,
    /// The open votes, in the order in which they were cast.
    pub votes: Vec<CliqueVote>,
}

impl Signers {
    /// Whether a member signs the block of this number in turn.
    pub(super) fn in_turn(&self, number: u64, signer: Address) -> bool {
        let members = u64::try_from(self.members.len()).unwrap_or(u64::MAX);
        let turn = number.checked_rem(members).and_then(|turn| usize::try_from(turn).ok());
        turn.and_then(|turn| self.members.get(turn)) == Some(&signer)
    }

    fn is_member(&self, address: Address) -> bool {
        self.members.binary_search(&address).is_ok()
    }

    /// How many blocks a signer waits after its own, itself included: more than half of the members.
    fn limit(&self) -> u64 {
        let half = u64::try_from(self.members.len() / 2).unwrap_or(u64::MAX);
        half.saturating_add(1)
    }

    /// Takes the next block, sealed by `signer`.
    ///
    /// # Errors
    /// `E_AUTH` where it is no signer; `E_PROOF` where it must wait; `E_LIMIT` where there are more
    /// signers or votes than are followed.
    pub(super) fn take(
        &mut self,
        number: u64,
        signer: Address,
        ballot: Ballot,
        epoch: u64,
    ) -> Result<(), Refusal> {
        if is_checkpoint(number, epoch) {
            self.votes.clear();
        }
        self.forget_recent(number);
        ensure!(
            self.is_member(signer),
            Auth,
            "block {number} is sealed by {signer}, who is none of the {} signers",
            self.members.len()
        );
        let recent = self.recents.iter().find(|recent| recent.signer == signer);
        if let Some(recent) = recent {
            tombolo_types::refuse!(
                Proof,
                "block {number} is sealed by {signer}, who sealed block {} and must wait for {} \
                 blocks",
                recent.number,
                self.limit()
            );
        }
        self.recents.push(CliqueRecent { number, signer });
        self.vote(number, signer, ballot)
    }

    /// The block that fell out of the time for which its signer waits frees the signer.
    fn forget_recent(&mut self, number: u64) {
        if let Some(freed) = number.checked_sub(self.limit()) {
            self.recents.retain(|recent| recent.number != freed);
        }
    }

    fn vote(&mut self, number: u64, signer: Address, ballot: Ballot) -> Result<(), Refusal> {
        let Ballot { candidate, authorize } = ballot;
        // A signer's newer vote on a candidate takes the place of the older.
        self.votes.retain(|vote| (vote.signer, vote.candidate) != (signer, candidate));
        // Only votes that would change something count.
        if self.is_member(candidate) == authorize {
            return Ok(());
        }
        ensure!(
            self.votes.len() < VOTES_MAX,
            Limit,
            "block {number} casts one more than the {VOTES_MAX} open votes that are followed; \
             recover with an anchor behind the next checkpoint"
        );
        self.votes.push(CliqueVote { signer, candidate, authorize });
        let count = self.votes.iter().filter(|vote| vote.candidate == candidate).count();
        if count <= self.members.len() / 2 {
            return Ok(());
        }
        self.since = number.saturating_add(1);
        if authorize {
            ensure!(
                self.members.len() < SIGNERS_MAX,
                Limit,
                "block {number} lets in one more than the {SIGNERS_MAX} signers that are followed"
            );
            self.members.push(candidate);
            self.members.sort_unstable();
        } else {
            self.members.retain(|member| *member != candidate);
            self.forget_recent(number);
            self.votes.retain(|vote| vote.signer != candidate);
        }
        self.votes.retain(|vote| vote.candidate != candidate);
        Ok(())
    }
}
