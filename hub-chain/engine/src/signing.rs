//! How votes are signed and checked: recoverable secp256k1 over Tombolo's own digests, so that a
//! contract checks a certificate with `ecrecover` alone.

use arc_malachitebft_app_channel::app::types::core::{
    NilOrVal, Round, SignedMessage, SigningScheme, ValidatorProof, VoteExtensionScope, VoteType,
};
use arc_malachitebft_signing::{Error, Signer, VerificationResult, Verifier};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tombolo_crypto::{
    digest::{self, Preimage, VoteKind},
    secp256k1::{self, SecretKey},
};
use tombolo_types::{
    Address, Hash, Height,
    header::Signature,
    id::{BlockId, ChainId},
};

use crate::{
    context::{Context, Proposal, Vote},
    guard::{Guard, GuardError, Position, Release, Step},
    metrics::Shared,
};

/// Stands for a signature that was withheld: it verifies for nobody, its own node included, so a
/// vote that carries it counts nowhere. The library takes no other way to abstain.
const WITHHELD: Signature = Signature([0; 65]);

/// Bytes that are no signature or no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} bytes where {expected} were expected")]
pub(crate) struct LengthError {
    found: usize,
    expected: usize,
}

/// 65-byte recoverable signatures; an address stands for the public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scheme;

impl SigningScheme for Scheme {
    type DecodingError = LengthError;
    type Signature = Signature;
    type PublicKey = Address;
    type PrivateKey = SecretKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, LengthError> {
        let length = LengthError { found: bytes.len(), expected: 65 };
        bytes.try_into().map(Signature).map_err(|_| length)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<Address, LengthError> {
        let length = LengthError { found: bytes.len(), expected: 20 };
        bytes.try_into().map(Address).map_err(|_| length)
    }

    fn encode_public_key(address: &Address) -> Vec<u8> {
        address.0.to_vec()
    }
}

fn block_of(value: &NilOrVal<BlockId>) -> Option<BlockId> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(*block),
    }
}

fn vote_digest(chain: ChainId, vote: &Vote) -> Option<Hash> {
    let kind = match vote.kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    };
    let round = tombolo_types::Round(vote.round.as_u32()?);
    Some(digest::vote(kind, chain, vote.height.into(), round, block_of(&vote.value)))
}

/// A proposal also names the round in which its block had two thirds of prevotes. That must be
/// signed too, else whoever relays the proposal could make its proposer look like an equivocator.
fn proposal_digest(chain: ChainId, proposal: &Proposal) -> Option<Hash> {
    let round = tombolo_types::Round(proposal.round.as_u32()?);
    let block = Some(proposal.value.0);
    let offer = digest::vote(VoteKind::Proposal, chain, proposal.height.into(), round, block);
    let polka = match proposal.pol_round {
        Round::Nil => 0,
        Round::Some(round) => u64::from(round) + 1,
    };
    Some(Preimage::tagged("proposal-polka").word(offer).number(polka).finish())
}

/// What a proposer signs in the last part of a block's stream.
pub(crate) fn parts_digest(chain: ChainId, height: Height, round: u32, block: BlockId) -> Hash {
    Preimage::tagged("proposal-parts")
        .word(chain)
        .number(height.0)
        .number(round)
        .word(block)
        .finish()
}

/// What ties a validator's consensus key to the key of its network connection.
fn peer_digest(chain: ChainId, address: Address, peer: &[u8]) -> Hash {
    Preimage::tagged("validator-peer").word(chain).address(address).bytes(peer).finish()
}

/// Whether `address` signed `digest`, in the one form that `ecrecover` takes.
///
/// `v` is looked at here besides: a signature that passes in the network and fails in a contract
/// would make certificates that hold on one side only.
pub(crate) fn signed_by(address: Address, digest: Hash, signature: &Signature) -> bool {
    matches!(signature.0, [.., 27 | 28])
        && secp256k1::recover(digest, signature).is_ok_and(|signer| signer == address)
}

/// Checks what others signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checker {
    pub(crate) chain: ChainId,
}

impl Checker {
    fn check(digest: Option<Hash>, address: Address, signature: &Signature) -> VerificationResult {
        let signed = digest.is_some_and(|digest| signed_by(address, digest, signature));
        VerificationResult::from_bool(signed)
    }
}

