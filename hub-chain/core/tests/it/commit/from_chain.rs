//! Two-phase commits that an account of a linked chain begins there.

use super::{begin_of, decisions, move_out, view, world, xid};
use crate::{
    harness::{bodies, identity, key},
    world::{World, class},
};
use tombolo_crypto::digest;
use tombolo_hub::{HubCall, identity::Binding};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Amount, Class,
    action::{Action, Branch, Pay},
    envelope::Envelope,
    id::{AssetId, LinkId},
    lane::DATA_LANE,
    message::{Body, Vote},
};

const ACCOUNT: u8 = 90;

fn pay(from: u8, to: u8) -> Action {
    Action::Pay(Pay {
        from: key(from).address(),
        to: key(to).address(),
        asset: AssetId([1; 32]),
        amount: Amount(5),
    })
}

/// Account 90 of chain A pays there, and 91 pays on B.
fn draft(world: &World) -> Begin {
    let (a, b) = world.links();
    let branches = vec![Branch::new(b, &[pay(91, ACCOUNT)]), Branch::new(a, &[pay(ACCOUNT, 91)])];
    begun_by(world, a, ACCOUNT, branches)
}

fn begun_by(world: &World, link: LinkId, account: u8, branches: Vec<Branch>) -> Begin {
    let mut begin = begin_of(world, 1, branches, 60_000);
    begin.terms.beginner = digest::account_beginner(link, key(account).address());
    begin
}

fn send(world: &mut World, begin: &Begin) -> Option<Class> {
    class(world.send_data(Body::Begin(begin.request())))
}

fn bind(world: &mut World, account: u8, party: u8) {
    let (hub, chain) = (world.hub.id, world.a.id);
    let address = key(account).address();
    let proof = digest::binding(hub, chain, address, identity(party), 0);
    world
        .hub
        .run(
            party,
            HubCall::Bind(Box::new(Binding {
                chain,
                account: address,
                account_signature: key(account).sign(proof),
                identity_signature: key(party).sign(proof),
            })),
        )
        .unwrap();
}

/// Req: Y4560-7.2.4-1, PRJ-5-1
#[test]
fn a_commit_that_begins_on_a_chain_counts_its_yes_and_asks_the_others() {
    let (mut world, _) = world();
    let begin = draft(&world);
    let (a, b) = world.links();
    assert_eq!(send(&mut world, &begin), None);
    let record = world.hub.records_of("begin").pop().unwrap();
    assert_eq!((record.protocol.as_str(), record.global_id.0), ("2pc", xid(&begin).0));
    assert_eq!((record.source_chain, record.link), (world.a.id, a));
    assert_eq!((view(&world, &begin).status, view(&world, &begin).awaited), ("preparing", vec![b]));
    let asked = bodies(&world.hub, a, DATA_LANE, 0);
    assert!(!asked.iter().any(|body| matches!(body, Body::Prepare(_))), "{asked:?}");

    let yes = super::vote(&world, b, &begin, None);
    world.b.send(DATA_LANE, &yes);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "committed");
    for link in [a, b] {
        assert_eq!(decisions(&world, link), vec!["commit"]);
    }
    // The sender's own vote besides its request is nothing that was asked.
    let vote =
        Vote { of: Default::default(), xid: xid(&begin), yes: false, class: 1, message: "".into() };
    world.a.send(DATA_LANE, &Body::Vote(vote));
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "committed");
}

/// Nobody else takes part: the request alone decides.
#[test]
fn a_commit_on_the_beginners_chain_alone_is_decided_at_once() {
    let (mut world, _) = world();
    let (a, _) = world.links();
    let begin = begun_by(&world, a, ACCOUNT, vec![Branch::new(a, &[pay(ACCOUNT, 91)])]);
    assert_eq!(send(&mut world, &begin), None);
    assert_eq!(view(&world, &begin).status, "committed");
    assert_eq!(decisions(&world, a), vec!["commit"]);
}

