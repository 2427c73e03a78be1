//! The door of a block: which transactions may enter it at all.

use crate::{
    toy::ToyCall,
    world::{
        Chain, Draft, STEP_MS, World, call_of, delivery, identity, key, other_relayer, owner,
        relayer,
    },
};
use proptest::prelude::*;
use tombolo_ledger::{Call, Parameters, Principal, State, block::InvalidBlock, principal::Use};
use tombolo_types::{
    Class, UnixMillis,
    header::Signature,
    id::ChainId,
    message::Status,
    transaction::{Block, SignedTransaction, TRANSACTION_BYTES_MAX},
};

fn hub() -> Chain<true> {
    Chain::new("hub", 11, &[])
}

fn heavy(weight: u64) -> Call<ToyCall> {
    Call::Own(ToyCall::Heavy { weight })
}

fn door(chain: &Chain<true>, encoded: &[u8]) -> Result<(), Class> {
    Chain::<true>::ledger()
        .admit(&chain.state, chain.time, encoded)
        .map(|_| ())
        .map_err(|refusal| refusal.class)
}

/// What a validator says of a block with this transaction in it.
fn in_a_block(chain: &Chain<true>, encoded: Vec<u8>) -> Class {
    let time = chain.time.saturating_add(250);
    let ledger = Chain::<true>::ledger();
    let empty = ledger.build(&chain.state, time, &mut std::iter::empty(), &|| false).unwrap();
    let block = Block { transactions: vec![encoded], ..empty.block };
    match ledger.execute(&chain.state, &block) {
        Err(InvalidBlock::Inadmissible { position: 0, refusal, .. }) => refusal.class,
        other => panic!("{other:?}"),
    }
}

fn with_status(status: Status) -> Chain<true> {
    let mut chain = hub();
    let mut state = State::new(&chain.state);
    let mut principal = Principal::of(&state, identity(&owner())).unwrap();
    principal.status = status;
    principal.put(&mut state);
    let writes = state.into_writes();
    chain.state.apply(&writes);
    chain
}

/// One class for each fault, the same at the door and in a block. Req: D35-8.1-1
#[test]
fn each_inadmissible_transaction_has_one_class() {
    let chain = hub();
    let draft = || chain.draft(&owner());
    let signed = |draft: Draft| draft.sign(&owner(), &heavy(0));
    let mut bad_signature: SignedTransaction = borsh::from_slice(&signed(draft())).unwrap();
    bad_signature.signature = Signature([0; 65]);
    let next = chain.time.saturating_add(250);
    let longest = Parameters::default().transaction_expiry_max_ms;
    let table = [
        ("too large", vec![0; TRANSACTION_BYTES_MAX + 1], Class::Limit),
        ("nothing", Vec::new(), Class::Format),
        ("a byte more", [signed(draft()), vec![0]].concat(), Class::Format),
        ("no such nonce lane", signed(Draft { nonce_lane: 16, ..draft() }), Class::Format),
        (
            "expires too far ahead",
            signed(Draft { expires: next.saturating_add(longest + 1), ..draft() }),
            Class::Format,
        ),
        (
            "too far ahead and of a stranger",
            Draft { expires: UnixMillis(u64::MAX), signer: identity(&key(99)), ..draft() }
                .sign(&key(99), &heavy(0)),
            Class::Format,
        ),
        ("another chain", signed(Draft { chain_id: ChainId([1; 32]), ..draft() }), Class::Auth),
        ("the zero signature", borsh::to_vec(&bad_signature).unwrap(), Class::Auth),
        ("another key", draft().sign(&relayer(), &heavy(0)), Class::Auth),
        (
            "a stranger",
            Draft { signer: identity(&key(99)), ..draft() }.sign(&key(99), &heavy(0)),
            Class::Ident,
        ),
        ("expired", signed(Draft { expires: next, ..draft() }), Class::Timeout),
        ("above the rate", draft().sign(&owner(), &heavy(10_000)), Class::Limit),
    ];
    for (what, encoded, class) in table {
        assert_eq!(in_a_block(&chain, encoded.clone()), class, "{what}");
        // The door judges by a time that may be earlier by a block.
        if what != "expired" && what != "expires too far ahead" {
            assert_eq!(door(&chain, &encoded), Err(class), "{what} at the door");
        }
    }
    assert_eq!(door(&chain, &signed(draft())), Ok(()));
}

