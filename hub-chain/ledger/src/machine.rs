//! What one kind of ledger adds to all others, and what it may touch while it runs.

use crate::{parameters::Parameters, principal::Principal, records, state::State};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{
    Epoch, Hash, Height, LaneNumber, MessageNumber, Refusal, UnixMillis,
    header::Genesis,
    id::{ChainId, IdentityId, LinkId, TxId},
    lane::{Delivery, Direction},
    message::Body,
    record::{Record, SaltedRecord},
    verifier::Verifier,
};

/// A transaction's call: what every ledger knows, or the machine's own.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Call<C> {
    /// Brings lane messages. Open to any registered key: the proof decides.
    Deliver(Box<Delivery>),
    /// Moves the client of a link. Open to any registered key.
    UpdateClient {
        /// Which link.
        link: LinkId,
        /// For the link's verifier.
        update: Vec<u8>,
    },
    /// Shows that the other chain contradicts itself. Open to any registered key.
    Misbehaviour {
        /// Which link.
        link: LinkId,
        /// For the link's verifier.
        evidence: Vec<u8>,
    },
    /// The machine's own.
    Own(C),
}

/// The block that is being executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// This ledger.
    pub chain_id: ChainId,
    /// Its height.
    pub height: Height,
    /// Its agreed time.
    pub time: UnixMillis,
}

/// A lane message that has just been proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The link over which it came.
    pub link: LinkId,
    /// The chain that sent it.
    pub chain: ChainId,
    /// The lane.
    pub lane: LaneNumber,
    /// Its epoch.
    pub epoch: Epoch,
    /// The number in its lane.
    pub number: MessageNumber,
    /// Height of the header that proved it.
    pub source_height: Height,
    /// Time of that header.
    pub source_time: UnixMillis,
    /// Hash of the sending gateway's code there, where the proof held it.
    pub code_hash: Option<Hash>,
    /// The sender's salt.
    pub salt: Hash,
    /// The receiver's time after which the sender takes it back; 0 is never.
    pub not_after: UnixMillis,
}

/// A message of this ledger that the other side did not hold when the lane's epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheld {
    /// The link.
    pub link: LinkId,
    /// The lane.
    pub lane: LaneNumber,
    /// The epoch that ended.
    pub epoch: Epoch,
    /// Its number in that.
    pub number: MessageNumber,
    /// Its salt.
    pub salt: Hash,
    /// Its number in the epoch after, where it was sent again; `None` where it is over.
    pub again: Option<MessageNumber>,
}

/// Replicated code at work: what it may read, write and record.
pub struct Context<'s, 'v> {
    /// The state.
    pub state: &'s mut State<'v>,
    /// The block.
    pub block: BlockInfo,
    /// The parameters in force.
    pub parameters: &'s Parameters,
    /// The causing transaction; zero at the beginning of a block.
    pub tx_id: TxId,
    /// Salt of the causing request.
    pub salt: Hash,
    /// Who signed the transaction; `None` at the beginning of a block.
    pub signer: Option<Principal>,
    /// The record that this cause will leave. Outcome, height, time and transaction are filled in
    /// by the ledger; the machine names operation, parties and what else applies.
    pub record: Record,
}

impl Context<'_, '_> {
    /// The identity of the signer, or zero at the beginning of a block.
    #[must_use]
    pub fn signer_id(&self) -> IdentityId {
        self.signer.as_ref().map_or(IdentityId::ZERO, |signer| signer.identity)
    }

    /// An empty record of this block and transaction.
    #[must_use]
    pub fn blank_record(&self) -> Record {
        blank_record(self.block, self.tx_id)
    }

    /// Appends a record besides the one that the cause itself leaves.
    pub fn append_record(&mut self, record: Record, salt: Hash) {
        records::append(self.state, &SaltedRecord { salt, record });
    }
}

/// An empty record of a block and transaction.
#[must_use]
pub fn blank_record(block: BlockInfo, tx_id: TxId) -> Record {
    Record {
        global_id: tombolo_types::id::GlobalId(tx_id.0),
        operation: String::new(),
        outcome: 0,
        remark: String::new(),
        height: block.height,
        time: block.time,
        tx_id,
        link: LinkId::ZERO,
        mode: 0,
        lane: LaneNumber::ZERO,
        number: MessageNumber::ZERO,
        source_chain: ChainId::ZERO,
        source_height: Height::ZERO,
        destination_chain: ChainId::ZERO,
        data_id: tombolo_types::id::DataId::ZERO,
        data_class: 0,
        fingerprint: tombolo_types::id::Fingerprint::ZERO,
        parties: Vec::new(),
        policy_hash: Hash::ZERO,
        protocol: String::new(),
        relayer: IdentityId::ZERO,
        evidence: Hash::ZERO,
        link_policy: Hash::ZERO,
        unbounded: false,
    }
}

/// One kind of ledger.
///
/// Every function is deterministic. What returns a [`Refusal`] is taken back as a whole.
pub trait Machine: Send + Sync + 'static {
    /// The kind that genesis must name.
    const KIND: &'static str;
    /// Which way this ledger's own lane messages go.
    const DIRECTION: Direction;
    /// The machine's own calls.
    type Call: BorshSerialize + BorshDeserialize + Send;

    /// Lays the first state. Parameters, validators and identities are there already.
    ///
    /// # Errors
    /// `E_FORMAT` where the document does not suit this kind of ledger.
    fn genesis(&self, cx: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal>;

    /// Does what is due in a block before any transaction: deadlines above all.
    fn begin_block(&self, cx: &mut Context<'_, '_>);

    /// The weight of a call besides its envelope, read cheaply; 1 is about one signature check.
    fn weight(&self, call: &Self::Call) -> u64;

    /// Executes a call.
    ///
    /// # Errors
    /// One class; then nothing of the call remains but its record.
    fn call(&self, cx: &mut Context<'_, '_>, call: Self::Call) -> Result<(), Refusal>;

    /// Takes a request. Commit and Abort must not be refused.
    ///
    /// # Errors
    /// One class; it goes back as an answer, and nothing of the request remains but its record.
    fn request(
        &self,
        cx: &mut Context<'_, '_>,
        arrival: &Arrival,
        body: Body,
    ) -> Result<(), Refusal>;

    /// Takes an answer to a message of this ledger.
    fn answer(&self, cx: &mut Context<'_, '_>, arrival: &Arrival, body: Body);

    /// Learns that the other side has taken this ledger's messages `from .. to` of a lane.
    fn taken(&self, cx: &mut Context<'_, '_>, link: LinkId, lane: LaneNumber, from: u64, to: u64);

    /// Learns that a link froze, so that what hangs on it can end.
    fn frozen(&self, cx: &mut Context<'_, '_>, link: LinkId);

    /// Learns what became of a message of a lane that was reopened; called at the beginning of
    /// blocks, in the order in which the messages were sent.
    fn reopened(&self, cx: &mut Context<'_, '_>, unheld: &Unheld, body: Body);

    /// The verifier under this name.
    fn verifier(&self, kind: &str) -> Option<&dyn Verifier>;
}
