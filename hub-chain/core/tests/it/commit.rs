//! Two-phase commits over whole blocks, as the coordinator sees them.

use crate::{
    harness::{bodies, deliver, identity, key, salt_of},
    world::{DEVICE, World, canonical, class, set_policy, share},
};
use tombolo_crypto::digest;
use tombolo_hub::{
    HubCall,
    govern::{Act, NewIdentity},
    grant::{Grant, GrantKey, Purpose},
    identity::rotation_digest,
    query::{self, CommitView},
};
use tombolo_ledger::Call;
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Amount, Class, Hash, MessageNumber, UnixMillis,
    action::{
        Action, Authorisation, Branch, Call as CallContract, MoveIn, MoveOut, Pay, Terms, Write,
    },
    envelope::Envelope,
    header::Signature,
    id::{AssetId, IdentityId, LinkId, Xid},
    lane::DATA_LANE,
    message::{Body, DataClass, Done, Refused, Role, Status, Vote},
};

mod from_chain;
mod reopening;
mod tokens;

const ALL: &str = "permit (principal, action, resource);";

/// A world with a closed item of party 1 on A, and a grant for party 2 to have it.
fn world() -> (World, Envelope) {
    let mut world = World::new();
    world.hub.enact(set_policy("all", ALL)).unwrap();
    let mut token = world.reading("token");
    token.class = DataClass::Closed;
    grant(&mut world, &token, 2, 3_600_000).unwrap();
    (world, token)
}

pub(crate) fn item_of(envelope: &Envelope) -> tombolo_types::id::DataId {
    digest::data_id(envelope.home, envelope.owner, &envelope.local_id)
}

fn grant(
    world: &mut World,
    token: &Envelope,
    grantee: u8,
    ms: u64,
) -> Result<tombolo_types::id::TxId, tombolo_types::Refusal> {
    let key = GrantKey { item: item_of(token), grantee: identity(grantee), purpose: Purpose::Move };
    let expires = UnixMillis(world.hub.now + ms);
    world.hub.run(1, HubCall::Grant(Box::new(Grant { key, expires })))
}

pub(crate) fn move_out(world: &World, token: &Envelope) -> Action {
    Action::MoveOut(MoveOut { item: item_of(token), from: key(90).address(), to_chain: world.b.id })
}

pub(crate) fn move_in(world: &World, token: &Envelope, owner: u8) -> MoveIn {
    let canonical = canonical(token.clone());
    MoveIn {
        item: item_of(token),
        from_chain: world.a.id,
        item_version: token.item_version,
        schema: token.schema,
        fingerprint: digest::fingerprint(canonical.bytes()),
        owner: identity(owner),
        holder: key(91).address(),
        envelope: canonical.bytes().to_vec(),
        device: token.device,
        signature: key(DEVICE).sign(digest::envelope(canonical.bytes())),
    }
}

/// A Begin of these branches by party `beginner`, authorised for every account taken from.
pub(crate) fn begin_of(
    world: &World,
    beginner: u8,
    branches: Vec<Branch>,
    deadline_ms: u64,
) -> Begin {
    let mut authorisations = Vec::new();
    for (position, branch) in (0u32..).zip(&branches) {
        let mut accounts: Vec<_> =
            branch.actions().unwrap().iter().filter_map(Action::takes_from).collect();
        accounts.sort();
        accounts.dedup();
        for account in accounts {
            // The gateway checks it, not the hub.
            let signature = Signature([1; 65]);
            authorisations.push(Authorisation { branch: position, account, signature });
        }
    }
    let terms = Terms {
        hub: world.hub.id,
        beginner: identity(beginner),
        salt: Hash([8; 32]),
        deadline: UnixMillis(world.hub.now + deadline_ms),
        branches: branches.iter().map(digest::branch).collect(),
    };
    Begin { terms, branches, authorisations }
}

fn begin_move(world: &World, token: &Envelope) -> Begin {
    let (a, b) = world.links();
    let branches = vec![
        Branch::new(a, &[move_out(world, token)]),
        Branch::new(b, &[Action::MoveIn(move_in(world, token, 2))]),
    ];
    begin_of(world, 1, branches, 60_000)
}

fn run(world: &mut World, signer: u8, begin: &Begin) -> Option<Class> {
    class(world.hub.run(signer, HubCall::Begin(Box::new(begin.clone()))))
}

