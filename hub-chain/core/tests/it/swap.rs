//! Orders of hash-timelock swaps: what is refused, what time does, what is mirrored.

use crate::{
    harness::{identity, key, parameter},
    world::{World, class},
};
use tombolo_crypto::digest;
use tombolo_hub::{
    HubCall,
    govern::Act,
    identity::Binding,
    swap::{
        ChainDeclaration, Happened, OrderStatus, SwapCall, SwapReport, all_declared, declared,
        open_of, order, order_of_hash, orders, protocol_of,
    },
};
use tombolo_swap::{
    htlc::{Expiry, Margins, Profile, Spending, gap_needs_ms, lock_needs_ms},
    protocol::{Locking, Protocol},
};
use tombolo_types::{
    Amount, Class, Hash, Height, Refusal, UnixMillis,
    id::{AssetId, ChainId, IdentityId, OrderId},
    message::Status,
    swap::{Account, Deadline, Leg, Order, Secret},
};

const SECRET: Secret = Secret([0x5e; 32]);
const PROFILE: Profile = Profile {
    block_ms_fastest: 20,
    block_ms_slowest: 1_000,
    time_lag_ms: 0,
    skew_ms: 500,
    inclusion_ms: 2_000,
    finality_ms: 0,
    expiry: Expiry::Enforced,
    spending: Spending::Anybody,
};
const MARGINS: Margins = Margins { relay_ms: 1_000, outage_ms: 5_000 };
/// A hash is remembered for so long after an order is over.
const REMEMBERED_MS: u64 = 600_000;
/// A chain that declares hash locks and is not linked.
const FAR: ChainId = ChainId([0xfa; 32]);

/// Two linked chains that declare themselves, and accounts of parties 1 and 2 on each; and a chain to
/// which no link leads.
pub(crate) fn world() -> World {
    world_with(2)
}

fn world_with(orders_max: u64) -> World {
    let mut world = World::with(vec![
        parameter("relay_margin_ms", MARGINS.relay_ms),
        parameter("swap_deadline_max_ms", REMEMBERED_MS),
        parameter("swap_orders_max", orders_max),
        parameter("swap_outage_ms", MARGINS.outage_ms),
        parameter("swap_window_max_ms", 60_000),
    ]);
    for chain in [world.a.id, world.b.id, FAR] {
        declare(&mut world, chain, &[Locking::Hash, Locking::Provable]);
    }
    for party in [1, 2] {
        for (nonce, chain) in [(0, world.a.id), (1, world.b.id)] {
            bind(&mut world, party, chain, nonce).unwrap();
        }
    }
    world
}

fn declare(world: &mut World, chain: ChainId, locking: &[Locking]) {
    let locking = locking.iter().copied().collect();
    let declaration = ChainDeclaration { chain, locking, profile: PROFILE };
    world.hub.enact(Act::DeclareChain(Box::new(declaration))).unwrap();
}

fn bind(world: &mut World, party: u8, chain: ChainId, nonce: u64) -> Result<(), Refusal> {
    let account = key(party).address();
    let digest = digest::binding(world.hub.id, chain, account, identity(party), nonce);
    let signature = key(party).sign(digest);
    let binding =
        Binding { chain, account, identity_signature: signature, account_signature: signature };
    world.hub.run(party, HubCall::Bind(Box::new(binding))).map(drop)
}

/// The nearest deadlines that an offer in the next block may have.
fn nearest(world: &World) -> (UnixMillis, UnixMillis) {
    let now = world.hub.now + 1_000;
    let second = now + lock_needs_ms(&[PROFILE; 2], &MARGINS);
    let over = second + PROFILE.block_ms_slowest;
    let first = over + gap_needs_ms(&PROFILE, &PROFILE, &MARGINS);
    (UnixMillis(first), UnixMillis(second))
}

