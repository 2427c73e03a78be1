//! A small ledger made by the real rules, its bundle, and everything that can be done to it.

use crate::*;
use proptest::prelude::*;
use tombolo_crypto::{
    digest::{self, VoteKind},
    log::{Nodes, append_tiles, range_proof, root_of},
    secp256k1::SecretKey,
};
use tombolo_types::{
    Class, Hash, Height, LaneNumber, MessageNumber, Power, Round, UnixMillis,
    bundle::{BUNDLE_VERSION, Bundle, ValidatorChange},
    header::{
        Certificate, CommitSignature, Genesis, HEADER_VERSION, Header, Validator, ValidatorSet,
    },
    id::{BlockId, ChainId, DataId, Fingerprint, GlobalId, IdentityId, LinkId, TxId},
    record::{Record, SaltedRecord},
};

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

fn set(first_height: u64, keys: &[SecretKey]) -> ValidatorSet {
    let mut validators: Vec<Validator> =
        keys.iter().map(|key| Validator { address: key.address(), power: Power(1) }).collect();
    validators.sort_by_key(|validator| validator.address);
    ValidatorSet { first_height: Height(first_height), validators }
}

fn certify(header: &Header, keys: &[SecretKey]) -> Certificate {
    let block_id = digest::block_id(header);
    let vote =
        digest::vote(VoteKind::Precommit, header.chain_id, header.height, Round(0), Some(block_id));
    let mut signatures: Vec<CommitSignature> = keys
        .iter()
        .map(|key| CommitSignature { signer: key.address(), signature: key.sign(vote) })
        .collect();
    signatures.sort_by_key(|signature| signature.signer);
    Certificate { height: header.height, round: Round(0), block_id, signatures }
}

fn header(chain: ChainId, height: u64, now: &ValidatorSet, next: &ValidatorSet) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: chain,
        height: Height(height),
        time: UnixMillis(1_000 + height),
        parent: BlockId(chain.0),
        transactions_root: root_of(&[]),
        lanes_root: root_of(&[]),
        log_root: root_of(&[]),
        log_size: 0,
        writes_digest: Hash([9; 32]),
        state_root: Hash::ZERO,
        validators_root: digest::validators_root(now),
        next_validators_root: digest::validators_root(next),
        extensions_root: Hash::ZERO,
        reserved: Hash::ZERO,
    }
}

fn record(number: u64) -> SaltedRecord {
    SaltedRecord {
        salt: Hash([number as u8; 32]),
        record: Record {
            global_id: GlobalId([number as u8; 32]),
            operation: "share".into(),
            outcome: if number % 5 == 4 { Class::ClosedCopy as u8 } else { 0 },
            remark: format!("number {number}"),
            height: Height(number),
            time: UnixMillis(number),
            tx_id: TxId::ZERO,
            link: LinkId::ZERO,
            mode: 1,
            lane: LaneNumber(1),
            number: MessageNumber(number),
            source_chain: ChainId::ZERO,
            source_height: Height(0),
            destination_chain: ChainId::ZERO,
            data_id: DataId::ZERO,
            data_class: 1,
            fingerprint: Fingerprint::ZERO,
            parties: vec![IdentityId([3; 32])],
            policy_hash: Hash::ZERO,
            protocol: "lane".into(),
            relayer: IdentityId::ZERO,
            evidence: Hash::ZERO,
            link_policy: Hash::ZERO,
            unbounded: false,
        },
    }
}

#[derive(Default)]
struct Tiles(std::collections::BTreeMap<(u32, u64), Vec<Hash>>);

impl Nodes for Tiles {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        self.0.get(&(level, index)).cloned()
    }
}

/// A log of `size` records of which `first .. first + count` are in the bundle; the validators
/// change once on the way.
fn bundle(size: u64, first: u64, count: u64) -> (Bundle, ChainId) {
    let (old, new) = ([key(1), key(2), key(3), key(4)], [key(5), key(6), key(7)]);
    let (old_set, new_set) = (set(1, &old), set(6, &new));
    let genesis = Genesis {
        version: HEADER_VERSION,
        kind: "hub".into(),
        name: "test".into(),
        time: UnixMillis(1_000),
        validators: old_set.clone(),
        identities: vec![],
        balances: vec![],
        quorum: 2,
        council: vec![],
        council_threshold: 0,
        hub_anchor: vec![],
        parameters: vec![],
    };
    let chain = digest::chain_id(&genesis);
    let change = header(chain, 5, &old_set, &new_set);
    let leaf = |n| digest::record_leaf(n, digest::record_root(&record(n)));
    let leaves: Vec<Hash> = (0..size).map(leaf).collect();
    let mut tiles = Tiles::default();
    for (n, leaf) in (0..).zip(&leaves) {
        let changed = append_tiles(&tiles, n, *leaf);
        tiles.0.extend(changed.into_iter().map(|(level, index, tile)| ((level, index), tile)));
    }
    let mut head = header(chain, 9, &new_set, &new_set);
    head.log_size = size;
    head.log_root = root_of(&leaves);
    let bundle = Bundle {
        version: BUNDLE_VERSION,
        genesis,
        changes: vec![ValidatorChange {
            certificate: certify(&change, &old[..3]),
            header: change,
            next: new_set,
        }],
        certificate: certify(&head, &new),
        head,
        first,
        end: first + count,
        leaves: leaves[first as usize..(first + count) as usize].to_vec(),
        records: (first..first + count).map(record).collect(),
        range: range_proof(&tiles, first, count, size).unwrap(),
    };
    (bundle, chain)
}

