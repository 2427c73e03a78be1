//! What may be done when, as tables; and what the machine makes of it.

use super::fixture::{
    FIRST, MARGINS, NOW, PROFILE, REVEAL_MS, SECOND, SECOND_LOCK_MS, SECRET, absent, clock, funded,
    look, opening, order, seen, swap, terms,
};
use tombolo_swap::htlc::{
    Alarm, Deed, Effect, End, Expiry, Found, Input, Look, Next, Opening, Outcome, Profile, Role,
    Settled, Sight, Spending, Standing, Swap, Terms,
};
use tombolo_types::{
    Amount, Class, Refusal, UnixMillis,
    swap::{Deadline, Secret},
};

const LEADER: Role = Role::Party(0);
const SECOND_PARTY: Role = Role::Party(1);

fn class(checked: Result<(), Refusal>) -> Option<Class> {
    checked.err().map(|refusal| refusal.class)
}

fn after(time: UnixMillis, ms: u64) -> UnixMillis {
    time.saturating_add(ms)
}

fn before(time: UnixMillis, ms: u64) -> UnixMillis {
    time.saturating_sub(ms)
}

/// Both legs as agreed, both chains at one time.
fn both_funded(at: UnixMillis) -> Look {
    let terms = terms();
    look(at, [funded(at, &terms.locks()[0]), funded(at, &terms.locks()[1])])
}

fn first_funded(at: UnixMillis) -> Look {
    look(at, [funded(at, &terms().locks()[0]), absent(at)])
}

fn see(swap: &Swap, look: &Look) -> (Swap, Vec<Effect>) {
    let step = swap.step(look.at, Input::Seen(look.sights.clone()));
    (step.state, step.effects)
}

/// The leader after it has begun to claim.
fn revealed() -> Swap {
    see(&swap(LEADER), &both_funded(NOW)).0
}

#[test]
fn a_machine_opens_for_who_has_what_it_needs() {
    let cases: [(Role, Option<Secret>, usize, Option<Class>); 8] = [
        (LEADER, Some(SECRET), 2, None),
        (LEADER, None, 2, Some(Class::Format)),
        (LEADER, Some(Secret([1; 32])), 2, Some(Class::Proof)),
        (SECOND_PARTY, None, 2, None),
        (SECOND_PARTY, Some(SECRET), 2, Some(Class::Format)),
        (Role::Watcher, None, 2, None),
        (Role::Party(2), None, 2, Some(Class::Format)),
        (SECOND_PARTY, None, 1, Some(Class::Format)),
    ];
    for (role, secret, profiles, expected) in cases {
        let profiles = vec![PROFILE; profiles];
        let opening = Opening { terms: terms(), role, secret, profiles, margins: MARGINS };
        let found = Swap::open(opening).err().map(|refusal| refusal.class);
        assert_eq!(found, expected, "{role:?}");
    }
}

