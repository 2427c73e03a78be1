//! Proof-of-stake chains made here, by keys that are known: forks that no node at hand has, and what
//! no honest committee signs. Roots are computed as the specification defines them, apart from the
//! verifier's own code.

use blst::min_pk::{AggregatePublicKey, AggregateSignature, SecretKey};
use tombolo_crypto::keccak256::sha256;
use tombolo_evm_core::beacon::{
    BeaconAnchor, BeaconFork, BeaconHeader, Preset, SyncUpdate, serve::Committee,
};
use tombolo_types::{Hash, UnixMillis};

const GENESIS_TIME: u64 = 1_700_000_000;
const SECONDS_PER_SLOT: u64 = 2;
const GENESIS_VALIDATORS_ROOT: Hash = Hash([0x6e; 32]);
const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

fn node(left: Hash, right: Hash) -> Hash {
    sha256(&[left.0, right.0].concat())
}

fn number(number: u64) -> Hash {
    let mut chunk = [0; 32];
    chunk[..8].copy_from_slice(&number.to_le_bytes());
    Hash(chunk)
}

/// All rows of the tree over these chunks, filled up with zeros to a power of two.
fn rows(chunks: &[Hash]) -> Vec<Vec<Hash>> {
    let mut row = chunks.to_vec();
    row.resize(chunks.len().next_power_of_two(), Hash::ZERO);
    let mut rows = vec![row];
    while rows.last().unwrap().len() > 1 {
        let above = rows.last().unwrap().chunks(2).map(|pair| node(pair[0], pair[1])).collect();
        rows.push(above);
    }
    rows
}

fn root(chunks: &[Hash]) -> Hash {
    rows(chunks).last().unwrap()[0]
}

/// The siblings on the way up from a chunk.
fn branch(chunks: &[Hash], position: usize) -> Vec<Hash> {
    let rows = rows(chunks);
    let depth = rows.len() - 1;
    rows.iter().take(depth).enumerate().map(|(level, row)| row[(position >> level) ^ 1]).collect()
}

/// Anything, but always the same.
fn filling(what: &str, position: usize) -> Hash {
    sha256(format!("{what} {position}").as_bytes())
}

/// A committee whose secret keys are known.
#[derive(Clone)]
pub(crate) struct Keys {
    secret: Vec<SecretKey>,
    pub(crate) committee: Committee,
}

impl Keys {
    /// A committee of this size; another for each seed. Members sit in several seats, as on a small
    /// network.
    pub(crate) fn new(seed: u8, size: usize) -> Self {
        let members: Vec<_> = (0..size.min(40))
            .map(|member| {
                SecretKey::key_gen(&[[seed; 16], [member as u8; 16]].concat(), &[]).unwrap()
            })
            .collect();
        let secret: Vec<_> = (0..size).map(|seat| members[seat % members.len()].clone()).collect();
        let keys: Vec<_> = secret.iter().map(|key| key.sk_to_pk().to_bytes()).collect();
        let slices: Vec<_> = keys.iter().map(<[u8; 48]>::as_slice).collect();
        let sum = AggregatePublicKey::aggregate_serialized(&slices, true).unwrap();
        let committee = Committee { keys, aggregate_key: sum.to_public_key().to_bytes() };
        Self { secret, committee }
    }

    /// The aggregate signature of the members whose bit is set.
    fn sign(&self, message: Hash, bits: &[u8]) -> [u8; 96] {
        let set = |seat: &usize| bits[seat / 8] >> (seat % 8) & 1 == 1;
        let signers = (0..self.secret.len()).filter(set);
        let signed: Vec<_> =
            signers.map(|seat| self.secret[seat].sign(&message.0, CIPHERSUITE, &[])).collect();
        let signed: Vec<_> = signed.iter().collect();
        AggregateSignature::aggregate(&signed, false).unwrap().to_signature().to_bytes()
    }
}

/// A final block, as a test wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Final {
    /// The epoch of the checkpoint.
    pub(crate) epoch: u64,
    pub(crate) slot: u64,
    /// The number of the execution block.
    pub(crate) height: u64,
    pub(crate) state_root: Hash,
    /// Makes it another block of the same slot and height.
    pub(crate) branch: u64,
}

impl Final {
    /// The checkpoint of an epoch without missed slots; one execution block a slot.
    pub(crate) fn checkpoint(preset: Preset, epoch: u64) -> Self {
        let slot = epoch * preset.slots_per_epoch().get();
        Self { epoch, slot, height: slot, state_root: Hash([0x57; 32]), branch: 0 }
    }
}

/// A network.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) preset: Preset,
    pub(crate) forks: Vec<BeaconFork>,
}

impl Maker {
    /// A network that has one layout from the beginning.
    pub(crate) fn of(preset: Preset, layout: u8) -> Self {
        Self { preset, forks: vec![BeaconFork { epoch: 0, version: 0x0a00_0001, layout }] }
    }

    fn fork_at(&self, slot: u64) -> &BeaconFork {
        let epoch = slot / self.preset.slots_per_epoch().get();
        self.forks.iter().rev().find(|fork| fork.epoch <= epoch).unwrap()
    }

    /// Seats of a committee.
    pub(crate) fn size(&self) -> usize {
        self.preset.committee_size() as usize
    }