/// Req: Y4560-7.1.2-2
#[test]
fn an_honest_bundle_says_what_it_proves() {
    let (bundle, chain) = bundle(23, 0, 23);
    let report = verify(&bundle.encode(), chain).unwrap();
    assert!(report.is_complete());
    assert_eq!((report.first, report.count, report.validator_changes), (0, 23, 1));
    assert_eq!((report.height, report.time), (Height(9), UnixMillis(1_009)));
    assert_eq!(report.outcomes[&Some(Class::ClosedCopy)], 4);
}

/// What other implementations read, as it stands in the file.
#[test]
fn the_bundle_of_the_vectors_verifies() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/vectors/bundle.json");
    let vector: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let bytes = hex::decode(vector["bytes"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let report = verify(&bytes, vector["genesis"].as_str().unwrap().parse().unwrap()).unwrap();
    assert_eq!((report.first, report.count, report.log_size), (1, 3, 5));
    assert_eq!((report.height, report.validator_changes), (Height(9), 1));
}

#[test]
fn a_part_is_proved_and_not_called_complete() {
    let (bundle, chain) = bundle(23, 7, 9);
    let report = verify(&bundle.encode(), chain).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.first, report.count, report.log_size), (7, 9, 23));
}

/// Whether leaves go where their records go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    Along,
    Behind,
}

/// The bundle whose slots hold the records of these slots of the honest one.
fn arranged(honest: &Bundle, slots: &[usize], leaves: Leaves) -> Bundle {
    let mut bundle = honest.clone();
    bundle.records = slots.iter().map(|slot| honest.records[*slot].clone()).collect();
    if leaves == Leaves::Along {
        bundle.leaves = slots.iter().map(|slot| honest.leaves[*slot]).collect();
    }
    bundle
}

/// The first slot that holds another record than it did, and what must be said of it.
fn expected(honest: &Bundle, slots: &[usize]) -> Fault {
    let count = honest.records.len();
    let moved = slots.iter().zip(0..count).find(|(slot, place)| *slot != place);
    let at = |slot: usize| honest.first + slot as u64;
    let (slot, tampering) = match moved {
        Some((found, place)) => (place, Tampering::Replaced { found: at(*found) }),
        None if slots.len() < count => (slots.len(), Tampering::Missing),
        None => (count, Tampering::Surplus),
    };
    Fault::Record { position: at(slot), tampering }
}

fn names_the_first(honest: &Bundle, chain: ChainId, slots: &[usize]) {
    for leaves in [Leaves::Along, Leaves::Behind] {
        let bundle = arranged(honest, slots, leaves);
        let fault = verify(&bundle.encode(), chain).unwrap_err();
        assert_eq!(fault, expected(honest, slots), "{slots:?}, leaves {leaves:?}");
        assert_eq!(fault.class(), Class::Tamper);
    }
}

/// Each record dropped, each put before each other, each two swapped; the leaves with them or not.
///
/// Req: Y4560-7.1.2-2
#[test]
fn the_first_dropped_repeated_or_reordered_record_is_named() {
    let (honest, chain) = bundle(23, 4, 12);
    let all: Vec<usize> = (0..12).collect();
    for k in 0..12 {
        let mut dropped = all.clone();
        dropped.remove(k);
        names_the_first(&honest, chain, &dropped);
        for other in 0..12 {
            let mut repeated = all.clone();
            repeated.insert(other, k);
            names_the_first(&honest, chain, &repeated);
            let mut swapped = all.clone();
            swapped.swap(k, other);
            if swapped != all {
                names_the_first(&honest, chain, &swapped);
            }
        }
        names_the_first(&honest, chain, &[all.as_slice(), &[k]].concat());
    }
}

