//! Strangers at the consensus port of a running hub.

use crate::{
    network::{Devnet, metric, page, resident_bytes},
    party::{PATIENCE, until},
    run::run,
};
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    futures::StreamExt as _,
    identify,
    identity::Keypair,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent, dummy},
    tcp, yamux,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// What the library calls its protocol; another name is refused for that already.
const PROTOCOL: &str = "/malachitebft-core-consensus/v1beta1";
/// How many strangers of each kind.
const MANY: usize = 30;
/// How much a node may grow meanwhile: its blocks go on, its caches fill.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// Some talk nonsense, some begin a handshake and stop, some finish it and say who they are or
/// nothing at all: all are dropped, all are counted, and blocks go on.
#[test]
fn a57_strangers_at_the_consensus_port_are_dropped_and_counted() {
    // Two, and both are needed for every block. A lone one would refuse strangers from this machine
    // for half a minute after the first: no peer of its shares their address.
    let devnet = Devnet::up_with(&["--validators", "2"]);
    run(async {
        let hub = devnet.ledger("hub").await;
        let (process, port) = (devnet.process("hub").unwrap(), devnet.peer_port("hub"));
        let metrics = devnet.metrics("hub");
        let count = |name| metric(&page(metrics, "/metrics"), name, &[]) as usize;
        let failed = || count("node_handshakes_failed");
        let dropped = || count("node_strangers_dropped");
        let before = resident_bytes(process);
        assert_eq!((failed(), dropped()), (0, 0));

        // Slow ones first: they are dropped while the others come and go.
        let mut slow = Vec::new();
        for _ in 0..MANY {
            let mut stream = TcpStream::connect(port).await.unwrap();
            // Half of the name of the protocol that chooses protocols, and no more.
            stream.write_all(b"\x13/multi").await.unwrap();
            slow.push(stream);
        }
        for number in 0..MANY {
            talks_nonsense(port, number).await;
        }
        until("nonsense is counted", async || (failed() >= MANY).then_some(())).await;
        hub.next_block().await;

        for _ in 0..MANY {
            is_closed(connect(port, names_itself).await).await;
            is_closed(connect(port, |_| dummy::Behaviour).await).await;
        }
        until("strangers are counted", async || (dropped() >= 2 * MANY).then_some(())).await;
        hub.next_block().await;

        for mut stream in slow {
            let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            // An end or a reset.
            let _ = ended.expect("a half handshake stays open");
        }
        until("half handshakes are counted", async || (failed() >= 2 * MANY).then_some(())).await;

        hub.next_block().await;
        assert_eq!(devnet.process("hub"), Some(process), "another process runs");
        assert_eq!(count("node_peers_connected"), 1);
        assert_eq!(count("node_peers_dropped"), 0);
        let grown = resident_bytes(process).saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    });
}

/// It speaks the right protocol, under a name that nobody has listed.
fn names_itself(key: &Keypair) -> identify::Behaviour {
    identify::Behaviour::new(identify::Config::new(PROTOCOL.into(), key.public()))
}

async fn is_closed<B: NetworkBehaviour>(mut swarm: Swarm<B>) {
    let closed = async {
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
    };
    timeout(PATIENCE, closed).await.expect("a stranger stays connected");
}

async fn talks_nonsense(port: SocketAddr, number: usize) {
    let mut stream = TcpStream::connect(port).await.unwrap();
    let nonsense: Vec<u8> = (0..4_096usize).map(|at| (at * 31 + number * 7) as u8).collect();
    // Both ends may close first.
    let _ = stream.write_all(&nonsense).await;
    let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    let _ = ended.expect("nonsense keeps a connection open");
}

/// A connection whose handshake is done, with a key that nobody has listed.
async fn connect<B: NetworkBehaviour>(
    port: SocketAddr,
    behaviour: impl Fn(&Keypair) -> B,
) -> Swarm<B> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", port.port()).parse().unwrap();
    swarm.dial(address).unwrap();
    let connected = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => return,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, connected).await.expect("no connection");
    swarm
}
