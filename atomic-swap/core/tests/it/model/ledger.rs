//! The ledgers of the model: what a hub and a gateway keep, block by block.
//!
//! The machines are the production ones; their state is kept as the bytes that a ledger would
//! flush, and read again for every input.

use super::Twin;
use crate::fixture::{BEGINNER, DEADLINE, HUB, NOW, link};
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::{BTreeMap, BTreeSet};
use tombolo_swap::two_phase::{
    Answer, Authority, Checked, Coordinator, Effect, Input, Locks, Outcome, Own, Participant,
    Phase, Request, Standing, Strange, Verdict, decide, prepare, release,
};
use tombolo_types::{
    Address, MessageNumber, Refusal, UnixMillis,
    action::Action,
    ensure,
    id::{DataId, Xid},
};

/// A transaction that the model may begin.
pub(super) struct Draft {
    pub(super) checked: Checked,
    pub(super) requests: Vec<Request>,
    /// Whether every owner has signed this very transaction.
    pub(super) authorised: bool,
}

impl Draft {
    pub(super) fn new(checked: Checked, authorised: bool) -> Self {
        let read = |index| Request::read(&checked.prepare(index).unwrap()).unwrap();
        let requests = (0u32..).zip(checked.links()).map(|(index, _)| read(index)).collect();
        Self { requests, checked, authorised }
    }

    pub(super) fn xid(&self) -> Xid {
        self.checked.xid()
    }
}

/// A message on a lane, with the number of its draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sent {
    Prepare(usize),
    Decision(usize, Outcome),
    Vote(usize, Answer),
    Done(usize),
}

pub(super) type Lane = Vec<Sent>;

/// A ledger whose newest block may not be flushed yet: a crash loses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ledger<T> {
    pub(super) flushed: T,
    pub(super) pending: Option<T>,
}

impl<T> Ledger<T> {
    pub(super) fn new(state: T) -> Self {
        Self { flushed: state, pending: None }
    }
}

fn read<T: BorshDeserialize>(bytes: &[u8]) -> T {
    borsh::from_slice(bytes).unwrap()
}

fn kept<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).unwrap()
}

fn time(late: bool) -> UnixMillis {
    if late { DEADLINE } else { NOW }
}

/// The hub. The last three fields are what an outsider notes down, no machine reads them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Hub {
    pub(super) late: bool,
    pub(super) coordinators: BTreeMap<usize, Vec<u8>>,
    pub(super) lanes: Vec<Lane>,
    pub(super) received: Vec<usize>,
    pub(super) yes_in_time: BTreeSet<(usize, usize)>,
    pub(super) reasons_to_abort: BTreeSet<usize>,
    pub(super) decided: BTreeMap<usize, Vec<Outcome>>,
}

impl Hub {
    pub(super) fn new(gateways: usize) -> Self {
        Self { lanes: vec![Vec::new(); gateways], received: vec![0; gateways], ..Self::default() }
    }

    pub(super) fn coordinator(&self, draft: usize) -> Option<Coordinator> {
        self.coordinators.get(&draft).map(|bytes| read(bytes))
    }

    pub(super) fn phase(&self, draft: usize) -> Option<Phase> {
        self.coordinator(draft).map(|coordinator| coordinator.phase())
    }

    pub(super) fn begin(&mut self, number: usize, draft: &Draft) {
        let step = Coordinator::begin(&draft.checked);
        self.coordinators.insert(number, kept(&step.state));
        self.carry_out(number, step.effects);
    }

    /// Takes one input; a reason to abort is noted before the machine sees it.
    pub(super) fn step(&mut self, twin: Twin, number: usize, input: Input) {
        let Some(coordinator) = self.coordinator(number) else { return };
        let undecided = coordinator.phase() == Phase::Preparing;
        let no = matches!(input, Input::Vote { answer: Answer::No(_), .. });
        let told =
            matches!(input, Input::Withdraw { .. } | Input::Revoked | Input::LinkFrozen { .. });
        if undecided && (self.late || no || told) {
            self.reasons_to_abort.insert(number);
        }
        let blind = twin == Twin::CountsLateYes && matches!(input, Input::Vote { .. });
        let step = coordinator.step(time(self.late && !blind), input);
        self.coordinators.insert(number, kept(&step.state));
        self.carry_out(number, step.effects);
    }