/// Req: PRJ-5-5
#[test]
fn a_leg_is_locked_only_with_time_for_what_must_follow() {
    let locks = terms().locks().to_vec();
    let unaccepted = Swap::open(opening(terms(), LEADER)).unwrap();
    let too_late = before(SECOND, SECOND_LOCK_MS - 1);
    let last_moment = before(SECOND, SECOND_LOCK_MS);
    let leaders_last_moment = before(SECOND, SECOND_LOCK_MS + 1_800);
    let pending = |lock| seen(NOW, lock, Standing::Funded, Settled::Pending);
    let claimed = |lock| seen(NOW, lock, Standing::Claimed, Settled::Final);
    let nothing = look(NOW, [absent(NOW), absent(NOW)]);
    let cases: Vec<(&str, Swap, Look, Option<Class>)> = vec![
        ("the first, accepted", swap(LEADER), nothing.clone(), None),
        ("the first, not accepted", unaccepted, nothing.clone(), Some(Class::State)),
        (
            "the first, at its last moment",
            swap(LEADER),
            look(leaders_last_moment, [absent(leaders_last_moment), absent(leaders_last_moment)]),
            None,
        ),
        (
            "the first, a millisecond later",
            swap(LEADER),
            look(after(leaders_last_moment, 1), [absent(NOW), absent(NOW)]),
            Some(Class::Timeout),
        ),
        ("the first, again", swap(LEADER), first_funded(NOW), Some(Class::Replay)),
        ("the first, blind", swap(LEADER), look(NOW, [absent(NOW), None]), Some(Class::State)),
        (
            "the second, before the first",
            swap(SECOND_PARTY),
            nothing.clone(),
            Some(Class::NotFound),
        ),
        ("the second", swap(SECOND_PARTY), first_funded(NOW), None),
        (
            "the second, before the first is final",
            swap(SECOND_PARTY),
            look(NOW, [pending(&locks[0]), absent(NOW)]),
            Some(Class::Finality),
        ),
        ("the second, at its last moment", swap(SECOND_PARTY), first_funded(last_moment), None),
        (
            "the second, a millisecond later",
            swap(SECOND_PARTY),
            first_funded(too_late),
            Some(Class::Timeout),
        ),
        (
            "the second, where the first is back",
            swap(SECOND_PARTY),
            look(NOW, [seen(NOW, &locks[0], Standing::Refunded, Settled::Final), absent(NOW)]),
            Some(Class::State),
        ),
        (
            "the second, where the first is claimed",
            swap(SECOND_PARTY),
            look(NOW, [claimed(&locks[0]), absent(NOW)]),
            Some(Class::Replay),
        ),
        ("the second, again", swap(SECOND_PARTY), both_funded(NOW), Some(Class::Replay)),
        ("a watcher", swap(Role::Watcher), first_funded(NOW), Some(Class::Unsupported)),
    ];
    for (what, swap, look, expected) in cases {
        assert_eq!(class(swap.may_lock(&look)), expected, "{what}");
        let locks = matches!(see(&swap, &look).1.first(), Some(Effect::Lock { .. }));
        assert_eq!(locks, expected.is_none(), "{what}: the machine does what the rule says");
    }
}

/// What is locked must be what was agreed, to the last field.
#[test]
fn a_lock_that_differs_is_no_lock() {
    let agreed = terms().locks()[0].clone();
    let other = super::fixture::account(99);
    let mut differing = vec![agreed.clone(); 6];
    differing[0].amount = Amount(9);
    differing[1].asset.0[0] ^= 1;
    differing[2].recipient = other.clone();
    differing[3].locker = other;
    differing[4].deadline = Deadline::Time(before(FIRST, 1));
    differing[5].hash.0[0] ^= 1;
    for lock in differing {
        let look = look(NOW, [funded(NOW, &lock), absent(NOW)]);
        assert_eq!(class(swap(SECOND_PARTY).may_lock(&look)), Some(Class::NotFound), "{lock:?}");
        assert_eq!(class(swap(SECOND_PARTY).may_claim(&look, 0)), Some(Class::NotFound));
    }
}

/// A deadline by height comes nearer where blocks come fast; what was far enough when the order was
/// made is not locked under any more.
///
/// Req: PRJ-5-8
#[test]
fn a33_a_fast_first_chain_stops_the_second_lock() {
    // 50 ms at the least for each block: exactly the gap from now.
    let over = SECOND.0 + 500 + super::fixture::GAP_MS;
    let blocks = (over - NOW.0).div_ceil(50);
    let height = clock(NOW).height.saturating_add(blocks);
    let mut order = order();
    order.legs[0].deadline = Deadline::Height(height);
    let terms = Terms::read(order).unwrap();
    let swap = Swap::open(opening(terms.clone(), SECOND_PARTY)).unwrap();
    let swap = swap.step(NOW, Input::Accepted).state;
    let at_the_bound = look(NOW, [funded(NOW, &terms.locks()[0]), absent(NOW)]);
    assert_eq!(class(swap.may_lock(&at_the_bound)), None);
    let mut faster = at_the_bound.clone();
    faster.sights[0].as_mut().unwrap().clock.height.0 += 1;
    assert_eq!(class(swap.may_lock(&faster)), Some(Class::State));
}

