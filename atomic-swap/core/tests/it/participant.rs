//! What a gateway promises, keeps and applies.

use crate::fixture::{
    BUYER, DEADLINE, HUB, ITEM, NOW, OWNER, account, begin_of, chain, checked, key, link, move_in,
    move_out, pay, sale, sealed, write,
};
use std::collections::BTreeMap;
use tombolo_crypto::digest;
use tombolo_swap::two_phase::{
    Answer, Answered, Applied, Authority, Begin, Locks, Outcome, Own, Participant, Reply, Request,
    Standing, Strange, decide, prepare, release,
};
use tombolo_types::{
    Address, Class, MessageNumber, Refusal, UnixMillis,
    action::{Action, Authorisation},
    ensure,
    header::Signature,
    id::Xid,
    message::Prepare,
};

/// A ledger that locks by a name per action, and counts what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shelf {
    pub(crate) held: BTreeMap<String, Xid>,
    pub(crate) applied: Vec<Xid>,
    pub(crate) released: Vec<Xid>,
    /// The one key that is bound to the owner's account.
    bound: Option<Address>,
}

fn name(action: &Action) -> String {
    match action {
        Action::MoveOut(out) => format!("item {}", out.item),
        Action::MoveIn(into) => format!("item {}", into.item),
        Action::Write(write) => format!("item {}", write.item),
        Action::Pay(pay) => format!("account {}", pay.from),
        Action::Call(call) => format!("contract {}", call.contract),
        Action::TokenOut(out) => format!("account {}", out.from),
        Action::TokenIn(into) => format!("account {}", into.to),
    }
}

impl Authority for Shelf {
    fn signs_for(&self, taken_from: Address, signer: Address) -> bool {
        taken_from == account(OWNER) && self.bound == Some(signer)
    }
}

impl Locks for Shelf {
    fn lock(&mut self, xid: Xid, action: &Action) -> Result<(), Refusal> {
        let name = name(action);
        ensure!(!self.held.contains_key(&name), State, "{name} is locked");
        self.held.insert(name, xid);
        Ok(())
    }

    fn apply(&mut self, xid: Xid) {
        self.held.retain(|_, holder| *holder != xid);
        self.applied.push(xid);
    }

    fn release(&mut self, xid: Xid) {
        self.held.retain(|_, holder| *holder != xid);
        self.released.push(xid);
    }
}

fn own(number: u8) -> Own {
    Own { hub: HUB, link: link(number) }
}

fn asked(begin: &Begin, index: u32) -> Prepare {
    checked(begin).prepare(index).unwrap()
}

fn answer(prepare_message: &Prepare, shelf: &mut Shelf) -> Answered {
    let request = Request::read(prepare_message).unwrap();
    let number = u8::try_from(prepare_message.index).unwrap();
    prepare(None, &request, own(number), NOW, shelf)
}

fn class(answered: &Answered) -> Option<Class> {
    match &answered.reply {
        Reply::Yes => None,
        Reply::No(refusal) => Some(refusal.class),
    }
}

/// The buyer's side of the sale, prepared.
fn prepared() -> (Participant, Xid, Shelf) {
    let mut shelf = Shelf::default();
    let answered = answer(&asked(&sale(), 1), &mut shelf);
    assert_eq!(answered.reply, Reply::Yes);
    (answered.state.unwrap(), checked(&sale()).xid(), shelf)
}

/// Req: PRJ-5-1
#[test]
fn yes_locks_all_and_remembers() {
    let (state, xid, shelf) = prepared();
    assert_eq!(state.standing(), Standing::Prepared);
    assert_eq!(state.answer(), Answer::Yes);
    assert_eq!(state.deadline(), DEADLINE);
    assert_eq!(shelf.held.values().collect::<Vec<_>>(), [&xid, &xid]);
    assert_eq!((shelf.applied.len(), shelf.released.len()), (0, 0));
}

/// Req: PRJ-5-1
#[test]
fn a44_a_lock_held_by_another_is_a_no_at_once_and_leaves_nothing_locked() {
    let (_, other, mut shelf) = prepared();
    shelf.held.remove(&name(&move_in(ITEM, 0, BUYER)));
    let before = shelf.held.clone();
    let mut again = sale();
    again.terms.salt.0[0] ^= 1;
    let again = sealed(again);
    // Its first action can be locked, its second is held by the other transaction.
    let answered = answer(&asked(&again, 1), &mut shelf);
    assert_eq!(class(&answered), Some(Class::State));
    assert_eq!(answered.state.unwrap().standing(), Standing::Refused);
    assert_eq!(shelf.held, before);
    assert!(shelf.held.values().all(|holder| *holder == other));
}