    fn carry_out(&mut self, number: usize, effects: Vec<Effect>) {
        let to = |asked| (0..).position(|place: u8| link(place) == asked).unwrap();
        for effect in effects {
            match effect {
                Effect::SendPrepare { link, .. } => {
                    self.lanes[to(link)].push(Sent::Prepare(number))
                }
                Effect::SendCommit { link } => {
                    self.lanes[to(link)].push(Sent::Decision(number, Outcome::Commit));
                }
                Effect::SendAbort { link } => {
                    self.lanes[to(link)].push(Sent::Decision(number, Outcome::Abort));
                }
                Effect::RecordOutcome(verdict) => {
                    self.decided.entry(number).or_default().push(verdict.outcome());
                }
                // The model keeps what it could forget, so that properties can look at it.
                Effect::Forget | Effect::Flag(_) | Effect::Refuse(_) => {}
            }
        }
    }

    /// Takes a message of a gateway's lane.
    pub(super) fn take(&mut self, twin: Twin, gateway: usize, message: Sent) {
        let link = link(u8::try_from(gateway).unwrap());
        match message {
            Sent::Vote(number, answer) => {
                if answer == Answer::Yes && !self.late {
                    self.yes_in_time.insert((number, gateway));
                }
                self.step(twin, number, Input::Vote { link, answer });
            }
            Sent::Done(number) => self.step(twin, number, Input::Done { link }),
            Sent::Prepare(_) | Sent::Decision(..) => unreachable!("a gateway sends answers"),
        }
    }

    pub(super) fn withdraw(&mut self, twin: Twin, number: usize) {
        self.step(twin, number, Input::Withdraw { by: BEGINNER });
    }

    pub(super) fn verdict(&self, number: usize) -> Option<Verdict> {
        self.coordinator(number).and_then(|coordinator| coordinator.verdict())
    }
}

/// What a chain knows of an item. Absent where it knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// Can be used here by its holder.
    Live(Address),
    /// Held by a local operation; still usable here.
    Busy(Address),
    /// Cannot be used here until the decision.
    Leaving(Xid, Address),
    /// Its id is kept free for it.
    Arriving(Xid, Address),
}

/// The items of one chain. The last two fields are notes of an outsider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Chain {
    pub(super) items: BTreeMap<DataId, Item>,
    pub(super) applied: Vec<Xid>,
    pub(super) released: BTreeSet<Xid>,
}

impl Chain {
    pub(super) fn live(&self, item: DataId) -> bool {
        matches!(self.items.get(&item), Some(Item::Live(_) | Item::Busy(_)))
    }

    fn settle(&mut self, xid: Xid, outcome: Outcome) {
        let settled = self.items.iter().filter_map(|(id, item)| {
            let kept = match (item, outcome) {
                (Item::Leaving(held, from), Outcome::Abort) if *held == xid => {
                    Some(Item::Live(*from))
                }
                (Item::Arriving(held, holder), Outcome::Commit) if *held == xid => {
                    Some(Item::Live(*holder))
                }
                (Item::Leaving(held, _) | Item::Arriving(held, _), _) if *held == xid => None,
                (other, _) => Some(*other),
            };
            kept.map(|item| (*id, item))
        });
        self.items = settled.collect();
    }

    pub(super) fn holds_lock(&self, xid: Xid) -> bool {
        self.items.values().any(|item| match item {
            Item::Leaving(held, _) | Item::Arriving(held, _) => *held == xid,
            Item::Live(_) | Item::Busy(_) => false,
        })
    }
}

impl Authority for Chain {
    /// No identity speaks for an account: its own key signs, or nobody does.
    fn signs_for(&self, _: Address, _: Address) -> bool {
        false
    }
}

