//! Blocks: from a parent state, a time and transactions to a header and a new state.

use crate::{
    admission::{self, Admitted, Nonce},
    delivery, lanes,
    machine::{BlockInfo, Call, Context, Machine, blank_record},
    parameters::Parameters,
    principal::Principal,
    records,
    state::{Cell, Nothing, State, Table},
    validators,
};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{digest, keccak256::keccak256, log::root_of};
use tombolo_types::{
    Address, Class, Hash, Height, Refusal, UnixMillis, ensure,
    header::{Genesis, HEADER_VERSION, Header},
    id::{BlockId, ChainId, GlobalId, IdentityId, TxId},
    message::Status,
    record::SaltedRecord,
    store::{Batch, View},
    transaction::{BLOCK_BYTES_MAX, Block},
};

/// The newest block of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// The ledger.
    pub chain_id: ChainId,
    /// 0 at genesis.
    pub height: Height,
    /// At genesis the chain id stands for it.
    pub block_id: BlockId,
    /// The block's time.
    pub time: UnixMillis,
    /// The writes digest after it.
    pub writes_digest: Hash,
}

const TIP: Cell<Tip> = Cell::new(*b"kX");
const HISTORY: Table<Height, BlockId> = Table::new(*b"kH");
const GENESIS: Cell<Genesis> = Cell::new(*b"kG");

/// The newest block, or `None` before genesis.
pub fn tip(view: &dyn View) -> Option<Tip> {
    TIP.get(view)
}

/// The document from which the ledger started.
pub fn genesis(view: &dyn View) -> Option<Genesis> {
    GENESIS.get(view)
}

/// The block at a height of this ledger; genesis at height 0.
///
/// While a block is executed, its own height is not in it.
pub fn history(view: &dyn View, height: Height) -> Option<BlockId> {
    match HISTORY.get(view, &height) {
        Some(id) => Some(id),
        None => tip(view).filter(|tip| tip.height == height).map(|tip| tip.block_id),
    }
}

/// How one transaction of a block ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Outcome {
    /// The transaction.
    pub id: TxId,
    /// Who signed it.
    pub signer: IdentityId,
    /// The refusal, where it was refused.
    pub refusal: Option<Refusal>,
    /// The position of its record in the audit log.
    pub record: u64,
}

/// An executed block, not yet kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The block.
    pub block: Block,
    /// Its id.
    pub id: BlockId,
    /// What must be written to keep it.
    pub writes: Batch,
    /// How each transaction ended, in order.
    pub outcomes: Vec<Outcome>,
}

/// Why a proposed block cannot be accepted, now or ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBlock {
    /// A transaction that may not enter a block.
    #[error("transaction {position} of block {height} is inadmissible: {refusal}")]
    Inadmissible {
        /// The block's height.
        height: Height,
        /// The transaction's position.
        position: usize,
        /// Why.
        refusal: Refusal,
    },
    /// Not above its parent in height or time, or of another chain or version.
    #[error("block {height} does not follow its parent: {why}")]
    NotNext {
        /// The block's height.
        height: Height,
        /// The violated relation.
        why: String,
    },
    /// Too many bytes or too much weight.
    #[error("block {height} holds {bytes} bytes and weighs {weight}, above its limits")]
    TooLarge {
        /// The block's height.
        height: Height,
        /// Bytes of its transactions.
        bytes: usize,
        /// Their weight.
        weight: u64,
    },
    /// Execution leads to another header.
    #[error("block {height} says {claimed}, execution gives {computed}")]
    Differs {
        /// The block's height.
        height: Height,
        /// The block proposed.
        claimed: BlockId,
        /// What its transactions lead to.
        computed: BlockId,
    },
}

/// A ledger of one kind: the pure function from blocks to states.
pub struct Ledger<M> {
    machine: M,
}

