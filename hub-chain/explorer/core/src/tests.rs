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
    let leaves: Vec<Hash> = (0..size).map(|n| digest::record_leaf(&record(n))).collect();
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

#[test]
fn a_part_is_proved_and_not_called_complete() {
    let (bundle, chain) = bundle(23, 7, 9);
    let report = verify(&bundle.encode(), chain).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.first, report.count, report.log_size), (7, 9, 23));
}

/// Req: Y4560-7.1.2-2
#[test]
fn the_first_tampered_record_is_named() {
    let (honest, chain) = bundle(23, 4, 12);
    let fault = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = honest.clone();
        change(&mut bundle);
        verify(&bundle.encode(), chain).unwrap_err()
    };
    let named = |position| Fault::Record { position };
    assert_eq!(fault(&|bundle| bundle.records[3].record.remark.push('!')), named(7));
    assert_eq!(fault(&|bundle| bundle.records.swap(2, 5)), named(6));
    assert_eq!(fault(&|bundle| drop(bundle.records.remove(6))), named(10));
    assert_eq!(fault(&|bundle| bundle.records.insert(1, record(4))), named(5));
    assert_eq!(fault(&|bundle| drop(bundle.records.pop())), named(15));
    assert_eq!(named(7).class(), Class::Tamper);
    let both = fault(&|bundle| {
        bundle.records.remove(6);
        bundle.leaves.remove(6);
    });
    assert_eq!(both.class(), Class::Tamper);
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

proptest! {
    /// Every single changed byte is found. Req: Y4560-7.1.5-2
    #[test]
    fn every_changed_byte_is_found(at: prop::sample::Index, flip in 1u8..) {
        let (bundle, chain) = bundle(5, 1, 3);
        let mut bytes = bundle.encode();
        let position = at.index(bytes.len());
        bytes[position] ^= flip;
        prop_assert!(verify(&bytes, chain).is_err(), "byte {position} of {}", bytes.len());
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
