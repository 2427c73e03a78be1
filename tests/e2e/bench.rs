//! The measurement of what passes to and from an EVM chain, in short: that it ends and says all that
//! it promises. No number is judged here.

use crate::{
    evm::GETH_KEY,
    run::{alone, good, last_json, processes_of},
};
use serde_json::Value;
use tombolo_test_nodes::{Clique, Kind};

/// Measures so many shares under load and one at a time, as these words say.
fn measured((shares, alone): (u64, u64), words: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("network");
    let (shares, alone) = (shares.to_string(), alone.to_string());
    let what = ["bench", "--json", "--with", "evm", "--shares", "0", "--commits", "0"];
    let much = ["--evm-shares", &shares, "--evm-alone", &alone];
    let place = ["--home", home.to_str().unwrap()];
    let told = last_json(&good(&[&what[..], &much, &place, words].concat()));
    assert_eq!(processes_of(&home), Vec::<u32>::new());
    told
}

/// What every measurement says; gives what the chain did in each of its phases.
fn is_whole(told: &Value, (shares, alone): (u64, u64), processes: &[&str]) -> Vec<Value> {
    let phases = told["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 4, "{told}");
    for phase in phases {
        assert_eq!((&phase["asked"], &phase["finished"]), (&shares.into(), &shares.into()));
        assert!(phase["per_second"].as_f64().unwrap() > 0.0, "{phase}");
        for process in processes {
            let usage = phase["usage"].as_array().unwrap();
            let of = usage.iter().find(|usage| usage["process"] == *process);
            assert!(number(of.unwrap(), "memory_mib") > 0, "{process}: {phase}");
        }
        let chain = &phase["chain"];
        // Of the acknowledgements of what comes from the chain the last may come later.
        let columns: &[&str] = match phase["what"].as_str().unwrap().starts_with("shares from") {
            true => &["blocks", "sent", "sent_gas"],
            false => &["blocks", "deliveries", "delivery_gas", "in_one_block"],
        };
        for column in columns {
            assert!(number(chain, column) > 0, "{column}: {phase}");
        }
        assert_eq!(number(chain, "reverted"), 0, "{phase}");
    }
    let chain = &told["chain"];
    assert!(number(chain, "gas_limit") > 0 && chain["block_ms"].as_f64().unwrap() > 0.0, "{chain}");
    let hops = chain["one_at_a_time"].as_array().unwrap();
    assert_eq!(hops.len(), if alone > 0 { 3 } else { 0 }, "{told}");
    for hop in hops {
        assert_eq!(number(hop, "shares"), alone);
        for percentile in ["p50", "p99", "longest"] {
            assert!(hop["added_ms"][percentile].as_f64().unwrap() > 0.0, "{hop}");
            assert!(hop["whole_ms"][percentile].as_f64().unwrap() > 0.0, "{hop}");
        }
    }
    phases.iter().map(|phase| phase["chain"].clone()).collect()
}

#[test]
fn the_measurement_of_an_evm_chain_fills_every_column() {
    const COUNT: (u64, u64) = (20, 2);
    let _alone = alone();
    let Some(foundry) = Kind::Foundry.find() else { return };
    let anvil = foundry.join("anvil");
    let told = measured(COUNT, &["--anvil", anvil.to_str().unwrap()]);
    let processes = ["hub", "mauna-loa", "relayer", "anvil"];
    for chain in is_whole(&told, COUNT, &processes) {
        assert!(number(&chain, "requests") > 0, "{chain}");
    }
    let chain = &told["chain"];
    assert_eq!((&chain["mode"], &chain["proof"]), (&2.into(), &"none".into()));
    assert_eq!(chain["finality_depth"], 0);
    assert_eq!(chain["followed_by"], "notifications");
}

/// A node that runs already is measured the same way, but for what only its owner can count. Neither
/// its program nor its log is known to the command; it is asked over HTTP. One share at a time is left
/// out; those under load are more than a real node takes in one transaction.
#[test]
fn a_chain_whose_node_runs_already_is_measured_the_same_way() {
    const COUNT: (u64, u64) = (400, 0);
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.hex");
    std::fs::write(&key, GETH_KEY).unwrap();
    let node = ["--evm-rpc", network.rpc().url(), "--evm-key-file", key.to_str().unwrap()];
    let proof = ["--proof", "clique", "--clique-period", "1", "--clique-epoch", "1000"];
    let words = [&node[..], &proof, &["--finality-depth", "2"]].concat();
    let told = measured(COUNT, &words);
    for chain in is_whole(&told, COUNT, &["hub", "mauna-loa", "relayer"]) {
        assert_eq!(chain.get("requests"), None, "{chain}");
    }
    let chain = &told["chain"];
    assert_eq!((&chain["mode"], &chain["proof"]), (&1.into(), &"clique".into()));
    assert_eq!(chain["finality_depth"], 2);
    assert_eq!(chain["followed_by"], "polling");
}

fn number(of: &Value, column: &str) -> u64 {
    of[column].as_u64().unwrap_or_else(|| panic!("no {column} in {of}"))
}