impl<M: Machine> Ledger<M> {
    /// A ledger that runs `machine`.
    pub fn new(machine: M) -> Self {
        Self { machine }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The writes that lay the first state.
    ///
    /// # Errors
    /// `E_FORMAT` or `E_VERSION` where the document is not one for this kind of ledger.
    pub fn genesis(&self, genesis: &Genesis) -> Result<Batch, Refusal> {
        ensure!(
            genesis.version == HEADER_VERSION,
            Version,
            "genesis version {} is not {HEADER_VERSION}",
            genesis.version
        );
        ensure!(
            genesis.kind == M::KIND,
            Format,
            "genesis is for a {}, this is a {}",
            genesis.kind,
            M::KIND
        );
        ensure!(
            genesis.validators.first_height == Height(1),
            Format,
            "the first validator set begins at height {}, not 1",
            genesis.validators.first_height
        );
        let chain_id = digest::chain_id(genesis);
        let parameters = Parameters::from_genesis(genesis)?;
        let mut state = State::new(&Nothing);
        parameters.put(&mut state);
        GENESIS.put(&mut state, genesis);
        validators::put(&mut state, &genesis.validators, Height::ZERO)?;
        for identity in &genesis.identities {
            let id = digest::identity_id(identity.key);
            ensure!(
                Principal::of(&state, id).is_none() && identity.key != Address::ZERO,
                Format,
                "genesis names the key {} twice, or it is zero",
                identity.key
            );
            Principal {
                identity: id,
                roles: identity.roles,
                status: Status::Active,
                owner: IdentityId::ZERO,
                keys: vec![identity.key],
                account: identity.key,
            }
            .put(&mut state);
        }
        let block = BlockInfo { chain_id, height: Height::ZERO, time: genesis.time };
        let mut cx = Context {
            state: &mut state,
            block,
            parameters: &parameters,
            tx_id: TxId::ZERO,
            salt: Hash::ZERO,
            signer: None,
            record: blank_record(block, TxId::ZERO),
        };
        self.machine.genesis(&mut cx, genesis)?;
        lanes::close_block(&mut state, M::DIRECTION);
        let writes_digest = state.digest(Hash::ZERO);
        let tip = Tip {
            chain_id,
            height: Height::ZERO,
            block_id: BlockId(chain_id.0),
            time: genesis.time,
            writes_digest,
        };
        TIP.put(&mut state, &tip);
        Ok(state.into_writes())
    }

    /// Checks a transaction at the door, against the newest state.
    ///
    /// # Errors
    /// As [`admission::admit`]; `E_STATE` before genesis.
    pub fn admit(
        &self,
        view: &dyn View,
        now: UnixMillis,
        encoded: &[u8],
    ) -> Result<Admitted<M::Call>, Refusal> {
        let Some(tip) = tip(view) else {
            return Err(Refusal::new(Class::State, "this ledger has no genesis yet"));
        };
        let block = BlockInfo {
            chain_id: tip.chain_id,
            height: tip.height.next(),
            time: now.max(tip.time.saturating_add(1)),
        };
        let parameters = Parameters::of(view);
        /// How many transactions of one series may wait for a block.
        const AHEAD: u64 = 4_096;
        let admitted = admission::admit(
            &self.machine,
            view,
            block,
            &parameters,
            encoded,
            Nonce::Ahead(AHEAD),
        )?;
        if let Call::Deliver(delivery) = &admitted.call {
            ensure!(
                delivery::raises(view, delivery),
                Replay,
                "lane {} of link {} needs none of this delivery; it was brought before",
                delivery.leaf.lane,
                delivery.leaf.link
            );
        }
        Ok(admitted)
    }

    /// Builds the next block from what is admissible of `candidates`.
    ///
    /// Candidates that are not admissible are left out, and so are deliveries that raise nothing.
    /// Filling ends at the limits of a block, or when `stop` says so.
    ///
    /// # Errors
    /// [`InvalidBlock::NotNext`] where `time` is not above the parent's, or there is no genesis.
    pub fn build(
        &self,
        view: &dyn View,
        time: UnixMillis,
        candidates: &mut dyn Iterator<Item = Vec<u8>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Executed, InvalidBlock> {
        let mut run = Run::begin(self, view, time)?;
        for encoded in candidates {
            if stop() {
                break;
            }
            if run.bytes.saturating_add(encoded.len()) > BLOCK_BYTES_MAX {
                break;
            }
            // What does not fit or may not enter stays outside.
            let _ = run.execute(encoded, Replays::LeaveOut);
        }
        Ok(run.end())
    }

    /// Executes a proposed block.
    ///
    /// # Errors
    /// [`InvalidBlock`]; the verdict never changes later.
    pub fn execute(&self, view: &dyn View, block: &Block) -> Result<Executed, InvalidBlock> {
        let header = &block.header;
        let mut run = Run::begin(self, view, header.time)?;
        if header.parent != run.parent.block_id {
            return Err(InvalidBlock::NotNext {
                height: header.height,
                why: format!(
                    "its parent is {}, the newest block is {}",
                    header.parent, run.parent.block_id
                ),
            });
        }
        for (position, encoded) in block.transactions.iter().enumerate() {
            run.execute(encoded.clone(), Replays::Keep).map_err(|refusal| {
                InvalidBlock::Inadmissible { height: header.height, position, refusal }
            })?;
            if run.bytes > BLOCK_BYTES_MAX {
                return Err(InvalidBlock::TooLarge {
                    height: header.height,
                    bytes: run.bytes,
                    weight: run.weight,
                });
            }
        }
        let executed = run.end();
        let claimed = digest::block_id(header);
        if executed.id != claimed {
            return Err(InvalidBlock::Differs {
                height: header.height,
                claimed,
                computed: executed.id,
            });
        }
        Ok(executed)
    }
}

/// What becomes of a delivery that raises nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replays {
    /// The proposer drops it.
    LeaveOut,
    /// A validator takes it as any other refusal, so that its verdict does not depend on order.
    Keep,
}

/// One block under execution.
struct Run<'l, 'v, M> {
    ledger: &'l Ledger<M>,
    state: State<'v>,
    block: BlockInfo,
    parent: Tip,
    parameters: Parameters,
    transactions: Vec<Vec<u8>>,
    outcomes: Vec<Outcome>,
    bytes: usize,
    weight: u64,
}

impl<'l, 'v, M: Machine> Run<'l, 'v, M> {
    fn begin(
        ledger: &'l Ledger<M>,
        view: &'v dyn View,
        time: UnixMillis,
    ) -> Result<Self, InvalidBlock> {
        let not_next = |why: String| InvalidBlock::NotNext { height: Height::ZERO, why };
        let parent = tip(view).ok_or_else(|| not_next("there is no genesis".into()))?;
        if time <= parent.time {
            return Err(not_next(format!("time {time} is not after the parent's {}", parent.time)));
        }
        let block = BlockInfo { chain_id: parent.chain_id, height: parent.height.next(), time };
        let mut state = State::new(view);
        HISTORY.put(&mut state, &parent.height, &parent.block_id);
        let parameters = Parameters::of(view);
        let mut run = Self {
            ledger,
            state,
            block,
            parent,
            parameters,
            transactions: Vec::new(),
            outcomes: Vec::new(),
            bytes: 0,
            weight: 0,
        };
        let mut cx = Context {
            state: &mut run.state,
            block,
            parameters: &run.parameters,
            tx_id: TxId::ZERO,
            salt: Hash::ZERO,
            signer: None,
            record: blank_record(block, TxId::ZERO),
        };
        lanes::resume(&ledger.machine, &mut cx);
        ledger.machine.begin_block(&mut cx);
        Ok(run)
    }