fn xid(begin: &Begin) -> Xid {
    digest::xid(&begin.terms)
}

fn view(world: &World, begin: &Begin) -> CommitView {
    query::commit(&world.hub.store, xid(begin)).unwrap()
}

/// The number of the Prepare for a link.
fn prepared(world: &World, link: LinkId) -> MessageNumber {
    let sent = bodies(&world.hub, link, DATA_LANE, 0);
    MessageNumber(sent.iter().position(|body| matches!(body, Body::Prepare(_))).unwrap() as u64)
}

fn vote(world: &World, link: LinkId, begin: &Begin, no: Option<Class>) -> Body {
    Body::Vote(Vote {
        of: prepared(world, link),
        xid: xid(begin),
        yes: no.is_none(),
        class: no.map_or(0, |class| class as u8),
        message: String::new(),
    })
}

/// Votes of both participants, brought to the hub.
fn vote_both(world: &mut World, begin: &Begin, of_a: Option<Class>, of_b: Option<Class>) {
    let (a, b) = world.links();
    let (vote_a, vote_b) = (vote(world, a, begin, of_a), vote(world, b, begin, of_b));
    world.a.send(DATA_LANE, &vote_a);
    world.b.send(DATA_LANE, &vote_b);
    world.a_to_hub(DATA_LANE);
    world.b_to_hub(DATA_LANE);
}

fn decisions(world: &World, link: LinkId) -> Vec<&'static str> {
    let sent = bodies(&world.hub, link, DATA_LANE, 0);
    sent.iter().map(Body::name).filter(|name| *name != "prepare" && *name != "share").collect()
}

/// Req: Y4560-7.2.4-1, PRJ-5-1, PRJ-5-2, Y4560-6.3-2
#[test]
fn a_move_is_prepared_voted_decided_and_finished() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let record = world.hub.last_record();
    assert_eq!((record.operation.as_str(), record.protocol.as_str()), ("begin", "2pc"));
    // The same as in the records of both gateways.
    let global_id = record.global_id;
    assert_eq!(global_id.0, xid(&begin).0);
    let (a, b) = world.links();
    let found = view(&world, &begin);
    assert_eq!((found.status, found.awaited), ("preparing", vec![a, b]));
    assert_eq!(run(&mut world, 1, &begin), Some(Class::State), "the item is locked");

    vote_both(&mut world, &begin, None, None);
    let record = world.hub.records_of("commit").pop().unwrap();
    assert_eq!((record.outcome, record.global_id), (0, global_id));
    assert_eq!(record.data_id, item_of(&token));
    assert!(!record.policy_hash.is_zero());
    let item = query::item(&world.hub.store, item_of(&token)).unwrap();
    assert_eq!((item.item.location, item.item.owner), (world.b.id, identity(2)));
    assert_eq!(item.locked_by, None);
    assert_eq!(view(&world, &begin).awaited, vec![a, b]);
    for link in [a, b] {
        assert_eq!(decisions(&world, link), vec!["commit"]);
        assert_eq!(class(world.hub.enact(Act::CloseLink { link })), Some(Class::State));
    }

    world.hub_to_a(DATA_LANE);
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).awaited, vec![b]);
    world.hub_to_b(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "finished");
    let record = world.hub.records_of("finish").pop().unwrap();
    assert_eq!((record.outcome, record.global_id), (0, global_id));
    assert_eq!(world.hub.records_of("finish").len(), 1);
    // Remembered until the deadline, refused with E_TIMEOUT after.
    world.hub.block_after(60_000, vec![]);
    assert_eq!(query::commit(&world.hub.store, xid(&begin)), None);
    assert_eq!(run(&mut world, 1, &begin), Some(Class::Timeout));
}

/// Req: PRJ-5-1, PRJ-5-3
#[test]
fn a_no_aborts_all_with_its_class() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    vote_both(&mut world, &begin, None, Some(Class::Funds));
    let record = world.hub.records_of("abort").pop().unwrap();
    assert_eq!(record.outcome, Class::Funds as u8);
    let (a, b) = world.links();
    assert_eq!((decisions(&world, a), decisions(&world, b)), (vec!["abort"], vec!["abort"]));
    assert_eq!(query::item(&world.hub.store, item_of(&token)), None, "nothing moved");
    world.hub_to_a(DATA_LANE);
    world.hub_to_b(DATA_LANE);
    world.a_to_hub(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "finished");
    assert_eq!(world.hub.records_of("finish").pop().unwrap().remark, "aborted on all participants");
}

