//! Stands between the network and consensus: nothing that an unlisted peer sends gets through.
//!
//! The library closes a connection of somebody unlisted when that peer has said who it is. One
//! that finishes the handshake and then says nothing of itself stays connected for a while, and
//! whatever it sends meanwhile would be handled as a peer's: votes and blocks to check, heights to
//! ask it for, blocks to serve. The handshake has proved its key, so here it is told from a peer.

use arc_malachitebft_app_channel::app::{
    engine::{
        network::{Msg, NetworkEvent, NetworkRef, Subscriber},
        util::output_port::{OutputPort, OutputPortSubscriberTrait},
    },
    metrics,
    types::PeerId,
};
use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{context::Context, metrics::Shared};

type Event = NetworkEvent<Context>;
type Listed = Arc<BTreeSet<PeerId>>;

/// Events that a subscriber may lag behind before it misses some; that of the network itself.
const EVENTS_MAX: usize = 128;
/// How long the network may take to close its connections.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The network, as far as `listed` peers are concerned. It ends with the one behind it.
pub(crate) async fn put_before(
    network: NetworkRef<Context>,
    listed: BTreeSet<PeerId>,
    shared: Arc<Shared>,
) -> Result<NetworkRef<Context>, SpawnErr> {
    let gate = Gate { network, listed: Arc::new(listed), shared };
    let (gate, _) = Actor::spawn(None, gate, ()).await?;
    Ok(gate)
}

struct Gate {
    network: NetworkRef<Context>,
    listed: Listed,
    shared: Arc<Shared>,
}

#[async_trait]
impl Actor for Gate {
    type Msg = Msg<Context>;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): Self::Arguments,
    ) -> Result<(), ActorProcessingErr> {
        self.network.link(myself.get_cell());
        let strangers = Strangers {
            network: self.network.clone(),
            listed: Arc::clone(&self.listed),
            shared: Arc::clone(&self.shared),
        };
        Ok(self.network.cast(Msg::Subscribe(Box::new(strangers)))?)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        (): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let message = match message {
            Msg::Subscribe(subscriber) => {
                let port = Arc::new(OutputPort::with_capacity(EVENTS_MAX));
                subscriber.subscribe_to_port(&port);
                let network = self.network.clone();
                let listed = Arc::clone(&self.listed);
                Msg::Subscribe(Box::new(Peers { network, listed, port }))
            }
            other => other,
        };
        Ok(self.network.cast(message)?)
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        (): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Else it would be killed, and its connections and port would stay.
        let closed = self.network.stop_and_wait(Some("the gate closes".into()), Some(CLOSE_WITHIN));
        Ok(closed.await?)
    }
}

/// Passes what peers send on to one subscriber.
struct Peers {
    network: NetworkRef<Context>,
    listed: Listed,
    port: Arc<OutputPort<Event>>,
}

impl Subscriber<Event> for Peers {
    fn send(&self, event: Event) {
        if !is_of_stranger(&event, &self.listed) {
            self.port.send(event);
        }
    }
}

impl OutputPortSubscriberTrait<Event> for Peers {
    fn subscribe_to_port(&self, all: &OutputPort<Event>) {
        let (listed, port) = (Arc::clone(&self.listed), Arc::clone(&self.port));
        // The subscriber hears it from its own port; the network itself gets nothing back.
        all.subscribe(self.network.clone(), move |event| {
            if !is_of_stranger(&event, &listed) {
                port.send(event);
            }
            None
        });
    }
}

/// Counts strangers, and frees what their requests hold.
struct Strangers {
    network: NetworkRef<Context>,
    listed: Listed,
    shared: Arc<Shared>,
}

impl Subscriber<Event> for Strangers {
    /// Nobody was connected before the gate stood.
    fn send(&self, _: Event) {}
}

impl OutputPortSubscriberTrait<Event> for Strangers {
    fn subscribe_to_port(&self, all: &OutputPort<Event>) {
        let (listed, shared) = (Arc::clone(&self.listed), Arc::clone(&self.shared));
        all.subscribe(self.network.clone(), move |event| {
            if !is_of_stranger(&event, &listed) {
                return None;
            }
            match event {
                NetworkEvent::PeerDisconnected(_) => {
                    shared.count_stranger();
                    None
                }
                NetworkEvent::SyncRequest(id, ..) => Some(Msg::CancelInboundRequest(id)),
                _ => None,
            }
        });
    }
}

fn is_of_stranger(event: &Event, listed: &BTreeSet<PeerId>) -> bool {
    let from = match event {
        NetworkEvent::Listening(_) => return false,
        NetworkEvent::PeerConnected(peer)
        | NetworkEvent::PeerDisconnected(peer)
        | NetworkEvent::PeerSubscribed(peer, _)
        | NetworkEvent::Vote(peer, _)
        | NetworkEvent::Proposal(peer, _)
        | NetworkEvent::ProposalPart(peer, ..)
        | NetworkEvent::PolkaCertificate(peer, _)
        | NetworkEvent::RoundCertificate(peer, _)
        | NetworkEvent::ValidatorProofReceived { peer_id: peer, .. }
        | NetworkEvent::Status(peer, _)
        | NetworkEvent::SyncRequest(_, peer, _)
        | NetworkEvent::SyncResponse(_, peer, _)
        | NetworkEvent::SyncRequestFailed(_, peer, _)
        | NetworkEvent::SyncInboundRequestFailed(_, peer) => peer,
    };
    !listed.contains(from)
}

/// How many connections to this process's consensus port ended within the handshake, or were
/// refused one by the library's bounds. The library counts them and shows them as text alone.
pub(crate) fn handshakes_failed() -> u64 {
    let mut page = String::new();
    metrics::export(&mut page);
    sum(&page, "malachitebft_network_libp2p_swarm_connections_incoming_error_total")
}

/// The sum of a counter over all its labels.
fn sum(page: &str, counter: &str) -> u64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(counter)?.strip_prefix('{')?.rsplit_once("} "))
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