/// Req: Y4560-7.1.2-2
#[test]
fn the_first_altered_record_is_named() {
    let (honest, chain) = bundle(23, 4, 12);
    for slot in 0..12 {
        let altered = Fault::Record { position: 4 + slot as u64, tampering: Tampering::Altered };
        let mut record = honest.clone();
        record.records[slot].record.remark.push('!');
        let mut salt = honest.clone();
        salt.records[slot].salt.0[31] ^= 1;
        let mut leaf = honest.clone();
        leaf.leaves[slot].0[0] ^= 1;
        for bundle in [record, salt, leaf] {
            assert_eq!(verify(&bundle.encode(), chain), Err(altered.clone()));
        }
    }
}

/// A forger who makes leaf and record anew, or who moves the ends with what was cut off, is known
/// by the root alone: which has one word for the whole range.
///
/// Req: Y4560-7.1.2-2
#[test]
fn what_is_forged_with_its_leaf_is_refused_as_a_range() {
    let (honest, chain) = bundle(23, 4, 12);
    let mut forged = honest.clone();
    forged.records[3].record.remark.push('!');
    forged.leaves[3] = digest::record_leaf(7, digest::record_root(&forged.records[3]));
    let mut shorter = arranged(&honest, &(0..11).collect::<Vec<_>>(), Leaves::Along);
    shorter.end -= 1;
    let mut later = arranged(&honest, &(1..12).collect::<Vec<_>>(), Leaves::Along);
    later.first += 1;
    let mut inverted = arranged(&honest, &[], Leaves::Along);
    inverted.first = inverted.end + 1;
    for (bundle, first, end) in
        [(forged, 4, 16), (shorter, 4, 15), (later, 5, 16), (inverted, 17, 16)]
    {
        let fault = verify(&bundle.encode(), chain).unwrap_err();
        assert!(
            matches!(fault, Fault::Range { first: f, end: e, .. } if (f, e) == (first, end)),
            "{fault}"
        );
        assert_eq!(fault.class(), Class::Tamper);
    }
}

#[test]
fn another_genesis_is_refused() {
    let (bundle, chain) = bundle(3, 0, 3);
    let other = ChainId([1; 32]);
    let fault = verify(&bundle.encode(), other).unwrap_err();
    assert_eq!(fault, Fault::Genesis { found: chain, expected: other });
}

/// The old set cannot be left out, and a third of it cannot name the next. Attack A28.
#[test]
fn a28_the_walk_of_validator_sets_cannot_be_cut_short() {
    let (honest, chain) = bundle(3, 0, 3);
    let mut skipped = honest.clone();
    skipped.changes.clear();
    let mut thin = honest.clone();
    thin.changes[0].certificate.signatures.truncate(2);
    let mut twice = honest.clone();
    twice.changes.push(honest.changes[0].clone());
    for broken in [skipped, thin, twice] {
        let fault = verify(&broken.encode(), chain).unwrap_err();
        assert_eq!(fault.class(), Class::Proof, "{fault}");
    }
}

/// Every single byte, each changed in one bit and in all. Req: Y4560-7.1.5-2
#[test]
fn every_changed_byte_is_found() {
    let (bundle, chain) = bundle(5, 1, 3);
    let honest = bundle.encode();
    for position in 0..honest.len() {
        for flip in [1 << (position % 8), 0xff] {
            let mut bytes = honest.clone();
            bytes[position] ^= flip;
            assert!(verify(&bytes, chain).is_err(), "byte {position} of {}", honest.len());
        }
    }
}

proptest! {
    /// However the records are arranged, the first slot that holds another one is named.
    #[test]
    fn any_other_arrangement_is_named(slots in prop::collection::vec(0usize..9, 0..12)) {
        let (honest, chain) = bundle(14, 3, 9);
        prop_assume!(slots != (0..9).collect::<Vec<_>>());
        names_the_first(&honest, chain, &slots);
    }

    #[test]
    fn cut_or_longer_files_are_refused(cut: prop::sample::Index, more in prop::collection::vec(any::<u8>(), 1..64)) {
        let (bundle, chain) = bundle(5, 1, 3);
        let bytes = bundle.encode();
        let is_format = |bytes: &[u8]| {
            matches!(verify(bytes, chain), Err(Fault::Format { .. }))
        };
        prop_assert!(is_format(&bytes[..cut.index(bytes.len())]));
        prop_assert!(is_format(&[bytes, more].concat()));
    }

    /// Attack A53: strangers' bytes give a fault, never a panic.
    #[test]
    fn a53_any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(verify(&bytes, ChainId::ZERO).is_err());
    }
}
