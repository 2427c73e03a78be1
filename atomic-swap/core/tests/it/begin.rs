//! What a hub lets begin.

use crate::fixture::{
    BUYER, COUNTER_ITEM, DEADLINE, HUB, ITEM, LIMITS, NOW, OWNER, account, begin_of, chain,
    chain_of, checked, link, move_in, move_out, pay, sale, sealed, token_in, token_out, write,
    writes_on,
};
use tombolo_crypto::digest;
use tombolo_swap::two_phase::{Begin, Limits, Request, check_begin};
use tombolo_types::{
    Class, Hash, UnixMillis,
    action::{Branch, EncodedAction},
    id::{ChainId, LinkId},
};

/// All that the check looks at.
#[derive(Clone)]
struct Case {
    begin: Begin,
    hub: ChainId,
    now: UnixMillis,
    limits: Limits,
    closed: Option<LinkId>,
}

impl Case {
    fn new(begin: Begin) -> Self {
        Self { begin, hub: HUB, now: NOW, limits: LIMITS, closed: None }
    }

    fn class(&self) -> Option<Class> {
        let open = |link| chain_of(link).filter(|_| self.closed != Some(link));
        check_begin(&self.begin, self.hub, self.now, &self.limits, open)
            .err()
            .map(|refusal| refusal.class)
    }
}

