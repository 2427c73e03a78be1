//! A header of a Clique chain, with the fields of London.

use crate::{
    follow::{Block, time_of},
    rlp::{self, RlpError},
};
use alloy_rlp::{Encodable as _, Header as RlpHeader};
use tombolo_crypto::{
    keccak256::keccak256,
    secp256k1::{SignatureError, recover_either_twin},
};
use tombolo_types::{Address, Class, Hash, Height, Refusal, ensure, id::BlockId};

/// Fields of a header with London's base fee and nothing newer; the last fork of Clique.
const FIELDS: usize = 16;
/// The position of the extra data among them.
const EXTRA: usize = 12;
/// Bytes of extra data before the signers of a checkpoint, and after them.
const VANITY_BYTES: usize = 32;
const SEAL_BYTES: usize = 65;
/// The hash of no uncles: Keccak-256 of the RLP of an empty list.
const NO_UNCLES: Hash = Hash([
    0x1d, 0xcc, 0x4d, 0xe8, 0xde, 0xc7, 0x5d, 0x7a, 0xab, 0x85, 0xb5, 0x67, 0xb6, 0xcc, 0xd4, 0x1a,
    0xd3, 0x12, 0x45, 0x1b, 0x94, 0x8a, 0x74, 0x13, 0xf0, 0xa1, 0x42, 0xfd, 0x40, 0xd4, 0x93, 0x47,
]);

/// A header, read and checked as far as it can be alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(super) id: BlockId,
    pub(super) parent: Hash,
    pub(super) number: u64,
    /// Seconds.
    pub(super) time: u64,
    pub(super) state_root: Hash,
    /// 2 where the signer is in turn, else 1.
    pub(super) difficulty: u8,
    pub(super) ballot: Ballot,
    /// The signers that a checkpoint lists.
    pub(super) listed: Vec<Address>,
    seal: [u8; SEAL_BYTES],
    seal_hash: Hash,
}

/// What a header says of who shall sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    /// Of whom; zero where of nobody.
    pub(super) candidate: Address,
    /// Whether to let the candidate in, or out.
    pub(super) authorize: bool,
}

impl Header {
    /// Reads a header of a chain with a checkpoint every `epoch` blocks.
    ///
    /// # Errors
    /// `E_VERSION` for fields of another fork; `E_FORMAT`; `E_PROOF` where it breaks a rule that can
    /// be seen on a header alone.
    pub(super) fn read(bytes: &[u8], epoch: u64) -> Result<Self, Refusal> {
        let malformed = |error: RlpError| {
            Refusal::new(Class::Format, format!("a Clique header is malformed: {error}"))
        };
        let items = rlp::list(bytes).map_err(malformed)?;
        let Ok(fields) = <[&[u8]; FIELDS]>::try_from(items.as_slice()) else {
            let sentence = format!(
                "a Clique header has {FIELDS} fields since London, this one {}; another fork needs \
                 another version of this verifier",
                items.len()
            );
            return Err(Refusal::new(Class::Version, sentence));
        };
        let header = Self::from_fields(bytes, fields).map_err(malformed)?;
        header.check(fields, epoch)?;
        Ok(header)
    }

    fn from_fields(bytes: &[u8], fields: [&[u8]; FIELDS]) -> Result<Self, RlpError> {
        let [
            parent,
            _uncles,
            candidate,
            state_root,
            transactions_root,
            receipts_root,
            bloom,
            difficulty,
            number,
            gas_limit,
            gas_used,
            time,
            extra,
            mix,
            nonce,
            base_fee,
        ] = fields;
        // What is not used is read all the same: a field of another kind makes another header.
        for root in [transactions_root, receipts_root, mix] {
            rlp::fixed::<32>(root)?;
        }
        rlp::fixed::<256>(bloom)?;
        for number in [gas_limit, gas_used] {
            rlp::number::<8>(number)?;
        }
        rlp::number::<32>(base_fee)?;
        let extra = rlp::string(extra)?;
        let short = RlpError::Length { found: extra.len(), expected: VANITY_BYTES + SEAL_BYTES };
        let (unsealed, seal) = extra.split_last_chunk::<SEAL_BYTES>().ok_or(short.clone())?;
        let listed = unsealed.get(VANITY_BYTES..).ok_or(short)?;
        let (listed, rest) = listed.as_chunks::<20>();
        if !rest.is_empty() {
            return Err(RlpError::Length { found: rest.len(), expected: 0 });
        }
        let [difficulty] = rlp::number::<1>(difficulty)?;
        Ok(Self {
            id: keccak256(bytes).into(),
            parent: Hash(rlp::fixed(parent)?),
            number: u64::from_be_bytes(rlp::number(number)?),
            time: u64::from_be_bytes(rlp::number(time)?),
            state_root: Hash(rlp::fixed(state_root)?),
            difficulty,
            ballot: Ballot {
                candidate: Address(rlp::fixed(candidate)?),
                authorize: rlp::fixed::<8>(nonce)? == [0xff; 8],
            },
            listed: listed.iter().copied().map(Address).collect(),
            seal: *seal,
            seal_hash: seal_hash(fields, unsealed),
        })
    }

    /// What geth's Clique asks of a header before it looks at any other.
    fn check(&self, fields: [&[u8]; FIELDS], epoch: u64) -> Result<(), Refusal> {
        let number = self.number;
        let [_, uncles, .., mix, nonce, _] = fields;
        let is = |field, expected: &[u8]| rlp::string(field) == Ok(expected);
        ensure!(is(uncles, &NO_UNCLES.0), Proof, "block {number} has uncles, Clique has none");
        ensure!(is(mix, &[0; 32]), Proof, "block {number} has a mix digest, Clique has none");
        ensure!(
            is(nonce, &[0xff; 8]) || is(nonce, &[0; 8]),
            Proof,
            "block {number} has a nonce that is no vote: all bits or none are set"
        );
        ensure!(
            matches!(self.difficulty, 1 | 2),
            Proof,
            "block {number} has difficulty {}, Clique knows 1 and 2",
            self.difficulty
        );
        if !is_checkpoint(number, epoch) {
            ensure!(
                self.listed.is_empty(),
                Proof,
                "block {number} lists {} signers and is no checkpoint",
                self.listed.len()
            );
            return Ok(());
        }
        ensure!(
            self.ballot.candidate.is_zero() && is(nonce, &[0; 8]),
            Proof,
            "block {number} is a checkpoint and votes on {}",
            self.ballot.candidate
        );
        Ok(())
    }

    /// Who sealed the header.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub(super) fn signer(&self) -> Result<Address, SignatureError> {
        recover_either_twin(self.seal_hash, &self.seal)
    }

    /// The block as a client remembers it.
    pub(super) fn block(&self) -> Block {
        Block {
            height: Height(self.number),
            id: self.id,
            time: time_of(self.time),
            state_root: self.state_root,
        }
    }
}

/// Whether votes start anew at this block and it lists the signers.
pub(super) fn is_checkpoint(number: u64, epoch: u64) -> bool {
    number.checked_rem(epoch) == Some(0)
}

/// What is sealed: the header with the seal cut off its extra data.
fn seal_hash(fields: [&[u8]; FIELDS], unsealed: &[u8]) -> Hash {
    let mut extra = Vec::new();
    unsealed.encode(&mut extra);
    let mut payload = Vec::new();
    for (position, field) in fields.into_iter().enumerate() {
        payload.extend_from_slice(if position == EXTRA { &extra } else { field });
    }
    let mut whole = Vec::new();
    RlpHeader { list: true, payload_length: payload.len() }.encode(&mut whole);
    whole.append(&mut payload);
    keccak256(&whole)
}
