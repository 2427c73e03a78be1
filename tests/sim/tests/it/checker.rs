//! The properties that must hold after every block, and those that must hold at the end.
//!
//! The checker reads only what the three disks hold, and remembers what it saw. Names `S1` to
//! `S12` and `L1`, `L2` are those of the protocol's list of properties.

mod commits;
mod end;
mod items;
mod records;

use crate::{
    node::Made,
    world::{Place, World},
};
use std::collections::{BTreeMap, BTreeSet};
use tombolo_crypto::{
    digest,
    log::{root_at, root_of},
};
use tombolo_islet_core::Held;
use tombolo_ledger::{
    lanes::{self, Lane, LaneNodes},
    records as log,
};
use tombolo_swap::two_phase::{Standing as Seen, Verdict};
use tombolo_types::{
    Epoch, Hash, LaneNumber, MessageNumber,
    id::{DataId, LinkId, TxId, Xid},
    lane::{CONTROL_LANE, DATA_LANE},
};

/// A violated property.
pub(crate) type Broken = String;

/// Returns early with what is broken unless the condition holds.
macro_rules! hold {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

pub(crate) use hold;

/// What the checker remembers.
#[derive(Clone, Default)]
pub(crate) struct Checker {
    decisions: BTreeMap<Xid, Verdict>,
    /// What each participant held when it said yes.
    prepared: BTreeMap<(Place, Xid), Held>,
    ended: BTreeMap<(Place, Xid), Seen>,
    /// Two-phase commits that the hub has not forgotten, or a participant not.
    known: BTreeSet<Xid>,
    /// Every message of every epoch of every lane, in order.
    sent: BTreeMap<(Place, LinkId, LaneNumber, Epoch), Vec<Vec<u8>>>,
    received: BTreeMap<(Place, LinkId, LaneNumber, Epoch), u64>,
    /// The sum of those over all lanes of a ledger.
    taken: BTreeMap<Place, u64>,
    log_size: BTreeMap<Place, u64>,
    /// Closed items that have once existed.
    born: BTreeSet<DataId>,
    /// Transactions that must not succeed.
    forbidden: BTreeSet<TxId>,
    /// How often what happened, for a look at whether the run was worth it.
    pub(crate) seen: BTreeMap<String, u64>,
}

impl Checker {
    /// Begins with a world as it is.
    pub(crate) fn new(world: &World) -> Self {
        let mut checker = Self::default();
        for place in Place::ALL {
            let view = world.at(place).disk();
            checker.log_size.insert(place, log::log(view).size());
            for islet in
                Place::ISLETS.into_iter().filter(|islet| [*islet, Place::Hub].contains(&place))
            {
                let link = world.link(islet);
                for (number, lane) in lanes::lanes(view, link) {
                    let key = (place, link, number, lane.peer_epoch);
                    checker.received.insert(key, lane.received.size());
                    // The first messages were forgotten before the checker came.
                    let before = vec![Vec::new(); usize::try_from(lane.sent.size()).unwrap()];
                    checker.sent.insert((place, link, number, lane.epoch), before);
                }
            }
            let taken = checker.messages_taken(place);
            checker.taken.insert(place, taken);
        }
        checker
    }

    pub(crate) fn forbid(&mut self, transaction: TxId) {
        self.forbidden.insert(transaction);
    }

    /// How the hub decided, where it has.
    pub(crate) fn decision(&self, xid: Xid) -> Option<Verdict> {
        self.decisions.get(&xid).copied()
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// Everything that must hold once `place` has a new block.
    pub(crate) fn after_block(
        &mut self,
        world: &World,
        place: Place,
        made: &Made,
    ) -> Result<(), Broken> {
        self.check_outcomes(made)?;
        for islet in Place::ISLETS.into_iter().filter(|islet| [*islet, Place::Hub].contains(&place))
        {
            self.check_lanes(world, place, islet)?;
        }
        self.check_records(world, place, made)?;
        if place == Place::Hub {
            self.check_decisions(world, made.time)?;
        } else {
            self.check_participant(world, place)?;
            items::check_supply(world, place)?;
        }
        self.check_closed_items(world)?;
        items::check_copies(world)
    }

    fn check_outcomes(&mut self, made: &Made) -> Result<(), Broken> {
        for outcome in &made.outcomes {
            if self.forbidden.contains(&outcome.id) {
                hold!(outcome.refusal.is_some(), "S6: {} was forbidden and done", outcome.id);
                self.count("forbidden refused");
            }
            if let Some(refusal) = &outcome.refusal {
                self.count(format!("refused {}", refusal.class));
            }
        }
        Ok(())
    }

    /// S8, S10: what is received is a prefix of what was sent, and never shrinks.
    fn check_lanes(&mut self, world: &World, place: Place, islet: Place) -> Result<(), Broken> {
        let link = world.link(islet);
        let peer = if place == Place::Hub { islet } else { Place::Hub };
        for number in [CONTROL_LANE, DATA_LANE] {
            let (view, peer_view) = (world.at(place).disk(), world.at(peer).disk());
            let own = lanes::lane(view, link, number).unwrap();
            let other = lanes::lane(peer_view, link, number).unwrap();
            self.remember_sent(world, place, link, number, &own);
            let key = (place, link, number, own.peer_epoch);
            let before = self.received.insert(key, own.received.size()).unwrap_or(0);
            hold!(
                before <= own.received.size(),
                "S8: {place:?} had received {before} of lane {number}, now {}",
                own.received.size()
            );
            // One end has reopened the lane, the other has not yet: nothing passes.
            if (own.epoch, own.peer_epoch) != (other.peer_epoch, other.epoch) {
                continue;
            }
            check_prefix(peer_view, link, number, &own, &other)
                .map_err(|what| format!("S8: {place:?} from {peer:?}, lane {number}: {what}"))?;
            hold!(
                own.taken <= other.received.size(),
                "S10: {place:?} believes {} of lane {number} taken, {peer:?} took {}",
                own.taken,
                other.received.size()
            );
        }
        Ok(())
    }

    fn remember_sent(
        &mut self,
        world: &World,
        place: Place,
        link: LinkId,
        number: LaneNumber,
        lane: &Lane,
    ) {
        let sent = self.sent.entry((place, link, number, lane.epoch)).or_default();
        let from = MessageNumber(sent.len() as u64);
        let view = world.at(place).disk();
        sent.extend(lanes::bodies(view, link, number, lane.epoch, from, usize::MAX));
        assert_eq!(sent.len() as u64, lane.sent.size(), "every body is seen before it is taken");
    }

    fn messages_taken(&self, place: Place) -> u64 {
        let of_place = |(key, count): (&(Place, _, _, _), &u64)| (key.0 == place).then_some(*count);
        self.received.iter().filter_map(of_place).sum()
    }
}

fn check_prefix(
    sender: &dyn tombolo_types::store::View,
    link: LinkId,
    number: LaneNumber,
    own: &Lane,
    other: &Lane,
) -> Result<(), Broken> {
    let (received, size) = (own.received.size(), other.sent.size());
    hold!(received <= size, "{received} are received of {size}");
    let nodes = LaneNodes { view: sender, link, lane: number, epoch: other.epoch };
    let root = if received == 0 { Some(root_of(&[])) } else { root_at(&nodes, received) };
    hold!(
        root == Some(own.received.root()),
        "the first {received} messages are not those that were sent"
    );
    Ok(())
}

/// A digest over everything that the three disks hold.
pub(crate) fn state_digest(world: &World) -> Hash {
    Place::ALL
        .into_iter()
        .fold(digest::Preimage::tagged("simulation"), |all, place| {
            let bytes = borsh::to_vec(&world.at(place).disk().snapshot()).unwrap();
            all.bytes(&bytes)
        })
        .finish()
}
