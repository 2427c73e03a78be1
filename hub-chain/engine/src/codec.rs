//! What goes over the network and into the log, byte by byte.
//!
//! Every decoder takes strangers' bytes: it returns a value or an error, reads no further than
//! the bytes given, holds no more than a small multiple of them, and refuses trailing bytes.
//! The wire types mirror the library's, because the library's own encodings cover only some.
//!
//! Attack: A53.

use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg},
    streaming::{StreamContent, StreamId, StreamMessage},
    types::{
        codec::{Codec, HasEncodedLen},
        core::{
            NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate,
            RoundCertificateType, RoundSignature, SignedMessage, ValidatorProof, Validity,
            VoteType,
        },
        sync::{Request, Response, Status},
    },
};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use tombolo_types::{
    Address, Height,
    header::{Signature, VALIDATORS_MAX},
    id::BlockId,
};

use crate::{
    context::{Context, Level, Part, Proposal, Value, Vote, Voter},
    parts::{CHUNK_BYTES_MAX, PARTS_MAX},
};

mod sync;

use sync::{WireRequest, WireResponse, WireStatus};

/// The longest stream id that is accepted; our own have 16 bytes.
const STREAM_ID_BYTES_MAX: usize = 32;
/// The highest round that is decoded. No height gets there: time-outs grow with the round, and
/// the library adds one to what it reads.
const ROUND_MAX: u32 = 1 << 20;
/// The longest peer id: a multihash of at most 64 bytes with its head.
const PEER_ID_BYTES_MAX: usize = 72;
/// The most blocks that one answer of the sync protocol carries.
pub(crate) const SYNC_BLOCKS_MAX: usize = 64;

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// Not Borsh of the type, or trailing bytes.
    #[error("{what} cannot be decoded: {source}")]
    Malformed {
        /// Which type was being read.
        what: &'static str,
        /// What the decoder said.
        source: std::io::Error,
    },
    /// A field holds a value outside its range.
    #[error("{what} is out of range: {found} is more than {limit}")]
    Range {
        /// Which field.
        what: &'static str,
        /// What was found.
        found: u64,
        /// The largest value.
        limit: u64,
    },
    /// An answer whose blocks do not follow each other.
    #[error("an answer holds the block of height {found} where {expected} was due")]
    Gap {
        /// The height found.
        found: u64,
        /// The height that follows the one before.
        expected: u64,
    },
    /// Bytes that are no peer id.
    #[error("the peer id of a status is malformed")]
    PeerId,
}

/// The one codec, for network, sync and log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TomboloCodec;

/// A type on the wire, and what it stands for.
trait Wire<T>: BorshSerialize + BorshDeserialize + Sized {
    /// For error messages.
    const WHAT: &'static str;

    fn from_value(value: &T) -> Self;

    fn into_value(self) -> Result<T, CodecError>;
}

fn decode<T, W: Wire<T>>(bytes: &[u8]) -> Result<T, CodecError> {
    W::try_from_slice(bytes)
        .map_err(|source| CodecError::Malformed { what: W::WHAT, source })?
        .into_value()
}

fn encode<T, W: Wire<T>>(value: &T) -> Result<Bytes, CodecError> {
    borsh::to_vec(&W::from_value(value))
        .map(Bytes::from)
        .map_err(|source| CodecError::Malformed { what: W::WHAT, source })
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), CodecError> {
    if found > limit {
        return Err(CodecError::Range { what, found: found as u64, limit: limit as u64 });
    }
    Ok(())
}

macro_rules! codec {
    ($($value:ty => $wire:ty),+ $(,)?) => {$(
        impl Codec<$value> for TomboloCodec {
            type Error = CodecError;

            fn decode(&self, bytes: Bytes) -> Result<$value, CodecError> {
                decode::<$value, $wire>(&bytes)
            }

            fn encode(&self, value: &$value) -> Result<Bytes, CodecError> {
                encode::<$value, $wire>(value)
            }
        }
    )+};
}

