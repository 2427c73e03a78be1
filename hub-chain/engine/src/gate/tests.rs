//! Tests of the gate, over a network that says what it is told to.

use super::*;
use crate::context::{Level, Part, Vote, Voter};
use arc_malachitebft_app_channel::app::{
    engine::network::Status,
    streaming::{StreamContent, StreamId, StreamMessage},
    types::core::{NilOrVal, Round, SignedMessage, VoteType},
};
use arc_malachitebft_sync::{InboundRequestId, Request, ValueRequest};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tombolo_types::{Address, header::Signature};

/// A network that says what is sent to its port.
struct Wire {
    port: Arc<OutputPort<Event>>,
    cancelled: UnboundedSender<InboundRequestId>,
}

#[async_trait]
impl Actor for Wire {
    type Msg = Msg<Context>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Subscribe(subscriber) => subscriber.subscribe_to_port(&self.port),
            Msg::CancelInboundRequest(id) => self.cancelled.send(id)?,
            _ => {}
        }
        Ok(())
    }
}

/// Consensus, as far as it hears.
struct Ear(UnboundedSender<Event>);

#[async_trait]
impl Actor for Ear {
    type Msg = Event;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Event>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Event>,
        event: Event,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(self.0.send(event)?)
    }
}

fn peer(n: u8) -> PeerId {
    // A name by hash: the code of SHA-256, its length, the hash.
    PeerId::from_bytes(&[vec![0x12, 32], vec![n; 32]].concat()).unwrap()
}

/// Everything that a peer can make the network say.
fn all_of(peer: PeerId) -> Vec<Event> {
    let vote = Vote {
        kind: VoteType::Prevote,
        height: Level(1),
        round: Round::new(0),
        value: NilOrVal::Nil,
        voter: Voter(Address([1; 20])),
    };
    let part = StreamMessage::new(
        StreamId::new(vec![1].into()),
        0,
        StreamContent::Data(Part::Fin(Signature([1; 65]))),
    );
    let request = Request::ValueRequest(ValueRequest::new(Level(1)..=Level(2)));
    vec![
        Event::PeerConnected(peer),
        Event::Vote(peer, SignedMessage::new(vote, Signature([1; 65]))),
        Event::ProposalPart(peer, Some(peer), part),
        Event::Status(peer, Status::new(Level(u64::MAX), Level(0))),
        Event::SyncRequest(InboundRequestId::new(peer), peer, request),
        Event::SyncInboundRequestFailed(InboundRequestId::new(peer), peer),
        Event::PeerDisconnected(peer),
    ]
}

async fn next<T>(heard: &mut UnboundedReceiver<T>) -> T {
    let next = tokio::time::timeout(Duration::from_secs(10), heard.recv());
    next.await.expect("nothing was heard").expect("nobody speaks any more")
}

/// A stranger says it is far ahead, votes, sends blocks, asks for blocks and goes: consensus hears
/// nothing of it, what its request held is freed, and it is counted once, however many listen.
#[tokio::test]
async fn a57_a_stranger_is_not_heard_and_counted() {
    let (cancelled, mut freed) = unbounded_channel();
    let (port, shared) = (Arc::new(OutputPort::with_capacity(EVENTS_MAX)), Arc::default());
    let wire = Wire { port: Arc::clone(&port), cancelled };
    let (wire, ended) = Actor::spawn(None, wire, ()).await.unwrap();
    let gate = put_before(wire, BTreeSet::from([peer(1)]), Arc::clone(&shared)).await.unwrap();
    let mut ears = Vec::new();
    for _ in 0..2 {
        let (said, heard) = unbounded_channel();
        let (ear, _) = Actor::spawn(None, Ear(said), ()).await.unwrap();
        gate.cast(Msg::Subscribe(Box::new(ear))).unwrap();
        ears.push(heard);
    }
    // Until both listen.
    let listening = Event::Listening("/ip4/127.0.0.1/tcp/1".parse().unwrap());
    for heard in &mut ears {
        while heard.try_recv().is_err() {
            port.send(listening.clone());
            tokio::task::yield_now().await;
        }
    }
    for event in all_of(peer(2)).into_iter().chain(all_of(peer(1))) {
        port.send(event);
    }
    for heard in &mut ears {
        let mut events = Vec::new();
        while events.len() < all_of(peer(1)).len() {
            let event = next(heard).await;
            if event != listening {
                events.push(event);
            }
        }
        assert_eq!(events, all_of(peer(1)));
    }
    assert_eq!(next(&mut freed).await, InboundRequestId::new(peer(2)));
    assert_eq!(shared.snapshot(1).strangers_dropped_total, 1);
    // The network goes with its gate.
    gate.stop(None);
    ended.await.unwrap();
    assert!(freed.recv().await.is_none(), "a peer's request was cancelled");
}

#[test]
fn a_counter_is_summed_over_its_labels() {
    let page = "# HELP a Text with a{b} 9\n\
                a_total{error=\"Denied\",protocols=\"/ip4/tcp\"} 2\n\
                a_total{error=\"Aborted\",moniker=\"x} 7\"} 3\n\
                a_total_of_others{error=\"Denied\"} 50\n\
                b_total{error=\"Denied\"} 100\n";
    assert_eq!(sum(page, "a_total"), 5);
    assert_eq!(sum(page, "c_total"), 0);
}
