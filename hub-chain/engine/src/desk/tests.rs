//! Tests of the answers, without consensus: over the toy ledger, message by message.

// Not every unit test needs all of the toy.
#[allow(dead_code)]
#[path = "../../tests/it/toy.rs"]
pub(crate) mod toy;

use super::*;
use crate::{application::NoPush, guard::Guard, mempool::Limits};
use arc_malachitebft_app_channel::app::types::core::CommitSignature as Signed;
use std::sync::Mutex;
use tempfile::TempDir;
use tombolo_crypto::digest::VoteKind;
use tombolo_store::Memory;
use tombolo_types::header::Signature;
use toy::{Toy, ToyTransaction, key};

/// A desk of the validator with this key; `members` are the validators.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    store: Memory,
    pub(crate) desk: Desk,
}

pub(crate) fn bench(n: u8, members: &[u8]) -> Bench {
    bench_on(Memory::default(), n, members)
}

fn bench_on(store: Memory, n: u8, members: &[u8]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let toy = Toy::open(Arc::new(store.clone()), members);
    let guard = Guard::open(&folder.path().join("guard")).unwrap();
    let keys = Keys {
        chain: toy.chain_id(),
        key: key(n),
        guard: Arc::new(Mutex::new(guard)),
        shared: Arc::default(),
    };
    let blocks = Blocks::load(Arc::new(store.clone()), toy.tip().height.next()).unwrap();
    let desk = Desk {
        tip: watch::Sender::new(toy.tip()),
        application: Box::new(toy),
        blocks,
        mempool: Mempool::new(Limits::default()),
        keys,
        push: Arc::new(NoPush),
        shared: Arc::default(),
        committed: broadcast::Sender::new(8),
        empty_in_a_row: BLOCKS_UNTIL_REST,
        early: Vec::new(),
    };
    Bench { folder, store, desk }
}

impl Bench {
    /// What the proposer of height and round would stream.
    fn propose(&mut self, height: u64, round: u32) -> Assembled {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.desk.propose(Height(height), round, deadline).unwrap().1.unwrap()
    }

    fn refused(&self) -> u64 {
        self.desk.shared.snapshot(0).proposals_refused_total
    }

    /// Decides the block with the signatures of all members.
    fn decide(&mut self, assembled: &Assembled, members: &[u8]) -> bool {
        let block_id = id(assembled);
        let round = tombolo_types::Round(0);
        let chain = self.desk.chain();
        let vote =
            digest::vote(VoteKind::Precommit, chain, assembled.height, round, Some(block_id));
        let signed =
            members.iter().map(|n| Signed::new(Voter(key(*n).address()), key(*n).sign(vote)));
        let certificate = CommitCertificate {
            height: assembled.height.into(),
            round: Round::ZERO,
            value_id: block_id,
            commit_signatures: signed.collect(),
        };
        self.desk.decide(&certificate).unwrap()
    }
}

fn id(assembled: &Assembled) -> BlockId {
    let block: Block = borsh::from_slice(&assembled.block).unwrap();
    digest::block_id(&block.header)
}

fn proposer_of(desk: &Desk, height: u64, round: u32) -> Address {
    let set = desk.validators(Height(height)).unwrap();
    address_of(set.proposer(Height(height), round).unwrap())
}

/// Of two validators: the one whose turn it is, and the other one.
fn pair(height: u64, round: u32) -> (Bench, Bench) {
    let (a, b) = (bench(1, &[1, 2]), bench(2, &[1, 2]));
    if proposer_of(&a.desk, height, round) == a.desk.keys.address() { (a, b) } else { (b, a) }
}

#[test]
fn a13_the_same_turn_gets_the_same_block_also_after_a_crash() {
    let mut before = bench(1, &[1]);
    let first = before.propose(1, 0);
    before.desk.submit(ToyTransaction::new(7, 0).encode(), false).unwrap();
    assert_eq!(before.propose(1, 0), first);
    let mut after = bench_on(before.store.clone(), 1, &[1]);
    after.desk.submit(ToyTransaction::new(8, 0).encode(), false).unwrap();
    assert_eq!(after.propose(1, 0), first);
    assert_ne!(id(&after.propose(1, 1)), id(&first), "another turn, another block");
    assert_eq!(after.desk.restream(id(&first)), Some(first));
}