impl Locks for Chain {
    fn lock(&mut self, xid: Xid, action: &Action) -> Result<(), Refusal> {
        match action {
            Action::MoveOut(out) => {
                let live = Some(&Item::Live(out.from));
                ensure!(self.items.get(&out.item) == live, State, "{} is not free", out.item);
                self.items.insert(out.item, Item::Leaving(xid, out.from));
            }
            Action::MoveIn(into) => {
                let free = !self.items.contains_key(&into.item);
                ensure!(free, State, "{} is here already", into.item);
                self.items.insert(into.item, Item::Arriving(xid, into.holder));
            }
            other => unreachable!("the drafts only move items, not {other:?}"),
        }
        Ok(())
    }

    fn apply(&mut self, xid: Xid) {
        self.applied.push(xid);
        self.settle(xid, Outcome::Commit);
    }

    fn release(&mut self, xid: Xid) {
        self.released.insert(xid);
        self.settle(xid, Outcome::Abort);
    }
}

/// A chain with its gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Gateway {
    pub(super) late: bool,
    pub(super) participants: BTreeMap<usize, Vec<u8>>,
    pub(super) chain: Chain,
    pub(super) lane: Lane,
    pub(super) received: usize,
    pub(super) strange: bool,
}

impl Gateway {
    pub(super) fn participant(&self, draft: usize) -> Option<Participant> {
        self.participants.get(&draft).map(|bytes| read(bytes))
    }

    pub(super) fn standing(&self, draft: usize) -> Option<Standing> {
        self.participant(draft).map(|participant| participant.standing())
    }

    /// Takes a message of the hub's lane, and answers it.
    pub(super) fn take(&mut self, place: usize, drafts: &[Draft], message: Sent) {
        match message {
            Sent::Prepare(number) => {
                let known = self.participant(number);
                let own = Own { hub: HUB, link: link(u8::try_from(place).unwrap()) };
                let request = &drafts[number].requests[place];
                let at = time(self.late);
                let answered = prepare(known.as_ref(), request, own, at, &mut self.chain);
                if let Some(state) = &answered.state {
                    self.participants.insert(number, kept(state));
                }
                let vote = answered.reply.vote(MessageNumber(0), request.xid());
                self.lane.push(Sent::Vote(number, Answer::of(&vote)));
            }
            Sent::Decision(number, outcome) => {
                let known = self.participant(number);
                let xid = drafts[number].xid();
                let applied = decide(known.as_ref(), xid, outcome, &mut self.chain);
                if let Some(state) = &applied.state {
                    self.participants.insert(number, kept(state));
                }
                // Taken once more after it was forgotten, a Commit is flagged and changes nothing.
                let forgotten = self.late && self.chain.applied.contains(&xid);
                self.strange |= match applied.strange {
                    None => false,
                    Some(Strange::CommitOfUnknown) => !forgotten,
                    Some(_) => true,
                };
                self.lane.push(Sent::Done(number));
            }
            Sent::Vote(..) | Sent::Done(_) => unreachable!("the hub sends requests"),
        }
        self.forget();
    }

    /// Drops what may be dropped, as a ledger would at the end of a block.
    pub(super) fn forget(&mut self) {
        let at = time(self.late);
        self.participants.retain(|_, bytes| !read::<Participant>(bytes).forgettable(at));
    }

    /// What a participant must never do: free its lock by its own clock.
    pub(super) fn release_by_clock(&mut self, number: usize, xid: Xid) {
        if let Some(participant) = self.participant(number)
            && self.late
            && let Ok(released) = release(&participant, xid, 0, &mut self.chain)
        {
            self.participants.insert(number, kept(&released));
        }
    }

    /// A local operation takes a free item, or gives it back.
    pub(super) fn use_locally(&mut self, item: DataId) {
        let turned = match self.chain.items.get(&item) {
            Some(Item::Live(holder)) => Item::Busy(*holder),
            Some(Item::Busy(holder)) => Item::Live(*holder),
            _ => return,
        };
        self.chain.items.insert(item, turned);
    }
}
