//! Prepare, commit and abort over a proved lane.

use crate::{
    harness::{delivery, identity, relay},
    world::{
        ASSET, ELSEWHERE, FUNDS, World, data_id, device, move_in, move_out, neighbour, owner, pay,
        prepare, reading, relayer, submit, write,
    },
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_islet_core::{Hold, IsletCall, Standing, account, item, locks, participant};
use tombolo_ledger::{Call, lanes};
use tombolo_swap::two_phase::Standing as Phase;
use tombolo_types::{
    Address, Amount, Class, UnixMillis,
    action::{self, Action, MoveIn, Pay, Write},
    header::Signature,
    id::{DataId, Fingerprint, Xid},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, DataClass, Decision, IdentityUpdate},
};

fn by(key: SecretKey) -> (Address, SecretKey) {
    (key.address(), key)
}

fn paying(amount: u128) -> [Action; 1] {
    [Action::Pay(pay(&owner(), &neighbour(), amount))]
}

/// A closed item of the owner's on the islet.
fn closed(world: &mut World, local_id: &str) -> DataId {
    let envelope = reading(world.islet.id, local_id, 1, DataClass::Closed);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    data_id(&envelope)
}

fn standing(world: &World, id: DataId) -> Standing {
    item(&world.islet.state, id).unwrap().standing
}

/// Req: PRJ-5-1, PRJ-5-2
#[test]
fn a_payment_is_escrowed_at_prepare_and_credited_at_commit() {
    let mut world = World::new(&[]);
    let (xid, vote) = world.vote(1, &paying(300), &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    let held = locks(&world.islet.state, Xid::ZERO, 9);
    assert_eq!((held.len(), held[0].xid), (1, xid));
    assert!(matches!(held[0].held.holds[..], [Hold::Pays { amount: Amount(300), .. }]));
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 1);
    world.decide(xid, true);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    // Twice is once.
    world.decide(xid, true);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    assert_eq!(locks(&world.islet.state, Xid::ZERO, 9), []);
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 0);
    let record = world.islet.last_record("commit");
    assert_eq!((record.protocol.as_str(), record.global_id.0), ("2pc", xid.0));
}

