//! Carrying: one end's proved leaves to the other.

use crate::{link::LinkTask, trust::Trust};
use std::collections::BTreeMap;
use tombolo_adapter::{Ability, AdapterError, ClientView, LinkHead, Standing as Stand};
use tombolo_crypto::digest;
use tombolo_relayer_core::{
    ClientSight, End, LaneSight, LinkSight, Standing, Step, observe::EndSight,
};
use tombolo_types::{
    LaneNumber, MessageNumber, UnixMillis,
    action::Terms,
    id::{ChainId, GlobalId},
    lane::{Delivery, Direction, LaneKey, Message},
    message::Body,
};
use tracing::{Instrument as _, Span, info_span};

/// Both ends as they are now, with the proofs of what they say.
///
/// # Errors
/// The end that gave no answer, and why.
pub(crate) async fn look(
    task: &LinkTask,
    trust: &mut Trust,
) -> Result<(LinkSight, LinkHead, LinkHead), (End, AdapterError)> {
    let status = |end| task.end(end).chain.client_status(task.id);
    let (at_hub, at_chain) = match tokio::join!(status(End::Hub), status(End::Chain)) {
        (Ok(at_hub), Ok(at_chain)) => (at_hub, at_chain),
        (Err(error), at_chain) => {
            see_alone(task, trust, End::Chain, at_chain).await;
            return Err((End::Hub, error));
        }
        (at_hub, Err(error)) => {
            see_alone(task, trust, End::Hub, at_hub).await;
            return Err((End::Chain, error));
        }
    };
    // Each end proves to the client that the other holds.
    let (hub, chain) = tokio::join!(
        task.hub.chain.head(task.id, &at_chain),
        task.chain.chain.head(task.id, &at_hub),
    );
    for (end, client, head) in [(End::Hub, &at_hub, &hub), (End::Chain, &at_chain, &chain)] {
        if let Ok(head) = head {
            seen(task, trust, end, client, head.head.time);
        }
    }
    let hub_head = hub.map_err(|error| (End::Hub, error))?;
    let chain_head = chain.map_err(|error| (End::Chain, error))?;
    let hub = sight_of(task.hub.chain.descriptor().chain_id, &hub_head, &at_hub);
    let chain = sight_of(task.chain.chain.descriptor().chain_id, &chain_head, &at_chain);
    Ok((LinkSight { link: task.id, hub, chain }, hub_head, chain_head))
}

/// A client grows old above all where the other end gives no answer, so it is shown then as well.
async fn see_alone(
    task: &LinkTask,
    trust: &mut Trust,
    end: End,
    client: Result<ClientView, AdapterError>,
) {
    if let (Ok(client), Ok(newest)) = (client, task.end(end).chain.newest_head().await) {
        seen(task, trust, end, &client, newest.time);
    }
}

/// Says where an end's client stands; `now` is that end's own block time.
fn seen(task: &LinkTask, trust: &mut Trust, end: End, client: &ClientView, now: UnixMillis) {
    trust.seen(task.name(), end, client, now);
    task.metrics.client_seen(task.name(), end, client, now);
    task.reports.client_seen(task, end, client);
}

fn sight_of(chain: ChainId, head: &LinkHead, client: &ClientView) -> EndSight {
    let lanes: BTreeMap<_, _> = head
        .lanes
        .iter()
        .map(|proved| {
            let leaf = &proved.leaf;
            let sight = LaneSight {
                epoch: leaf.epoch,
                size: leaf.size,
                taken: proved.taken,
                peer_epoch: leaf.peer_epoch,
                received: leaf.received,
                current_at: proved.current_at,
            };
            (leaf.lane, sight)
        })
        .collect();
    EndSight {
        chain,
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
        lanes,
    }
}

/// What became of the steps towards one end.
pub(crate) struct Carried {
    /// How many were carried out.
    pub(crate) count: u64,
    /// What was brought.
    pub(crate) brought: Vec<Brought>,
    /// The first step that failed; those after it were not tried, and the next look plans anew.
    pub(crate) result: Result<(), AdapterError>,
}

/// What one delivery brought.
pub(crate) struct Brought {
    pub(crate) lane: LaneNumber,
    /// Everything below this number.
    pub(crate) upto: u64,
    /// How many messages the other way it said to be taken.
    pub(crate) heard: u64,
}

/// Carries out the steps towards `to`, in order, from what `from` proved.
pub(crate) async fn carry(
    task: &LinkTask,
    to: End,
    steps: &[&Step],
    from: &LinkHead,
    sight: &LinkSight,
) -> Carried {
    let mut carried = Carried { count: 0, brought: Vec::new(), result: Ok(()) };
    for step in steps {
        match carry_step(task, to, step, from, sight).await {
            Ok(Done::Nothing) => {}
            Ok(Done::Updated) => carried.count += 1,
            Ok(Done::Delivered(brought)) => {
                carried.count += 1;
                carried.brought.push(brought);
            }
            Err(error) => {
                carried.result = Err(error);
                break;
            }
        }
    }
    carried
}

