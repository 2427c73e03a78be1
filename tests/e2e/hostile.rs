//! Hostile input at every port of a running devnet but those of consensus: one class each, nothing
//! changed but nonce and record, memory bounded, and blocks go on.

use crate::{
    network::{Devnet, free_port, page, resident_bytes},
    party::{Ledger, PATIENCE, Party, Station, until},
    run::run,
    swaps::Service,
};
use axum::body::Body;
use prost::Message as _;
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_hub::{HubCall, govern::Act};
use tombolo_islet::signer::{Signer, random};
use tombolo_ledger::Call;
use tombolo_proto::{
    limits::MESSAGE_BYTES_MAX,
    status_to_refusal,
    wire::{MessagesRequest, SubmitRequest, TransactionRequest},
};
use tombolo_types::{
    Class,
    id::{LinkId, Xid},
    transaction::TRANSACTION_BYTES_MAX,
};
use tonic::{Status, codegen::http, transport::Endpoint};
use tower::{Service as _, ServiceExt as _};

/// How much a process may grow: a few of the largest messages, and what its own blocks take.
const GROWTH_BYTES_MAX: u64 = 8 * MESSAGE_BYTES_MAX as u64;
/// The same while one identity floods: what may wait, the blocks that hold it, and their copies in
/// the store's cache.
const FLOOD_GROWTH_BYTES_MAX: u64 = 128 << 20;
/// What is on its way between two sockets of this machine, at most.
const KERNEL_BYTES_MAX: usize = 16 << 20;
/// How many connections say nothing, or next to nothing.
const SILENT: usize = 300;

/// What the state of a ledger looks like from outside.
async fn state(ledger: &Ledger, pages: &[&str]) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for path in pages {
        shown.insert((*path).to_owned(), ledger.query(path).await.to_string());
    }
    shown
}

fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for (path, page) in before {
        assert_eq!(page, &after[path], "{path}");
    }
}

async fn log_size(ledger: &Ledger) -> u64 {
    ledger.client.records(0, 1).await.unwrap().log_size
}

const HUB_PAGES: [&str; 8] =
    ["identities", "items", "schemas", "policies", "proposals", "commits", "parameters", "links"];
const ISLET_PAGES: [&str; 8] =
    ["identities", "items", "copies", "schemas", "accounts", "locks", "council", "parameters"];

#[test]
fn a51_hostile_calls_change_nothing() {
    let devnet = Devnet::up();
    // Nothing shall change that nobody here has asked for.
    devnet.kill("relayer");
    run(async {
        let hub = devnet.ledger("hub").await;
        let seattle = devnet.ledger("seattle").await;
        for (name, ledger, other, pages) in
            [("hub", &hub, &seattle, HUB_PAGES), ("seattle", &seattle, &hub, ISLET_PAGES)]
        {
            let (process, port) = (devnet.process(name).unwrap(), devnet.serves(name));
            let used = used_transaction(&devnet, ledger).await;
            let (before, records) = (state(ledger, &pages).await, log_size(ledger).await);
            let memory = resident_bytes(process);
            malformed_and_oversized(port).await;
            strange_transactions(&devnet, ledger, other, used).await;
            assert_same(&before, &state(ledger, &pages).await);
            assert_eq!(log_size(ledger).await, records, "{name}");
            ledger.next_block().await;
            assert_eq!(devnet.process(name), Some(process), "another process runs");
            let grown = resident_bytes(process).saturating_sub(memory);
            assert!(grown < GROWTH_BYTES_MAX, "{name} took {grown} bytes more");
        }
        wrong_roles(&devnet, &hub, &seattle).await;
    });
}

/// A gRPC frame that says it holds `length` bytes, and holds these.
fn frame(length: usize, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap();
    [&[0], &length.to_be_bytes()[..], bytes].concat()
}

fn whole(bytes: &[u8]) -> Body {
    frame(bytes.len(), bytes).into()
}

