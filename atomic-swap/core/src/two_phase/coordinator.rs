//! The coordinator: one per transaction, kept by the hub.
//!
//! A decision is part of the state that [`Coordinator::step`] returns together with the effects
//! that send it; a hub writes both in one block, so no crash can send what is not decided.

use super::{Answer, Checked, Outcome};
use crate::deadline;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{
    Class, Refusal, UnixMillis,
    action::Terms,
    ensure,
    id::{IdentityId, LinkId, Xid},
};

/// Whether a ballot took part in the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Counted {
    /// It stood on the hub while the transaction was undecided and before the deadline.
    InTime,
    /// It came after; kept for the record alone.
    TooLate,
}

/// The first vote of a participant; it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ballot {
    /// What it said.
    pub answer: Answer,
    /// Whether it counted.
    pub counted: Counted,
    /// The hub's block time then.
    pub at: UnixMillis,
}

/// How far a participant has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Progress {
    /// Was asked to prepare.
    PrepareSent,
    /// Was told the decision.
    DecisionSent,
    /// Has proved that it applied the decision.
    Done,
}

/// What the hub knows of one participant.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seat {
    /// The participant.
    pub link: LinkId,
    /// Its vote, once there is one.
    pub ballot: Option<Ballot>,
    /// How far it has been told.
    pub progress: Progress,
}

/// Why a transaction was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Cause {
    /// A participant voted no.
    VotedNo {
        /// Which.
        link: LinkId,
        /// Its one class.
        class: Class,
    },
    /// A participant refused Prepare itself, and proved it.
    PrepareRefused {
        /// Which.
        link: LinkId,
        /// Its one class.
        class: Class,
    },
    /// The beginner withdrew before the last yes.
    Withdrawn,
    /// The deadline passed on the hub's block time.
    Deadline,
    /// A key that signed was revoked.
    Revoked,
    /// A participant's link was frozen.
    LinkFrozen {
        /// Which.
        link: LinkId,
    },
}

impl Cause {
    /// The class that the beginner is told. Req: PRJ-5-3
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::VotedNo { class, .. } | Self::PrepareRefused { class, .. } => *class,
            Self::Withdrawn | Self::LinkFrozen { .. } => Class::State,
            Self::Deadline => Class::Timeout,
            Self::Revoked => Class::Ident,
        }
    }
}

/// How it was decided, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Verdict {
    /// All said yes in time.
    Committed,
    /// For the first cause that came.
    Aborted(Cause),
}

impl Verdict {
    /// What participants are told.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Committed => Outcome::Commit,
            Self::Aborted(_) => Outcome::Abort,
        }
    }
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Phase {
    /// Votes are awaited.
    Preparing,
    /// Decided and told; not all are done.
    Decided(Verdict),
    /// All are done.
    Finished(Verdict),
}

/// What may happen to a transaction after Begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A participant's proved vote.
    Vote {
        /// Whose, by the link that delivered it.
        link: LinkId,
        /// What it says.
        answer: Answer,
    },
    /// A participant's proved refusal of Prepare; counts as a no.
    PrepareRefused {
        /// Whose.
        link: LinkId,
        /// Its class.
        class: Class,
    },
    /// A signed request to give up.
    Withdraw {
        /// By whom.
        by: IdentityId,
    },
    /// A block began.
    Tick,
    /// A key that began or authorised the transaction was revoked.
    Revoked,
    /// A participant's link was frozen.
    LinkFrozen {
        /// Which.
        link: LinkId,
    },
    /// A participant's proved answer to the decision.
    Done {
        /// Whose.
        link: LinkId,
    },
}

/// Something that no honest participant does; goes into the record, changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Spoke for a transaction in which it has no branch.
    NotAParticipant {
        /// Who.
        link: LinkId,
    },
    /// Voted otherwise than before.
    ContradictoryVote {
        /// Who.
        link: LinkId,
        /// What binds.
        first: Answer,
        /// What is ignored.
        later: Answer,
    },
    /// Said that it applied a decision before there was one.
    DoneBeforeDecision {
        /// Who.
        link: LinkId,
    },
}