#[test]
fn a_block_is_durable_before_consensus_hears_of_it() {
    let (mut proposer, mut other) = pair(1, 0);
    let assembled = proposer.propose(1, 0);
    let value = other.desk.receive(assembled.clone()).unwrap().unwrap();
    assert_eq!(value.validity, Validity::Valid);
    assert_eq!(value.value, Value(id(&assembled)));
    let mut after = bench_on(other.store.clone(), 2, &[1, 2]);
    let told = after.desk.started_round(Height(1)).unwrap();
    assert_eq!(told.iter().map(|value| value.value.0).collect::<Vec<_>>(), [id(&assembled)]);
    assert_eq!(after.desk.started_round(Height(1)).unwrap(), []);
    assert!(after.decide(&assembled, &[1, 2]));
    assert_eq!(after.desk.application.tip().block_id, id(&assembled));
}

#[test]
fn d37_8_2_a_block_of_a_wrong_sender_is_not_looked_at() {
    let (mut proposer, mut other) = pair(1, 0);
    let good = proposer.propose(1, 0);
    let mut forged = Signature([7; 65]);
    forged.0[64] = 27;
    let mine = other.desk.keys.sign_parts(Height(1), 0, id(&good));
    let cases = [
        ("another's signature", Assembled { signature: mine, ..good.clone() }),
        ("no signature at all", Assembled { signature: forged, ..good.clone() }),
        (
            "another's turn",
            Assembled { proposer: other.desk.keys.address(), signature: mine, ..good.clone() },
        ),
        ("another round", Assembled { round: 1, ..good.clone() }),
        ("no block", Assembled { block: vec![1, 2, 3], ..good.clone() }),
        ("trailing bytes", Assembled { block: [&*good.block, &[0]].concat(), ..good.clone() }),
    ];
    for (number, (what, case)) in (1..).zip(cases) {
        assert_eq!(other.desk.receive(case).unwrap(), None, "{what}");
        assert_eq!(other.refused(), number, "{what}");
    }
    assert_eq!(other.store.snapshot().len(), 0);
}

#[test]
fn an_invalid_block_is_voted_down() {
    let (proposer, mut other) = pair(1, 0);
    let mut bad = bench_on(
        Memory::default(),
        if proposer.desk.keys.address() == key(1).address() { 1 } else { 2 },
        &[1, 2],
    )
    .propose(1, 0);
    let mut block: Block = borsh::from_slice(&bad.block).unwrap();
    block.header.log_size = 9;
    bad.block = borsh::to_vec(&block).unwrap();
    bad.signature = proposer.desk.keys.sign_parts(Height(1), 0, digest::block_id(&block.header));
    let value = other.desk.receive(bad).unwrap().unwrap();
    assert_eq!(value.validity, Validity::Invalid);
    assert_eq!(other.refused(), 1);
}

/// A time ahead of one's own clock is no verdict: the block is voted for once its time has come.
#[test]
fn a61_a_block_from_the_future_waits() {
    let (mut proposer, mut other) = pair(1, 0);
    let tip = proposer.desk.application.tip();
    let time = now().saturating_add(900);
    let toy = &mut proposer.desk.application;
    let block = toy.build(time, &mut std::iter::empty(), &|| false).unwrap();
    assert_eq!(tip.height, Height(0));
    let block_id = digest::block_id(&block.header);
    let keys = &proposer.desk.keys;
    let early = Assembled {
        height: Height(1),
        round: 0,
        proposer: keys.address(),
        block: borsh::to_vec(&block).unwrap(),
        signature: keys.sign_parts(Height(1), 0, block_id),
    };
    assert_eq!(other.desk.receive(early.clone()).unwrap(), None);
    assert_eq!(other.desk.started_round(Height(1)).unwrap(), []);
    while now().saturating_add(500) < time {
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = other.desk.started_round(Height(1)).unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].validity, Validity::Valid);
    assert!(other.desk.receive(early).unwrap().is_some(), "streamed again, it is known");
}

