//! Links to real EVM nodes: added, created and used by the command alone.

use crate::{
    network::Devnet,
    party::{Ledger, Station, until},
    run::{good, last_json, refused, run},
};
use serde_json::{Value, json};
use tombolo_crypto::keccak256::keccak256;
use tombolo_test_nodes::{Anvil, Clique, Rpc, alone};
use tombolo_types::{Hash, id::ChainId};

/// The first of the keys that anvil gives funds to; published, guards nothing.
const ANVIL_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// The key that the Clique network gives funds to.
const CLIQUE_KEY: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
const NAME: &str = "harbour";

/// A devnet, and the one chain beside its islets.
struct Integration {
    devnet: Devnet,
    rpc: Rpc,
    link: Value,
}

impl Integration {
    /// From a running node and a running devnet to an open link.
    fn new(devnet: Devnet, rpc: &Rpc, key: &str, words: &[&str], mode: &str) -> Self {
        let home = devnet.home.to_str().unwrap().to_owned();
        let file = devnet.home.join("key.hex");
        std::fs::write(&file, key).unwrap();
        let add = ["chain", "add", "evm", "--home", &home, "--name", NAME, "--json"];
        let key = ["--rpc", rpc.url(), "--key-file", file.to_str().unwrap()];
        let add = [&add[..], &key, words].concat();
        let create = ["link", "create", "--home", &home, "--chain", NAME, "--mode", mode, "--json"];

        let tried = last_json(&good(&[&add[..], &["--dry-run"]].concat()));
        assert_eq!(tried["added"], false);
        // What was only tried is not known.
        assert!(refused(&create)["message"].as_str().unwrap().contains("chain add evm"));
        let added = last_json(&good(&add));
        assert_eq!(added["added"], true);
        assert_eq!(added["chain"], tried["chain"]);

        let before = transactions(rpc, added["account"].as_str().unwrap());
        good(&[&create[..], &["--dry-run"]].concat());
        assert_eq!(transactions(rpc, added["account"].as_str().unwrap()), before);
        let link = last_json(&good(&create));
        assert_eq!(link["chain"], added["chain"]);
        // Nothing is created twice.
        assert!(refused(&create)["message"].as_str().unwrap().contains("already"));
        Self { devnet, rpc: rpc.clone(), link }
    }

    fn chain(&self) -> ChainId {
        self.link["chain"].as_str().unwrap().parse().unwrap()
    }

    /// Shares readings from an islet to the chain, as from an islet to any other ledger, and waits
    /// until their copies are there.
    async fn share(&self, count: u64) {
        let hub = self.devnet.ledger("hub").await;
        let islet = self.devnet.ledger("seattle").await;
        let city = self.devnet.party("city");
        let station = self.devnet.party("weather-station");
        let station = Station::new(&hub, islet, station, &city).await;
        for number in 1..=count {
            station.share(number, self.chain()).await;
        }
        for number in 1..=count {
            let id = Hash::from(station.data_id(number));
            until("the copy is anchored", || async { self.has_copy(id).then_some(()) }).await;
        }
        self.audited(&hub).await;
    }

    /// Whether the registry knows an item as a copy of what lives elsewhere.
    fn has_copy(&self, id: Hash) -> bool {
        const COPY: u8 = 1;
        let selector = &keccak256(b"item(bytes32)").0[..4];
        let data = format!("0x{}{}", hex(selector), hex(&id.0));
        let call = json!({ "to": self.link["registry"], "data": data });
        let answer = self.rpc.call("eth_call", json!([call, "latest"]));
        answer.as_str().unwrap().ends_with(&format!("{COPY:02x}"))
    }

    /// Every record of a share to the chain says in which mode it went, and whether anything but
    /// one node's word bounds it.
    async fn audited(&self, hub: &Ledger) {
        let hub = hub.client.address().to_owned();
        let link = self.link["link"].as_str().unwrap();
        let found = good(&["audit", "query", "--json", "--node", &hub, "--link", link]);
        let records: Vec<Value> =
            found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record["mode"], self.link["mode"], "{record}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many transactions an account has sent.
fn transactions(rpc: &Rpc, account: &str) -> Value {
    rpc.call("eth_getTransactionCount", json!([account, "latest"]))
}

/// Mode 1: an islet's share goes to a Clique chain, and no party is trusted on the way.
///
/// Req: Y4560-10.2-1.1, Y4560-10.2-1.2
#[test]
fn a_share_goes_to_a_clique_chain_without_a_trusted_party() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let proof = ["--proof", "clique", "--clique-period", "1", "--clique-epoch", "1000"];
    let words = [&proof[..], &["--finality-depth", "2"]].concat();
    let linked = Integration::new(Devnet::up(), network.rpc(), CLIQUE_KEY, &words, "1");
    run(linked.share(3));
}

/// Mode 2 on a chain without a root of its own: one node is trusted, and every record says so.
///
/// Req: Y4560-10.2-2.1, PRJ-1-1
#[test]
fn a_share_goes_to_anvil_by_a_trusted_node() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let words = ["--proof", "none", "--finality-depth", "0"];
    let linked = Integration::new(Devnet::up(), &anvil.rpc, ANVIL_KEY, &words, "2");
    run(linked.share(3));
}
