//! A whole node over loopback: Malachite, sled, gRPC and HTTP.

use crate::toy::{self, LINK, Party, Toy, ToyCall};
use serde_json::json;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tombolo_crypto::{
    certificate,
    client::LightClient,
    digest,
    log::{verify_inclusion, verify_range},
};
use tombolo_node::{
    Config, Cost, Exit, Kind, NoQueries, Node, Passphrase, PassphraseSource, config,
    journal::{self, Asked, Refused},
    keys, start, write_genesis, write_key,
};
use tombolo_proto::{
    LedgerClient,
    view::{MessagesQuery, Receipt, RecordQuery},
};
use tombolo_types::{
    Class, Epoch, Height, MessageNumber, UnixMillis,
    header::{Anchor, Genesis},
    id::{BlockId, GlobalId, TxId},
    lane::{DATA_LANE, Direction},
    record::{End, RecordFilter},
    verifier::{ClientStatus, Verifier as _},
};

pub(crate) fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(since.as_millis() as u64)
}

/// A home with key, passphrase and genesis, and the configuration of a node there.
fn lay_out(home: &Path) -> (Config, Genesis) {
    let genesis = toy::genesis(now());
    let passphrase = Passphrase::from("throw away".to_owned());
    std::fs::write(home.join("passphrase"), "throw away\n").unwrap();
    write_genesis(&home.join("genesis.abi"), &genesis).unwrap();
    write_key(home, "validator", &toy::key(1), &passphrase, Cost::DEVNET).unwrap();
    let raw = tombolo_node::RawConfig {
        home: home.into(),
        genesis: "genesis.abi".into(),
        key: tombolo_node::RawKey {
            keystore: "validator".into(),
            passphrase: Some(PassphraseSource::File("passphrase".into())),
        },
        moniker: "toy-0".into(),
        grpc_listen: "127.0.0.1:0".into(),
        p2p_listen: "127.0.0.1:0".into(),
        metrics_listen: Some("127.0.0.1:0".into()),
        ..Default::default()
    };
    (config::check(&raw.to_toml().unwrap()).unwrap(), genesis)
}

fn kind() -> Kind<Toy> {
    Kind { machine: Toy, queries: Arc::new(NoQueries) }
}

/// A node that runs in a home.
pub(crate) struct Running {
    pub(crate) client: LedgerClient,
    pub(crate) grpc: SocketAddr,
    pub(crate) genesis: Genesis,
    metrics: SocketAddr,
    cancel: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), Exit>>,
}

impl Running {
    pub(crate) async fn start(home: &Path) -> Self {
        let (config, genesis) = lay_out(home);
        Self::again(config, genesis).await
    }

    async fn again(config: Config, genesis: Genesis) -> Self {
        let cancel = CancellationToken::new();
        let node: Node = start(kind(), config, cancel.clone()).await.unwrap();
        let grpc = node.grpc();
        let metrics = node.metrics().unwrap();
        let client = LedgerClient::new(&format!("http://{grpc}")).unwrap();
        Self { client, grpc, genesis, metrics, cancel, ended: tokio::spawn(node.ended()) }
    }

    pub(crate) fn party(&self, number: u8) -> Party {
        Party::new(number, digest::chain_id(&self.genesis))
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.ended.await.unwrap().unwrap();
    }