/// What the hub does, in the block that holds the new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append Prepare to the participant's lane.
    SendPrepare {
        /// The participant.
        link: LinkId,
        /// The position of its branch.
        index: u32,
    },
    /// Append Commit to the participant's lane; never refused there.
    SendCommit {
        /// The participant.
        link: LinkId,
    },
    /// Append Abort to the participant's lane; never refused there.
    SendAbort {
        /// The participant.
        link: LinkId,
    },
    /// Write the decision into the audit log.
    RecordOutcome(Verdict),
    /// Drop the state: all are done, and Begin refuses this xid by its deadline.
    Forget,
    /// Write an oddity into the audit log.
    Flag(Oddity),
    /// Refuse the transaction that brought the input; the state is as it was.
    Refuse(Refusal),
}

/// A new state and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be kept before any effect is seen outside.
    pub state: Coordinator,
    /// In order.
    pub effects: Vec<Effect>,
}

/// The hub's state of one two-phase commit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Coordinator {
    xid: Xid,
    terms: Terms,
    seats: Vec<Seat>,
    phase: Phase,
}

impl Coordinator {
    /// Starts a transaction: every participant is asked to prepare.
    #[must_use]
    pub fn begin(checked: &Checked) -> Step {
        let seat = |link| Seat { link, ballot: None, progress: Progress::PrepareSent };
        let state = Self {
            xid: checked.xid(),
            terms: checked.terms().clone(),
            seats: checked.links().map(seat).collect(),
            phase: Phase::Preparing,
        };
        let send = |(index, link)| Effect::SendPrepare { link, index };
        Step { effects: (0u32..).zip(checked.links()).map(send).collect(), state }
    }

    /// Starts a transaction that participant `by` has begun, at the hub's block time `at`: it is
    /// prepared already, so its yes counts and it is not asked.
    #[must_use]
    pub fn begin_prepared(checked: &Checked, by: LinkId, at: UnixMillis) -> Step {
        let Step { state, mut effects } = Self::begin(checked);
        effects.retain(|effect| !matches!(effect, Effect::SendPrepare { link, .. } if *link == by));
        let voted = state.step(at, Input::Vote { link: by, answer: Answer::Yes });
        effects.extend(voted.effects);
        Step { state: voted.state, effects }
    }

    /// What the transaction is known by.
    #[must_use]
    pub fn xid(&self) -> Xid {
        self.xid
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The participants, in the order of the branches.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The decision, once there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self.phase {
            Phase::Preparing => None,
            Phase::Decided(verdict) | Phase::Finished(verdict) => Some(verdict),
        }
    }

    /// Whether [`Input::Tick`] at this block time would change anything; lets a hub keep a queue
    /// by deadline instead of waking every transaction in every block.
    #[must_use]
    pub fn due(&self, at: UnixMillis) -> bool {
        deadline::passed(self.terms.deadline, at)
            && matches!(self.phase, Phase::Preparing | Phase::Finished(_))
    }

    /// Takes one input at the hub's block time `at`. Total: whatever comes in whatever order, the
    /// answer is a state and its effects.
    ///
    /// From the deadline on every input first aborts what is undecided, so that a late yes finds
    /// the door shut also in a block whose tick has not reached this transaction. Only a request
    /// to withdraw does not, because it is refused then and must change nothing.
    ///
    /// Req: PRJ-5-2, PRJ-5-3
    #[must_use]
    pub fn step(mut self, at: UnixMillis, input: Input) -> Step {
        let mut effects = Vec::new();
        let late = deadline::passed(self.terms.deadline, at);
        if late && !matches!(input, Input::Withdraw { .. }) {
            self.abort(Cause::Deadline, &mut effects);
        }
        match input {
            Input::Vote { link, answer } => {
                let no = |class| Cause::VotedNo { link, class };
                self.take_ballot(at, link, answer, no, &mut effects);
            }
            Input::PrepareRefused { link, class } => {
                let no = |class| Cause::PrepareRefused { link, class };
                self.take_ballot(at, link, Answer::No(class), no, &mut effects);
            }
            Input::Withdraw { by } => match self.check_withdraw(at, by) {
                Ok(()) => self.abort(Cause::Withdrawn, &mut effects),
                Err(refusal) => effects.push(Effect::Refuse(refusal)),
            },
            Input::Revoked => self.abort(Cause::Revoked, &mut effects),
            Input::LinkFrozen { link } => {
                if self.seat(link, &mut effects).is_some() {
                    self.abort(Cause::LinkFrozen { link }, &mut effects);
                }
            }
            Input::Done { link } => {
                self.take_done(link, &mut effects);
                self.forget_if(late, &mut effects);
            }
            Input::Tick => self.forget_if(late, &mut effects),
        }
        Step { state: self, effects }
    }

