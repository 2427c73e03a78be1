//! The messages by which a node that lags asks for blocks, and gets them.

use arc_malachitebft_app_channel::app::types::{
    PeerId,
    core::{ExtendedCommitCertificate, ExtendedCommitSignature},
    sync::{RawDecidedValue, Request, Response, Status},
};
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{
    Address,
    header::{Signature, VALIDATORS_MAX},
    id::BlockId,
};

use super::{CodecError, PEER_ID_BYTES_MAX, SYNC_BLOCKS_MAX, Wire, at_most, defined, round};
use crate::context::{Context, Level, Voter};

#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct WireStatus {
    pub(super) peer: Vec<u8>,
    pub(super) tip: u64,
    pub(super) lowest: u64,
}

impl Wire<Status<Context>> for WireStatus {
    const WHAT: &'static str = "a peer's status";

    fn from_value(value: &Status<Context>) -> Self {
        Self {
            peer: value.peer_id.to_bytes(),
            tip: value.tip_height.0,
            lowest: value.history_min_height.0,
        }
    }

    fn into_value(self) -> Result<Status<Context>, CodecError> {
        at_most("the length of a peer id", self.peer.len(), PEER_ID_BYTES_MAX)?;
        Ok(Status {
            peer_id: PeerId::from_bytes(&self.peer).map_err(|_| CodecError::PeerId)?,
            tip_height: Level(self.tip),
            history_min_height: Level(self.lowest),
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
pub(super) enum WireRequest {
    Blocks { first: u64, last: u64 },
}

impl Wire<Request<Context>> for WireRequest {
    const WHAT: &'static str = "a request for blocks";

    fn from_value(value: &Request<Context>) -> Self {
        let Request::ValueRequest(request) = value;
        Self::Blocks { first: request.range.start().0, last: request.range.end().0 }
    }

    fn into_value(self) -> Result<Request<Context>, CodecError> {
        let Self::Blocks { first, last } = self;
        Ok(Request::ValueRequest(ValueRequest::new(Level(first)..=Level(last))))
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct WireBlock {
    pub(super) block: Vec<u8>,
    pub(super) height: u64,
    pub(super) round: u32,
    pub(super) id: BlockId,
    pub(super) signatures: Vec<(Address, Signature)>,
}

impl WireBlock {
    fn new(value: &RawDecidedValue<Context>) -> Self {
        let certificate = &value.certificate;
        let signatures = certificate.commit_signatures.iter();
        Self {
            block: value.value_bytes.to_vec(),
            height: certificate.height.0,
            round: defined(certificate.round),
            id: certificate.value_id,
            signatures: signatures.map(|signed| (signed.address.0, signed.signature)).collect(),
        }
    }

    fn value(self) -> Result<RawDecidedValue<Context>, CodecError> {
        at_most("the number of precommits", self.signatures.len(), VALIDATORS_MAX)?;
        let signatures = self.signatures.into_iter();
        let certificate = ExtendedCommitCertificate {
            height: Level(self.height),
            round: round(self.round)?,
            value_id: self.id,
            commit_signatures: signatures
                .map(|(address, signature)| {
                    ExtendedCommitSignature::new(Voter(address), signature, None)
                })
                .collect(),
        };
        Ok(RawDecidedValue::new(self.block.into(), certificate))
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
pub(super) enum WireResponse {
    Blocks { first: u64, blocks: Vec<WireBlock> },
}

impl Wire<Response<Context>> for WireResponse {
    const WHAT: &'static str = "an answer with blocks";

    fn from_value(value: &Response<Context>) -> Self {
        let Response::ValueResponse(response) = value;
        let blocks = response.values.iter().map(WireBlock::new).collect();
        Self::Blocks { first: response.start_height.0, blocks }
    }

    fn into_value(self) -> Result<Response<Context>, CodecError> {
        let Self::Blocks { first, blocks } = self;
        at_most("the number of blocks", blocks.len(), SYNC_BLOCKS_MAX)?;
        let values = blocks.into_iter().map(WireBlock::value).collect::<Result<Vec<_>, _>>()?;
        // Heights must be contiguous, else what follows a gap would be believed to fill it.
        for (offset, value) in (0u64..).zip(&values) {
            let (found, expected) = (value.certificate.height.0, first.checked_add(offset));
            if Some(found) != expected {
                let limit = expected.unwrap_or(u64::MAX);
                return Err(CodecError::Gap { found, expected: limit });
            }
        }
        Ok(Response::ValueResponse(ValueResponse::new(Level(first), values)))
    }
}