/// Party 1 gives on A, party 2 on B; half a minute more than what must be.
fn order_on(world: &World, chains: [ChainId; 2], secret: Secret) -> Order {
    let (first, second) = nearest(world);
    let leg = |chain, locker: u8, recipient: u8, deadline: UnixMillis| Leg {
        chain,
        asset: AssetId([locker; 32]),
        amount: Amount(10),
        locker: key(locker).address().into(),
        recipient: key(recipient).address().into(),
        deadline: Deadline::Time(deadline.saturating_add(30_000)),
    };
    Order {
        hash: digest::secret_hash(&secret),
        parties: vec![identity(1), identity(2)],
        legs: vec![leg(chains[0], 1, 2, first), leg(chains[1], 2, 1, second)],
        accept_until: UnixMillis(world.hub.now + 20_000),
        premium: Amount::ZERO,
    }
}

fn plain(world: &World) -> Order {
    order_on(world, [world.a.id, world.b.id], SECRET)
}

fn run(world: &mut World, signer: u8, call: SwapCall) -> Result<(), Refusal> {
    world.hub.run(signer, HubCall::Swap(Box::new(call))).map(drop)
}

fn offer(world: &mut World, order: Order) -> Result<OrderId, Refusal> {
    let id = digest::order(world.hub.id, &order);
    run(world, 1, SwapCall::Offer(order)).map(|()| id)
}

pub(crate) fn offer_plain(world: &mut World) -> Result<OrderId, Refusal> {
    let order = plain(world);
    offer(world, order)
}

fn accepted(world: &mut World) -> OrderId {
    let id = offer_plain(world).unwrap();
    run(world, 2, SwapCall::Accept { order: id }).unwrap();
    id
}

fn status(world: &World, id: OrderId) -> Option<OrderStatus> {
    order(&world.hub.store, id).map(|kept| kept.status)
}

fn said(order: OrderId, leg: u32, happened: Happened) -> SwapCall {
    let secret = if happened == Happened::Claimed { SECRET.0.to_vec() } else { Vec::new() };
    SwapCall::Report(SwapReport {
        order,
        leg,
        happened,
        secret,
        transaction: Hash([leg as u8; 32]),
    })
}

/// Req: PRJ-5-5, Y4560-7.2.3-2
#[test]
fn an_order_is_offered_accepted_reported_and_settled() {
    let mut world = world();
    let id = offer_plain(&mut world).unwrap();
    assert_eq!(status(&world, id), Some(OrderStatus::Offered));
    assert_eq!(open_of(&world.hub.store, identity(1)), 1);
    run(&mut world, 2, SwapCall::Accept { order: id }).unwrap();
    assert_eq!(status(&world, id), Some(OrderStatus::Accepted));
    assert_eq!(open_of(&world.hub.store, identity(2)), 1);

    for party in [1, 2] {
        for leg in [0, 1] {
            run(&mut world, party, said(id, leg, Happened::Locked)).unwrap();
        }
    }
    for (party, leg) in [(1, 1), (2, 1), (2, 0)] {
        run(&mut world, party, said(id, leg, Happened::Claimed)).unwrap();
        assert_eq!(status(&world, id), Some(OrderStatus::Accepted));
    }
    run(&mut world, 1, said(id, 0, Happened::Claimed)).unwrap();
    assert_eq!(status(&world, id), Some(OrderStatus::Settled));
    assert_eq!(order(&world.hub.store, id).unwrap().secret, Some(SECRET));
    for party in [1, 2] {
        assert_eq!(open_of(&world.hub.store, identity(party)), 0);
    }

    let swap = digest::swap(digest::secret_hash(&SECRET));
    for (operation, many) in [("swap offer", 1), ("swap accept", 1), ("swap report", 8)] {
        let records = world.hub.records_of(operation);
        assert_eq!(records.len(), many, "{operation}");
        for record in records {
            assert_eq!((record.outcome, record.protocol.as_str()), (0, "htlc"), "{operation}");
            assert_eq!(record.global_id, swap, "{operation}: one id on all ledgers");
            assert_eq!(
                (record.source_chain, record.destination_chain),
                (world.a.id, world.b.id),
                "{operation}"
            );
            for party in [1, 2] {
                assert!(record.parties.contains(&identity(party)), "{operation}");
            }
        }
    }
    // A report is what a party says, and the record says so.
    let remark = world.hub.records_of("swap report")[4].remark.clone();
    assert!(remark.contains("reports leg 1 claimed; the secret is proved, the claim is not"));
}

