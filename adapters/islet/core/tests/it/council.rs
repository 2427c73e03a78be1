//! What the recovery council may do besides a new trusted header: let a lane go on in its next epoch,
//! and release a lock. docs/protocol.md section 14, decision record 0014.

use crate::{
    harness::delivery,
    toy::{ToyCall, inbox},
    world::{
        ASSET, ELSEWHERE, FUNDS, World, council, data_id, device, hub_key, move_in, move_out,
        neighbour, ordered, owner, pay, reading, relayer, submit,
    },
};
use tombolo_crypto::{digest, keccak256::keccak256, secp256k1::SecretKey};
use tombolo_islet_core::{
    CouncilOrder, Held, Hold, IsletCall, Released, ShareOrder, Standing, item, link_to_hub, locks,
    participant, past_versions, pending_act, released,
};
use tombolo_ledger::{
    Call,
    lanes::{self, Lane, LinkStatus},
};
use tombolo_swap::two_phase::{Begin, Outcome, Standing as Phase};
use tombolo_types::{
    Amount, Class, Epoch, LaneNumber, MessageNumber, Refusal, UnixMillis,
    action::{Action, Authorisation, Branch, Terms},
    council::{ActKind, Release, Reopening},
    id::{DataId, LinkId, Xid},
    lane::DATA_LANE,
    message::{Body, DataClass, Decision, Refused},
};

const DELAY_MS: u64 = 10_000;
const PERIOD_MS: u64 = 90_000;
const SHORT: [(&str, u64); 3] = [
    ("council_delay_ms", DELAY_MS),
    ("release_period_ms", PERIOD_MS),
    ("trusting_period_ms", 60_000),
];

fn lane(world: &World) -> Lane {
    lanes::lane(&world.islet.state, world.link, DATA_LANE).unwrap()
}

fn lane_of_hub(world: &World) -> Lane {
    lanes::lane(&world.hub.state, world.link, DATA_LANE).unwrap()
}

fn status(world: &World) -> LinkStatus {
    link_to_hub(&world.islet.state).unwrap().status
}

fn reopening(world: &World, received: u64) -> Reopening {
    let (link, lane) = (world.link, DATA_LANE);
    Reopening { link, lane, epoch: Epoch(2), peer_epoch: Epoch(2), received }
}

fn act(world: &mut World, kind: ActKind, trust_epoch: u32, data: Vec<u8>) -> Result<(), Refusal> {
    let order = ordered(world.islet.id, kind, trust_epoch, data, &council()[..2]);
    world.call(&relayer(), IsletCall::CouncilAct(order))
}

/// Announces an act and lets its delay pass.
fn carry_out(world: &mut World, kind: ActKind, trust_epoch: u32, data: Vec<u8>) {
    act(world, kind, trust_epoch, data).unwrap();
    world.islet.wait(DELAY_MS);
    assert_eq!(pending_act(&world.islet.state), None);
    assert_eq!(link_to_hub(&world.islet.state).unwrap().trust_epoch, trust_epoch);
}

fn of_hub(world: &mut World, call: ToyCall) {
    world.hub.time = world.hub.time.max(world.islet.time);
    world.hub.call(&hub_key(), call).unwrap();
}

fn forge(world: &mut World, lane: Lane) {
    let call = ToyCall::Forge { link: world.link, lane: DATA_LANE, forged: Box::new(lane) };
    of_hub(world, call);
}

/// The islet's link frozen: the hub takes back what the islet has taken of its log.
fn part(world: &mut World, honest: Lane) {
    forge(world, Lane { received: lane_of_hub(world).received, ..honest });
    let head = delivery(&world.hub, world.link, DATA_LANE, lane(world).received.size(), 0);
    world.islet.time = world.islet.time.max(world.hub.time);
    world.islet.run(&relayer(), Call::Deliver(Box::new(head))).unwrap();
    assert_eq!(status(world), LinkStatus::Frozen);
}

