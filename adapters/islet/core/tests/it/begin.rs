//! Two-phase commits that begin here: this ledger locks and sends its own yes.

use crate::{
    harness::identity,
    toy::inbox,
    world::{ELSEWHERE, FUNDS, World, neighbour, owner, pay},
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet_core::{IsletCall, account, locks, participant};
use tombolo_swap::two_phase::{Begin, Standing};
use tombolo_types::{
    Class, Hash, MessageNumber, Refusal, UnixMillis,
    action::{Action, Authorisation, Branch, Terms},
    id::{LinkId, Xid},
    lane::DATA_LANE,
    message::{Body, Decision, Refused},
};

/// A Begin by the owner's account that pays 300 here, and something on another chain.
fn draft(world: &World, salt: u8) -> Begin {
    let here = Branch::new(world.link, &[Action::Pay(pay(&owner(), &neighbour(), 300))]);
    let there = Branch::new(LinkId([0xcc; 32]), &[Action::Pay(pay(&neighbour(), &owner(), 1))]);
    sealed(
        Begin {
            terms: Terms {
                hub: world.hub.id,
                beginner: digest::account_beginner(world.link, owner().address()),
                salt: Hash([salt; 32]),
                deadline: world.islet.time.saturating_add(60_000),
                branches: Vec::new(),
            },
            branches: vec![there, here],
            authorisations: Vec::new(),
        },
        &owner(),
    )
}

fn sealed(mut begin: Begin, signer: &SecretKey) -> Begin {
    begin.terms.branches = begin.branches.iter().map(digest::branch).collect();
    let consent = digest::authorisation(digest::xid(&begin.terms));
    let by = |branch, account: &SecretKey, signer: &SecretKey| Authorisation {
        branch,
        account: account.address(),
        signature: signer.sign(consent),
    };
    begin.authorisations = vec![by(0, &neighbour(), &neighbour()), by(1, &owner(), signer)];
    begin
}

fn begin(world: &mut World, by: &SecretKey, begin: &Begin) -> Result<(), Refusal> {
    world.call(by, IsletCall::Begin(Box::new(begin.clone())))
}

fn xid(begin: &Begin) -> Xid {
    digest::xid(&begin.terms)
}

fn standing(world: &World, begin: &Begin) -> Option<Standing> {
    participant(&world.islet.state, xid(begin)).map(|state| state.standing())
}

fn refuse(world: &mut World, of: u64, class: Class) {
    let body = Refused { of: MessageNumber(of), class: class as u8, message: "no".into() };
    world.say(DATA_LANE, &Body::Refused(body));
    world.relay_in(DATA_LANE).unwrap();
}

/// Req: Y4560-7.2.4-1, PRJ-5-1
#[test]
fn what_begins_here_is_locked_and_goes_to_the_hub_with_its_yes() {
    let mut world = World::new(&[]);
    let draft = draft(&world, 1);
    begin(&mut world, &owner(), &draft).unwrap();
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    assert_eq!(standing(&world, &draft), Some(Standing::Prepared));
    world.relay_out(DATA_LANE);
    let sent = inbox(&world.hub.state, world.link, DATA_LANE);
    let Some(Body::Begin(request)) = sent.last() else { panic!("no Begin: {sent:?}") };
    assert_eq!(Begin::read(request).as_ref(), Ok(&draft));
    let record = world.islet.last_record("begin");
    assert_eq!((record.protocol.as_str(), record.global_id.0), ("2pc", xid(&draft).0));

    let decision = Body::Commit(Decision { xid: xid(&draft) });
    assert!(matches!(world.ask(&decision).pop(), Some(Body::Done(_))));
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    // An answer to what is over frees nothing a second time.
    refuse(&mut world, 0, Class::State);
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS + 300));
    assert_eq!(standing(&world, &draft), Some(Standing::Committed));
}