    async fn done(&self, transaction: Vec<u8>) -> (TxId, Receipt) {
        let id = self.client.submit(transaction).await.unwrap();
        let wait = Duration::from_secs(10);
        (id, self.client.transaction(id, wait).await.unwrap().expect("no block in ten seconds"))
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.metrics).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn class_of<T: std::fmt::Debug>(answer: Result<T, tombolo_proto::ClientError>) -> Class {
    answer.unwrap_err().refusal().expect("not a refusal").class
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_orders_proves_and_restarts() {
    let home = tempfile::tempdir().unwrap();
    let node = Running::start(home.path()).await;
    let client = node.client.clone();
    let mut party = node.party(2);
    let genesis = client.genesis().await.unwrap();
    assert_eq!(genesis, node.genesis);
    let mut blocks = client.watch(Some(Height(1))).await.unwrap();

    // What goes in comes out with a receipt; a refusal in the block is one with a class.
    let (note, receipt) = node.done(party.sign(now(), ToyCall::Note("hello".into()))).await;
    assert_eq!((receipt.refusal.clone(), receipt.record), (None, Some(0)));
    let (_, refused) = node.done(party.sign(now(), ToyCall::Fail)).await;
    assert_eq!(refused.refusal.map(|refusal| refusal.class), Some(Class::Denied));
    assert_eq!(client.nonces(party.identity()).await.unwrap()[0], 2);
    assert_eq!(client.transaction(TxId([5; 32]), Duration::ZERO).await.unwrap(), None);
    let status = client.status().await.unwrap();
    assert_eq!((status.kind.as_str(), status.name.as_str(), status.validators), ("toy", "toys", 1));
    assert!(status.height >= receipt.height);
    let event = blocks.next().await.unwrap().unwrap();
    assert_eq!(event.height, Height(1));

    proves_its_log(&node, note).await;
    finds_its_records(&node, note).await;
    proves_its_lanes(&node, &mut party).await;
    the_door_writes_down_what_it_refuses(&node, home.path(), &mut party).await;
    queries_are_written_down(&node, home.path()).await;
    shows_metrics(&node).await;

    // The same ledger goes on after a restart.
    let before = client.status().await.unwrap();
    let genesis = node.genesis.clone();
    node.stop().await;
    let (config, _) = {
        let text = std::fs::read(home.path().join("genesis.abi")).unwrap();
        assert_eq!(Genesis::decode(&text).unwrap(), genesis);
        (restarted(home.path()), ())
    };
    let node = Running::again(config, genesis).await;
    let header = node.client.header(Some(before.height)).await.unwrap();
    assert_eq!(digest::block_id(&header.header), before.block_id);
    let (_, receipt) = node.done(party.sign(now(), ToyCall::Say(5))).await;
    assert!(receipt.height > before.height && receipt.refusal.is_none());
    node.stop().await;
}

fn restarted(home: &Path) -> Config {
    let other = tempfile::tempdir().unwrap();
    let (mut config, _) = lay_out(other.path());
    config.home = home.into();
    config.genesis = home.join("genesis.abi");
    config.passphrase = PassphraseSource::File(home.join("passphrase"));
    config
}

async fn proves_its_log(node: &Running, note: TxId) {
    let client = &node.client;
    let page = client.records(0, 10).await.unwrap();
    assert_eq!((page.log_size, page.records.len()), (2, 2));
    let proof = client.log_proof(0, 2, None).await.unwrap();
    let leaf =
        |(position, salted): &(u64, _)| digest::record_leaf(*position, digest::record_root(salted));
    let leaves: Vec<_> = page.records.iter().map(leaf).collect();
    let header = &proof.header;
    verify_range(0, &leaves, header.header.log_size, header.header.log_root, &proof.range).unwrap();
    let chain = digest::chain_id(&node.genesis);
    certificate::certify(&header.header, &header.certificate, chain, &header.validators).unwrap();
    let first = client.log_proof(0, 1, Some(1)).await.unwrap();
    assert_eq!(first.header.header.log_size, 1);
    assert_eq!(class_of(client.log_proof(0, 9, None).await), Class::Format);
    let json =
        client.query(&format!("operation/{}", GlobalId(note.0)), None, 0).await.unwrap().json;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["entries"][0]["remark"], "hello");
    assert_eq!(class_of(client.query("nothing", None, 0).await), Class::Unsupported);
    let changes = client.validator_changes(Height(0)).await.unwrap();
    assert!(changes.changes.is_empty() && !changes.more);
}

/// Req: PRJ-4-5
async fn finds_its_records(node: &Running, note: TxId) {
    let find = async |filter: RecordFilter| {
        let query = RecordQuery { filter, from: 0, limit: 0 };
        let found = node.client.find_records(query).await.unwrap();
        assert_eq!(found.next, None);
        found.records.iter().map(|(position, _)| *position).collect::<Vec<_>>()
    };
    let any = RecordFilter::default;
    assert_eq!(find(any()).await, [0, 1]);
    assert_eq!(find(RecordFilter { tx_id: Some(note), ..any() }).await, [0]);
    assert_eq!(find(RecordFilter { end: Some(End::Refused), ..any() }).await, [1]);
    let party = Some(node.party(2).identity());
    let noted = RecordFilter { party, operation: Some("note".into()), ..any() };
    assert_eq!(find(noted).await, [0]);
    assert_eq!(find(RecordFilter { link: Some(LINK), ..any() }).await, [0u64; 0]);
}

/// Who asks for everything gets pages and goes on where one ended, over a rebuild of the index too,
/// and blocks are made all the while.
#[tokio::test(flavor = "multi_thread")]
async fn a56_an_auditor_who_asks_for_everything_gets_pages() {
    let home = tempfile::tempdir().unwrap();
    let node = Running::start(home.path()).await;
    let mut party = node.party(2);
    let mut last = TxId::ZERO;
    for n in 0..600 {
        last = node.client.submit(party.sign(now(), ToyCall::Note(n.to_string()))).await.unwrap();
    }
    node.client.transaction(last, Duration::from_secs(10)).await.unwrap().expect("no block");

    let stop = CancellationToken::new();
    let greedy: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop) = (node.client.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    everything(&client, u32::MAX).await;
                }
            })
        })
        .collect();
    for n in 0..10 {
        let (_, receipt) = node.done(party.sign(now(), ToyCall::Note(n.to_string()))).await;
        assert_eq!(receipt.refusal, None);
    }
    stop.cancel();
    for auditor in greedy {
        auditor.await.unwrap();
    }
    assert_eq!(everything(&node.client, u32::MAX).await, [500, 110]);
    assert_eq!(everything(&node.client, 300).await, [300, 300, 10]);

    // The page after the first, from an index that was thrown away in between.
    let genesis = node.genesis.clone();
    node.stop().await;
    std::fs::remove_file(home.path().join("audit.sqlite")).unwrap();
    let node = Running::again(restarted(home.path()), genesis).await;
    let query = RecordQuery { from: 300, limit: 300, ..Default::default() };
    let page = node.client.find_records(query).await.unwrap();
    assert_eq!((page.records[0].0, page.records.len(), page.next), (300, 300, Some(600)));
    node.stop().await;
}