#[test]
fn a_refused_prepare_is_a_no() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let of = prepared(&world, world.b.link());
    let refused = Refused { of, class: Class::Limit as u8, message: "full".into() };
    let salt = salt_of(&world.hub, world.b.link(), of);
    world.b.answer(&Body::Refused(refused), salt);
    world.b_to_hub(DATA_LANE);
    assert_eq!(world.hub.records_of("abort").pop().unwrap().outcome, Class::Limit as u8);
}

/// Req: PRJ-5-3
#[test]
fn the_deadline_aborts_with_a_timeout_and_no_yes_counts_after() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let (a, b) = world.links();
    let (vote_a, vote_b) = (vote(&world, a, &begin, None), vote(&world, b, &begin, None));
    world.a.send(DATA_LANE, &vote_a);
    world.a_to_hub(DATA_LANE);
    world.hub.block_after(60_000, vec![]);
    let record = world.hub.records_of("abort").pop().unwrap();
    assert_eq!(record.outcome, Class::Timeout as u8);
    world.b.send(DATA_LANE, &vote_b);
    world.b_to_hub(DATA_LANE);
    assert_eq!(world.hub.records_of("commit").len(), 0);
    assert_eq!(decisions(&world, b), vec!["abort"]);
}

/// Late, duplicate, contradictory, foreign and invented votes. The first of each binds.
#[test]
fn a42_the_first_vote_of_each_participant_binds() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let (a, b) = world.links();
    let yes_a = vote(&world, a, &begin, None);
    // Of another commit, of a message that asked nothing, and a Done before any decision.
    let mut foreign = Vote {
        of: prepared(&world, a),
        xid: Xid([9; 32]),
        yes: true,
        class: 0,
        message: String::new(),
    };
    world.a.send(DATA_LANE, &Body::Vote(foreign.clone()));
    foreign.xid = xid(&begin);
    foreign.of = MessageNumber(77);
    world.a.send(DATA_LANE, &Body::Vote(foreign));
    // B speaks for the Prepare of A's number on its own lane: it is its own seat that counts.
    world.a.send(DATA_LANE, &yes_a);
    world.a.send(DATA_LANE, &yes_a);
    world.a.send(DATA_LANE, &vote(&world, a, &begin, Some(Class::State)));
    world.a_to_hub(DATA_LANE);
    let found = view(&world, &begin);
    assert_eq!((found.status, found.awaited.clone()), ("preparing", vec![b]));
    let yes_b = vote(&world, b, &begin, None);
    world.b.send(DATA_LANE, &yes_b);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "committed");
    // After the decision nothing changes it.
    world.b.send(DATA_LANE, &vote(&world, b, &begin, Some(Class::State)));
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "committed");
    assert_eq!((decisions(&world, a), decisions(&world, b)), (vec!["commit"], vec!["commit"]));
}

/// A participant that takes its word back by refusing the decision changes nothing.
#[test]
fn a42_a_refused_decision_stands() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    vote_both(&mut world, &begin, None, None);
    let (_, b) = world.links();
    let of = MessageNumber(bodies(&world.hub, b, DATA_LANE, 0).len() as u64 - 1);
    let refused = Refused { of, class: Class::State as u8, message: "no".into() };
    let salt = salt_of(&world.hub, b, of);
    world.b.answer(&Body::Refused(refused), salt);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "committed");
    world.hub_to_a(DATA_LANE);
    world.hub_to_b(DATA_LANE);
    world.a_to_hub(DATA_LANE);
    world.b_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "finished");
}

/// Done twice, and Done for a Prepare: one end, once.
#[test]
fn a16_done_counts_once() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let (a, _) = world.links();
    let early = Body::Done(Done { of: prepared(&world, a), xid: xid(&begin) });
    world.a.send(DATA_LANE, &early);
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "preparing");
    world.hub.run(1, HubCall::Withdraw { xid: xid(&begin) }).unwrap();
    world.hub_to_a(DATA_LANE);
    let again = Body::Done(Done { of: MessageNumber(1), xid: xid(&begin) });
    world.a.send(DATA_LANE, &again);
    world.a.send(DATA_LANE, &again);
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).awaited, vec![world.b.link()]);
    assert_eq!(world.hub.records_of("finish").len(), 0);
}