/// The council reopens the islet's end at what the hub holds, a quorum the hub's at `common`; then
/// the council sets a new trusted header and the hub approves both acts.
fn reopen_both(world: &mut World, common: u64) {
    let link = world.link;
    let data = reopening(world, lane_of_hub(world).received.size()).encode();
    carry_out(world, ActKind::ReopenLane, 1, data);
    assert_eq!(status(world), LinkStatus::Frozen, "a lane is reopened, the link is not thawed");
    of_hub(world, ToyCall::Stand { link, status: LinkStatus::Frozen });
    let (lane, epoch) = (DATA_LANE, Epoch(2));
    of_hub(world, ToyCall::Reopen { link, lane, epoch, received: common });
    of_hub(world, ToyCall::Stand { link, status: LinkStatus::Open });
    world.islet.time = world.islet.time.max(world.hub.time);
    let anchor = world.hub.anchor().encode();
    carry_out(world, ActKind::NewTrustedHeader, 2, anchor);
    assert_eq!(status(world), LinkStatus::Open);
    of_hub(world, ToyCall::Approve { link, trust_epoch: 2 });
}

/// Where one end took what the other's log does not hold, a new trusted header alone mends nothing.
/// In the next epoch the answers that the hub does not hold come again, and traffic goes on; what
/// was taken stays taken.
#[test]
fn a29_a_lane_whose_logs_have_parted_goes_on_in_its_next_epoch() {
    let mut world = World::new(&SHORT);
    let honest = lane_of_hub(&world);
    let actions = [Action::Pay(pay(&owner(), &neighbour(), 300))];
    let deadline = world.islet.time.saturating_add(60_000);
    let parties = [(owner().address(), owner())];
    let (link, hub) = (world.link, world.hub.id);
    let (xid, lie) = crate::world::prepare(hub, link, 1, deadline, &actions, &parties);
    world.say(DATA_LANE, &Body::Prepare(lie));
    world.relay_in(DATA_LANE).unwrap();
    part(&mut world, honest.clone());
    // The islet's vote, which the hub does not hold, and nothing else.
    assert_eq!(lane(&world).sent.size() - lane_of_hub(&world).received.size(), 1);

    reopen_both(&mut world, honest.sent.size());
    let now = lane(&world);
    assert_eq!((now.epoch, now.peer_epoch, now.received.size()), (Epoch(2), Epoch(2), 0));
    let former = now.former.as_ref().unwrap();
    // What the hub's log does not hold of what was taken is the lie, and the record says so.
    assert_eq!(former.received.size(), honest.sent.size() + 1);
    let records = world.islet.records();
    let acts = records.iter().filter(|record| record.operation == "council-act");
    let held: Vec<&str> = acts.map(|it| it.remark.as_str()).collect();
    let [_, reopened, ..] = held.as_slice() else { panic!("{held:?}") };
    assert_eq!(
        *reopened,
        "epoch 2 of lane 1, of which the hub holds 0 holds; 0 of 1 messages are the hub's, 1 of \
         its own were taken"
    );
    world.relay_out(DATA_LANE);
    let Some(Body::Vote(vote)) = inbox(&world.hub.state, link, DATA_LANE).pop() else {
        panic!("the vote did not come again");
    };
    assert_eq!((vote.xid, vote.yes), (xid, true));
    world.decide(xid, false);
    let (_, vote) = world.vote(2, &actions, &parties);
    assert!(vote.yes, "{}", vote.message);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
}

fn begin(world: &World, salt: u8) -> Begin {
    let here = Branch::new(world.link, &[Action::Pay(pay(&owner(), &neighbour(), 300))]);
    let there = Branch::new(LinkId([0xcc; 32]), &[Action::Pay(pay(&neighbour(), &owner(), 1))]);
    let mut begin = Begin {
        terms: Terms {
            hub: world.hub.id,
            beginner: digest::account_beginner(world.link, owner().address()),
            salt: tombolo_types::Hash([salt; 32]),
            deadline: world.islet.time.saturating_add(60_000),
            branches: vec![digest::branch(&there), digest::branch(&here)],
        },
        branches: vec![there, here],
        authorisations: Vec::new(),
    };
    let consent = digest::authorisation(digest::xid(&begin.terms));
    let by = |branch, account: &SecretKey| Authorisation {
        branch,
        account: account.address(),
        signature: account.sign(consent),
    };
    begin.authorisations = vec![by(0, &neighbour()), by(1, &owner())];
    begin
}

