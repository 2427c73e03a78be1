//! Identities over whole blocks: history, keys, accounts, and when a change holds.

use crate::{
    harness::{Chain, bodies, identity, key},
    world::{self, World, class, device},
};
use proptest::prelude::*;
use tombolo_crypto::{digest, secp256k1};
use tombolo_hub::{
    Hub, HubCall,
    govern::{Act, NewIdentity},
    identity::{Binding, What, rotation_digest},
    query,
};
use tombolo_ledger::Call;
use tombolo_types::{
    Address, Class, Height,
    header::Signature,
    id::{ChainId, IdentityId},
    lane::CONTROL_LANE,
    message::{Body, IdentityUpdate, Role, Status},
};

fn status(number: u8, status: Status) -> Act {
    Act::SetStatus { identity: identity(number), status }
}

/// Signs a binding of party `who` with the keys given.
fn binding(
    hub: ChainId,
    chain: ChainId,
    account: Address,
    who: u8,
    nonce: u64,
    keys: (u8, u8),
) -> HubCall {
    let digest = digest::binding(hub, chain, account, identity(who), nonce);
    HubCall::Bind(Box::new(Binding {
        chain,
        account,
        identity_signature: key(keys.0).sign(digest),
        account_signature: key(keys.1).sign(digest),
    }))
}

/// Req: Y4560-7.1.3-2
#[test]
fn old_records_still_resolve_to_the_keys_of_their_time() {
    let mut hub = world::hub(vec![]);
    hub.enact(Act::RegisterIdentity(device(20, 1))).unwrap();
    hub.block(vec![]);
    let registered = hub.height();
    let (id, old, new) = (identity(20), key(20).address(), key(21).address());
    let proof = key(21).sign(rotation_digest(hub.id, id, new, 1));
    hub.run(20, HubCall::RotateKey { old, new, proof }).unwrap();
    let rotated = hub.height().next();
    hub.block(vec![]);
    hub.enact(status(20, Status::Suspended)).unwrap();
    let suspended = hub.height().next();
    hub.block(vec![]);

    let at = |height| query::identity_at(&hub.store, id, height).unwrap();
    assert_eq!(query::identity_at(&hub.store, id, Height(0)), None);
    assert_eq!(at(registered).standing.keys, vec![old]);
    assert_eq!(at(rotated).standing.keys, vec![new]);
    assert_eq!(at(rotated).standing.status, Status::Active);
    assert_eq!(at(suspended).standing.status, Status::Suspended);
    assert_eq!(at(suspended).approvers, vec![identity(1), identity(2)]);
    let history = query::identity_history(&hub.store, id, 0, 10);
    let what: Vec<What> = history.iter().map(|entry| entry.what).collect();
    assert_eq!(what, vec![What::Registered, What::KeyRotated, What::StatusChanged]);
    assert_eq!(tombolo_hub::identity::identity_of_key(&hub.store, old), Some(id));
}

/// A change holds from the next height on: the old key is good in the deciding block, and dead
/// in the next.
#[test]
fn a_rotation_holds_from_the_next_height() {
    let mut hub = world::hub(vec![]);
    let (id, old, new) = (identity(5), key(5).address(), key(55).address());
    let proof = key(55).sign(rotation_digest(hub.id, id, new, 1));
    let rotate = hub.sign(5, Call::Own(HubCall::RotateKey { old, new, proof }));
    let pause = HubCall::Withdraw { xid: tombolo_types::id::Xid([1; 32]) };
    let same_block = hub.sign(5, Call::Own(pause.clone()));
    let outcomes = hub.block(vec![rotate, same_block]);
    assert_eq!(outcomes[0].refusal, None);
    assert_eq!(outcomes[1].refusal.as_ref().unwrap().class, Class::NotFound);
    hub.block(vec![]);
    assert_eq!(class(hub.admission(5, pause.clone())), Some(Class::Auth));
    let by_new_key = hub.sign_as(id, &key(55), Call::Own(pause));
    assert_eq!(class(hub.one(by_new_key)), Some(Class::NotFound));
}