/// The hub has nothing of what it refused, and says so in a proved answer.
#[test]
fn a_refused_begin_frees_what_was_locked_for_it_and_nothing_else() {
    let mut world = World::new(&[]);
    let (first, second) = (draft(&world, 1), draft(&world, 2));
    begin(&mut world, &owner(), &first).unwrap();
    begin(&mut world, &owner(), &second).unwrap();
    refuse(&mut world, 1, Class::Policy);
    assert_eq!(standing(&world, &first), Some(Standing::Prepared));
    assert_eq!(standing(&world, &second), Some(Standing::Aborted));
    assert_eq!(world.funds(), (FUNDS - 300, FUNDS));
    assert_eq!(account(&world.islet.state, owner().address()).open_locks, 1);
    let record = world.islet.last_record("refused");
    assert_eq!((record.outcome, record.global_id.0), (Class::Policy as u8, xid(&second).0));
    // The same again, and of a message that was no Begin.
    refuse(&mut world, 1, Class::Policy);
    refuse(&mut world, 9, Class::Policy);
    assert_eq!(standing(&world, &first), Some(Standing::Prepared));
    assert_eq!(locks(&world.islet.state, Xid::ZERO, 9).len(), 1);
}

/// A second request for one xid would be refused by the hub, and that refusal would free what the
/// first holds; so there is never a second. Attack: A42.
#[test]
fn a42_an_xid_is_asked_for_once() {
    let mut world = World::new(&[]);
    let draft = draft(&world, 1);
    begin(&mut world, &owner(), &draft).unwrap();
    let again = begin(&mut world, &owner(), &draft).unwrap_err();
    assert_eq!(again.class, Class::Replay);
    refuse(&mut world, 0, Class::State);
    let again = begin(&mut world, &owner(), &draft).unwrap_err();
    assert_eq!(again.class, Class::Replay, "also after its end");
    world.islet.time = draft.terms.deadline;
    world.islet.block(Vec::new());
    world.islet.block(Vec::new());
    assert_eq!(standing(&world, &draft), None, "forgotten after the deadline");
    let again = begin(&mut world, &owner(), &draft).unwrap_err();
    assert_eq!(again.class, Class::Timeout, "{again}");
}

/// Nothing is locked, nothing is sent, one class each.
#[test]
fn what_cannot_begin_changes_nothing() {
    type Bend = fn(&mut Begin);
    let cases: &[(&str, Class, Bend)] = &[
        ("another hub", Class::Format, |it| it.terms.hub = ELSEWHERE),
        ("no branch for this ledger", Class::Format, |it| {
            it.branches.remove(1);
        }),
        ("an identity begins", Class::Auth, |it| it.terms.beginner = identity(&owner())),
        ("another account begins", Class::Auth, |it| {
            let link = it.branches[1].link;
            it.terms.beginner = digest::account_beginner(link, neighbour().address());
        }),
        ("nothing is taken from the beginner", Class::Auth, |it| {
            let pay = Action::Pay(pay(&neighbour(), &owner(), 1));
            it.branches[1] = Branch::new(it.branches[1].link, &[pay]);
        }),
        ("more than there is", Class::Funds, |it| {
            let pay = Action::Pay(pay(&owner(), &neighbour(), FUNDS + 1));
            it.branches[1] = Branch::new(it.branches[1].link, &[pay]);
        }),
        ("too late", Class::Timeout, |it| it.terms.deadline = UnixMillis(1)),
    ];
    let mut world = World::new(&[]);
    for (sentence, class, bend) in cases {
        let mut bent = draft(&world, 1);
        bend(&mut bent);
        let bent = sealed(bent, &owner());
        let refusal = begin(&mut world, &owner(), &bent).unwrap_err();
        assert_eq!(refusal.class, *class, "{sentence}: {refusal}");
    }
    let forged = sealed(draft(&world, 1), &neighbour());
    assert_eq!(begin(&mut world, &owner(), &forged).unwrap_err().class, Class::Auth);
    let honest = draft(&world, 1);
    assert_eq!(begin(&mut world, &neighbour(), &honest).unwrap_err().class, Class::Auth);
    let mut tampered = honest.clone();
    tampered.terms.branches[1] = Hash([9; 32]);
    assert_eq!(begin(&mut world, &owner(), &tampered).unwrap_err().class, Class::Auth);
    assert_eq!(world.funds(), (FUNDS, FUNDS));
    assert_eq!(locks(&world.islet.state, Xid::ZERO, 9), []);
    let sent = world.answers();
    assert!(sent.iter().all(|body| !matches!(body, Body::Begin(_))), "{sent:?}");
    begin(&mut world, &owner(), &honest).unwrap();
}
