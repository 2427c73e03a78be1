//! Random histories: each machine beside a naive one that reads its whole past anew.

use crate::fixture::{
    BEGINNER, DEADLINE, HUB, LIMITS, NOW, OWNER, begin_of, chain_of, checked, link, sealed, write,
    writes_on,
};
use crate::participant::Shelf;
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};
use tombolo_swap::two_phase::{
    Answer, Cause, Coordinator, Effect, Input, Limits, Oddity, Outcome, Own, Participant, Phase,
    Reply, Request, Standing, Verdict, check_begin, decide, prepare, release,
};
use tombolo_types::{
    Class, UnixMillis,
    id::{DataId, IdentityId, LinkId, Xid},
};

/// The participants; link 3 is a stranger's.
const PARTICIPANTS: u8 = 3;

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        12 => Just(Answer::Yes),
        1 => Just(Answer::No(Class::State)),
        1 => Just(Answer::No(Class::Funds)),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let any_link = || (0..=PARTICIPANTS).prop_map(link);
    prop_oneof![
        8 => (any_link(), any_answer()).prop_map(|(link, answer)| Input::Vote { link, answer }),
        1 => any_link().prop_map(|link| Input::PrepareRefused { link, class: Class::Limit }),
        1 => prop_oneof![Just(BEGINNER), Just(IdentityId([0x66; 32]))]
            .prop_map(|by| Input::Withdraw { by }),
        1 => Just(Input::Tick),
        1 => Just(Input::Revoked),
        1 => any_link().prop_map(|link| Input::LinkFrozen { link }),
        6 => any_link().prop_map(|link| Input::Done { link }),
    ]
}

/// Inputs with times that never fall, some of which cross the deadline.
fn any_history() -> impl Strategy<Value = Vec<(UnixMillis, Input)>> {
    let step_ms = prop_oneof![12 => 0..2_000u64, 1 => Just(60_000u64)];
    vec((step_ms, any_input()), 0..24).prop_map(|steps| {
        let mut at = NOW;
        steps
            .into_iter()
            .map(|(step_ms, input)| {
                at = at.saturating_add(step_ms);
                (at, input)
            })
            .collect()
    })
}

/// What a reader of the whole log would say.
#[derive(Default)]
struct Reading {
    first: BTreeMap<LinkId, Answer>,
    verdict: Option<Verdict>,
    done: BTreeSet<LinkId>,
    contradictions: usize,
}

fn read(history: &[(UnixMillis, Input)]) -> Reading {
    let mut reading = Reading::default();
    for (at, input) in history {
        let undecided = reading.verdict.is_none();
        let in_time = *at < DEADLINE;
        let knows = |asked: &LinkId| (0..PARTICIPANTS).any(|number| link(number) == *asked);
        let ballot = match input {
            Input::Vote { link, answer } => {
                Some((*link, *answer, Cause::VotedNo { link: *link, class: class_of(*answer) }))
            }
            Input::PrepareRefused { link, class } => {
                let cause = Cause::PrepareRefused { link: *link, class: *class };
                Some((*link, Answer::No(*class), cause))
            }
            _ => None,
        };
        let cause = match input {
            Input::Withdraw { by } => {
                (*by == BEGINNER && in_time).then_some(Verdict::Aborted(Cause::Withdrawn))
            }
            _ if !in_time => Some(Verdict::Aborted(Cause::Deadline)),
            Input::Revoked => Some(Verdict::Aborted(Cause::Revoked)),
            Input::LinkFrozen { link } if knows(link) => {
                Some(Verdict::Aborted(Cause::LinkFrozen { link: *link }))
            }
            _ => None,
        };
        if undecided {
            reading.verdict = cause;
        }
        if let Some((link, answer, cause)) = ballot.filter(|(link, ..)| knows(link)) {
            match reading.first.get(&link) {
                Some(first) => reading.contradictions += usize::from(*first != answer),
                None => {
                    reading.first.insert(link, answer);
                    let all_yes = reading.first.len() == usize::from(PARTICIPANTS)
                        && reading.first.values().all(|answer| *answer == Answer::Yes);
                    if reading.verdict.is_none() && answer != Answer::Yes {
                        reading.verdict = Some(Verdict::Aborted(cause));
                    } else if reading.verdict.is_none() && all_yes {
                        reading.verdict = Some(Verdict::Committed);
                    }
                }
            }
        }
        if let Input::Done { link } = input
            && knows(link)
            && reading.verdict.is_some()
        {
            reading.done.insert(*link);
        }
    }
    reading
}

