//! The application on its store, driven by hand.

use crate::toy::{self, LINK, Party, START, Toy, ToyCall};
use std::{path::Path, sync::Arc};
use tombolo_crypto::digest;
use tombolo_engine::{Application as _, Sequencer, Verdict};
use tombolo_node::{
    application::{LedgerApplication, OpenError},
    chain::{Chain, STORE_SCHEMA},
};
use tombolo_store::{Faults, Faulty, Memory, Sled};
use tombolo_types::{
    Class, Height, UnixMillis,
    header::Genesis,
    id::GlobalId,
    store::Store,
    transaction::{DecidedBlock, SignedTransaction},
};

type Toys = LedgerApplication<Toy>;

fn clock() -> UnixMillis {
    START.saturating_add(1_000)
}

fn open(store: Arc<dyn Store>, genesis: &Genesis) -> Result<Toys, OpenError> {
    let chain = Arc::new(Chain::new(Toy, store));
    LedgerApplication::open(chain, genesis).map(|application| application.with_clock(clock))
}

fn on_disk(folder: &Path) -> Arc<dyn Store> {
    Arc::new(Sled::open(folder, 1 << 20, STORE_SCHEMA).unwrap())
}

fn sequencer(store: Arc<dyn Store>) -> Sequencer<Toys> {
    Sequencer::new(open(store, &toy::genesis(START)).unwrap(), toy::key(1))
}

fn party() -> Party {
    Party::new(2, digest::chain_id(&toy::genesis(START)))
}

fn produce(sequencer: &mut Sequencer<Toys>, blocks: u64) -> DecidedBlock {
    let from = sequencer.application().tip().height.0;
    let times = (1..=blocks).map(|number| START.saturating_add((from + number) * 100));
    times.map(|time| sequencer.produce(time).unwrap()).last().unwrap()
}

#[test]
fn a_restart_over_the_disk_gives_the_same_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let mut party = party();
    let mut first = sequencer(on_disk(folder.path()));
    for text in ["one", "two", "three"] {
        first.submit(party.sign(clock(), ToyCall::Note(text.into()))).unwrap();
        produce(&mut first, 1);
    }
    first.submit(party.sign(clock(), ToyCall::Open)).unwrap();
    produce(&mut first, 2);
    let before = first.application().tip();
    let chain = first.application().chain();
    let (links, records) = (chain.links(), chain.records(0, 500));
    let blocks: Vec<_> =
        (1..=5).map(|height| first.application().decided(Height(height)).unwrap()).collect();
    drop(first);

    let mut again = sequencer(on_disk(folder.path()));
    assert_eq!(again.application().tip(), before);
    let chain = again.application().chain();
    assert_eq!((chain.links(), chain.records(0, 500)), (links, records));
    let decided = |height| again.application().decided(Height(height)).unwrap();
    assert_eq!((1..=5).map(decided).collect::<Vec<_>>(), blocks);
    assert!(blocks.iter().all(Option::is_some));
    again.submit(party.sign(clock(), ToyCall::Say(9))).unwrap();
    assert_eq!(produce(&mut again, 1).block.header.parent, before.block_id);
    assert_eq!(again.application().chain().links().links[0].lanes[1].size, 1);
}

#[test]
fn a58_a_crash_at_any_write_leaves_a_ledger_that_goes_on() {
    for seed in 0..24 {
        let memory = Memory::default();
        let faults =
            Faults { before_write_per_mille: 150, after_write_per_mille: 150, ..Faults::default() };
        let faulty: Arc<dyn Store> = Arc::new(Faulty::new(memory.clone(), seed, faults));
        let opened = open(Arc::clone(&faulty), &toy::genesis(START));
        if let Ok(application) = opened {
            let mut sequencer = Sequencer::new(application, toy::key(1));
            let mut party = party();
            for number in 1..10u64 {
                sequencer.submit(party.sign(clock(), ToyCall::Note("x".into()))).unwrap();
                if sequencer.produce(START.saturating_add(number * 100)).is_err() {
                    break;
                }
            }
        }
        let mut after = sequencer(Arc::new(memory));
        let height = after.application().tip().height;
        assert_eq!(produce(&mut after, 1).block.header.height, height.next());
    }
}