fn start(world: &mut World, begin: &Begin) -> Result<Xid, Refusal> {
    world.call(&owner(), IsletCall::Begin(Box::new(begin.clone())))?;
    Ok(digest::xid(&begin.terms))
}

fn phase(world: &World, xid: Xid) -> Option<Phase> {
    participant(&world.islet.state, xid).map(|it| it.standing())
}

/// Requests that the hub does not hold go back: a share may be shared again, and a Begin frees what
/// it held, which is recorded as the council's word.
#[test]
fn requests_that_the_hub_does_not_hold_go_back() {
    let mut world = World::new(&SHORT);
    let honest = lane_of_hub(&world);
    let envelope = reading(world.islet.id, "kitchen", 1, DataClass::Open);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let order = ShareOrder { destination: ELSEWHERE, not_after: UnixMillis::ZERO };
    let share = IsletCall::Share { data_id: data_id(&envelope), order };
    let draft = begin(&world, 1);
    world.call(&owner(), share.clone()).unwrap();
    let xid = start(&mut world, &draft).unwrap();
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    world.say(DATA_LANE, &Body::Commit(Decision { xid: Xid([1; 32]) }));
    world.relay_in(DATA_LANE).unwrap();
    part(&mut world, honest.clone());
    reopen_both(&mut world, honest.sent.size());

    let record = world.islet.last_record("share");
    assert_eq!((record.outcome, record.data_id), (Class::State as u8, data_id(&envelope)));
    let record = world.islet.last_record("begin");
    assert_eq!((record.outcome, record.global_id.0), (Class::State as u8, xid.0));
    assert_eq!(phase(&world, xid), Some(Phase::Released { trust_epoch: 1, decided: None }));
    assert_eq!(world.funds(), (FUNDS, FUNDS));
    assert_eq!(released(&world.islet.state, Xid::ZERO, 9).len(), 1);
    // Only the answer goes again.
    assert_eq!(lane(&world).sent.size(), 1);
    world.call(&owner(), share).unwrap();
}

/// An answer of the epoch that ended names a number that means another message now. So nothing is
/// begun before all of those have come: a late refusal frees what it was meant for, and nothing else.
///
/// Attack: A42
#[test]
fn a42_a_refusal_of_the_former_epoch_frees_nothing_of_the_next() {
    let mut world = World::new(&SHORT);
    let (first, second) = (begin(&world, 1), begin(&world, 2));
    let held = start(&mut world, &first).unwrap();
    world.relay_out(DATA_LANE);
    // Refused by the hub, which the islet has yet to hear; then the logs part.
    let honest = lane_of_hub(&world);
    world.say(DATA_LANE, &Body::Commit(Decision { xid: Xid([1; 32]) }));
    world.relay_in(DATA_LANE).unwrap();
    part(&mut world, honest.clone());
    let refusal = Body::Refused(Refused {
        of: MessageNumber(0),
        class: Class::Policy as u8,
        message: "no".into(),
    });
    world.say(DATA_LANE, &refusal);
    reopen_both(&mut world, honest.sent.size());
    assert_eq!(phase(&world, held), Some(Phase::Prepared), "what the hub holds waits for it");

    let early = start(&mut world, &second).unwrap_err();
    assert_eq!(early.class, Class::State, "{early}");
    assert!(lane(&world).awaits_former());
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(phase(&world, held), Some(Phase::Aborted));
    assert!(!lane(&world).awaits_former());

    let third = begin(&world, 3);
    let begun = start(&mut world, &third).unwrap();
    // The hub's Done for the strange commit came before it.
    let number = lane(&world).sent.size() - 1;
    let of = |number| Refused { of: MessageNumber(number), class: 9, message: "no".into() };
    world.say(DATA_LANE, &Body::Refused(of(number + 1)));
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(phase(&world, begun), Some(Phase::Prepared), "of another number");
    world.say(DATA_LANE, &Body::Refused(of(number)));
    world.relay_in(DATA_LANE).unwrap();
    assert_eq!(phase(&world, begun), Some(Phase::Aborted));
}