/// Reads the whole log in pages, each after the one before, and gives their lengths.
async fn everything(client: &LedgerClient, limit: u32) -> Vec<usize> {
    let (mut from, mut expected, mut pages) = (0, 0, Vec::new());
    loop {
        let query = RecordQuery { from, limit, ..Default::default() };
        let page = client.find_records(query).await.unwrap();
        for (position, _) in &page.records {
            assert_eq!(*position, expected);
            expected += 1;
        }
        pages.push(page.records.len());
        match page.next {
            Some(next) => from = next,
            None => return pages,
        }
    }
}

async fn proves_its_lanes(node: &Running, party: &mut Party) {
    let client = &node.client;
    assert_eq!(class_of(client.heads(LINK).await), Class::NotFound);
    node.done(party.sign(now(), ToyCall::Open)).await;
    for bytes in [10, 20, 30] {
        node.done(party.sign(now(), ToyCall::Say(bytes))).await;
    }
    let links = client.links().await.unwrap();
    let [link] = &*links.links else { panic!("{links:?}") };
    assert_eq!((link.id, link.client.status, link.lanes[1].size), (LINK, ClientStatus::Active, 3));

    // Another ledger's light client believes the heads from genesis alone.
    let chain = digest::chain_id(&node.genesis);
    let anchor = Anchor {
        chain_id: chain,
        height: Height::ZERO,
        block_id: BlockId(chain.0),
        time: node.genesis.time,
        validators: node.genesis.validators.clone(),
    };
    let heads = client.heads(LINK).await.unwrap();
    let light = LightClient.start(&anchor.encode(), &toy::terms(), heads.time).unwrap();
    assert_eq!(heads.leaves.len(), 2);
    for proved in &heads.leaves {
        let (leaf, proof) = (&proved.leaf, &proved.head_proof);
        let head = LightClient.head(&light, heads.time, proof, leaf).unwrap();
        assert_eq!(head.height, heads.height);
        let other = tombolo_types::lane::LaneLeaf { size: leaf.size + 1, ..leaf.clone() };
        assert!(LightClient.head(&light, heads.time, proof, &other).is_err());
    }

    let query = MessagesQuery {
        link: LINK,
        lane: DATA_LANE,
        epoch: Epoch(1),
        from: 1,
        count: 1_000,
        size: 0,
        bytes_max: 0,
    };
    let got = client.messages(query).await.unwrap();
    assert_eq!((got.messages.len(), got.size), (2, 3));
    let leaf = &heads.leaves[1].leaf;
    let hashes: Vec<_> = (1..)
        .zip(&got.messages)
        .map(|(number, message)| {
            let number = MessageNumber(number);
            let direction = Direction::HubToChain;
            digest::message_leaf(LINK, direction, DATA_LANE, Epoch(1), number, message)
        })
        .collect();
    verify_range(1, &hashes, leaf.size, leaf.root, &got.range).unwrap();
    let one = client.messages(MessagesQuery { bytes_max: 1, ..query }).await.unwrap();
    assert_eq!(one.messages.len(), 1);
    verify_range(1, &hashes[..1], leaf.size, leaf.root, &one.range).unwrap();
    assert!(verify_inclusion(hashes[0], 1, leaf.size, &[], leaf.root).is_err());
    let elsewhere = MessagesQuery { epoch: Epoch(2), ..query };
    assert_eq!(class_of(client.messages(elsewhere).await), Class::State);
    let beyond = MessagesQuery { from: 4, ..query };
    assert_eq!(class_of(client.messages(beyond).await), Class::Format);
    let early = MessagesQuery { size: 4, ..query };
    assert_eq!(class_of(client.messages(early).await), Class::Finality);

    let update = client.client_update(Height::ZERO).await.unwrap().unwrap();
    let moved = LightClient.update(&light, update.header.time, &update.encode()).unwrap();
    assert_eq!(moved.height, update.header.height);
    assert_eq!(client.client_update(Height(u64::MAX)).await.unwrap(), None);
}