/// Req: PRJ-5-3
#[test]
fn an_abort_gives_everything_back() {
    let mut world = World::new(&[]);
    let id = closed(&mut world, "deed");
    let actions = [
        Action::Pay(pay(&owner(), &neighbour(), 300)),
        Action::MoveOut(move_out(id, &owner(), ELSEWHERE)),
    ];
    let (xid, vote) = world.vote(1, &actions, &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    assert_eq!(standing(&world, id), Standing::Locked(xid));
    world.decide(xid, false);
    assert_eq!((world.funds(), standing(&world, id)), ((FUNDS, FUNDS), Standing::Live));
    assert_eq!(locks(&world.islet.state, Xid::ZERO, 9), []);
}

/// Req: PRJ-5-1
#[test]
fn a_locked_item_refuses_other_work() {
    let mut world = World::new(&[]);
    let id = closed(&mut world, "deed");
    let moving = [Action::MoveOut(move_out(id, &owner(), ELSEWHERE))];
    let (xid, vote) = world.vote(1, &moving, &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    let (_, second) = world.vote(2, &moving, &[by(owner())]);
    assert_eq!((second.yes, second.class), (false, Class::State as u8));
    let next = reading(world.islet.id, "deed", 2, DataClass::Closed);
    assert_eq!(world.call(&device(), submit(&next, &device())).unwrap_err().class, Class::State);
    world.decide(xid, true);
    assert_eq!(standing(&world, id), Standing::Moved { to: ELSEWHERE, xid });
    assert_eq!(item(&world.islet.state, id).unwrap().envelope, []);
    assert_eq!(world.call(&device(), submit(&next, &device())).unwrap_err().class, Class::State);
}

/// An id that a commit may bring is kept for it.
#[test]
fn a_reserved_id_refuses_other_work() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "log", 1, DataClass::Open);
    let writing = [Action::Write(write(&envelope, &device(), &owner()))];
    let (xid, vote) = world.vote(1, &writing, &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    let meanwhile = world.call(&device(), submit(&envelope, &device()));
    assert_eq!(meanwhile.unwrap_err().class, Class::State);
    let (_, second) = world.vote(2, &writing, &[by(owner())]);
    assert_eq!((second.yes, second.class), (false, Class::State as u8));
    world.decide(xid, true);
    assert_eq!(standing(&world, data_id(&envelope)), Standing::Live);
    let mut next = envelope.clone();
    next.item_version = 2;
    let writing = [Action::Write(write(&next, &device(), &owner()))];
    let (xid, vote) = world.vote(3, &writing, &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    assert_eq!(standing(&world, data_id(&envelope)), Standing::Locked(xid));
    world.decide(xid, false);
    let kept = item(&world.islet.state, data_id(&envelope)).unwrap();
    assert_eq!((kept.version, kept.standing), (1, Standing::Live));
}

/// Each no names the class that applies, and locks nothing.
#[test]
fn votes_of_no_name_their_class() {
    let mut world = World::new(&[]);
    let here = world.islet.id;
    let id = closed(&mut world, "deed");
    let open = reading(here, "open", 1, DataClass::Open);
    world.call(&device(), submit(&open, &device())).unwrap();
    let coming = |change: fn(&mut MoveIn)| {
        let envelope = reading(ELSEWHERE, "cellar", 1, DataClass::Closed);
        let mut action = move_in(&envelope, &device(), ELSEWHERE, &owner());
        change(&mut action);
        Action::MoveIn(action)
    };
    let writing = |change: fn(&mut Write)| {
        let mut action = write(&reading(here, "log", 1, DataClass::Open), &device(), &owner());
        change(&mut action);
        Action::Write(action)
    };
    let call =
        action::Call { contract: owner().address(), from: owner().address(), payload: Vec::new() };
    let out = |id, from: &SecretKey, to| Action::MoveOut(move_out(id, from, to));
    let paid = |from: &SecretKey, amount| Action::Pay(pay(from, &neighbour(), amount));
    let rows: Vec<(&str, Action, SecretKey, Class)> = vec![
        ("more than there is", paid(&owner(), FUNDS + 1), owner(), Class::Funds),
        ("an amount of zero", paid(&owner(), 0), owner(), Class::Format),
        ("somebody else's signature", paid(&owner(), 1), neighbour(), Class::Auth),
        ("no such item", out(DataId([1; 32]), &owner(), ELSEWHERE), owner(), Class::NotFound),
        ("another holder", out(id, &neighbour(), ELSEWHERE), neighbour(), Class::Denied),
        ("an open item", out(data_id(&open), &owner(), ELSEWHERE), owner(), Class::State),
        ("to this very chain", out(id, &owner(), here), owner(), Class::Format),
        ("a contract", Action::Call(call), owner(), Class::Unsupported),
        (
            "an item that is here",
            {
                let envelope = reading(here, "deed", 1, DataClass::Closed);
                Action::MoveIn(move_in(&envelope, &device(), ELSEWHERE, &owner()))
            },
            owner(),
            Class::State,
        ),
        (
            "another fingerprint",
            coming(|into| into.fingerprint = Fingerprint([1; 32])),
            owner(),
            Class::Tamper,
        ),
        ("another version", coming(|into| into.item_version = 2), owner(), Class::Tamper),
        (
            "bytes that are no envelope",
            coming(|into| into.envelope.push(0)),
            owner(),
            Class::Format,
        ),
        (
            "a signature that is none",
            coming(|into| into.signature = Signature([0; 65])),
            owner(),
            Class::Auth,
        ),
        (
            "another's account",
            coming(|into| into.owner = Default::default()),
            owner(),
            Class::Denied,
        ),
        ("no holder", coming(|into| into.holder = Address::ZERO), owner(), Class::Format),
        (
            "an open item that moves",
            {
                let envelope = reading(ELSEWHERE, "cellar", 1, DataClass::Open);
                Action::MoveIn(move_in(&envelope, &device(), ELSEWHERE, &owner()))
            },
            owner(),
            Class::Tamper,
        ),
        (
            "a write of another owner",
            writing(|write| write.owner = Default::default()),
            owner(),
            Class::Tamper,
        ),
        (
            "a write held by another",
            writing(|write| write.holder = neighbour().address()),
            neighbour(),
            Class::Denied,
        ),
    ];
    for (salt, (what, action, signer, class)) in (10u8..).zip(rows) {
        let authorised: Vec<_> =
            action.takes_from().map(|account| (account, signer)).into_iter().collect();
        let (xid, vote) = world.vote(salt, &[paying(5)[0].clone(), action.clone()], &{
            let mut all = authorised.clone();
            if !all.iter().any(|(account, _)| *account == owner().address()) {
                all.push(by(owner()));
            }
            all
        });
        assert_eq!((vote.yes, vote.class), (false, class as u8), "{what}: {}", vote.message);
        // The payment before it is given back in the same breath.
        assert_eq!(world.funds(), (FUNDS, FUNDS), "{what}");
        assert_eq!(locks(&world.islet.state, Xid::ZERO, 9), [], "{what}");
        assert_eq!(account(&world.islet.state, owner().address()).open_locks, 0);
        let known = participant(&world.islet.state, xid).unwrap();
        assert_eq!(known.standing(), Phase::Refused, "{what}");
    }
    assert_eq!(standing(&world, id), Standing::Live);
}

/// A key of the identity whose account it is may authorise; a rotated one may not.
#[test]
fn an_account_is_spoken_for_by_the_keys_that_are_bound_to_it() {
    let mut world = World::new(&[]);
    let new_key = crate::harness::key(50);
    let (xid, vote) = world.vote(1, &paying(10), &[(owner().address(), new_key.clone())]);
    assert_eq!((vote.yes, vote.class), (false, Class::Auth as u8));
    world.decide(xid, false);
    let keys = vec![new_key.address()];
    world.update(IdentityUpdate { keys, ..crate::world::person(&owner(), owner().address()) });
    let (xid, vote) = world.vote(2, &paying(10), &[(owner().address(), new_key)]);
    assert!(vote.yes, "{}", vote.message);
    world.decide(xid, true);
    assert_eq!(world.funds(), (FUNDS - 10, FUNDS + 10));
}

#[test]
fn open_locks_of_one_account_are_bounded() {
    let mut world = World::new(&[("open_locks_max", 2)]);
    let (first, vote) =
        world.vote(1, &[paying(1)[0].clone(), paying(2)[0].clone()], &[by(owner())]);
    assert!(vote.yes, "two actions of one commit count once");
    assert!(world.vote(2, &paying(1), &[by(owner())]).1.yes);
    let (_, third) = world.vote(3, &paying(1), &[by(owner())]);
    assert_eq!((third.yes, third.class), (false, Class::Limit as u8));
    world.decide(first, false);
    assert!(world.vote(4, &paying(1), &[by(owner())]).1.yes);
}

/// A process that stops after its yes comes back with the lock, and applies the decision.
///
/// Req: PRJ-5-2, Y4560-7.2.4-1
#[test]
fn a40_a_crash_after_the_yes_keeps_the_lock_until_the_decision() {
    for commit in [true, false] {
        for crash_before in 0..3 {
            let mut world = World::new(&[]);
            let id = closed(&mut world, "deed");
            let actions = [
                Action::Pay(pay(&owner(), &neighbour(), 300)),
                Action::MoveOut(move_out(id, &owner(), ELSEWHERE)),
            ];
            if crash_before == 0 {
                world.islet.crash();
            }
            let (xid, vote) = world.vote(1, &actions, &[by(owner())]);
            assert!(vote.yes, "{}", vote.message);
            if crash_before == 1 {
                world.islet.crash();
            }
            assert_eq!(standing(&world, id), Standing::Locked(xid));
            world.decide(xid, commit);
            if crash_before == 2 {
                world.islet.crash();
            }
            // The decision comes again after the crash.
            world.decide(xid, commit);
            let moved = Standing::Moved { to: ELSEWHERE, xid };
            let (funds, end) = match commit {
                true => ((FUNDS - 300, FUNDS + 300), moved),
                false => ((FUNDS, FUNDS), Standing::Live),
            };
            assert_eq!((world.funds(), standing(&world, id)), (funds, end));
        }
    }
}

/// No time, freeze or local transaction releases what was promised.
///
/// Req: PRJ-5-2
#[test]
fn a43_no_lock_is_released_here_while_the_hub_is_away() {
    let mut world = World::new(&[]);
    let id = closed(&mut world, "deed");
    let actions = [
        Action::Pay(pay(&owner(), &neighbour(), 300)),
        Action::MoveOut(move_out(id, &owner(), ELSEWHERE)),
    ];
    let (xid, vote) = world.vote(1, &actions, &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    // Far past the deadline, block after block.
    for _ in 0..20 {
        world.islet.wait(60_000);
    }
    let still = |world: &World| {
        assert_eq!(standing(world, id), Standing::Locked(xid));
        assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
        assert_eq!(participant(&world.islet.state, xid).unwrap().standing(), Phase::Prepared);
    };
    still(&world);
    let escrowed =
        IsletCall::Pay { to: neighbour().address(), asset: ASSET, amount: Amount(FUNDS) };
    assert_eq!(world.call(&owner(), escrowed).unwrap_err().class, Class::Funds);
    still(&world);
    // Healed: the decision is applied in the block that takes it.
    world.decide(xid, true);
    assert_eq!(standing(&world, id), Standing::Moved { to: ELSEWHERE, xid });
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
}

/// A forged decision is not believed: neither by another certificate nor in another's place.
///
/// Req: PRJ-5-2
#[test]
fn a_forged_decision_is_refused_and_the_lock_stays() {
    let mut world = World::new(&[]);
    let (xid, vote) = world.vote(1, &paying(300), &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    world.say(DATA_LANE, &Body::Abort(Decision { xid }));
    let size = lanes::lane(&world.hub.state, world.link, DATA_LANE).unwrap().sent.size();
    let honest = delivery(&world.hub, world.link, DATA_LANE, size - 1, 1);
    let mut forged = honest.clone();
    let commit = tombolo_types::lane::Message::new(
        &Body::Commit(Decision { xid }),
        UnixMillis::ZERO,
        tombolo_types::Hash([7; 32]),
    );
    forged.messages[0] = commit.encode();
    world.islet.time = world.hub.time;
    let refused = world.islet.run(&relayer(), Call::Deliver(Box::new(forged)));
    assert_eq!(refused.unwrap_err().class, Class::Proof);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    world.islet.run(&relayer(), Call::Deliver(Box::new(honest))).unwrap();
    assert_eq!(world.funds(), (FUNDS, FUNDS));
}

/// The lock is out of the state before its effect is in it: nothing is applied twice, in
/// whatever order decisions are repeated and contradicted.
#[test]
fn a16_a_lock_is_used_once_whatever_is_said_again() {
    for decisions in [[true, true, false], [true, false, true], [false, true, false]] {
        let mut world = World::new(&[]);
        let (xid, vote) = world.vote(1, &paying(300), &[by(owner())]);
        assert!(vote.yes, "{}", vote.message);
        for commit in decisions {
            world.decide(xid, commit);
            let expected = if decisions[0] { (FUNDS - 300, FUNDS + 300) } else { (FUNDS, FUNDS) };
            assert_eq!(world.funds(), expected);
            assert_eq!(account(&world.islet.state, owner().address()).open_locks, 0);
        }
        let record = world.islet.last_record(if decisions[2] { "commit" } else { "abort" });
        assert_eq!(record.outcome, 0, "a decision is never refused");
    }
}

/// A decision is taken while everything else is not.
#[test]
fn decisions_pass_where_requests_do_not() {
    let mut world = World::new(&[]);
    let (xid, _) = world.vote(1, &paying(300), &[by(owner())]);
    // Long past any time limit of the message itself.
    let body = Body::Commit(Decision { xid });
    world.say_until(DATA_LANE, &body, UnixMillis(1));
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    assert!(matches!(world.answers().pop(), Some(Body::Done(_))));
}

/// What is settled is forgotten from its deadline on, and refused then; what is locked is not.
#[test]
fn what_is_over_is_forgotten_and_cannot_begin_again() {
    let mut world = World::new(&[]);
    let deadline = world.islet.time.saturating_add(60_000);
    let (xid, request) =
        prepare(world.hub.id, world.link, 1, deadline, &paying(300), &[by(owner())]);
    world.ask(&Body::Prepare(request.clone()));
    world.decide(xid, true);
    assert_eq!(participant(&world.islet.state, xid).unwrap().standing(), Phase::Committed);
    world.islet.time = deadline;
    world.islet.block(Vec::new());
    assert_eq!(participant(&world.islet.state, xid), None);
    let Some(Body::Vote(vote)) = world.ask(&Body::Prepare(request)).pop() else {
        panic!("no vote");
    };
    assert_eq!((vote.yes, vote.class), (false, Class::Timeout as u8));
    assert_eq!(participant(&world.islet.state, xid), None);
    world.decide(xid, true);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
}

/// An item goes and comes back; at no time is it live twice.
///
/// Req: Y4560-6.3-2
#[test]
fn a45_an_item_that_left_comes_back_once_and_as_it_was() {
    let mut world = World::new(&[]);
    let envelope = reading(world.islet.id, "deed", 1, DataClass::Closed);
    let id = closed(&mut world, "deed");
    let back = |envelope| Action::MoveIn(move_in(envelope, &device(), ELSEWHERE, &neighbour()));
    // While it is here, or locked, it cannot come.
    assert!(!world.vote(1, &[back(&envelope)], &[]).1.yes);
    let moving = [Action::MoveOut(move_out(id, &owner(), ELSEWHERE))];
    let (xid, _) = world.vote(2, &moving, &[by(owner())]);
    assert!(!world.vote(3, &[back(&envelope)], &[]).1.yes);
    world.decide(xid, true);
    // Other content under the version that left is no such item.
    let mut other = envelope.clone();
    other.salt = [8; 32];
    assert_eq!(world.vote(4, &[back(&other)], &[]).1.class, Class::Replay as u8);
    let (xid, vote) = world.vote(5, &[back(&envelope)], &[]);
    assert!(vote.yes, "{}", vote.message);
    assert!(!world.vote(6, &[back(&envelope)], &[]).1.yes, "reserved for one commit alone");
    world.decide(xid, true);
    let home = item(&world.islet.state, id).unwrap();
    assert_eq!((home.standing, home.owner), (Standing::Live, identity(&neighbour())));
    // Its former holder cannot move it any more.
    let (_, again) = world.vote(7, &moving, &[by(owner())]);
    assert_eq!((again.yes, again.class), (false, Class::Denied as u8));
}

/// What leaves waits for a fresh view of identities; what stays does not.
#[test]
fn a_move_out_under_a_stale_view_is_voted_down() {
    let mut world = World::new(&[("identity_view_ms", 60_000)]);
    let id = closed(&mut world, "deed");
    world.islet.wait(60_001);
    world.hub.time = world.islet.time;
    let moving = [Action::MoveOut(move_out(id, &owner(), ELSEWHERE))];
    let (_, vote) = world.vote(1, &moving, &[by(owner())]);
    assert_eq!((vote.yes, vote.class), (false, Class::Ident as u8));
    assert!(world.vote(2, &paying(1), &[by(owner())]).1.yes);
    relay(&world.hub, &mut world.islet, world.link, CONTROL_LANE, &relayer()).unwrap();
    assert!(world.vote(3, &moving, &[by(owner())]).1.yes);
}

/// An item follows its owner to the account that is bound anew.
///
/// Req: D35-8.1-2
#[test]
fn an_item_stays_reachable_when_its_owner_is_bound_to_another_account() {
    let mut world = World::new(&[]);
    let id = closed(&mut world, "deed");
    let new_account = crate::harness::key(51);
    world.update(crate::world::person(&owner(), new_account.address()));
    let from_old = [Action::MoveOut(move_out(id, &owner(), ELSEWHERE))];
    assert_eq!(world.vote(1, &from_old, &[by(owner())]).1.class, Class::Denied as u8);
    let from_new = [Action::MoveOut(move_out(id, &new_account, ELSEWHERE))];
    // The identity's own key speaks for the account.
    let (_, vote) = world.vote(2, &from_new, &[(new_account.address(), owner())]);
    assert!(vote.yes, "{}", vote.message);
}

/// A payment to oneself is a payment.
#[test]
fn a_payment_to_oneself_changes_nothing_in_the_end() {
    let mut world = World::new(&[]);
    let to_self = Pay { to: owner().address(), ..pay(&owner(), &neighbour(), 10) };
    let (xid, vote) = world.vote(1, &[Action::Pay(to_self)], &[by(owner())]);
    assert!(vote.yes, "{}", vote.message);
    world.decide(xid, true);
    assert_eq!(world.funds(), (FUNDS, FUNDS));
}
