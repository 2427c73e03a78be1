//! Clique, as real signers sealed it.

use crate::{
    chain::{CLIQUE, advance, start, terms, update},
    vectors::{LANE, address, read, seconds, unlist},
    world::leaf,
};
use alloy_rlp::Decodable as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tombolo_crypto::keccak256::keccak256;
use tombolo_evm_core::{
    clique::{Clique, CliqueAnchor, CliqueRecent, CliqueVote},
    follow::Client,
    proof::EvmHeadProof,
};
use tombolo_types::{
    Address, Class, Height,
    verifier::{HeadError, LinkTerms, Verifier as _},
};

/// What `clique_getSnapshot` says of who may sign after a block.
pub(crate) struct Snapshot {
    number: u64,
    signers: Vec<Address>,
    recents: Vec<CliqueRecent>,
    votes: Vec<CliqueVote>,
}

impl Snapshot {
    /// Reads the node's answer.
    pub(crate) fn of(answer: &Value) -> Self {
        let keys = |name: &str| answer[name].as_object().unwrap().clone().into_iter();
        let mut signers: Vec<Address> =
            keys("signers").map(|(key, _)| key.parse().unwrap()).collect();
        signers.sort();
        let mut recents: Vec<_> = keys("recents")
            .map(|(number, signer)| CliqueRecent {
                number: number.parse().unwrap(),
                signer: address(&signer),
            })
            .collect();
        recents.sort_by_key(|recent| recent.number);
        let votes = answer["votes"].as_array().into_iter().flatten();
        let votes = votes
            .map(|vote| CliqueVote {
                signer: address(&vote["signer"]),
                candidate: address(&vote["address"]),
                authorize: vote["authorize"].as_bool().unwrap(),
            })
            .collect();
        Self { number: answer["number"].as_u64().unwrap(), signers, recents, votes }
    }

    /// As the vectors keep it: as the node said it.
    pub(crate) fn to_json(&self) -> Value {
        let recents: serde_json::Map<_, _> = self
            .recents
            .iter()
            .map(|recent| (recent.number.to_string(), json!(recent.signer.to_string())))
            .collect();
        let signers: serde_json::Map<_, _> =
            self.signers.iter().map(|signer| (signer.to_string(), json!({}))).collect();
        let votes: Vec<_> = self
            .votes
            .iter()
            .map(|vote| {
                json!({
                    "signer": vote.signer.to_string(),
                    "address": vote.candidate.to_string(),
                    "authorize": vote.authorize,
                })
            })
            .collect();
        json!({ "number": self.number, "signers": signers, "recents": recents, "votes": votes })
    }
}

struct Recorded {
    headers: Vec<Vec<u8>>,
    signers: Vec<Vec<Address>>,
    snapshots: Vec<Snapshot>,
    anchor: CliqueAnchor,
    terms: LinkTerms,
}

impl Recorded {
    fn of(vectors: &Value) -> Self {
        let headers = unlist(&vectors["headers"]);
        let lists = vectors["signers"].as_array().unwrap();
        let sorted = |list: &Value| {
            let all: BTreeSet<_> = list.as_array().unwrap().iter().map(address).collect();
            all.into_iter().collect()
        };
        let number = |name: &str| vectors[name].as_u64().unwrap();
        let anchor = CliqueAnchor {
            evm_chain_id: number("evm_chain_id"),
            genesis: keccak256(&headers[0]),
            period: number("period"),
            epoch: number("epoch"),
            header: vec![],
            signers: vec![],
            recents: vec![],
            votes: vec![],
        };
        Self {
            signers: lists.iter().map(sorted).collect(),
            snapshots: vectors["snapshots"].as_array().unwrap().iter().map(Snapshot::of).collect(),
            terms: LinkTerms { gateway: address(&vectors["lane"]["gateway"]), ..terms() },
            anchor,
            headers,
        }
    }

    fn anchor_at(&self, snapshot: &Snapshot) -> CliqueAnchor {
        CliqueAnchor {
            header: self.headers[snapshot.number as usize].clone(),
            signers: snapshot.signers.clone(),
            recents: snapshot.recents.clone(),
            votes: snapshot.votes.clone(),
            ..self.anchor.clone()
        }
    }

    /// The newest header's time, in seconds: its twelfth field.
    fn newest_time(&self) -> u64 {
        let mut bytes = self.headers.last().unwrap().as_slice();
        let mut fields = alloy_rlp::Header::decode_bytes(&mut bytes, true).unwrap();
        for _ in 0..11 {
            let _ = alloy_rlp::Header::decode_bytes(&mut fields, false).unwrap();
        }
        u64::decode(&mut fields).unwrap()
    }
}