type Change = fn(&mut Order, &World);

/// Req: PRJ-5-4, PRJ-5-5
#[test]
fn an_offer_is_refused_with_the_class_that_applies() {
    let cases: [(&str, Change, Class); 20] = [
        ("one party twice", |order, _| order.parties[1] = order.parties[0], Class::Format),
        ("nothing locked", |order, _| order.legs[0].amount = Amount::ZERO, Class::Format),
        (
            "a window too long",
            |order, world| order.accept_until = UnixMillis(world.hub.now + 61_001),
            Class::Limit,
        ),
        (
            "a lock too long",
            |order, world| {
                let over = world.hub.now + 1_000 + REMEMBERED_MS + 1;
                order.legs[0].deadline =
                    Deadline::Time(UnixMillis(over - PROFILE.block_ms_slowest));
            },
            Class::Limit,
        ),
        (
            "no end",
            |order, _| order.legs[0].deadline = Deadline::Time(UnixMillis::MAX),
            Class::Limit,
        ),
        ("an unknown party", |order, _| order.parties[1] = IdentityId([9; 32]), Class::Ident),
        ("another first party", |order, _| order.parties.swap(0, 1), Class::Denied),
        (
            "somebody else's account to lock with",
            |order, _| order.legs[0].locker = key(3).address().into(),
            Class::Denied,
        ),
        (
            "somebody else's account to receive with",
            |order, _| order.legs[1].recipient = key(3).address().into(),
            Class::Denied,
        ),
        (
            "an account that is no address",
            |order, _| order.legs[1].recipient = Account::new(&[1; 33]).unwrap(),
            Class::Denied,
        ),
        (
            "a chain that declares nothing",
            |order, _| order.legs[0].chain = ChainId([1; 32]),
            Class::NotFound,
        ),
        (
            "a party without an account",
            |order, _| {
                order.parties[1] = identity(3);
                order.legs[0].recipient = key(3).address().into();
                order.legs[1].locker = key(3).address().into();
            },
            Class::NotFound,
        ),
        ("a premium", |order, _| order.premium = Amount(1), Class::Unsupported),
        (
            "a height on a chain that the hub does not follow",
            |order, _| {
                order.legs[0].chain = FAR;
                order.legs[0].deadline = Deadline::Height(Height(900));
            },
            Class::Unsupported,
        ),
        (
            "deadlines a millisecond too near to each other",
            |order, world| {
                let (first, second) = nearest(world);
                order.legs[0].deadline = Deadline::Time(first.saturating_sub(1));
                order.legs[1].deadline = Deadline::Time(second);
            },
            Class::State,
        ),
        (
            "equal deadlines",
            |order, _| order.legs[0].deadline = order.legs[1].deadline,
            Class::State,
        ),
        (
            "a millisecond too near to now",
            |order, world| {
                let (_, second) = nearest(world);
                order.legs[1].deadline = Deadline::Time(second.saturating_sub(1));
            },
            Class::State,
        ),
        (
            "a window that is over",
            |order, world| order.accept_until = UnixMillis(world.hub.now + 1_000),
            Class::Timeout,
        ),
        (
            "a premium, and a window too long",
            |order, world| {
                order.premium = Amount(1);
                order.accept_until = UnixMillis(world.hub.now + 61_001);
            },
            Class::Limit,
        ),
        (
            "equal deadlines, by another",
            |order, _| {
                order.legs[0].deadline = order.legs[1].deadline;
                order.parties.swap(0, 1);
            },
            Class::Denied,
        ),
    ];
    let mut world = world();
    for (what, change, expected) in cases {
        let mut order = plain(&world);
        change(&mut order, &world);
        assert_eq!(class(offer(&mut world, order)), Some(expected), "{what}");
        let record = world.hub.last_record();
        assert_eq!((record.outcome, record.protocol.as_str()), (expected as u8, "htlc"), "{what}");
    }
    assert_eq!(orders(&world.hub.store, OrderId::ZERO, 9), []);
    assert_eq!(open_of(&world.hub.store, identity(1)), 0);
    // Exactly far enough; and on a chain to which no link leads the parties name the accounts.
    let (first, second) = nearest(&world);
    let mut order = plain(&world);
    order.legs[0].deadline = Deadline::Time(first);
    order.legs[1].deadline = Deadline::Time(second);
    order.legs[0].chain = FAR;
    order.legs[0].recipient = Account::new(&[2; 33]).unwrap();
    offer(&mut world, order).unwrap();
}

