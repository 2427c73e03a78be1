//! What a ledger shows of itself, as values that cannot be invalid.
//!
//! Each type here has a twin in [`wire`]: `From` to go out, `TryFrom` to come in. What
//! comes in is read once, here; that it is *true* is for proofs and verifiers.

mod find;

pub use find::{FoundRecords, RecordQuery};

use crate::wire;
use tombolo_types::{
    Class, Epoch, Height, LaneNumber, Refusal, UnixMillis,
    header::{Certificate, Header, ValidatorSet},
    id::{BlockId, ChainId, LinkId},
    lane::{LaneLeaf, RangeProof},
    record::SaltedRecord,
    verifier::{ClientStatus, ClientView},
};

/// Reads 32 bytes as an id; `what` names it in the refusal.
///
/// # Errors
/// `E_FORMAT` for another length.
pub fn read_id<T: From<tombolo_types::Hash>>(what: &str, bytes: &[u8]) -> Result<T, Refusal> {
    match <[u8; 32]>::try_from(bytes) {
        Ok(bytes) => Ok(tombolo_types::Hash(bytes).into()),
        Err(_) => {
            let message = format!("{what} has {} bytes; send 32 raw bytes", bytes.len());
            Err(Refusal::new(Class::Format, message))
        }
    }
}

fn missing(what: &str) -> Refusal {
    Refusal::new(Class::Format, format!("the answer holds no {what}, or one that is not known"))
}

/// Who a ledger's node is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The ledger.
    pub chain_id: ChainId,
    /// `hub` or `islet`.
    pub kind: String,
    /// The network's name.
    pub name: String,
    /// The newest final height.
    pub height: Height,
    /// The block there; at height 0 the chain id stands for it.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
    /// How many validators certify the next height.
    pub validators: u32,
    /// Peers that are connected.
    pub peers: u32,
    /// Of the program.
    pub version: String,
    /// Transactions that wait for a block here.
    pub mempool: u32,
}

impl From<NodeStatus> for wire::StatusResponse {
    fn from(it: NodeStatus) -> Self {
        Self {
            chain_id: it.chain_id.0.to_vec(),
            kind: it.kind,
            name: it.name,
            height: it.height.0,
            block_id: it.block_id.0.to_vec(),
            time_ms: it.time.0,
            validators: it.validators,
            peers: it.peers,
            version: it.version,
            mempool: it.mempool,
        }
    }
}

impl TryFrom<wire::StatusResponse> for NodeStatus {
    type Error = Refusal;

    fn try_from(it: wire::StatusResponse) -> Result<Self, Refusal> {
        Ok(Self {
            chain_id: read_id("the chain id", &it.chain_id)?,
            kind: it.kind,
            name: it.name,
            height: Height(it.height),
            block_id: read_id("the block id", &it.block_id)?,
            time: UnixMillis(it.time_ms),
            validators: it.validators,
            peers: it.peers,
            version: it.version,
            mempool: it.mempool,
        })
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Of the block that holds it.
    pub height: Height,
    /// That block's time.
    pub time: UnixMillis,
    /// Why it was refused, where it was.
    pub refusal: Option<Refusal>,
    /// The position of its record; `None` for a delivery that was taken, whose messages have
    /// records of their own.
    pub record: Option<u64>,
}

impl From<Receipt> for wire::Receipt {
    fn from(it: Receipt) -> Self {
        let (class, message) =
            it.refusal.map_or((0, String::new()), |no| (u32::from(no.class as u8), no.message));
        Self { height: it.height.0, time_ms: it.time.0, class, message, record: it.record }
    }
}

impl TryFrom<wire::Receipt> for Receipt {
    type Error = Refusal;

    fn try_from(it: wire::Receipt) -> Result<Self, Refusal> {
        let refusal = match it.class {
            0 => None,
            class => {
                let class = u8::try_from(class).ok().and_then(Class::from_number);
                Some(Refusal::new(class.ok_or_else(|| missing("class"))?, it.message))
            }
        };
        Ok(Self {
            height: Height(it.height),
            time: UnixMillis(it.time_ms),
            refusal,
            record: it.record,
        })
    }
}

/// Where a link stands, as its ledger shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    /// Registered; takes nothing but Hello.
    Proposed,
    /// Takes and sends everything.
    Open,
    /// Takes no new request.
    Paused {
        /// When the pause ends by itself.
        until: UnixMillis,
    },
    /// Takes nothing until it is recovered.
    Frozen,
    /// Ended.
    Closed,
}

