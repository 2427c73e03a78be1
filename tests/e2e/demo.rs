use crate::run::{Killed, alone, command, eventually, good, last_json, processes_of};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tombolo_proto::LedgerClient;
use tombolo_test_nodes::Kind;

/// The words that add Ethereum to the story; none, said loudly, where there is no anvil.
fn with_ethereum() -> &'static [&'static str] {
    match Kind::Foundry.find() {
        Some(_) => &["--with", "evm"],
        None => &[],
    }
}

/// The main job, whole: every step as expected, every refusal of the story with its class, a
/// bundle that proves itself, and nothing left behind.
///
/// Req: Y4560-6.3-2, Y4560-6.3-3, Y4560-7.1.2-2, Y4560-7.2.4-1, PRJ-4-2, PRJ-5-2
#[test]
fn the_demonstration_goes_as_it_should() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("demo");
    let home_text = home.to_str().unwrap();
    let words = ["demo", "--json", "--measurements", "60", "--home", home_text];
    let ethereum = with_ethereum();
    let told = last_json(&good(&[&words[..], ethereum].concat()));
    assert_eq!(told["ok"], true);
    let steps = told["steps"].as_array().unwrap();
    let classes: Vec<&str> = steps.iter().filter_map(|step| step["class"].as_str()).collect();
    for class in ["E_FORMAT", "E_IDENT", "E_CLOSED_COPY", "E_DENIED", "E_FUNDS", "E_TAMPER"] {
        assert!(classes.contains(&class), "no step was refused with {class}: {classes:?}");
    }
    assert!(steps.iter().any(|step| step["name"] == "kill -9 the relayer in the middle"));
    if !ethereum.is_empty() {
        for (name, outcome) in [
            ("two-phase commit: coins against ether", "committed on both: "),
            ("each party locks, claims and is paid", "completed for both; "),
        ] {
            let step = steps.iter().find(|step| step["name"] == name).unwrap();
            assert!(step["outcome"].as_str().unwrap().starts_with(outcome), "{step}");
            assert!(step["transaction"].as_str().unwrap().starts_with("0x"), "{step}");
        }
        let known = std::fs::read_to_string(home.join("chains/ethereum.toml")).unwrap();
        for contract in ["gateway = \"0x", "contract = \"0x"] {
            assert!(known.contains(contract), "{known}");
        }
    }
    assert!(steps.iter().filter(|step| step["transaction"].is_string()).count() >= 6);

    let bundle = told["bundle"].as_str().unwrap();
    let genesis = told["genesis"].as_str().unwrap();
    let verified = last_json(&good(&["audit", "verify", bundle, "--genesis", genesis, "--json"]));
    assert!(verified["records"].as_u64().unwrap() > 120, "{verified}");
    assert_eq!(processes_of(&home), Vec::<u32>::new());

    // The network that it left can be started again, to be read.
    let _killed = Killed(&home);
    let up = last_json(&good(&["devnet", "up", "--json", "--home", home_text]));
    anybody_reads_open_data(&up);
    good(&["devnet", "down", "--home", home_text]);
    assert_eq!(processes_of(&home), Vec::<u32>::new());
}

/// Open data are read through the interface of any node, without an account, and their terms come
/// with them: at home and as a copy.
///
/// Req: Y4560-3.1.13
fn anybody_reads_open_data(up: &Value) {
    let page = |name: &str, path: &str| -> Value {
        let parts = up["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == name).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        let address = format!("http://{}", part["serves"].as_str().unwrap());
        let client = LedgerClient::new(&address).unwrap();
        let page = runtime.block_on(client.query(path, None, 0)).unwrap();
        serde_json::from_str(&page.json).unwrap()
    };
    let copies = page("mauna-loa", "copies");
    let copy = &copies["entries"][0];
    assert!(!copy["readings"].as_array().unwrap().is_empty(), "{copy}");
    assert!(!copy["terms"].as_str().unwrap().is_empty(), "{copy}");
    let item = page("seattle", &format!("item/{}", copy["item"].as_str().unwrap()));
    for field in ["readings", "terms", "fingerprint", "envelope"] {
        assert_eq!(item[field], copy[field], "{field}");
    }
}

/// Without an anvil nothing begins, and one sentence says how to get one.
#[test]
fn a_demonstration_with_ethereum_says_how_to_get_an_anvil() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("demo");
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let words = ["demo", "--with", "evm", "--home", home.to_str().unwrap()];
    for more in [&[][..], &["--anvil", nowhere]] {
        let mut demo = command(&[&words[..], more].concat());
        demo.env("TOMBOLO_NODES", nowhere).env("PATH", nowhere);
        let output = demo.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        let said = said["message"].as_str().unwrap();
        assert!(said.starts_with("there is no anvil"), "{said}");
        assert!(said.contains("tests/nodes/foundry.sh"), "{said}");
        assert!(!home.exists());
    }
}

/// Interrupted, it ends its processes and says that it did not finish.
#[test]
fn an_interrupted_demonstration_leaves_nothing_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("demo");
    let mut demo = command(&["demo", "--json", "--home", home.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("all four parts run", Duration::from_secs(30), || {
        // The demonstration itself has the folder among its words, too.
        (processes_of(&home).len() >= 5).then_some(())
    });
    let id = demo.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = demo.wait_with_output_within(Duration::from_secs(30));
    let told: Value = last_json(&output);
    assert_eq!(told["ok"], false);
    assert_eq!(processes_of(&home), Vec::<u32>::new());
}

/// Killed with `kill -9`, its parts notice and end by themselves, and a node of Ethereum, which
/// does not notice, is ended.
#[test]
fn parts_end_with_a_demonstration_that_was_killed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("demo");
    let words = ["demo", "--measurements", "1", "--home", home.to_str().unwrap()];
    let ethereum = with_ethereum();
    let mut demo = command(&[&words[..], ethereum].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // With itself, which has the folder among its words, too.
    let parts = if ethereum.is_empty() { 5 } else { 6 };
    eventually("all parts run", Duration::from_secs(60), || {
        (processes_of(&home).len() >= parts).then_some(())
    });
    demo.kill().unwrap();
    demo.wait().unwrap();
    eventually("every part has ended", Duration::from_secs(20), || {
        processes_of(&home).is_empty().then_some(())
    });
}

trait WaitWithin {
    fn wait_with_output_within(&mut self, within: Duration) -> String;
}

impl WaitWithin for std::process::Child {
    fn wait_with_output_within(&mut self, within: Duration) -> String {
        let status = eventually("the command ends", within, || self.try_wait().unwrap());
        assert_eq!(status.code(), Some(1));
        let mut text = String::new();
        std::io::Read::read_to_string(self.stdout.as_mut().unwrap(), &mut text).unwrap();
        text
    }
}
