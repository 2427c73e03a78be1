//! S1 to S4 and L1: what the hub decides, and what participants do about it.

use super::{Broken, Checker, hold};
use crate::world::{Place, World};
use std::collections::BTreeMap;
use tombolo_hub::query::{self, CommitView};
use tombolo_islet_core::{self as islet, Held};
use tombolo_ledger::Principal;
use tombolo_swap::two_phase::{Answer, Cause, Counted, Outcome, Phase, Standing as Seen, Verdict};
use tombolo_types::{
    UnixMillis,
    id::{LinkId, Xid},
};

impl Checker {
    /// S2, S3, L1 on the hub.
    pub(super) fn check_decisions(&mut self, world: &World, now: UnixMillis) -> Result<(), Broken> {
        let commits = query::commits(world.at(Place::Hub).disk(), Xid::ZERO, usize::MAX);
        for commit in &commits {
            let xid = commit.xid;
            self.known.insert(xid);
            let verdict = match commit.phase {
                Phase::Preparing => {
                    hold!(now < commit.deadline, "L1: {xid} is undecided after its deadline");
                    check_parties(world, commit)?;
                    hold!(
                        !self.decisions.contains_key(&xid),
                        "S3: {xid} was decided and is undecided again"
                    );
                    continue;
                }
                Phase::Decided(verdict) | Phase::Finished(verdict) => verdict,
            };
            match self.decisions.get(&xid) {
                Some(before) => {
                    hold!(*before == verdict, "S3: {xid} was {before:?} and is {verdict:?}");
                }
                None => {
                    check_valid(commit, verdict, now)?;
                    self.decisions.insert(xid, verdict);
                    self.count(format!("decided: {}", name_of(&verdict)));
                }
            }
        }
        Ok(())
    }

    /// S1, S3, S4 on a participant.
    pub(super) fn check_participant(&mut self, world: &World, place: Place) -> Result<(), Broken> {
        let view = world.at(place).disk();
        let locks: BTreeMap<Xid, Held> = islet::locks(view, Xid::ZERO, usize::MAX)
            .into_iter()
            .map(|lock| (lock.xid, lock.held))
            .collect();
        self.known.extend(locks.keys().copied());
        for xid in self.known.clone() {
            let now = islet::participant(view, xid).map(|participant| participant.standing());
            let key = (place, xid);
            let decision = self.decisions.get(&xid).map(Verdict::outcome);
            match now {
                Some(Seen::Prepared) => {
                    let Some(held) = locks.get(&xid) else {
                        return Err(format!("S4: {place:?} said yes to {xid} and holds nothing"));
                    };
                    let before = self.prepared.entry(key).or_insert_with(|| held.clone());
                    hold!(*before == *held, "S4: {place:?} holds something else for {xid}");
                    hold!(!self.ended.contains_key(&key), "S3: {xid} is open again on {place:?}");
                    continue;
                }
                Some(Seen::Committed) => {
                    hold!(
                        decision == Some(Outcome::Commit),
                        "S1: {place:?} committed {xid}, the hub says {decision:?}"
                    );
                    let is_new = !self.ended.contains_key(&key);
                    hold!(
                        !is_new || self.prepared.contains_key(&key),
                        "S2: {place:?} committed {xid} without having said yes"
                    );
                }
                Some(Seen::Aborted) => {
                    hold!(
                        decision == Some(Outcome::Abort),
                        "S4: {place:?} released {xid}, the hub says {decision:?}"
                    );
                }
                Some(Seen::Refused) => {
                    hold!(
                        decision != Some(Outcome::Commit),
                        "S1: {place:?} refused {xid}, the hub committed it"
                    );
                }
                Some(Seen::Released { .. }) => {
                    return Err(format!("S4: {place:?} released {xid} by itself"));
                }
                None => {
                    hold!(
                        !self.prepared.contains_key(&key) || self.ended.contains_key(&key),
                        "S4: {place:?} said yes to {xid} and has forgotten it"
                    );
                    hold!(!locks.contains_key(&xid), "S4: {place:?} holds for an unknown {xid}");
                    continue;
                }
            }
            hold!(!locks.contains_key(&xid), "S4: {place:?} holds after the end of {xid}");
            let seen = now.unwrap();
            let first = self.ended.insert(key, seen).unwrap_or(seen);
            // Who said no hears of the abort later, and has nothing left to release.
            let is_same = first == seen || (first, seen) == (Seen::Refused, Seen::Aborted);
            hold!(is_same, "S3: {xid} ended as {first:?} on {place:?}, now {seen:?}");
        }
        self.retire(world);
        Ok(())
    }

    /// Stops asking for what all have forgotten.
    fn retire(&mut self, world: &World) {
        let is_known = |xid: &Xid| {
            query::commit(world.at(Place::Hub).disk(), *xid).is_some()
                || Place::ISLETS
                    .into_iter()
                    .any(|place| islet::participant(world.at(place).disk(), *xid).is_some())
        };
        self.known.retain(is_known);
    }
}

fn name_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Committed => "committed".into(),
        Verdict::Aborted(Cause::VotedNo { class, .. }) => format!("voted no, {class}"),
        Verdict::Aborted(Cause::PrepareRefused { class, .. }) => format!("not prepared, {class}"),
        Verdict::Aborted(Cause::LinkFrozen { .. }) => "link frozen".into(),
        Verdict::Aborted(cause) => format!("{cause:?}").to_lowercase(),
    }
}

/// S2: what a decision says is what the ballots say.
fn check_valid(commit: &CommitView, verdict: Verdict, now: UnixMillis) -> Result<(), Broken> {
    let xid = commit.xid;
    let ballot = |link: &LinkId| {
        commit.seats.iter().find(|seat| seat.link == *link).and_then(|seat| seat.ballot)
    };
    match verdict {
        Verdict::Committed => {
            hold!(now < commit.deadline, "S2: {xid} was committed after its deadline");
            for seat in &commit.seats {
                let is_yes = seat.ballot.is_some_and(|ballot| {
                    ballot.answer == Answer::Yes
                        && ballot.counted == Counted::InTime
                        && ballot.at < commit.deadline
                });
                hold!(is_yes, "S2: {xid} was committed, {} said {:?}", seat.link, seat.ballot);
            }
        }
        Verdict::Aborted(
            Cause::VotedNo { link, class } | Cause::PrepareRefused { link, class },
        ) => {
            let said = ballot(&link).map(|ballot| ballot.answer);
            hold!(
                said == Some(Answer::No(class)),
                "S2: {xid} has a no of {link}, which said {said:?}"
            );
        }
        Verdict::Aborted(Cause::Deadline) => {
            hold!(now >= commit.deadline, "S2: {xid} ended by a deadline that had not passed");
        }
        Verdict::Aborted(Cause::Withdrawn | Cause::Revoked | Cause::LinkFrozen { .. }) => {}
    }
    Ok(())
}

/// S9: no party of an undecided commit has lost its standing.
fn check_parties(world: &World, commit: &CommitView) -> Result<(), Broken> {
    for party in &commit.parties {
        let standing = Principal::of(world.at(Place::Hub).disk(), *party);
        hold!(
            standing.is_some_and(|standing| standing.is_active()),
            "S9: {} is undecided, and its party {party} has no standing",
            commit.xid
        );
    }
    Ok(())
}