impl LinkStatus {
    /// The word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Open => "open",
            Self::Paused { .. } => "paused",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }
}

/// A link with its client and lanes, as one of its two ledgers sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Its id.
    pub id: LinkId,
    /// The other ledger.
    pub chain_id: ChainId,
    /// The deployment mode, 1 to 3.
    pub mode: u8,
    /// Where it stands.
    pub status: LinkStatus,
    /// The kind of verifier.
    pub verifier: String,
    /// The client of the other ledger, by this ledger's newest block time.
    pub client: ClientView,
    /// The other side's Hello has been taken.
    pub greeted: bool,
    /// The trust epoch to which this ledger commits.
    pub trust_epoch: u32,
    /// The other ledger's trust epoch that this one approved.
    pub peer_trust_epoch: u32,
    /// Its lanes, ascending.
    pub lanes: Vec<LaneView>,
}

/// Both directions of one lane, as one ledger sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Which lane.
    pub lane: LaneNumber,
    /// The epoch of what this ledger sends.
    pub epoch: Epoch,
    /// Messages that it sent in that epoch.
    pub size: u64,
    /// Of those, taken by the other side, as proved here.
    pub taken: u64,
    /// Of those, finished.
    pub freed: u64,
    /// The epoch of what the other side sends.
    pub peer_epoch: Epoch,
    /// Of that, taken here.
    pub received: u64,
    /// Bytes of message bodies that are kept.
    pub bytes: u64,
    /// Time of the newest block of the other side up to which everything was taken.
    pub current_at: UnixMillis,
}