#[test]
fn a_block_of_the_next_height_waits_for_its_turn() {
    let mut leader = bench(1, &[1]);
    let mut follower = bench(9, &[1]);
    let first = leader.propose(1, 0);
    assert!(leader.decide(&first, &[1]));
    let second = leader.propose(2, 0);
    assert_eq!(follower.desk.receive(second.clone()).unwrap(), None);
    assert!(follower.desk.receive(first.clone()).unwrap().is_some());
    assert!(follower.decide(&first, &[1]));
    let told = follower.desk.started_round(Height(2)).unwrap();
    assert_eq!(told.iter().map(|value| value.value.0).collect::<Vec<_>>(), [id(&second)]);
    let far = Assembled { height: Height(u64::MAX), ..second };
    assert_eq!(follower.desk.receive(far).unwrap(), None);
    assert!(follower.desk.early.is_empty());
}

#[test]
fn a_decided_block_that_is_not_here_is_not_acknowledged() {
    let (mut proposer, mut other) = pair(1, 0);
    let assembled = proposer.propose(1, 0);
    assert!(!other.decide(&assembled, &[1, 2]));
    assert_eq!(other.desk.application.tip().height, Height(0));
}

#[test]
fn a30_synced_blocks_are_judged_by_their_bytes() {
    let mut leader = bench(1, &[1]);
    let mut joiner = bench(9, &[1]);
    let first = leader.propose(1, 0);
    let voter = Voter(key(1).address());
    let mut synced = |height: u64, bytes: &[u8]| {
        joiner.desk.synced(Height(height), Round::ZERO, voter, bytes).unwrap()
    };
    assert!(matches!(synced(1, b"?"), SyncedValueOutcome::PeerFault));
    assert!(matches!(synced(1, &[&*first.block, &[0]].concat()), SyncedValueOutcome::PeerFault));
    assert!(matches!(synced(2, &first.block), SyncedValueOutcome::PeerFault));
    let too_long = vec![0; BLOCK_ENCODED_MAX + 1];
    assert!(matches!(synced(1, &too_long), SyncedValueOutcome::PeerFault));
    let mut other: Block = borsh::from_slice(&first.block).unwrap();
    other.header.height = Height(7);
    let ahead = borsh::to_vec(&other).unwrap();
    assert!(matches!(synced(7, &ahead), SyncedValueOutcome::LocalTransientError));
    let SyncedValueOutcome::Verdict(value) = synced(1, &first.block) else { panic!() };
    assert_eq!((value.validity, value.value), (Validity::Valid, Value(id(&first))));
    // After a crash consensus names it by id alone.
    let mut after = bench_on(joiner.store.clone(), 9, &[1]);
    assert!(after.decide(&first, &[1]));
}

#[test]
fn a30_any_range_is_answered_within_bounds() {
    let mut leader = bench(1, &[1]);
    for height in 1..=3 {
        let block = leader.propose(height, 0);
        assert!(leader.decide(&block, &[1]));
    }
    for (first, last, expected) in [
        (1, 3, vec![1, 2, 3]),
        (2, u64::MAX, vec![2, 3]),
        (4, 9, vec![]),
        (0, 3, vec![]),
        (3, 1, vec![]),
        (u64::MAX, u64::MAX, vec![]),
        (0, u64::MAX, vec![]),
    ] {
        let values = leader.desk.history(&(Level(first)..=Level(last))).unwrap();
        let heights: Vec<u64> = values.iter().map(|value| value.certificate.height.0).collect();
        assert_eq!(heights, expected, "{first}..={last}");
    }
}

#[test]
fn the_pace_is_chosen_when_a_height_ends() {
    let mut alone = bench(1, &[1]);
    let timing = Timing::default();
    let target = |bench: &mut Bench| bench.desk.next_height().unwrap().1.target_time.unwrap();
    assert_eq!(target(&mut alone), timing.block_at_rest);
    alone.desk.submit(ToyTransaction::new(7, 0).encode(), false).unwrap();
    assert_eq!(target(&mut alone), timing.block_under_load, "something waits");
    let block = alone.propose(1, 0);
    assert!(alone.decide(&block, &[1]));
    assert_eq!(alone.desk.mempool.count(), 0);
    assert_eq!(target(&mut alone), timing.block_under_load, "the last block was not empty");
    for empty in 1..=BLOCKS_UNTIL_REST {
        let expected = target(&mut alone);
        assert_eq!(expected, timing.block_under_load, "{empty} blocks after work");
        let block = alone.propose(1 + u64::from(empty), 0);
        assert!(alone.decide(&block, &[1]));
    }
    assert_eq!(target(&mut alone), timing.block_at_rest);
}