/// From every snapshot a client follows the chain, block by block and at once, to the same end, and
/// its signers are those that the node says.
pub(crate) fn check(vectors: &Value) {
    let chain = Recorded::of(vectors);
    let last = chain.headers.len() as u64 - 1;
    let now = seconds(chain.newest_time());
    let mut changes = BTreeSet::new();
    for snapshot in &chain.snapshots {
        let anchor = chain.anchor_at(snapshot);
        let begun = CLIQUE.start(&anchor.encode(), &chain.terms, now).unwrap();
        let mut client = begun.clone();
        for number in snapshot.number + 1..=last {
            let from = CLIQUE.view(&client, now).unwrap().height.0 as usize;
            let headers = advance(&chain.headers[from + 1..=number as usize]);
            let height = (from as u64).max(snapshot.number);
            client = update(&client, now, height, headers).unwrap().client;
            let state = Client::<Clique>::decode(&client).unwrap();
            let at = CLIQUE.view(&client, now).unwrap().height.0;
            let members = state.consensus.newest_signers().unwrap().members;
            assert_eq!(members, chain.signers[at as usize], "after block {at}");
            changes.insert(members);
        }
        let headers = advance(&chain.headers[snapshot.number as usize + 1..]);
        let at_once = update(&begun, now, snapshot.number, headers).unwrap();
        assert_eq!(at_once.client, client);
        let final_height = CLIQUE.view(&client, now).unwrap().height.0;
        assert_eq!(final_height, last - 2, "three signers: two blocks on top make one final");
    }
    assert_eq!(changes.len(), 2, "the signers change and change back");
    assert!(chain.snapshots.iter().any(|snapshot| !snapshot.votes.is_empty()));
    prove_lane(vectors, &chain);
}

/// The lane that the contract stored is proved at its block.
fn prove_lane(vectors: &Value, chain: &Recorded) {
    let lane = &vectors["lane"];
    let now = seconds(chain.newest_time());
    let height = lane["height"].as_u64().unwrap();
    let begun = start_at(chain, 0);
    let upto = |number: u64| advance(&chain.headers[2..=number as usize]);
    let proof = |advance| {
        let nodes = unlist(&lane["nodes"]);
        EvmHeadProof { height: Height(height), advance, nodes }.encode()
    };
    let claimed = leaf(LANE, 25, 3);
    let head = CLIQUE.head(&begun, now, &proof(upto(height + 2)), &claimed).unwrap();
    assert_eq!(head.block_id, keccak256(&chain.headers[height as usize]).into());
    assert_eq!(head.code_hash, Some(keccak256(tombolo_test_nodes::Writer::code())));
    let result = CLIQUE.head(&begun, now, &proof(upto(height + 1)), &claimed);
    assert_eq!(result.unwrap_err().class(), Class::Finality);
}

fn start_at(chain: &Recorded, snapshot: usize) -> Vec<u8> {
    let anchor = chain.anchor_at(&chain.snapshots[snapshot]);
    CLIQUE.start(&anchor.encode(), &chain.terms, seconds(chain.newest_time())).unwrap()
}

#[test]
fn the_recorded_chain_is_followed() {
    check(&read("clique.json"));
}

/// Attack A06: a chain with the same signers and another genesis is another chain.
#[test]
fn a17_an_anchor_names_its_chain() {
    let chain = Recorded::of(&read("clique.json"));
    let anchor = chain.anchor_at(&chain.snapshots[0]);
    let now = seconds(chain.newest_time());
    let view =
        |anchor: &CliqueAnchor| CLIQUE.view(&start(anchor, now).unwrap(), now).unwrap().chain;
    let other = CliqueAnchor { evm_chain_id: 1, ..anchor.clone() };
    assert_ne!(view(&anchor), view(&other));
}

/// Attack A02: any byte of any real header, once.
#[test]
fn a02_no_byte_of_a_recorded_header_may_change() {
    let chain = Recorded::of(&read("clique.json"));
    let now = seconds(chain.newest_time());
    let begun = start_at(&chain, 0);
    let headers = &chain.headers[2..8];
    assert!(update(&begun, now, 5, advance(headers)).is_ok());
    for byte in 0..headers[1].len() {
        let mut changed = headers.to_vec();
        changed[1][byte] ^= 0x01;
        let result = update(&begun, now, 5, advance(&changed));
        assert!(matches!(result, Err(HeadError::Refused(_))), "byte {byte}: {result:?}");
    }
}
