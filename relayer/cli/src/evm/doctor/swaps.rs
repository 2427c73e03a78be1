//! Whether swaps are possible on a chain: its contract of hash-timelocks, and what is declared of it.

use super::Findings;
use crate::{
    evm::{Htlc, Known},
    network::{HUB, Network},
};
use anyhow::Context as _;
use serde_json::Value;
use tombolo_evm::deploy::{Deployer, htlc_code_hash};

/// The contract is looked at, and then the declaration.
pub(super) async fn look(
    network: &Network,
    (known, htlc): (&Known, &Htlc),
    deployer: &Deployer,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let contract = htlc.contract.parse().context("reading the address of the contract")?;
    let code = deployer.code_hash(contract).await?;
    let found = format!("hash-timelocks {contract} have code {code}");
    let remedy = "do not use it: it has other code than `swap deploy` gives it";
    findings.judge("contract", code == htlc_code_hash()?, found, remedy);

    let (name, chain) = (&known.evm.name, known.chain()?.to_string());
    let hub = network.ledger(HUB)?;
    // A page begins where it is asked to: with this very chain, if it declares anything.
    let page = hub.client.query("swap-chains", Some(&chain), 1).await;
    let page = page.context("asking the hub what chains declare")?;
    let page: Value = serde_json::from_str(&page.json).context("reading what chains declare")?;
    let declared = &page["entries"][0];
    let ways = match declared["chain"] == chain {
        true => declared["locking"].as_array().cloned().unwrap_or_default(),
        false => Vec::new(),
    };
    let ways: Vec<&str> = ways.iter().filter_map(Value::as_str).collect();
    let found = match ways[..] {
        [] => "nothing is declared of how it can lock".to_owned(),
        _ => format!("it is declared that it can lock by: {}", ways.join(", ")),
    };
    let remedy = format!("tombolo chain declare --chain {name}");
    findings.judge("swaps", ways.contains(&"hash"), found, &remedy);
    Ok(())
}