impl From<LinkView> for wire::Link {
    fn from(it: LinkView) -> Self {
        use wire::{ClientStatus as Client, LinkStatus as Status};
        let (status, paused_until_ms) = match it.status {
            LinkStatus::Proposed => (Status::Proposed, 0),
            LinkStatus::Open => (Status::Open, 0),
            LinkStatus::Paused { until } => (Status::Paused, until.0),
            LinkStatus::Frozen => (Status::Frozen, 0),
            LinkStatus::Closed => (Status::Closed, 0),
        };
        let client_status = match it.client.status {
            ClientStatus::Active => Client::Active,
            ClientStatus::Expiring => Client::Expiring,
            ClientStatus::Expired => Client::Expired,
            ClientStatus::Frozen => Client::Frozen,
        };
        Self {
            id: it.id.0.to_vec(),
            chain_id: it.chain_id.0.to_vec(),
            mode: u32::from(it.mode),
            status: status.into(),
            paused_until_ms,
            verifier: it.verifier,
            client_height: it.client.height.0,
            client_block_id: it.client.block_id.0.to_vec(),
            client_time_ms: it.client.newest_time.0,
            client_status: client_status.into(),
            trusting_period_ms: it.client.trusting_period_ms,
            client_set_since: it.client.set_since.0,
            client_validators_root: it.client.validators_root.0.to_vec(),
            client_key_epoch: it.client.key_epoch,
            greeted: it.greeted,
            trust_epoch: it.trust_epoch,
            peer_trust_epoch: it.peer_trust_epoch,
            lanes: it.lanes.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Link> for LinkView {
    type Error = Refusal;

    fn try_from(it: wire::Link) -> Result<Self, Refusal> {
        use wire::{ClientStatus as Client, LinkStatus as Status};
        let status = match it.status() {
            Status::Unspecified => return Err(missing("link status")),
            Status::Proposed => LinkStatus::Proposed,
            Status::Open => LinkStatus::Open,
            Status::Paused => LinkStatus::Paused { until: UnixMillis(it.paused_until_ms) },
            Status::Frozen => LinkStatus::Frozen,
            Status::Closed => LinkStatus::Closed,
        };
        let client_status = match it.client_status() {
            Client::Unspecified => return Err(missing("client status")),
            Client::Active => ClientStatus::Active,
            Client::Expiring => ClientStatus::Expiring,
            Client::Expired => ClientStatus::Expired,
            Client::Frozen => ClientStatus::Frozen,
        };
        let chain_id = read_id("the chain id", &it.chain_id)?;
        let client = ClientView {
            chain: chain_id,
            height: Height(it.client_height),
            block_id: read_id("the client's block", &it.client_block_id)?,
            newest_time: UnixMillis(it.client_time_ms),
            set_since: Height(it.client_set_since),
            validators_root: read_id("the validators root", &it.client_validators_root)?,
            key_epoch: it.client_key_epoch,
            status: client_status,
            trusting_period_ms: it.trusting_period_ms,
        };
        Ok(Self {
            id: read_id("the link id", &it.id)?,
            chain_id,
            mode: u8::try_from(it.mode).map_err(|_| missing("mode"))?,
            status,
            verifier: it.verifier,
            client,
            greeted: it.greeted,
            trust_epoch: it.trust_epoch,
            peer_trust_epoch: it.peer_trust_epoch,
            lanes: it.lanes.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<LaneView> for wire::Lane {
    fn from(it: LaneView) -> Self {
        Self {
            lane: it.lane.0,
            epoch: it.epoch.0,
            size: it.size,
            taken: it.taken,
            freed: it.freed,
            peer_epoch: it.peer_epoch.0,
            received: it.received,
            bytes: it.bytes,
            current_at_ms: it.current_at.0,
        }
    }
}

impl From<wire::Lane> for LaneView {
    fn from(it: wire::Lane) -> Self {
        Self {
            lane: LaneNumber(it.lane),
            epoch: Epoch(it.epoch),
            size: it.size,
            taken: it.taken,
            freed: it.freed,
            peer_epoch: Epoch(it.peer_epoch),
            received: it.received,
            bytes: it.bytes,
            current_at: UnixMillis(it.current_at_ms),
        }
    }
}

/// All links at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The block after which this held.
    pub height: Height,
    /// Ascending by id.
    pub links: Vec<LinkView>,
}

impl From<Links> for wire::LinksResponse {
    fn from(it: Links) -> Self {
        Self { links: it.links.into_iter().map(Into::into).collect(), height: it.height.0 }
    }
}

impl TryFrom<wire::LinksResponse> for Links {
    type Error = Refusal;

    fn try_from(it: wire::LinksResponse) -> Result<Self, Refusal> {
        let links = it.links.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { height: Height(it.height), links })
    }
}

/// A lane leaf with the proof that a certified header commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedLeaf {
    /// What the ledger commits to.
    pub leaf: LaneLeaf,
    /// For the link's verifier on the other ledger; an encoded
    /// [`HeadProof`](tombolo_types::transaction::HeadProof).
    pub head_proof: Vec<u8>,
}

/// All lane leaves of a link at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The block's height.
    pub height: Height,
    /// Its time.
    pub time: UnixMillis,
    /// One for each lane, ascending.
    pub leaves: Vec<ProvedLeaf>,
}

impl From<Heads> for wire::HeadsResponse {
    fn from(it: Heads) -> Self {
        let leaves = it.leaves.into_iter().map(|proved| wire::ProvedLeaf {
            leaf: proved.leaf.encode(),
            head_proof: proved.head_proof,
        });
        Self { height: it.height.0, time_ms: it.time.0, leaves: leaves.collect() }
    }
}

impl TryFrom<wire::HeadsResponse> for Heads {
    type Error = Refusal;

    fn try_from(it: wire::HeadsResponse) -> Result<Self, Refusal> {
        let leaves = it.leaves.into_iter().map(|proved| {
            let leaf = LaneLeaf::decode(&proved.leaf)?;
            Ok(ProvedLeaf { leaf, head_proof: proved.head_proof })
        });
        Ok(Self {
            height: Height(it.height),
            time: UnixMillis(it.time_ms),
            leaves: leaves.collect::<Result<_, Refusal>>()?,
        })
    }
}

/// Which messages of a lane are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagesQuery {
    /// The link.
    pub link: LinkId,
    /// The lane.
    pub lane: LaneNumber,
    /// The epoch of what the asked ledger sends.
    pub epoch: Epoch,
    /// The number of the first message.
    pub from: u64,
    /// How many at most.
    pub count: u32,
    /// The size against which the proof is made; 0 is the newest.
    pub size: u64,
    /// How many bytes of messages at most; one message is given in any case.
    pub bytes_max: u32,
}

/// Messages of a lane with their proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// Encoded messages, in order.
    pub messages: Vec<Vec<u8>>,
    /// That exactly these stand in the lane.
    pub range: RangeProof,
    /// The size against which it is made.
    pub size: u64,
}

impl From<Messages> for wire::MessagesResponse {
    fn from(it: Messages) -> Self {
        Self { messages: it.messages, range: it.range.encode(), size: it.size }
    }
}

impl TryFrom<wire::MessagesResponse> for Messages {
    type Error = Refusal;

