//! L1, L2 and what can only be told of a whole history.

use super::{Broken, Checker, hold};
use crate::world::{Place, STAKEHOLDERS, World, account};
use std::collections::{BTreeMap, BTreeSet};
use tombolo_hub::{data::CopyStatus, query};
use tombolo_islet_core::{self as islet, Standing};
use tombolo_ledger::lanes;
use tombolo_swap::two_phase::{Outcome, Phase, Standing as Seen, Verdict};
use tombolo_types::{
    Epoch, LaneNumber, MessageNumber,
    id::{DataId, GlobalId, LinkId, Xid},
    lane::{CONTROL_LANE, DATA_LANE, Message},
    message::{Body, DataClass},
};

impl Checker {
    /// What must be so once everything is healed and quiet: L1, L2, S5, S8.
    pub(crate) fn at_the_end(&self, world: &World) -> Result<(), Broken> {
        let hub = world.at(Place::Hub).disk();
        for commit in query::commits(hub, Xid::ZERO, usize::MAX) {
            hold!(
                matches!(commit.phase, Phase::Finished(_)),
                "L1: {} is {}, awaited from {:?}",
                commit.xid,
                commit.status,
                commit.awaited
            );
        }
        for item in query::items(hub, DataId::ZERO, usize::MAX) {
            hold!(item.locked_by.is_none(), "L1: the hub locks {}", item.item.id);
            for (chain, copy) in &item.copies {
                hold!(
                    copy.status != CopyStatus::Accepted,
                    "L2: the copy of {} to {chain} is neither completed nor refused",
                    item.item.id
                );
            }
            if item.item.class == DataClass::Closed {
                let place = world.place_of(item.item.location);
                let there = islet::item(world.at(place).disk(), item.item.id);
                hold!(
                    there.is_some_and(|there| there.standing == Standing::Live),
                    "S5: the hub believes {} on {place:?}, where it is not live",
                    item.item.id
                );
            }
        }
        for item in &self.born {
            let is_live = |place: &&Place| {
                islet::item(world.at(**place).disk(), *item)
                    .is_some_and(|item| item.standing == Standing::Live)
            };
            let live = Place::ISLETS.iter().filter(is_live).count();
            hold!(live == 1, "S5: in the end {item} has {live} live copies");
        }
        for place in Place::ISLETS {
            let view = world.at(place).disk();
            let locks = islet::locks(view, Xid::ZERO, usize::MAX);
            hold!(locks.is_empty(), "L1: {place:?} holds {} locks", locks.len());
            for owner in STAKEHOLDERS {
                let open = islet::account(view, account(owner)).open_locks;
                hold!(open == 0, "L1: the account of {owner} on {place:?} has {open} open locks");
            }
            for xid in self.decisions.keys() {
                let standing = islet::participant(view, *xid).map(|found| found.standing());
                hold!(standing != Some(Seen::Prepared), "L1: {place:?} waits for {xid}");
            }
            let link = world.link(place);
            let pending = query::pending(hub, link, Default::default(), usize::MAX);
            hold!(pending.is_empty(), "L2: {} shares are under way to {place:?}", pending.len());
            for number in [CONTROL_LANE, DATA_LANE] {
                for (from, to) in [(Place::Hub, place), (place, Place::Hub)] {
                    self.check_lane_end(world, from, to, link, number)?;
                }
            }
        }
        self.check_agreement()
    }

    /// S1 over the whole history: whoever ended a commit ended it alike.
    fn check_agreement(&self) -> Result<(), Broken> {
        for ((place, xid), seen) in &self.ended {
            let decision = self.decisions.get(xid).map(Verdict::outcome);
            let agrees = match seen {
                Seen::Committed => decision == Some(Outcome::Commit),
                Seen::Aborted | Seen::Refused => decision == Some(Outcome::Abort),
                Seen::Prepared | Seen::Released { .. } => false,
            };
            hold!(agrees, "S1: {xid} is {seen:?} on {place:?} and {decision:?} on the hub");
        }
        for (place, xid) in self.prepared.keys() {
            hold!(self.ended.contains_key(&(*place, *xid)), "S4: {xid} never ended on {place:?}");
        }
        Ok(())
    }

