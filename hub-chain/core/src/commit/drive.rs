//! From votes, deadlines and ends to decisions, and from decisions to messages and records.

use super::{
    BY_IDENTITY, BY_LINK, COMMITS, Commit, DEADLINES, DOOMED_IDENTITIES, DOOMED_LINKS, OPEN_OF,
    SENT, UNFINISHED, add, put_sent,
};
use crate::{data, link};
use tombolo_crypto::digest;
use tombolo_ledger::{Arrival, Context, Unheld, lanes::Room};
use tombolo_swap::two_phase::{
    Answer, Cause, Effect, Input, Oddity, Outcome, Phase, Step, Verdict,
};
use tombolo_types::{
    Class, MessageNumber, Refusal, UnixMillis,
    id::{LinkId, Xid},
    lane::DATA_LANE,
    message::{Body, Decision, Done, Refused, Vote, class_of},
    record::Record,
    refuse,
    store::View,
};

/// Gives up an undecided commit, for its beginner.
pub(crate) fn withdraw(cx: &mut Context<'_, '_>, xid: Xid) -> Result<(), Refusal> {
    cx.record.protocol = "2pc".into();
    let Some(commit) = COMMITS.get(cx.state, &xid) else {
        refuse!(NotFound, "there is no unfinished commit {xid}");
    };
    cx.record.global_id = commit.global_id();
    let terms = commit.coordinator.terms();
    // For an account that began on its chain speaks the identity that it is bound to.
    let speaks = commit.parties.first().is_some_and(|party| *party == cx.signer_id());
    let by = if speaks { terms.beginner } else { cx.signer_id() };
    feed(cx, commit, Input::Withdraw { by })
}

/// Works off what is due: deadlines, ends of identities, frozen links.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    let most = cx.parameters.aborts_per_block;
    let mut budget = usize::try_from(most).unwrap_or(usize::MAX);
    for ((deadline, xid), ()) in DEADLINES.all(cx.state, budget) {
        if deadline > cx.block.time {
            break;
        }
        budget = budget.saturating_sub(1);
        DEADLINES.delete(cx.state, &(deadline, xid));
        feed_at_beginning(cx, xid, Input::Tick);
    }
    for (link, ()) in DOOMED_LINKS.all(cx.state, usize::MAX) {
        let due = BY_LINK.under(cx.state, &link, budget);
        for ((_, xid), ()) in &due {
            feed_at_beginning(cx, *xid, Input::LinkFrozen { link });
        }
        budget = budget.saturating_sub(due.len());
        if budget == 0 {
            return;
        }
        DOOMED_LINKS.delete(cx.state, &link);
    }
    for (id, ()) in DOOMED_IDENTITIES.all(cx.state, usize::MAX) {
        let due = BY_IDENTITY.under(cx.state, &id, budget);
        for ((_, xid), ()) in &due {
            feed_at_beginning(cx, *xid, Input::Revoked);
        }
        budget = budget.saturating_sub(due.len());
        if budget == 0 {
            return;
        }
        DOOMED_IDENTITIES.delete(cx.state, &id);
    }
}

fn feed_at_beginning(cx: &mut Context<'_, '_>, xid: Xid, input: Input) {
    if let Some(commit) = COMMITS.get(cx.state, &xid) {
        // Only a withdrawal can be refused.
        let _ = feed(cx, commit, input);
    }
}

/// What was sent over a data lane under a number and is not answered, the newest epoch first: an
/// answer to an epoch that ended may come in any later one.
fn sent(view: &dyn View, arrival: &Arrival, of: MessageNumber) -> Vec<(u32, Xid)> {
    if arrival.lane != DATA_LANE {
        return Vec::new();
    }
    let found = SENT.under(view, &(arrival.link, of), usize::MAX);
    found.into_iter().rev().map(|((.., epoch), xid)| (epoch, xid)).collect()
}

/// The commit that an answer is about, where the answered message is one of it.
fn answered(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    of: MessageNumber,
    xid: Xid,
) -> Option<Commit> {
    cx.record.protocol = "2pc".into();
    let asked = sent(cx.state, arrival, of).into_iter().find(|(_, asked)| *asked == xid);
    let found = asked.and_then(|(epoch, _)| Some((epoch, COMMITS.get(cx.state, &xid)?)));
    match &found {
        Some((epoch, commit)) => {
            SENT.delete(cx.state, &(arrival.link, of, *epoch));
            name(&mut cx.record, commit);
        }
        None => cx.record.remark = format!("message {of} asked nothing of {xid}; ignored"),
    }
    found.map(|(_, commit)| commit)
}

