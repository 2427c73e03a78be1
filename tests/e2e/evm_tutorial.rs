//! The tutorial of docs/ethereum.md.

use crate::{
    evm::NAME,
    network::Devnet,
    party::PATIENCE,
    run::{eventually, good, last_json, refused},
    swaps::Service,
};
use tombolo_test_nodes::{Anvil, alone};

/// The tutorial's own words, one after the other, with this node and this folder. What it asks its
/// reader to put in is taken from what the commands before have printed.
///
/// Req: PRJ-5-5
#[test]
fn the_tutorial_of_ethereum_holds() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    let folder = Devnet::folder();
    let home = folder.home.to_str().unwrap();
    let file = folder.home.with_file_name("key.hex");
    let text = include_str!("../../docs/ethereum.md");
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (mut done, mut services, mut order) = (0, Vec::new(), String::new());
    let status = || last_json(&good(&["devnet", "status", "--json", "--home", home]));
    for line in blocks.flat_map(str::lines) {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["echo", key, ">", "key.hex"] = words[..] {
            std::fs::write(&file, key).unwrap();
            continue;
        }
        let words: Vec<String> = (words.iter().skip(1))
            .map(|word| match *word {
                "net" => home.to_owned(),
                "key.hex" => file.to_str().unwrap().to_owned(),
                "http://127.0.0.1:8545" => anvil.rpc.url().to_owned(),
                "COIN" => status()["coin"].as_str().unwrap().to_owned(),
                "OBSERVATORY" => {
                    let status = status();
                    let parties = status["parties"].as_array().unwrap();
                    let found = parties.iter().find(|party| party["name"] == "observatory");
                    found.unwrap()["identity"].as_str().unwrap().to_owned()
                }
                "ORDER" => order.clone(),
                word => word.replacen("net/", &format!("{home}/"), 1),
            })
            .collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        done += 1;
        if words.last() == Some(&"&") {
            words.pop();
            services.push(Service::spawn(&words));
            continue;
        }
        if words[..2] == ["swap", "status"] {
            let status = [&words[..], &["--json"]].concat();
            eventually("the swap is over", PATIENCE, || {
                let status = last_json(&good(&status));
                (status["outcome"] == "completed").then_some(())
            });
        }
        let said = good(&words);
        if let Some(offered) = said.strip_prefix("order ") {
            order = offered.split(',').next().unwrap().to_owned();
        }
        if words[..2] == ["devnet", "down"] {
            let again = refused(&["swap", "deploy", "--home", home, "--chain", NAME]);
            assert!(again["message"].as_str().unwrap().contains("already"), "{again}");
        }
    }
    assert_eq!(done, 17);
}