#[test]
fn a_store_of_another_chain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let expected = digest::chain_id(&toy::genesis(UnixMillis(5)));
    drop(sequencer(on_disk(folder.path())));
    let opened = open(on_disk(folder.path()), &toy::genesis(UnixMillis(5)));
    let found = digest::chain_id(&toy::genesis(START));
    assert!(matches!(
        opened.err(),
        Some(OpenError::OtherChain { found: f, expected: e }) if (f, e) == (found, expected)
    ));
}

#[test]
fn a_genesis_of_another_kind_is_refused() {
    let genesis = Genesis { kind: "hub".into(), ..toy::genesis(START) };
    let opened = open(Arc::new(Memory::default()), &genesis);
    assert!(matches!(
        opened.err(),
        Some(OpenError::Genesis(refusal)) if refusal.class == Class::Format
    ));
}

#[test]
fn a_block_without_its_header_is_found_at_opening() {
    let memory = Memory::default();
    let mut sequencer = sequencer(Arc::new(memory.clone()));
    produce(&mut sequencer, 1);
    let mut key = vec![b'c'];
    key.extend(1u64.to_be_bytes());
    Store::apply(&memory, &[(key, None)].into()).unwrap();
    let opened = open(Arc::new(memory), &toy::genesis(START));
    assert!(matches!(opened.err(), Some(OpenError::Torn { height: Height(1), .. })));
}

#[test]
fn committing_the_tip_again_changes_nothing_and_another_block_is_fatal() {
    let memory = Memory::default();
    let mut sequencer = sequencer(Arc::new(memory.clone()));
    sequencer.submit(party().sign(clock(), ToyCall::Note("x".into()))).unwrap();
    let decided = produce(&mut sequencer, 1);
    let mut application = sequencer.into_application();
    let before = memory.snapshot();
    let committed = application.commit(&decided).unwrap();
    assert_eq!(committed.tip, application.tip());
    assert_eq!(committed.transactions.len(), 1);
    assert_eq!(memory.snapshot(), before);

    let mut gap = decided.clone();
    gap.block.header.height = Height(3);
    assert!(application.commit(&gap).is_err());
    // A decided block whose execution leads elsewhere: this node must not go on.
    let mut other =
        application.build(START.saturating_add(500), &mut std::iter::empty(), &|| false).unwrap();
    other.header.log_size += 1;
    let certificate = decided.certificate.clone();
    let fatal = application.commit(&DecidedBlock { block: other, certificate }).unwrap_err();
    assert!(fatal.to_string().contains("cannot execute it"), "{fatal}");
    assert_eq!(memory.snapshot(), before);
}

#[test]
fn a_block_is_known_by_all_its_bytes_not_by_its_header_alone() {
    let mut sequencer = sequencer(Arc::new(Memory::default()));
    let transaction = party().sign(clock(), ToyCall::Note("x".into()));
    let application = sequencer.application_mut();
    let mut offered = std::iter::once(transaction.clone());
    let block = application.build(START.saturating_add(100), &mut offered, &|| false).unwrap();
    assert_eq!(application.check(&block).unwrap(), Verdict::Valid);
    let mut twin = block.clone();
    twin.transactions.clear();
    let verdict = application.check(&twin).unwrap();
    assert!(matches!(verdict, Verdict::Invalid(refusal) if refusal.class == Class::Proof));
    assert_eq!(application.check(&block).unwrap(), Verdict::Valid);
}

