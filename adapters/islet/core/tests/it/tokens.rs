//! Fungible assets that leave and come back, and vouchers of assets from elsewhere.

use crate::world::{ASSET, ELSEWHERE, FUNDS, World, neighbour, owner};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet_core::{balance, escrow, vouchers};
use tombolo_types::{
    Address, Amount, Class,
    action::{Action, Pay, TokenIn, TokenOut},
    id::{AssetId, ChainId, Xid},
};

fn out(home: ChainId, from: &SecretKey, amount: u128) -> Action {
    Action::TokenOut(TokenOut {
        home,
        asset: ASSET,
        from: from.address(),
        amount: Amount(amount),
        to_chain: ELSEWHERE,
    })
}

fn into(home: ChainId, to: Address, amount: u128) -> Action {
    let (asset, amount) = (ASSET, Amount(amount));
    Action::TokenIn(TokenIn { home, asset, from_chain: ELSEWHERE, to, amount })
}

fn by(key: SecretKey) -> (Address, SecretKey) {
    (key.address(), key)
}

fn agree(world: &mut World, salt: u8, action: Action, consents: &[(Address, SecretKey)]) -> Xid {
    let (xid, vote) = world.vote(salt, &[action], consents);
    assert!(vote.yes, "{}", vote.message);
    xid
}

fn held(world: &World, key: &SecretKey, asset: AssetId) -> u128 {
    balance(&world.islet.state, key.address(), asset).0
}

/// What leaves its home is kept, and only that can come back.
///
/// Req: Y4560-6.3-2
#[test]
fn what_leaves_its_home_lies_in_escrow_until_it_comes_back() {
    let mut world = World::new(&[]);
    let here = world.islet.id;
    let (_, vote) = world.vote(1, &[into(here, owner().address(), 1)], &[]);
    assert_eq!(vote.class, Class::Funds as u8, "nothing has left: {}", vote.message);

    let xid = agree(&mut world, 2, out(here, &owner(), 300), &[by(owner())]);
    assert_eq!((world.funds().0, escrow(&world.islet.state, ASSET)), (FUNDS - 300, Amount(0)));
    world.decide(xid, false);
    assert_eq!(world.funds().0, FUNDS, "an abort gives it back");

    let xid = agree(&mut world, 3, out(here, &owner(), 300), &[by(owner())]);
    world.decide(xid, true);
    assert_eq!((world.funds().0, escrow(&world.islet.state, ASSET)), (FUNDS - 300, Amount(300)));

    let xid = agree(&mut world, 4, into(here, neighbour().address(), 200), &[]);
    let (_, vote) = world.vote(5, &[into(here, owner().address(), 101)], &[]);
    assert_eq!(vote.class, Class::Funds as u8, "200 are reserved: {}", vote.message);
    world.decide(xid, false);
    assert_eq!(escrow(&world.islet.state, ASSET), Amount(300));
    let xid = agree(&mut world, 6, into(here, neighbour().address(), 200), &[]);
    world.decide(xid, true);
    world.decide(xid, true);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 200));
    assert_eq!(escrow(&world.islet.state, ASSET), Amount(100));
}

