//! A process that runs one machine over a disk that can fail, beside another validator's.

use super::{CrashAt, Made, Node, encode};
use tombolo_adapter::{ChainHead, ClientView, LinkHead, ProvedLeaf, Standing};
use tombolo_crypto::{
    client::LightClient,
    digest::{self, VoteKind},
    log::range_proof,
    secp256k1::SecretKey,
    tree,
};
use tombolo_ledger::{
    Executed, Ledger, Machine,
    lanes::{self, LaneNodes, LinkStatus},
    principal::Use,
    validators,
};
use tombolo_store::{Faults, Faulty, Memory};
use tombolo_types::{
    Epoch, Hash, Height, MessageNumber, Refusal, Round, UnixMillis,
    header::{Certificate, CommitSignature, Genesis, Header, ValidatorSet},
    id::{ChainId, IdentityId, LinkId},
    lane::{LaneKey, RangeProof},
    store::{Store, View},
    transaction::{
        Block, ClientUpdate, DecidedBlock, HeadProof, Misbehaviour, SignedTransaction, Transaction,
    },
    verifier::Verifier as _,
};

/// The key of a certified header on the disk; it does not belong to replicated state.
fn header_key(height: Height) -> Vec<u8> {
    let mut key = b"nH".to_vec();
    key.extend_from_slice(&height.0.to_be_bytes());
    key
}

/// How long a transaction may wait, in virtual milliseconds.
const EXPIRY_MS: u64 = 600_000;
/// The most messages that one delivery brings here.
const BATCH_BYTES_MAX: usize = 200 * 1_024;

/// See the module.
pub(crate) struct Process<M> {
    /// Makes a machine for a process that starts.
    machine: fn() -> M,
    ledger: Ledger<M>,
    peer: Ledger<M>,
    id: ChainId,
    keys: Vec<SecretKey>,
    disk: Memory,
    /// The disk of another validator.
    peer_disk: Memory,
    /// The newest certified block, as the peers keep it.
    decided: Option<DecidedBlock>,
    mempool: Vec<Vec<u8>>,
    up: bool,
}

impl<M: Machine> Process<M> {
    pub(crate) fn new(machine: fn() -> M, genesis: &Genesis, keys: Vec<SecretKey>) -> Self {
        let ledger = Ledger::new(machine());
        let writes = ledger.genesis(genesis).expect("the genesis suits the machine");
        let (disk, peer_disk) = (Memory::default(), Memory::default());
        disk.apply(&writes).unwrap();
        peer_disk.apply(&writes).unwrap();
        Self {
            machine,
            ledger,
            peer: Ledger::new(machine()),
            id: digest::chain_id(genesis),
            keys,
            disk,
            peer_disk,
            decided: None,
            mempool: Vec::new(),
            up: true,
        }
    }

    /// Certified by more than two thirds, but not always by all.
    fn certify(&self, header: &Header) -> Certificate {
        let block_id = digest::block_id(header);
        let (height, round) = (header.height, Round::ZERO);
        let vote = digest::vote(VoteKind::Precommit, self.id, height, round, Some(block_id));
        let set = validators::at(&self.disk, height).unwrap();
        let power = set.validators.len();
        let enough = if height.0.is_multiple_of(2) { power } else { power * 2 / 3 + 1 };
        let signatures = set
            .validators
            .iter()
            .take(enough)
            .map(|member| {
                let key = self.keys.iter().find(|key| key.address() == member.address).unwrap();
                CommitSignature { signer: key.address(), signature: key.sign(vote) }
            })
            .collect();
        Certificate { height, round, block_id, signatures }
    }

    /// Keeps a certified block over a disk that fails as it is told to.
    fn keep(&self, executed: &Executed, certificate: &Certificate, faults: Faults) -> bool {
        let mut writes = executed.writes.clone();
        let certified = (executed.block.header.clone(), certificate.clone());
        writes.insert(header_key(certified.0.height), Some(encode(&certified)));
        Faulty::new(self.disk.clone(), 0, faults).apply(&writes).is_ok()
    }

    fn certified(&self, height: Height) -> Option<(Header, Certificate)> {
        let bytes = View::get(&self.disk, &header_key(height))?;
        Some(borsh::from_slice(&bytes).unwrap())
    }

    /// The other validator executes the block, and finds the same.
    fn follow(&self, block: &Block) {
        let executed = self.peer.execute(&self.peer_disk, block);
        let executed = executed.expect("another validator accepts the block");
        self.peer_disk.apply(&executed.writes).unwrap();
    }

