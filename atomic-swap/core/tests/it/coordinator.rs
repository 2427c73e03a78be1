//! How the hub decides.

use crate::fixture::{
    BEGINNER, DEADLINE, NOW, OWNER, begin_of, checked, link, sale, write, writes_on,
};
use tombolo_swap::two_phase::{
    Answer, Cause, Coordinator, Counted, Effect, Input, Oddity, Phase, Progress, Verdict,
};
use tombolo_types::{
    Class, UnixMillis,
    id::{DataId, IdentityId},
};

const STRANGER: IdentityId = IdentityId([0x66; 32]);

fn yes(number: u8) -> Input {
    Input::Vote { link: link(number), answer: Answer::Yes }
}

fn no(number: u8) -> Input {
    Input::Vote { link: link(number), answer: Answer::No(Class::State) }
}

fn voted_no(number: u8) -> Verdict {
    Verdict::Aborted(Cause::VotedNo { link: link(number), class: Class::State })
}

fn before() -> UnixMillis {
    DEADLINE.saturating_sub(1)
}

/// Two participants that were asked to prepare.
fn begun() -> Coordinator {
    Coordinator::begin(&checked(&sale())).state
}

/// Takes the inputs one after the other and gives the end and the effects of the last.
fn run(mut state: Coordinator, inputs: &[(UnixMillis, Input)]) -> (Coordinator, Vec<Effect>) {
    let mut effects = Vec::new();
    for (at, input) in inputs {
        // What a hub keeps between two inputs is what it reads again after a crash.
        let kept = borsh::to_vec(&state).unwrap();
        let step = borsh::from_slice::<Coordinator>(&kept).unwrap().step(*at, *input);
        (state, effects) = (step.state, step.effects);
    }
    (state, effects)
}

fn told(verdict: Verdict, participants: u8) -> Vec<Effect> {
    let tell = |number| match verdict {
        Verdict::Committed => Effect::SendCommit { link: link(number) },
        Verdict::Aborted(_) => Effect::SendAbort { link: link(number) },
    };
    [Effect::RecordOutcome(verdict)].into_iter().chain((0..participants).map(tell)).collect()
}

#[test]
fn begin_asks_every_participant_once() {
    let step = Coordinator::begin(&checked(&writes_on(3)));
    let asked: Vec<Effect> = (0..3u8)
        .map(|number| Effect::SendPrepare { link: link(number), index: u32::from(number) })
        .collect();
    assert_eq!(step.effects, asked);
    assert_eq!(step.state.phase(), Phase::Preparing);
    assert_eq!(step.state.verdict(), None);
}

/// Who begins on a chain has prepared there: the request is its yes, and it is not asked.
#[test]
fn a_prepared_participant_has_said_yes_and_is_not_asked() {
    let step = Coordinator::begin_prepared(&checked(&writes_on(3)), link(1), NOW);
    let asked: Vec<Effect> = [0u8, 2]
        .map(|number| Effect::SendPrepare { link: link(number), index: u32::from(number) })
        .to_vec();
    assert_eq!(step.effects, asked);
    assert_eq!(step.state.phase(), Phase::Preparing);
    let (state, effects) = run(step.state, &[(NOW, yes(0)), (NOW, yes(2))]);
    assert_eq!(state.verdict(), Some(Verdict::Committed));
    assert_eq!(effects, told(Verdict::Committed, 3));

    let alone = Coordinator::begin_prepared(&checked(&writes_on(1)), link(0), NOW);
    assert_eq!(alone.state.verdict(), Some(Verdict::Committed));
    assert_eq!(alone.effects, told(Verdict::Committed, 1));
}

/// A sentence, what comes in, and what it decides.
type Row<'a> = (&'a str, &'a [(UnixMillis, Input)], Verdict);