/// An asset from elsewhere is a voucher here, which is paid like any asset and burnt as it leaves.
///
/// Req: Y4560-6.3-2
#[test]
fn an_asset_from_elsewhere_is_a_voucher() {
    let mut world = World::new(&[]);
    let voucher = digest::voucher(ELSEWHERE, ASSET);
    let coming = into(ELSEWHERE, owner().address(), 50);
    let xid = agree(&mut world, 1, coming.clone(), &[]);
    assert_eq!(held(&world, &owner(), voucher), 0);
    world.decide(xid, false);
    assert_eq!(vouchers(&world.islet.state, voucher), Amount(0));
    let xid = agree(&mut world, 2, coming, &[]);
    world.decide(xid, true);
    assert_eq!(held(&world, &owner(), voucher), 50);
    assert_eq!(world.funds().0, FUNDS, "the asset of the same id here is another");

    let pay = Action::Pay(Pay {
        from: owner().address(),
        to: neighbour().address(),
        asset: voucher,
        amount: Amount(20),
    });
    let xid = agree(&mut world, 3, pay, &[by(owner())]);
    world.decide(xid, true);
    let (_, vote) = world.vote(4, &[out(ELSEWHERE, &owner(), 31)], &[by(owner())]);
    assert_eq!(vote.class, Class::Funds as u8, "{}", vote.message);
    let xid = agree(&mut world, 5, out(ELSEWHERE, &owner(), 30), &[by(owner())]);
    world.decide(xid, true);
    assert_eq!((held(&world, &owner(), voucher), held(&world, &neighbour(), voucher)), (0, 20));
    assert_eq!(vouchers(&world.islet.state, voucher), Amount(20));
}

#[test]
fn votes_of_no_name_their_class() {
    let mut world = World::new(&[]);
    let here = world.islet.id;
    let taken = |home, change: fn(&mut TokenOut)| {
        let Action::TokenOut(mut action) = out(home, &owner(), 5) else { unreachable!() };
        change(&mut action);
        Action::TokenOut(action)
    };
    let given = |home, change: fn(&mut TokenIn)| {
        let Action::TokenIn(mut action) = into(home, owner().address(), 5) else { unreachable!() };
        change(&mut action);
        Action::TokenIn(action)
    };
    let mut home = taken(here, |_| {});
    if let Action::TokenOut(action) = &mut home {
        action.to_chain = here;
    }
    let mut from_here = given(ELSEWHERE, |_| {});
    if let Action::TokenIn(action) = &mut from_here {
        action.from_chain = here;
    }
    let rows = [
        ("for the chain on which it is", home, Class::Format),
        ("from the chain on which it is", from_here, Class::Format),
        ("none of it leaves", taken(here, |it| it.amount = Amount(0)), Class::Format),
        ("none of it comes", given(ELSEWHERE, |it| it.amount = Amount(0)), Class::Format),
        ("to nobody", given(ELSEWHERE, |it| it.to = Address::ZERO), Class::Format),
        ("more than there is", taken(here, |it| it.amount = Amount(FUNDS + 1)), Class::Funds),
        ("a voucher that nobody has", taken(ELSEWHERE, |_| {}), Class::Funds),
    ];
    for (number, (sentence, action, class)) in (0u8..).zip(rows) {
        let consents: Vec<_> = action.takes_from().map(|_| by(owner())).into_iter().collect();
        let (_, vote) = world.vote(number, &[action], &consents);
        assert_eq!((vote.yes, vote.class), (false, class as u8), "{sentence}: {}", vote.message);
    }
    assert_eq!(world.funds(), (FUNDS, FUNDS));
}

/// A hub that lies cannot make vouchers wrap around.
#[test]
fn vouchers_are_counted_and_never_overflow() {
    let mut world = World::new(&[]);
    let most = into(ELSEWHERE, owner().address(), u128::MAX);
    let xid = agree(&mut world, 1, most, &[]);
    let (_, vote) = world.vote(2, &[into(ELSEWHERE, neighbour().address(), 1)], &[]);
    assert_eq!(vote.class, Class::Limit as u8, "{}", vote.message);
    world.decide(xid, true);
    assert_eq!(held(&world, &owner(), digest::voucher(ELSEWHERE, ASSET)), u128::MAX);
}

/// Req: PRJ-5-1
#[test]
fn a_stale_view_of_identities_lets_no_asset_leave() {
    let mut world = World::new(&[("identity_view_ms", 1_000)]);
    let here = world.islet.id;
    world.islet.time = world.islet.time.saturating_add(10_000);
    let (_, vote) = world.vote(1, &[out(here, &owner(), 5)], &[by(owner())]);
    assert_eq!(vote.class, Class::Ident as u8, "{}", vote.message);
}
