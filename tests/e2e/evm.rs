//! Links to real EVM nodes: added, created and used by the command alone.

use crate::{
    network::Devnet,
    party::{Ledger, Party, Station, coin, pay, until},
    run::{good, last_json, refused, run},
};
use serde_json::{Value, json};
use tombolo_crypto::keccak256::keccak256;
use tombolo_test_nodes::{Anvil, Clique, Rpc, Sender, alone};
use tombolo_types::{
    Address, Hash,
    action::Branch,
    id::{AssetId, ChainId, LinkId},
};

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
    async fn share(&self, count: u64, unbounded: bool) {
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
        self.audited(&hub, unbounded);
    }

    /// Pays on the islet one way and on the chain the other, all or nothing.
    async fn commit(&self, funded: &Sender) {
        const NATIVE: AssetId = AssetId::ZERO;
        const WEI: u64 = 1_000_000_000_000_000_000;
        let hub = self.devnet.ledger("hub").await;
        let islet = self.devnet.ledger("seattle").await;
        let (city, observatory) = (self.devnet.party("city"), self.devnet.party("observatory"));
        funded.pay(observatory.address(), &[], WEI);
        let vault: Address = self.link["vault"].as_str().unwrap().parse().unwrap();
        let deposit =
            ethereum_call(b"deposit(bytes32,uint128,bytes32)", &[[0; 32], word(5), [0; 32]]);
        Sender::new(&self.rpc, observatory.key().clone()).pay(vault, &deposit, 5);

        let islet_link = tombolo_islet_core::hub_link_id(hub.chain, islet.chain);
        let chain_link: LinkId = self.link["link"].as_str().unwrap().parse().unwrap();
        let branches = vec![
            Branch::new(islet_link, &[pay(&city, &observatory, coin())]),
            Branch::new(chain_link, &[pay(&observatory, &city, NATIVE)]),
        ];
        let (xid, begun) = city.begin(&hub, branches, &[&city, &observatory]).await;
        assert_eq!(hub.receipt(begun).await.refusal, None);
        let ended = until("the commit has ended on both", || async {
            let commit = hub.query(&format!("commit/{xid}")).await;
            (commit["finished"] == true).then_some(commit)
        })
        .await;
        assert_eq!(ended["status"], "committed", "{ended}");
        for (party, left) in [(&observatory, 4), (&city, 1)] {
            let balance = [account(party), [0; 32]];
            let balance = ethereum_call(b"balanceOf(address,bytes32)", &balance);
            let answer = self.ask(&vault.to_string(), &balance);
            assert_eq!(answer, format!("0x{:064x}", left));
        }
    }

    fn ask(&self, contract: &str, data: &[u8]) -> String {
        let call = json!({ "to": contract, "data": format!("0x{}", hex(data)) });
        self.rpc.call("eth_call", json!([call, "latest"])).as_str().unwrap().to_owned()
    }

    /// Whether the registry knows an item as a copy of what lives elsewhere.
    fn has_copy(&self, id: Hash) -> bool {
        const COPY: u8 = 1;
        let registry = self.link["registry"].as_str().unwrap();
        let answer = self.ask(registry, &ethereum_call(b"item(bytes32)", &[id.0]));
        answer.ends_with(&format!("{COPY:02x}"))
    }

    /// Every record of a share to the chain says in which mode it went, and whether anything but
    /// one node's word bounds it.
    fn audited(&self, hub: &Ledger, unbounded: bool) {
        let hub = hub.client.address().to_owned();
        let link = self.link["link"].as_str().unwrap();
        let found = good(&["audit", "query", "--json", "--node", &hub, "--link", link]);
        let records: Vec<Value> =
            found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record["mode"], self.link["mode"], "{record}");
            assert_eq!(record["unbounded"] == true, unbounded, "{record}");
        }
    }
}

/// A call of a contract with fixed words.
fn ethereum_call(signature: &[u8], words: &[[u8; 32]]) -> Vec<u8> {
    [&keccak256(signature).0[..4], &words.concat()].concat()
}

fn word(number: u8) -> [u8; 32] {
    let mut word = [0; 32];
    word[31] = number;
    word
}

fn account(party: &Party) -> [u8; 32] {
    let mut word = [0; 32];
    word[12..].copy_from_slice(&party.address().0);
    word
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many transactions an account has sent.
fn transactions(rpc: &Rpc, account: &str) -> Value {
    rpc.call("eth_getTransactionCount", json!([account, "latest"]))
}

/// Mode 1: what two islets do, an islet and a Clique chain do, and no party is trusted on the way.
///
/// Req: Y4560-10.2-1.1, Y4560-10.2-1.2
#[test]
fn an_islet_and_a_clique_chain_share_and_commit_without_a_trusted_party() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let proof = ["--proof", "clique", "--clique-period", "1", "--clique-epoch", "1000"];
    let words = [&proof[..], &["--finality-depth", "2"]].concat();
    let linked = Integration::new(Devnet::up(), network.rpc(), CLIQUE_KEY, &words, "1");
    run(async {
        linked.share(3, false).await;
        linked.commit(&network.sender()).await;
    });
}

/// Mode 2 on a chain without a root of its own: one node is trusted, and every record says so.
///
/// Req: Y4560-10.2-2.1, PRJ-1-1
#[test]
fn an_islet_and_anvil_share_and_commit_by_a_trusted_node() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let words = ["--proof", "none", "--finality-depth", "0"];
    let linked = Integration::new(Devnet::up(), &anvil.rpc, ANVIL_KEY, &words, "2");
    run(async {
        linked.share(3, true).await;
        linked.commit(&anvil.sender()).await;
    });
}