#[test]
fn only_the_beginner_withdraws_and_only_before_the_decision() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let withdraw = HubCall::Withdraw { xid: xid(&begin) };
    assert_eq!(class(world.hub.run(2, withdraw.clone())), Some(Class::Denied));
    assert_eq!(class(world.hub.run(1, withdraw.clone())), None);
    assert_eq!(world.hub.records_of("abort").pop().unwrap().outcome, Class::State as u8);
    assert_eq!(class(world.hub.run(1, withdraw)), Some(Class::State));
    let unknown = HubCall::Withdraw { xid: Xid([1; 32]) };
    assert_eq!(class(world.hub.run(1, unknown)), Some(Class::NotFound));
}

/// Req: Y4560-3.1.6, Y4560-10.1-c.2, Y4560-6.3-2
#[test]
fn a_closed_item_moves_only_under_a_grant_and_from_where_it_lives() {
    let (mut world, token) = world();
    let (a, b) = world.links();
    let in_b = move_in(&world, &token, 2);
    let pair = |world: &World, out: Action, into: MoveIn| {
        begin_of(
            world,
            1,
            vec![Branch::new(a, &[out]), Branch::new(b, &[Action::MoveIn(into)])],
            60_000,
        )
    };
    let out = move_out(&world, &token);
    let change = |change: &dyn Fn(&mut MoveIn)| {
        let mut changed = in_b.clone();
        change(&mut changed);
        changed
    };
    for (what, into, expected) in [
        ("to somebody without a grant", change(&|it| it.owner = identity(3)), Class::Denied),
        ("to a stranger", change(&|it| it.owner = IdentityId([1; 32])), Class::Ident),
        ("not the envelope's version", change(&|it| it.item_version = 2), Class::Format),
        ("not the device's signature", change(&|it| it.signature.0[0] ^= 1), Class::Auth),
        ("not its fingerprint", change(&|it| it.fingerprint.0[0] ^= 1), Class::Tamper),
    ] {
        let begin = pair(&world, out.clone(), into);
        assert_eq!(run(&mut world, 1, &begin), Some(expected), "{what}");
    }
    let copy = begin_of(&world, 1, vec![Branch::new(b, &[Action::MoveIn(in_b.clone())])], 60_000);
    assert_eq!(run(&mut world, 1, &copy), Some(Class::ClosedCopy), "it appears and stays");

    let mut open = token.clone();
    open.class = DataClass::Open;
    open.local_id = "open".into();
    grant(&mut world, &open, 2, 3_600_000).unwrap();
    let begin = begin_move(&world, &open);
    assert_eq!(run(&mut world, 1, &begin), Some(Class::State), "open items are shared");

    let key = GrantKey { item: item_of(&token), grantee: identity(2), purpose: Purpose::Move };
    let revoke = HubCall::RevokeGrant(Box::new(key));
    assert_eq!(class(world.hub.run(2, revoke.clone())), Some(Class::NotFound), "not the giver");
    world.hub.run(1, revoke).unwrap();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), Some(Class::Denied), "revoked");
    assert_eq!(class(grant(&mut world, &token, 2, 0)), Some(Class::Timeout));
    grant(&mut world, &token, 2, 3_000).unwrap();
    world.hub.block_after(3_000, vec![]);
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), Some(Class::Denied), "expired");
    assert_eq!(query::grants(&world.hub.store, item_of(&token), 10), vec![], "and forgotten");

    grant(&mut world, &token, 2, 3_600_000).unwrap();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    vote_both(&mut world, &begin, None, None);
    grant(&mut world, &token, 2, 3_600_000).unwrap();
    let mut again = begin_move(&world, &token);
    again.terms.salt = Hash([9; 32]);
    assert_eq!(run(&mut world, 1, &again), Some(Class::Denied), "party 1 owns it no more");
    // Nor is it copied from where it was.
    let share = world.share(token);
    assert_eq!(class(world.send_share(share)), Some(Class::ClosedCopy));
}

/// Policies are asked for moves and writes. Req: PRJ-6-1
#[test]
fn policies_are_asked_before_anything_is_locked() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    world.hub.enact(Act::RemovePolicy { id: "all".into() }).unwrap();
    assert_eq!(run(&mut world, 1, &begin), Some(Class::Policy));
    let forbid = r#"forbid (principal, action == Action::"move", resource);"#;
    world.hub.enact(set_policy("no", forbid)).unwrap();
    assert_eq!(run(&mut world, 1, &begin), Some(Class::Denied));
    let (a, _) = world.links();
    assert_eq!(bodies(&world.hub, a, DATA_LANE, 0), vec![]);
}

