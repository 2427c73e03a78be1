//! Nodes that say nothing, and connections that break: nothing waits for them without an end, and they
//! count again once they are back.

use crate::{
    attacks::{World, class, on_anvil},
    faulty::Fault,
    link::{Relayer, until},
};
use std::time::Duration;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tombolo_adapter::{Sink as _, Source as _};
use tombolo_evm::{Config, Rpc};
use tombolo_relayer::Reports;
use tombolo_types::Class;

/// How long an answer may take here, in milliseconds.
const ANSWER_MS: u64 = 1_000;

/// The first of three nodes takes every request and never answers: the other two are enough, both
/// ways, as if it were away. Attack: A23
#[test]
fn a23_a_node_that_never_answers_holds_nothing_up() {
    on_anvil(async |mut world| {
        let (fronts, mut config) = world.fronts().await;
        config.rpc.answer_ms = ANSWER_MS;
        fronts[0].set(Fault::Hangs);
        let adapter = world.linked.adapter_of(config).await.unwrap();
        world.linked.share(1);
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("the share is taken", &relayer.reports, async || world.taken_by_hub().await == 1)
            .await;
        relayer.stop().await;
        let received = world.on_chain().await.received;
        let delivery = world.delivery().await;
        adapter.deliver(delivery).await.unwrap();
        assert_eq!(world.on_chain().await.received, received + 1);

        fronts[1].set(Fault::Hangs);
        let error = adapter.newest_head().await.unwrap_err();
        assert!(error.to_string().contains("1 of 3 nodes answer, 2 must"), "{error}");
        assert_eq!(error.class(), Class::Timeout);

        // Who asks may wait for less long than an answer may take, as parties of swaps do: the next
        // question does without that node.
        let (fronts, mut config) = world.fronts().await;
        config.rpc.answer_ms = 3 * ANSWER_MS;
        let adapter = world.linked.adapter_of(config).await.unwrap();
        fronts[0].set(Fault::Hangs);
        let impatient = || timeout(Duration::from_millis(ANSWER_MS), adapter.newest_head());
        assert!(impatient().await.is_err(), "it is waited for");
        impatient().await.expect("it is waited for again").unwrap();
    });
}

/// A way to a node that can be cut.
struct Wire {
    url: String,
    whole: watch::Sender<bool>,
}

impl Wire {
    /// To the same node by WebSocket. Lasts until the runtime ends.
    async fn to(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let node = node.trim_start_matches("http://").to_owned();
        let (whole, watched) = watch::channel(true);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (node, mut watched) = (node.clone(), watched.clone());
                tokio::spawn(async move {
                    if *watched.borrow() {
                        let mut far = TcpStream::connect(node).await.unwrap();
                        tokio::select! {
                            _ = copy_bidirectional(&mut near, &mut far) => {}
                            _ = watched.wait_for(|whole| !whole) => {}
                        }
                    }
                });
            }
        });
        Self { url, whole }
    }

    fn cut(&self) {
        self.whole.send_replace(false);
    }

    fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// Over a WebSocket as over HTTP; one that breaks is opened again, however often, and one that is
/// broken at the start only delays.
#[test]
fn a_websocket_that_breaks_is_opened_again() {
    on_anvil(async |mut world: World| {
        let wire = Wire::to(world.anvil.rpc.url()).await;
        let mut rpc = Rpc::of(vec![wire.url.clone()]);
        rpc.answer_ms = ANSWER_MS;
        let config = Config { rpc, ..world.linked.config.clone() };
        wire.cut();
        let refused = world.linked.adapter_of(config.clone()).await.map(drop);
        assert_eq!(class(refused), Class::Timeout);

        wire.mend();
        let adapter = world.linked.adapter_of(config).await.unwrap();
        for _ in 0..2 {
            wire.cut();
            assert_eq!(class(adapter.newest_head().await), Class::Timeout);
            assert_eq!(class(adapter.newest_head().await), Class::Timeout);
            wire.mend();
            let back = async || adapter.newest_head().await.is_ok();
            until("the node is back", &Reports::default(), back).await;
        }
        world.linked.share(1);
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("the share is taken", &relayer.reports, async || world.taken_by_hub().await == 1)
            .await;
        relayer.stop().await;
    });
}
