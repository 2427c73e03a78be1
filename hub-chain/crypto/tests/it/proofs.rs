//! Vectors of proofs: what a contract or another implementation must accept.

use crate::{
    formats::lane_leaf,
    inputs::{
        bytes_of, certificate_of, chain, first_set, hash_of, hashes, hashes_of, header_at, hex,
        set, word,
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tombolo_crypto::{
    client::LightClient,
    digest,
    keccak256::keccak256,
    log::{
        self, Nodes, append_tiles, consistency_proof, inclusion_proof, range_proof, root_at,
        verify_consistency, verify_inclusion, verify_range,
    },
    tree,
};
use tombolo_types::{
    Address, Hash, UnixMillis,
    header::Anchor,
    lane::{LaneLeaf, RangeProof},
    transaction::{ClientUpdate, HeadProof},
    verifier::{LinkTerms, Verifier as _},
};

const SIZES: [u64; 9] = [0, 1, 2, 3, 7, 8, 13, 16, 37];
const RANGES: [(u64, u64, u64); 14] = [
    (0, 0, 0),
    (0, 0, 5),
    (0, 1, 1),
    (0, 7, 7),
    (7, 0, 7),
    (3, 2, 7),
    (4, 3, 7),
    (5, 1, 13),
    (8, 5, 13),
    (11, 0, 13),
    (1, 12, 16),
    (15, 2, 37),
    (16, 16, 37),
    (31, 1, 37),
];
const INCLUSIONS: [(u64, u64); 7] = [(0, 1), (0, 2), (2, 3), (6, 7), (5, 13), (12, 13), (36, 37)];
const CONSISTENCIES: [(u64, u64); 8] =
    [(0, 0), (0, 5), (1, 2), (4, 8), (6, 7), (7, 13), (13, 13), (16, 37)];

fn leaf(number: u64) -> Hash {
    keccak256(&number.to_be_bytes())
}

fn leaves(start: u64, count: u64) -> Vec<Hash> {
    (start..start + count).map(leaf).collect()
}

#[derive(Default)]
struct Tiles(BTreeMap<(u32, u64), Vec<Hash>>);

impl Nodes for Tiles {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        self.0.get(&(level, index)).cloned()
    }
}

fn tiles(size: u64) -> Tiles {
    let mut tiles = Tiles::default();
    for number in 0..size {
        for (level, index, content) in append_tiles(&tiles, number, leaf(number)) {
            tiles.0.insert((level, index), content);
        }
    }
    tiles
}

pub(crate) fn log() -> Value {
    let tiles = tiles(37);
    let root = |size| hex(root_at(&tiles, size).unwrap());
    let roots: Vec<Value> =
        SIZES.iter().map(|size| json!({ "size": size, "root": root(*size) })).collect();
    let ranges = RANGES.map(|(start, count, size)| {
        let proof = range_proof(&tiles, start, count, size).unwrap();
        json!({
            "start": start,
            "size": size,
            "root": root(size),
            "leaves": hashes(&leaves(start, count)),
            "left": hashes(&proof.left),
            "right": hashes(&proof.right),
            "bytes": hex(proof.encode()),
            "prefix_root": root(start),
            "end_root": root(start + count),
        })
    });
    let inclusions = INCLUSIONS.map(|(index, size)| {
        let path = inclusion_proof(&tiles, index, size).unwrap();
        json!({
            "index": index,
            "size": size,
            "leaf": hex(leaf(index)),
            "root": root(size),
            "path": hashes(&path),
        })
    });
    let consistencies = CONSISTENCIES.map(|(old, new)| {
        let path = consistency_proof(&tiles, old, new).unwrap();
        json!({
            "old": old,
            "new": new,
            "old_root": root(old),
            "new_root": root(new),
            "path": hashes(&path),
        })
    });
    json!({
        "what": "The Merkle log over leaves keccak256(number as 8 bytes, big-endian).",
        "node_tag": hex(keccak256(b"tombolo/1/node")),
        "empty_root": hex(log::empty_root()),
        "node_of_leaves_0_and_1": hex(log::node(leaf(0), leaf(1))),
        "roots": roots,
        "ranges": ranges,
        "inclusions": inclusions,
        "consistencies": consistencies,
    })
}

pub(crate) fn verify_log(file: &Value) {
    let number = |case: &Value, name: &str| case[name].as_u64().unwrap();
    for case in file["ranges"].as_array().unwrap() {
        let proof = RangeProof::decode(&bytes_of(&case["bytes"])).unwrap();
        assert_eq!(proof.left, hashes_of(&case["left"]));
        assert_eq!(proof.right, hashes_of(&case["right"]));
        let (start, size) = (number(case, "start"), number(case, "size"));
        let leaves = hashes_of(&case["leaves"]);
        let proven = verify_range(start, &leaves, size, hash_of(&case["root"]), &proof).unwrap();
        assert_eq!(proven.prefix_root_at(start), Some(hash_of(&case["prefix_root"])));
        assert_eq!(proven.prefix_root_at(proven.end()), Some(hash_of(&case["end_root"])));
    }
    for case in file["inclusions"].as_array().unwrap() {
        let (leaf, root) = (hash_of(&case["leaf"]), hash_of(&case["root"]));
        let (index, size) = (number(case, "index"), number(case, "size"));
        assert_eq!(verify_inclusion(leaf, index, size, &hashes_of(&case["path"]), root), Ok(()));
    }
    for case in file["consistencies"].as_array().unwrap() {
        let (old, new) = (number(case, "old"), number(case, "new"));
        let (old_root, new_root) = (hash_of(&case["old_root"]), hash_of(&case["new_root"]));
        let path = hashes_of(&case["path"]);
        assert_eq!(verify_consistency(old, old_root, new, new_root, &path), Ok(()));
    }
}

/// The trusting period of the client in the vectors, in milliseconds.
const PERIOD: u64 = 1_209_600_000;

/// A client's way from genesis over a change of validators to a head, in order.
pub(crate) fn client() -> Value {
    let (old, new) = (first_set(), set(8, &[(4, 1), (5, 1), (6, 1)]));
    let leaf = lane_leaf();
    let lanes = [word("lane 0"), digest::lane_leaf(&leaf), word("lane 2")];
    let anchor = Anchor {
        chain_id: chain(),
        height: tombolo_types::Height::ZERO,
        block_id: Hash::from(chain()).into(),
        time: UnixMillis(1_760_000_000_000),
        validators: old.clone(),
    };
    let last = header_at(7, &old, &new);
    let update = ClientUpdate {
        certificate: certificate_of(&last, 0, &[2, 3, 4]),
        header: last,
        next_validators: new.clone(),
    };
    let mut header = header_at(8, &new, &new);
    header.lanes_root = tree::lanes_root(&lanes);
    let head = HeadProof {
        certificate: certificate_of(&header, 1, &[4, 5, 6]),
        index: 1,
        count: 3,
        path: tree::lane_path(&lanes, 1),
        header,
    };
    assert_eq!(ClientUpdate::decode(&update.encode()).as_ref(), Ok(&update));
    assert_eq!(HeadProof::decode(&head.encode()).as_ref(), Ok(&head));
    json!({
        "what": "A light client from genesis: one update that changes the set, one head proof.",
        "now": 1_760_000_010_000u64,
        "trusting_period_ms": PERIOD,
        "anchor": hex(anchor.encode()),
        "update": hex(update.encode()),
        "lane_leaves": hashes(&lanes),
        "lanes_root": hex(tree::lanes_root(&lanes)),
        "head_proof": hex(head.encode()),
        "head_leaf": hex(leaf.encode()),
        "height": 8,
        "block_id": hex(tombolo_crypto::digest::block_id(&head.header)),
    })
}

pub(crate) fn verify_client(file: &Value) {
    let now = UnixMillis(file["now"].as_u64().unwrap());
    let leaf = LaneLeaf::decode(&bytes_of(&file["head_leaf"])).unwrap();
    let terms = LinkTerms {
        link: leaf.link,
        gateway: Address([7; 20]),
        mode: 1,
        trusting_period_ms: file["trusting_period_ms"].as_u64().unwrap(),
    };
    let client = LightClient.start(&bytes_of(&file["anchor"]), &terms, now).unwrap();
    let client = LightClient.update(&client, now, &bytes_of(&file["update"])).unwrap().client;
    let head = LightClient.head(&client, now, &bytes_of(&file["head_proof"]), &leaf).unwrap();
    assert_eq!(Some(head.height.0), file["height"].as_u64());
    assert_eq!(Hash::from(head.block_id), hash_of(&file["block_id"]));
}
