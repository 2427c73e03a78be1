//! Strangers at the interface: one class each, and the node goes on.

use crate::{
    node::{Running, now},
    toy::ToyCall,
};
use axum::body::Body;
use prost::Message as _;
use std::time::Duration;
use tombolo_proto::{
    limits::{MESSAGE_BYTES_MAX, QUERY_TEXT_BYTES_MAX},
    status_to_refusal,
    wire::{LogProofRequest, MessagesRequest, QueryRequest, SubmitRequest, TransactionRequest},
};
use tombolo_types::{Class, transaction::TRANSACTION_BYTES_MAX};
use tonic::{Status, codegen::http, transport::Endpoint};
use tower::{Service as _, ServiceExt as _};

/// A gRPC frame that says it holds `length` bytes, and holds these.
fn frame(length: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend(bytes);
    frame
}

fn whole(bytes: &[u8]) -> Body {
    frame(bytes.len() as u32, bytes).into()
}

/// Sends a body as it is, past every check of our own client, and gives the class of the answer.
async fn send(node: &Running, method: &str, body: Body) -> Option<Class> {
    let channel = Endpoint::from_shared(format!("http://{}", node.grpc)).unwrap();
    let mut channel = channel.connect().await.unwrap();
    let request = http::Request::post(format!("/tombolo.ledger.v1.Ledger/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap();
    let call = async { channel.ready().await.unwrap().call(request).await };
    let answer = tokio::time::timeout(Duration::from_secs(20), call).await.expect("no answer");
    // A server that has heard enough may also close the stream.
    let status = match answer {
        Ok(answer) => Status::from_header_map(answer.headers()),
        Err(error) => Some(Status::from_error(error.into())),
    };
    status_to_refusal(&status?).map(|refusal| refusal.class)
}

async fn is_well(node: &Running) {
    let mut party = node.party(2);
    party.nonce = node.client.nonces(party.identity()).await.unwrap()[0];
    let id = node.client.submit(party.sign(now(), ToyCall::Note("well".into()))).await.unwrap();
    let receipt = node.client.transaction(id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(receipt.expect("no block").refusal, None);
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread")]
async fn a51_messages_above_the_limit_are_refused_without_being_kept() {
    let home = tempfile::tempdir().unwrap();
    let node = Running::start(home.path()).await;
    let submit = |bytes: usize| SubmitRequest { transaction: vec![7; bytes] }.encode_to_vec();

    // One byte above the limit of a transaction, at the limit of a message, and one above.
    assert_eq!(
        send(&node, "Submit", whole(&submit(TRANSACTION_BYTES_MAX + 1))).await,
        Some(Class::Limit)
    );
    assert_eq!(
        send(&node, "Submit", whole(&submit(MESSAGE_BYTES_MAX - 5))).await,
        Some(Class::Limit)
    );
    assert_eq!(send(&node, "Submit", whole(&submit(MESSAGE_BYTES_MAX))).await, Some(Class::Limit));
    assert_eq!(
        send(&node, "Submit", whole(&submit(TRANSACTION_BYTES_MAX - 9))).await,
        Some(Class::Format)
    );

    let before = resident_bytes();
    // A gigabyte that is only said to come, and one that comes without an end.
    assert_eq!(send(&node, "Submit", frame(1 << 30, &[7; 64]).into()).await, Some(Class::Limit));
    let head = frame(1 << 30, &[]);
    let chunks = std::iter::once(head).chain(std::iter::repeat(vec![7u8; 64 * 1024]));
    let endless =
        Body::from_stream(tokio_stream::iter(chunks.map(Ok::<_, std::convert::Infallible>)));
    assert_eq!(send(&node, "Submit", endless).await, Some(Class::Limit));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 2 * MESSAGE_BYTES_MAX as u64 + (16 << 20), "{grown} bytes");
    is_well(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a53_malformed_calls_get_one_class() {
    let home = tempfile::tempdir().unwrap();
    let node = Running::start(home.path()).await;
    let short = TransactionRequest { tx_id: vec![1; 31], wait_ms: 0 }.encode_to_vec();
    let lane = MessagesRequest { link: vec![1; 33], ..Default::default() }.encode_to_vec();
    let nested: Vec<u8> = (0..10_000).flat_map(|_| [0x0b]).collect();
    for (what, method, body, class) in [
        ("an id of 31 bytes", "Transaction", whole(&short), Class::Format),
        ("a link of 33 bytes", "Messages", whole(&lane), Class::Format),
        ("a field that ends early", "Submit", whole(&[0x0a, 0x7f, 1]), Class::Format),
        (
            "a length above all memory",
            "Submit",
            whole(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Class::Format,
        ),
        ("groups without an end", "Submit", whole(&nested), Class::Format),
        ("text that is not UTF-8", "Query", whole(&[0x0a, 2, 0xff, 0xfe]), Class::Format),
        ("a call that is not there", "Drop", whole(&[]), Class::Unsupported),
        ("an empty path", "Query", whole(&[]), Class::Format),
    ] {
        assert_eq!(send(&node, method, body).await, Some(class), "{what}");
    }
    // Random bytes as a transaction never get past the form.
    let mut seed = 0x9e37_79b9_u64;
    for length in 0..200usize {
        let mut bytes = Vec::with_capacity(length);
        for _ in 0..length {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.push((seed >> 56) as u8);
        }
        let refused = node.client.submit(bytes).await.unwrap_err();
        assert_eq!(refused.refusal().map(|it| it.class), Some(Class::Format), "{refused}");
    }
    is_well(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a56_queries_are_bounded() {
    let home = tempfile::tempdir().unwrap();
    let node = Running::start(home.path()).await;
    let long = "x".repeat(QUERY_TEXT_BYTES_MAX + 1);
    let path = QueryRequest { path: long.clone(), ..Default::default() }.encode_to_vec();
    let from = QueryRequest { path: "parameters".into(), from: long, limit: 1 }.encode_to_vec();
    assert_eq!(send(&node, "Query", whole(&path)).await, Some(Class::Limit));
    assert_eq!(send(&node, "Query", whole(&from)).await, Some(Class::Limit));
    is_well(&node).await;
    let all = LogProofRequest { from: 0, to: u64::MAX, size: u64::MAX }.encode_to_vec();
    assert_eq!(send(&node, "LogProof", whole(&all)).await, Some(Class::Limit));
    let page = node.client.records(0, u32::MAX).await.unwrap();
    assert_eq!(page.records.len() as u64, page.log_size);
    let json = node.client.query("parameters", None, u32::MAX).await.unwrap().json;
    assert!(json.contains("block_at_rest_ms"));

    // Everybody asks for everything at once, and blocks go on.
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let client = node.client.clone();
        askers.spawn(async move {
            for _ in 0..20 {
                client.records(0, u32::MAX).await.unwrap();
            }
        });
    }
    is_well(&node).await;
    while let Some(asked) = askers.join_next().await {
        asked.unwrap();
    }
    node.stop().await;
}