    fn try_from(it: wire::MessagesResponse) -> Result<Self, Refusal> {
        let range = RangeProof::decode(&it.range)?;
        Ok(Self { messages: it.messages, range, size: it.size })
    }
}

/// A header with all that certifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderView {
    /// The header.
    pub header: Header,
    /// Its certificate.
    pub certificate: Certificate,
    /// The set that signed it.
    pub validators: ValidatorSet,
}

impl From<HeaderView> for wire::HeaderResponse {
    fn from(it: HeaderView) -> Self {
        Self {
            header: it.header.encode(),
            certificate: it.certificate.encode(),
            validators: it.validators.encode(),
        }
    }
}

impl TryFrom<wire::HeaderResponse> for HeaderView {
    type Error = Refusal;

    fn try_from(it: wire::HeaderResponse) -> Result<Self, Refusal> {
        Ok(Self {
            header: Header::decode(&it.header)?,
            certificate: Certificate::decode(&it.certificate)?,
            validators: ValidatorSet::decode(&it.validators)?,
        })
    }
}

/// A block has become final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEvent {
    /// Its height.
    pub height: Height,
    /// Its id.
    pub block_id: BlockId,
    /// Its time.
    pub time: UnixMillis,
    /// How many transactions it holds.
    pub transactions: u32,
    /// Records in the audit log after it.
    pub log_size: u64,
}

impl From<BlockEvent> for wire::BlockEvent {
    fn from(it: BlockEvent) -> Self {
        Self {
            height: it.height.0,
            block_id: it.block_id.0.to_vec(),
            time_ms: it.time.0,
            transactions: it.transactions,
            log_size: it.log_size,
        }
    }
}

impl TryFrom<wire::BlockEvent> for BlockEvent {
    type Error = Refusal;

    fn try_from(it: wire::BlockEvent) -> Result<Self, Refusal> {
        Ok(Self {
            height: Height(it.height),
            block_id: read_id("the block id", &it.block_id)?,
            time: UnixMillis(it.time_ms),
            transactions: it.transactions,
            log_size: it.log_size,
        })
    }
}

/// A page of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPage {
    /// Records with their positions, ascending without a gap.
    pub records: Vec<(u64, SaltedRecord)>,
    /// Records in the log now.
    pub log_size: u64,
}

impl From<RecordPage> for wire::RecordsResponse {
    fn from(it: RecordPage) -> Self {
        Self { records: entries(it.records), log_size: it.log_size }
    }
}

impl TryFrom<wire::RecordsResponse> for RecordPage {
    type Error = Refusal;

    fn try_from(it: wire::RecordsResponse) -> Result<Self, Refusal> {
        Ok(Self { records: read_entries(it.records)?, log_size: it.log_size })
    }
}

fn entries(records: Vec<(u64, SaltedRecord)>) -> Vec<wire::RecordEntry> {
    let entry = |(position, record): (_, SaltedRecord)| wire::RecordEntry {
        position,
        record: record.encode(),
    };
    records.into_iter().map(entry).collect()
}

fn read_entries(entries: Vec<wire::RecordEntry>) -> Result<Vec<(u64, SaltedRecord)>, Refusal> {
    let read = |it: wire::RecordEntry| Ok((it.position, SaltedRecord::decode(&it.record)?));
    entries.into_iter().map(read).collect()
}

/// That a range of records stands in the log under a certified header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// The proof of the records between two positions, for the range verifier of the log.
    pub range: RangeProof,
    /// The first header with the log size asked for.
    pub header: HeaderView,
}

impl From<LogProof> for wire::LogProofResponse {
    fn from(it: LogProof) -> Self {
        let wire::HeaderResponse { header, certificate, validators } = it.header.into();
        Self { range: it.range.encode(), header, certificate, validators }
    }
}

impl TryFrom<wire::LogProofResponse> for LogProof {
    type Error = Refusal;

    fn try_from(it: wire::LogProofResponse) -> Result<Self, Refusal> {
        let wire::LogProofResponse { range, header, certificate, validators } = it;
        let header = wire::HeaderResponse { header, certificate, validators }.try_into()?;
        Ok(Self { range: RangeProof::decode(&range)?, header })
    }
}

/// A header that named another validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorChange {
    /// The last header under the set before.
    pub header: Header,
    /// Its certificate.
    pub certificate: Certificate,
    /// The set that it names.
    pub next_validators: ValidatorSet,
}

impl From<ValidatorChange> for wire::ValidatorChange {
    fn from(it: ValidatorChange) -> Self {
        Self {
            header: it.header.encode(),
            certificate: it.certificate.encode(),
            next_validators: it.next_validators.encode(),
        }
    }
}

