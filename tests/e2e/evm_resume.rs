//! `link create` that is killed on its way, and run again.

use crate::{
    evm::{ANVIL_KEY, NAME},
    network::Devnet,
    run::{command, eventually, good, last_json, refused},
};
use std::{process::Stdio, time::Duration};
use tombolo_test_nodes::{Anvil, alone};

/// Killed as soon as the gateway is written down: run again it goes on with that one, and creates,
/// registers and binds nothing twice.
#[test]
fn a41_a_link_whose_creation_broke_off_is_gone_on_with() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let devnet = Devnet::up();
    let home = devnet.home.to_str().unwrap();
    let key = devnet.home.join("key.hex");
    std::fs::write(&key, ANVIL_KEY).unwrap();
    let add = ["chain", "add", "evm", "--home", home, "--name", NAME, "--json"];
    let how = ["--rpc", anvil.rpc.url(), "--key-file", key.to_str().unwrap()];
    good(&[&add[..], &how, &["--proof", "none", "--finality-depth", "0"]].concat());

    let create = ["link", "create", "--home", home, "--chain", NAME, "--mode", "2", "--json"];
    let known = devnet.home.join("chains").join(format!("{NAME}.toml"));
    let gateway = || {
        let text = std::fs::read_to_string(&known).unwrap();
        let chain: toml::Table = toml::from_str(&text).ok()?;
        let gateway = chain["evm"]["gateway"].as_str()?.to_owned();
        (!gateway.is_empty()).then_some(gateway)
    };
    let mut first = command(&create).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let created = eventually("the gateway is written down", Duration::from_secs(60), gateway);
    first.kill().unwrap();
    first.wait().unwrap();

    let other = [&create[..6], &["--mode", "1", "--json"]].concat();
    assert!(refused(&other)["message"].as_str().unwrap().contains("mode"));
    let link = last_json(&good(&create));
    assert_eq!(link["gateway"].as_str(), Some(created.as_str()));
    assert!(refused(&create)["message"].as_str().unwrap().contains("already"));
    let doctor = ["chain", "doctor", "--json", "--chain", NAME, "--home", home];
    assert_eq!(last_json(&good(&doctor))["faults"], 0);
}