#[test]
fn reopenings_are_refused_with_the_class_that_applies() {
    let mut world = World::new(&SHORT);
    let honest = lane_of_hub(&world);
    let data = reopening(&world, 0).encode();
    let healthy = act(&mut world, ActKind::ReopenLane, 1, data.clone()).unwrap_err();
    assert_eq!(healthy.class, Class::State, "{healthy}");
    world.say(DATA_LANE, &Body::Commit(Decision { xid: Xid([1; 32]) }));
    world.relay_in(DATA_LANE).unwrap();
    part(&mut world, honest);
    let good = reopening(&world, 0);
    let of_another = Reopening { link: LinkId([9; 32]), ..good.clone() };
    let rows = [
        ("another link", of_another, Class::Format),
        ("no such lane", Reopening { lane: LaneNumber(2), ..good.clone() }, Class::NotFound),
        ("the present epoch", Reopening { epoch: Epoch(1), ..good.clone() }, Class::State),
        ("an epoch too far", Reopening { epoch: Epoch(3), ..good.clone() }, Class::State),
        (
            "the hub's present epoch",
            Reopening { peer_epoch: Epoch(1), ..good.clone() },
            Class::State,
        ),
        ("more than was sent", Reopening { received: 2, ..good.clone() }, Class::State),
    ];
    for (what, it, class) in rows {
        let refusal = act(&mut world, ActKind::ReopenLane, 1, it.encode()).expect_err(what);
        assert_eq!(refusal.class, class, "{what}: {refusal}");
    }
    let later = act(&mut world, ActKind::ReopenLane, 2, data.clone()).unwrap_err();
    assert_eq!(later.class, Class::State, "a later trust epoch");
    let mut long = data.clone();
    long.extend([0; 32]);
    let refusal = act(&mut world, ActKind::ReopenLane, 1, long).unwrap_err();
    assert_eq!(refusal.class, Class::Format, "{refusal}");
    // A gateway of mode 1 follows no nodes, and nobody knows a fifth act.
    let keys = act(&mut world, ActKind::NodeKeys, 1, data.clone()).unwrap_err();
    assert_eq!(keys.class, Class::Unsupported);
    let digest = digest::council_act(world.islet.id, 5, 1, keccak256(&data));
    let signatures = council().iter().map(|member| member.sign(digest)).collect();
    let fifth = CouncilOrder { act: 5, trust_epoch: 1, data: data.clone(), signatures };
    let refusal = world.call(&relayer(), IsletCall::CouncilAct(fifth)).unwrap_err();
    assert_eq!(refusal.class, Class::Unsupported);
    // Signed for another act: the same bytes, another number. Attack: A17.
    let mut other = ordered(world.islet.id, ActKind::ReleaseLock, 1, data.clone(), &council());
    other.act = ActKind::ReopenLane.number();
    let refusal = world.call(&relayer(), IsletCall::CouncilAct(other)).unwrap_err();
    assert_eq!(refusal.class, Class::Auth);
    assert_eq!(pending_act(&world.islet.state), None);
    act(&mut world, ActKind::ReopenLane, 1, data).unwrap();
}