/// Nothing is offered, and so nothing locked, where a chain cannot lock by hash.
///
/// Req: PRJ-5-4
#[test]
fn chains_that_cannot_lock_are_unsupported_before_any_lock() {
    let mut world = world();
    let (a, b) = (world.a.id, world.b.id);
    let protocol = |world: &World, chains: &[ChainId]| {
        protocol_of(&world.hub.store, chains).map_err(|refusal| refusal.class)
    };
    assert_eq!(protocol(&world, &[a, b]), Ok(Protocol::TwoPhase));
    declare(&mut world, a, &[Locking::Hash]);
    assert_eq!(protocol(&world, &[a, b]), Ok(Protocol::HashTimelock));
    declare(&mut world, b, &[Locking::Provable]);
    assert_eq!(protocol(&world, &[a, b]), Err(Class::Unsupported));
    assert_eq!(class(offer_plain(&mut world)), Some(Class::Unsupported));
    assert_eq!(world.hub.last_record().outcome, Class::Unsupported as u8);
    declare(&mut world, b, &[]);
    assert_eq!(protocol(&world, &[a, b]), Err(Class::Unsupported));
    assert_eq!(protocol(&world, &[a, ChainId([1; 32])]), Err(Class::NotFound));
}

/// By height on a chain that the hub follows: judged from the newest header that it has accepted.
///
/// Req: PRJ-5-8
#[test]
fn a33_heights_are_judged_from_what_the_hub_follows() {
    let mut world = world();
    // Heights that are far enough at the fastest pace may last very long at the slowest.
    let value = 86_400_000;
    let longer = Act::SetParameter { name: "swap_deadline_max_ms".into(), value };
    world.hub.enact(longer).unwrap();
    let followed = tombolo_hub::swap::clock_of(&world.hub.store, world.a.id).unwrap();
    let by_height = |world: &World, less: u64| {
        let (first, second) = nearest(world);
        let blocks = (first.0 - followed.time.0).div_ceil(PROFILE.block_ms_fastest) - less;
        let mut order = plain(world);
        order.legs[0].deadline = Deadline::Height(followed.height.saturating_add(blocks));
        order.legs[1].deadline = Deadline::Time(second);
        order
    };
    let too_near = by_height(&world, 1);
    assert_eq!(class(offer(&mut world, too_near)), Some(Class::State));
    let far_enough = by_height(&world, 0);
    offer(&mut world, far_enough).unwrap();
}

