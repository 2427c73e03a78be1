//! The audit record: one for every lane message and every transaction, refusals included.

use crate::{
    Hash, Height, LaneNumber, MessageNumber, UnixMillis, abi_struct,
    id::{ChainId, DataId, Fingerprint, GlobalId, IdentityId, LinkId, TxId},
};

mod filter;

pub use filter::{End, RecordFilter};

abi_struct! {
    /// What happened, to what, by whom, under which policy, with what end. Req: Y4560-7.2.3-2
    ///
    /// A field that does not apply is zero or empty.
    pub struct Record {
        /// What the operation is known by on every ledger.
        pub global_id: GlobalId,
        /// Which operation, e.g. `share`, `commit`, `identity register`.
        pub operation: String,
        /// 0 for done, else the number of a [`Class`](crate::Class).
        pub outcome: u8,
        /// For a refusal its sentence, else a remark such as the new state.
        pub remark: String,
        /// The height of the block that holds the cause.
        pub height: Height,
        /// That block's time.
        pub time: UnixMillis,
        /// The causing transaction on this ledger.
        pub tx_id: TxId,
        /// The link of a lane message.
        pub link: LinkId,
        /// The link's deployment mode.
        pub mode: u8,
        /// The lane of a lane message.
        pub lane: LaneNumber,
        /// The number of a lane message.
        pub number: MessageNumber,
        /// Where it came from.
        pub source_chain: ChainId,
        /// The height there at which it began.
        pub source_height: Height,
        /// Where it goes.
        pub destination_chain: ChainId,
        /// The item.
        pub data_id: DataId,
        /// A [`DataClass`](crate::message::DataClass), or 0.
        pub data_class: u8,
        /// The item's fingerprint.
        pub fingerprint: Fingerprint,
        /// Who took part: the signer first.
        pub parties: Vec<IdentityId>,
        /// Hash of the policies that were asked.
        pub policy_hash: Hash,
        /// `lane`, `2pc`, or empty for an operation on this ledger alone.
        pub protocol: String,
        /// Who delivered it.
        pub relayer: IdentityId,
        /// Digest of the decision's inputs, for replay; zero where no policy was asked.
        pub evidence: Hash,
        /// Hash of the policy that both sides of the link signed; zero where there is none.
        pub link_policy: Hash,
        /// The link is believed by one trusted node's word alone. Req: PRJ-1-1
        pub unbounded: bool,
    }
}

/// The fields of a record, in the order in which its leaf commits to them.
pub const RECORD_FIELDS: [&str; 24] = [
    "global_id",
    "operation",
    "outcome",
    "remark",
    "height",
    "time",
    "tx_id",
    "link",
    "mode",
    "lane",
    "number",
    "source_chain",
    "source_height",
    "destination_chain",
    "data_id",
    "data_class",
    "fingerprint",
    "parties",
    "policy_hash",
    "protocol",
    "relayer",
    "evidence",
    "link_policy",
    "unbounded",
];

abi_struct! {
    /// A record with the salt under which its fields are committed to.
    pub struct SaltedRecord {
        /// From the causing request.
        pub salt: Hash,
        /// What happened.
        pub record: Record,
    }
}

impl Record {
    /// Each field's ABI encoding, in order.
    #[must_use]
    pub fn fields(&self) -> [Vec<u8>; 24] {
        use crate::abi::encode_single as abi;
        [
            abi(&self.global_id),
            abi(&self.operation),
            abi(&self.outcome),
            abi(&self.remark),
            abi(&self.height),
            abi(&self.time),
            abi(&self.tx_id),
            abi(&self.link),
            abi(&self.mode),
            abi(&self.lane),
            abi(&self.number),
            abi(&self.source_chain),
            abi(&self.source_height),
            abi(&self.destination_chain),
            abi(&self.data_id),
            abi(&self.data_class),
            abi(&self.fingerprint),
            abi(&self.parties),
            abi(&self.policy_hash),
            abi(&self.protocol),
            abi(&self.relayer),
            abi(&self.evidence),
            abi(&self.link_policy),
            abi(&self.unbounded),
        ]
    }
}