fn write(envelope: &Envelope) -> Action {
    let canonical = canonical(envelope.clone());
    Action::Write(Write {
        item: item_of(envelope),
        item_version: envelope.item_version,
        schema: envelope.schema,
        fingerprint: digest::fingerprint(canonical.bytes()),
        owner: identity(1),
        holder: key(90).address(),
        envelope: canonical.bytes().to_vec(),
        device: envelope.device,
        signature: key(DEVICE).sign(digest::envelope(canonical.bytes())),
    })
}

/// A write and a payment in one commit; the next version follows the one before.
#[test]
fn a_write_and_a_payment_settle_together() {
    let (mut world, _) = world();
    let (a, b) = world.links();
    let pay = Action::Pay(Pay {
        from: key(91).address(),
        to: key(90).address(),
        asset: AssetId([1; 32]),
        amount: Amount(5),
    });
    let mut record = world.reading("deed");
    for (version, expected) in
        [(1, None), (1, Some(Class::State)), (3, Some(Class::State)), (2, None)]
    {
        record.item_version = version;
        let branches =
            vec![Branch::new(a, &[write(&record)]), Branch::new(b, std::slice::from_ref(&pay))];
        let begin = begin_of(&world, 3, branches, 60_000);
        assert_eq!(run(&mut world, 3, &begin), expected, "version {version}");
        if expected.is_none() {
            let sent = bodies(&world.hub, a, DATA_LANE, 0);
            let last = sent.iter().rposition(|body| matches!(body, Body::Prepare(_))).unwrap();
            for (chain, link) in [(&mut world.a, a), (&mut world.b, b)] {
                let yes = Vote {
                    of: MessageNumber(last as u64),
                    xid: xid(&begin),
                    yes: true,
                    class: 0,
                    message: String::new(),
                };
                chain.send(DATA_LANE, &Body::Vote(yes));
                deliver(chain, &mut world.hub, link, DATA_LANE).unwrap();
            }
            let found = query::item(&world.hub.store, item_of(&record)).unwrap();
            assert_eq!((found.item.version, found.item.location), (version, world.a.id));
        }
    }
}

#[test]
fn begin_gives_the_first_class() {
    let (mut world, token) = world();
    let good = begin_move(&world, &token);
    let change = |change: &dyn Fn(&mut Begin)| {
        let mut begin = good.clone();
        change(&mut begin);
        begin
    };
    let far = UnixMillis(world.hub.now + 90_000_000_000);
    let near = UnixMillis(world.hub.now + 9_000);
    let unknown = LinkId([3; 32]);
    for (what, signer, begin, expected) in [
        ("of another hub", 1, change(&|it| it.terms.hub.0[0] ^= 1), Class::Format),
        ("too far a deadline", 2, change(&|it| it.terms.deadline = far), Class::Limit),
        ("by another", 2, good.clone(), Class::Auth),
        ("no authorisation", 1, change(&|it| it.authorisations.clear()), Class::Auth),
        ("over no link", 1, change(&|it| it.branches[1].link = unknown), Class::NotFound),
        ("too near a deadline", 1, change(&|it| it.terms.deadline = near), Class::State),
        ("another branch", 1, change(&|it| it.terms.branches[0] = Hash([1; 32])), Class::Tamper),
    ] {
        assert_eq!(run(&mut world, signer, &begin), Some(expected), "{what}");
    }
    let (a, _) = world.links();
    world.hub.run(4, HubCall::Pause { link: a }).unwrap();
    assert_eq!(run(&mut world, 1, &good), Some(Class::State), "a paused participant");
}

/// A pause stops no decision.
#[test]
fn a_pause_lets_decisions_pass() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let (a, b) = world.links();
    world.hub.run(4, HubCall::Pause { link: a }).unwrap();
    vote_both(&mut world, &begin, None, None);
    assert_eq!(view(&world, &begin).status, "committed");
    assert_eq!((decisions(&world, a), decisions(&world, b)), (vec!["commit"], vec!["commit"]));
}

