//! Between the words of the protocol and those of the contracts.

use crate::contract as sol;
use alloy::primitives::{B256, Bytes, FixedBytes};
use tombolo_types::{
    Address, Epoch, Hash, Height, LaneNumber, Power, Refusal, ensure,
    header::{Anchor, Certificate, Header, Validator, ValidatorSet},
    lane::{Delivery, LaneLeaf, RangeProof},
};

/// The longest message whose length fits its three bytes.
const MESSAGE_BYTES_MAX: usize = (1 << 24) - 1;

pub(crate) fn word(word: impl Into<Hash>) -> B256 {
    FixedBytes(word.into().0)
}

pub(crate) fn address(address: Address) -> alloy::primitives::Address {
    alloy::primitives::Address(FixedBytes(address.0))
}

pub(crate) fn header(it: &Header) -> sol::Header {
    sol::Header {
        version: it.version,
        chainId: word(it.chain_id),
        height: it.height.0,
        time: it.time.0,
        parent: word(it.parent),
        transactionsRoot: word(it.transactions_root),
        lanesRoot: word(it.lanes_root),
        logRoot: word(it.log_root),
        logSize: it.log_size,
        writesDigest: word(it.writes_digest),
        stateRoot: word(it.state_root),
        validatorsRoot: word(it.validators_root),
        nextValidatorsRoot: word(it.next_validators_root),
        extensionsRoot: word(it.extensions_root),
        reserved: word(it.reserved),
    }
}

pub(crate) fn set(it: &ValidatorSet) -> sol::ValidatorSet {
    let member =
        |it: &Validator| sol::Validator { validator: address(it.address), power: it.power.0 };
    sol::ValidatorSet {
        firstHeight: it.first_height.0,
        validators: it.validators.iter().map(member).collect(),
    }
}

pub(crate) fn anchor(it: &Anchor) -> sol::Anchor {
    sol::Anchor {
        chainId: word(it.chain_id),
        height: it.height.0,
        blockId: word(it.block_id),
        time: it.time.0,
        validators: set(&it.validators),
    }
}

pub(crate) fn set_back(it: &sol::ValidatorSet) -> ValidatorSet {
    let member = |it: &sol::Validator| Validator {
        address: Address(it.validator.0.0),
        power: Power(it.power),
    };
    ValidatorSet {
        first_height: Height(it.firstHeight),
        validators: it.validators.iter().map(member).collect(),
    }
}

/// A header with its certificate under `validators`, as the contract takes it.
pub(crate) fn certified(
    of: &Header,
    certificate: &Certificate,
    validators: &ValidatorSet,
) -> sol::CertifiedHeader {
    let signatures: Vec<u8> =
        certificate.signatures.iter().flat_map(|commit| commit.signature.0).collect();
    sol::CertifiedHeader {
        header: header(of),
        round: certificate.round.0,
        signatures: signatures.into(),
        validators: set(validators),
    }
}

pub(crate) fn leaf(it: &LaneLeaf) -> sol::LaneLeaf {
    sol::LaneLeaf {
        link: word(it.link),
        direction: it.direction,
        lane: it.lane.0,
        epoch: it.epoch.0,
        size: it.size,
        root: word(it.root),
        peerEpoch: it.peer_epoch.0,
        received: it.received,
        receivedRoot: word(it.received_root),
        peerHeight: it.peer_height.0,
        peerId: word(it.peer_id),
        trustEpoch: it.trust_epoch,
    }
}

pub(crate) fn leaf_back(it: &sol::LaneLeaf) -> LaneLeaf {
    LaneLeaf {
        link: Hash(it.link.0).into(),
        direction: it.direction,
        lane: LaneNumber(it.lane),
        epoch: Epoch(it.epoch),
        size: it.size,
        root: Hash(it.root.0),
        peer_epoch: Epoch(it.peerEpoch),
        received: it.received,
        received_root: Hash(it.receivedRoot.0),
        peer_height: Height(it.peerHeight),
        peer_id: Hash(it.peerId.0).into(),
        trust_epoch: it.trustEpoch,
    }
}

/// A delivery as the contract takes it: the messages one after the other.
///
/// # Errors
/// `E_LIMIT` for a message whose length does not fit three bytes.
pub(crate) fn delivery(it: &Delivery) -> Result<sol::Delivery, Refusal> {
    let mut lengths = Vec::with_capacity(it.messages.len() * 3);
    for message in &it.messages {
        ensure!(
            message.len() <= MESSAGE_BYTES_MAX,
            Limit,
            "a message of {} bytes is above what a gateway contract can be told of",
            message.len()
        );
        // The highest of the four bytes is zero.
        lengths.extend_from_slice(&(message.len() as u32).to_be_bytes()[1..]);
    }
    let words = |hashes: &[Hash]| hashes.iter().map(|hash| word(*hash)).collect();
    let RangeProof { left, right } = &it.range;
    Ok(sol::Delivery {
        leaf: leaf(&it.leaf),
        first: it.first.0,
        lengths: lengths.into(),
        messages: Bytes::from(it.messages.concat()),
        range: sol::RangeProof { left: words(left), right: words(right) },
    })
}