    /// The seat of a participant; whoever is none is flagged.
    fn seat(&mut self, link: LinkId, effects: &mut Vec<Effect>) -> Option<&mut Seat> {
        let seat = self.seats.iter_mut().find(|seat| seat.link == link);
        if seat.is_none() {
            effects.push(Effect::Flag(Oddity::NotAParticipant { link }));
        }
        seat
    }

    /// Counts a vote, or keeps it for the record. Attack: A42.
    fn take_ballot(
        &mut self,
        at: UnixMillis,
        link: LinkId,
        answer: Answer,
        no: impl Fn(Class) -> Cause,
        effects: &mut Vec<Effect>,
    ) {
        let counted = match self.phase {
            Phase::Preparing => Counted::InTime,
            Phase::Decided(_) | Phase::Finished(_) => Counted::TooLate,
        };
        let Some(seat) = self.seat(link, effects) else { return };
        if let Some(first) = seat.ballot {
            if first.answer != answer {
                let first = first.answer;
                let oddity = Oddity::ContradictoryVote { link, first, later: answer };
                effects.push(Effect::Flag(oddity));
            }
            return;
        }
        seat.ballot = Some(Ballot { answer, counted, at });
        match (counted, answer) {
            (Counted::TooLate, _) => {}
            (Counted::InTime, Answer::No(class)) => self.abort(no(class), effects),
            (Counted::InTime, Answer::Yes) => {
                if self.seats.iter().all(said_yes_in_time) {
                    self.decide(Verdict::Committed, effects);
                }
            }
        }
    }

    fn check_withdraw(&self, at: UnixMillis, by: IdentityId) -> Result<(), Refusal> {
        ensure!(
            by == self.terms.beginner,
            Denied,
            "{} was begun by {}, not by {by}; only the beginner may withdraw",
            self.xid,
            self.terms.beginner
        );
        ensure!(
            self.phase == Phase::Preparing,
            State,
            "{} is decided; nothing can be withdrawn any more",
            self.xid
        );
        deadline::check_not_passed(self.terms.deadline, at)
    }

    fn take_done(&mut self, link: LinkId, effects: &mut Vec<Effect>) {
        let phase = self.phase;
        let Some(seat) = self.seat(link, effects) else { return };
        let Phase::Decided(verdict) = phase else {
            if phase == Phase::Preparing {
                effects.push(Effect::Flag(Oddity::DoneBeforeDecision { link }));
            }
            return;
        };
        seat.progress = Progress::Done;
        if self.seats.iter().all(|seat| seat.progress == Progress::Done) {
            self.phase = Phase::Finished(verdict);
        }
    }

    fn forget_if(&self, late: bool, effects: &mut Vec<Effect>) {
        if late && matches!(self.phase, Phase::Finished(_)) {
            effects.push(Effect::Forget);
        }
    }

    /// Aborts what is undecided; what is decided stays.
    fn abort(&mut self, cause: Cause, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Preparing {
            self.decide(Verdict::Aborted(cause), effects);
        }
    }

    /// Decides once. Every participant was sent Prepare at Begin, so every one is told.
    fn decide(&mut self, verdict: Verdict, effects: &mut Vec<Effect>) {
        self.phase = Phase::Decided(verdict);
        effects.push(Effect::RecordOutcome(verdict));
        for seat in &mut self.seats {
            seat.progress = Progress::DecisionSent;
            let link = seat.link;
            effects.push(match verdict.outcome() {
                Outcome::Commit => Effect::SendCommit { link },
                Outcome::Abort => Effect::SendAbort { link },
            });
        }
    }
}

fn said_yes_in_time(seat: &Seat) -> bool {
    matches!(seat.ballot, Some(Ballot { answer: Answer::Yes, counted: Counted::InTime, .. }))
}