    fn set_at(&self, height: Height) -> ValidatorSet {
        validators::at(&self.disk, height).unwrap()
    }
}

fn made(executed: Executed) -> Made {
    Made {
        height: executed.block.header.height,
        id: executed.id,
        time: executed.block.header.time,
        outcomes: executed.outcomes,
        transactions: executed.block.transactions,
    }
}

impl<M: Machine> Node for Process<M> {
    fn id(&self) -> ChainId {
        self.id
    }

    fn disk(&self) -> &Memory {
        &self.disk
    }

    fn is_up(&self) -> bool {
        self.up
    }

    fn kill(&mut self) {
        self.up = false;
        self.mempool.clear();
    }

    fn restart(&mut self) -> Option<Made> {
        self.ledger = Ledger::new((self.machine)());
        self.mempool.clear();
        self.up = true;
        let decided = self.decided.clone()?;
        if decided.block.header.height <= self.tip().height {
            return None;
        }
        let executed = self.ledger.execute(&self.disk, &decided.block);
        let executed = executed.expect("a certified block is valid after a restart too");
        assert!(self.keep(&executed, &decided.certificate, Faults::default()));
        Some(made(executed))
    }

    fn sign(&self, key: &SecretKey, signer: IdentityId, call: Vec<u8>, salt: Hash) -> Vec<u8> {
        // As the node's own read side does: the first nonce that neither was used nor waits.
        let waiting: Vec<u64> = self
            .mempool
            .iter()
            .map(|waiting| body_of(waiting))
            .filter(|waiting| waiting.signer == signer)
            .map(|waiting| waiting.nonce)
            .collect();
        let used = Use::of(&self.disk, signer).nonce(0);
        let nonce = (used..).find(|nonce| !waiting.contains(nonce)).unwrap();
        let body = encode(&Transaction {
            chain_id: self.id,
            signer,
            nonce_lane: 0,
            nonce,
            expires: self.tip().time.saturating_add(EXPIRY_MS),
            salt,
            call,
        });
        let signature = key.sign(digest::tx_id(&body).into());
        encode(&SignedTransaction { body, signature })
    }

    fn arrive(&mut self, transaction: Vec<u8>) -> Result<(), Refusal> {
        self.ledger.admit(&self.disk, self.tip().time, &transaction)?;
        self.mempool.push(transaction);
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.mempool.len()
    }

    fn produce(&mut self, time: UnixMillis, crash: Option<CrashAt>) -> Option<Made> {
        let time = time.max(self.tip().time.saturating_add(1));
        if crash == Some(CrashAt::Begin) {
            self.kill();
            return None;
        }
        let waiting = std::mem::take(&mut self.mempool);
        let mut candidates = waiting.iter().cloned();
        let executed =
            self.ledger.build(&self.disk, time, &mut candidates, &|| false).expect("a later time");
        if crash == Some(CrashAt::Built) {
            self.kill();
            return None;
        }
        let certificate = self.certify(&executed.block.header);
        let block = executed.block.clone();
        self.follow(&block);
        self.decided = Some(DecidedBlock { block, certificate: certificate.clone() });
        let faults = match crash {
            Some(CrashAt::Certified) => {
                self.kill();
                return None;
            }
            Some(CrashAt::WriteFailed) => {
                Faults { before_write_per_mille: 1_000, ..Faults::default() }
            }
            Some(CrashAt::Written) => Faults { after_write_per_mille: 1_000, ..Faults::default() },
            _ => Faults::default(),
        };
        let kept = self.keep(&executed, &certificate, faults);
        assert_eq!(kept, faults == Faults::default());
        if crash.is_some() {
            self.kill();
            return (crash != Some(CrashAt::WriteFailed)).then(|| made(executed));
        }
        let included = &executed.block.transactions;
        for transaction in waiting.into_iter().filter(|waiting| !included.contains(waiting)) {
            // What may still enter a later block stays; the rest is refused at the door.
            let _ = self.arrive(transaction);
        }
        Some(made(executed))
    }

    fn roll_back(&mut self, disk: Memory) {
        self.peer_disk = Memory::from(disk.snapshot());
        self.disk = disk;
        self.decided = None;
        self.mempool.clear();
    }

