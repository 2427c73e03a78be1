//! What is hashed, and how: one function for each kind of thing.
//!
//! Every preimage is a tag and 32-byte words. `tag = keccak256("tombolo/1/<kind>")`; a number is
//! big-endian in its word, an address right-aligned, a byte string enters as its Keccak-256.

use crate::keccak256::{keccak256, keccak256_concat, sha256};
use sha3::Digest as _;
use std::{collections::BTreeMap, sync::LazyLock};
use tombolo_types::{
    Address, Epoch, Hash, Height, LaneNumber, MessageNumber, Round, UnixMillis,
    action::{Branch, Terms},
    header::{Genesis, Header, ValidatorSet},
    id::{
        AssetId, BlockId, ChainId, DataId, Fingerprint, GlobalId, IdentityId, LinkId, OrderId,
        SchemaId, SecretHash, TxId, Xid,
    },
    lane::{Direction, LaneLeaf},
    link_policy::LinkPolicy,
    record::SaltedRecord,
    swap::{Order, Secret},
};

#[cfg(test)]
mod tests;

/// Kinds of which a block hashes hundreds: their tags are hashed once.
static FREQUENT: LazyLock<BTreeMap<&str, sha3::Keccak256>> = LazyLock::new(|| {
    [
        "field",
        "field-salt",
        "record",
        "message",
        "lane-leaf",
        "transaction",
        "envelope",
        "fingerprint",
    ]
    .into_iter()
    .map(|kind| (kind, begin(kind)))
    .collect()
});

fn begin(kind: &str) -> sha3::Keccak256 {
    let tag = keccak256_concat([b"tombolo/1/".as_slice(), kind.as_bytes()]);
    sha3::Keccak256::new_with_prefix(tag.0)
}

/// A preimage being written, word by word.
#[derive(Clone)]
pub struct Preimage(sha3::Keccak256);

impl Preimage {
    /// Starts a preimage of one kind.
    #[must_use]
    pub fn tagged(kind: &str) -> Self {
        match FREQUENT.get(kind) {
            Some(begun) => Self(begun.clone()),
            None => Self(begin(kind)),
        }
    }

    /// A word as it is.
    #[must_use]
    pub fn word(mut self, word: impl Into<Hash>) -> Self {
        self.0.update(word.into().0);
        self
    }

    /// A number, big-endian in its word.
    #[must_use]
    pub fn number(mut self, number: impl Into<u128>) -> Self {
        self.0.update([0; 16]);
        self.0.update(number.into().to_be_bytes());
        self
    }

    /// An address, right-aligned in its word.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.0.update([0; 12]);
        self.0.update(address.0);
        self
    }

    /// A byte string, as its hash.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.word(keccak256(bytes))
    }

    /// The hash of what was written.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

/// The ledger that starts from this document.
#[must_use]
pub fn chain_id(genesis: &Genesis) -> ChainId {
    keccak256(&genesis.encode()).into()
}

/// The block of this header. The header's first word is its version; it needs no tag.
#[must_use]
pub fn block_id(header: &Header) -> BlockId {
    keccak256(&header.encode()).into()
}

/// The root that headers hold for a validator set. No root occurs twice on a chain.
#[must_use]
pub fn validators_root(set: &ValidatorSet) -> Hash {
    set.validators
        .iter()
        .fold(Preimage::tagged("validators").number(set.first_height.0), |preimage, validator| {
            preimage.address(validator.address).number(validator.power.0)
        })
        .finish()
}

/// What a validator's signature is for. Only a precommit makes a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteKind {
    /// Offers a block.
    Proposal,
    /// Says that the block is valid.
    Prevote,
    /// Commits to the block.
    Precommit,
}

/// What validators sign. `None` stands for no block and is signed as the zero word.
#[must_use]
pub fn vote(
    kind: VoteKind,
    chain: ChainId,
    height: Height,
    round: Round,
    block: Option<BlockId>,
) -> Hash {
    let kind = match kind {
        VoteKind::Proposal => "proposal",
        VoteKind::Prevote => "prevote",
        VoteKind::Precommit => "precommit",
    };
    Preimage::tagged(kind)
        .word(chain)
        .number(height.0)
        .number(round.0)
        .word(block.unwrap_or(BlockId::ZERO))
        .finish()
}