#[test]
fn only_active_identities_may_act() {
    for (status, expected) in [
        (Status::Active, Ok(())),
        (Status::Suspended, Err(Class::Ident)),
        (Status::Revoked, Err(Class::Ident)),
    ] {
        let chain = with_status(status);
        assert_eq!(door(&chain, &chain.transaction(&owner(), &heavy(0))), expected);
    }
}

/// The same bytes on another chain, later, or once more.
#[test]
fn a17_a_transaction_is_good_once_and_on_one_chain() {
    let mut chain = hub();
    let other: Chain<true> = Chain::new("another hub", 11, &[]);
    let transaction = chain.transaction(&owner(), &heavy(0));
    assert_eq!(in_a_block(&other, transaction.clone()), Class::Auth);
    chain.block(vec![transaction.clone()]);
    assert_eq!(in_a_block(&chain, transaction.clone()), Class::Replay);
    assert_eq!(door(&chain, &transaction), Err(Class::Replay));
    chain.time = chain.time.saturating_add(60_000);
    assert_eq!(in_a_block(&chain, transaction), Class::Timeout);
}

/// Each nonce lane counts for itself, and a body signed for one cannot be moved to another.
#[test]
fn a17_nonce_lanes_are_series_of_their_own() {
    let mut chain = hub();
    let draft = |chain: &Chain<true>, nonce_lane, nonce| {
        Draft { nonce_lane, nonce, ..chain.draft(&owner()) }.sign(&owner(), &heavy(0))
    };
    chain.block(vec![draft(&chain, 3, 0), draft(&chain, 0, 0), draft(&chain, 15, 0)]);
    assert_eq!(in_a_block(&chain, draft(&chain, 3, 0)), Class::Replay);
    assert_eq!(in_a_block(&chain, draft(&chain, 3, 2)), Class::State);
    assert_eq!(in_a_block(&chain, draft(&chain, 4, 1)), Class::State);
    chain.block(vec![draft(&chain, 3, 1), draft(&chain, 4, 0)]);
    let moved = draft(&chain, 5, 0);
    let mut signed: SignedTransaction = borsh::from_slice(&moved).unwrap();
    let position = 4 + 32 - 4 + 32;
    assert_eq!(signed.body[position], 5);
    signed.body[position] = 6;
    assert_eq!(in_a_block(&chain, borsh::to_vec(&signed).unwrap()), Class::Auth);
    // The door lets some wait for what comes before them, but not any number.
    assert_eq!(door(&chain, &draft(&chain, 0, 1 + 4_096)), Ok(()));
    assert_eq!(door(&chain, &draft(&chain, 0, 2 + 4_096)), Err(Class::State));
    assert_eq!(door(&chain, &draft(&chain, 0, u64::MAX)), Err(Class::State));
}

/// One identity floods: what it gets in is its burst and its rate, and another one does not notice.
#[test]
fn a50_a_flood_is_bounded_by_burst_and_rate() {
    let (rate, burst) = (100, 1_000);
    let mut chain: Chain<true> =
        Chain::new("hub", 11, &[("rate_per_second", rate), ("rate_burst", burst)]);
    let begin = chain.time;
    let mut spent = 0;
    for _ in 0..12 {
        // Refused or not, each weighs 51: its signature and the work it names.
        let flood = vec![heavy(50); 30];
        let mut candidates = chain.series(&owner(), &flood);
        candidates.push(chain.transaction(&relayer(), &heavy(0)));
        let built = chain.offer(candidates);
        let by_owner =
            built.outcomes.iter().filter(|outcome| outcome.signer == identity(&owner())).count();
        assert_eq!(built.outcomes.len(), by_owner + 1, "the other identity is served");
        spent += by_owner as u64 * 51;
        let most = burst + rate * chain.time.since(begin) / 1_000;
        assert!(spent <= most, "{spent} above {most}");
        // What was regained before the first spending is lost: the bucket was full.
        assert!(spent + 51 + rate * STEP_MS / 1_000 > most, "{spent} leaves room below {most}");
    }
}