/// The claim at the last moment is refused; one a millisecond earlier is made.
///
/// Req: PRJ-5-6
#[test]
fn the_secret_is_shown_only_while_the_claim_cannot_be_late() {
    let locks = terms().locks().to_vec();
    let last_moment = before(SECOND, REVEAL_MS);
    let pending = seen(NOW, &locks[1], Standing::Funded, Settled::Pending);
    let cases: Vec<(&str, Look, Option<Class>)> = vec![
        ("in time", both_funded(NOW), None),
        ("at the last moment", both_funded(last_moment), None),
        ("a millisecond later", both_funded(after(last_moment, 1)), Some(Class::Timeout)),
        ("at the deadline", both_funded(SECOND), Some(Class::Timeout)),
        ("not locked", first_funded(NOW), Some(Class::NotFound)),
        ("not final", look(NOW, [absent(NOW), pending]), Some(Class::Finality)),
        ("no answer", look(NOW, [absent(NOW), None]), Some(Class::State)),
    ];
    for (what, look, expected) in cases {
        assert_eq!(class(swap(LEADER).may_claim(&look, 1)), expected, "{what}");
        let (state, effects) = see(&swap(LEADER), &look);
        let claims = effects.iter().any(|effect| matches!(effect, Effect::Claim { .. }));
        assert_eq!(claims, expected.is_none(), "{what}");
        assert_eq!(
            state.progress()[1].claimed.is_some(),
            claims,
            "{what}: noted before it is done"
        );
    }
}

/// A chain that stands still is noticed by any other clock; a clock that is behind changes nothing.
///
/// Req: PRJ-5-8
#[test]
fn a33_neither_a_stalled_chain_nor_a_wrong_host_clock_shows_the_secret_too_late() {
    const DAY_MS: u64 = 86_400_000;
    let locks = terms().locks().to_vec();
    let last_moment = before(SECOND, REVEAL_MS);
    let at = |host, chain_0, chain_1| {
        look(host, [funded(chain_0, &locks[0]), funded(chain_1, &locks[1])])
    };
    let cases = [
        ("all agree", at(last_moment, last_moment, last_moment), None),
        ("the host is a day behind", at(before(NOW, DAY_MS), last_moment, last_moment), None),
        (
            "the host is a day behind, and it is too late",
            at(before(NOW, DAY_MS), NOW, after(last_moment, 1)),
            Some(Class::Timeout),
        ),
        ("the host is a day ahead", at(after(NOW, DAY_MS), NOW, NOW), Some(Class::Timeout)),
        (
            "the last chain stands still, and the host knows",
            at(after(last_moment, 1), NOW, NOW),
            Some(Class::Timeout),
        ),
        (
            "the last chain stands still, and only the other chain knows",
            at(NOW, after(last_moment, 1 + PROFILE.skew_ms), NOW),
            Some(Class::Timeout),
        ),
        (
            "the other chain is ahead as far as it may be",
            at(last_moment, after(last_moment, PROFILE.skew_ms), last_moment),
            None,
        ),
    ];
    for (what, look, expected) in cases {
        assert_eq!(class(swap(LEADER).may_claim(&look, 1)), expected, "{what}");
    }
}

/// Once the secret is out nothing but the deadline stops a claim, whoever makes it.
///
/// Req: PRJ-5-6
#[test]
fn a32_a_secret_that_is_out_is_used_at_once_by_party_and_watcher() {
    let locks = terms().locks().to_vec();
    let at = |time, settled| {
        look(
            time,
            [
                seen(time, &locks[0], Standing::Funded, settled),
                seen(time, &locks[1], Standing::Claimed, Settled::Pending),
            ],
        )
    };
    for role in [SECOND_PARTY, Role::Watcher] {
        for (time, settled, expected) in [
            (NOW, Settled::Final, None),
            (NOW, Settled::Pending, None),
            (before(FIRST, 1), Settled::Final, None),
            (FIRST, Settled::Final, Some(Class::Timeout)),
        ] {
            let look = at(time, settled);
            let (state, effects) = see(&swap(role), &look);
            let claim = Effect::Claim { leg: 0, secret: SECRET, ticket: vec![], attempt: 1 };
            assert_eq!(effects.contains(&claim), expected.is_none(), "{role:?} at {time}");
            assert_eq!(class(state.may_claim(&look, 0)), expected, "{role:?} at {time}");
        }
    }
}