/// Req: PRJ-5-5
#[test]
fn an_acceptance_is_refused_with_the_class_that_applies() {
    let mut world = world();
    let unknown = SwapCall::Accept { order: OrderId([1; 32]) };
    assert_eq!(class(run(&mut world, 2, unknown)), Some(Class::NotFound));
    let id = offer_plain(&mut world).unwrap();
    let accept = SwapCall::Accept { order: id };
    assert_eq!(class(run(&mut world, 3, accept.clone())), Some(Class::Denied));
    assert_eq!(class(run(&mut world, 1, accept.clone())), Some(Class::Replay));
    let suspend = |status| Act::SetStatus { identity: identity(1), status };
    world.hub.propose(2, suspend(Status::Suspended)).unwrap();
    let proposal = tombolo_hub::govern::proposals(&world.hub.store, Hash::ZERO, 9)[0].0;
    world.hub.run(3, HubCall::Approve { proposal }).unwrap();
    assert_eq!(class(run(&mut world, 2, accept.clone())), Some(Class::Ident));
    world.hub.propose(2, suspend(Status::Active)).unwrap();
    let proposal = tombolo_hub::govern::proposals(&world.hub.store, Hash::ZERO, 9)[0].0;
    world.hub.run(3, HubCall::Approve { proposal }).unwrap();
    run(&mut world, 2, accept.clone()).unwrap();
    assert_eq!(class(run(&mut world, 2, accept)), Some(Class::Replay));
}

/// What was far enough when it was offered may be too near when it is accepted.
#[test]
fn an_acceptance_that_leaves_too_little_time_is_refused() {
    let mut world = world();
    let (first, second) = nearest(&world);
    let mut order = plain(&world);
    order.legs[0].deadline = Deadline::Time(first);
    order.legs[1].deadline = Deadline::Time(second);
    let id = offer(&mut world, order).unwrap();
    assert_eq!(class(run(&mut world, 2, SwapCall::Accept { order: id })), Some(Class::State));
}

/// The window ends in its own millisecond, and the offer with it.
#[test]
fn a34_an_offer_expires_with_its_window_and_makes_room() {
    let mut world = world_with(1);
    let mut order = plain(&world);
    order.accept_until = UnixMillis(world.hub.now + 3_000);
    let id = offer(&mut world, order).unwrap();
    let other = order_on(&world, [world.a.id, world.b.id], Secret([1; 32]));
    assert_eq!(class(offer(&mut world, other)), Some(Class::Limit));
    assert_eq!(status(&world, id), Some(OrderStatus::Offered));
    let accept = SwapCall::Accept { order: id };
    assert_eq!(class(run(&mut world, 2, accept)), Some(Class::State));
    assert_eq!(status(&world, id), Some(OrderStatus::Expired));
    let expired = world.hub.records_of("swap expire");
    assert_eq!((expired.len(), expired[0].protocol.as_str()), (1, "htlc"));
    let other = order_on(&world, [world.a.id, world.b.id], Secret([1; 32]));
    offer(&mut world, other).unwrap();
}

/// Both sides have a quota, and what is open counts until it is closed.
#[test]
fn a34_open_orders_of_a_party_are_bounded() {
    let mut world = world_with(1);
    let id = accepted(&mut world);
    // The second party may not accept another one, nor offer one.
    let mut other = order_on(&world, [world.a.id, world.b.id], Secret([1; 32]));
    other.parties = vec![identity(2), identity(1)];
    for leg in &mut other.legs {
        std::mem::swap(&mut leg.locker, &mut leg.recipient);
    }
    let offered = run(&mut world, 2, SwapCall::Offer(other.clone()));
    assert_eq!(class(offered), Some(Class::Limit));
    for (party, leg) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        run(&mut world, party, said(id, leg, Happened::Refunded)).unwrap();
    }
    assert_eq!(status(&world, id), Some(OrderStatus::Settled));
    other.accept_until = UnixMillis(world.hub.now + 20_000);
    let mut fresh = order_on(&world, [world.a.id, world.b.id], Secret([1; 32]));
    fresh.parties = other.parties;
    fresh.legs.iter_mut().for_each(|leg| std::mem::swap(&mut leg.locker, &mut leg.recipient));
    run(&mut world, 2, SwapCall::Offer(fresh)).unwrap();
}