    /// The time of a slot.
    pub(crate) fn time(&self, slot: u64) -> UnixMillis {
        UnixMillis((GENESIS_TIME + slot * SECONDS_PER_SLOT) * 1000)
    }

    /// The roots of the fields of the execution header, and the chunks of the body around it.
    fn body(&self, of: &Final) -> (Vec<Hash>, Vec<Hash>) {
        let fields = if self.fork_at(of.slot).layout == 2 { 15 } else { 17 };
        let mut execution: Vec<_> =
            (0..fields).map(|field| filling("field", field + 100 * of.branch as usize)).collect();
        execution[2] = of.state_root;
        execution[6] = number(of.height);
        execution[9] = number(GENESIS_TIME + of.slot * SECONDS_PER_SLOT);
        execution[12] = sha256(format!("block {} {}", of.height, of.branch).as_bytes());
        let mut body: Vec<_> = (0..16).map(|field| filling("body", field)).collect();
        body[9] = root(&execution);
        (execution, body)
    }

    fn header(&self, slot: u64, state_root: Hash, body_root: Hash) -> BeaconHeader {
        BeaconHeader {
            slot,
            proposer_index: slot % 7,
            parent_root: filling("parent", slot as usize),
            state_root,
            body_root,
        }
    }

    /// The fields of a state that says what is final, and who signs.
    fn state(&self, slot: u64, checkpoint: (u64, Hash), current: Hash, next: Hash) -> Vec<Hash> {
        let fields = if self.fork_at(slot).layout == 4 { 37 } else { 28 };
        let mut state: Vec<_> = (0..fields).map(|field| filling("state", field)).collect();
        state[20] = node(number(checkpoint.0), checkpoint.1);
        state[22] = current;
        state[23] = next;
        state
    }

    /// An anchor at a final block, whose period has this committee.
    pub(crate) fn anchor(&self, of: &Final, current: &Keys) -> BeaconAnchor {
        let (execution, body) = self.body(of);
        let committee = current.committee.root();
        let state = self.state(of.slot, (0, Hash::ZERO), committee, Hash([1; 32]));
        let header = self.header(of.slot, root(&state), root(&body));
        BeaconAnchor {
            evm_chain_id: 1,
            genesis: Hash([0x9e; 32]),
            genesis_time: GENESIS_TIME,
            seconds_per_slot: SECONDS_PER_SLOT,
            genesis_validators_root: GENESIS_VALIDATORS_ROOT,
            preset: self.preset as u8,
            forks: self.forks.clone(),
            root: header_root(&header),
            header,
            execution,
            execution_branch: branch(&body, 9),
            committee,
            committee_branch: branch(&state, 22),
        }
    }

    /// An update in which a committee, but for absent seats, attests a block two epochs above the
    /// final one, and signs in the slot after.
    pub(crate) fn update(
        &self,
        of: &Final,
        signers: &Keys,
        absent: &[usize],
        next: Option<Hash>,
    ) -> SyncUpdate {
        let attested = of.slot + 2 * self.preset.slots_per_epoch().get();
        self.update_at(of, attested, signers, absent, next)
    }

    /// As [`Self::update`], attesting this slot.
    pub(crate) fn update_at(
        &self,
        of: &Final,
        attested: u64,
        signers: &Keys,
        absent: &[usize],
        next: Option<Hash>,
    ) -> SyncUpdate {
        let (execution, body) = self.body(of);
        let finalized = self.header(of.slot, filling("of", of.branch as usize), root(&body));
        let checkpoint = (of.epoch, header_root(&finalized));
        let next_committee = next.unwrap_or(Hash([1; 32]));
        let state = self.state(attested, checkpoint, signers.committee.root(), next_committee);
        let mut finality_branch = vec![number(of.epoch)];
        finality_branch.extend(branch(&state, 20));
        let attested = self.header(attested, root(&state), filling("attested", 0));
        let signature_slot = attested.slot + 1;
        let version = self.fork_at(attested.slot).version;
        let mut bits = vec![0xff; self.size() / 8];
        for seat in absent {
            bits[seat / 8] &= !(1 << (seat % 8));
        }
        let signature = signers.sign(signing_root(&attested, version), &bits);
        SyncUpdate {
            attested,
            finalized,
            finality_branch,
            execution,
            execution_branch: branch(&body, 9),
            next_committee: next.unwrap_or(Hash::ZERO),
            next_committee_branch: next.map_or(vec![], |_| branch(&state, 23)),
            signature_slot,
            fork_version: version,
            signature: signature.to_vec(),
            keys_root: signers.committee.keys_root(),
            aggregate_key: signers.committee.aggregate_key.to_vec(),
            absent: signers.committee.absent(&bits),
        }
    }
}

fn header_root(header: &BeaconHeader) -> Hash {
    let BeaconHeader { slot, proposer_index, parent_root, state_root, body_root } = header;
    root(&[number(*slot), number(*proposer_index), *parent_root, *state_root, *body_root])
}

fn signing_root(attested: &BeaconHeader, version: u32) -> Hash {
    let mut fork = [0; 32];
    fork[..4].copy_from_slice(&version.to_be_bytes());
    let fork_data = node(Hash(fork), GENESIS_VALIDATORS_ROOT);
    let mut domain = [0; 32];
    domain[0] = 7;
    domain[4..].copy_from_slice(&fork_data.0[..28]);
    node(header_root(attested), Hash(domain))
}