/// Sends a body as it is, past every check of our own client, and gives the class of the answer.
async fn send(port: SocketAddr, method: &str, body: Body) -> Option<Class> {
    let channel = Endpoint::from_shared(format!("http://{port}")).unwrap();
    let mut channel = channel.connect().await.unwrap();
    let request = http::Request::post(format!("/tombolo.ledger.v1.Ledger/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap();
    let call = async { channel.ready().await.unwrap().call(request).await };
    // A server that has heard enough may also close the stream.
    let status = match timeout(PATIENCE, call).await.expect("no answer") {
        Ok(answer) => Status::from_header_map(answer.headers()),
        Err(error) => Some(Status::from_error(error.into())),
    };
    status_to_refusal(&status?).map(|refusal| refusal.class)
}

async fn malformed_and_oversized(port: SocketAddr) {
    let submit =
        |bytes: usize| whole(&SubmitRequest { transaction: vec![7; bytes] }.encode_to_vec());
    let short = TransactionRequest { tx_id: vec![1; 31], wait_ms: 0 }.encode_to_vec();
    let lane = MessagesRequest { link: vec![1; 33], ..Default::default() }.encode_to_vec();
    let endless = std::iter::once(frame(1 << 30, &[]))
        .chain(std::iter::repeat(vec![7; 64 * 1024]))
        .map(Ok::<_, std::convert::Infallible>);
    let endless = Body::from_stream(tokio_stream::iter(endless));
    for (what, method, body, class) in [
        ("an id of 31 bytes", "Transaction", whole(&short), Class::Format),
        ("a link of 33 bytes", "Messages", whole(&lane), Class::Format),
        ("a field that ends early", "Submit", whole(&[0x0a, 0x7f, 1]), Class::Format),
        ("groups without an end", "Submit", whole(&[0x0b; 10_000]), Class::Format),
        ("text that is not UTF-8", "Query", whole(&[0x0a, 2, 0xff, 0xfe]), Class::Format),
        ("a call that is not there", "Drop", whole(&[]), Class::Unsupported),
        ("no transaction", "Submit", submit(0), Class::Format),
        ("bytes that are none", "Submit", submit(TRANSACTION_BYTES_MAX), Class::Format),
        ("a byte above a transaction", "Submit", submit(TRANSACTION_BYTES_MAX + 1), Class::Limit),
        ("a byte above a message", "Submit", submit(MESSAGE_BYTES_MAX), Class::Limit),
        ("a gigabyte that is said", "Submit", frame(1 << 30, &[7; 64]).into(), Class::Limit),
        ("a stream without an end", "Submit", endless, Class::Limit),
    ] {
        assert_eq!(send(port, method, body).await, Some(class), "{what}");
    }
}

/// One identity hands in the largest transactions as fast as it can; another's is final all the
/// same, and nothing is kept beyond the flooder's budget.
#[test]
fn a50_one_identity_floods_the_door() {
    /// Some fifteen times what may wait of one identity.
    const FLOOD: u64 = 300;
    let devnet = Devnet::up();
    run(async {
        let hub = devnet.ledger("hub").await;
        let process = devnet.process("hub").unwrap();
        let (city, university) = (devnet.party("city"), devnet.party("university"));
        let memory = resident_bytes(process);
        let first = hub.client.nonces(city.identity()).await.unwrap()[0];
        let signer = Signer::first_key(city.key().clone(), 0);
        let update = vec![7; TRANSACTION_BYTES_MAX - 1_024];
        let call = borsh::to_vec(&Call::<()>::UpdateClient { link: LinkId::ZERO, update }).unwrap();
        let mut flood = JoinSet::new();
        for nonce in first..first + FLOOD {
            let (client, transaction) =
                (hub.client.clone(), signer.sign(hub.chain, nonce, call.clone()).1);
            flood.spawn(async move { client.submit(transaction).await });
        }
        let (_, refusal) = university.attempt(&hub, HubCall::Withdraw { xid: Xid::ZERO }).await;
        assert_eq!(refusal.map(|refusal| refusal.class), Some(Class::NotFound));
        let (mut taken, mut limited) = (0, 0);
        while let Some(answer) = flood.join_next().await {
            match answer.unwrap() {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert_eq!(error.class(), Class::Limit, "{error}");
                    limited += 1;
                }
            }
        }
        let grown = resident_bytes(process).saturating_sub(memory);
        assert!(taken > 0 && limited > 0, "{taken} taken, {limited} refused");
        hub.next_block().await;
        assert_eq!(devnet.process("hub"), Some(process));
        assert!(grown < FLOOD_GROWTH_BYTES_MAX, "{grown} bytes more");
    });
}

fn call() -> Vec<u8> {
    borsh::to_vec(&Call::<()>::UpdateClient { link: LinkId::ZERO, update: vec![1] }).unwrap()
}

/// A transaction that stands in a block.
async fn used_transaction(devnet: &Devnet, ledger: &Ledger) -> Vec<u8> {
    let city = devnet.party("city");
    let nonce = ledger.client.nonces(city.identity()).await.unwrap()[0];
    let signer = Signer::first_key(city.key().clone(), 0);
    let (id, transaction) = signer.sign(ledger.chain, nonce, call());
    ledger.client.submit(transaction.clone()).await.unwrap();
    ledger.receipt(id).await;
    transaction
}

/// Well-formed, and signed for another ledger, by another key, by nobody, once too often.
async fn strange_transactions(devnet: &Devnet, ledger: &Ledger, other: &Ledger, used: Vec<u8>) {
    let city = devnet.party("city");
    let next = ledger.client.nonces(city.identity()).await.unwrap();
    let own = Signer::first_key(city.key().clone(), 0);
    let stolen = Signer::new(devnet.party("university").key().clone(), city.identity(), 0);
    let nobody = Signer::first_key(SecretKey::from_bytes(random().0).unwrap(), 0);
    let signed = |signer: &Signer, chain, nonce| signer.sign(chain, nonce, call()).1;
    let mut changed = signed(&own, ledger.chain, next[0]);
    *changed.last_mut().unwrap() ^= 1;
    for (what, transaction, class) in [
        ("for another ledger", signed(&own, other.chain, next[0]), Class::Auth),
        ("by another's key", signed(&stolen, ledger.chain, next[0]), Class::Auth),
        ("by nobody", signed(&nobody, ledger.chain, 0), Class::Ident),
        ("with a changed signature", changed, Class::Auth),
        ("the same again", used, Class::Replay),
        ("with a nonce that was used", signed(&own, ledger.chain, next[0] - 1), Class::Replay),
        ("far ahead", signed(&own, ledger.chain, next[0] + 1_000_000), Class::State),
    ] {
        let refused = ledger.client.submit(transaction).await.unwrap_err();
        assert_eq!(refused.class(), class, "{what}: {refused}");
    }
    assert_eq!(ledger.client.nonces(city.identity()).await.unwrap(), next);
}

/// Who may not ask gets a record and has used a nonce, and nothing else changes.
async fn wrong_roles(devnet: &Devnet, hub: &Ledger, seattle: &Ledger) {
    let act = Act::SetParameter { name: "pause_ms".into(), value: 1 };
    let propose = HubCall::Propose(Box::new(act));
    is_denied(hub, &HUB_PAGES, &devnet.party("relayer"), propose).await;

    let city = devnet.party("city");
    let device = devnet.party("weather-station");
    let station = Station::new(hub, seattle.clone(), device, &city).await;
    let reading = station.reading(1, None);
    is_denied(seattle, &ISLET_PAGES, &devnet.party("observatory"), reading).await;
}

async fn is_denied<C: borsh::BorshSerialize>(
    ledger: &Ledger,
    pages: &[&str],
    party: &Party,
    call: C,
) {
    let (before, records) = (state(ledger, pages).await, log_size(ledger).await);
    let nonce = ledger.client.nonces(party.identity()).await.unwrap()[0];
    let (id, refusal) = party.attempt(ledger, call).await;
    assert_eq!(refusal.map(|refusal| refusal.class), Some(Class::Denied));
    assert_same(&before, &state(ledger, pages).await);
    assert_eq!(ledger.client.nonces(party.identity()).await.unwrap()[0], nonce + 1);
    let page = ledger.client.records(records, 10).await.unwrap();
    let [(_, salted)] = &page.records[..] else { panic!("{} records", page.records.len()) };
    assert_eq!((salted.record.tx_id, salted.record.outcome), (id, Class::Denied as u8));
}

/// Connections that say nothing, or begin and go on slowly, take nobody's place for long; requests
/// without an end are cut off.
#[test]
fn a54_slow_and_endless_connections_are_cut_off() {
    let devnet = Devnet::up();
    run(async {
        let hub = devnet.ledger("hub").await;
        let (process, relayer) =
            (devnet.process("hub").unwrap(), devnet.process("relayer").unwrap());
        let memory = (resident_bytes(process), resident_bytes(relayer));
        let (_party, party) = swap_party(&devnet).await;
        let pages = [devnet.metrics("hub"), devnet.serves("relayer"), party];
        for port in pages {
            cuts_off_the_endless(port).await;
        }
        let ports = [devnet.serves("hub")].into_iter().chain(pages);
        let mut held = Vec::new();
        for port in ports {
            held.extend(silent(port).await);
        }
        hub.next_block().await;
        all_end(held).await;
        hub.next_block().await;
        for port in pages {
            assert!(page(port, "/metrics").contains("# TYPE "), "{port}");
        }
        assert_eq!(devnet.process("hub"), Some(process));
        assert_eq!(devnet.process("relayer"), Some(relayer));
        for (process, before) in [(process, memory.0), (relayer, memory.1)] {
            let grown = resident_bytes(process).saturating_sub(before);
            assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
        }
    });
}

/// A party of swaps with a status page; gives that, too.
async fn swap_party(devnet: &Devnet) -> (Service, SocketAddr) {
    let listen = free_port();
    let config = devnet.home.join("city").join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("status_listen = \"{listen}\"\n{text}")).unwrap();
    let service = Service::spawn(&["swap", "start", "--config", config.to_str().unwrap()]);
    until("the party has a page", async || TcpStream::connect(listen).await.ok()).await;
    (service, listen)
}

