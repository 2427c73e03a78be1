//! What real nodes said, kept in `tests/vectors/evm`: read on every run, and recorded anew by the
//! live tests when `TOMBOLO_REGENERATE_VECTORS` is set.

use serde_json::{Value, json};
use std::path::PathBuf;
use tombolo_evm_core::storage::{ensure_same, pick_nodes, prove_lane};
use tombolo_test_nodes::{Rpc, Sender, Writer, bytes, hash, text};
use tombolo_types::{Address, Hash, LaneNumber, UnixMillis};

pub(crate) const LANE: LaneNumber = LaneNumber(1);

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors/evm").join(name)
}

/// A file of vectors.
pub(crate) fn read(name: &str) -> Value {
    let text =
        std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Writes a file of vectors anew, where that is asked for.
pub(crate) fn record(name: &str, vectors: &Value) {
    if std::env::var_os("TOMBOLO_REGENERATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(vectors).unwrap();
        std::fs::write(path(name), text + "\n").unwrap();
    }
}

pub(crate) fn hexadecimal(bytes: impl AsRef<[u8]>) -> Value {
    json!(format!("0x{}", hex::encode(bytes)))
}

pub(crate) fn list(values: &[Vec<u8>]) -> Value {
    values.iter().map(hexadecimal).collect()
}

pub(crate) fn unlist(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(bytes).collect()
}

pub(crate) fn address(value: &Value) -> Address {
    text(value).parse().unwrap()
}

/// A storage proof of a lane, from a node: what a contract stores, and what the node says of it.
pub(crate) fn record_lane(
    rpc: &Rpc,
    writer: &Writer,
    size: u64,
    received: u64,
    block: u64,
) -> Value {
    let slots = tombolo_evm_core::storage::lane_slots(LANE, size, received);
    let (state_root, nodes) = writer.prove(rpc, &slots, block);
    let nodes = pick_nodes(nodes, state_root, writer.address, LANE).unwrap();
    json!({
        "height": block,
        "state_root": state_root.to_string(),
        "gateway": writer.address.to_string(),
        "size": size,
        "received": received,
        "nodes": list(&nodes),
    })
}

/// Deploys the contract and lets it store a lane; gives it and the block of the last store.
pub(crate) fn store_lane(sender: &Sender, size: u64, received: u64) -> (Writer, u64) {
    let writer = Writer::deploy(sender);
    let block = writer.store(sender, &words(size, received));
    (writer, block)
}

pub(crate) fn words(size: u64, received: u64) -> Vec<(Hash, Hash)> {
    crate::world::slots(LANE, size, received).into_iter().collect()
}

/// The lane of a recorded proof is proved by it.
pub(crate) fn check_lane(recorded: &Value) {
    let (size, received) =
        (recorded["size"].as_u64().unwrap(), recorded["received"].as_u64().unwrap());
    let nodes = unlist(&recorded["nodes"]);
    let gateway = address(&recorded["gateway"]);
    let state_root = hash(&recorded["state_root"]);
    let (leaf, code) = prove_lane(&nodes, state_root, gateway, crate::world::LINK, LANE).unwrap();
    assert_eq!(ensure_same(&leaf, &crate::world::leaf(LANE, size, received)), Ok(()));
    assert_eq!(code, tombolo_crypto::keccak256::keccak256(Writer::code()));
}

/// Lanes of a contract on anvil and on geth.
#[test]
fn recorded_storage_proofs_hold() {
    let vectors = read("storage.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        check_lane(case);
    }
}

/// The time now is that of the newest thing recorded.
pub(crate) fn seconds(seconds: u64) -> UnixMillis {
    UnixMillis(seconds * 1000)
}