/// Req: PRJ-5-2, PRJ-5-3
#[test]
fn the_first_reason_decides_and_everybody_is_told() {
    let refused = Input::PrepareRefused { link: link(1), class: Class::Limit };
    let refused_cause = Cause::PrepareRefused { link: link(1), class: Class::Limit };
    let frozen = Input::LinkFrozen { link: link(0) };
    let rows: &[Row<'_>] = &[
        ("all yes", &[(NOW, yes(0)), (NOW, yes(1))], Verdict::Committed),
        ("all yes, in the other order", &[(NOW, yes(1)), (NOW, yes(0))], Verdict::Committed),
        (
            "the last yes in the last moment",
            &[(NOW, yes(0)), (before(), yes(1))],
            Verdict::Committed,
        ),
        ("one no", &[(NOW, no(0))], voted_no(0)),
        ("a yes, then a no", &[(NOW, yes(0)), (NOW, no(1))], voted_no(1)),
        (
            "a proved refusal counts as a no",
            &[(NOW, yes(0)), (NOW, refused)],
            Verdict::Aborted(refused_cause),
        ),
        (
            "the deadline passes without a vote",
            &[(DEADLINE, Input::Tick)],
            Verdict::Aborted(Cause::Deadline),
        ),
        (
            "the last yes comes in the millisecond of the deadline",
            &[(NOW, yes(0)), (DEADLINE, yes(1))],
            Verdict::Aborted(Cause::Deadline),
        ),
        (
            "a late no is not the reason",
            &[(NOW, yes(0)), (DEADLINE, no(1))],
            Verdict::Aborted(Cause::Deadline),
        ),
        (
            "the beginner withdraws before the last yes",
            &[(NOW, yes(0)), (NOW, Input::Withdraw { by: BEGINNER })],
            Verdict::Aborted(Cause::Withdrawn),
        ),
        (
            "a key is revoked",
            &[(NOW, yes(0)), (NOW, Input::Revoked)],
            Verdict::Aborted(Cause::Revoked),
        ),
        (
            "a link is frozen",
            &[(NOW, yes(1)), (NOW, frozen)],
            Verdict::Aborted(Cause::LinkFrozen { link: link(0) }),
        ),
    ];
    for (sentence, inputs, verdict) in rows {
        let (state, effects) = run(begun(), inputs);
        assert_eq!(state.phase(), Phase::Decided(*verdict), "{sentence}");
        assert_eq!(effects, told(*verdict, 2), "{sentence}");
        assert!(
            state.seats().iter().all(|seat| seat.progress == Progress::DecisionSent),
            "{sentence}"
        );
    }
}

/// Req: PRJ-5-3
#[test]
fn every_cause_has_the_class_that_the_beginner_is_told() {
    let link = link(0);
    for (cause, class) in [
        (Cause::VotedNo { link, class: Class::Funds }, Class::Funds),
        (Cause::PrepareRefused { link, class: Class::Version }, Class::Version),
        (Cause::Withdrawn, Class::State),
        (Cause::Deadline, Class::Timeout),
        (Cause::Revoked, Class::Ident),
        (Cause::LinkFrozen { link }, Class::State),
    ] {
        assert_eq!(cause.class(), class, "{cause:?}");
    }
}

/// Req: PRJ-5-2
#[test]
fn a42_what_is_decided_stays_decided_whatever_comes() {
    let committed = run(begun(), &[(NOW, yes(0)), (NOW, yes(1))]).0;
    let aborted = run(begun(), &[(NOW, no(0))]).0;
    let anything = [
        yes(0),
        no(0),
        yes(1),
        no(1),
        Input::PrepareRefused { link: link(1), class: Class::Limit },
        Input::Withdraw { by: BEGINNER },
        Input::Tick,
        Input::Revoked,
        Input::LinkFrozen { link: link(0) },
    ];
    for decided in [committed, aborted] {
        for at in [NOW, before(), DEADLINE, UnixMillis::MAX] {
            for input in anything {
                let (state, effects) = run(decided.clone(), &[(at, input)]);
                assert_eq!(state.phase(), decided.phase(), "{input:?} at {at}");
                let changes =
                    |effect: &Effect| !matches!(effect, Effect::Flag(_) | Effect::Refuse(_));
                assert!(!effects.iter().any(changes), "{input:?} at {at} gave {effects:?}");
            }
        }
    }
}