/// Counts a vote; the first of each participant binds. Attack: A42.
pub(crate) fn take_vote(cx: &mut Context<'_, '_>, arrival: &Arrival, vote: &Vote) {
    let Some(commit) = answered(cx, arrival, vote.of, vote.xid) else { return };
    cx.record.remark = match Answer::of(vote) {
        Answer::Yes => "yes".into(),
        Answer::No(class) => format!("no, {class}"),
    };
    let link = arrival.link;
    take_ballot(cx, commit, Input::Vote { link, answer: Answer::of(vote) });
}

/// Takes the refusal of a Prepare as a no; false where the refused message is none of a commit.
pub(crate) fn take_refused(cx: &mut Context<'_, '_>, arrival: &Arrival, refused: &Refused) -> bool {
    // A refusal names no xid. The request's salt, which every answer carries, tells which of several
    // messages under one number is meant: that of a Prepare follows from its xid.
    let asked = sent(cx.state, arrival, refused.of).into_iter().find(|(_, xid)| {
        arrival.salt == digest::authorisation(*xid)
            || COMMITS.get(cx.state, xid).is_some_and(|commit| commit.salt == arrival.salt)
    });
    let Some((epoch, xid)) = asked else { return false };
    let Some(commit) = answered(cx, arrival, refused.of, xid) else { return true };
    let class = class_of(refused.class);
    let link = arrival.link;
    cx.record.remark = format!("refused, {class}");
    if commit.coordinator.verdict().is_some() && has_voted(&commit, link) {
        // A decision cannot be refused; who does so breaks its promise.
        SENT.put(cx.state, &(link, refused.of, epoch), &xid);
        cx.record.remark = format!("the participant refuses a decision, {class}; it stands");
        return true;
    }
    take_ballot(cx, commit, Input::PrepareRefused { link, class });
    true
}

fn has_voted(commit: &Commit, link: LinkId) -> bool {
    commit.coordinator.seats().iter().any(|seat| seat.link == link && seat.ballot.is_some())
}

/// A yes must not overtake the end of a party or link that is already decided upon.
fn take_ballot(cx: &mut Context<'_, '_>, commit: Commit, ballot: Input) {
    let xid = commit.coordinator.xid();
    let frozen = commit.coordinator.seats().iter().map(|seat| seat.link);
    let frozen = frozen.into_iter().find(|link| DOOMED_LINKS.has(cx.state, link));
    let revoked = commit.parties.iter().any(|party| DOOMED_IDENTITIES.has(cx.state, party));
    let first = match (frozen, revoked) {
        (Some(link), _) => Some(Input::LinkFrozen { link }),
        (None, true) => Some(Input::Revoked),
        (None, false) => None,
    };
    if let Some(first) = first {
        feed_at_beginning(cx, xid, first);
    }
    feed_at_beginning(cx, xid, ballot);
}

/// Learns that a participant has applied the decision.
pub(crate) fn take_done(cx: &mut Context<'_, '_>, arrival: &Arrival, done: &Done) {
    let Some(commit) = answered(cx, arrival, done.of, done.xid) else { return };
    cx.record.remark = "applied".into();
    feed_at_beginning(cx, commit.coordinator.xid(), Input::Done { link: arrival.link });
}

/// Feeds one input to the machine and does what it says.
fn feed(cx: &mut Context<'_, '_>, commit: Commit, input: Input) -> Result<(), Refusal> {
    let step = commit.coordinator.clone().step(cx.block.time, input);
    follow(cx, commit, step)
}

/// Keeps a commit's new state and does what goes with it.
pub(super) fn follow(
    cx: &mut Context<'_, '_>,
    mut commit: Commit,
    step: Step,
) -> Result<(), Refusal> {
    let xid = commit.coordinator.xid();
    let was_finished = is_finished(commit.coordinator.phase());
    commit.coordinator = step.state;
    let mut is_forgotten = false;
    for effect in step.effects {
        match effect {
            Effect::Refuse(refusal) => return Err(refusal),
            // Every Prepare went out with Begin.
            Effect::SendPrepare { .. } => {}
            Effect::SendCommit { link } => {
                tell(cx, &commit, link, &Body::Commit(Decision { xid }));
            }
            Effect::SendAbort { link } => tell(cx, &commit, link, &Body::Abort(Decision { xid })),
            Effect::RecordOutcome(verdict) => decide(cx, &commit, verdict),
            Effect::Forget => is_forgotten = true,
            Effect::Flag(oddity) => cx.record.remark = describe(&oddity),
        }
    }
    if !was_finished && is_finished(commit.coordinator.phase()) {
        finish(cx, &commit);
    }
    if is_forgotten {
        COMMITS.delete(cx.state, &xid);
        DEADLINES.delete(cx.state, &(commit.coordinator.terms().deadline, xid));
    } else {
        COMMITS.put(cx.state, &xid, &commit);
    }
    Ok(())
}

fn is_finished(phase: Phase) -> bool {
    matches!(phase, Phase::Finished(_))
}