#[test]
fn a_key_never_changes_hands_and_a_proof_never_serves_twice() {
    let mut hub = world::hub(vec![]);
    let id = identity(5);
    let rotate = |old: u8, new: u8, changes: u32, signer: u8| {
        let (old, new) = (key(old).address(), key(new).address());
        let digest = rotation_digest(hub.id, id, new, changes);
        HubCall::RotateKey { old, new, proof: key(signer).sign(digest) }
    };
    let calls = [
        ("a key of another identity", rotate(5, 1, 1, 1), Some(Class::State)),
        ("not signed by the new key", rotate(5, 55, 1, 5), Some(Class::Auth)),
        ("a proof for another time", rotate(5, 55, 0, 55), Some(Class::Auth)),
        ("not one of the old keys", rotate(9, 55, 1, 55), Some(Class::State)),
        ("to the same key", rotate(5, 5, 1, 5), Some(Class::Replay)),
    ];
    for (what, call, expected) in calls {
        assert_eq!(class(hub.run(5, call)), expected, "{what}");
    }
    let mut taken = device(31, 1);
    taken.key = key(2).address();
    assert_eq!(class(hub.enact(Act::RegisterIdentity(taken))), Some(Class::State));
}

/// Req: Y4560-9.2-1, Y4560-9.2-2
#[test]
fn devices_are_unique_have_active_owners_and_are_transferred_by_a_quorum() {
    let mut hub = world::hub(vec![]);
    hub.enact(Act::RegisterIdentity(device(20, 1))).unwrap();
    hub.block(vec![]);
    let register = |number, owner| Act::RegisterIdentity(device(number, owner));
    let odd = |change: fn(&mut NewIdentity)| {
        let mut new = device(22, 1);
        change(&mut new);
        Act::RegisterIdentity(new)
    };
    for (what, act, expected) in [
        ("second registration", register(20, 1), Class::State),
        ("unknown owner", register(21, 77), Class::Ident),
        ("owner is no stakeholder", register(21, 4), Class::Denied),
        ("no role", odd(|new| new.roles = 0), Class::Format),
        ("unknown role", odd(|new| new.roles = 1 << 12), Class::Format),
        ("device and stakeholder", odd(|new| new.roles = 3), Class::Format),
        ("device without owner", odd(|new| new.owner = IdentityId::ZERO), Class::Format),
        ("no name", odd(|new| new.name.clear()), Class::Format),
        ("zero key", odd(|new| new.key = Address::ZERO), Class::Format),
        ("same status", status(20, Status::Active), Class::Replay),
        ("unknown identity", status(99, Status::Active), Class::NotFound),
    ] {
        assert_eq!(class(hub.enact(act)), Some(expected), "{what}");
    }
    let transfer = Act::TransferDevice { device: identity(20), owner: identity(2) };
    hub.enact(transfer.clone()).unwrap();
    assert_eq!(query::devices(&hub.store, identity(1), IdentityId::ZERO, 10), vec![]);
    assert_eq!(query::devices(&hub.store, identity(2), IdentityId::ZERO, 10), vec![identity(20)]);
    assert_eq!(class(hub.enact(transfer)), Some(Class::Replay));
    hub.enact(status(20, Status::Revoked)).unwrap();
    assert_eq!(class(hub.enact(status(20, Status::Active))), Some(Class::State));
}