    fn link_head(&self, link: LinkId) -> Option<LinkHead> {
        let view = &self.disk;
        let link = lanes::link(view, link)?;
        let (header, certificate) = self.certified(self.tip().height)?;
        let leaves = lanes::leaf_hashes(view);
        let lanes = lanes::lanes(view, link.id).into_iter().map(|(number, lane)| {
            let position = usize::try_from(lane.position).unwrap();
            let proof = HeadProof {
                header: header.clone(),
                certificate: certificate.clone(),
                index: lane.position,
                count: leaves.len() as u64,
                path: tree::lane_path(&leaves, position),
            };
            ProvedLeaf {
                leaf: lanes::leaf(&link, number, &lane, M::DIRECTION),
                head_proof: proof.encode(),
                taken: lane.taken,
                current_at: lane.current_at,
            }
        });
        let standing = match link.status {
            LinkStatus::Proposed => Standing::Proposed,
            LinkStatus::Paused { until } if until > header.time => Standing::Paused,
            LinkStatus::Open | LinkStatus::Paused { .. } => Standing::Open,
            LinkStatus::Frozen | LinkStatus::Closed => Standing::Shut,
        };
        let head = ChainHead {
            height: header.height,
            block_id: digest::block_id(&header),
            time: header.time,
            validators_root: header.validators_root,
        };
        Some(LinkHead { head, standing, lanes: lanes.collect() })
    }

    fn client(&self, link: LinkId) -> Option<ClientView> {
        let link = lanes::link(&self.disk, link)?;
        Some(LightClient.view(&link.client, self.tip().time).unwrap())
    }

    fn messages(
        &self,
        key: LaneKey,
        epoch: Epoch,
        from: MessageNumber,
        count: u64,
        size: u64,
    ) -> Option<(Vec<Vec<u8>>, RangeProof)> {
        let lane = lanes::lane(&self.disk, key.link, key.lane)?;
        if size > lane.sent.size() || from.0 < lane.taken || from.0 >= size || epoch != lane.epoch {
            return None;
        }
        let limit = usize::try_from(count.min(size - from.0)).unwrap();
        let mut messages = lanes::bodies(&self.disk, key.link, key.lane, epoch, from, limit);
        let mut bytes = 0;
        messages.retain(|message| {
            bytes += message.len();
            bytes <= BATCH_BYTES_MAX
        });
        let nodes = LaneNodes { view: &self.disk, link: key.link, lane: key.lane, epoch };
        let proof = range_proof(&nodes, from.0, messages.len() as u64, size)?;
        Some((messages, proof))
    }

    fn client_update(&self, client: &ClientView) -> Option<Vec<u8>> {
        let tip = self.tip().height;
        let changes = |(header, _): &(Header, Certificate)| {
            header.next_validators_root != header.validators_root
        };
        let since = client.set_since.0.max(1);
        let found =
            (since..=tip.0).filter_map(|height| self.certified(Height(height))).find(changes);
        let newer = (tip > client.height).then(|| self.certified(tip)).flatten();
        let (header, certificate) = found.or(newer)?;
        let next_validators = self.set_at(header.height.next());
        Some(ClientUpdate { header, certificate, next_validators }.encode())
    }

    fn fork(&self) -> Vec<u8> {
        let (header_a, certificate_a) = self.certified(self.tip().height).unwrap();
        let header_b = Header { writes_digest: Hash([0xee; 32]), ..header_a.clone() };
        let certificate_b = self.certify(&header_b);
        let set = self.set_at(header_a.height);
        let (validators_a, validators_b) = (set.clone(), set);
        Misbehaviour {
            header_a,
            certificate_a,
            validators_a,
            header_b,
            certificate_b,
            validators_b,
        }
        .encode()
    }

    fn boxed_clone(&self) -> Box<dyn Node> {
        Box::new(Self {
            machine: self.machine,
            ledger: Ledger::new((self.machine)()),
            peer: Ledger::new((self.machine)()),
            id: self.id,
            keys: self.keys.clone(),
            disk: Memory::from(self.disk.snapshot()),
            peer_disk: Memory::from(self.peer_disk.snapshot()),
            decided: self.decided.clone(),
            mempool: self.mempool.clone(),
            up: self.up,
        })
    }
}

fn body_of(transaction: &[u8]) -> Transaction {
    let signed: SignedTransaction = borsh::from_slice(transaction).unwrap();
    borsh::from_slice(&signed.body).unwrap()
}
