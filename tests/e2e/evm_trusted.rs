//! A link of mode 2 to a chain without a root of its own, from its first share until its node is gone.

use crate::{
    evm::{ANVIL_KEY, Integration, NAME, five_wei, hex},
    network::{Devnet, answer},
    party::{PATIENCE, coin},
    run::{eventually, good, last_json, refused, run, tombolo},
};
use serde_json::{Value, json};
use tombolo_test_nodes::{Anvil, alone};
use tombolo_types::id::AssetId;

impl Integration {
    /// Pays one way and the other by words of the command, for a party whose key is in a wallet: it
    /// signs typed data that the command shows, as the wallet of this node does.
    async fn commit_with_a_wallet(&self) {
        let (hub, islet) = (self.devnet.ledger("hub").await, self.devnet.ledger("seattle").await);
        let (city, observatory) = (self.devnet.party("city"), self.devnet.party("observatory"));
        let wallet = self.rpc.call("eth_accounts", json!([]))[1].as_str().unwrap().to_owned();
        let deposit = json!({
            "from": wallet, "to": self.link["vault"], "value": "0x5",
            "data": format!("0x{}", hex(&five_wei())),
        });
        let _ = self.rpc.call("eth_sendTransaction", json!([deposit]));

        let file = self.devnet.home.join("draft.json");
        let (file, node) = (file.to_str().unwrap(), hub.client.address().to_owned());
        let (here, there) = (city.address(), observatory.address());
        let islet_link = tombolo_islet_core::hub_link_id(hub.chain, islet.chain);
        let on_islet = format!("{islet_link},{here},{there},{},1", coin());
        let chain_link = self.link["link"].as_str().unwrap();
        let on_chain = format!("{chain_link},{wallet},{here},{},1", AssetId::ZERO);
        let beginner = city.identity().to_string();
        let draft = ["tx", "draft", "--hub", &node, "--beginner", &beginner, "--out", file];
        good(&[&draft[..], &["--pay", &on_islet, "--pay", &on_chain]].concat());

        let parties = self.devnet.home.join("parties");
        let secret = self.devnet.home.join("passphrase");
        let key = ["--keystore", parties.to_str().unwrap(), "--name", "city"];
        let key = [&key[..], &["--passphrase-file", secret.to_str().unwrap()]].concat();
        let begin = ["tx", "begin", "--json", "--draft", file, "--hub", &node];
        let begin = [&begin[..], &key].concat();
        good(&[&["tx", "sign", "--draft", file], &key[..]].concat());
        // The wallet has not signed yet.
        assert_eq!(refused(&begin)["class"], "E_STATE");

        let gateway = self.link["gateway"].as_str().unwrap();
        let at = |chain| ["--gateway", gateway, "--evm-chain-id", chain];
        let review = ["tx", "review", "--draft", file, "--eip712"];
        let shown = last_json(&good(&[&review[..], &at("31337")].concat()));
        let signature = self.rpc.call("eth_signTypedData_v4", json!([wallet, shown]));
        let signature = signature.as_str().unwrap();
        let sign = ["tx", "sign", "--draft", file, "--account", &wallet, "--signature", signature];
        // It is good for this chain alone.
        assert_eq!(refused(&[&sign[..], &at("1")].concat())["class"], "E_AUTH");
        good(&[&sign[..], &at("31337")].concat());
        let begun = last_json(&good(&begin));
        self.committed(&hub, begun["xid"].as_str().unwrap()).await;
        assert_eq!(self.in_the_vault(&wallet.parse().unwrap()), 4);
        assert_eq!(self.in_the_vault(&city.address()), 1);
    }
}

/// Mode 2 on a chain without a root of its own: one node is trusted, and every record says so.
///
/// Req: Y4560-10.2-2.1, Y4560-10.2-2.2, PRJ-1-1
#[test]
fn an_islet_and_anvil_share_commit_and_move_by_a_trusted_node() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let words = ["--proof", "none", "--finality-depth", "0"];
    let linked = Integration::new(Devnet::up(), &anvil.rpc, ANVIL_KEY, &words, "2");
    run(async {
        linked.share(3, true).await;
        linked.share_back(&anvil.sender()).await;
        linked.commit_with_a_wallet().await;
        linked.move_item().await;
    });
    let doctor = ["chain", "doctor", "--json", "--chain", NAME, "--home"];
    let doctor = [&doctor[..], &[linked.devnet.home.to_str().unwrap()]].concat();
    assert_eq!(last_json(&good(&doctor))["faults"], 0);
    let metadata = ["link", "metadata", "--json", "--chain", NAME, "--home"];
    let metadata = [&metadata[..], &[linked.devnet.home.to_str().unwrap()]].concat();
    let seen = last_json(&good(&metadata));
    let rows = |seen: &Value, side: usize| seen["sides"][side]["rows"].as_array().unwrap().clone();
    let (hub, there) = (rows(&seen, 0), rows(&seen, 1));
    let kinds: Vec<_> = hub.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "weather").count(), 4, "{seen}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "calibration").count(), 1, "{seen}");
    for (hub, there) in hub.iter().zip(&there) {
        assert_eq!((&hub["data_id"], &hub["version"]), (&there["data_id"], &there["version"]));
        let at_home = hub["class"] == "open" && there["standing"] == "here";
        assert_eq!(hub["fingerprint"] == there["fingerprint"], !at_home, "{seen}");
    }
    drop(anvil);
    let stale = tombolo(&metadata);
    assert_eq!(stale.status.code(), Some(1));
    let error = String::from_utf8(stale.stderr).unwrap();
    assert!(error.contains("E_TIMEOUT"), "{error}");
    let stale = last_json(&String::from_utf8(stale.stdout).unwrap());
    assert_eq!([0, 1].map(|side| stale["sides"][side]["stale"] == true), [false, true]);
    assert_eq!(rows(&stale, 1), there);
    // Relaying has stopped, and says why.
    let relayer = linked.devnet.serves("relayer").to_string();
    let status = ["relayer", "status", "--json", "--status", &relayer];
    let says_so = || {
        eventually("the relayer says that the chain is away", PATIENCE, || {
            let said = String::from_utf8(tombolo(&status).stdout).unwrap();
            said.contains("E_TIMEOUT").then_some(())
        });
        let ready = answer(linked.devnet.serves("relayer"), "/ready");
        assert_eq!(ready, ("503".into(), "a link fails or is blocked\n".into()));
    };
    says_so();
    // One that is started meanwhile cannot even take the link up.
    linked.devnet.kill("relayer");
    linked.devnet.start("relayer");
    says_so();
    let ill = tombolo(&doctor);
    assert_eq!(ill.status.code(), Some(1));
    let ill = last_json(&String::from_utf8(ill.stdout).unwrap());
    let findings = ill["findings"].as_array().unwrap();
    let node = findings.iter().find(|finding| finding["what"] == "node").unwrap();
    assert!(node["remedy"].as_str().unwrap().starts_with("start the node"), "{ill}");
}
