//! One order that the tests bend, and looks at its two chains.

use tombolo_crypto::digest;
use tombolo_swap::htlc::{
    Clock, Expiry, Found, Lock, Look, Margins, Opening, Profile, Role, Settled, Sight, Spending,
    Standing, Swap, Terms,
};
use tombolo_types::{
    Amount, Height, UnixMillis,
    id::{AssetId, ChainId, IdentityId},
    swap::{Account, Deadline, Leg, Order, Secret},
};

pub(crate) const SECRET: Secret = Secret([0x5e; 32]);
/// When the tests begin, on every clock.
pub(crate) const NOW: UnixMillis = UnixMillis(1_000_000);
pub(crate) const MARGINS: Margins = Margins { relay_ms: 1_000, outage_ms: 10_000 };
pub(crate) const PROFILE: Profile = Profile {
    block_ms_fastest: 50,
    block_ms_slowest: 500,
    time_lag_ms: 0,
    skew_ms: 100,
    inclusion_ms: 600,
    finality_ms: 200,
    expiry: Expiry::Enforced,
    spending: Spending::Anybody,
};
/// What neighbours of this profile need between their deadlines.
pub(crate) const GAP_MS: u64 = 2 * (600 + 200 + 100) + 11_000;
/// What the second lock, or the claim that shows the secret, needs to the last deadline.
pub(crate) const REVEAL_MS: u64 = 11_000 + 600 + 200 + 100;
pub(crate) const SECOND_LOCK_MS: u64 = 600 + 200 + 1_000 + REVEAL_MS;
/// Both locks are made at `NOW`; the last deadline leaves a second more than is needed.
pub(crate) const SECOND: UnixMillis = UnixMillis(NOW.0 + 1_800 + SECOND_LOCK_MS + 1_000);
/// Exactly far enough: what is latest lies a slowest block after the deadline.
pub(crate) const FIRST: UnixMillis = UnixMillis(SECOND.0 + 500 + GAP_MS);

pub(crate) fn account(number: u8) -> Account {
    Account::new(&[number; 20]).unwrap()
}

/// Party 0 pays on chain 1, party 1 on chain 2.
pub(crate) fn order_with(deadlines: [Deadline; 2]) -> Order {
    let leg = |number: u8, deadline| Leg {
        chain: ChainId([1 + number; 32]),
        asset: AssetId([0xa0 + number; 32]),
        amount: Amount(10),
        locker: account(10 + number),
        recipient: account(11 - number),
        deadline,
    };
    Order {
        hash: digest::secret_hash(&SECRET),
        parties: vec![IdentityId([1; 32]), IdentityId([2; 32])],
        legs: vec![leg(0, deadlines[0]), leg(1, deadlines[1])],
        accept_until: NOW.saturating_add(60_000),
        premium: Amount::ZERO,
    }
}

pub(crate) fn order() -> Order {
    order_with([Deadline::Time(FIRST), Deadline::Time(SECOND)])
}

pub(crate) fn terms() -> Terms {
    Terms::read(order()).unwrap()
}

pub(crate) fn opening(terms: Terms, role: Role) -> Opening {
    let secret = (role == Role::Party(0)).then_some(SECRET);
    let profiles = vec![PROFILE; terms.locks().len()];
    Opening { terms, role, secret, profiles, margins: MARGINS }
}

/// A machine whose order is accepted.
pub(crate) fn swap(role: Role) -> Swap {
    let swap = Swap::open(opening(terms(), role)).unwrap();
    swap.step(NOW, tombolo_swap::htlc::Input::Accepted).state
}

/// A chain at this time; ten blocks a second since the tests began.
pub(crate) fn clock(time: UnixMillis) -> Clock {
    Clock { height: Height(100 + time.since(NOW) / 100), time }
}

pub(crate) fn absent(time: UnixMillis) -> Option<Sight> {
    Some(Sight { clock: clock(time), found: None })
}

/// A leg's lock as agreed.
pub(crate) fn seen(
    time: UnixMillis,
    lock: &Lock,
    standing: Standing,
    settled: Settled,
) -> Option<Sight> {
    let found = Found {
        lock: lock.clone(),
        funding: vec![7],
        standing,
        settled,
        shown: (standing == Standing::Claimed).then_some(SECRET),
    };
    Some(Sight { clock: clock(time), found: Some(found) })
}

pub(crate) fn funded(time: UnixMillis, lock: &Lock) -> Option<Sight> {
    seen(time, lock, Standing::Funded, Settled::Final)
}

pub(crate) fn look(at: UnixMillis, sights: [Option<Sight>; 2]) -> Look {
    Look { at, sights: sights.into() }
}