/// A refused transaction costs its signer as much as another.
#[test]
fn a50_refusals_are_charged() {
    let mut chain = hub();
    let mut before = Use::of(&chain.state, identity(&owner()));
    let fail = Call::Own(ToyCall::Fail { class: Class::State as u8 });
    assert_eq!(chain.run(&owner(), fail).unwrap_err().class, Class::State);
    let after = Use::of(&chain.state, identity(&owner()));
    assert_eq!(after.nonce(0), before.nonce(0) + 1);
    before.use_nonce(0);
    assert_ne!(after, before, "the nonce is not all that was used");
}

/// A delivery is charged by its certificates at once, and fills the block by its messages.
#[test]
fn a_delivery_fills_a_block_by_its_messages() {
    let mut world = World::with(&[("block_weight_max", 2_000)]);
    world.hub.append(world.link, crate::toy::TAKE, 300);
    world.hub.append(world.link, crate::toy::TAKE, 300);
    let call = |first, count| call_of(delivery(&world.hub, world.link, first, count));
    let mut candidates = vec![world.chain.transaction(&other_relayer(), &call(0, 600))];
    candidates.extend(world.chain.series(&relayer(), &[heavy(1_390), heavy(6)]));
    let built = world.chain.offer(candidates);
    assert_eq!(built.outcomes.len(), 2, "600 messages, 3 for the proof, 1,391; 7 do not fit");
}

proptest! {
    /// However weight and time fall, at most burst and rate are spent, and waiting gives back.
    #[test]
    fn the_rate_is_a_bucket(
        spends in prop::collection::vec((0u64..3_000, 0u64..5_000), 1..40),
        rate in 10u64..5_000,
        burst in 1_000u64..20_000,
    ) {
        let parameters =
            Parameters { rate_per_second: rate, rate_burst: burst, ..Parameters::default() };
        let mut usage = Use::default();
        let mut now = 1_000_000u64;
        // The model holds what may be spent, in thousandths.
        let mut left = burst * 1_000;
        for (weight, wait) in spends {
            now += wait;
            left = (left + wait * rate).min(burst * 1_000);
            let allowed = weight * 1_000 <= left;
            // What was not spent does not move the clock either; the model counts its waiting once.
            prop_assert_eq!(usage.spend(weight, UnixMillis(now), &parameters), allowed);
            if allowed {
                left -= weight * 1_000;
            }
        }
        prop_assert!(!usage.spend(u64::MAX, UnixMillis(u64::MAX), &parameters));
        prop_assert!(usage.spend(burst, UnixMillis(u64::MAX), &parameters));
    }

    /// No bytes make the door panic, and none but signed ones pass.
    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let class = door(&hub(), &bytes);
        prop_assert!(matches!(class, Err(Class::Format | Class::Auth)), "{class:?}");
    }

    /// Any change of any byte of a signed transaction.
    #[test]
    fn a08_no_byte_of_a_transaction_may_change(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let chain = hub();
        let mut encoded = chain.transaction(&owner(), &heavy(0));
        let position = at.index(encoded.len());
        encoded[position] ^= flip;
        let class = door(&chain, &encoded);
        prop_assert!(
            matches!(class, Err(Class::Format | Class::Auth | Class::Ident)),
            "byte {position}: {class:?}"
        );
    }
}

#[test]
fn a_ledger_without_genesis_admits_nothing() {
    let nothing = crate::world::Memory::default();
    let refusal = Chain::<true>::ledger().admit(&nothing, UnixMillis(1), &[]).err().unwrap();
    assert_eq!(refusal.class, Class::State);
}