codec! {
    Part => WirePart,
    StreamMessage<Part> => WireStream,
    SignedConsensusMsg<Context> => WireConsensus,
    LivenessMsg<Context> => WireLiveness,
    PolkaCertificate<Context> => WirePolka,
    ValidatorProof<Context> => WireProof,
    ProposedValue<Context> => WireProposed,
    Status<Context> => WireStatus,
    Request<Context> => WireRequest,
    Response<Context> => WireResponse,
}

impl HasEncodedLen<Response<Context>> for TomboloCodec {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, CodecError> {
        let wire = WireResponse::from_value(response);
        borsh::object_length(&wire)
            .map_err(|source| CodecError::Malformed { what: WireResponse::WHAT, source })
    }
}

/// A round that may be absent.
type WireRound = Option<u32>;

#[derive(BorshSerialize, BorshDeserialize)]
enum WirePart {
    Init { height: Height, round: u32, proposer: Address },
    Data(Vec<u8>),
    Fin(Signature),
}

impl Wire<Part> for WirePart {
    const WHAT: &'static str = "a part of a block";

    fn from_value(value: &Part) -> Self {
        match value {
            Part::Init { height, round, proposer } => {
                Self::Init { height: *height, round: *round, proposer: *proposer }
            }
            Part::Data(bytes) => Self::Data(bytes.to_vec()),
            Part::Fin(signature) => Self::Fin(*signature),
        }
    }