    fn execute(&mut self, encoded: Vec<u8>, replays: Replays) -> Result<(), Refusal> {
        let machine = &self.ledger.machine;
        let admitted = admission::admit(
            machine,
            &self.state,
            self.block,
            &self.parameters,
            &encoded,
            Nonce::Exact,
        )?;
        // Messages are not charged to who carries them, but they take time in the block.
        let carried = match &admitted.call {
            Call::Deliver(delivery) => u64::try_from(delivery.messages.len()).unwrap_or(u64::MAX),
            _ => 0,
        };
        let weight = self.weight.saturating_add(admitted.weight).saturating_add(carried);
        ensure!(weight <= self.parameters.block_weight_max, Limit, "the block is full");

        let start = self.state.mark();
        let Admitted { id, signer, transaction, call, usage, .. } = admitted;
        usage.put(&mut self.state, signer.identity);
        let identity = signer.identity;
        let is_delivery = matches!(call, Call::Deliver(_));
        let before = self.state.mark();
        let mut record = blank_record(self.block, id);
        record.parties = vec![identity];
        let mut cx = Context {
            state: &mut self.state,
            block: self.block,
            parameters: &self.parameters,
            tx_id: id,
            salt: transaction.salt,
            signer: Some(signer),
            record,
        };
        let result = match call {
            Call::Deliver(delivery) => delivery::deliver(machine, &mut cx, &delivery),
            Call::UpdateClient { link, update } => {
                delivery::update_client(machine, &mut cx, link, &update)
            }
            Call::Misbehaviour { link, evidence } => {
                delivery::misbehaviour(machine, &mut cx, link, &evidence)
            }
            Call::Own(own) => machine.call(&mut cx, own),
        };
        let mut record = cx.record;
        let refusal = result.err();
        if let Some(refusal) = &refusal {
            if is_delivery && refusal.class == Class::Replay && replays == Replays::LeaveOut {
                self.state.roll_back(start);
                return Err(refusal.clone());
            }
            self.state.roll_back(before);
            record.outcome = refusal.class as u8;
            record.remark = refusal.message.clone();
        }
        // A delivery's messages have records of their own; it leaves one itself only when refused,
        // or when it did something else than deliver.
        let position = if is_delivery && refusal.is_none() && record.operation == "deliver" {
            records::log(&self.state).size()
        } else {
            records::append(&mut self.state, &SaltedRecord { salt: transaction.salt, record })
        };
        self.outcomes.push(Outcome { id, signer: identity, refusal, record: position });
        self.bytes = self.bytes.saturating_add(encoded.len());
        self.weight = weight;
        self.transactions.push(encoded);
        Ok(())
    }

