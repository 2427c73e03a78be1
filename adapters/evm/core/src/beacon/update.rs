//! One finality update: what a sync committee signed, and what follows from it.

use super::{
    bls,
    spec::{EXECUTION_DEPTH, EXECUTION_INDEX, Fork, Spec},
    ssz,
};
use crate::follow::{Block, ensure_not_ahead, time_of};
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis, abi_struct, ensure, id::BlockId, refuse,
};

/// `DOMAIN_SYNC_COMMITTEE`.
const DOMAIN: [u8; 4] = [7, 0, 0, 0];

abi_struct! {
    /// The header of a block of the consensus layer.
    pub struct BeaconHeader {
        /// Its slot.
        pub slot: u64,
        /// Who proposed it.
        pub proposer_index: u64,
        /// The root of the header before.
        pub parent_root: Hash,
        /// The root of the state after it.
        pub state_root: Hash,
        /// The root of its body.
        pub body_root: Hash,
    }
}

impl BeaconHeader {
    /// Its root, by which it is known.
    #[must_use]
    pub fn root(&self) -> Hash {
        let Self { slot, proposer_index, parent_root, state_root, body_root } = self;
        let chunks = [
            ssz::number(*slot),
            ssz::number(*proposer_index),
            *parent_root,
            *state_root,
            *body_root,
        ];
        ssz::root(chunks, 3)
    }
}

abi_struct! {
    /// A member of a sync committee that did not sign.
    pub struct AbsentKey {
        /// Its seat, from 0.
        pub seat: u32,
        /// Its public key, compressed.
        pub key: Vec<u8>,
        /// The way from the key to the root of all keys.
        pub branch: Vec<Hash>,
    }
}

abi_struct! {
    /// A finality update of the light client protocol, as this verifier takes it.
    ///
    /// A committee is known by its root. The sum of its keys is part of the committee itself, so a
    /// proof brings that sum and takes off the keys of those who did not sign, each with its way to
    /// the root of all keys: a few hundred bytes for each absent one, where all keys would be 24,576.
    pub struct SyncUpdate {
        /// What the committee signed.
        pub attested: BeaconHeader,
        /// What is final in the attested state.
        pub finalized: BeaconHeader,
        /// The way from `finalized` to the attested state. It begins with the epoch of the
        /// checkpoint, which stands beside the root.
        pub finality_branch: Vec<Hash>,
        /// The roots of all fields of the execution header of `finalized`, in order.
        pub execution: Vec<Hash>,
        /// The way from the execution header to the body of `finalized`.
        pub execution_branch: Vec<Hash>,
        /// The root of the next sync committee in the attested state; zero where none is brought.
        pub next_committee: Hash,
        /// The way from it to the attested state; empty where none is brought.
        pub next_committee_branch: Vec<Hash>,
        /// The slot of the block that carries the signature.
        pub signature_slot: u64,
        /// The fork version that the signature names.
        pub fork_version: u32,
        /// The aggregate signature, 96 bytes.
        pub signature: Vec<u8>,
        /// The root of the keys of the committee that signed.
        pub keys_root: Hash,
        /// The sum of its keys, compressed.
        pub aggregate_key: Vec<u8>,
        /// Who did not sign, ascending by seat.
        pub absent: Vec<AbsentKey>,
    }
}

/// An update whose form is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formed {
    pub(super) attested: BeaconHeader,
    pub(super) signature_slot: u64,
    pub(super) next_committee: Option<Hash>,
    /// What it says is final.
    pub(super) finalized: Finalized,
    finalized_header: BeaconHeader,
    finality_branch: Vec<Hash>,
    next_committee_branch: Vec<Hash>,
    layout: super::spec::Layout,
    fork_version: u32,
    signature: [u8; 96],
    keys_root: Hash,
    aggregate_key: [u8; 48],
    absent: Vec<Absent>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Absent {
    seat: u32,
    key: [u8; 48],
    branch: Vec<Hash>,
}

/// A block of the consensus layer that is final, with the execution block in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub(super) struct Finalized {
    /// The epoch of the checkpoint; not known of an anchor.
    pub(super) epoch: Option<u64>,
    pub(super) slot: u64,
    pub(super) root: Hash,
    pub(super) block: Block,
}