#[test]
fn a42_a_contradictory_vote_is_ignored_and_flagged() {
    for (first, later, verdict) in [(yes(0), no(0), None), (no(0), yes(0), Some(voted_no(0)))] {
        let (state, effects) = run(begun(), &[(NOW, first), (NOW, later)]);
        let (Input::Vote { answer: first, .. }, Input::Vote { answer: later, .. }) = (first, later)
        else {
            unreachable!()
        };
        let oddity = Oddity::ContradictoryVote { link: link(0), first, later };
        assert_eq!(effects, [Effect::Flag(oddity)]);
        assert_eq!(state.verdict(), verdict);
        assert_eq!(state.seats()[0].ballot.unwrap().answer, first);
    }
}

#[test]
fn a42_a_vote_said_twice_counts_once() {
    let (state, effects) = run(begun(), &[(NOW, yes(0)), (NOW, yes(0))]);
    assert_eq!(effects, []);
    assert_eq!(state.phase(), Phase::Preparing);
}

#[test]
fn a42_a_late_vote_is_kept_for_the_record_alone() {
    let (state, _) = run(begun(), &[(NOW, yes(0)), (DEADLINE, yes(1))]);
    let ballots: Vec<_> = state.seats().iter().map(|seat| seat.ballot.unwrap()).collect();
    assert_eq!(ballots[0].counted, Counted::InTime);
    assert_eq!(ballots[1].counted, Counted::TooLate);
    assert_eq!(ballots[1].at, DEADLINE);
    let (state, effects) = run(begun(), &[(NOW, no(0)), (NOW, yes(1))]);
    assert_eq!(effects, []);
    assert_eq!(state.seats()[1].ballot.unwrap().counted, Counted::TooLate);
}

/// All orders in which three participants say yes, with the deadline before any of them.
#[test]
fn a42_three_participants_in_every_order_commit_only_if_all_are_in_time() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        for in_time in 0..=3 {
            let inputs: Vec<_> = (0..)
                .zip(order)
                .map(|(position, number)| {
                    (if position < in_time { before() } else { DEADLINE }, yes(number))
                })
                .collect();
            let (state, _) = run(Coordinator::begin(&checked(&writes_on(3))).state, &inputs);
            let verdict = match in_time {
                3 => Verdict::Committed,
                _ => Verdict::Aborted(Cause::Deadline),
            };
            assert_eq!(state.verdict(), Some(verdict), "{order:?}, {in_time} in time");
        }
    }
}

#[test]
fn a_withdrawal_that_is_refused_changes_nothing() {
    let decided = run(begun(), &[(NOW, yes(0)), (NOW, yes(1))]).0;
    for (sentence, state, at, by, class) in [
        ("by another than the beginner", begun(), NOW, STRANGER, Class::Denied),
        ("after the last yes", decided, NOW, BEGINNER, Class::State),
        ("after the deadline", begun(), DEADLINE, BEGINNER, Class::Timeout),
    ] {
        let step = state.clone().step(at, Input::Withdraw { by });
        assert_eq!(step.state, state, "{sentence}");
        let [Effect::Refuse(refusal)] = step.effects.as_slice() else {
            panic!("{sentence}: {:?}", step.effects);
        };
        assert_eq!(refusal.class, class, "{sentence}");
    }
}

#[test]
fn before_the_deadline_a_tick_does_nothing() {
    let step = begun().step(before(), Input::Tick);
    assert_eq!((step.state, step.effects), (begun(), Vec::new()));
    assert!(!begun().due(before()));
    assert!(begun().due(DEADLINE));
}

#[test]
fn who_has_no_branch_is_flagged() {
    let link = link(7);
    for input in [
        yes(7),
        Input::PrepareRefused { link, class: Class::Limit },
        Input::LinkFrozen { link },
        Input::Done { link },
    ] {
        let step = begun().step(NOW, input);
        assert_eq!(step.effects, [Effect::Flag(Oddity::NotAParticipant { link })], "{input:?}");
        assert_eq!(step.state, begun(), "{input:?}");
    }
}