/// The id of a transaction, and what its signer signs. `body` is the encoded transaction.
#[must_use]
pub fn tx_id(body: &[u8]) -> TxId {
    Preimage::tagged("transaction").bytes(body).finish().into()
}

/// The identity whose first key has this address.
#[must_use]
pub fn identity_id(first_key: Address) -> IdentityId {
    Preimage::tagged("identity").address(first_key).finish().into()
}

/// The relation of a chain's gateway to the hub.
#[must_use]
pub fn link_id(hub: ChainId, chain: ChainId, gateway: Address, incarnation: u32) -> LinkId {
    Preimage::tagged("link")
        .word(hub)
        .word(chain)
        .address(gateway)
        .number(incarnation)
        .finish()
        .into()
}

/// The leaf of one message in its lane. `message` is the encoded message.
#[must_use]
pub fn message_leaf(
    link: LinkId,
    direction: Direction,
    lane: LaneNumber,
    epoch: Epoch,
    number: MessageNumber,
    message: &[u8],
) -> Hash {
    Preimage::tagged("message")
        .word(link)
        .number(direction as u8)
        .number(lane.0)
        .number(epoch.0)
        .number(number.0)
        .bytes(message)
        .finish()
}

/// What a ledger commits to for a lane.
#[must_use]
pub fn lane_leaf(leaf: &LaneLeaf) -> Hash {
    Preimage::tagged("lane-leaf")
        .word(leaf.link)
        .number(leaf.direction)
        .number(leaf.lane.0)
        .number(leaf.epoch.0)
        .number(leaf.size)
        .word(leaf.root)
        .number(leaf.peer_epoch.0)
        .number(leaf.received)
        .word(leaf.received_root)
        .number(leaf.peer_height.0)
        .word(leaf.peer_id)
        .number(leaf.trust_epoch)
        .finish()
}

/// One branch of a two-phase commit, without authorisations.
#[must_use]
pub fn branch(branch: &Branch) -> Hash {
    Preimage::tagged("branch").bytes(&branch.encode()).finish()
}

/// A two-phase commit: all that its terms say.
#[must_use]
pub fn xid(terms: &Terms) -> Xid {
    terms
        .branches
        .iter()
        .fold(
            Preimage::tagged("xid")
                .word(terms.hub)
                .word(terms.beginner)
                .word(terms.salt)
                .number(terms.deadline.0),
            |preimage, branch| preimage.word(*branch),
        )
        .finish()
        .into()
}

/// What a party signs to authorise a two-phase commit.
#[must_use]
pub fn authorisation(xid: Xid) -> Hash {
    Preimage::tagged("authorisation").word(xid).finish()
}

/// The word that stands in terms for an account of a linked chain that begins a two-phase commit.
#[must_use]
pub fn account_beginner(link: LinkId, account: Address) -> IdentityId {
    Preimage::tagged("account-beginner").word(link).address(account).finish().into()
}

/// What a fungible asset is known by away from its home.
#[must_use]
pub fn voucher(home: ChainId, asset: AssetId) -> AssetId {
    Preimage::tagged("voucher").word(home).word(asset).finish().into()
}

/// What a node of mode 2 or 3 signs of a lane leaf that it has read at a block of its chain.
#[must_use]
pub fn attested_head(
    key_epoch: u32,
    leaf: Hash,
    height: Height,
    block: BlockId,
    time: UnixMillis,
) -> Hash {
    Preimage::tagged("head")
        .number(key_epoch)
        .word(leaf)
        .number(height.0)
        .word(block)
        .number(time.0)
        .finish()
}

