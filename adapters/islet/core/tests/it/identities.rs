//! What the hub says of identities, and payments between their accounts.

use crate::{
    harness::{identity, key},
    world::{ASSET, FUNDS, World, machine, neighbour, owner, pay, person, relayer},
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet_core::{IsletCall, account, schema_definition};
use tombolo_ledger::{Call, Principal};
use tombolo_types::{
    Address, Amount, Class, Height,
    action::Action,
    header::Signature,
    id::SchemaId,
    lane::CONTROL_LANE,
    message::{Body, IdentityUpdate, SchemaUpdate, Status},
};

fn pays(to: Address, amount: u128) -> IsletCall {
    IsletCall::Pay { to, asset: ASSET, amount: Amount(amount) }
}

#[test]
fn payments_are_refused_with_the_class_that_applies() {
    let mut world = World::new(&[]);
    let to = neighbour().address();
    let rows = [
        (owner(), pays(to, 0), Class::Format),
        (owner(), pays(Address::ZERO, 1), Class::Format),
        (owner(), pays(to, FUNDS + 1), Class::Funds),
        (crate::world::device(), pays(to, 1), Class::NotFound),
    ];
    for (signer, call, class) in rows {
        assert_eq!(world.call(&signer, call).unwrap_err().class, class);
        assert_eq!(world.funds(), (FUNDS, FUNDS));
    }
    world.call(&owner(), pays(to, FUNDS)).unwrap();
    assert_eq!(world.funds(), (0, 2 * FUNDS));
    assert_eq!(account(&world.islet.state, owner().address()).balances, []);
}

/// Req: Y4560-7.1.3-2
#[test]
fn a_rotated_key_pays_from_the_same_account_and_the_old_one_does_not() {
    let mut world = World::new(&[]);
    let new_key = key(50);
    let keys = vec![new_key.address()];
    world.update(IdentityUpdate { keys, ..person(&owner(), owner().address()) });
    let old = world.islet.at_the_door(&owner(), Call::Own(pays(neighbour().address(), 1)));
    assert_eq!(old.unwrap_err().class, Class::Auth);
    let call = Call::Own(pays(neighbour().address(), 1));
    let transaction = world.islet.transaction_as(&new_key, identity(&owner()), call);
    assert_eq!(world.islet.block(vec![transaction])[0].refusal, None);
    assert_eq!(world.funds(), (FUNDS - 1, FUNDS + 1));
}

/// An account has one identity: bound to another, the first one has it no more.
///
/// Req: D35-8.1-2
#[test]
fn an_account_that_is_bound_anew_leaves_its_former_identity() {
    let mut world = World::new(&[]);
    world.update(person(&neighbour(), owner().address()));
    assert_eq!(
        account(&world.islet.state, owner().address()).identity,
        Some(identity(&neighbour()))
    );
    assert_eq!(account(&world.islet.state, neighbour().address()).identity, None);
    let refused = world.call(&owner(), pays(key(60).address(), 1));
    assert_eq!(refused.unwrap_err().class, Class::NotFound);
    world.call(&neighbour(), pays(key(60).address(), 1)).unwrap();
    assert_eq!(world.funds().0, FUNDS - 1);
}

/// A hub that colludes binds the owner's account to an identity of its own, under every signature
/// that it can have, and then consents in the owner's place: the islet takes neither.
///
/// Req: Y4560-7.2.2-1
#[test]
fn a47_a_binding_that_the_account_did_not_sign_is_refused_and_takes_nothing() {
    let mut world = World::new(&[]);
    let thief = key(80);
    let (hub, islet, account_of_owner) = (world.hub.id, world.islet.id, owner().address());
    let sign = |key: SecretKey, hub, islet, account, id, nonce| {
        key.sign(digest::binding(hub, islet, account, id, nonce))
    };
    let (mine, theirs) = (identity(&thief), identity(&owner()));
    let rows = [
        ("none", Signature::NONE),
        ("the thief's", sign(thief.clone(), hub, islet, account_of_owner, mine, 0)),
        ("for another hub", sign(owner(), islet, islet, account_of_owner, mine, 0)),
        ("for another chain", sign(owner(), hub, hub, account_of_owner, mine, 0)),
        ("for another account", sign(owner(), hub, islet, thief.address(), mine, 0)),
        ("for another identity", sign(owner(), hub, islet, account_of_owner, theirs, 0)),
        ("for another nonce", sign(owner(), hub, islet, account_of_owner, mine, 1)),
    ];
    for (what, account_signature) in rows {
        world.say_update(IdentityUpdate { account_signature, ..person(&thief, account_of_owner) });
        let record = world.islet.last_record("identity-update");
        assert_eq!(record.outcome, Class::Auth as u8, "{what}: {}", record.remark);
        assert_eq!(account(&world.islet.state, account_of_owner).identity, Some(theirs), "{what}");
        assert_eq!(Principal::of(&world.islet.state, mine), None, "{what}");
    }
    let payment = [Action::Pay(pay(&owner(), &thief, 10))];
    let (_, vote) = world.vote(1, &payment, &[(account_of_owner, thief.clone())]);
    assert_eq!((vote.yes, vote.class), (false, Class::Auth as u8), "{}", vote.message);
    assert_eq!(world.funds(), (FUNDS, FUNDS));
    // With the account key's own signature the very same update is taken.
    world.update(person(&thief, account_of_owner));
    assert_eq!(account(&world.islet.state, account_of_owner).identity, Some(mine));
}

/// A former binding does not come back: the hub repeats what the lost account once signed.
#[test]
fn a47_a_binding_is_not_replayed() {
    let mut world = World::new(&[]);
    let fresh = key(51).address();
    world.update(IdentityUpdate { binding_nonce: 1, ..person(&owner(), fresh) });
    assert_eq!(account(&world.islet.state, fresh).identity, Some(identity(&owner())));
    world.update(person(&owner(), owner().address()));
    assert_eq!(world.islet.last_record("identity-update").outcome, Class::Replay as u8);
    assert_eq!(account(&world.islet.state, fresh).identity, Some(identity(&owner())));
    assert_eq!(account(&world.islet.state, owner().address()).identity, None);
    // The newest one comes again with every change of keys.
    world.update(IdentityUpdate { binding_nonce: 1, ..person(&owner(), fresh) });
    assert_eq!(world.islet.last_record("identity-update").outcome, 0);
}

/// The hub's word wins over genesis: a relayer's lost key can be revoked here, too.
#[test]
fn an_update_of_a_genesis_identity_wins() {
    let mut world = World::new(&[]);
    let before = Principal::of(&world.islet.state, identity(&relayer())).unwrap();
    assert_eq!(before.account, relayer().address());
    let revoked =
        IdentityUpdate { status: Status::Revoked.number(), ..person(&relayer(), Address::ZERO) };
    world.update(revoked);
    let after = Principal::of(&world.islet.state, identity(&relayer())).unwrap();
    assert_eq!(after.status, Status::Revoked);
    // Its account proves itself by the identity's own first key, and is not lost.
    assert_eq!(after.account, relayer().address());
    let door = world.islet.at_the_door(&relayer(), Call::Own(pays(owner().address(), 1)));
    assert_eq!(door.unwrap_err().class, Class::Ident);
}

#[test]
fn updates_are_refused_with_the_class_that_applies() {
    let mut world = World::new(&[]);
    world
        .update(IdentityUpdate { status: Status::Revoked.number(), ..machine(&key(70), &owner()) });
    let rows = [
        (IdentityUpdate { status: 9, ..machine(&key(71), &owner()) }, Class::Format),
        (
            IdentityUpdate { identity: Default::default(), ..machine(&key(71), &owner()) },
            Class::Format,
        ),
        (
            IdentityUpdate { keys: vec![Address::ZERO], ..machine(&key(71), &owner()) },
            Class::Format,
        ),
        (
            IdentityUpdate { keys: vec![key(71).address(); 9], ..machine(&key(71), &owner()) },
            Class::Limit,
        ),
        (IdentityUpdate { binding_nonce: 1, ..machine(&key(71), &owner()) }, Class::Format),
        // Revoked is for ever.
        (machine(&key(70), &owner()), Class::State),
    ];
    for (update, class) in rows {
        world.update(IdentityUpdate { since: Height(9), ..update });
        assert_eq!(world.islet.last_record("identity-update").outcome, class as u8);
    }
}

/// Without an account there is nothing to sign.
#[test]
fn a_signature_of_no_account_is_refused() {
    let mut world = World::new(&[]);
    let account_signature = Signature([1; 65]);
    world.say_update(IdentityUpdate { account_signature, ..machine(&key(71), &owner()) });
    assert_eq!(world.islet.last_record("identity-update").outcome, Class::Format as u8);
}

/// Req: Y4560-7.2.1-a
#[test]
fn a_schema_is_known_by_the_hash_of_its_definition() {
    let mut world = World::new(&[]);
    let (schema, definition) = crate::world::schema();
    assert_eq!(schema_definition(&world.islet.state, schema), Some(definition.clone()));
    let rows = [
        (SchemaUpdate { schema: SchemaId([1; 32]), definition: definition.clone() }, Class::Tamper),
        (SchemaUpdate { schema, definition: definition[1..].to_vec() }, Class::Format),
    ];
    for (update, class) in rows {
        world.say(CONTROL_LANE, &Body::SchemaUpdate(update));
        world.relay_in(CONTROL_LANE).unwrap();
        assert_eq!(world.islet.last_record("schema-update").outcome, class as u8);
    }
}
