//! The same block on the same state gives the same bytes on every node.

use crate::{
    toy::{BEGUN, TAKE, ToyCall},
    world::{
        BEGIN, Chain, Draft, Memory, World, call_of, delivery, genesis_of, key, other_relayer,
        owner, relayer, set_of,
    },
};
use proptest::prelude::*;
use tombolo_crypto::digest;
use tombolo_ledger::{
    Call, Parameters,
    block::{self, InvalidBlock, tip},
    validators,
};
use tombolo_types::{
    Class, Hash, Height, UnixMillis,
    header::Header,
    id::{BlockId, ChainId},
    lane::DATA_LANE,
    transaction::Block,
};

fn verdict(chain: &Chain<true>, block: &Block) -> InvalidBlock {
    Chain::<true>::ledger().execute(&chain.state, block).unwrap_err()
}

fn next_block(chain: &Chain<true>, transactions: Vec<Vec<u8>>) -> Block {
    let time = chain.time.saturating_add(250);
    let mut candidates = transactions.into_iter();
    Chain::<true>::ledger().build(&chain.state, time, &mut candidates, &|| false).unwrap().block
}

/// Every word of a header is what execution gives, or the block is not valid.
#[test]
fn a10_no_word_of_a_header_can_be_made_up() {
    let world = World::new();
    let block = next_block(&world.hub, Vec::new());
    let changes: [fn(&mut Header); 15] = [
        |it| it.version += 1,
        |it| it.chain_id = ChainId([1; 32]),
        |it| it.height = it.height.next(),
        |it| it.time = it.time.saturating_add(1),
        |it| it.parent = BlockId([1; 32]),
        |it| it.transactions_root = Hash([1; 32]),
        |it| it.lanes_root = Hash([1; 32]),
        |it| it.log_root = Hash([1; 32]),
        |it| it.log_size += 1,
        |it| it.writes_digest = Hash([1; 32]),
        |it| it.state_root = Hash([1; 32]),
        |it| it.validators_root = Hash([1; 32]),
        |it| it.next_validators_root = Hash([1; 32]),
        |it| it.extensions_root = Hash([1; 32]),
        |it| it.reserved = Hash([1; 32]),
    ];
    for (word, change) in changes.iter().enumerate() {
        let mut forged = block.clone();
        change(&mut forged.header);
        // Another time is another block: it is valid only with the digests of its own.
        match verdict(&world.hub, &forged) {
            InvalidBlock::Differs { claimed, .. } => {
                assert_eq!(claimed, digest::block_id(&forged.header), "word {word}");
            }
            InvalidBlock::NotNext { .. } => assert_eq!(word, 4),
            other => panic!("word {word}: {other}"),
        }
    }
}

#[test]
fn a_block_must_follow_its_parent() {
    let mut world = World::new();
    let old = next_block(&world.hub, Vec::new());
    world.hub.block(Vec::new());
    assert!(matches!(verdict(&world.hub, &old), InvalidBlock::NotNext { .. }));
    let ledger = Chain::<true>::ledger();
    for time in [UnixMillis::ZERO, world.hub.time] {
        let built = ledger.build(&world.hub.state, time, &mut std::iter::empty(), &|| false);
        assert!(matches!(built, Err(InvalidBlock::NotNext { .. })));
    }
    let nothing = Memory::default();
    let built = ledger.build(&nothing, BEGIN, &mut std::iter::empty(), &|| false);
    assert!(matches!(built, Err(InvalidBlock::NotNext { .. })));
}

