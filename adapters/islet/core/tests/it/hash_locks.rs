//! Hash locks: boundaries, refusals, who may do what, and for how long a hash is remembered.

use crate::{
    harness::{STEP_MS, identity, key},
    world::{ASSET, FUNDS, World, device, neighbour, other_relayer, owner, pay, person, relayer},
};
use tombolo_crypto::{digest, keccak256::keccak256, secp256k1::SecretKey};
use tombolo_islet_core::{
    HashLockStanding, IsletCall, NewHashLock, account, hash_lock, hash_locks, hash_locks_under,
};
use tombolo_ledger::Call;
use tombolo_types::{
    Address, Amount, Class, Height, Refusal, UnixMillis,
    action::Action,
    id::{AssetId, SecretHash},
    message::{IdentityUpdate, Status},
    swap::Secret,
};

const SECRET: Secret = Secret([0x5e; 32]);
/// How long a lock may last on the islet of these tests.
const LONGEST_MS: u64 = 60_000;

fn hash() -> SecretHash {
    digest::secret_hash(&SECRET)
}

fn world() -> World {
    World::new(&[("swap_deadline_max_ms", LONGEST_MS)])
}

/// The time of the next block, and of the blocks after it.
fn block_in(world: &World, blocks: u64) -> UnixMillis {
    world.islet.time.saturating_add(blocks * STEP_MS)
}

/// 300 for the neighbour, from the owner.
fn new(deadline: UnixMillis) -> NewHashLock {
    NewHashLock {
        hash: hash(),
        recipient: neighbour().address(),
        asset: ASSET,
        amount: Amount(300),
        deadline,
    }
}

fn claim(secret: &[u8]) -> IsletCall {
    IsletCall::HashClaim { hash: hash(), locker: owner().address(), secret: secret.to_vec() }
}

fn refund() -> IsletCall {
    IsletCall::HashRefund { hash: hash(), locker: owner().address() }
}

fn class(done: Result<(), Refusal>) -> Option<Class> {
    done.err().map(|refusal| refusal.class)
}

fn standing(world: &World) -> Option<HashLockStanding> {
    hash_lock(&world.islet.state, hash(), owner().address()).map(|lock| lock.standing)
}

fn locked_until(world: &mut World, deadline: UnixMillis) {
    world.call(&owner(), IsletCall::HashLock(new(deadline))).unwrap();
}

/// Anybody brings the secret, the recipient is paid, and everybody can read it.
///
/// Req: PRJ-5-5, PRJ-5-6, Y4560-7.2.3-2
#[test]
fn a35_whoever_brings_the_secret_the_recipient_is_paid() {
    let mut world = world();
    let deadline = block_in(&world, 10);
    locked_until(&mut world, deadline);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    assert_eq!(standing(&world), Some(HashLockStanding::Open));
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 1);

    world.call(&relayer(), claim(&SECRET.0)).unwrap();
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    let read = hash_locks_under(&world.islet.state, hash(), 9);
    let shown = read.iter().map(|lock| lock.standing).collect::<Vec<_>>();
    assert!(
        matches!(shown[..], [HashLockStanding::Claimed { secret: SECRET, .. }]),
        "the secret is not to be read: {read:?}"
    );
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 0);

    for operation in ["hash-lock", "hash-claim"] {
        let record = world.islet.last_record(operation);
        assert_eq!((record.outcome, record.protocol.as_str()), (0, "htlc"));
        assert_eq!(record.global_id, digest::swap(hash()), "one id on all ledgers");
        for party in [owner(), neighbour()] {
            assert!(record.parties.contains(&identity(&party)), "{record:?}");
        }
    }
}

type Change = fn(&mut NewHashLock, &World);