#[test]
fn undecided_commits_of_one_beginner_are_bounded() {
    let mut world = World::with(vec![crate::harness::parameter("open_locks_max", 1)]);
    world.hub.enact(set_policy("all", ALL)).unwrap();
    let (a, _) = world.links();
    let one = |world: &World, name: &str| {
        let branches = vec![Branch::new(a, &[write(&world.reading(name))])];
        begin_of(world, 3, branches, 60_000)
    };
    let first = one(&world, "d1");
    assert_eq!(run(&mut world, 3, &first), None);
    let second = one(&world, "d2");
    assert_eq!(run(&mut world, 3, &second), Some(Class::Limit));
    world.hub.run(3, HubCall::Withdraw { xid: xid(&first) }).unwrap();
    assert_eq!(run(&mut world, 3, &second), None);
}

/// Revocation of who began, and of whose account is taken from, aborts what is undecided; a
/// decided one stands.
#[test]
fn a48_revocation_aborts_undecided_commits_only() {
    for decided in [false, true] {
        let (mut world, token) = world();
        let fourth = NewIdentity {
            key: key(33).address(),
            roles: Role::Stakeholder.bit(),
            name: "fourth".into(),
            owner: IdentityId::ZERO,
        };
        world.hub.enact(Act::RegisterIdentity(fourth)).unwrap();
        let begin = begin_move(&world, &token);
        assert_eq!(run(&mut world, 1, &begin), None);
        let (a, b) = world.links();
        let (yes_a, yes_b) = (vote(&world, a, &begin, None), vote(&world, b, &begin, None));
        world.a.send(DATA_LANE, &yes_a);
        world.b.send(DATA_LANE, &yes_b);
        world.a_to_hub(DATA_LANE);
        if decided {
            world.b_to_hub(DATA_LANE);
        }
        world.hub.enact(Act::SetStatus { identity: identity(1), status: Status::Revoked }).unwrap();
        world.hub.block(vec![]);
        let expected = if decided { "committed" } else { "aborted" };
        assert_eq!(view(&world, &begin).status, expected);
        let aborts = world.hub.records_of("abort");
        let outcomes: Vec<u8> = aborts.iter().map(|record| record.outcome).collect();
        assert_eq!(outcomes, if decided { vec![] } else { vec![Class::Ident as u8] });
    }
}

/// More commits than the budget of one block: all end, some blocks later, and a late yes counts
/// in no case.
#[test]
fn aborts_are_worked_off_within_the_budget() {
    let mut world = World::with(vec![crate::harness::parameter("aborts_per_block", 2)]);
    world.hub.enact(set_policy("all", ALL)).unwrap();
    let (a, _) = world.links();
    let mut begins = Vec::new();
    for number in 0..5 {
        let reading = world.reading(&format!("d{number}"));
        let branches = vec![Branch::new(a, &[write(&reading)])];
        let mut begin = begin_of(&world, 3, branches, 60_000);
        begin.terms.salt = Hash([number; 32]);
        assert_eq!(run(&mut world, 3, &begin), None);
        begins.push(begin);
    }
    world.hub.block_after(60_000, vec![]);
    assert_eq!(world.hub.records_of("abort").len(), 2);
    let yes = |of: u64, begin: &Begin| {
        Body::Vote(Vote {
            of: MessageNumber(of),
            xid: xid(begin),
            yes: true,
            class: 0,
            message: String::new(),
        })
    };
    world.a.send(DATA_LANE, &yes(4, &begins[4]));
    world.a_to_hub(DATA_LANE);
    for _ in 0..3 {
        world.hub.block(vec![]);
    }
    assert_eq!(world.hub.records_of("abort").len(), 5);
    assert_eq!(world.hub.records_of("commit").len(), 0);
}

