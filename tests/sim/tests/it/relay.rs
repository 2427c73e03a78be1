//! What a relayer does, in the three steps between which it may die: look, fetch, submit.

use crate::{
    node::{Node, common},
    world::{Place, World},
};
use tombolo_adapter::{LinkHead, Standing as Stand};
use tombolo_ledger::Call;
use tombolo_relayer_core::{
    Ages, ClientSight, End, LaneSight, LinkSight, Pace, Standing, Step, observe::EndSight, plan,
};
use tombolo_types::{
    id::LinkId,
    lane::{Delivery, Direction, LaneKey, RangeProof},
};

/// How relayers go about it here.
pub(crate) const PACE: Pace = Pace {
    messages_max: 20,
    acknowledge_after_ms: 1_500,
    acknowledge_messages: 50,
    refresh_after_ms: 120_000,
    gather_ms: 50,
};

/// Both ends of a link as a relayer has seen them.
pub(crate) struct Look {
    pub(crate) islet: Place,
    pub(crate) sight: LinkSight,
    hub: LinkHead,
    chain: LinkHead,
}

fn end_of(node: &dyn Node, link: LinkId) -> Option<(EndSight, LinkHead)> {
    let (head, client) = (node.link_head(link)?, node.client(link)?);
    let lane_sight = |proved: &tombolo_adapter::ProvedLeaf| {
        let leaf = &proved.leaf;
        let sight = LaneSight {
            epoch: leaf.epoch,
            size: leaf.size,
            taken: proved.taken,
            current_at: proved.current_at,
            peer_epoch: leaf.peer_epoch,
            received: leaf.received,
        };
        (leaf.lane, sight)
    };
    let sight = EndSight {
        chain: node.id(),
        height: head.head.height,
        time: head.head.time,
        validators_root: head.head.validators_root,
        standing: match head.standing {
            Stand::Proposed => Standing::Proposed,
            Stand::Open => Standing::Open,
            Stand::Paused => Standing::Paused,
            Stand::Shut => Standing::Shut,
        },
        client: ClientSight {
            height: client.height,
            time: client.newest_time,
            status: client.status,
            trusting_period_ms: client.trusting_period_ms,
            validators_root: client.validators_root,
        },
        lanes: head.lanes.iter().map(lane_sight).collect(),
    };
    Some((sight, head))
}

/// Sees both ends of an islet's link; `None` where there is no link yet.
pub(crate) fn look(world: &World, islet: Place) -> Option<Look> {
    let link = world.link(islet);
    let (hub, hub_head) = end_of(world.at(Place::Hub), link)?;
    let (chain, chain_head) = end_of(world.at(islet), link)?;
    Some(Look { islet, sight: LinkSight { link, hub, chain }, hub: hub_head, chain: chain_head })
}

impl Look {
    /// What the product's own plan makes of it.
    pub(crate) fn plan(&self, ages: &mut Ages) -> Vec<Step> {
        let now = self.sight.hub.time.max(self.sight.chain.time);
        plan(&self.sight, &PACE, ages, now)
    }

    /// Which ledger is at this end.
    pub(crate) fn place(&self, end: End) -> Place {
        match end {
            End::Hub => Place::Hub,
            End::Chain => self.islet,
        }
    }

    /// Fetches what a step brings, and says to whom; `None` where there is nothing (any more).
    pub(crate) fn fetch(&self, world: &World, step: &Step) -> Option<(Place, Vec<u8>)> {
        let link = self.sight.link;
        match step {
            Step::UpdateClient { at, .. } => {
                let (to, from) = (self.place(*at), self.place(at.other()));
                let client = world.at(to).client(link)?;
                let update = world.at(from).client_update(&client)?;
                Some((to, common(&Call::UpdateClient { link, update })))
            }
            Step::Deliver { to, lane, first, count, size } => {
                let (head, direction) = match to {
                    End::Hub => (&self.chain, Direction::ChainToHub),
                    End::Chain => (&self.hub, Direction::HubToChain),
                };
                let proved = head.lanes.iter().find(|proved| proved.leaf.lane == *lane)?;
                let key = LaneKey { link, direction, lane: *lane };
                let (messages, range) = if *count == 0 {
                    (Vec::new(), RangeProof { left: Vec::new(), right: Vec::new() })
                } else {
                    let from = world.at(self.place(to.other()));
                    from.messages(key, proved.leaf.epoch, *first, *count, *size)?
                };
                let delivery = Delivery {
                    leaf: proved.leaf.clone(),
                    head_proof: proved.head_proof.clone(),
                    first: *first,
                    messages,
                    range,
                };
                Some((self.place(*to), common(&Call::Deliver(Box::new(delivery)))))
            }
            Step::Blocked { .. } => None,
        }
    }
}

/// All three steps at once.
pub(crate) fn turn(world: &World, islet: Place, ages: &mut Ages) -> Vec<(Place, Vec<u8>)> {
    let Some(look) = look(world, islet) else { return Vec::new() };
    let steps = look.plan(ages);
    steps.iter().filter_map(|step| look.fetch(world, step)).collect()
}
