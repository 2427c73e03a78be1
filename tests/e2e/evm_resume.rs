//! `link create` that is killed on its way, and run again.

use crate::{
    evm::{ANVIL_KEY, NAME},
    network::Devnet,
    run::{command, eventually, good, last_json, refused},
};
use serde_json::{Value, json};
use std::{process::Stdio, time::Duration};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_test_nodes::{Anvil, alone, quantity};
use tombolo_types::Hash;

/// What the first attempt sends: coins for the other node, and four contracts.
const BEFORE_HELLO: u64 = 5;

/// So many transactions of the account that pays count by a block, which may be the pending one.
fn sent(anvil: &Anvil, block: &str) -> u64 {
    let key: Hash = ANVIL_KEY.parse().unwrap();
    let account = SecretKey::from_bytes(key.0).unwrap().address();
    quantity(&anvil.rpc.call("eth_getTransactionCount", json!([account.to_string(), block])))
}

/// How many contracts transactions of the chain have created.
fn created(anvil: &Anvil) -> usize {
    let tip = quantity(&anvil.rpc.call("eth_blockNumber", json!([])));
    let blocks = (0..=tip).map(|number| {
        anvil.rpc.call("eth_getBlockByNumber", json!([format!("{number:#x}"), true]))
    });
    let of_block = |block: Value| {
        let all = block["transactions"].as_array().unwrap();
        all.iter().filter(|transaction| transaction["to"].is_null()).count()
    };
    blocks.map(of_block).sum()
}

/// Killed while its Hello waits for a block, which is then lost, and with the other node's relayer not
/// written down yet: run again it goes on with the gateway, the keys and the identities that are
/// there, says Hello, and creates, registers and binds nothing twice. So does `chain add`.
#[test]
fn a41_a_link_whose_creation_broke_off_is_gone_on_with() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--no-mining"]) else { return };
    let devnet = Devnet::up();
    let home = devnet.home.to_str().unwrap();
    let key = devnet.home.join("key.hex");
    std::fs::write(&key, ANVIL_KEY).unwrap();
    let add = ["chain", "add", "evm", "--home", home, "--name", NAME, "--json"];
    let how = ["--rpc", anvil.rpc.url(), "--key-file", key.to_str().unwrap()];
    let add = [&add[..], &how, &["--proof", "none", "--finality-depth", "0"]].concat();
    good(&add);
    // As where it broke off between the key and the chain's words.
    let known = devnet.home.join("chains").join(format!("{NAME}.toml"));
    std::fs::remove_file(&known).unwrap();
    good(&add);

    let create = ["link", "create", "--home", home, "--chain", NAME, "--json", "--mode"];
    let mode_3 = ["3", "--nodes", "2", "--allow", "weather=share"];
    let mode_3 = [&create[..], &mode_3].concat();
    let words = || -> Option<toml::Table> {
        let text = std::fs::read_to_string(&known).unwrap();
        let mut chain: toml::Table = toml::from_str(&text).ok()?;
        chain.remove("evm")?.try_into().ok()
    };
    let before = std::fs::read_to_string(devnet.home.join("network.json")).unwrap();
    let mut first = command(&mode_3).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let gateway = eventually("the gateway is written down", Duration::from_secs(120), || {
        // No block without one: each moves the chain's clock.
        if sent(&anvil, "latest") < sent(&anvil, "pending").min(BEFORE_HELLO) {
            let _ = anvil.rpc.call("evm_mine", json!([]));
        }
        words()?["gateway"].as_str().filter(|gateway| !gateway.is_empty()).map(str::to_owned)
    });
    eventually("Hello waits for a block", Duration::from_secs(60), || {
        (sent(&anvil, "pending") > BEFORE_HELLO).then_some(())
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let _ = anvil.rpc.call("anvil_dropAllTransactions", json!([]));
    std::fs::write(devnet.home.join("network.json"), before).unwrap();
    let _ = anvil.rpc.call("evm_setIntervalMining", json!([1]));

    let other = [&create[..], &["1"]].concat();
    assert!(refused(&other)["message"].as_str().unwrap().contains("mode"));
    let link = last_json(&good(&mode_3));
    assert_eq!(link["gateway"].as_str(), Some(gateway.as_str()));
    assert_eq!(created(&anvil), 4);
    let from_block = words().unwrap()["from_block"].as_integer().unwrap();
    let at = format!("{from_block:#x}");
    assert_eq!(anvil.rpc.call("eth_getCode", json!([gateway, at])), "0x", "it stands above");
    assert!(refused(&mode_3)["message"].as_str().unwrap().contains("already"));
    let doctor = ["chain", "doctor", "--json", "--chain", NAME, "--home", home];
    assert_eq!(last_json(&good(&doctor))["faults"], 0);
}