/// A refusal goes back as an answer, and the hub keeps nothing.
#[test]
fn what_cannot_begin_is_answered_with_its_class() {
    type Bend = fn(&World, &mut Begin);
    let cases: &[(&str, Class, Bend)] = &[
        ("no branch of the sender", Class::Format, |_, it| it.branches.truncate(1)),
        ("an identity begins", Class::Auth, |_, it| it.terms.beginner = identity(1)),
        ("an account of another chain begins", Class::Auth, |world, it| {
            let (_, b) = world.links();
            it.terms.beginner = digest::account_beginner(b, key(91).address());
        }),
        ("an account begins that gives nothing", Class::Auth, |world, it| {
            let (a, _) = world.links();
            it.terms.beginner = digest::account_beginner(a, key(92).address());
        }),
        ("another hub", Class::Format, |world, it| it.terms.hub = world.a.id),
        ("too late", Class::Timeout, |_, it| it.terms.deadline = Default::default()),
    ];
    for (sentence, expected, bend) in cases {
        let (mut world, _) = world();
        let mut begin = draft(&world);
        bend(&world, &mut begin);
        begin.terms.branches = begin.branches.iter().map(digest::branch).collect();
        assert_eq!(send(&mut world, &begin), Some(*expected), "{sentence}");
        let (a, b) = world.links();
        let answers = bodies(&world.hub, a, DATA_LANE, 0);
        let last = answers.last();
        assert!(
            matches!(last, Some(Body::Refused(refused)) if refused.class == *expected as u8),
            "{sentence}: {last:?}"
        );
        assert!(bodies(&world.hub, b, DATA_LANE, 0).is_empty(), "{sentence}");
        assert!(tombolo_hub::commit::commit(&world.hub.store, xid(&begin)).is_none());
    }
}

/// The second request for one xid is refused, so a gateway must never send it. Attack: A42.
#[test]
fn a42_the_same_begin_again_is_a_replay() {
    let (mut world, _) = world();
    let begin = draft(&world);
    assert_eq!(send(&mut world, &begin), None);
    assert_eq!(send(&mut world, &begin), Some(Class::Replay));
    assert_eq!(view(&world, &begin).status, "preparing");
}

/// The identity to which the account is bound acts for it: policies know it, it may withdraw, and
/// its revocation aborts. Attack: A48.
#[test]
fn a48_an_account_that_begins_stands_for_its_identity() {
    let (mut world, token): (World, Envelope) = world();
    bind(&mut world, ACCOUNT, 3);
    let (a, _) = world.links();
    let begin = draft(&world);
    assert_eq!(send(&mut world, &begin), None);
    let found = tombolo_hub::commit::commit(&world.hub.store, xid(&begin)).unwrap();
    assert_eq!(found.parties.first(), Some(&identity(3)));
    let other = world.hub.run(1, HubCall::Withdraw { xid: xid(&begin) });
    assert_eq!(class(other), Some(Class::Denied));
    world.hub.run(3, HubCall::Withdraw { xid: xid(&begin) }).unwrap();
    assert_eq!(view(&world, &begin).status, "aborted");
    assert_eq!(decisions(&world, a), vec!["abort"]);

    let out = move_out(&world, &token);
    let (_, b) = world.links();
    let branches = vec![
        Branch::new(a, &[out]),
        Branch::new(b, &[Action::MoveIn(super::move_in(&world, &token, 2))]),
    ];
    let moving = begun_by(&world, a, ACCOUNT, branches);
    assert_eq!(send(&mut world, &moving), None);
    let status = tombolo_types::message::Status::Revoked;
    let act = tombolo_hub::govern::Act::SetStatus { identity: identity(3), status };
    world.hub.enact(act).unwrap();
    world.hub.block(vec![]);
    assert_eq!(view(&world, &moving).status, "aborted");
}
