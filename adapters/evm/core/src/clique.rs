//! Clique (EIP-225): a few known signers seal blocks in turn and vote on each other.
//!
//! A block is **final** once more than half of the signers that may sign after it, each counted once,
//! have sealed blocks on top of it. Nothing else is kept: an advance brings headers from any block that
//! the client remembers on, and moves it to the newest of them that they make final. So a client
//! never holds a block that may still go, and an advance that another overtook is as good as before.
//!
//! What is trusted: that no more than half of the signers ever seal on two branches at once, and
//! that they seal what they have executed. Headers are checked as geth 1.13.15 checks them, but for
//! the rules of gas and fee, which say nothing of storage.
//!
//! Deliberately absent: jumps. Signers change by votes that any header may carry, so every header
//! is read.

mod header;
mod signers;

pub use signers::{CliqueRecent, CliqueVote, SIGNERS_MAX, Signers, VOTES_MAX};

use crate::{
    follow::{self, Block, Consensus, REMEMBERED_MAX, Setback, ensure_not_ahead, time_of},
    proof::AdvanceSize,
};
use borsh::{BorshDeserialize, BorshSerialize};
use header::{Ballot, Header, is_checkpoint};
use std::collections::{BTreeSet, VecDeque};
use tombolo_crypto::digest::Preimage;
use tombolo_types::{
    Address, Class, Hash, Height, Refusal, UnixMillis, abi_struct, ensure, id::ChainId, refuse,
};

/// The most headers in one advance. So many fit a transaction of 256 KiB.
pub const HEADERS_MAX: usize = 512;
/// Blocks of one stretch; see [`validators_root`].
pub const STRETCH: u64 = 64;
/// Bytes of the shortest header, in ABI: no fewer are charged for.
const HEADER_BYTES_MIN: u64 = 600;

abi_struct! {
    /// Where a client of a Clique chain starts: a final block, and who may sign after it, as
    /// `clique_getSnapshot` tells.
    pub struct CliqueAnchor {
        /// The chain's EIP-155 id.
        pub evm_chain_id: u64,
        /// The hash of block 0.
        pub genesis: Hash,
        /// Seconds between two blocks, at least.
        pub period: u64,
        /// Blocks between two checkpoints.
        pub epoch: u64,
        /// The header of the block, RLP.
        pub header: Vec<u8>,
        /// Who may sign the next block, ascending.
        pub signers: Vec<Address>,
        /// Who signed the last blocks, ascending by number; this block's signer is the last.
        pub recents: Vec<CliqueRecent>,
        /// Votes that are still open, in the order in which they were cast.
        pub votes: Vec<CliqueVote>,
    }
}

abi_struct! {
    /// Headers, each the child of the one before. The first is the child of a block that the client
    /// remembers.
    pub struct CliqueAdvance {
        /// RLP of each.
        pub headers: Vec<Vec<u8>>,
    }
}

/// A final block, with what it did to the signers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Sealed {
    block: Block,
    signer: Address,
    candidate: Address,
    authorize: bool,
}

impl Sealed {
    fn of(header: &Header, signer: Address) -> Self {
        let Ballot { candidate, authorize } = header.ballot;
        Self { block: header.block(), signer, candidate, authorize }
    }

    fn ballot(&self) -> Ballot {
        Ballot { candidate: self.candidate, authorize: self.authorize }
    }
}

/// How far a client has followed a Clique chain.
///
/// The signers are kept as of the oldest block that is remembered; those after any newer one follow
/// from it and what the blocks between say. So a branch can be judged from whichever of them it
/// leaves.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Clique {
    period: u64,
    epoch: u64,
    /// After the oldest block.
    signers: Signers,
    /// The newest final blocks, ascending without a gap; one at least.
    sealed: VecDeque<Sealed>,
}

/// The root that stands for the signers of the blocks after `height`.
///
/// It holds the stretch of [`STRETCH`] blocks that `height` lies in besides the signers. A client of
/// this kind must be shown every header; with each stretch a new root, whoever compares roots finds
/// a client that fell behind, and brings it forward step by step, before it asks for a head that
/// the client is too far away for.
#[must_use]
pub fn validators_root(height: Height, signers: &[Address]) -> Hash {
    let stretch = height.0 / STRETCH;
    let preimage = Preimage::tagged("clique-signers").number(stretch);
    signers.iter().fold(preimage, |preimage, signer| preimage.address(*signer)).finish()
}

impl Clique {
    /// The signers after the remembered block at this position.
    fn signers_after(&self, position: usize) -> Result<Signers, Refusal> {
        let mut signers = self.signers.clone();
        for sealed in self.sealed.iter().take(position.saturating_add(1)).skip(1) {
            let Sealed { block, signer, .. } = sealed;
            signers.take(block.height.0, *signer, sealed.ballot(), self.epoch)?;
        }
        Ok(signers)
    }