/// The block that the roots of an execution header's fields tell of, once their root is that in the
/// body of `header`.
///
/// # Errors
/// `E_VERSION` for a slot before Capella; `E_FORMAT`; `E_PROOF`.
pub(super) fn execution_block(
    header: &BeaconHeader,
    fork: Fork,
    execution: &[Hash],
    branch: &[Hash],
) -> Result<Block, Refusal> {
    let slot = header.slot;
    let (fields, depth) = execution_fields(header, fork)?;
    ensure!(
        execution.len() == fields && branch.len() == EXECUTION_DEPTH,
        Format,
        "the execution header of slot {slot} has {} fields and a branch of {}, fork {:#010x} has \
         {fields} and {EXECUTION_DEPTH}",
        execution.len(),
        branch.len(),
        fork.version
    );
    let root = ssz::root(execution.iter().copied(), depth);
    ensure!(
        ssz::branch_root(root, branch, EXECUTION_INDEX) == Some(header.body_root),
        Proof,
        "the execution header of slot {slot} is not in the body with root {}",
        header.body_root
    );
    // Positions in the execution header, the same from Capella to Electra.
    let field = |position: usize| execution.get(position).copied().unwrap_or_default();
    let (number, timestamp) = (ssz::number_in(field(6)), ssz::number_in(field(9)));
    let (Some(number), Some(timestamp)) = (number, timestamp) else {
        refuse!(Proof, "number or time of the execution block of slot {slot} is above 64 bits");
    };
    Ok(Block {
        height: Height(number),
        id: BlockId::from(field(12)),
        time: time_of(timestamp),
        state_root: field(2),
    })
}

/// How many fields the execution header in this header has, and the depth of their tree.
fn execution_fields(header: &BeaconHeader, fork: Fork) -> Result<(usize, u32), Refusal> {
    match fork.layout.execution_fields() {
        Some(fields) => Ok(fields),
        None => refuse!(
            Version,
            "slot {} is of fork {:#010x}, whose headers tell a light client of no execution block",
            header.slot,
            fork.version
        ),
    }
}

impl Formed {
    /// Reads an update.
    ///
    /// # Errors
    /// `E_VERSION`, `E_FORMAT`; `E_PROOF` for an execution header that is not in its body.
    pub(super) fn of(update: SyncUpdate, spec: &Spec) -> Result<Self, Refusal> {
        let SyncUpdate {
            attested,
            finalized,
            finality_branch,
            execution,
            execution_branch,
            next_committee,
            next_committee_branch,
            signature_slot,
            fork_version,
            signature,
            keys_root,
            aggregate_key,
            absent,
        } = update;
        // A committee signs in the slot after what it attests; its domain is that of the slot before.
        let Some(fork) = spec.fork_at(signature_slot.saturating_sub(1)) else {
            refuse!(Version, "slot {signature_slot} has no fork in the schedule");
        };
        ensure!(
            fork.version == fork_version,
            Version,
            "slot {signature_slot} is signed under fork {fork_version:#010x}, the client's schedule \
             has {:#010x} there; recover it with a newer schedule",
            fork.version
        );
        let forks = (spec.fork_at(attested.slot), spec.fork_at(finalized.slot));
        let (Some(attested_fork), Some(finalized_fork)) = forks else {
            refuse!(Version, "slot {} has no fork in the schedule", finalized.slot);
        };
        execution_fields(&finalized, finalized_fork)?;
        let layout = attested_fork.layout;
        let finality_depth = layout.finalized_index().ilog2();
        ensure!(
            length(&finality_branch) == u64::from(finality_depth),
            Format,
            "the finality branch has {} nodes, fork {:#010x} has {finality_depth}",
            finality_branch.len(),
            attested_fork.version
        );
        let epoch = finality_branch.first().copied().and_then(ssz::number_in);
        let committee_depth = match next_committee {
            Hash::ZERO => 0,
            _ => layout.committee_index().ilog2(),
        };
        ensure!(
            length(&next_committee_branch) == u64::from(committee_depth),
            Format,
            "the branch of the next committee has {} nodes, it must have {committee_depth}",
            next_committee_branch.len()
        );
        let absent = read_absent(absent, spec)?;
        let signature = fixed("signature", &signature)?;
        let aggregate_key = fixed("sum of keys", &aggregate_key)?;
        let block = execution_block(&finalized, finalized_fork, &execution, &execution_branch)?;
        let Some(epoch) = epoch else {
            refuse!(Proof, "the finality branch does not begin with an epoch");
        };
        Ok(Self {
            finalized: Finalized {
                epoch: Some(epoch),
                slot: finalized.slot,
                root: finalized.root(),
                block,
            },
            attested,
            finalized_header: finalized,
            finality_branch,
            next_committee: (!next_committee.is_zero()).then_some(next_committee),
            next_committee_branch,
            layout,
            signature_slot,
            fork_version,
            signature,
            keys_root,
            aggregate_key,
            absent,
        })
    }

