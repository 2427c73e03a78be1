//! Verifiers against live nodes. Where a node is not there, the test says so on the terminal.

use crate::{
    recorded_beacon,
    recorded_clique::{self, Snapshot},
    vectors::{check_lane, hexadecimal, list, record, record_lane, store_lane, words},
};
use serde_json::{Value, json};
use std::time::Duration;
use tombolo_test_nodes::{
    Anvil, Beacon, Clique, GethDev, Rpc, Sender, alone, number, quantity, text, wait_until,
};
use tombolo_types::Address;

const SIZES: [(u64, u64); 3] = [(0, 0), (25, 3), (1023, 1000)];

fn lanes_on(node: &str, rpc: &Rpc, sender: &Sender) -> Vec<Value> {
    let cases = SIZES.map(|(size, received)| {
        let (writer, block) = store_lane(sender, size, received);
        let mut case = record_lane(rpc, &writer, size, received, block);
        case["node"] = json!(node);
        check_lane(&case);
        // What stood in the block before is another lane.
        writer.store(sender, &words(size + 1, received));
        check_lane(&case);
        case
    });
    cases.to_vec()
}

#[test]
fn lanes_are_proved_on_anvil_and_geth() {
    let _alone = alone();
    let anvil = Anvil::start(&["--hardfork", "cancun"]);
    let geth = GethDev::start();
    let mut cases = Vec::new();
    if let Some(anvil) = &anvil {
        cases.extend(lanes_on("anvil 1.7.1", &anvil.rpc, &anvil.sender()));
    }
    if let Some(geth) = &geth {
        cases.extend(lanes_on("geth 1.17.5 --dev", &geth.rpc, &geth.sender()));
    }
    if anvil.is_some() && geth.is_some() {
        record(
            "storage.json",
            &json!({
                "what": "lanes stored by a contract in the layout of docs/adr/0008, with eth_getProof's \
                         nodes in order of first use; the words are those of `slots` in \
                         adapters/evm/core/tests/it/world.rs",
                "origin": "recorded from the node named in each case by lanes_are_proved_on_anvil_and_geth",
                "cases": cases,
            }),
        );
    }
}

/// A network whose signers vote a fourth in and out again, over several checkpoints.
#[test]
fn clique_is_followed_through_votes_and_checkpoints() {
    const EPOCH: u64 = 20;
    let _alone = alone();
    let Some(network) = Clique::start(1, EPOCH) else { return };
    let rpc = network.rpc();
    let (writer, stored) = store_lane(&network.sender(), 25, 3);
    let stranger = Address([0xd1; 20]);
    let signers = |number: u64| rpc.call("clique_getSigners", json!([format!("{number:#x}")]));
    let height = || quantity(&rpc.call("eth_blockNumber", json!([])));
    let until = |what: &str, count: usize| {
        wait_until(what, Duration::from_secs(120), || {
            let number = height();
            (signers(number).as_array()?.len() == count).then_some(number)
        })
    };
    // A vote that stays open for a while, and one that lets a stranger in who never signs.
    network.propose(1, Address([0xd2; 20]), true);
    let _ = network.header(height() + 4);
    let with_open_vote = height();
    network.propose(2, stranger, true);
    let _ = until("fourth signer", 4);
    network.discard(stranger);
    let _ = network.header(height() + 6);
    network.propose(3, stranger, false);
    let _ = until("way out", 3);
    network.discard(stranger);
    network.discard(Address([0xd2; 20]));
    let last = (height() + 5).max(2 * EPOCH + 5);
    let headers: Vec<_> = (0..=last).map(|number| network.header(number)).collect();
    let snapshots: Vec<_> = [1, with_open_vote, EPOCH, EPOCH + 3]
        .iter()
        .map(|number| {
            Snapshot::of(&rpc.call("clique_getSnapshot", json!([format!("{number:#x}")]))).to_json()
        })
        .collect();
    let recorded = json!({
        "what": "a Clique chain: every header, the signers after each block, snapshots, and a lane \
                 proved at one block",
        "origin": "geth 1.13.15, three signers of which two vote a fourth in and three vote it out; \
                   recorded by clique_is_followed_through_votes_and_checkpoints",
        "evm_chain_id": network.chain_id(),
        "period": network.period,
        "epoch": network.epoch,
        "headers": list(&headers),
        "signers": (0..=last).map(signers).collect::<Vec<_>>(),
        "snapshots": snapshots,
        "lane": record_lane(rpc, &writer, 25, 3, stored),
        "code": hexadecimal(tombolo_test_nodes::Writer::code()),
    });
    recorded_clique::check(&recorded);
    record("clique.json", &recorded);
}

/// The first slot of the third period of a chain with the minimal preset: the first whose committee
/// is another.
const THIRD_PERIOD: u64 = 128;

/// A network whose sync committee changes once, and some of whose validators sleep.
#[test]
fn proof_of_stake_is_followed_into_another_committee() {
    let _alone = alone();
    let Some(network) = Beacon::start() else { return };
    let sender = network.sender();
    let first = network.finality_update(1);
    let root =
        network.consensus.get("/eth/v1/beacon/headers/finalized").unwrap()["data"]["root"].clone();
    let bootstrap = network.light_client(&format!("bootstrap/{}", text(&root)));
    let (writer, stored) = store_lane(&sender, 25, 3);
    let mut finality_updates = vec![first];
    loop {
        let newest = finality_updates.last().unwrap();
        let slot = number(&newest["finalized_header"]["beacon"]["slot"]);
        if slot >= THIRD_PERIOD {
            break;
        }
        finality_updates.push(network.finality_update(slot + 1));
    }
    let update =
        |period: u64| network.light_client(&format!("updates?start_period={period}&count=1"));
    let updates = [update(0), update(1)];
    let finalized = |update: &Value| -> u64 {
        number(&update["finalized_header"]["execution"]["block_number"])
    };
    let height = finality_updates.iter().map(finalized).find(|height| *height >= stored).unwrap();
    let genesis = network.consensus.get("/eth/v1/beacon/genesis").unwrap();
    let recorded = json!({
        "what": "a proof-of-stake chain with the minimal preset and Capella: what a light client is \
                 served over three periods of sync committees, and a lane proved at one block",
        "origin": "Lodestar 1.5.1 with geth 1.17.5, 58 of 64 validators at work; recorded by \
                   proof_of_stake_is_followed_into_another_committee",
        "evm_chain_id": network.chain_id(),
        "genesis_block": network.genesis.to_string(),
        "seconds_per_slot": network.seconds_per_slot(),
        "genesis": genesis["data"],
        "spec": network.consensus.get("/eth/v1/config/spec").unwrap()["data"],
        "bootstrap_root": root,
        "bootstrap": bootstrap,
        "updates": updates,
        "finality_updates": finality_updates,
        "lane": record_lane(&network.execution, &writer, 25, 3, height),
    });
    recorded_beacon::check(&recorded);
    record("beacon.json", &recorded);
}