async fn the_door_writes_down_what_it_refuses(node: &Running, home: &Path, party: &mut Party) {
    let client = &node.client;
    let good = party.sign(now(), ToyCall::Note("again".into()));
    let (_, receipt) = node.done(good.clone()).await;
    assert_eq!(receipt.refusal, None);
    assert_eq!(class_of(client.submit(good).await), Class::Replay);
    assert_eq!(class_of(client.submit(vec![1, 2, 3]).await), Class::Format);
    let mut stranger = node.party(77);
    let unknown = stranger.sign(now(), ToyCall::Note("who".into()));
    assert_eq!(class_of(client.submit(unknown).await), Class::Ident);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let text = std::fs::read(home.join("door.journal")).unwrap();
        let entries = journal::verify::<Refused>(&text).unwrap();
        let classes: Vec<_> = entries.iter().map(|entry| entry.what.class.as_str()).collect();
        if classes == ["E_REPLAY", "E_FORMAT", "E_IDENT"] {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{classes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Who asked for what, when, and how many records it gave, in a chain of lines.
///
/// Req: PRJ-4-5
async fn queries_are_written_down(node: &Running, home: &Path) {
    let client = LedgerClient::new(&format!("http://{}", node.grpc)).unwrap();
    let begun = now();
    let party = node.party(2).identity();
    let filter = RecordFilter {
        party: Some(party),
        end: Some(End::RefusedAs(Class::Denied)),
        since: Some(UnixMillis(1)),
        ..Default::default()
    };
    client.find_records(RecordQuery { filter, ..Default::default() }).await.unwrap();
    client.find_records(RecordQuery { from: 7_000, ..Default::default() }).await.unwrap();
    client.records(1, 1).await.unwrap();
    client.query("record/0", None, 0).await.unwrap();
    client.query("record/99999", None, 0).await.unwrap_err();
    client.query("parameters", None, 0).await.unwrap();
    client.find_records(RecordQuery::default()).await.unwrap();
    let wanted = [
        json!({ "party": party.to_string(), "end": "E_DENIED", "since_ms": 1 }),
        json!({ "from": 7_000 }),
        json!({ "from": 1 }),
        json!({ "path": "record/0" }),
        json!({ "path": "record/99999" }),
        json!({}),
    ];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let entries = loop {
        let text = std::fs::read(home.join("queries.journal")).unwrap();
        let entries = journal::verify::<Asked>(&text).unwrap();
        let since: Vec<_> =
            entries.into_iter().skip_while(|entry| entry.what.filter != wanted[0]).collect();
        if since.len() == wanted.len() {
            break since;
        }
        assert!(tokio::time::Instant::now() < deadline, "{since:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (entry, filter) in entries.iter().zip(wanted) {
        assert_eq!(entry.what.filter, filter);
        assert!(entry.caller.starts_with("127.0.0.1:") && entry.time_ms >= begun.0, "{entry:?}");
    }
    let given: Vec<_> =
        entries.iter().map(|entry| (entry.what.records, entry.what.class.as_deref())).collect();
    let all = client.records(0, 500).await.unwrap().log_size;
    let refused = Some("E_NOTFOUND");
    let one = (1, None);
    assert_eq!(given, [one, (0, None), one, one, (0, refused), (all, None)]);
}

async fn shows_metrics(node: &Running) {
    let page = node.get("/metrics").await;
    for line in
        ["node_door_refusals_total{class=\"E_REPLAY\"} 1", "node_commit_flush_seconds_count"]
    {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    assert!(node.get("/alive").await.starts_with("HTTP/1.1 200"));
    assert!(node.get("/ready").await.starts_with("HTTP/1.1 200"));
    assert!(node.get("/secret").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_which_part_and_why() {
    let home = tempfile::tempdir().unwrap();
    let (config, _) = lay_out(home.path());
    let exit =
        |config| async { start(kind(), config, CancellationToken::new()).await.err().unwrap() };

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc_listen = taken.local_addr().unwrap();
    let other = Config { grpc_listen, ..config.clone() };
    assert!(matches!(exit(other).await, Exit::Listen { what: "gRPC", .. }));
    let other = Config { key: "nobody".into(), ..config.clone() };
    assert!(matches!(exit(other).await, Exit::Key(keys::KeyError::File { .. })));
    let other = Config { genesis: home.path().join("nothing"), ..config.clone() };
    assert!(matches!(exit(other).await, Exit::Genesis(_)));
    let mut wrong = config.clone();
    std::fs::write(home.path().join("wrong"), "wrong\n").unwrap();
    wrong.passphrase = PassphraseSource::File(home.path().join("wrong"));
    assert!(matches!(exit(wrong).await, Exit::Key(keys::KeyError::Sealed { .. })));
}