/// Req: Y4560-7.2.2-1. Bad keys, other hub, other chain, used nonce, replay.
#[test]
fn a47_a_binding_takes_fresh_signatures_of_both_keys() {
    let mut world = World::new();
    let (hub, chain) = (world.hub.id, world.a.id);
    let account = key(90).address();
    let other = ChainId([9; 32]);
    for (what, call, expected) in [
        ("identity key missing", binding(hub, chain, account, 3, 0, (90, 90)), Class::Auth),
        ("account key missing", binding(hub, chain, account, 3, 0, (3, 3)), Class::Auth),
        ("keys swapped", binding(hub, chain, account, 3, 0, (90, 3)), Class::Auth),
        ("for another hub", binding(other, chain, account, 3, 0, (3, 90)), Class::Auth),
        ("a nonce to come", binding(hub, chain, account, 3, 1, (3, 90)), Class::Auth),
        ("an unregistered chain", binding(hub, other, account, 3, 0, (3, 90)), Class::NotFound),
    ] {
        assert_eq!(class(world.hub.run(3, call)), Some(expected), "{what}");
    }
    // Signed for A, sent for B.
    let HubCall::Bind(mut moved) = binding(hub, chain, account, 3, 0, (3, 90)) else { panic!() };
    moved.chain = world.b.id;
    assert_eq!(class(world.hub.run(3, HubCall::Bind(moved))), Some(Class::Auth));

    let good = binding(hub, chain, account, 3, 0, (3, 90));
    assert_eq!(class(world.hub.run(2, good.clone())), Some(Class::Auth), "by another identity");
    world.hub.run(3, good.clone()).unwrap();
    assert_eq!(class(world.hub.run(3, good)), Some(Class::Auth), "the same proof again");
    let again = binding(hub, chain, account, 3, 1, (3, 90));
    assert_eq!(class(world.hub.run(3, again)), Some(Class::Replay));
    let stolen = binding(hub, chain, account, 2, 0, (2, 90));
    assert_eq!(class(world.hub.run(2, stolen)), Some(Class::State), "bound to another");

    assert_eq!(query::resolve_account(&world.hub.store, identity(3), chain), Ok(account));
    let unbound = query::resolve_account(&world.hub.store, identity(3), world.b.id);
    assert_eq!(class(unbound), Some(Class::NotFound));
    let found = query::identity_of_account(&world.hub.store, chain, account);
    assert_eq!(found, Some(identity(3)));
}

/// Req: D35-8.1-2
#[test]
fn another_account_takes_a_quorum() {
    let mut world = World::new();
    let (hub, chain) = (world.hub.id, world.a.id);
    let (lost, fresh) = (key(90).address(), key(91).address());
    world.hub.run(3, binding(hub, chain, lost, 3, 0, (3, 90))).unwrap();
    let alone = binding(hub, chain, fresh, 3, 1, (3, 91));
    assert_eq!(class(world.hub.run(3, alone)), Some(Class::Quorum));
    let digest = digest::binding(hub, chain, fresh, identity(3), 1);
    let rebind = |signer: u8| Act::Rebind {
        identity: identity(3),
        chain,
        account: fresh,
        account_signature: key(signer).sign(digest),
    };
    assert_eq!(class(world.hub.enact(rebind(90))), Some(Class::Auth));
    world.hub.enact(rebind(91)).unwrap();
    assert_eq!(query::resolve_account(&world.hub.store, identity(3), chain), Ok(fresh));
    assert_eq!(query::identity_of_account(&world.hub.store, chain, lost), None);
    // The chain is told.
    world.hub.block(vec![]);
    let told = newest_update(&world.hub, world.a.link(), identity(3)).unwrap();
    assert_eq!(told.account, fresh);
}

/// The chain need not take the hub's word: every update brings what the account's key signed.
///
/// Req: Y4560-7.2.2-1
#[test]
fn a47_a_binding_travels_with_the_signature_of_the_account() {
    let mut world = World::new();
    let (hub, chain, id) = (world.hub.id, world.a.id, identity(3));
    let (first, second) = (key(90).address(), key(91).address());
    let told = |world: &mut World| {
        world.hub.block(vec![]);
        newest_update(&world.hub, world.a.link(), id).unwrap()
    };
    world.hub.run(3, binding(hub, chain, first, 3, 0, (3, 90))).unwrap();
    let update = told(&mut world);
    let digest = digest::binding(hub, chain, first, id, 0);
    assert_eq!((update.account, update.binding_nonce), (first, 0));
    assert_eq!(secp256k1::verify(digest, &update.account_signature, first), Ok(()));
    let digest = digest::binding(hub, chain, second, id, 1);
    let account_signature = key(91).sign(digest);
    let rebind = Act::Rebind { identity: id, chain, account: second, account_signature };
    world.hub.enact(rebind).unwrap();
    let update = told(&mut world);
    assert_eq!((update.account, update.binding_nonce), (second, 1));
    assert_eq!(secp256k1::verify(digest, &update.account_signature, second), Ok(()));
    // Where no account is bound, nothing is signed.
    let unbound = newest_update(&world.hub, world.a.link(), identity(world::DEVICE)).unwrap();
    assert_eq!((unbound.account, unbound.binding_nonce), (Address::ZERO, 0));
    assert_eq!(unbound.account_signature, Signature::NONE);
}