    fn into_value(self) -> Result<Part, CodecError> {
        Ok(match self {
            Self::Init { height, round: number, proposer } => {
                round(number)?;
                Part::Init { height, round: number, proposer }
            }
            Self::Data(bytes) => {
                at_most("the length of a chunk", bytes.len(), CHUNK_BYTES_MAX)?;
                Part::Data(bytes.into())
            }
            Self::Fin(signature) => Part::Fin(signature),
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireStream {
    stream: Vec<u8>,
    sequence: u64,
    /// Absent at the end of the stream.
    part: Option<WirePart>,
}

impl Wire<StreamMessage<Part>> for WireStream {
    const WHAT: &'static str = "a message of a block's stream";

    fn from_value(value: &StreamMessage<Part>) -> Self {
        Self {
            stream: value.stream_id.to_bytes().to_vec(),
            sequence: value.sequence,
            part: value.content.as_data().map(WirePart::from_value),
        }
    }

    fn into_value(self) -> Result<StreamMessage<Part>, CodecError> {
        at_most("the length of a stream id", self.stream.len(), STREAM_ID_BYTES_MAX)?;
        if self.sequence > PARTS_MAX {
            let (found, limit) = (self.sequence, PARTS_MAX);
            return Err(CodecError::Range { what: "the number of a part", found, limit });
        }
        let content = match self.part {
            Some(part) => StreamContent::Data(part.into_value()?),
            None => StreamContent::Fin,
        };
        Ok(StreamMessage::new(StreamId::new(self.stream.into()), self.sequence, content))
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireVote {
    precommit: bool,
    height: u64,
    round: u32,
    block: Option<BlockId>,
    voter: Address,
    signature: Signature,
}

fn nil_or(block: Option<BlockId>) -> NilOrVal<BlockId> {
    block.map_or(NilOrVal::Nil, NilOrVal::Val)
}

fn or_nil(value: NilOrVal<BlockId>) -> Option<BlockId> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(block),
    }
}

/// The library signs and gossips defined rounds only; an undefined one has no encoding, and its
/// place is taken by a round that no decoder lets pass.
fn defined(round: Round) -> u32 {
    round.as_u32().unwrap_or(u32::MAX)
}

fn round(round: u32) -> Result<Round, CodecError> {
    if round > ROUND_MAX {
        let (found, limit) = (round.into(), ROUND_MAX.into());
        return Err(CodecError::Range { what: "a round", found, limit });
    }
    Ok(Round::new(round))
}

fn round_or_none(number: WireRound) -> Result<Round, CodecError> {
    number.map_or(Ok(Round::Nil), round)
}

impl WireVote {
    fn new(signed: &SignedMessage<Context, Vote>) -> Self {
        let vote = &signed.message;
        Self {
            precommit: vote.kind == VoteType::Precommit,
            height: vote.height.0,
            round: defined(vote.round),
            block: or_nil(vote.value),
            voter: vote.voter.0,
            signature: signed.signature,
        }
    }

    fn value(self) -> Result<SignedMessage<Context, Vote>, CodecError> {
        let kind = if self.precommit { VoteType::Precommit } else { VoteType::Prevote };
        let vote = Vote {
            kind,
            height: Level(self.height),
            round: round(self.round)?,
            value: nil_or(self.block),
            voter: Voter(self.voter),
        };
        Ok(SignedMessage::new(vote, self.signature))
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireProposal {
    height: u64,
    round: u32,
    block: BlockId,
    polka_round: WireRound,
    proposer: Address,
    signature: Signature,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WireConsensus {
    Vote(WireVote),
    Proposal(WireProposal),
}

impl Wire<SignedConsensusMsg<Context>> for WireConsensus {
    const WHAT: &'static str = "a vote or proposal";

    fn from_value(value: &SignedConsensusMsg<Context>) -> Self {
        match value {
            SignedConsensusMsg::Vote(vote) => Self::Vote(WireVote::new(vote)),
            SignedConsensusMsg::Proposal(signed) => Self::Proposal(WireProposal {
                height: signed.message.height.0,
                round: defined(signed.message.round),
                block: signed.message.value.0,
                polka_round: signed.message.pol_round.as_u32(),
                proposer: signed.message.proposer.0,
                signature: signed.signature,
            }),
        }
    }

    fn into_value(self) -> Result<SignedConsensusMsg<Context>, CodecError> {
        Ok(match self {
            Self::Vote(vote) => SignedConsensusMsg::Vote(vote.value()?),
            Self::Proposal(wire) => {
                let proposal = Proposal {
                    height: Level(wire.height),
                    round: round(wire.round)?,
                    value: Value(wire.block),
                    pol_round: round_or_none(wire.polka_round)?,
                    proposer: Voter(wire.proposer),
                };
                SignedConsensusMsg::Proposal(SignedMessage::new(proposal, wire.signature))
            }
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WirePolka {
    height: u64,
    round: u32,
    block: BlockId,
    signatures: Vec<(Address, Signature)>,
}

impl Wire<PolkaCertificate<Context>> for WirePolka {
    const WHAT: &'static str = "a certificate of prevotes";

    fn from_value(value: &PolkaCertificate<Context>) -> Self {
        let signatures = value.polka_signatures.iter();
        Self {
            height: value.height.0,
            round: defined(value.round),
            block: value.value_id,
            signatures: signatures.map(|signed| (signed.address.0, signed.signature)).collect(),
        }
    }

    fn into_value(self) -> Result<PolkaCertificate<Context>, CodecError> {
        at_most("the number of prevotes", self.signatures.len(), VALIDATORS_MAX)?;
        let signatures = self.signatures.into_iter();
        Ok(PolkaCertificate {
            height: Level(self.height),
            round: round(self.round)?,
            value_id: self.block,
            polka_signatures: signatures
                .map(|(address, signature)| PolkaSignature::new(Voter(address), signature))
                .collect(),
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireRoundVote {
    precommit: bool,
    block: Option<BlockId>,
    voter: Address,
    signature: Signature,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireRoundCertificate {
    height: u64,
    round: u32,
    skip: bool,
    votes: Vec<WireRoundVote>,
}

impl WireRoundCertificate {
    fn new(certificate: &RoundCertificate<Context>) -> Self {
        let vote = |signed: &RoundSignature<Context>| WireRoundVote {
            precommit: signed.vote_type == VoteType::Precommit,
            block: or_nil(signed.value_id),
            voter: signed.address.0,
            signature: signed.signature,
        };
        Self {
            height: certificate.height.0,
            round: defined(certificate.round),
            skip: certificate.cert_type == RoundCertificateType::Skip,
            votes: certificate.round_signatures.iter().map(vote).collect(),
        }
    }

    fn value(self) -> Result<RoundCertificate<Context>, CodecError> {
        // A voter may stand here with a prevote and with a precommit.
        at_most("the number of votes", self.votes.len(), 2 * VALIDATORS_MAX)?;
        let vote = |wire: WireRoundVote| {
            let kind = if wire.precommit { VoteType::Precommit } else { VoteType::Prevote };
            RoundSignature::new(kind, nil_or(wire.block), Voter(wire.voter), wire.signature)
        };
        let skip =
            if self.skip { RoundCertificateType::Skip } else { RoundCertificateType::Precommit };
        Ok(RoundCertificate {
            height: Level(self.height),
            round: round(self.round)?,
            cert_type: skip,
            round_signatures: self.votes.into_iter().map(vote).collect(),
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WireLiveness {
    Vote(WireVote),
    Polka(WirePolka),
    SkipRound(WireRoundCertificate),
}

impl Wire<LivenessMsg<Context>> for WireLiveness {
    const WHAT: &'static str = "a message that keeps rounds in step";

    fn from_value(value: &LivenessMsg<Context>) -> Self {
        match value {
            LivenessMsg::Vote(vote) => Self::Vote(WireVote::new(vote)),
            LivenessMsg::PolkaCertificate(polka) => Self::Polka(WirePolka::from_value(polka)),
            LivenessMsg::SkipRoundCertificate(skip) => {
                Self::SkipRound(WireRoundCertificate::new(skip))
            }
        }
    }

    fn into_value(self) -> Result<LivenessMsg<Context>, CodecError> {
        Ok(match self {
            Self::Vote(vote) => LivenessMsg::Vote(vote.value()?),
            Self::Polka(polka) => LivenessMsg::PolkaCertificate(polka.into_value()?),
            Self::SkipRound(skip) => LivenessMsg::SkipRoundCertificate(skip.value()?),
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireProof {
    address: Address,
    peer: Vec<u8>,
    signature: Signature,
}

impl Wire<ValidatorProof<Context>> for WireProof {
    const WHAT: &'static str = "a validator's proof of its connection";

    fn from_value(value: &ValidatorProof<Context>) -> Self {
        // Our own proofs always hold an address here; anything else is spelled as none.
        let address = value.public_key.as_slice().try_into().map_or(Address::ZERO, Address);
        Self { address, peer: value.peer_id.clone(), signature: value.signature }
    }

    fn into_value(self) -> Result<ValidatorProof<Context>, CodecError> {
        at_most("the length of a peer id", self.peer.len(), PEER_ID_BYTES_MAX)?;
        Ok(ValidatorProof::new(self.address.0.to_vec(), self.peer, self.signature))
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireProposed {
    height: u64,
    round: u32,
    valid_round: WireRound,
    proposer: Address,
    block: BlockId,
    valid: bool,
}

impl Wire<ProposedValue<Context>> for WireProposed {
    const WHAT: &'static str = "a proposed block in the log";

    fn from_value(value: &ProposedValue<Context>) -> Self {
        Self {
            height: value.height.0,
            round: defined(value.round),
            valid_round: value.valid_round.as_u32(),
            proposer: value.proposer.0,
            block: value.value.0,
            valid: value.validity.is_valid(),
        }
    }

    fn into_value(self) -> Result<ProposedValue<Context>, CodecError> {
        Ok(ProposedValue {
            height: Level(self.height),
            round: round(self.round)?,
            valid_round: round_or_none(self.valid_round)?,
            proposer: Voter(self.proposer),
            value: Value(self.block),
            validity: Validity::from_bool(self.valid),
        })
    }
}

#[cfg(test)]
mod tests;
