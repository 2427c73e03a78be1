//! Carrying: one end's proved leaves to the other.

use crate::{
    flights::{Arrived, Flight, Stage},
    link::{Course, LinkTask},
    trust::Trust,
};
use std::collections::BTreeMap;
use tombolo_adapter::{
    Ability, AdapterError, ClientView, LinkHead, ProvedLeaf, Settling, Standing as Stand,
};
use tombolo_crypto::digest;
use tombolo_relayer_core::{
    ClientSight, End, LaneSight, LinkSight, Standing, Step, observe::EndSight, under_way::HandedIn,
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

/// Begins a step towards `to`, from what `from` proved; `None` where there is nothing to be done.
pub(crate) async fn begin<'t>(
    task: &'t LinkTask,
    to: End,
    step: &Step,
    from: &LinkHead,
    sight: &LinkSight,
    course: &mut Course,
) -> Result<Option<Flight<'t>>, AdapterError> {
    match step {
        Step::UpdateClient { .. } => begin_update(task, to, course).await,
        Step::Deliver { lane, first, count, size, .. } => {
            let Some(proved) = from.lanes.iter().find(|proved| proved.leaf.lane == *lane) else {
                return Ok(None);
            };
            let asked = Asked { lane: *lane, first: *first, count: *count, size: *size };
            begin_delivery(task, to, &asked, proved, sight, course).await.map(Some)
        }
        Step::Blocked { .. } => Ok(None),
    }
}

async fn begin_update<'t>(
    task: &'t LinkTask,
    to: End,
    course: &mut Course,
) -> Result<Option<Flight<'t>>, AdapterError> {
    let (source, sink) = (&task.end(to.other()).chain, &task.end(to).chain);
    // A client that only heads move has nothing to be led by.
    if source.descriptor().require(Ability::ClientUpdates).is_err() {
        return Ok(None);
    }
    let client = sink.client_status(task.id).await?;
    let Some(update) = source.client_update(&client).await? else { return Ok(None) };
    let what = HandedIn::Update;
    course.under_way.updates(to, crate::service::now());
    let flight = async move {
        let outcome = sink.update_client(task.id, update).await;
        let result = outcome.map(|outcome| {
            let height = outcome.height;
            tracing::info!(link = task.name(), end = to.name(), %height, "client updated");
            task.metrics.updated(task.name(), to);
            Stage::Final
        });
        Arrived { end: to, what, result }
    };
    Ok(Some(Box::pin(flight)))
}

/// Which messages a delivery shall bring.
struct Asked {
    lane: LaneNumber,
    first: MessageNumber,
    count: u64,
    size: u64,
}

async fn begin_delivery<'t>(
    task: &'t LinkTask,
    to: End,
    asked: &Asked,
    proved: &ProvedLeaf,
    sight: &LinkSight,
    course: &mut Course,
) -> Result<Flight<'t>, AdapterError> {
    let (source, sink) = (&task.end(to.other()).chain, &task.end(to).chain);
    let Asked { lane, first, count, size } = *asked;
    let direction = match to {
        End::Hub => Direction::ChainToHub,
        End::Chain => Direction::HubToChain,
    };
    let key = LaneKey { link: task.id, direction, lane };
    let (messages, range) = if count == 0 {
        (Vec::new(), empty_range())
    } else {
        // The source gives as much as one delivery to itself may hold.
        let limits = &sink.descriptor().limits;
        let ask = |count| source.messages(key, proved.leaf.epoch, first, count, size);
        let found = ask(count.min(limits.batch_messages_max)).await?;
        let fit = fitting(&found.0, limits.batch_bytes_max);
        if fit < found.0.len() { ask(fit as u64).await? } else { found }
    };
    let brought = messages.len() as u64;
    let hop = Hop { task, to, sight, key };
    let spans = hop.spans(first, &messages);
    let submission = hop.submission(first, brought, &spans);
    let delivery = Delivery {
        leaf: proved.leaf.clone(),
        head_proof: proved.head_proof.clone(),
        first,
        messages,
        range,
    };
    let landing = sink.hand_in(delivery).instrument(submission.clone()).await?;
    let now = crate::service::now();
    let what = course.under_way.delivers(to, (lane, first), (brought, count), now);
    course.turns.brings(to, lane, first.0.saturating_add(brought), proved.leaf.received);
    let (seen, entering) = (sight.end(to.other()).time, submission.clone());
    let settle = async move |settling: Settling<'t>| {
        let result = settling.instrument(submission).await.map(|outcome| {
            tracing::debug!(
                link = task.name(), to = to.name(), lane = %lane, first = %first, brought,
                height = %outcome.height, "delivered"
            );
            let age_ms = crate::service::now().since(seen);
            task.metrics.delivered(task.name(), to, brought, age_ms);
            task.reports.delivered(task, to, brought);
            Stage::Final
        });
        drop(spans);
        Arrived { end: to, what, result }
    };
    let flight = async move {
        let landed = landing.instrument(entering).await;
        let result = landed.map(|settling| Stage::InBlock(Box::pin(settle(settling))));
        Arrived { end: to, what, result }
    };
    Ok(Box::pin(flight))
}

/// How many of these messages fit into so many bytes; the first always does.
fn fitting(messages: &[Vec<u8>], bytes_max: u64) -> usize {
    let mut bytes = 0u64;
    let fits = |message: &&Vec<u8>| {
        bytes = bytes.saturating_add(message.len() as u64);
        bytes <= bytes_max
    };
    messages.iter().take_while(fits).count().max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_holds_what_its_destination_takes() {
        let messages: Vec<_> = [40, 40, 20, 1].map(|bytes| vec![0; bytes]).into();
        for (bytes_max, fit) in [(1, 1), (40, 1), (79, 1), (80, 2), (100, 3), (101, 4), (200, 4)] {
            assert_eq!(fitting(&messages, bytes_max), fit, "{bytes_max}");
        }
    }
}