/// A transaction that may not enter makes the whole block invalid, and says which it was.
#[test]
fn an_inadmissible_transaction_voids_its_block() {
    let chain: Chain<true> = Chain::new("hub", 11, &[]);
    let call = Call::Own(ToyCall::Heavy { weight: 0 });
    let mut transactions = chain.series(&owner(), &vec![call; 3]);
    let block = next_block(&chain, transactions.clone());
    transactions.swap(1, 2);
    let swapped = Block { transactions: transactions.clone(), ..block.clone() };
    match verdict(&chain, &swapped) {
        InvalidBlock::Inadmissible { height, position, refusal } => {
            assert_eq!((height, position, refusal.class), (Height(1), 1, Class::State));
        }
        other => panic!("{other}"),
    }
    transactions.swap(1, 2);
    transactions.pop();
    let short = Block { transactions, ..block };
    assert!(matches!(verdict(&chain, &short), InvalidBlock::Differs { .. }));
}

/// A block weighs at most what is agreed, for the proposer and for the others.
#[test]
fn a_block_above_its_weight_is_invalid() {
    let parameters = [("rate_burst", 10_000_000), ("block_weight_max", 2_000)];
    let chain: Chain<true> = Chain::new("hub", 11, &parameters);
    let heavy = |weight| Call::Own(ToyCall::Heavy { weight });
    let calls = [heavy(999), heavy(999), heavy(0)];
    let transactions = chain.series(&owner(), &calls);
    let block = next_block(&chain, transactions.clone());
    assert_eq!(block.transactions.len(), 2);
    let above = Block { transactions, ..block };
    match verdict(&chain, &above) {
        InvalidBlock::Inadmissible { position, refusal, .. } => {
            assert_eq!((position, refusal.class), (2, Class::Limit));
        }
        other => panic!("{other}"),
    }
}

/// The proposer stops when it is told to.
#[test]
fn the_proposer_stops_filling() {
    let chain: Chain<true> = Chain::new("hub", 11, &[("rate_burst", 10_000_000)]);
    let fail = Call::Own(ToyCall::Fail { class: 14 });
    let transactions = chain.series(&owner(), &vec![fail; 5]);
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    let time = chain.time.saturating_add(1);
    let ledger = Chain::<true>::ledger();
    let built = ledger.build(&chain.state, time, &mut transactions.into_iter(), &stop).unwrap();
    assert_eq!(built.block.transactions.len(), 3);
}

/// A validator takes what a proposer would have left out: its verdict is about the header that it
/// leads to, not about the transaction's being there.
#[test]
fn a_repeated_delivery_does_not_void_a_block() {
    let mut world = World::new();
    world.hub.append(world.link, TAKE, 3);
    let call = call_of(delivery(&world.hub, world.link, 0, 3));
    let both = vec![
        world.chain.transaction(&relayer(), &call),
        world.chain.transaction(&other_relayer(), &call),
    ];
    let time = world.chain.time.saturating_add(250);
    let ledger = Chain::<false>::ledger();
    let mut candidates = both.clone().into_iter();
    let one = ledger.build(&world.chain.state, time, &mut candidates, &|| false).unwrap();
    assert_eq!(one.block.transactions, both[..1]);
    let block = Block { transactions: both, ..one.block };
    let verdict = ledger.execute(&world.chain.state, &block).unwrap_err();
    assert!(matches!(verdict, InvalidBlock::Differs { .. }), "{verdict}");
}

/// Sets of validators certify from their first height on, and headers name them one block ahead.
#[test]
fn validators_change_at_their_height() {
    let mut chain: Chain<true> = Chain::new("hub", 11, &[]);
    let set = |height, validator| ToyCall::SetValidators(set_of(height, validator));
    chain.call(set(4, 21)).unwrap();
    // At the height of the block that sets it, or below, a set comes too late; above, it may still
    // be replaced.
    assert_eq!(chain.call(set(2, 22)).unwrap_err().class, Class::State);
    chain.call(set(4, 23)).unwrap();
    let (header, _) = chain.newest.clone().unwrap();
    assert_eq!(header.height, Height(3));
    let root = |height, validator| digest::validators_root(&set_of(height, validator));
    assert_eq!(header.validators_root, root(1, 11));
    assert_eq!(header.next_validators_root, root(4, 23));
    chain.validator = 23;
    chain.block(Vec::new());
    let (header, _) = chain.newest.clone().unwrap();
    assert_eq!(header.validators_root, root(4, 23));
    assert_eq!(header.next_validators_root, root(4, 23));
    let at = |height| validators::at(&chain.state, Height(height));
    assert_eq!(at(0), None);
    assert_eq!(at(3), Some(set_of(1, 11)));
    assert_eq!(at(u64::MAX), Some(set_of(4, 23)));
    assert_eq!(validators::changes(&chain.state), [Height(1), Height(4)]);
    let mut none = set_of(9, 24);
    none.validators.clear();
    assert_eq!(chain.call(ToyCall::SetValidators(none)).unwrap_err().class, Class::Format);
}