#[test]
fn receipts_tell_how_each_transaction_ended() {
    let mut sequencer = sequencer(Arc::new(Memory::default()));
    let mut party = party();
    let good = sequencer.submit(party.sign(clock(), ToyCall::Note("x".into()))).unwrap();
    let bad = sequencer.submit(party.sign(clock(), ToyCall::Fail)).unwrap();
    let chain = Arc::clone(sequencer.application().chain());
    assert_eq!(chain.receipt(good).unwrap(), None);
    assert_eq!(chain.nonces(party.identity()).unwrap()[..2], [2, 0]);
    let decided = produce(&mut sequencer, 1);
    let receipt = chain.receipt(good).unwrap().unwrap();
    assert_eq!((receipt.height, receipt.refusal, receipt.record), (Height(1), None, Some(0)));
    let receipt = chain.receipt(bad).unwrap().unwrap();
    assert_eq!(receipt.refusal.map(|refusal| refusal.class), Some(Class::Denied));
    assert_eq!((receipt.time, receipt.record), (decided.block.header.time, Some(1)));
    assert_eq!(chain.positions(GlobalId(bad.0), 0, 9).unwrap(), [1]);
    assert_eq!(chain.nonces(party.identity()).unwrap()[..2], [2, 0]);
}

#[test]
fn a_nonce_that_left_the_mempool_is_free_again() {
    let mut sequencer = sequencer(Arc::new(Memory::default()));
    let mut party = party();
    let identity = party.identity();
    party.nonce = 1;
    let later = party.sign(clock(), ToyCall::Note("later".into()));
    sequencer.submit(later.clone()).unwrap();
    let chain = Arc::clone(sequencer.application().chain());
    assert_eq!(chain.nonces(identity).unwrap()[0], 0);
    party.nonce = 0;
    sequencer.submit(party.sign(clock(), ToyCall::Note("first".into()))).unwrap();
    assert_eq!(chain.nonces(identity).unwrap()[0], 2);
    // A forged copy does not make the door forget the one that waits.
    let mut forged: SignedTransaction = borsh::from_slice(&later).unwrap();
    forged.signature.0[3] ^= 1;
    let refused = sequencer.submit(borsh::to_vec(&forged).unwrap()).unwrap_err();
    assert_eq!(refused.class, Class::Auth);
    assert_eq!(chain.nonces(identity).unwrap()[0], 2);
    produce(&mut sequencer, 1);
    assert_eq!(chain.nonces(identity).unwrap()[0], 2);
}

#[test]
fn a56_pages_end_at_their_limits() {
    let mut sequencer = sequencer(Arc::new(Memory::default()));
    let mut party = party();
    sequencer.submit(party.sign(clock(), ToyCall::Open)).unwrap();
    for _ in 0..60 {
        sequencer.submit(party.sign(clock(), ToyCall::Say(40_000))).unwrap();
    }
    produce(&mut sequencer, 3);
    for _ in 0..600 {
        sequencer.submit(party.sign(clock(), ToyCall::Note("x".repeat(2_500)))).unwrap();
    }
    produce(&mut sequencer, 3);
    let chain = sequencer.application().chain();
    let all = chain.records(0, u32::MAX);
    assert_eq!(all.log_size, 661);
    assert!(all.records.len() <= 500, "{}", all.records.len());
    let bytes: usize = all.records.iter().map(|(_, record)| record.encode().len()).sum();
    assert!(bytes <= 1 << 20, "{bytes}");
    assert_eq!(chain.records(0, 7).records.len(), 7);
    // Pages join without a gap.
    let mut next = 0;
    while next < all.log_size {
        let page = chain.records(next, 500);
        assert!(
            page.records
                .iter()
                .map(|(position, _)| *position)
                .eq(next..next + page.records.len() as u64)
        );
        next += page.records.len() as u64;
    }
    assert_eq!(chain.log_proof(0, 2_000_000, 0).unwrap_err().class, Class::Format);
    assert_eq!(chain.log_proof(5, 5, 0).unwrap_err().class, Class::Format);
    let links = chain.links();
    let lane = links.links.iter().find(|link| link.id == LINK).unwrap().lanes[1];
    assert_eq!(lane.size, 60);
}