/// A hash is taken once, by whoever comes first, while it is remembered.
///
/// Req: PRJ-5-5
#[test]
fn a38_a_hash_is_taken_once() {
    let mut world = world();
    let id = offer_plain(&mut world).unwrap();
    assert_eq!(order_of_hash(&world.hub.store, plain(&world).hash).unwrap().id, id);
    let mut other = plain(&world);
    other.legs[0].amount = Amount(11);
    assert_eq!(class(offer(&mut world, other)), Some(Class::Replay));
    run(&mut world, 1, SwapCall::Withdraw { order: id }).unwrap();
    assert_eq!(status(&world, id), Some(OrderStatus::Withdrawn));
    assert_eq!(class(offer_plain(&mut world)), Some(Class::Replay));
    let lapses_at = order(&world.hub.store, id).unwrap().lapses_at;
    world.hub.now = lapses_at.0 + REMEMBERED_MS - 1_001;
    world.hub.block(vec![]);
    assert_eq!(status(&world, id), Some(OrderStatus::Withdrawn));
    world.hub.block_after(1, vec![]);
    assert_eq!(status(&world, id), None);
    offer_plain(&mut world).unwrap();
}

#[test]
fn only_the_first_party_takes_an_offer_back_and_only_before_it_is_accepted() {
    let mut world = world();
    let id = offer_plain(&mut world).unwrap();
    let withdraw = SwapCall::Withdraw { order: id };
    assert_eq!(class(run(&mut world, 2, withdraw.clone())), Some(Class::Denied));
    run(&mut world, 2, SwapCall::Accept { order: id }).unwrap();
    assert_eq!(class(run(&mut world, 1, withdraw)), Some(Class::State));
}

/// Who accepted and never said a word binds nobody for ever.
#[test]
fn a34_an_accepted_order_lapses_after_its_deadlines() {
    let mut world = world();
    let id = accepted(&mut world);
    let lapses_at = order(&world.hub.store, id).unwrap().lapses_at;
    let Deadline::Time(first) = order(&world.hub.store, id).unwrap().order.legs[0].deadline else {
        panic!()
    };
    let settles = PROFILE.block_ms_slowest + PROFILE.skew_ms + PROFILE.inclusion_ms;
    let news = MARGINS.relay_ms + MARGINS.outage_ms;
    assert_eq!(lapses_at, first.saturating_add(settles + news));
    world.hub.now = lapses_at.0 - 1_001;
    world.hub.block(vec![]);
    assert_eq!(status(&world, id), Some(OrderStatus::Accepted));
    world.hub.block_after(1, vec![]);
    assert_eq!(status(&world, id), Some(OrderStatus::Lapsed));
    assert_eq!(world.hub.records_of("swap lapse").len(), 1);
    assert_eq!(open_of(&world.hub.store, identity(1)), 0);
    // What became of it may still be said.
    run(&mut world, 1, said(id, 0, Happened::Refunded)).unwrap();
    assert_eq!(status(&world, id), Some(OrderStatus::Lapsed));
}