fn newest_update(
    hub: &Chain<Hub>,
    link: tombolo_types::id::LinkId,
    id: IdentityId,
) -> Option<IdentityUpdate> {
    bodies(hub, link, CONTROL_LANE, 0).into_iter().rev().find_map(|body| match body {
        Body::IdentityUpdate(update) if update.identity == id => Some(update),
        _ => None,
    })
}

/// A revoked key is refused at the door from the next height on, what its device signs is refused
/// with `E_IDENT`, and every linked chain is told. Req: Y4560-9.2-2
#[test]
fn a48_revocation_binds_from_the_next_height_everywhere() {
    let mut world = World::new();
    let share = world.share(world.reading("before"));
    world.send_share(share).unwrap();
    world.hub.enact(status(world::DEVICE, Status::Revoked)).unwrap();
    let holds_from = world.hub.height().next();
    world.hub.block(vec![]);
    let share = world.share(world.reading("after"));
    assert_eq!(class(world.send_share(share)), Some(Class::Ident));
    let call = HubCall::Withdraw { xid: tombolo_types::id::Xid([1; 32]) };
    world.hub.sign(world::DEVICE, Call::Own(call.clone()));
    assert_eq!(class(world.hub.admission(world::DEVICE, call)), Some(Class::Ident));
    let (a, b) = world.links();
    for link in [a, b] {
        let update = newest_update(&world.hub, link, identity(world::DEVICE)).unwrap();
        assert_eq!(update.status, Status::Revoked.number());
        assert_eq!(update.since, holds_from);
    }
}

/// The owner's suspension stops its devices, too.
#[test]
fn a48_a_suspended_owner_stops_its_devices() {
    let mut world = World::new();
    let fourth = NewIdentity {
        key: key(33).address(),
        roles: Role::Stakeholder.bit(),
        name: "fourth".into(),
        owner: IdentityId::ZERO,
    };
    world.hub.enact(Act::RegisterIdentity(fourth)).unwrap();
    world.hub.block(vec![]);
    world.hub.enact(status(1, Status::Suspended)).unwrap();
    world.hub.block(vec![]);
    let share = world.share(world.reading("after"));
    assert_eq!(class(world.send_share(share)), Some(Class::Ident));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Histories of rotations: at every height exactly the key of that time resolves.
    #[test]
    fn rotations_resolve_as_in_a_naive_model(gaps in proptest::collection::vec(0u8..3, 1..6)) {
        let mut hub = world::hub(vec![]);
        hub.block(vec![]);
        let id = identity(5);
        let mut model = vec![key(5).address(); 2];
        let (mut present, mut next) = (5u8, 150u8);
        for (changes, gap) in (1u32..).zip(gaps) {
            let new = key(next).address();
            let proof = key(next).sign(rotation_digest(hub.id, id, new, changes));
            let call = HubCall::RotateKey { old: key(present).address(), new, proof };
            let transaction = hub.sign_as(id, &key(present), Call::Own(call));
            hub.one(transaction).unwrap();
            model.push(key(present).address());
            for _ in 0..=gap {
                hub.block(vec![]);
                model.push(new);
            }
            (present, next) = (next, next + 1);
        }
        for (height, expected) in (0u64..).zip(&model) {
            let found = query::identity_at(&hub.store, id, Height(height)).unwrap();
            prop_assert_eq!(&found.standing.keys, &vec![*expected], "height {}", height);
        }
    }
}