/// A secret that only a transaction without a block has shown, a late claim above all, is a reveal.
#[test]
fn a_late_claim_is_a_reveal() {
    let locks = terms().locks().to_vec();
    let time = after(SECOND, 1);
    let mut refunded = seen(time, &locks[1], Standing::Refunded, Settled::Pending).unwrap();
    refunded.found.as_mut().unwrap().shown = Some(SECRET);
    let (state, effects) =
        see(&swap(SECOND_PARTY), &look(time, [funded(time, &locks[0]), Some(refunded)]));
    assert_eq!(effects, [Effect::Claim { leg: 0, secret: SECRET, ticket: vec![], attempt: 1 }]);
    assert_eq!(state.outcome(), None);
}

/// A secret that was shown elsewhere serves as one that a chain shows, once it is hashed.
#[test]
fn a32_a_secret_that_is_told_is_used() {
    let locks = terms().locks().to_vec();
    let look = look(NOW, [funded(NOW, &locks[0]), None]);
    let told = |secret| swap(SECOND_PARTY).step(NOW, Input::Shown(secret)).state;
    assert_eq!(see(&told(Secret([9; 32])), &look).1, []);
    let claim = Effect::Claim { leg: 0, secret: SECRET, ticket: vec![], attempt: 1 };
    assert_eq!(see(&told(SECRET), &look).1, [claim]);
    // The first party, whose secret others know, asks for no margin any more.
    let late = before(SECOND, 1);
    let both = both_funded(late);
    let leader = swap(LEADER).step(NOW, Input::Shown(SECRET)).state;
    assert_eq!(class(swap(LEADER).may_claim(&both, 1)), Some(Class::Timeout));
    assert_eq!(class(leader.may_claim(&both, 1)), None);
}

/// A node that shows something else as the secret is not believed.
#[test]
fn a36_a_wrong_secret_is_none() {
    let locks = terms().locks().to_vec();
    let mut lie = seen(NOW, &locks[1], Standing::Claimed, Settled::Final).unwrap();
    lie.found.as_mut().unwrap().shown = Some(Secret([9; 32]));
    let look = look(NOW, [funded(NOW, &locks[0]), Some(lie)]);
    let (state, effects) = see(&swap(SECOND_PARTY), &look);
    assert_eq!(effects, []);
    assert_eq!(class(state.may_claim(&look, 0)), Some(Class::State));
}

/// Req: PRJ-5-7
#[test]
fn what_was_locked_is_taken_back_from_the_deadline_on_and_once() {
    let locks = terms().locks().to_vec();
    let standing =
        |time, standing| look(time, [None, seen(time, &locks[1], standing, Settled::Final)]);
    let cases = [
        ("before", standing(before(SECOND, 1), Standing::Funded), Some(Class::State)),
        ("at the deadline", standing(SECOND, Standing::Funded), None),
        ("long after", standing(UnixMillis::MAX, Standing::Funded), None),
        ("again", standing(SECOND, Standing::Refunded), Some(Class::Replay)),
        ("after the claim", standing(SECOND, Standing::Claimed), Some(Class::State)),
        ("nothing there", look(SECOND, [None, absent(SECOND)]), Some(Class::NotFound)),
    ];
    for (what, look, expected) in cases {
        for role in [SECOND_PARTY, Role::Watcher] {
            assert_eq!(class(swap(role).may_refund(&look, 1)), expected, "{what}");
            let (_, effects) = see(&swap(role), &look);
            let refund = Effect::Refund { leg: 1, ticket: vec![], attempt: 1 };
            assert_eq!(effects.contains(&refund), expected.is_none(), "{what}");
        }
        // Not one's own: the other party's watcher does that.
        assert!(!see(&swap(LEADER), &look).1.iter().any(|it| matches!(it, Effect::Refund { .. })));
    }
}

fn on_script_chains() -> Vec<Profile> {
    vec![Profile { expiry: Expiry::Open, spending: Spending::ByTicket, ..PROFILE }; 2]
}

