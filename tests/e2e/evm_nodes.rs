//! Links of mode 3 in processes: several relayers attest, one is killed, one lies.

use crate::{
    evm::{ANVIL_KEY, GETH_KEY, Integration, NAME, hex},
    network::Devnet,
    party::until,
    run::{good, last_json, run, tombolo},
};
use serde_json::Value;
use tombolo_crypto::keccak256::keccak256;
use tombolo_test_nodes::{Anvil, Clique, FalseFront, alone};

/// Mode 3: two of three relayers attest, each by its own keys and node; one is killed in the middle
/// of traffic, and nothing is lost.
///
/// Req: Y4560-10.2-3.1, Y4560-10.2-3.2, Y4560-10.2-3.3
#[test]
fn two_of_three_shared_nodes_go_on_when_the_third_is_killed() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let urls: Vec<&str> = network.signers.iter().map(|signer| signer.rpc.url()).collect();
    let words = ["--proof", "none", "--finality-depth", "2", "--rpc", urls[1], "--rpc", urls[2]];
    let shared = ["3", "--nodes", "3", "--threshold", "2", "--allow", "weather=share"];
    let linked = Integration::shared(Devnet::up(), network.rpc(), GETH_KEY, &words, &shared);
    run(async {
        linked.share(2, false).await;
        linked.devnet.kill("harbour-node-2");
        linked.share(2, false).await;
        linked.devnet.start("harbour-node-2");
        linked.devnet.kill("harbour-node-3");
        linked.share(2, false).await;
        let hub = linked.devnet.ledger("hub").await;
        let link = hub.query(&format!("link/{}", linked.link["link"].as_str().unwrap())).await;
        assert_eq!(link["nodes"].as_array().unwrap().len(), 3, "{link}");
    });
}

/// Another root of every lane than the gateway has.
fn another_root(request: &Value, answer: &mut Value) {
    let data = &request["params"][0]["input"];
    let selector = hex(&keccak256(b"laneLeaf(uint32)").0[..4]);
    if !data.as_str().is_some_and(|data| data.starts_with(&format!("0x{selector}"))) {
        return;
    }
    if let Some(words) = answer["result"].as_str() {
        let root = 2 + 64 * 5;
        answer["result"] =
            format!("{}{}{}", &words[..root], "66".repeat(32), &words[root + 64..]).into();
    }
}

/// Mode 3, where one of the three reads from a node that lies: nothing of the lie passes, whoever
/// signed it is convicted by what it asked the others to sign, and the others go on. The lying node
/// is a fake: a front of a real one.
///
/// Attack: A23, A26. Req: Y4560-10.2-3.2, PRJ-1-1
#[test]
fn a23_of_three_shared_nodes_the_one_that_lies_is_named_and_left_out() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let front = FalseFront::of(&anvil.rpc, another_root);
    let rpc = ["--rpc", anvil.rpc.url(), "--rpc", &front.url];
    let words = [&rpc[..], &["--proof", "none", "--finality-depth", "0"]].concat();
    let shared = ["3", "--nodes", "3", "--threshold", "2", "--allow", "weather=share"];
    let linked = Integration::shared(Devnet::up(), &anvil.rpc, ANVIL_KEY, &words, &shared);
    let home = linked.devnet.home.to_str().unwrap();
    let doctor = ["chain", "doctor", "--json", "--chain", NAME, "--home", home];
    assert_eq!(last_json(&good(&doctor))["faults"], 0);
    run(async {
        linked.share(1, false).await;
        front.lie(true);
        let hub = linked.devnet.ledger("hub").await;
        let link = format!("link/{}", linked.link_id());
        let liar = until("the node that lies is suspended", || async {
            let nodes = hub.query(&link).await["nodes"].as_array().unwrap().clone();
            assert!(nodes.iter().filter(|node| node["suspended"] == true).count() <= 1);
            let found = nodes.into_iter().find(|node| node["suspended"] == true)?;
            Some(found["hub_key"].as_str().unwrap().to_owned())
        })
        .await;
        linked.share(2, false).await;

        let ill = tombolo(&doctor);
        assert_eq!(ill.status.code(), Some(1));
        let ill = last_json(&String::from_utf8(ill.stdout).unwrap());
        let findings = ill["findings"].as_array().unwrap();
        let bad = |what| findings.iter().find(|it| it["what"] == what && it["good"] == false);
        let named = |what, who: &str| bad(what).unwrap()["found"].as_str().unwrap().contains(who);
        assert!(named("attests", &liar), "{ill}");
        assert!(named("link", &front.url), "{ill}");
        assert!(linked.devnet.log("relayer").contains(&liar));
        // The one that is convicted counts no more, also where it tells the truth again.
        front.lie(false);
        linked.share(2, false).await;
    });
}