/// Req: PRJ-5-5
#[test]
fn a_lock_is_refused_with_the_class_that_applies() {
    let cases: [(&str, Change, Class); 12] = [
        ("nothing", |new, _| new.amount = Amount::ZERO, Class::Format),
        ("for nobody", |new, _| new.recipient = Address::ZERO, Class::Format),
        ("for oneself", |new, _| new.recipient = owner().address(), Class::Format),
        ("no hash", |new, _| new.hash = SecretHash::ZERO, Class::Format),
        (
            "a deadline too far away",
            |new, world| new.deadline = block_in(world, 1).saturating_add(LONGEST_MS + 1),
            Class::Limit,
        ),
        ("no end", |new, _| new.deadline = UnixMillis::MAX, Class::Limit),
        ("a deadline now", |new, world| new.deadline = block_in(world, 1), Class::Timeout),
        ("a deadline long ago", |new, _| new.deadline = UnixMillis::ZERO, Class::Timeout),
        ("too much", |new, _| new.amount = Amount(FUNDS + 1), Class::Funds),
        ("what is not there", |new, _| new.asset = AssetId([1; 32]), Class::Funds),
        (
            "nothing, with no end",
            |new, _| {
                new.amount = Amount::ZERO;
                new.deadline = UnixMillis::MAX;
            },
            Class::Format,
        ),
        (
            "too much, too late",
            |new, _| {
                new.amount = Amount(FUNDS + 1);
                new.deadline = UnixMillis::ZERO;
            },
            Class::Timeout,
        ),
    ];
    let mut world = world();
    for (what, change, expected) in cases {
        let mut new = new(block_in(&world, 10));
        change(&mut new, &world);
        assert_eq!(class(world.call(&owner(), IsletCall::HashLock(new))), Some(expected), "{what}");
        assert_eq!(world.islet.last_record("hash-lock").outcome, expected as u8, "{what}");
    }
    let deadline = block_in(&world, 10);
    let without_account = world.call(&device(), IsletCall::HashLock(new(deadline)));
    assert_eq!(class(without_account), Some(Class::NotFound));
    assert_eq!(world.funds(), (FUNDS, FUNDS));
    assert_eq!(hash_locks(&world.islet.state, Default::default(), 9), []);
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 0);
    // The longest that is allowed.
    let deadline = block_in(&world, 1).saturating_add(LONGEST_MS);
    locked_until(&mut world, deadline);
}

/// Strictly before the deadline the secret opens it; in the deadline's own millisecond it does not.
///
/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a20_claim_and_refund_meet_at_the_deadline() {
    // (block time of the attempt less the deadline, claim, refund)
    let table = [
        (-1, None, Some(Class::State)),
        (0, Some(Class::Timeout), None),
        (1, Some(Class::Timeout), None),
    ];
    for (after, claimed, refunded) in table {
        let attempt = |call: IsletCall| {
            let mut world = world();
            let at = block_in(&world, 2);
            locked_until(&mut world, UnixMillis(at.0.checked_add_signed(-after).unwrap()));
            let done = class(world.call(&relayer(), call));
            let (owner, neighbour) = world.funds();
            (done, owner + neighbour == 2 * FUNDS)
        };
        assert_eq!(attempt(claim(&SECRET.0)), (claimed, claimed.is_none()), "claim at {after}");
        assert_eq!(attempt(refund()), (refunded, refunded.is_none()), "refund at {after}");
    }
}

/// In one block, in either order, exactly one of the two happens, and the block's time says which.
#[test]
fn a38_claim_and_refund_in_one_block_exclude_each_other() {
    for over in [false, true] {
        for claim_first in [false, true] {
            let mut world = world();
            let at = block_in(&world, 2);
            locked_until(&mut world, if over { at } else { at.saturating_add(1) });
            let claim = world.islet.transaction(&relayer(), Call::Own(claim(&SECRET.0)));
            let refund = world.islet.transaction(&other_relayer(), Call::Own(refund()));
            let both = if claim_first { vec![claim, refund] } else { vec![refund, claim] };
            let outcomes = world.islet.block(both);
            let done = outcomes.iter().filter(|outcome| outcome.refusal.is_none()).count();
            assert_eq!(done, 1, "over: {over}, claim first: {claim_first}");
            let expected = if over { (FUNDS, FUNDS) } else { (FUNDS - 300, FUNDS + 300) };
            assert_eq!(world.funds(), expected, "over: {over}, claim first: {claim_first}");
        }
    }
}