/// A deed, and money, locked by one commit.
fn locked(world: &mut World) -> (DataId, Xid) {
    let envelope = reading(world.islet.id, "deed", 1, DataClass::Closed);
    world.call(&device(), submit(&envelope, &device())).unwrap();
    let id = data_id(&envelope);
    let actions = [
        Action::Pay(pay(&owner(), &neighbour(), 300)),
        Action::MoveOut(move_out(id, &owner(), ELSEWHERE)),
    ];
    let (xid, vote) = world.vote(1, &actions, &[(owner().address(), owner())]);
    assert!(vote.yes, "{}", vote.message);
    (id, xid)
}

fn release(world: &World, xid: Xid) -> Vec<u8> {
    Release { link: world.link, xid }.encode()
}

/// Gives the hub back: the council sets a new trusted header, and the hub approves.
fn hub_is_back(world: &mut World, trust_epoch: u32) {
    world.hub.time = world.islet.time;
    world.hub.block(Vec::new());
    let anchor = world.hub.anchor().encode();
    carry_out(world, ActKind::NewTrustedHeader, trust_epoch, anchor);
    of_hub(world, ToyCall::Approve { link: world.link, trust_epoch });
}

/// No clock releases a lock; the council may, once the hub has been as good as gone for the release
/// period, both when it says so and when that holds. What it did is on record for ever.
#[test]
fn s4_a_lock_is_released_only_after_the_release_period_of_a_dead_client() {
    let mut world = World::new(&SHORT);
    let (id, xid) = locked(&mut world);
    let data = release(&world, xid);
    for (what, wait) in [("well", 0), ("expired just now", 60_000), ("nearly", PERIOD_MS - 5_000)] {
        world.islet.wait(wait);
        let refusal = act(&mut world, ActKind::ReleaseLock, 1, data.clone()).expect_err(what);
        assert_eq!(refusal.class, Class::State, "{what}: {refusal}");
    }
    world.islet.wait(5_000);
    let unknown = release(&world, Xid([3; 32]));
    let refusal = act(&mut world, ActKind::ReleaseLock, 1, unknown).unwrap_err();
    assert_eq!(refusal.class, Class::State, "nothing is locked for it: {refusal}");
    let of_another = Release { link: LinkId([9; 32]), xid }.encode();
    let refusal = act(&mut world, ActKind::ReleaseLock, 1, of_another).unwrap_err();
    assert_eq!(refusal.class, Class::Format);
    act(&mut world, ActKind::ReleaseLock, 1, data.clone()).unwrap();
    // Announced under the present trust epoch, so that the hub may hear of it before it holds.
    assert_eq!(phase(&world, xid), Some(Phase::Prepared));
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    let announced = pending_act(&world.islet.state).unwrap();
    assert_eq!((announced.act, announced.data), (ActKind::ReleaseLock, data));
    world.islet.wait(DELAY_MS);

    assert_eq!(phase(&world, xid), Some(Phase::Released { trust_epoch: 1, decided: None }));
    assert_eq!(world.funds(), (FUNDS, FUNDS));
    assert_eq!(item(&world.islet.state, id).unwrap().standing, Standing::Live);
    assert_eq!(locks(&world.islet.state, Xid::ZERO, 9), []);
    let record = world.islet.last_record("council-act");
    assert_eq!((record.outcome, record.global_id.0, record.data_id), (0, xid.0, id));
    assert!(record.remark.starts_with("heuristic outcome: 300 of asset "), "{}", record.remark);
    let [(released_xid, it)] = &released(&world.islet.state, Xid::ZERO, 9)[..] else { panic!() };
    let Released { trust_epoch, held: Held { holds, .. }, .. } = it;
    assert_eq!((*released_xid, *trust_epoch), (xid, 1));
    let (from, to) = (owner().address(), neighbour().address());
    let paid = Hold::Pays { from, to, asset: ASSET, amount: Amount(300) };
    assert_eq!(*holds, [paid, Hold::Leaves { item: id, to: ELSEWHERE }]);
    // No deadline makes it forgotten, and nothing is released twice.
    world.islet.wait(600_000);
    world.islet.block(Vec::new());
    assert!(phase(&world, xid).is_some());
    let again = release(&world, xid);
    let refusal = act(&mut world, ActKind::ReleaseLock, 2, again).unwrap_err();
    assert_eq!(refusal.class, Class::State);
}