/// What one step did.
enum Done {
    Nothing,
    Updated,
    Delivered(Brought),
}

async fn carry_step(
    task: &LinkTask,
    to: End,
    step: &Step,
    from: &LinkHead,
    sight: &LinkSight,
) -> Result<Done, AdapterError> {
    let (source, sink) = (&task.end(to.other()).chain, &task.end(to).chain);
    match step {
        Step::UpdateClient { .. } => {
            // A client that only heads move has nothing to be led by.
            if source.descriptor().require(Ability::ClientUpdates).is_err() {
                return Ok(Done::Nothing);
            }
            let client = sink.client_status(task.id).await?;
            let Some(update) = source.client_update(&client).await? else {
                return Ok(Done::Nothing);
            };
            let outcome = sink.update_client(task.id, update).await?;
            tracing::info!(
                link = task.name(), end = to.name(), height = %outcome.height, "client updated"
            );
            task.metrics.updated(task.name(), to);
            Ok(Done::Updated)
        }
        Step::Deliver { lane, first, count, size, .. } => {
            let Some(proved) = from.lanes.iter().find(|proved| proved.leaf.lane == *lane) else {
                return Ok(Done::Nothing);
            };
            let direction = match to {
                End::Hub => Direction::ChainToHub,
                End::Chain => Direction::HubToChain,
            };
            let key = LaneKey { link: task.id, direction, lane: *lane };
            let (messages, range) = if *count == 0 {
                (Vec::new(), empty_range())
            } else {
                source.messages(key, proved.leaf.epoch, *first, *count, *size).await?
            };
            let brought = messages.len() as u64;
            let hop = Hop { task, to, sight, key };
            let spans = hop.spans(*first, &messages);
            let submission = hop.submission(*first, brought, &spans);
            let delivery = Delivery {
                leaf: proved.leaf.clone(),
                head_proof: proved.head_proof.clone(),
                first: *first,
                messages,
                range,
            };
            let seen = sight.end(to.other()).time;
            let outcome = sink.deliver(delivery).instrument(submission).await?;
            drop(spans);
            tracing::debug!(
                link = task.name(), to = to.name(), lane = %lane, first = %first, brought,
                height = %outcome.height, "delivered"
            );
            let age_ms = crate::service::now().since(seen);
            task.metrics.delivered(task.name(), to, brought, age_ms);
            task.reports.delivered(task, to, brought);
            let (upto, heard) = (first.0.saturating_add(brought), proved.leaf.received);
            Ok(Done::Delivered(Brought { lane: *lane, upto, heard }))
        }
        Step::Blocked { .. } => Ok(Done::Nothing),
    }
}

/// Where messages go, for the spans that say so.
struct Hop<'t> {
    task: &'t LinkTask,
    to: End,
    sight: &'t LinkSight,
    key: LaneKey,
}

impl Hop<'_> {
    /// A span for each message whose operation is known, in that operation's trace. Each lasts
    /// until the delivery is final.
    fn spans(&self, first: MessageNumber, messages: &[Vec<u8>]) -> Vec<Span> {
        let Some(join) = self.task.join else { return Vec::new() };
        let mut spans = Vec::new();
        for (number, message) in (first.0..).zip(messages) {
            let Ok(message) = Message::decode(message) else { continue };
            let Ok(Some(body)) = Body::decode(message.kind, &message.body) else { continue };
            if let Some(operation) = operation_of(&body) {
                let span = info_span!(
                    "relayer.message.deliver",
                    global_id = %operation,
                    kind = body.name(),
                    link = self.task.name(),
                    chain.source = %self.sight.end(self.to.other()).chain,
                    chain.destination = %self.sight.end(self.to).chain,
                    lane = self.key.lane.0,
                    number,
                );
                join(&span, operation);
                spans.push(span);
            }
        }
        spans
    }

    /// The span of the one transaction that brings them all: in a trace of its own, which the
    /// sink's node carries on, and tied to each of `spans`.
    fn submission(&self, first: MessageNumber, brought: u64, spans: &[Span]) -> Span {
        if self.task.join.is_none() {
            return Span::none();
        }
        let span = info_span!(
            "relayer.delivery.submit",
            link = self.task.name(),
            chain.destination = %self.sight.end(self.to).chain,
            lane = self.key.lane.0,
            first = first.0,
            brought,
        );
        for message in spans {
            span.follows_from(message);
        }
        span
    }
}

/// The operation that a message belongs to, where it says so.
fn operation_of(body: &Body) -> Option<GlobalId> {
    match body {
        Body::Prepare(prepare) => {
            let terms = Terms::decode(&prepare.terms).ok()?;
            Some(GlobalId(digest::xid(&terms).0))
        }
        body => body.global_id(),
    }
}

fn empty_range() -> tombolo_types::lane::RangeProof {
    tombolo_types::lane::RangeProof { left: Vec::new(), right: Vec::new() }
}