/// Where a script cannot end its hash branch, no claim is begun from the deadline on, and one that
/// was begun in time goes on until the lock is spent.
///
/// Req: PRJ-5-6
#[test]
fn on_a_script_chain_no_claim_is_begun_after_the_deadline() {
    let locks = terms().locks().to_vec();
    let open = |role| {
        let profiles = on_script_chains();
        Swap::open(Opening { profiles, ..opening(terms(), role) }).unwrap()
    };
    let late = after(FIRST, 5_000);
    let shown = |time| {
        look(
            time,
            [funded(time, &locks[0]), seen(time, &locks[1], Standing::Claimed, Settled::Final)],
        )
    };
    assert_eq!(class(open(SECOND_PARTY).may_claim(&shown(late), 0)), Some(Class::State));
    let (state, effects) = see(&open(SECOND_PARTY), &shown(late));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Claim { .. })), "{effects:?}");
    assert_eq!(class(state.may_claim(&shown(late), 0)), Some(Class::Timeout));

    let (begun, _) = see(&open(SECOND_PARTY), &shown(NOW));
    let (_, effects) = see(&begun, &shown(late));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Claim { attempt: 2, .. })));
    // Where the chain refuses it, it is not tried.
    let (begun, _) = see(&swap(SECOND_PARTY), &shown(NOW));
    assert_eq!(see(&begun, &shown(late)).1, []);
}

/// Who is favoured signs once the funding is known; what was signed goes with claim and refund.
#[test]
fn tickets_are_asked_for_once_the_funding_is_final() {
    let locks = terms().locks().to_vec();
    let profiles = on_script_chains();
    let party = Swap::open(Opening { profiles, ..opening(terms(), SECOND_PARTY) }).unwrap();
    let pending =
        look(NOW, [seen(NOW, &locks[0], Standing::Funded, Settled::Pending), absent(NOW)]);
    assert_eq!(see(&party, &pending).1, []);
    let (party, effects) = see(&party, &both_funded(NOW));
    let asked = |leg| Effect::Ticket { leg, funding: vec![7] };
    assert_eq!(effects, [asked(0), asked(1)]);
    let party = party.step(NOW, Input::Ticket { leg: 0, ticket: vec![1, 2] }).state;
    assert_eq!(see(&party, &both_funded(NOW)).1, [asked(1)]);
    let party = party.step(NOW, Input::Ticket { leg: 1, ticket: vec![3] }).state;
    // The first one stays.
    let party = party.step(NOW, Input::Ticket { leg: 1, ticket: vec![4] }).state;
    let too_long = vec![0; Swap::TICKET_BYTES_MAX + 1];
    assert_eq!(party.step(NOW, Input::Ticket { leg: 0, ticket: too_long }).state, party);
    let shown = look(
        NOW,
        [funded(NOW, &locks[0]), seen(NOW, &locks[1], Standing::Claimed, Settled::Pending)],
    );
    let claim = Effect::Claim { leg: 0, secret: SECRET, ticket: vec![1, 2], attempt: 1 };
    assert_eq!(see(&party, &shown).1, [claim]);
    let (_, effects) = see(&party, &both_funded(SECOND));
    assert_eq!(effects, [Effect::Refund { leg: 1, ticket: vec![3], attempt: 1 }]);
}

/// Each attempt has the time of a slowest block, by the chain's clock or the host's; a host clock
/// that was set back holds nothing up.
#[test]
fn a37_a_claim_that_is_not_in_is_made_again_with_a_higher_number() {
    let leader = revealed();
    let numbers = |swap: &Swap, look: &Look| -> Vec<u32> {
        let (_, effects) = see(swap, look);
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Claim { attempt, .. } => Some(*attempt),
                _ => None,
            })
            .collect()
    };
    let locks = terms().locks().to_vec();
    let at = |host, chain| look(host, [funded(chain, &locks[0]), funded(chain, &locks[1])]);
    assert!(numbers(&leader, &at(NOW, NOW)).is_empty());
    assert!(numbers(&leader, &at(after(NOW, 499), after(NOW, 499))).is_empty());
    for look in
        [at(NOW, after(NOW, 500)), at(after(NOW, 500), NOW), at(before(NOW, 86_400_000), NOW)]
    {
        assert_eq!(numbers(&leader, &look), [2], "{look:?}");
    }
    let (leader, _) = see(&leader, &at(NOW, after(NOW, 500)));
    assert_eq!(numbers(&leader, &at(NOW, after(NOW, 1_000))), [3]);
}