/// What a node of mode 2 or 3 signs with both its keys, to show that it holds them.
#[must_use]
pub fn shared_node(
    hub: ChainId,
    link: LinkId,
    hub_key: Address,
    chain_key: Address,
    capabilities: u32,
) -> Hash {
    Preimage::tagged("shared-node")
        .word(hub)
        .word(link)
        .address(hub_key)
        .address(chain_key)
        .number(capabilities)
        .finish()
}

/// What a chain's council signs of the policy of its link.
#[must_use]
pub fn link_policy(link: LinkId, policy: &LinkPolicy) -> Hash {
    Preimage::tagged("link-policy").word(link).bytes(&policy.encode()).finish()
}

/// The hash under which a secret locks: SHA-256, which every chain with hash locks has.
#[must_use]
pub fn secret_hash(secret: &Secret) -> SecretHash {
    sha256(&secret.0).into()
}

/// An order of a hash-timelock swap on a hub: all that its parties agree on.
#[must_use]
pub fn order(hub: ChainId, order: &Order) -> OrderId {
    Preimage::tagged("order").word(hub).bytes(&order.encode()).finish().into()
}

/// What a hash-timelock swap is known by on every ledger, the hub's orders included.
#[must_use]
pub fn swap(hash: SecretHash) -> GlobalId {
    Preimage::tagged("swap").word(hash).finish().into()
}

/// What both keys sign to bind an account on a chain to an identity.
///
/// `nonce` is the identity's number of bindings so far, so that no proof serves twice.
#[must_use]
pub fn binding(
    hub: ChainId,
    chain: ChainId,
    account: Address,
    identity: IdentityId,
    nonce: u64,
) -> Hash {
    Preimage::tagged("binding")
        .word(hub)
        .word(chain)
        .address(account)
        .word(identity)
        .number(nonce)
        .finish()
}

/// A data item, from where and whose it first was. Req: Y4560-7.2.1-c
#[must_use]
pub fn data_id(home: ChainId, owner: IdentityId, local_id: &str) -> DataId {
    Preimage::tagged("data").word(home).word(owner).bytes(local_id.as_bytes()).finish().into()
}

/// The exact content of a canonical envelope, which holds its own salt.
#[must_use]
pub fn fingerprint(envelope: &[u8]) -> Fingerprint {
    Preimage::tagged("fingerprint").bytes(envelope).finish().into()
}

/// What a device signs of its canonical envelope.
#[must_use]
pub fn envelope(envelope: &[u8]) -> Hash {
    Preimage::tagged("envelope").bytes(envelope).finish()
}

/// A registered data structure.
#[must_use]
pub fn schema_id(definition: &[u8]) -> SchemaId {
    Preimage::tagged("schema").bytes(definition).finish().into()
}

/// What members of a recovery council sign. `chain` is the gateway's own ledger.
#[must_use]
pub fn council_act(chain: ChainId, act: u8, trust_epoch: u32, subject: Hash) -> Hash {
    Preimage::tagged("council").word(chain).number(act).number(trust_epoch).word(subject).finish()
}

/// The salted hash of one field of a record.
#[must_use]
pub fn record_field(salt: Hash, position: u32, value: &[u8]) -> Hash {
    let field_salt = Preimage::tagged("field-salt").word(salt).number(position).finish();
    Preimage::tagged("field").number(position).word(field_salt).bytes(value).finish()
}

/// The Merkle root over a record's salted fields, so that one can be withheld and the rest still
/// proved.
#[must_use]
pub fn record_root(salted: &SaltedRecord) -> Hash {
    let fields: Vec<Hash> = (0u32..)
        .zip(salted.record.fields())
        .map(|(position, value)| record_field(salted.salt, position, &value))
        .collect();
    crate::log::root_of(&fields)
}

/// The leaf of a record in the audit log.
///
/// It holds its own position, so that a record that stands anywhere else is known by its leaf
/// alone: of a list that lost a record together with its leaf, a root says only that something is
/// wrong, and this says where.
#[must_use]
pub fn record_leaf(position: u64, record_root: Hash) -> Hash {
    Preimage::tagged("record").number(position).word(record_root).finish()
}