/// Sends a decision: its room was reserved with Prepare, so neither limit nor pause stops it.
fn tell(cx: &mut Context<'_, '_>, commit: &Commit, to: LinkId, body: &Body) {
    let salt = commit.salt;
    let sent = link::send(cx, (to, DATA_LANE), body, UnixMillis::ZERO, salt, Room::Reserved);
    if let Ok(number) = sent {
        put_sent(cx.state, to, number, commit.coordinator.xid());
    }
}

/// Learns what became of a message about a commit whose lane was reopened. A decision went again. A
/// Prepare that the participant does not hold is as good as refused.
pub(crate) fn reopened(cx: &mut Context<'_, '_>, unheld: &Unheld) {
    let key = (unheld.link, unheld.number, unheld.epoch.0);
    let Some(xid) = SENT.get(cx.state, &key) else { return };
    SENT.delete(cx.state, &key);
    match (unheld.again, COMMITS.get(cx.state, &xid)) {
        (Some(number), _) => put_sent(cx.state, unheld.link, number, xid),
        (None, Some(commit)) if commit.coordinator.verdict().is_none() => {
            let class = Class::State;
            feed_at_beginning(cx, xid, Input::PrepareRefused { link: unheld.link, class });
        }
        (None, _) => {}
    }
}

/// Applies the decision to what the hub itself knows. Req: PRJ-5-2
fn decide(cx: &mut Context<'_, '_>, commit: &Commit, verdict: Verdict) {
    let xid = commit.coordinator.xid();
    for seat in commit.coordinator.seats() {
        BY_LINK.delete(cx.state, &(seat.link, xid));
    }
    for party in &commit.parties {
        BY_IDENTITY.delete(cx.state, &(*party, xid));
    }
    add(cx.state, &OPEN_OF, &commit.coordinator.terms().beginner, -1);
    for item in &commit.locked {
        data::free_lock(cx.state, *item);
    }
    let mut record = record(cx, commit);
    match verdict {
        Verdict::Committed => {
            for transfer in &commit.transfers {
                transfer.complete(cx.state);
            }
            for item in &commit.items {
                data::put_item(cx.state, &data::Item { height: cx.block.height, ..item.clone() });
            }
            record.operation = "commit".into();
            record.remark = "committed".into();
        }
        Verdict::Aborted(cause) => {
            for transfer in &commit.transfers {
                transfer.give_back(cx.state);
            }
            record.operation = "abort".into();
            record.outcome = cause.class() as u8;
            record.remark = format!("aborted: {}", why(&cause));
        }
    }
    cx.append_record(record, commit.salt);
}

fn why(cause: &Cause) -> String {
    match cause {
        Cause::VotedNo { link, class } => {
            format!("the participant of link {link} voted no, {class}")
        }
        Cause::PrepareRefused { link, class } => {
            format!("the participant of link {link} refused to prepare, {class}")
        }
        Cause::Withdrawn => "withdrawn by the beginner".into(),
        Cause::Deadline => "the deadline passed before all had voted".into(),
        Cause::Revoked => "a party was suspended or revoked, or lost its keys".into(),
        Cause::LinkFrozen { link } => format!("link {link} froze"),
    }
}

/// All participants have applied the decision.
fn finish(cx: &mut Context<'_, '_>, commit: &Commit) {
    for seat in commit.coordinator.seats() {
        add(cx.state, &UNFINISHED, &seat.link, -1);
    }
    let mut record = record(cx, commit);
    let outcome = commit.coordinator.verdict().map(|verdict| verdict.outcome());
    record.operation = "finish".into();
    record.remark = match outcome {
        Some(Outcome::Commit) => "committed on all participants".into(),
        Some(Outcome::Abort) | None => "aborted on all participants".into(),
    };
    cx.append_record(record, commit.salt);
}

/// A record of the commit itself, besides that of the cause.
fn record(cx: &Context<'_, '_>, commit: &Commit) -> Record {
    let mut record = cx.blank_record();
    name(&mut record, commit);
    record.protocol = "2pc".into();
    record
}

/// Names in a record what is the same in all records of a commit.
fn name(record: &mut Record, commit: &Commit) {
    record.global_id = commit.global_id();
    record.parties.clone_from(&commit.parties);
    record.policy_hash = commit.policy_hash;
    record.evidence = commit.evidence;
    if let [item] = commit.items.as_slice() {
        record.data_id = item.id;
        record.data_class = item.class.number();
        record.fingerprint = item.fingerprint;
    }
}

fn describe(oddity: &Oddity) -> String {
    match oddity {
        Oddity::NotAParticipant { link } => format!("link {link} has no branch; ignored"),
        Oddity::ContradictoryVote { link, first, later } => {
            format!("link {link} voted {first:?} and later {later:?}; the first binds")
        }
        Oddity::DoneBeforeDecision { link } => {
            format!("link {link} says done before there is a decision; ignored")
        }
    }
}