    /// Whom the blocks after the newest remembered one may be signed by.
    ///
    /// # Errors
    /// `E_PROOF` for a client that no advance has made.
    pub fn newest_signers(&self) -> Result<Signers, Refusal> {
        self.signers_after(self.sealed.len().saturating_sub(1))
    }

    /// Remembers one more final block and, where there are too many, forgets the oldest.
    fn remember(&mut self, sealed: Sealed) -> Result<(), Refusal> {
        self.sealed.push_back(sealed);
        if self.sealed.len() > REMEMBERED_MAX {
            self.signers = self.signers_after(1)?;
            self.sealed.pop_front();
        }
        Ok(())
    }

    /// The header as the next block after `parent`, which `signers` may sign.
    fn check(
        &self,
        header: &Header,
        parent: &Block,
        signers: &Signers,
        now: UnixMillis,
    ) -> Result<Address, Refusal> {
        let number = header.number;
        ensure!(
            Some(number) == parent.height.0.checked_add(1) && header.parent == parent.id.into(),
            Proof,
            "block {number} has parent {}, the header before it is block {} with hash {}",
            header.parent,
            parent.height,
            parent.id
        );
        let time = time_of(header.time);
        ensure!(
            time.since(parent.time) >= time_of(self.period).0 && time >= parent.time,
            Proof,
            "block {number} has time {time}, its parent {}; the period is {} s",
            parent.time,
            self.period
        );
        ensure_not_ahead(format_args!("block {number}"), time, now)?;
        ensure!(
            !is_checkpoint(number, self.epoch) || header.listed == signers.members,
            Proof,
            "the checkpoint at block {number} lists {} signers who are not the {} that follow from \
             the votes",
            header.listed.len(),
            signers.members.len()
        );
        let signer = header.signer().map_err(|error| {
            Refusal::new(Class::Proof, format!("the seal of block {number} is none: {error}"))
        })?;
        let expected = if signers.in_turn(number, signer) { 2 } else { 1 };
        ensure!(
            header.difficulty == expected,
            Proof,
            "block {number} by {signer} has difficulty {}, its turn says {expected}",
            header.difficulty
        );
        Ok(signer)
    }

    /// The blocks of a branch behind `from`, as far as they are final by the branch itself.
    fn final_of(
        &self,
        from: usize,
        headers: &[Header],
        now: UnixMillis,
    ) -> Result<Vec<Sealed>, Refusal> {
        let mut signers = self.signers_after(from)?;
        let Some(mut parent) = self.sealed.get(from).map(|sealed| sealed.block) else {
            refuse!(Proof, "no block is remembered at position {from}");
        };
        let mut branch = Vec::new();
        let mut members = Vec::new();
        for header in headers {
            let signer = self.check(header, &parent, &signers, now)?;
            signers.take(header.number, signer, header.ballot, self.epoch)?;
            parent = header.block();
            branch.push(Sealed::of(header, signer));
            members.push(signers.members.clone());
        }
        let mut on_top = BTreeSet::new();
        while let (Some(last), Some(may_sign)) = (branch.last(), members.last()) {
            let sealers = may_sign.iter().filter(|member| on_top.contains(*member)).count();
            if sealers > may_sign.len() / 2 {
                break;
            }
            on_top.insert(last.signer);
            branch.pop();
            members.pop();
        }
        Ok(branch)
    }
}

impl Consensus for Clique {
    const KIND: &'static str = "clique";
    type Advance = Vec<Header>;

    fn start(anchor: &[u8]) -> Result<(ChainId, Self), Refusal> {
        let anchor = CliqueAnchor::decode(anchor)?;
        ensure!(anchor.epoch > 0, Format, "the anchor's epoch is zero blocks");
        ensure!(!anchor.genesis.is_zero(), Format, "the anchor's genesis hash is zero");
        let header = Header::read(&anchor.header, anchor.epoch)?;
        let signer = check_anchor(&anchor, &header)?;
        let since = header.number.saturating_add(1);
        let signers = Signers {
            members: anchor.signers,
            since,
            recents: anchor.recents,
            votes: anchor.votes,
        };
        let sealed = VecDeque::from([Sealed::of(&header, signer)]);
        let clique = Self { period: anchor.period, epoch: anchor.epoch, signers, sealed };
        Ok((follow::chain_id(anchor.evm_chain_id, anchor.genesis), clique))
    }

    fn remembered(&self) -> impl DoubleEndedIterator<Item = &Block> {
        self.sealed.iter().map(|sealed| &sealed.block)
    }

    fn set(&self) -> (Hash, Height) {
        let height = self.sealed.back().map_or(Height::ZERO, |sealed| sealed.block.height);
        // A client that `advance` has made has signers after every block.
        let Ok(signers) = self.newest_signers() else { return (Hash::ZERO, Height::ZERO) };
        let stretch = height.0.saturating_sub(height.0 % STRETCH);
        (validators_root(height, &signers.members), Height(signers.since.max(stretch)))
    }