type Bend = fn(&mut Case);
type Fault = (&'static str, Class, Bend);

fn reseal(case: &mut Case) {
    case.begin = sealed(case.begin.clone());
}

/// Each fault alone gives its class.
const FAULTS: &[Fault] = &[
    ("the terms name another hub", Class::Format, |case| {
        case.begin.terms.hub = chain(5);
        reseal(case);
    }),
    ("no branch", Class::Format, |case| {
        case.begin.branches.clear();
        reseal(case);
    }),
    ("a branch more than the terms name", Class::Format, |case| {
        case.begin.branches.push(Branch::new(link(2), &[move_in(COUNTER_ITEM, 0, BUYER)]));
    }),
    ("a branch that the terms name is left out", Class::Format, |case| {
        case.begin.branches.pop();
    }),
    ("a branch without action", Class::Format, |case| {
        case.begin.branches.push(Branch::new(link(2), &[]));
        reseal(case);
    }),
    ("two branches on one link", Class::Format, |case| {
        case.begin.branches.push(Branch::new(link(0), &[pay(OWNER, BUYER, 1)]));
        reseal(case);
    }),
    ("an action of an unknown kind", Class::Format, |case| {
        case.begin.branches[0].actions.push(EncodedAction { kind: 99, body: Vec::new() });
    }),
    ("an action with a byte too many", Class::Format, |case| {
        case.begin.branches[0].actions[0].body.push(0);
    }),
    ("a payment of zero", Class::Format, |case| {
        case.begin.branches[1].actions[1] = pay(BUYER, OWNER, 0).encode();
        reseal(case);
    }),
    ("an authorisation of a branch that does not exist", Class::Format, |case| {
        case.begin.authorisations[0].branch = 2;
    }),
    ("an authorisation by an account from which nothing is taken", Class::Format, |case| {
        let mut surplus = case.begin.authorisations[0].clone();
        surplus.account = account(BUYER);
        case.begin.authorisations.push(surplus);
    }),
    ("an authorisation twice", Class::Format, |case| {
        case.begin.authorisations.push(case.begin.authorisations[0].clone());
    }),
    ("an item that leaves and appears nowhere", Class::Format, |case| {
        case.begin.branches[1].actions.remove(0);
        reseal(case);
    }),
    ("an item that leaves two chains", Class::Format, |case| {
        case.begin.branches.push(Branch::new(link(2), &[move_out(ITEM, OWNER, 1)]));
        reseal(case);
    }),
    ("an item that leaves and appears on one chain", Class::Format, |case| {
        case.begin.branches[1].actions.remove(0);
        let both = [move_out(ITEM, OWNER, 0), move_in(ITEM, 0, BUYER)];
        case.begin.branches[0] = Branch::new(link(0), &both);
        reseal(case);
    }),
    (
        "an item that leaves for another chain than that on which it appears",
        Class::Format,
        |case| {
            case.begin.branches[0].actions[0] = move_out(ITEM, OWNER, 2).encode();
            reseal(case);
        },
    ),
    ("an item that appears from another chain than that which it leaves", Class::Format, |case| {
        case.begin.branches[1].actions[0] = move_in(ITEM, 2, BUYER).encode();
        reseal(case);
    }),
    ("an item that is moved and written", Class::Format, |case| {
        case.begin.branches.push(Branch::new(link(2), &[write(ITEM, OWNER)]));
        reseal(case);
    }),
    ("an item that is written on two chains", Class::Format, |case| {
        case.begin.branches.push(Branch::new(link(2), &[write(COUNTER_ITEM, OWNER)]));
        case.begin.branches.push(Branch::new(link(3), &[write(COUNTER_ITEM, OWNER)]));
        reseal(case);
    }),
    ("tokens that leave and appear nowhere", Class::Format, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 1, 5).encode());
        reseal(case);
    }),
    ("more tokens leave than appear", Class::Format, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 1, 5).encode());
        case.begin.branches[1].actions.push(token_in(0, 0, BUYER, 4).encode());
        reseal(case);
    }),
    ("no token", Class::Format, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 1, 0).encode());
        case.begin.branches[1].actions.push(token_in(0, 0, BUYER, 0).encode());
        reseal(case);
    }),
    ("tokens that leave for the chain on which they are", Class::Format, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 0, 5).encode());
        case.begin.branches[0].actions.push(token_in(0, 0, OWNER, 5).encode());
        reseal(case);
    }),
    ("more tokens than can be counted", Class::Format, |case| {
        for _ in 0..2 {
            case.begin.branches[0].actions.push(token_out(0, OWNER, 1, u128::MAX).encode());
        }
        reseal(case);
    }),
    ("more branches than allowed", Class::Limit, |case| case.limits.branches_max = 1),
    ("more actions than allowed", Class::Limit, |case| case.limits.actions_max = 1),
    ("a deadline too far away", Class::Limit, |case| case.limits.deadline_max_ms = 59_999),
    ("an authorisation is missing", Class::Auth, |case| {
        case.begin.authorisations.pop();
    }),
    ("the authorisation of the other branch alone", Class::Auth, |case| {
        case.begin.authorisations.retain(|given| given.branch != 0);
    }),
    ("a45: an item appears twice on one chain", Class::ClosedCopy, |case| {
        case.begin.branches[1].actions.push(move_in(ITEM, 0, OWNER).encode());
        reseal(case);
    }),
    ("a45: an item appears on two chains", Class::ClosedCopy, |case| {
        case.begin.branches.push(Branch::new(link(2), &[move_in(ITEM, 0, OWNER)]));
        reseal(case);
    }),
    ("a45: an item appears and vanishes nowhere", Class::ClosedCopy, |case| {
        case.begin.branches[0].actions[0] = pay(OWNER, BUYER, 1).encode();
        reseal(case);
    }),
    ("a45: more tokens appear than leave", Class::ClosedCopy, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 1, 5).encode());
        case.begin.branches[1].actions.push(token_in(0, 0, BUYER, 6).encode());
        reseal(case);
    }),
    ("a45: tokens appear from a chain that none leave", Class::ClosedCopy, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 1, 5).encode());
        case.begin.branches[1].actions.push(token_in(0, 0, BUYER, 5).encode());
        case.begin.branches[1].actions.push(token_in(0, 3, BUYER, 5).encode());
        reseal(case);
    }),
    ("a45: tokens of another home appear", Class::ClosedCopy, |case| {
        case.begin.branches[0].actions.push(token_out(0, OWNER, 1, 5).encode());
        case.begin.branches[1].actions.push(token_in(0, 0, BUYER, 5).encode());
        case.begin.branches[1].actions.push(token_in(1, 0, BUYER, 5).encode());
        reseal(case);
    }),
    ("a link that is not open", Class::NotFound, |case| case.closed = Some(link(1))),
    ("a deadline that leaves too little", Class::State, |case| {
        case.now = DEADLINE.saturating_sub(13_999);
    }),
    ("a deadline that has just passed", Class::Timeout, |case| case.now = DEADLINE),
    ("a deadline long past", Class::Timeout, |case| case.now = UnixMillis(u64::MAX)),
    ("a branch that is not in the terms", Class::Tamper, |case| {
        case.begin.branches[1].actions[1] = pay(BUYER, OWNER, 499).encode();
    }),
    ("branches in another order than in the terms", Class::Tamper, |case| {
        case.begin.terms.branches.swap(0, 1);
    }),
];