/// Every block of one's own is found at its height, and nothing above.
#[test]
fn history_knows_every_height() {
    let mut chain: Chain<true> = Chain::new("hub", 11, &[]);
    let mut ids = vec![BlockId(chain.id.0)];
    for _ in 0..5 {
        chain.block(Vec::new());
        ids.push(digest::block_id(&chain.newest.as_ref().unwrap().0));
    }
    for (height, id) in (0..).zip(&ids) {
        assert_eq!(block::history(&chain.state, Height(height)), Some(*id));
    }
    assert_eq!(block::history(&chain.state, Height(6)), None);
    let parents: Vec<_> = [chain.newest.as_ref().unwrap().0.parent].into();
    assert_eq!(parents, [ids[4]]);
    assert_eq!(tip(&chain.state).unwrap().height, Height(5));
    assert_eq!(BEGUN.all(&chain.state, usize::MAX).len(), 5);
}

#[test]
fn a_genesis_that_does_not_suit_is_refused() {
    let ledger = Chain::<true>::ledger();
    let good = || genesis_of("toy-hub", "hub", 11, &[]);
    let class = |genesis| ledger.genesis(&genesis).map(|_| ()).map_err(|refusal| refusal.class);
    assert_eq!(class(good()), Ok(()));
    let mut twice = good();
    twice.identities.push(twice.identities[0].clone());
    let mut nobody = good();
    nobody.validators.validators.clear();
    let table = [
        ("version", tombolo_types::header::Genesis { version: 2, ..good() }, Class::Version),
        ("kind", genesis_of("toy-chain", "hub", 11, &[]), Class::Format),
        ("machine", genesis_of("toy-hub", "bad", 11, &[]), Class::Format),
        ("unknown parameter", genesis_of("toy-hub", "hub", 11, &[("speed", 1)]), Class::NotFound),
        ("parameter", genesis_of("toy-hub", "hub", 11, &[("pause_ms", 0)]), Class::Format),
        (
            "parameter twice",
            genesis_of("toy-hub", "hub", 11, &[("pause_ms", 1_000), ("pause_ms", 1_000)]),
            Class::Format,
        ),
        (
            "first height",
            tombolo_types::header::Genesis { validators: set_of(2, 11), ..good() },
            Class::Format,
        ),
        ("no validators", nobody, Class::Format),
        ("an identity twice", twice, Class::Format),
    ];
    for (what, genesis, expected) in table {
        assert_eq!(class(genesis), Err(expected), "{what}");
    }
    let chain: Chain<true> = Chain::new("hub", 11, &[("pause_ms", 1_234)]);
    assert_eq!(Parameters::of(&chain.state).pause_ms, 1_234);
    assert_eq!(block::genesis(&chain.state), Some(chain.genesis));
}

#[derive(Clone, Debug)]
enum Candidate {
    Append(u8),
    Fail(u8),
    Deliver { by_other: bool, first: u64, count: u64 },
    WrongNonce(u64),
    WrongChain,
    Stranger,
    Noise(Vec<u8>),
    Tampered(usize),
}