    /// Checks that the committee with this root signed it, and that what it brings is in the state
    /// that was signed.
    ///
    /// # Errors
    /// `E_PROOF`.
    pub(super) fn verify(
        &self,
        committee: Hash,
        spec: &Spec,
        now: UnixMillis,
    ) -> Result<(), Refusal> {
        let (attested, finalized) = (self.attested.slot, self.finalized_header.slot);
        ensure!(
            self.signature_slot > attested && attested >= finalized && finalized > 0,
            Proof,
            "slots {}, {attested} and {finalized} of signature, attested and finalised header do \
             not fall",
            self.signature_slot
        );
        let time = time_of(spec.time_of(self.signature_slot));
        ensure_not_ahead(format_args!("slot {}", self.signature_slot), time, now)?;
        self.verify_branches()?;
        let size = spec.preset.committee_size();
        let signed = size.saturating_sub(u32::try_from(self.absent.len()).unwrap_or(size));
        ensure!(
            signed.saturating_mul(3) > size.saturating_mul(2),
            Proof,
            "{signed} of {size} members signed slot {attested}; more than two thirds are needed"
        );
        let root = ssz::node(self.keys_root, ssz::key_root(&self.aggregate_key));
        ensure!(
            root == committee,
            Proof,
            "slot {attested} is signed by the sync committee {root}, the client holds {committee} \
             for slot {}",
            self.signature_slot
        );
        for Absent { seat, key, branch } in &self.absent {
            let index = u64::from(size).saturating_add(u64::from(*seat));
            ensure!(
                ssz::branch_root(ssz::key_root(key), branch, index) == Some(self.keys_root),
                Proof,
                "the key of seat {seat} is not that of the sync committee {committee}"
            );
        }
        let absent = self.absent.iter().map(|absent| &absent.key);
        bls::verify(&self.aggregate_key, absent, self.signing_root(spec), &self.signature).map_err(
            |error| {
                let sentence = format!("the signature over slot {attested} does not hold: {error}");
                Refusal::new(Class::Proof, sentence)
            },
        )
    }

    fn verify_branches(&self) -> Result<(), Refusal> {
        let state = self.attested.state_root;
        let index = self.layout.finalized_index();
        ensure!(
            ssz::branch_root(self.finalized.root, &self.finality_branch, index) == Some(state),
            Proof,
            "the header of slot {} is not final in the state {state} of slot {}",
            self.finalized_header.slot,
            self.attested.slot
        );
        let Some(committee) = self.next_committee else { return Ok(()) };
        let index = self.layout.committee_index().saturating_add(1);
        ensure!(
            ssz::branch_root(committee, &self.next_committee_branch, index) == Some(state),
            Proof,
            "the sync committee {committee} is not the next one in the state {state} of slot {}",
            self.attested.slot
        );
        Ok(())
    }

    /// What the committee signs: the attested header, for this network and fork.
    fn signing_root(&self, spec: &Spec) -> Hash {
        let version = ssz::bytes(&self.fork_version.to_be_bytes());
        let fork_data = ssz::node(version, spec.genesis_validators_root);
        let mut domain = Hash::ZERO;
        for (to, from) in domain.0.iter_mut().zip(DOMAIN.iter().chain(&fork_data.0)) {
            *to = *from;
        }
        ssz::node(self.attested.root(), domain)
    }
}

fn read_absent(absent: Vec<AbsentKey>, spec: &Spec) -> Result<Vec<Absent>, Refusal> {
    let (size, depth) = (spec.preset.committee_size(), spec.preset.committee_depth());
    ensure!(
        absent.is_sorted_by(|one, next| one.seat < next.seat)
            && absent.last().is_none_or(|last| last.seat < size),
        Format,
        "the absent members are not in ascending order of seats below {size}"
    );
    absent
        .into_iter()
        .map(|AbsentKey { seat, key, branch }| {
            ensure!(
                length(&branch) == u64::from(depth),
                Format,
                "the branch of seat {seat} has {} nodes, a committee of {size} has {depth}",
                branch.len()
            );
            Ok(Absent { seat, key: fixed("key", &key)?, branch })
        })
        .collect()
}

fn length(branch: &[Hash]) -> u64 {
    u64::try_from(branch.len()).unwrap_or(u64::MAX)
}

fn fixed<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N], Refusal> {
    bytes.try_into().map_err(|_| {
        Refusal::new(Class::Format, format!("a {what} has {N} bytes, this one {}", bytes.len()))
    })
}