type Fault = (&'static str, Class, fn(&mut Prepare, &mut Own));

fn re_signed(prepare: &mut Prepare, signer: u8, xid: Xid) {
    prepare.authorisations[0].signature = key(signer).sign(digest::authorisation(xid));
}

/// All that the gateway checks itself, one at a time.
const FAULTS: &[Fault] = &[
    ("another hub", Class::Format, |_, own| own.hub = chain(4)),
    ("another link", Class::Format, |_, own| own.link = link(4)),
    ("an index without branch", Class::Format, |prepare, _| {
        prepare.index = 2;
        prepare.authorisations[0].branch = 2;
    }),
    ("an authorisation for another branch", Class::Format, |prepare, _| {
        prepare.authorisations[0].branch = 1;
    }),
    ("an authorisation twice", Class::Format, |prepare, _| {
        prepare.authorisations.push(prepare.authorisations[0].clone());
    }),
    ("an authorisation for nothing", Class::Format, |prepare, _| {
        let signature = prepare.authorisations[0].signature;
        let account = account(BUYER);
        prepare.authorisations.push(Authorisation { branch: 0, account, signature });
    }),
    ("no authorisation", Class::Auth, |prepare, _| prepare.authorisations.clear()),
    ("an authorisation that is no signature", Class::Auth, |prepare, _| {
        prepare.authorisations[0].signature = Signature([0; 65]);
    }),
    ("an authorisation by another key", Class::Auth, |prepare, _| {
        re_signed(prepare, BUYER, checked(&sale()).xid());
    }),
    ("an authorisation of another transaction", Class::Auth, |prepare, _| {
        re_signed(prepare, OWNER, Xid([9; 32]));
    }),
    ("other terms than the owner signed", Class::Auth, |prepare, _| {
        let mut terms = sale().terms;
        terms.deadline = terms.deadline.saturating_add(1);
        prepare.terms = terms.encode();
    }),
    ("another branch under the same terms", Class::Tamper, |prepare, _| {
        let begin = begin_of(&[&[move_out(ITEM, OWNER, 2)], &[move_in(ITEM, 0, BUYER)]]);
        prepare.branch = begin.branches[0].encode();
    }),
    ("the branch at another index", Class::Tamper, |prepare, _| {
        prepare.index = 1;
        prepare.authorisations[0].branch = 1;
    }),
];

/// Req: PRJ-5-1
#[test]
fn the_gateway_believes_nothing_that_it_can_check() {
    for (sentence, expected, break_it) in FAULTS {
        let (mut message, mut own) = (asked(&sale(), 0), own(0));
        break_it(&mut message, &mut own);
        let request = Request::read(&message).unwrap();
        let mut shelf = Shelf::default();
        let answered = prepare(None, &request, own, NOW, &mut shelf);
        assert_eq!(class(&answered), Some(*expected), "{sentence}");
        assert_eq!(shelf, Shelf::default(), "{sentence}");
        assert_eq!(answered.state.unwrap().standing(), Standing::Refused, "{sentence}");
    }
}

#[test]
fn more_actions_than_a_branch_holds_are_refused() {
    let begin = begin_of(&[&vec![pay(OWNER, BUYER, 1); 9]]);
    let message = Prepare {
        terms: begin.terms.encode(),
        index: 0,
        branch: begin.branches[0].encode(),
        authorisations: begin.authorisations,
    };
    assert_eq!(class(&answer(&message, &mut Shelf::default())), Some(Class::Limit));
}

#[test]
fn what_cannot_be_read_has_no_xid_to_vote_on() {
    let bend: &[fn(&mut Prepare)] = &[
        |prepare| prepare.terms.push(0),
        |prepare| prepare.branch.push(0),
        |prepare| prepare.branch.clear(),
    ];
    for bend in bend {
        let mut message = asked(&sale(), 0);
        bend(&mut message);
        assert_eq!(Request::read(&message).unwrap_err().class, Class::Format);
    }
}

#[test]
fn a_key_that_is_bound_to_the_account_signs_for_it_and_no_other_does() {
    let mut message = asked(&sale(), 0);
    let xid = checked(&sale()).xid();
    re_signed(&mut message, 5, xid);
    let request = Request::read(&message).unwrap();
    for (bound, expected) in [(5, None), (6, Some(Class::Auth))] {
        let mut shelf = Shelf { bound: Some(account(bound)), ..Shelf::default() };
        let answered = prepare(None, &request, own(0), NOW, &mut shelf);
        assert_eq!(class(&answered), expected);
    }
}

/// A replay gets the answer that it had, and locks nothing a second time.
///
/// Req: PRJ-5-1
#[test]
fn a42_a_prepare_that_is_known_gets_the_answer_that_it_had() {
    let (state, xid, shelf) = prepared();
    let request = Request::read(&asked(&sale(), 1)).unwrap();
    let mut locks = shelf.clone();
    let mut known = vec![(state, Reply::Yes)];
    for decision in [Outcome::Commit, Outcome::Abort] {
        known.push((decide(Some(&state), xid, decision, &mut locks).state.unwrap(), Reply::Yes));
    }
    for (known, reply) in known {
        for at in [NOW, DEADLINE] {
            let mut locks = shelf.clone();
            let again = prepare(Some(&known), &request, own(1), at, &mut locks);
            assert_eq!(again, Answered { state: Some(known), reply: reply.clone() });
            assert_eq!(locks, shelf);
        }
    }
}

#[test]
fn a42_a_no_stays_a_no_when_the_lock_is_free_again() {
    let (_, _, mut shelf) = prepared();
    let mut again = sale();
    again.terms.salt.0[0] ^= 1;
    let request = Request::read(&asked(&sealed(again), 1)).unwrap();
    let refused = prepare(None, &request, own(1), NOW, &mut shelf).state.unwrap();
    let answered = prepare(Some(&refused), &request, own(1), NOW, &mut Shelf::default());
    assert_eq!(class(&answered), Some(Class::State));
    assert_eq!(answered.state, Some(refused));
}

/// Req: PRJ-5-3
#[test]
fn from_the_deadline_on_an_unknown_prepare_is_a_timeout_and_not_kept() {
    let request = Request::read(&asked(&sale(), 1)).unwrap();
    for (at, expected) in [
        (DEADLINE.saturating_sub(1), None),
        (DEADLINE, Some(Class::Timeout)),
        (UnixMillis::MAX, Some(Class::Timeout)),
    ] {
        let mut shelf = Shelf::default();
        let answered = prepare(None, &request, own(1), at, &mut shelf);
        assert_eq!(class(&answered), expected);
        assert_eq!(answered.state.is_some(), expected.is_none());
        assert_eq!(shelf == Shelf::default(), expected.is_some());
    }
}

/// Every standing under every decision, and once more the same.
///
/// Req: PRJ-5-2
#[test]
fn a_decision_is_answered_always_and_applied_once() {
    use {Outcome::*, Standing::*};
    let released = |decided| Released { trust_epoch: 3, decided };
    let rows = [
        (Prepared, Commit, Committed, None, (1, 0)),
        (Prepared, Abort, Aborted, None, (0, 1)),
        (Refused, Abort, Aborted, None, (0, 0)),
        (Refused, Commit, Refused, Some(Strange::CommitAgainstNo), (0, 0)),
        (Committed, Commit, Committed, None, (0, 0)),
        (Committed, Abort, Committed, Some(Strange::AbortAfterCommit), (0, 0)),
        (Aborted, Abort, Aborted, None, (0, 0)),
        (Aborted, Commit, Aborted, Some(Strange::CommitAfterAbort), (0, 0)),
        (released(None), Abort, released(Some(Abort)), None, (0, 0)),
        (released(None), Commit, released(Some(Commit)), Some(Strange::CommitAfterRelease), (0, 0)),
    ];
    for (standing, decision, after, strange, (applied, released)) in rows {
        let (state, xid) = standing_at(standing);
        let mut shelf = Shelf::default();
        let first = decide(Some(&state), xid, decision, &mut shelf);
        assert_eq!(first.state.unwrap().standing(), after, "{standing:?} {decision:?}");
        assert_eq!(first.strange, strange, "{standing:?} {decision:?}");
        assert_eq!((shelf.applied.len(), shelf.released.len()), (applied, released));
        let second = decide(first.state.as_ref(), xid, decision, &mut shelf);
        assert_eq!(second.state, first.state, "{standing:?} {decision:?}");
        assert_eq!((shelf.applied.len(), shelf.released.len()), (applied, released));
    }
}

/// A participant that got there the allowed way.
fn standing_at(standing: Standing) -> (Participant, Xid) {
    let (prepared, xid, mut shelf) = prepared();
    let state = match standing {
        Standing::Prepared => prepared,
        Standing::Refused => {
            let mut message = asked(&sale(), 1);
            message.authorisations.clear();
            answer(&message, &mut shelf).state.unwrap()
        }
        Standing::Committed => {
            decide(Some(&prepared), xid, Outcome::Commit, &mut shelf).state.unwrap()
        }
        Standing::Aborted => {
            decide(Some(&prepared), xid, Outcome::Abort, &mut shelf).state.unwrap()
        }
        Standing::Released { trust_epoch, .. } => {
            release(&prepared, xid, trust_epoch, &mut shelf).unwrap()
        }
    };
    assert_eq!(state.standing(), standing);
    (state, xid)
}

#[test]
fn an_unknown_transaction_is_answered_and_not_stored() {
    for (decision, strange) in
        [(Outcome::Abort, None), (Outcome::Commit, Some(Strange::CommitOfUnknown))]
    {
        let mut shelf = Shelf::default();
        let applied = decide(None, Xid([1; 32]), decision, &mut shelf);
        assert_eq!(applied, Applied { state: None, strange });
        assert_eq!(shelf, Shelf::default());
    }
}

/// After a yes no time at all makes the state forgettable or frees the lock.
///
/// Req: PRJ-5-2
#[test]
fn a43_a_promise_outlasts_every_clock() {
    let (state, xid, shelf) = prepared();
    for at in [DEADLINE, UnixMillis::MAX] {
        assert!(!state.forgettable(at));
        let request = Request::read(&asked(&sale(), 1)).unwrap();
        let mut locks = shelf.clone();
        let again = prepare(Some(&state), &request, own(1), at, &mut locks);
        assert_eq!((again.state, locks.held), (Some(state), shelf.held.clone()));
    }
    // The decision is applied on return, however late.
    let mut locks = shelf;
    let applied = decide(Some(&state), xid, Outcome::Commit, &mut locks);
    assert_eq!(applied.state.unwrap().standing(), Standing::Committed);
    assert_eq!((locks.applied, locks.held.len()), (vec![xid], 0));
}

#[test]
fn what_is_settled_is_remembered_until_the_deadline() {
    let before = DEADLINE.saturating_sub(1);
    let released = Standing::Released { trust_epoch: 1, decided: None };
    for (standing, after) in [
        (Standing::Prepared, false),
        (Standing::Refused, true),
        (Standing::Committed, true),
        (Standing::Aborted, true),
        (released, false),
    ] {
        let (state, _) = standing_at(standing);
        assert!(!state.forgettable(before), "{standing:?}");
        assert_eq!(state.forgettable(DEADLINE), after, "{standing:?}");
    }
}

#[test]
fn a43_only_what_is_locked_can_be_released_by_the_council() {
    let (state, xid, mut shelf) = prepared();
    let released = release(&state, xid, 2, &mut shelf).unwrap();
    assert_eq!(released.standing(), Standing::Released { trust_epoch: 2, decided: None });
    assert_eq!((shelf.held.len(), shelf.released.as_slice()), (0, [xid].as_slice()));
    for standing in [
        Standing::Refused,
        Standing::Committed,
        Standing::Aborted,
        Standing::Released { trust_epoch: 2, decided: None },
    ] {
        let (state, xid) = standing_at(standing);
        let mut shelf = Shelf::default();
        let refusal = release(&state, xid, 3, &mut shelf).unwrap_err();
        assert_eq!((refusal.class, shelf), (Class::State, Shelf::default()), "{standing:?}");
    }
}

/// What is kept is what is read after a crash.
#[test]
fn a40_a_promise_survives_encoding() {
    for standing in [
        Standing::Prepared,
        Standing::Refused,
        Standing::Committed,
        Standing::Aborted,
        Standing::Released { trust_epoch: 7, decided: None },
    ] {
        let (state, _) = standing_at(standing);
        let bytes = borsh::to_vec(&state).unwrap();
        assert_eq!(borsh::from_slice::<Participant>(&bytes).unwrap(), state);
    }
}

#[test]
fn a_reply_becomes_the_vote_with_one_class() {
    let xid = Xid([1; 32]);
    let of = MessageNumber(4);
    let vote = Reply::Yes.vote(of, xid);
    assert_eq!((vote.of, vote.xid, vote.yes, vote.class), (of, xid, true, 0));
    assert_eq!(Answer::of(&vote), Answer::Yes);
    let vote = Reply::No(Refusal::new(Class::Funds, "too little")).vote(of, xid);
    assert_eq!((vote.yes, vote.class, vote.message.as_str()), (false, 16, "too little"));
    assert_eq!(Answer::of(&vote), Answer::No(Class::Funds));
}

#[test]
fn a_branch_that_only_receives_needs_no_authorisation() {
    let begin = begin_of(&[&[move_out(ITEM, OWNER, 1)], &[move_in(ITEM, 0, BUYER)]]);
    let message = asked(&begin, 1);
    assert_eq!(message.authorisations, []);
    assert_eq!(answer(&message, &mut Shelf::default()).reply, Reply::Yes);
}

#[test]
fn two_actions_on_one_item_of_one_branch_refuse_each_other() {
    let begin = begin_of(&[&[write(ITEM, OWNER), write(ITEM, OWNER)]]);
    let mut shelf = Shelf::default();
    let answered = answer(&asked(&begin, 0), &mut shelf);
    assert_eq!(class(&answered), Some(Class::State));
    assert_eq!(shelf.held.len(), 0);
}
