//! The measurement of what passes to and from an EVM chain, in short: that it ends and says all that
//! it promises. No number is judged here.

use crate::run::{alone, good, last_json, processes_of};
use serde_json::Value;
use tombolo_test_nodes::Kind;

#[test]
fn the_measurement_of_an_evm_chain_fills_every_column() {
    const SHARES: u64 = 20;
    const ALONE: u64 = 2;
    let _alone = alone();
    let Some(foundry) = Kind::Foundry.find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("network");
    let (shares, one_by_one) = (SHARES.to_string(), ALONE.to_string());
    let anvil = foundry.join("anvil");
    let what = ["bench", "--json", "--with", "evm", "--shares", "0", "--commits", "0"];
    let much = ["--evm-shares", &shares, "--evm-alone", &one_by_one];
    let place = ["--anvil", anvil.to_str().unwrap(), "--home", home.to_str().unwrap()];
    let told = last_json(&good(&[&what[..], &much, &place].concat()));
    assert_eq!(processes_of(&home), Vec::<u32>::new());

    let phases = told["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 4, "{told}");
    for phase in phases {
        assert_eq!((&phase["asked"], &phase["finished"]), (&SHARES.into(), &SHARES.into()));
        assert!(phase["per_second"].as_f64().unwrap() > 0.0, "{phase}");
        for process in ["hub", "mauna-loa", "relayer", "anvil"] {
            let usage = phase["usage"].as_array().unwrap();
            let of = usage.iter().find(|usage| usage["process"] == process);
            assert!(number(of.unwrap(), "memory_mib") > 0, "{process}: {phase}");
        }
        let chain = &phase["chain"];
        for column in ["blocks", "deliveries", "delivery_gas", "in_one_block", "requests"] {
            assert!(number(chain, column) > 0, "{column}: {phase}");
        }
        assert_eq!(number(chain, "reverted"), 0, "{phase}");
    }
    assert!(number(&told["chain"], "gas_limit") > 0);
    let hops = told["chain"]["one_at_a_time"].as_array().unwrap();
    assert_eq!(hops.len(), 3, "{told}");
    for hop in hops {
        assert_eq!(number(hop, "shares"), ALONE);
        for percentile in ["p50", "p99", "longest"] {
            assert!(hop["added_ms"][percentile].as_f64().unwrap() > 0.0, "{hop}");
            assert!(hop["whole_ms"][percentile].as_f64().unwrap() > 0.0, "{hop}");
        }
    }
}

fn number(of: &Value, column: &str) -> u64 {
    of[column].as_u64().unwrap_or_else(|| panic!("no {column} in {of}"))
}