impl TryFrom<wire::ValidatorChange> for ValidatorChange {
    type Error = Refusal;

    fn try_from(it: wire::ValidatorChange) -> Result<Self, Refusal> {
        Ok(Self {
            header: Header::decode(&it.header)?,
            certificate: Certificate::decode(&it.certificate)?,
            next_validators: ValidatorSet::decode(&it.next_validators)?,
        })
    }
}

/// A page of changes of the validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorChanges {
    /// Ascending by height.
    pub changes: Vec<ValidatorChange>,
    /// Whether more follow.
    pub more: bool,
}

impl From<ValidatorChanges> for wire::ValidatorChangesResponse {
    fn from(it: ValidatorChanges) -> Self {
        Self { changes: it.changes.into_iter().map(Into::into).collect(), more: it.more }
    }
}

impl TryFrom<wire::ValidatorChangesResponse> for ValidatorChanges {
    type Error = Refusal;

    fn try_from(it: wire::ValidatorChangesResponse) -> Result<Self, Refusal> {
        let changes = it.changes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { changes, more: it.more })
    }
}

/// A page of state for people and applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryPage {
    /// JSON text.
    pub json: String,
    /// The block after which this held.
    pub height: Height,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> LinkView {
        LinkView {
            id: LinkId([1; 32]),
            chain_id: ChainId([2; 32]),
            mode: 1,
            status: LinkStatus::Paused { until: UnixMillis(7) },
            verifier: "tombolo".into(),
            client: ClientView {
                chain: ChainId([2; 32]),
                height: Height(3),
                block_id: BlockId([4; 32]),
                newest_time: UnixMillis(4),
                set_since: Height(6),
                validators_root: tombolo_types::Hash([3; 32]),
                key_epoch: 7,
                status: ClientStatus::Expiring,
                trusting_period_ms: 5,
            },
            greeted: true,
            trust_epoch: 8,
            peer_trust_epoch: 9,
            lanes: vec![LaneView {
                lane: LaneNumber(1),
                epoch: Epoch(2),
                size: 3,
                taken: 4,
                freed: 5,
                peer_epoch: Epoch(6),
                received: 7,
                bytes: 8,
                current_at: UnixMillis(9),
            }],
        }
    }

    #[test]
    fn a_link_comes_back_as_it_went() {
        assert_eq!(LinkView::try_from(wire::Link::from(link())), Ok(link()));
    }

    #[test]
    fn a53_what_a_link_cannot_be_is_refused() {
        type Spoil = fn(&mut wire::Link);
        let spoils: [(&str, Spoil); 5] = [
            ("an id of 31 bytes", |it| it.id.truncate(31)),
            ("no status", |it| it.status = 0),
            ("an unknown status", |it| it.status = 99),
            ("an unknown client status", |it| it.client_status = -1),
            ("a mode above a byte", |it| it.mode = 256),
        ];
        for (what, spoil) in spoils {
            let mut it = wire::Link::from(link());
            spoil(&mut it);
            let class = LinkView::try_from(it).map_err(|refusal| refusal.class);
            assert_eq!(class, Err(Class::Format), "{what}");
        }
    }

    #[test]
    fn a_receipt_is_done_or_has_a_class() {
        let done = Receipt { height: Height(1), time: UnixMillis(2), refusal: None, record: None };
        let refusal = Some(Refusal::new(Class::Funds, "two coins are too few"));
        for receipt in [done.clone(), Receipt { refusal, record: Some(0), ..done }] {
            assert_eq!(Receipt::try_from(wire::Receipt::from(receipt.clone())), Ok(receipt));
        }
        let unknown = wire::Receipt { class: 20, ..Default::default() };
        assert_eq!(Receipt::try_from(unknown).map_err(|it| it.class), Err(Class::Format));
    }

    #[test]
    fn a53_abi_that_is_none_is_refused() {
        let header = wire::HeaderResponse { header: vec![1; 480], ..Default::default() };
        assert_eq!(HeaderView::try_from(header).map_err(|it| it.class), Err(Class::Format));
        let heads = wire::HeadsResponse {
            leaves: vec![wire::ProvedLeaf { leaf: vec![0; 31], head_proof: Vec::new() }],
            ..Default::default()
        };
        assert_eq!(Heads::try_from(heads).map_err(|it| it.class), Err(Class::Format));
    }
}