/// What else is asked of a port that others reach: it cuts off what has no end, and lets nobody stay
/// who says nothing.
pub(crate) async fn keeps_its_bounds(port: SocketAddr) {
    cuts_off_the_endless(port).await;
    all_end(silent(port).await).await;
}

/// A head without an end is refused, and a body without an end is not read: both are cut off.
async fn cuts_off_the_endless(port: SocketAddr) {
    let head = "GET /metrics HTTP/1.1\r\nhost: x\r\n".to_owned();
    is_cut_off(port, head, format!("x: {}\r\n", "y".repeat(8_000))).await;
    let body = "POST /metrics HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    is_cut_off(port, body, format!("2000\r\n{}\r\n", "y".repeat(0x2000))).await;
}

/// Many connections that say nothing, or next to nothing.
async fn silent(port: SocketAddr) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(port).await.unwrap();
        // Both protocols begin with letters. It may have been turned away.
        let _ = stream.write_all(&b"PRI"[..number % 4]).await;
        held.push(stream);
    }
    held
}

async fn all_end(held: Vec<TcpStream>) {
    for mut stream in held {
        let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        // An end or a reset.
        let _ = ended.expect("a silent connection stays open");
    }
}

async fn is_cut_off(port: SocketAddr, begin: String, again: String) {
    let mut stream = TcpStream::connect(port).await.unwrap();
    stream.write_all(begin.as_bytes()).await.unwrap();
    let mut bytes = 0;
    let talk = async {
        while stream.write_all(again.as_bytes()).await.is_ok() {
            bytes += again.len();
        }
    };
    timeout(PATIENCE, talk).await.expect("it is never cut off");
    assert!(bytes < KERNEL_BYTES_MAX, "cut off after {bytes} bytes");
}