    /// L2 and S8: nothing waits, everything is acknowledged, every request has its one answer.
    fn check_lane_end(
        &self,
        world: &World,
        from: Place,
        to: Place,
        link: LinkId,
        number: LaneNumber,
    ) -> Result<(), Broken> {
        let lane = |place: Place| lanes::lane(world.at(place).disk(), link, number).unwrap();
        let (sender, receiver) = (lane(from), lane(to));
        let (size, received) = (sender.sent.size(), receiver.received.size());
        let where_ = format!("lane {number} from {from:?} to {to:?}");
        hold!(size == received, "L2: {where_} has {size} messages, {received} are taken");
        hold!(sender.taken == size, "L2: {where_}: {} of {size} are acknowledged", sender.taken);
        hold!(sender.bytes == 0, "L2: {where_} keeps {} bytes of bodies", sender.bytes);
        // Where a lane was reopened, answers that came again name numbers of the epoch that ended.
        if sender.epoch > Epoch(1) {
            return Ok(());
        }
        let requests = &self.sent[&(from, link, number, Epoch(1))];
        let answers = &self.sent[&(to, link, number, Epoch(1))];
        let mut answered: BTreeMap<u64, Vec<Body>> = BTreeMap::new();
        for body in answers.iter().filter_map(|encoded| read(encoded)) {
            if let Some(of) = answer_to(&body) {
                answered.entry(of.0).or_default().push(body);
            }
        }
        for (position, encoded) in (0u64..).zip(requests) {
            let Some(body) = read(encoded) else { continue };
            let given = answered.get(&position).map_or(&[][..], Vec::as_slice);
            let is_right = match (&body, given) {
                (Body::Prepare(_), [Body::Vote(_) | Body::Refused(_)])
                | (Body::Commit(_) | Body::Abort(_), [Body::Done(_)]) => true,
                (Body::Prepare(_) | Body::Commit(_) | Body::Abort(_), _) => false,
                (body, given) if answer_to(body).is_some() => given.is_empty(),
                (_, given) => matches!(given, [] | [Body::Refused(_)]),
            };
            hold!(is_right, "S8: {where_}: message {position}, a {}, got {given:?}", body.name());
        }
        Ok(())
    }

    /// What a ledger sent over a link's data lane, as a naive reader of it sees.
    fn messages(&self, from: Place, link: LinkId) -> Vec<Body> {
        let epochs = (from, link, DATA_LANE, Epoch(1))..=(from, link, DATA_LANE, Epoch(u32::MAX));
        let sent = self.sent.range(epochs).flat_map(|(_, sent)| sent);
        sent.filter_map(|encoded| read(encoded)).collect()
    }

    /// S8 for shares: a share that left its source became one copy request, or one refusal, and
    /// never both; a share that the destination did not refuse is there.
    pub(crate) fn check_shares(&self, world: &World) -> Result<(), Broken> {
        for from in Place::ISLETS {
            let to = from.other();
            let (there, back) = (
                self.messages(Place::Hub, world.link(to)),
                self.messages(Place::Hub, world.link(from)),
            );
            let mut forwarded: BTreeMap<GlobalId, u64> = BTreeMap::new();
            for body in &there {
                if let Body::Share(share) = body {
                    *forwarded.entry(share.global_id).or_default() += 1;
                }
            }
            let refused: BTreeSet<u64> = back
                .iter()
                .filter_map(|body| match body {
                    Body::Refused(refused) => Some(refused.of.0),
                    _ => None,
                })
                .collect();
            let sent = &self.sent[&(from, world.link(from), DATA_LANE, Epoch(1))];
            for (position, encoded) in (0u64..).zip(sent) {
                let Some(Body::Share(share)) = read(encoded) else { continue };
                let count = forwarded.get(&share.global_id).copied().unwrap_or(0);
                let is_refused = refused.contains(&position);
                hold!(
                    count <= 1 && !(count == 1 && is_refused),
                    "S8: share {} was forwarded {count} times and refused: {is_refused}",
                    share.global_id
                );
            }
        }
        Ok(())
    }
}

fn read(encoded: &[u8]) -> Option<Body> {
    if encoded.is_empty() {
        return None;
    }
    let message = Message::decode(encoded).unwrap();
    Some(Body::decode(message.kind, &message.body).unwrap().unwrap())
}

fn answer_to(body: &Body) -> Option<MessageNumber> {
    match body {
        Body::Vote(vote) => Some(vote.of),
        Body::Done(done) => Some(done.of),
        Body::Refused(refused) => Some(refused.of),
        _ => None,
    }
}