/// A frozen link aborts what is undecided over it, and is thawed by a quorum with a new header.
#[test]
fn a_frozen_link_aborts_what_is_undecided() {
    let (mut world, token) = world();
    let begin = begin_move(&world, &token);
    assert_eq!(run(&mut world, 1, &begin), None);
    let (a, b) = world.links();
    let (yes_a, yes_b) = (vote(&world, a, &begin, None), vote(&world, b, &begin, None));
    world.a.send(DATA_LANE, &yes_a);
    world.b.send(DATA_LANE, &yes_b);
    world.a_to_hub(DATA_LANE);
    let evidence = world.a.equivocation();
    let shown = world.hub.sign(5, Call::Misbehaviour { link: a, evidence });
    // The last yes comes in the block of the evidence: it counts in no case.
    let received = world.b.delivery(b, DATA_LANE, 0);
    let late = world.hub.sign(5, Call::Deliver(Box::new(received)));
    world.hub.now = world.hub.now.max(world.b.now);
    let outcomes = world.hub.block(vec![shown, late]);
    assert!(outcomes.iter().all(|outcome| outcome.refusal.is_none()), "{outcomes:?}");
    world.hub.block(vec![]);
    assert_eq!(view(&world, &begin).status, "aborted");
    assert_eq!(world.hub.records_of("abort").pop().unwrap().outcome, Class::State as u8);
    assert_eq!(query::link(&world.hub.store, a).unwrap().status, "frozen");
    let mut again = begin_move(&world, &token);
    again.terms.salt = Hash([9; 32]);
    assert_eq!(run(&mut world, 1, &again), Some(Class::State));

    world.a.block(vec![]);
    let anchor = world.a.anchor().encode();
    world.hub.enact(Act::RecoverClient { link: a, anchor }).unwrap();
    assert_eq!(query::link(&world.hub.store, a).unwrap().status, "open");
    world.hub_to_a(DATA_LANE);
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).awaited, vec![b]);
}

/// A contract is called only where a policy lists it.
#[test]
fn a_call_takes_a_policy() {
    let mut world = World::new();
    let (a, _) = world.links();
    let contract = tombolo_types::Address([0x42; 20]);
    let call = Action::Call(CallContract { contract, from: key(90).address(), payload: vec![1] });
    let begin = begin_of(&world, 3, vec![Branch::new(a, &[call])], 60_000);
    assert_eq!(run(&mut world, 3, &begin), Some(Class::Policy));
    let chain = world.a.id;
    let text = format!(
        r#"permit (principal, action == Action::"call", resource == Contract::"{chain}/{contract}");"#
    );
    world.hub.enact(set_policy("call", &text)).unwrap();
    assert_eq!(run(&mut world, 3, &begin), None);
}

/// A closed item that the hub knows: no copy of its version under another class, no second life on
/// another chain, and open only by its owner's own signature. Req: Y4560-6.3-1, Y4560-6.3-2
#[test]
fn a46_a_known_closed_item_stays_closed_unless_its_owner_opens_it() {
    let (mut world, token) = world();
    let (a, b) = world.links();
    let begin = begin_of(&world, 3, vec![Branch::new(a, &[write(&token)])], 60_000);
    assert_eq!(run(&mut world, 3, &begin), None);
    let yes = vote(&world, a, &begin, None);
    world.a.send(DATA_LANE, &yes);
    world.a_to_hub(DATA_LANE);
    assert_eq!(view(&world, &begin).status, "committed");

    let mut opened = token.clone();
    opened.class = DataClass::Open;
    let (source, destination) = (world.a.id, world.b.id);
    let same_version = share(opened.clone(), source, destination, DEVICE);
    assert_eq!(class(world.send_share(same_version)), Some(Class::ClosedCopy));
    opened.item_version = 2;
    let by_device = share(opened.clone(), source, destination, DEVICE);
    assert_eq!(class(world.send_share(by_device)), Some(Class::Denied));

    let mut second = token;
    second.item_version = 2;
    let elsewhere = begin_of(&world, 3, vec![Branch::new(b, &[write(&second)])], 60_000);
    assert_eq!(run(&mut world, 3, &elsewhere), Some(Class::ClosedCopy));

    opened.device = identity(1);
    let by_owner = share(opened, source, destination, 1);
    assert_eq!(class(world.send_share(by_owner)), None);
}

/// Keys that a quorum replaces were lost, and what they began ends; who rotates an own key goes on.
#[test]
fn a48_replaced_keys_abort_and_rotated_ones_do_not() {
    for (lost, expected) in [(true, "aborted"), (false, "preparing")] {
        let (mut world, token) = world();
        let begin = begin_move(&world, &token);
        assert_eq!(run(&mut world, 1, &begin), None);
        let (old, new) = (key(1).address(), key(70).address());
        if lost {
            world.hub.enact(Act::ReplaceKeys { identity: identity(1), keys: vec![new] }).unwrap();
        } else {
            let proof = key(70).sign(rotation_digest(world.hub.id, identity(1), new, 1));
            world.hub.run(1, HubCall::RotateKey { old, new, proof }).unwrap();
        }
        world.hub.block(vec![]);
        assert_eq!(view(&world, &begin).status, expected, "lost: {lost}");
    }
}