#[async_trait]
impl Verifier<Context> for Checker {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &Signature,
        address: &Address,
    ) -> Result<VerificationResult, Error> {
        Ok(Self::check(vote_digest(self.chain, vote), *address, signature))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        address: &Address,
    ) -> Result<VerificationResult, Error> {
        Ok(Self::check(proposal_digest(self.chain, proposal), *address, signature))
    }

    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<Context>,
        (): &(),
        _: &Signature,
        _: &Address,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(
        &self,
        proof: &ValidatorProof<Context>,
    ) -> Result<VerificationResult, Error> {
        let Ok(address) = Scheme::decode_public_key(&proof.public_key) else {
            return Ok(VerificationResult::Invalid);
        };
        let digest = peer_digest(self.chain, address, &proof.peer_id);
        Ok(Self::check(Some(digest), address, &proof.signature))
    }
}

/// Signs this validator's votes, each position once.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) chain: ChainId,
    pub(crate) key: SecretKey,
    pub(crate) guard: Arc<Mutex<Guard>>,
    pub(crate) shared: Arc<Shared>,
}

/// The library asked for a signature that must not be given.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error("a vote or proposal without a round is never signed")]
    NoRound,
    #[error("vote extensions are not used on this chain")]
    Extension,
    #[error("the thread that guards the signing key ended")]
    Guard,
}

impl Keys {
    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs no vote and no proposal any more.
    pub(crate) fn retire(&self) {
        match self.guard.lock() {
            Ok(mut guard) => guard.retire(),
            Err(broken) => broken.into_inner().retire(),
        }
    }

    /// The proposer's signature over a block and its turn.
    pub(crate) fn sign_parts(&self, height: Height, round: u32, block: BlockId) -> Signature {
        self.key.sign(parts_digest(self.chain, height, round, block))
    }

    /// Asks the guard; it writes to disk, so not on the async threads. `None` where the signature
    /// is withheld: the node abstains there and follows the others.
    async fn release(
        &self,
        height: Height,
        round: Round,
        step: Step,
        digest: Hash,
        nil: bool,
    ) -> Result<Option<Release>, Error> {
        let round = round.as_u32().ok_or_else(|| Error::from_source(SignError::NoRound))?;
        let guard = Arc::clone(&self.guard);
        let position = Position { height, round: tombolo_types::Round(round), step };
        let asked = tokio::task::spawn_blocking(move || match guard.lock() {
            Ok(mut guard) => Ok(guard.release(position, digest, nil)),
            Err(_) => Err(Error::from_source(SignError::Guard)),
        });
        match asked.await.map_err(|_| Error::from_source(SignError::Guard))?? {
            Ok(release) => Ok(Some(release)),
            Err(error @ (GuardError::SignedBefore { .. } | GuardError::Earlier { .. })) => {
                tracing::error!(%error, %position, "signature withheld");
                self.shared.count_withheld();
                Ok(None)
            }
            Err(error) => Err(Error::from_source(error)),
        }
    }
}

#[async_trait]
impl Signer<Context> for Keys {
    async fn sign_vote(&self, mut vote: Vote) -> Result<SignedMessage<Context, Vote>, Error> {
        let no_round = || Error::from_source(SignError::NoRound);
        let digest = vote_digest(self.chain, &vote).ok_or_else(no_round)?;
        let step = match vote.kind {
            VoteType::Prevote => Step::Prevote,
            VoteType::Precommit => Step::Precommit,
        };
        let height = vote.height.into();
        let released = self.release(height, vote.round, step, digest, vote.value.is_nil()).await?;
        let signature = match released {
            Some(Release::Sign) => self.key.sign(digest),
            Some(Release::Nil) => {
                vote.value = NilOrVal::Nil;
                self.key.sign(vote_digest(self.chain, &vote).ok_or_else(no_round)?)
            }
            None => WITHHELD,
        };
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<Context, Proposal>, Error> {
        let digest = proposal_digest(self.chain, &proposal)
            .ok_or_else(|| Error::from_source(SignError::NoRound))?;
        let height = proposal.height.into();
        let round = proposal.round;
        let released = self.release(height, round, Step::Propose, digest, false).await?;
        let signature = released.map_or(WITHHELD, |_| self.key.sign(digest));
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _: VoteExtensionScope<Context>,
        (): (),
    ) -> Result<SignedMessage<Context, ()>, Error> {
        Err(Error::from_source(SignError::Extension))
    }

    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Context>, Error> {
        let signature = self.key.sign(peer_digest(self.chain, self.address(), &peer_id));
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}

#[cfg(test)]
mod tests;
