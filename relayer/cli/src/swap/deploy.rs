//! `tombolo swap deploy`: creates the contract of hash-timelocks on an EVM chain that was added.

use crate::{
    evm::{Htlc, Known, RawEvm},
    network::{Network, RELAYER, STAKEHOLDERS},
    output,
    patience::patiently,
};
use alloy_primitives::{Address, U256};
use anyhow::Context as _;
use serde_json::json;
use std::path::PathBuf;
use tombolo_evm::deploy::Deployer;

#[derive(clap::Args)]
#[command(after_help = "Example: tombolo swap deploy --home net --chain harbour --dry-run")]
pub(crate) struct Arguments {
    /// The network's folder. Its stakeholders can swap on the chain from then on.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// A chain that was added. It need not be linked.
    #[arg(long)]
    chain: String,
    /// Pay so many wei to each stakeholder of the network, too: each pays for its own transactions
    /// there.
    #[arg(long, value_name = "WEI")]
    fund: Option<u128>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let network = Network::open(&arguments.home)?;
    let mut known = Known::read(&network, &arguments.chain)?;
    let deployer = deployer(&network, &known).await?;
    let (name, account) = (known.evm.name.clone(), deployer.account());
    eprintln!("on {name} by account {account}:");
    if let Some(wei) = arguments.fund {
        eprintln!("  pay {wei} wei to each of {}", STAKEHOLDERS.join(", "));
    }
    let payments = arguments.fund.map_or(0, |_| STAKEHOLDERS.len());
    let mut contract = deployer.contract_after(u64::try_from(payments)?).await?;
    eprintln!("  create the contract of hash-timelocks, {contract}");
    eprintln!("in the folders of {}:", STAKEHOLDERS.join(", "));
    eprintln!("  name the chain in config.toml");
    if !arguments.dry_run {
        if let Some(wei) = arguments.fund {
            let what = format!("the payments stand in blocks of {name}");
            patiently(&what, fund(&network, &deployer, wei)).await?;
        }
        let what = format!("the contract stands in a block of {name}");
        contract = patiently(&what, deploy(&network, &mut known, &deployer)).await?;
    }
    if arguments.json {
        output::json(&json!({
            "name": name, "chain": known.chain()?.to_string(), "contract": contract.to_string(),
            "account": account.to_string(), "deployed": !arguments.dry_run,
        }));
    } else if arguments.dry_run {
        eprintln!("nothing was done; leave --dry-run out to create the contract");
    } else {
        println!("the contract of hash-timelocks on {name} is {contract}");
        println!("\nservices of `tombolo swap start` hear of it when they are started anew");
        println!("next: tombolo chain declare --chain {name}");
    }
    Ok(())
}

/// The account that pays on a chain, which has no contract of hash-timelocks yet.
pub(crate) async fn deployer(network: &Network, known: &Known) -> anyhow::Result<Deployer> {
    if let Some(Htlc { contract, .. }) = &known.htlc {
        anyhow::bail!("{} has the contract of hash-timelocks {contract} already", known.evm.name);
    }
    known.deployer(&network.key_of(RELAYER, &known.evm.account)?).await
}

/// Pays so many wei to each stakeholder.
pub(crate) async fn fund(network: &Network, deployer: &Deployer, wei: u128) -> anyhow::Result<()> {
    for (name, account) in network.stakeholders()? {
        let paid = deployer.pay(account.0.into(), U256::from(wei)).await;
        paid.with_context(|| format!("paying {wei} wei to {name}"))?;
    }
    Ok(())
}

/// Creates the contract, and names it to every stakeholder of the network.
pub(crate) async fn deploy(
    network: &Network,
    known: &mut Known,
    deployer: &Deployer,
) -> anyhow::Result<Address> {
    // It stands in a later block.
    let from_block = deployer.endpoints().tip().await?.number;
    let contract = deployer.htlc().await?;
    let htlc = Htlc { contract: contract.to_string(), from_block };
    let RawEvm { name, evm_chain_id, genesis, rpc, finality_depth, max_fee_gwei, .. } = &known.evm;
    network.let_swap(&super::evm::RawEvm {
        name: name.clone(),
        evm_chain_id: *evm_chain_id,
        genesis: genesis.clone(),
        rpc: rpc.clone(),
        finality_depth: *finality_depth,
        contract: htlc.contract.clone(),
        from_block,
        max_fee_gwei: *max_fee_gwei,
    })?;
    known.htlc = Some(htlc);
    known.write(network)?;
    Ok(contract)
}