/// Req: PRJ-5-6
#[test]
fn a36_a_secret_of_another_length_or_hash_function_opens_nothing() {
    let mut world = world();
    let deadline = block_in(&world, 100);
    locked_until(&mut world, deadline);
    for length in [0, 31, 33, 521] {
        let spoilt = vec![0x5e; length];
        assert_eq!(class(world.call(&relayer(), claim(&spoilt))), Some(Class::Proof), "{length}");
    }
    assert_eq!(class(world.call(&relayer(), claim(&[0x5f; 32]))), Some(Class::Proof));
    // A lock under the Keccak-256 of the secret is a lock under another hash, which nothing opens.
    let hash = SecretHash(keccak256(&SECRET.0).0);
    world.call(&owner(), IsletCall::HashLock(NewHashLock { hash, ..new(deadline) })).unwrap();
    let locker = owner().address();
    let call = IsletCall::HashClaim { hash, locker, secret: SECRET.0.to_vec() };
    assert_eq!(class(world.call(&relayer(), call)), Some(Class::Proof));
    assert_eq!(world.funds(), (FUNDS - 600, FUNDS));
}

/// Each ends once.
///
/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a38_what_has_ended_does_not_end_again() {
    let mut claimed = world();
    let deadline = block_in(&claimed, 3);
    assert_eq!(class(claimed.call(&relayer(), claim(&SECRET.0))), Some(Class::NotFound));
    assert_eq!(class(claimed.call(&relayer(), refund())), Some(Class::NotFound));
    let deadline = deadline.saturating_add(2 * STEP_MS);
    locked_until(&mut claimed, deadline);
    claimed.call(&relayer(), claim(&SECRET.0)).unwrap();
    assert_eq!(class(claimed.call(&relayer(), claim(&SECRET.0))), Some(Class::Replay));
    claimed.islet.wait(10 * STEP_MS);
    assert_eq!(class(claimed.call(&relayer(), claim(&SECRET.0))), Some(Class::Replay));
    assert_eq!(class(claimed.call(&relayer(), refund())), Some(Class::State));
    assert_eq!(claimed.funds(), (FUNDS - 300, FUNDS + 300));

    let mut refunded = world();
    let deadline = block_in(&refunded, 2);
    locked_until(&mut refunded, deadline);
    refunded.call(&relayer(), refund()).unwrap();
    assert_eq!(class(refunded.call(&relayer(), refund())), Some(Class::Replay));
    assert_eq!(class(refunded.call(&relayer(), claim(&SECRET.0))), Some(Class::State));
    assert_eq!(refunded.funds(), (FUNDS, FUNDS));
}

/// An account uses a hash once, while it is remembered; a stranger's lock under the same hash is
/// another lock and takes nobody's place.
///
/// Req: PRJ-5-5
#[test]
fn a38_a_hash_is_used_once_and_remembered_for_as_long_as_a_lock_may_last() {
    let mut world = world();
    let deadline = block_in(&world, 4);
    let stranger = NewHashLock { recipient: owner().address(), ..new(deadline) };
    world.call(&neighbour(), IsletCall::HashLock(stranger)).unwrap();
    locked_until(&mut world, deadline);
    let again = |world: &mut World| {
        let deadline = block_in(world, 10);
        class(world.call(&owner(), IsletCall::HashLock(new(deadline))))
    };
    assert_eq!(again(&mut world), Some(Class::Replay));
    world.islet.time = deadline;
    world.call(&relayer(), refund()).unwrap();
    assert_eq!(again(&mut world), Some(Class::Replay));
    // Forgotten in the block whose time has come, and not before.
    world.islet.time = UnixMillis(deadline.0 + LONGEST_MS - STEP_MS - 1);
    assert_eq!(again(&mut world), Some(Class::Replay));
    world.islet.time = UnixMillis(deadline.0 + LONGEST_MS - STEP_MS);
    assert_eq!(again(&mut world), None);
    // An open lock is not forgotten, however old: somebody gives it back.
    let neighbours = hash_lock(&world.islet.state, hash(), neighbour().address()).unwrap();
    assert_eq!(neighbours.standing, HashLockStanding::Open);
    let locker = neighbour().address();
    world.call(&relayer(), IsletCall::HashRefund { hash: hash(), locker }).unwrap();
}