fn class_of(answer: Answer) -> Class {
    match answer {
        Answer::Yes => Class::Format,
        Answer::No(class) => class,
    }
}

fn phase(reading: &Reading) -> Phase {
    match reading.verdict {
        None => Phase::Preparing,
        Some(verdict) if reading.done.len() == usize::from(PARTICIPANTS) => {
            Phase::Finished(verdict)
        }
        Some(verdict) => Phase::Decided(verdict),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Req: PRJ-5-2, PRJ-5-3
    #[test]
    fn a42_the_coordinator_agrees_with_a_reader_of_its_log(history in any_history()) {
        let mut state = Coordinator::begin(&checked(&writes_on(PARTICIPANTS))).state;
        let mut told: BTreeMap<LinkId, Vec<Outcome>> = BTreeMap::new();
        let mut recorded = Vec::new();
        let mut contradictions = 0;
        for (index, (at, input)) in history.iter().enumerate() {
            let before = state.clone();
            let step = state.step(*at, *input);
            state = step.state;
            for effect in step.effects {
                match effect {
                    Effect::SendCommit { link } => told.entry(link).or_default().push(Outcome::Commit),
                    Effect::SendAbort { link } => told.entry(link).or_default().push(Outcome::Abort),
                    Effect::RecordOutcome(verdict) => recorded.push(verdict),
                    Effect::Flag(Oddity::ContradictoryVote { .. }) => contradictions += 1,
                    Effect::Flag(_) => {}
                    Effect::Refuse(_) => prop_assert_eq!(&state, &before),
                    Effect::Forget => prop_assert!(
                        *at >= DEADLINE && matches!(state.phase(), Phase::Finished(_))
                    ),
                    Effect::SendPrepare { .. } => prop_assert!(false, "Prepare is sent by Begin"),
                }
            }
            prop_assert_eq!(state.phase(), phase(&read(&history[..=index])));
        }
        let reading = read(&history);
        prop_assert_eq!(recorded, reading.verdict.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(contradictions, reading.contradictions);
        let all_told = reading.verdict.map(|verdict| {
            (0..PARTICIPANTS).map(|number| (link(number), vec![verdict.outcome()])).collect()
        });
        prop_assert_eq!(told, all_told.unwrap_or_default());
    }
}

/// How many transactions want the same item of one ledger.
const RIVALS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Order {
    Prepare(usize),
    Decide(usize, Outcome),
    Release(usize),
    DeadlinePasses,
}

fn any_order() -> impl Strategy<Value = Order> {
    let outcome = prop_oneof![Just(Outcome::Commit), Just(Outcome::Abort)];
    prop_oneof![
        8 => (0..RIVALS).prop_map(Order::Prepare),
        6 => (0..RIVALS, outcome).prop_map(|(rival, outcome)| Order::Decide(rival, outcome)),
        1 => (0..RIVALS).prop_map(Order::Release),
        1 => Just(Order::DeadlinePasses),
    ]
}

/// Who holds the item, what everybody was promised, and what was done: all from the orders.
#[derive(Default)]
struct Ledger {
    holder: Option<usize>,
    answers: BTreeMap<usize, bool>,
    ended: BTreeMap<usize, Standing>,
    applied: Vec<usize>,
    late: bool,
}

impl Ledger {
    fn take(&mut self, order: Order) -> Option<bool> {
        match order {
            Order::Prepare(rival) => {
                if let Some(answer) = self.answers.get(&rival) {
                    return Some(*answer);
                }
                if self.late {
                    return Some(false);
                }
                let yes = self.holder.is_none();
                if yes {
                    self.holder = Some(rival);
                }
                self.answers.insert(rival, yes);
                Some(yes)
            }
            Order::Decide(rival, outcome) => {
                if self.holder == Some(rival) {
                    self.holder = None;
                    let ended = match outcome {
                        Outcome::Commit => Standing::Committed,
                        Outcome::Abort => Standing::Aborted,
                    };
                    self.ended.insert(rival, ended);
                    if outcome == Outcome::Commit {
                        self.applied.push(rival);
                    }
                } else if let Some(Standing::Released { decided, .. }) = self.ended.get_mut(&rival)
                {
                    decided.get_or_insert(outcome);
                } else if self.answers.get(&rival) == Some(&false) && outcome == Outcome::Abort {
                    self.ended.insert(rival, Standing::Aborted);
                }
                None
            }
            Order::Release(rival) => {
                if self.holder == Some(rival) {
                    self.holder = None;
                    self.ended.insert(rival, Standing::Released { trust_epoch: 1, decided: None });
                }
                None
            }
            Order::DeadlinePasses => {
                self.late = true;
                None
            }
        }
    }

    fn standing(&self, rival: usize) -> Option<Standing> {
        let answer = self.answers.get(&rival)?;
        let undecided = if *answer { Standing::Prepared } else { Standing::Refused };
        Some(self.ended.get(&rival).copied().unwrap_or(undecided))
    }
}

fn rivals() -> Vec<Request> {
    let request = |rival| {
        let mut begin = begin_of(&[&[write(DataId([1; 32]), OWNER)]]);
        begin.terms.salt.0[0] = rival;
        Request::read(&checked(&sealed(begin)).prepare(0).unwrap()).unwrap()
    };
    (0u8..).take(RIVALS).map(request).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Req: PRJ-5-1, PRJ-5-2
    #[test]
    fn a42_participants_agree_with_a_ledger_of_one_item(orders in vec(any_order(), 0..24)) {
        let requests = rivals();
        let xids: Vec<Xid> = requests.iter().map(Request::xid).collect();
        let own = Own { hub: HUB, link: link(0) };
        let mut states: Vec<Option<Participant>> = vec![None; RIVALS];
        let mut shelf = Shelf::default();
        let mut naive = Ledger::default();
        for order in orders {
            let at = if naive.late { DEADLINE } else { NOW };
            let expected = naive.take(order);
            match order {
                Order::Prepare(rival) => {
                    let known = states[rival];
                    let answered =
                        prepare(known.as_ref(), &requests[rival], own, at, &mut shelf);
                    states[rival] = answered.state;
                    prop_assert_eq!(Some(answered.reply == Reply::Yes), expected);
                }
                Order::Decide(rival, outcome) => {
                    let applied =
                        decide(states[rival].as_ref(), xids[rival], outcome, &mut shelf);
                    states[rival] = applied.state;
                }
                Order::Release(rival) => {
                    if let Some(known) = states[rival] {
                        let released = release(&known, xids[rival], 1, &mut shelf);
                        states[rival] = Some(released.unwrap_or(known));
                    }
                }
                Order::DeadlinePasses => {}
            }
            for (rival, state) in states.iter().enumerate() {
                prop_assert_eq!(state.map(|state| state.standing()), naive.standing(rival));
            }
            let holders: Vec<&Xid> = shelf.held.values().collect();
            let holder = naive.holder.map(|rival| &xids[rival]);
            prop_assert_eq!(holders, holder.into_iter().collect::<Vec<_>>());
        }
        let applied: Vec<Xid> = naive.applied.iter().map(|rival| xids[*rival]).collect();
        prop_assert_eq!(&shelf.applied, &applied);
    }

    /// Deadlines in wide integers, where nothing can overflow.
    #[test]
    fn a_deadline_is_judged_as_in_unbounded_arithmetic(
        now in prop_oneof![0..100_000u64, any::<u64>()],
        ahead in prop_oneof![-1_000..100_000i128, any::<i64>().prop_map(i128::from)],
        finality in prop_oneof![0..10_000u64, any::<u64>()],
        margin in prop_oneof![0..10_000u64, any::<u64>()],
        longest in prop_oneof![0..100_000u64, any::<u64>()],
    ) {
        let deadline = (i128::from(now) + ahead).clamp(0, i128::from(u64::MAX));
        let left = deadline - i128::from(now);
        let needed = 2 * i128::from(finality) + i128::from(margin);
        let expected = if left > i128::from(longest) {
            Some(Class::Limit)
        } else if left <= 0 {
            Some(Class::Timeout)
        } else if left < needed {
            Some(Class::State)
        } else {
            None
        };
        let mut begin = writes_on(1);
        begin.terms.deadline = UnixMillis(u64::try_from(deadline).unwrap());
        let limits = Limits {
            deadline_max_ms: longest,
            slowest_finality_ms: finality,
            relay_margin_ms: margin,
            ..LIMITS
        };
        let found = check_begin(&sealed(begin), HUB, UnixMillis(now), &limits, chain_of);
        prop_assert_eq!(found.err().map(|refusal| refusal.class), expected);
    }
}