/// Half of the margin is gone and the claim is not in: told once.
#[test]
fn a37_the_alarm_comes_at_half_of_the_margin_and_once() {
    let half = REVEAL_MS / 2;
    let early = both_funded(before(SECOND, half + 1));
    let late = both_funded(before(SECOND, half));
    let alarm = Effect::Alarm(Alarm::ClaimIsLate { leg: 1, left_ms: half });
    let (leader, effects) = see(&revealed(), &early);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Alarm(_))), "{effects:?}");
    let (leader, effects) = see(&leader, &late);
    assert!(effects.contains(&alarm), "{effects:?}");
    let (_, effects) = see(&leader, &both_funded(before(SECOND, half - 600)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Alarm(_))), "{effects:?}");
}

/// How it ends for whom, by how the two legs end.
#[test]
fn a_swap_is_over_when_nothing_is_left_to_do() {
    use Standing::{Claimed, Funded, Refunded};
    let locks = terms().locks().to_vec();
    let late = after(FIRST, 10_000);
    let both = |first, second| {
        let sight = |leg: usize, standing: Option<Standing>| match standing {
            None => absent(late),
            Some(standing) => seen(late, &locks[leg], standing, Settled::Final),
        };
        look(late, [sight(0, first), sight(1, second)])
    };
    let cases = [
        (LEADER, Some(Claimed), Some(Claimed), Some(Outcome::Completed)),
        (LEADER, Some(Refunded), Some(Claimed), Some(Outcome::Completed)),
        (LEADER, Some(Refunded), Some(Refunded), Some(Outcome::Undone)),
        (LEADER, Some(Refunded), None, Some(Outcome::Undone)),
        (LEADER, None, None, Some(Outcome::Undone)),
        (LEADER, Some(Funded), Some(Refunded), None),
        (LEADER, Some(Claimed), Some(Refunded), Some(Outcome::Lost)),
        (SECOND_PARTY, Some(Claimed), Some(Claimed), Some(Outcome::Completed)),
        (SECOND_PARTY, Some(Refunded), Some(Claimed), Some(Outcome::Lost)),
        (SECOND_PARTY, Some(Refunded), Some(Refunded), Some(Outcome::Undone)),
        (SECOND_PARTY, Some(Funded), Some(Refunded), Some(Outcome::Undone)),
        (SECOND_PARTY, Some(Funded), Some(Claimed), None),
        (Role::Watcher, Some(Refunded), Some(Claimed), Some(Outcome::Watched)),
        (Role::Watcher, Some(Funded), Some(Claimed), None),
        (Role::Watcher, None, None, Some(Outcome::Watched)),
    ];
    for (role, first, second, expected) in cases {
        let (state, effects) = see(&swap(role), &both(first, second));
        assert_eq!(state.outcome(), expected, "{role:?} {first:?} {second:?}");
        let told = effects.iter().any(|effect| matches!(effect, Effect::Over(_)));
        assert_eq!(told, expected.is_some());
        let lost = effects.contains(&Effect::Alarm(Alarm::Lost));
        assert_eq!(lost, expected == Some(Outcome::Lost), "{role:?} {first:?} {second:?}");
        // Over is over.
        if expected.is_some() {
            assert_eq!(see(&state, &both_funded(NOW)), (state.clone(), vec![]));
        }
    }
}

/// Who gave up before locking locks nothing later, even if its chain's clock were set back.
#[test]
fn who_lets_a_swap_go_does_not_come_back() {
    let too_late = before(SECOND, SECOND_LOCK_MS - 1);
    let (party, effects) = see(&swap(SECOND_PARTY), &first_funded(too_late));
    assert_eq!(effects, [Effect::Over(Outcome::Undone)]);
    assert_eq!(party.progress()[1].end, Some(End::Never));
    assert_eq!(see(&party, &first_funded(NOW)).1, []);
}