/// Attack: A43. Req: Y4560-6.3-2
#[test]
fn s4_a_commit_that_comes_after_the_release_applies_nothing_and_disputes_the_item() {
    let mut world = World::new(&SHORT);
    let (id, xid) = locked(&mut world);
    // Another item that the same hub would let appear here.
    let foreign = reading(ELSEWHERE, "foreign", 1, DataClass::Closed);
    let into = Action::MoveIn(move_in(&foreign, &device(), ELSEWHERE, &owner()));
    let (coming, vote) = world.vote(2, &[into], &[]);
    assert!(vote.yes, "{}", vote.message);
    world.islet.wait(60_000 + PERIOD_MS);
    for (trust_epoch, xid) in [(1, xid), (2, coming)] {
        let data = release(&world, xid);
        carry_out(&mut world, ActKind::ReleaseLock, trust_epoch, data);
    }
    // The owner goes on with what is free again.
    let next = reading(world.islet.id, "deed", 2, DataClass::Closed);
    world.call(&device(), submit(&next, &device())).unwrap();
    hub_is_back(&mut world, 3);
    for (xid, id) in [(xid, id), (coming, data_id(&foreign))] {
        world.decide(xid, true);
        let decided = Some(Outcome::Commit);
        let phase = phase(&world, xid);
        assert!(matches!(phase, Some(Phase::Released { decided: it, .. }) if it == decided));
        let item = item(&world.islet.state, id).unwrap();
        assert_eq!(item.standing, Standing::Disputed(xid));
        assert!(!item.envelope.is_empty(), "it can be read");
        let record = world.islet.last_record("commit");
        assert_eq!(record.outcome, Class::State as u8);
        assert!(record.remark.contains("1 items are disputed"), "{}", record.remark);
    }
    assert_eq!(world.funds(), (FUNDS, FUNDS));

    // Accepted nowhere.
    let third = reading(world.islet.id, "deed", 3, DataClass::Closed);
    let refusal = world.call(&device(), submit(&third, &device())).unwrap_err();
    assert_eq!(refusal.class, Class::State, "{refusal}");
    let out = Action::MoveOut(move_out(id, &owner(), ELSEWHERE));
    let (_, vote) = world.vote(3, &[out], &[(owner().address(), owner())]);
    assert_eq!((vote.yes, vote.class), (false, Class::State as u8));

    // Until the good copy comes back: it takes the place of the disputed one, whose version was
    // higher. The decision once more changes nothing.
    let good = reading(world.islet.id, "deed", 1, DataClass::Closed);
    let into = Action::MoveIn(move_in(&good, &device(), ELSEWHERE, &neighbour()));
    let (back, vote) = world.vote(4, &[into], &[]);
    assert!(vote.yes, "{}", vote.message);
    world.decide(back, true);
    world.decide(xid, true);
    let item = item(&world.islet.state, id).unwrap();
    assert_eq!((item.version, item.standing), (1, Standing::Live));
    let past = past_versions(&world.islet.state, id, 2, 9);
    assert_eq!((past[0].version, past[0].standing), (2, Standing::Disputed(xid)));
}

/// An Abort that comes after a release fits it.
#[test]
fn an_abort_after_a_release_disputes_nothing() {
    let mut world = World::new(&SHORT);
    let (id, xid) = locked(&mut world);
    world.islet.wait(60_000 + PERIOD_MS);
    let data = release(&world, xid);
    carry_out(&mut world, ActKind::ReleaseLock, 1, data);
    hub_is_back(&mut world, 2);
    world.decide(xid, false);
    let decided = Some(Outcome::Abort);
    assert_eq!(phase(&world, xid), Some(Phase::Released { trust_epoch: 1, decided }));
    assert_eq!(item(&world.islet.state, id).unwrap().standing, Standing::Live);
    assert_eq!(world.islet.last_record("abort").outcome, 0);
}