fn candidate() -> impl Strategy<Value = Candidate> {
    prop_oneof![
        3 => (0u8..3).prop_map(Candidate::Append),
        2 => (1u8..=19).prop_map(Candidate::Fail),
        4 => (any::<bool>(), 0u64..8, 0u64..8).prop_map(|(by_other, first, count)| {
            Candidate::Deliver { by_other, first, count }
        }),
        1 => (0u64..5).prop_map(Candidate::WrongNonce),
        1 => Just(Candidate::WrongChain),
        1 => Just(Candidate::Stranger),
        1 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Candidate::Noise),
        1 => (0usize..150).prop_map(Candidate::Tampered),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is offered, what the proposer builds every other node executes to the same bytes:
    /// refused ones stay in, inadmissible ones and replays stay out. `offer` executes each block
    /// anew from its encoding and compares header, writes and outcomes.
    #[test]
    fn a10_what_is_built_is_what_is_executed(
        blocks in prop::collection::vec(prop::collection::vec(candidate(), 0..8), 1..4),
    ) {
        let mut world = World::new();
        world.hub.append(world.link, TAKE, 7);
        for candidates in blocks {
            let mut nonces = [owner(), relayer(), other_relayer()].map(|key| world.chain.draft(&key).nonce);
            let mut encoded = Vec::new();
            let mut admissible = 0;
            for candidate in candidates {
                let mut signed = |who: usize, call: &Call<ToyCall>| {
                    let key = [owner(), relayer(), other_relayer()][who].clone();
                    let nonce = nonces[who];
                    nonces[who] += 1;
                    Draft { nonce, ..world.chain.draft(&key) }.sign(&key, call)
                };
                let heavy = Call::Own(ToyCall::Heavy { weight: 1 });
                encoded.push(match candidate {
                    Candidate::Append(what) => {
                        admissible += 1;
                        signed(0, &Call::Own(ToyCall::Append {
                            link: world.link,
                            lane: DATA_LANE,
                            what,
                            bytes: 3,
                            not_after: UnixMillis::ZERO,
                        }))
                    }
                    Candidate::Fail(class) => {
                        admissible += 1;
                        signed(0, &Call::Own(ToyCall::Fail { class }))
                    }
                    Candidate::Deliver { by_other, first, count } => {
                        let count = count.min(7 - first.min(7));
                        let delivery = delivery(&world.hub, world.link, first.min(7), count);
                        signed(1 + usize::from(by_other), &call_of(delivery))
                    }
                    Candidate::WrongNonce(ahead) => Draft {
                        nonce: nonces[0] + 1 + ahead,
                        ..world.chain.draft(&owner())
                    }
                    .sign(&owner(), &heavy),
                    Candidate::WrongChain => Draft {
                        chain_id: world.hub.id,
                        ..world.chain.draft(&owner())
                    }
                    .sign(&owner(), &heavy),
                    Candidate::Stranger => Draft {
                        signer: crate::world::identity(&key(99)),
                        ..world.chain.draft(&owner())
                    }
                    .sign(&key(99), &heavy),
                    Candidate::Noise(bytes) => bytes,
                    Candidate::Tampered(position) => {
                        let mut bytes = Draft { nonce: nonces[0], ..world.chain.draft(&owner()) }
                            .sign(&owner(), &heavy);
                        let position = position % bytes.len();
                        bytes[position] ^= 1;
                        bytes
                    }
                });
            }
            let height = tip(&world.chain.state).unwrap().height;
            let built = world.chain.offer(encoded);
            let by_owner = built
                .outcomes
                .iter()
                .filter(|outcome| outcome.signer == crate::world::identity(&owner()))
                .count();
            prop_assert_eq!(by_owner, admissible);
            prop_assert!(built.outcomes.iter().all(|outcome| {
                outcome.refusal.as_ref().is_none_or(|refusal| refusal.class != Class::Replay
                    || outcome.signer == crate::world::identity(&owner()))
            }), "a delivery that raises nothing is left out");
            prop_assert_eq!(built.block.header.height, height.next());
            prop_assert_eq!(built.id, tip(&world.chain.state).unwrap().block_id);
        }
    }
}
