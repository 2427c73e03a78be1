//! Nodes that let only their members in: the node is real, the gate before it a fake.

use crate::{
    attacks::{class, on_anvil},
    link::{Relayer, until},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tombolo_adapter::{AdapterError, Source as _};
use tombolo_evm::{Config, Rpc, node_name};
use tombolo_types::Class;

/// `member:sesame`, as RFC 7617 writes it.
const ADMITTED: &str = "authorization: basic bwvtymvyonnlc2ftzq==";
const RIGHT: &str = "member:sesame@";
const WRONG: &str = "member:caraway@";

/// Passes a connection on to a node if its first request names a member, and else answers 401. Lasts
/// until the runtime ends. Gives its host and port.
async fn gate(node: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let node = node.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            // Whoever asked may be gone by now.
            tokio::spawn(admit(near, node.clone()));
        }
    });
    host
}

async fn admit(mut near: TcpStream, node: String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        head.push(near.read_u8().await?);
    }
    let asked = String::from_utf8_lossy(&head).to_lowercase();
    if !asked.lines().any(|line| line == ADMITTED) {
        let answer = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        return near.write_all(answer).await;
    }
    let mut far = TcpStream::connect(node).await?;
    far.write_all(&head).await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

/// Without the password of a member nothing is had, over HTTP as over WebSocket; with it all. No
/// message shows a password, nor a provider's key in a path.
///
/// Req: D35-I.2-2
#[test]
fn a_node_of_members_lets_nobody_else_in() {
    on_anvil(async |mut world| {
        let host = gate(world.anvil.rpc.url()).await;
        let config = world.linked.config.clone();
        let with = |urls: Vec<String>| Config { rpc: Rpc::of(urls), ..config.clone() };
        for scheme in ["http://", "ws://"] {
            for who in ["", WRONG] {
                let url = format!("{scheme}{who}{host}");
                let error = world.linked.adapter_of(with(vec![url.clone()])).await.err().unwrap();
                assert_eq!(error.class(), Class::Auth, "{url}: {error}");
                let said = error.to_string();
                assert!(said.contains(&node_name(&url)) && !said.contains("caraway"), "{said}");
            }
            let adapter = world.linked.adapter_of(with(vec![format!("{scheme}{RIGHT}{host}")]));
            let adapter = adapter.await.unwrap();
            let taken = world.taken_by_hub().await;
            world.linked.share(1);
            let relayer = Relayer::start(world.linked.task(&adapter));
            until("the share is taken", &relayer.reports, async || {
                world.taken_by_hub().await == taken + 1
            })
            .await;
            relayer.stop().await;
        }

        // Two of three are enough, and one that is shut is no word against them.
        let (fronts, _) = world.fronts().await;
        let open = |number: usize| fronts[number].url.clone();
        let shut = format!("http://{host}");
        let adapter = world.linked.adapter_of(with(vec![open(0), shut.clone(), open(2)])).await;
        adapter.unwrap().newest_head().await.unwrap();
        let one = world.linked.adapter_of(with(vec![open(0), shut.clone(), shut])).await;
        assert_eq!(class(one.map(drop)), Class::Auth);

        let away = with(vec!["http://127.0.0.1:1/v3/sesame?key=sesame".into()]);
        let error = world.linked.adapter_of(away).await.err().unwrap();
        assert!(matches!(error, AdapterError::NoAnswer { .. }), "{error}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    });
}