#[test]
fn done_before_the_decision_is_flagged_and_does_not_count() {
    let step = begun().step(NOW, Input::Done { link: link(0) });
    assert_eq!(step.effects, [Effect::Flag(Oddity::DoneBeforeDecision { link: link(0) })]);
    assert_eq!(step.state, begun());
}

/// Req: PRJ-5-2
#[test]
fn finished_when_all_are_done_and_forgotten_after_the_deadline() {
    let done = |number| Input::Done { link: link(number) };
    for inputs in [vec![(NOW, yes(0)), (NOW, yes(1))], vec![(NOW, no(1))]] {
        let decided = run(begun(), &inputs).0;
        let verdict = decided.verdict().unwrap();
        let (one, effects) = run(decided.clone(), &[(NOW, done(0)), (NOW, done(0))]);
        assert_eq!((one.phase(), effects), (Phase::Decided(verdict), Vec::new()));
        assert!(!one.due(UnixMillis::MAX));

        let (all, effects) = run(one.clone(), &[(before(), done(1))]);
        assert_eq!((all.phase(), effects), (Phase::Finished(verdict), Vec::new()));
        assert_eq!(all.clone().step(before(), Input::Tick).effects, []);
        assert_eq!(all.clone().step(DEADLINE, Input::Tick).effects, [Effect::Forget]);

        let (_, effects) = run(one, &[(DEADLINE, done(1))]);
        assert_eq!(effects, [Effect::Forget]);
        assert!(!all.due(before()));
        assert!(all.due(DEADLINE));
    }
}

/// The hub's part of A39: the machine is a function of what is in the log, so a replay of the
/// same inputs decides the same, byte for byte.
///
/// Req: PRJ-5-3
#[test]
fn a39_the_decision_is_a_function_of_the_log() {
    let history = [
        (NOW, yes(1)),
        (NOW, no(1)),
        (before(), yes(0)),
        (DEADLINE, Input::Tick),
        (DEADLINE, Input::Done { link: link(0) }),
    ];
    for cut in 0..=history.len() {
        let whole = run(begun(), &history);
        let kept = run(begun(), &history[..cut]).0;
        let resumed = run(kept, &history[cut..]).0;
        assert_eq!(borsh::to_vec(&resumed).unwrap(), borsh::to_vec(&whole.0).unwrap());
    }
}

#[test]
fn one_participant_alone_decides_with_its_one_vote() {
    let begun = || Coordinator::begin(&checked(&writes_on(1))).state;
    assert_eq!(run(begun(), &[(NOW, yes(0))]).0.verdict(), Some(Verdict::Committed));
    assert_eq!(run(begun(), &[(NOW, no(0))]).0.verdict(), Some(voted_no(0)));
}

#[test]
fn a_vote_that_says_yes_with_a_class_is_a_no() {
    let vote = |yes, class| tombolo_types::message::Vote {
        of: tombolo_types::MessageNumber(0),
        xid: checked(&sale()).xid(),
        yes,
        class,
        message: String::new(),
    };
    for (yes, class, answer) in [
        (true, 0, Answer::Yes),
        (true, Class::State as u8, Answer::No(Class::State)),
        (false, Class::Funds as u8, Answer::No(Class::Funds)),
        (false, 0, Answer::No(Class::Format)),
        (false, 255, Answer::No(Class::Format)),
    ] {
        assert_eq!(Answer::of(&vote(yes, class)), answer);
    }
}

#[test]
fn terms_and_xid_stay_with_the_state() {
    let begin = begin_of(&[&[write(DataId([1; 32]), OWNER)]]);
    let state = Coordinator::begin(&checked(&begin)).state;
    assert_eq!(state.terms(), &begin.terms);
    assert_eq!(state.xid(), checked(&begin).xid());
}