/// A lock that was begun and is not to be seen is waited for until it can come no more: a node that
/// lags may hide it.
#[test]
fn a_lock_that_was_begun_is_not_forgotten() {
    let (party, _) = see(&swap(SECOND_PARTY), &first_funded(NOW));
    for time in [before(SECOND, 1), SECOND, after(SECOND, 799)] {
        assert_eq!(see(&party, &first_funded(time)).0.outcome(), None, "at {time}");
    }
    let time = after(SECOND, 800);
    assert_eq!(see(&party, &first_funded(time)).0.outcome(), Some(Outcome::Undone));
    // It came after all: taken back.
    let (_, effects) = see(&party, &both_funded(SECOND));
    assert_eq!(effects, [Effect::Refund { leg: 1, ticket: vec![], attempt: 1 }]);
}

/// Req: PRJ-5-9
#[test]
fn the_next_allowed_step_is_named() {
    let locks = terms().locks().to_vec();
    let unaccepted = Swap::open(opening(terms(), LEADER)).unwrap();
    let nothing = look(NOW, [absent(NOW), absent(NOW)]);
    let first = Deadline::Time(FIRST);
    let waits = |swap: &Swap, look: &Look| match swap.next(look) {
        Next::Wait { why, refund_from } => (why.class, refund_from),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(&unaccepted, &nothing), (Class::State, None));
    assert_eq!(swap(LEADER).next(&nothing), Next::Do(Deed::Lock(0)));
    assert_eq!(waits(&swap(LEADER), &first_funded(NOW)), (Class::NotFound, Some(first)));
    assert_eq!(swap(LEADER).next(&both_funded(NOW)), Next::Do(Deed::Claim(1)));
    let too_late = both_funded(after(before(SECOND, REVEAL_MS), 1));
    assert_eq!(waits(&swap(LEADER), &too_late), (Class::Timeout, Some(first)));
    assert_eq!(swap(LEADER).next(&both_funded(FIRST)), Next::Do(Deed::Refund(0)));
    assert_eq!(waits(&swap(SECOND_PARTY), &nothing), (Class::NotFound, None));
    assert_eq!(swap(SECOND_PARTY).next(&first_funded(NOW)), Next::Do(Deed::Lock(1)));
    let second = Deadline::Time(SECOND);
    assert_eq!(waits(&swap(SECOND_PARTY), &both_funded(NOW)), (Class::State, Some(second)));
    let over = look(
        NOW,
        [
            seen(NOW, &locks[0], Standing::Claimed, Settled::Final),
            seen(NOW, &locks[1], Standing::Claimed, Settled::Final),
        ],
    );
    let (done, _) = see(&swap(LEADER), &over);
    assert_eq!(done.next(&over), Next::Over(Outcome::Completed));
}

/// A look that changes nothing leaves an equal state, so nothing is written for it.
#[test]
fn a_look_that_changes_nothing_changes_nothing() {
    let waiting = look(NOW, [absent(NOW), absent(NOW)]);
    let party = swap(SECOND_PARTY);
    assert_eq!(see(&party, &waiting), (party.clone(), vec![]));
    let blind = look(NOW, [None, None]);
    assert_eq!(see(&party, &blind), (party.clone(), vec![]));
    let sight = Sight { clock: clock(NOW), found: None::<Found> };
    assert_eq!(see(&party, &Look { at: NOW, sights: vec![Some(sight)] }).1, []);
}

/// An offer that was withdrawn or has expired is over at once, for who has not heard that it was
/// accepted; for everybody else the hub's word ends nothing.
///
/// Req: PRJ-5-9
#[test]
fn a34_a_closed_offer_is_over_and_an_accepted_one_is_not() {
    for role in [LEADER, SECOND_PARTY, Role::Watcher] {
        let offered = Swap::open(opening(terms(), role)).unwrap();
        let step = offered.step(NOW, Input::Closed);
        match role {
            Role::Watcher => assert_eq!((step.state, step.effects), (offered, vec![])),
            Role::Party(_) => {
                assert_eq!(step.state.outcome(), Some(Outcome::Undone));
                assert_eq!(step.effects, [Effect::Over(Outcome::Undone)]);
            }
        }
        let accepted = swap(role);
        let step = accepted.step(NOW, Input::Closed);
        assert_eq!((step.state, step.effects), (accepted, vec![]));
    }
}