    fn end(mut self) -> Executed {
        let lanes_root = lanes::close_block(&mut self.state, M::DIRECTION);
        let log = records::log(&self.state);
        let root_of_set = |height| {
            validators::at(&self.state, height)
                .map_or(Hash::ZERO, |set| digest::validators_root(&set))
        };
        let writes_digest = self.state.digest(self.parent.writes_digest);
        let leaves: Vec<Hash> =
            self.transactions.iter().map(|encoded| keccak256(encoded)).collect();
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.block.chain_id,
            height: self.block.height,
            time: self.block.time,
            parent: self.parent.block_id,
            transactions_root: root_of(&leaves),
            lanes_root,
            log_root: log.root(),
            log_size: log.size(),
            writes_digest,
            state_root: Hash::ZERO,
            validators_root: root_of_set(self.block.height),
            next_validators_root: root_of_set(self.block.height.next()),
            extensions_root: Hash::ZERO,
            reserved: Hash::ZERO,
        };
        let id = digest::block_id(&header);
        let tip = Tip {
            chain_id: self.block.chain_id,
            height: self.block.height,
            block_id: id,
            time: self.block.time,
            writes_digest,
        };
        TIP.put(&mut self.state, &tip);
        Executed {
            block: Block { header, transactions: self.transactions },
            id,
            writes: self.state.into_writes(),
            outcomes: self.outcomes,
        }
    }
}

/// The id under which an operation begun by this transaction is known on every ledger.
#[must_use]
pub fn global_id(transaction: TxId) -> GlobalId {
    GlobalId(transaction.0)
}