/// A report is mirrored and not believed: parties may contradict each other, and nobody takes back
/// how a leg ended.
#[test]
fn a_report_is_refused_with_the_class_that_applies() {
    let mut world = world();
    let id = offer_plain(&mut world).unwrap();
    let early = said(id, 0, Happened::Locked);
    assert_eq!(class(run(&mut world, 1, early)), Some(Class::State));
    run(&mut world, 2, SwapCall::Accept { order: id }).unwrap();
    let with = |secret: &[u8], happened| {
        let transaction = Hash::ZERO;
        let secret = secret.to_vec();
        SwapCall::Report(SwapReport { order: id, leg: 1, happened, secret, transaction })
    };
    let cases = [
        (1, said(OrderId([1; 32]), 0, Happened::Locked), Class::NotFound),
        (1, said(id, 2, Happened::Locked), Class::Format),
        (1, with(&SECRET.0, Happened::Refunded), Class::Format),
        (3, said(id, 0, Happened::Locked), Class::Denied),
        (1, with(&[], Happened::Claimed), Class::Proof),
        (1, with(&SECRET.0[..31], Happened::Claimed), Class::Proof),
        (1, with(&[SECRET.0.as_slice(), &[0]].concat(), Happened::Claimed), Class::Proof),
        (3, with(&[1; 32], Happened::Claimed), Class::Proof),
    ];
    for (signer, call, expected) in cases {
        assert_eq!(class(run(&mut world, signer, call.clone())), Some(expected), "{call:?}");
    }
    run(&mut world, 1, said(id, 0, Happened::Locked)).unwrap();
    assert_eq!(class(run(&mut world, 1, said(id, 0, Happened::Locked))), Some(Class::Replay));
    run(&mut world, 1, said(id, 0, Happened::Refunded)).unwrap();
    assert_eq!(class(run(&mut world, 1, said(id, 0, Happened::Claimed))), Some(Class::State));
    // The other party may see it otherwise; that is kept, and the order is not settled.
    run(&mut world, 2, said(id, 0, Happened::Claimed)).unwrap();
    run(&mut world, 1, said(id, 1, Happened::Claimed)).unwrap();
    run(&mut world, 2, said(id, 1, Happened::Claimed)).unwrap();
    assert_eq!(status(&world, id), Some(OrderStatus::Accepted));
}

/// Anybody may bring the secret: a watcher of one chain learns it from here.
///
/// Req: PRJ-5-6
#[test]
fn a32_a_watcher_may_bring_the_secret() {
    let mut world = world();
    let id = accepted(&mut world);
    run(&mut world, 5, said(id, 1, Happened::Claimed)).unwrap();
    let kept = order(&world.hub.store, id).unwrap();
    assert_eq!((kept.secret, kept.reports.len()), (Some(SECRET), 0), "a stranger's word is none");
    assert_eq!(class(run(&mut world, 5, said(id, 1, Happened::Claimed))), Some(Class::Replay));
    run(&mut world, 1, said(id, 1, Happened::Claimed)).unwrap();
}

/// Parties stake funds on a profile, so it takes a quorum, and one that no chain can have is none.
#[test]
fn a62_a_hostile_profile_is_refused() {
    let mut world = world();
    let good = ChainDeclaration {
        chain: ChainId([7; 32]),
        locking: [Locking::Hash].into(),
        profile: PROFILE,
    };
    let bad: [fn(&mut ChainDeclaration); 6] = [
        |it| it.chain = ChainId::ZERO,
        |it| it.profile.block_ms_fastest = 0,
        |it| it.profile.block_ms_fastest = it.profile.block_ms_slowest + 1,
        |it| it.profile.inclusion_ms = it.profile.block_ms_slowest - 1,
        |it| it.profile.skew_ms = u64::MAX,
        |it| it.profile.finality_ms = 91 * 86_400_000,
    ];
    for (number, change) in bad.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        let proposed = world.hub.propose(1, Act::DeclareChain(Box::new(bad)));
        assert_eq!(class(proposed), Some(Class::Format), "{number}");
    }
    let proposed = world.hub.propose(4, Act::DeclareChain(Box::new(good.clone())));
    assert_eq!(class(proposed), Some(Class::Denied));
    let proposal = world.hub.propose(1, Act::DeclareChain(Box::new(good.clone()))).unwrap();
    assert_eq!(declared(&world.hub.store, good.chain), None);
    world.hub.run(2, HubCall::Approve { proposal }).unwrap();
    let found = declared(&world.hub.store, good.chain).unwrap();
    assert_eq!((found.declaration, found.approvers), (good, vec![identity(1), identity(2)]));
    assert_eq!(all_declared(&world.hub.store, ChainId::ZERO, 9).len(), 4);
    assert_eq!(world.hub.last_record().operation, "chain declare");
}
