//! Fungible assets between chains, and what the hub counts of them.

use super::{begin_of, decisions, run, set_policy, view, vote_both, world, xid};
use crate::{harness::key, world::World};
use tombolo_hub::{HubCall, asset::outstanding};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Amount, Class, Hash,
    action::{Action, Branch, TokenIn, TokenOut},
    id::{AssetId, ChainId},
};

const ASSET: AssetId = AssetId([0xa5; 32]);

/// A transfer of an asset of `home` from A to B, or the other way.
fn transfer(world: &World, home: ChainId, from_a: bool, amount: u128) -> Begin {
    let (a, b) = world.links();
    let ends = [(world.a.id, a), (world.b.id, b)];
    let [(from, source), (to, sink)] = if from_a { ends } else { [ends[1], ends[0]] };
    let leaving = Action::TokenOut(TokenOut {
        home,
        asset: ASSET,
        from: key(90).address(),
        amount: Amount(amount),
        to_chain: to,
    });
    let coming = Action::TokenIn(TokenIn {
        home,
        asset: ASSET,
        from_chain: from,
        to: key(91).address(),
        amount: Amount(amount),
    });
    let mut branches = vec![Branch::new(source, &[leaving]), Branch::new(sink, &[coming])];
    branches.sort_by_key(|branch| branch.link != a);
    let mut begin = begin_of(world, 1, branches, 60_000);
    begin.terms.salt = Hash([u8::try_from(amount % 251).unwrap(); 32]);
    begin
}

fn on(world: &World, chain: ChainId) -> u128 {
    outstanding(&world.hub.store, chain, world.a.id, ASSET).0
}

/// What a chain may give is what the hub knows to be there; what was begun is not there twice.
///
/// Req: Y4560-6.3-2
#[test]
fn a45_no_more_comes_back_than_has_left() {
    let (mut world, _) = world();
    let (home, away) = (world.a.id, world.b.id);
    let none = transfer(&world, home, false, 1);
    assert_eq!(run(&mut world, 1, &none), Some(Class::Funds), "nothing has left");

    let out = transfer(&world, home, true, 70);
    assert_eq!(run(&mut world, 1, &out), None);
    assert_eq!(on(&world, away), 0, "not before it is decided");
    vote_both(&mut world, &out, None, None);
    assert_eq!((view(&world, &out).status, on(&world, away)), ("committed", 70));

    let back = transfer(&world, home, false, 40);
    assert_eq!(run(&mut world, 1, &back), None);
    assert_eq!(on(&world, away), 30);
    let too_much = transfer(&world, home, false, 31);
    assert_eq!(run(&mut world, 1, &too_much), Some(Class::Funds), "40 are on their way");
    world.hub.run(1, HubCall::Withdraw { xid: xid(&back) }).unwrap();
    assert_eq!(on(&world, away), 70, "an abort gives back");

    let again = transfer(&world, home, false, 70);
    assert_eq!(run(&mut world, 1, &again), None);
    vote_again(&mut world, &again);
    assert_eq!((view(&world, &again).status, on(&world, away)), ("committed", 0));
}

/// Votes of both, where Prepares of other commits went before.
fn vote_again(world: &mut World, begin: &Begin) {
    use crate::harness::{bodies, deliver};
    use tombolo_types::{
        MessageNumber,
        lane::DATA_LANE,
        message::{Body, Vote},
    };
    let (a, b) = world.links();
    for (chain, link) in [(&mut world.a, a), (&mut world.b, b)] {
        let sent = bodies(&world.hub, link, DATA_LANE, 0);
        let last = sent.iter().rposition(|body| matches!(body, Body::Prepare(_))).unwrap();
        let of = MessageNumber(last as u64);
        let message = String::new();
        let yes = Vote { of, xid: xid(begin), yes: true, class: 0, message };
        chain.send(DATA_LANE, &Body::Vote(yes));
        deliver(chain, &mut world.hub, link, DATA_LANE).unwrap();
    }
}

/// Fail closed: an asset that no policy speaks of stays where it is. Req: PRJ-6-1
#[test]
fn a_transfer_takes_a_policy() {
    let mut world = World::new();
    let home = world.a.id;
    let begin = transfer(&world, home, true, 5);
    assert_eq!(run(&mut world, 1, &begin), Some(Class::Policy));
    let text = r#"permit (principal, action == Action::"transfer", resource is Asset)
        when { resource.home == context.source };"#;
    world.hub.enact(set_policy("transfer", text)).unwrap();
    let elsewhere = transfer(&world, world.b.id, true, 5);
    assert_eq!(run(&mut world, 1, &elsewhere), Some(Class::Denied));
    assert_eq!(run(&mut world, 1, &begin), None);
    let (a, _) = world.links();
    assert_eq!(decisions(&world, a), Vec::<&str>::new());
}

/// A participant's no leaves the count as it was. Req: PRJ-5-3
#[test]
fn a_no_gives_back_what_was_taken_from_the_count() {
    let (mut world, _) = world();
    let (home, away) = (world.a.id, world.b.id);
    let out = transfer(&world, home, true, 70);
    assert_eq!(run(&mut world, 1, &out), None);
    vote_both(&mut world, &out, None, Some(Class::Limit));
    assert_eq!((view(&world, &out).status, on(&world, away)), ("aborted", 0));
}