    fn read(&self, advance: &[u8]) -> Result<Self::Advance, Refusal> {
        let CliqueAdvance { headers } = CliqueAdvance::decode(advance)?;
        ensure!(
            headers.len() <= HEADERS_MAX,
            Limit,
            "{} headers in one advance are above {HEADERS_MAX}",
            headers.len()
        );
        headers.iter().map(|header| Header::read(header, self.epoch)).collect()
    }

    fn advance(&mut self, headers: &Self::Advance, now: UnixMillis) -> Result<Vec<Block>, Setback> {
        let Some(first) = headers.first() else { return Ok(Vec::new()) };
        let parent = |sealed: &Sealed| Hash::from(sealed.block.id) == first.parent;
        let Some(parent) = self.sealed.iter().position(parent) else {
            let sentence = format!(
                "block {} has parent {}, which is none of the {} final blocks that the client \
                 remembers; bring the headers from one of these on",
                first.number,
                first.parent,
                self.sealed.len()
            );
            return Err(Refusal::new(Class::Proof, sentence).into());
        };
        // What another advance brought before is known; it is not checked again.
        let known = headers.iter().zip(self.sealed.iter().skip(parent.saturating_add(1)));
        let known = known.take_while(|(header, sealed)| header.id == sealed.block.id).count();
        let from = parent.saturating_add(known);
        let branch = self.final_of(from, headers.get(known..).unwrap_or_default(), now)?;
        let here = self.sealed.get(from.saturating_add(1)).map(|sealed| sealed.block);
        match (here, branch.first().map(|sealed| sealed.block)) {
            (Some(here), Some(there)) => Err(Setback::Contradiction(format!(
                "blocks {} and {} are both final at height {}",
                here.id, there.id, here.height
            ))),
            (Some(here), None) if known < headers.len() => {
                let sentence = format!(
                    "the headers leave the chain below block {}, which is final, and none of them \
                     is final",
                    here.height
                );
                Err(Refusal::new(Class::Proof, sentence).into())
            }
            _ => {
                let proved = branch.iter().map(|sealed| sealed.block).collect();
                branch.into_iter().try_for_each(|sealed| self.remember(sealed))?;
                Ok(proved)
            }
        }
    }

    fn weight(advance: AdvanceSize) -> u64 {
        // One for the seal, and half of one for reading, hashing and counting.
        let headers = advance.items.min(advance.bytes / HEADER_BYTES_MIN);
        headers.saturating_add(headers / 2)
    }
}

/// Checks that an anchor agrees with itself, and gives the signer of its block; the zero address for
/// block 0, which nobody signed.
fn check_anchor(anchor: &CliqueAnchor, header: &Header) -> Result<Address, Refusal> {
    let CliqueAnchor { signers, recents, votes, .. } = anchor;
    ensure!(
        signers.len() <= SIGNERS_MAX && votes.len() <= VOTES_MAX,
        Limit,
        "the anchor has {} signers and {} votes, above {SIGNERS_MAX} or {VOTES_MAX}",
        signers.len(),
        votes.len()
    );
    ensure!(
        !signers.is_empty() && signers.is_sorted_by(|one, next| one < next),
        Format,
        "the anchor's signers are none, or not in strictly ascending order"
    );
    let is_member = |signer: &Address| signers.binary_search(signer).is_ok();
    let twice = |position: usize, vote: &CliqueVote| {
        let mut before = votes.iter().take(position);
        before.any(|other| (other.signer, other.candidate) == (vote.signer, vote.candidate))
    };
    let stale = votes.iter().enumerate().any(|(position, vote)| {
        !is_member(&vote.signer)
            || is_member(&vote.candidate) == vote.authorize
            || twice(position, vote)
    });
    ensure!(!stale, Format, "the anchor has a vote that does not count");
    if is_checkpoint(header.number, anchor.epoch) {
        ensure!(
            header.listed == *signers && votes.is_empty(),
            Proof,
            "the anchor's signers or votes are not those of the checkpoint at block {}",
            header.number
        );
    }
    ensure!(
        recents.is_sorted_by(|one, next| one.number < next.number),
        Format,
        "the anchor's recent signers are not ascending by number"
    );
    if header.number == 0 {
        ensure!(
            recents.is_empty() && Hash::from(header.id) == anchor.genesis,
            Proof,
            "the anchor at block 0 is not the genesis block {}, or has recent signers",
            anchor.genesis
        );
        return Ok(Address::ZERO);
    }
    let signer = header.signer().map_err(|error| {
        let sentence =
            format!("the seal of the anchor at block {} is none: {error}", header.number);
        Refusal::new(Class::Proof, sentence)
    })?;
    ensure!(
        recents.last() == Some(&CliqueRecent { number: header.number, signer }),
        Proof,
        "the anchor at block {} is sealed by {signer}, who is not its last recent signer",
        header.number
    );
    Ok(signer)
}