/// Req: PRJ-5-6
#[test]
fn a_secret_can_be_read_for_as_long_as_another_lock_may_be_open() {
    let mut world = world();
    let deadline = block_in(&world, 4);
    locked_until(&mut world, deadline);
    world.call(&relayer(), claim(&SECRET.0)).unwrap();
    let height = |height| HashLockStanding::Claimed { secret: SECRET, height };
    let Some(HashLockStanding::Claimed { height: at, .. }) = standing(&world) else { panic!() };
    world.islet.time = UnixMillis(deadline.0 + LONGEST_MS - 1 - STEP_MS);
    world.islet.wait(0);
    assert_eq!(standing(&world), Some(height(at)));
    assert_ne!(at, Height::ZERO);
    world.islet.wait(1);
    assert_eq!(standing(&world), None);
}

/// Both kinds of lock count against one limit per owner, and an end makes room.
#[test]
fn a34_open_locks_of_an_owner_are_bounded() {
    let mut world = World::new(&[("open_locks_max", 2), ("swap_deadline_max_ms", LONGEST_MS)]);
    let deadline = block_in(&world, 40);
    let nth = |number: u8| {
        let hash = digest::secret_hash(&Secret([number; 32]));
        IsletCall::HashLock(NewHashLock { hash, amount: Amount(1), ..new(deadline) })
    };
    let payment = [Action::Pay(pay(&owner(), &neighbour(), 10))];
    let (xid, vote) = world.vote(1, &payment, &[(owner().address(), owner())]);
    assert!(vote.yes);
    world.call(&owner(), nth(1)).unwrap();
    assert_eq!(class(world.call(&owner(), nth(2))), Some(Class::Limit));
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 2);
    let (_, vote) = world.vote(2, &payment, &[(owner().address(), owner())]);
    assert_eq!((vote.yes, vote.class), (false, Class::Limit as u8));
    world.decide(xid, false);
    world.call(&owner(), nth(2)).unwrap();
    let hash = digest::secret_hash(&Secret([1; 32]));
    let claim = IsletCall::HashClaim { hash, locker: owner().address(), secret: vec![1; 32] };
    world.call(&relayer(), claim).unwrap();
    world.call(&owner(), nth(3)).unwrap();
    // Another owner's locks are its own.
    let theirs = NewHashLock { recipient: owner().address(), ..new(deadline) };
    world.call(&neighbour(), IsletCall::HashLock(theirs)).unwrap();
}

/// Who is revoked still gets back what is its own, by anybody's hand.
///
/// Req: PRJ-5-7
#[test]
fn what_a_revoked_party_locked_comes_back() {
    let mut world = world();
    let deadline = block_in(&world, 3);
    locked_until(&mut world, deadline);
    let revoked = Status::Revoked.number();
    world.update(IdentityUpdate { status: revoked, ..person(&owner(), owner().address()) });
    world.islet.time = deadline;
    let own = world.islet.at_the_door(&owner(), Call::Own(refund()));
    assert_eq!(class(own), Some(Class::Ident));
    world.call(&other_relayer(), refund()).unwrap();
    assert_eq!(world.funds(), (FUNDS, FUNDS));
}

/// Nobody who is unknown brings anything, not even the right secret.
#[test]
fn a_stranger_without_an_identity_claims_nothing() {
    let mut world = world();
    let deadline = block_in(&world, 10);
    locked_until(&mut world, deadline);
    let stranger: SecretKey = key(99);
    let refusal = world.islet.at_the_door(&stranger, Call::Own(claim(&SECRET.0))).unwrap_err();
    assert_eq!(refusal.class, Class::Ident);
}