/// Req: PRJ-5-1
#[test]
fn each_fault_is_refused_with_its_class() {
    for (sentence, class, break_it) in FAULTS {
        let mut case = Case::new(sale());
        break_it(&mut case);
        assert_eq!(case.class(), Some(*class), "{sentence}");
    }
}

#[test]
fn of_several_faults_the_first_in_the_order_of_rule_g1_is_named() {
    // One for each class that does not undo another; later ones must not hide earlier ones.
    let row: &[(Class, Bend)] = &[
        (Class::Format, |case| case.hub = chain(5)),
        (Class::Limit, |case| case.limits.actions_max = 1),
        (Class::Auth, |case| {
            case.begin.authorisations.pop();
        }),
        (Class::ClosedCopy, |case| {
            case.begin.branches[1].actions.push(move_in(COUNTER_ITEM, 0, BUYER).encode());
        }),
        (Class::NotFound, |case| case.closed = Some(link(1))),
        (Class::State, |case| case.limits.slowest_finality_ms = u64::MAX),
        (Class::Tamper, |case| case.begin.terms.branches[0] = Hash::ZERO),
    ];
    for (first, (class, _)) in row.iter().enumerate() {
        let mut case = Case::new(sale());
        for (_, break_it) in &row[first..] {
            break_it(&mut case);
        }
        assert_eq!(case.class(), Some(*class));
    }
}

#[test]
fn what_is_in_order_begins() {
    let both_ways = begin_of(&[
        &[move_out(ITEM, OWNER, 1), move_in(COUNTER_ITEM, 1, OWNER)],
        &[move_in(ITEM, 0, BUYER), move_out(COUNTER_ITEM, BUYER, 0)],
    ]);
    let tokens = begin_of(&[
        &[token_out(0, OWNER, 1, 5), token_out(0, OWNER, 1, 2), token_in(2, 1, OWNER, 4)],
        &[token_in(0, 0, BUYER, 7), token_out(2, BUYER, 0, 4)],
    ]);
    let rows = [
        ("a sale", sale()),
        ("two assets that cross, one of them away from home", tokens),
        ("two items that change places", both_ways),
        ("one branch", writes_on(1)),
        ("as many branches as allowed", writes_on(8)),
        ("as many actions as allowed", begin_of(&[&vec![pay(OWNER, BUYER, 1); 8]])),
    ];
    for (sentence, begin) in rows {
        assert_eq!(Case::new(begin).class(), None, "{sentence}");
    }
    assert_eq!(Case::new(writes_on(9)).class(), Some(Class::Limit));
}

#[test]
fn the_last_moment_to_begin_is_the_margin_before_the_deadline() {
    let mut case = Case::new(sale());
    case.now = DEADLINE.saturating_sub(14_000);
    assert_eq!(case.class(), None);
    case.now = case.now.saturating_add(1);
    assert_eq!(case.class(), Some(Class::State));
}

/// Two Begins that differ in anything but authorisations are two transactions.
#[test]
fn the_xid_binds_hub_beginner_salt_deadline_and_every_branch() {
    let xid = checked(&sale()).xid();
    let bend: &[fn(&mut Begin)] = &[
        |begin| begin.terms.hub = chain(5),
        |begin| begin.terms.beginner.0[0] ^= 1,
        |begin| begin.terms.salt.0[31] ^= 1,
        |begin| begin.terms.deadline = DEADLINE.saturating_add(1),
        |begin| begin.branches[0].link = link(7),
        |begin| begin.branches[1].actions[0] = move_in(ITEM, 0, OWNER).encode(),
        |begin| begin.branches.swap(0, 1),
    ];
    for bend in bend {
        let mut begin = sale();
        bend(&mut begin);
        assert_ne!(digest::xid(&sealed(begin).terms), xid);
    }
}

#[test]
fn each_participant_is_asked_for_its_own_branch_with_its_own_authorisations() {
    let begin = sale();
    let checked = checked(&begin);
    for index in 0..2u32 {
        let prepare = checked.prepare(index).unwrap();
        let request = Request::read(&prepare).unwrap();
        assert_eq!(request.xid(), checked.xid());
        assert_eq!(request.actions(), checked.branches().nth(index as usize).unwrap().1);
        assert_eq!(prepare.authorisations, [begin.authorisations[index as usize].clone()]);
    }
    assert_eq!(checked.prepare(2), None);
    assert_eq!(checked.links().collect::<Vec<_>>(), [link(0), link(1)]);
}
