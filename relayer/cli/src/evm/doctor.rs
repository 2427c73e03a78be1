//! `tombolo chain doctor`: what keeps a chain from being used, and what to do about each fault.

mod swaps;

use super::known::Known;
use crate::{
    network::{HUB, Network, RELAYER},
    output,
};
use anyhow::Context as _;
use serde_json::json;
use std::path::PathBuf;
use tombolo_adapter::{Sink as _, Source as _, Standing};
use tombolo_evm::{EvmAdapter, Rpc, deploy::Deployer, endpoints::Endpoints, node_name};
use tombolo_islet::signer::now;
use tombolo_proto::view::{LinkStatus, LinkView};
use tombolo_types::{Class, id::ChainId, verifier::ClientStatus};

/// Gas of a delivery of fifty messages: so much is to be had ten times.
const DELIVERY_GAS: u128 = 2_000_000;
const DELIVERIES: u128 = 10;
/// A newest block of this age says that the chain stands still, or a clock is wrong.
const STALE_MS: u64 = 120_000;
const ASK_AGAIN: &str = "see to the nodes of the chain and of the hub, then ask again";

#[derive(clap::Args)]
#[command(after_help = "Example: tombolo chain doctor --home net --chain harbour")]
pub(crate) struct Arguments {
    /// The network's folder.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// A chain that was added.
    #[arg(long)]
    chain: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    found: String,
    /// What to do, where it is a fault.
    remedy: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, what: &'static str, found: impl ToString) {
        self.0.push(Finding { what, found: found.to_string(), remedy: None });
    }

    fn fault(&mut self, what: &'static str, found: impl ToString, remedy: impl ToString) {
        let remedy = Some(remedy.to_string());
        self.0.push(Finding { what, found: found.to_string(), remedy });
    }

    /// Good where it is so.
    fn judge(&mut self, what: &'static str, good: bool, found: impl ToString, remedy: &str) {
        match good {
            true => self.good(what, found),
            false => self.fault(what, found, remedy),
        }
    }
}

/// Looks at everything, whatever is wrong before; exits 1 where there is a fault.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let network = Network::open(&arguments.home)?;
    let known = Known::read(&network, &arguments.chain)?;
    let mut findings = Findings::default();
    nodes(&known, &mut findings).await?;
    let key = network.key_of(RELAYER, &known.evm.account)?;
    match known.deployer(&key).await {
        Ok(deployer) => {
            chain(&known, &deployer, &mut findings).await;
            if let Some(htlc) = &known.htlc {
                let looked = swaps::look(&network, (&known, htlc), &deployer, &mut findings).await;
                if let Err(error) = looked {
                    findings.fault("swaps", format!("{error:#}"), ASK_AGAIN);
                }
            }
        }
        Err(error) => findings.fault(
            "chain",
            format!("{error:#}"),
            "correct `rpc` so that every node serves this chain, or add it anew",
        ),
    }
    match (known.evm.gateway.is_empty(), &known.htlc) {
        (true, Some(_)) => findings.good("gateway", "there is none: the chain serves swaps alone"),
        (true, None) => findings.fault(
            "gateway",
            "there is none",
            format!("tombolo link create --chain {} --mode 1|2|3", known.evm.name),
        ),
        (false, _) => {
            if let Err(error) = nodes_of_link(&network, &known, &mut findings).await {
                findings.fault("attests", format!("{error:#}"), "see to the nodes of the hub");
            }
            let looked = link(&network, &known, &key, &mut findings).await;
            if let Err(error) = looked {
                findings.fault("link", format!("{error:#}"), ASK_AGAIN);
            }
        }
    }
    report(&arguments, &findings)
}

/// Each node alone: that one of several is silent is seen nowhere else.
async fn nodes(known: &Known, findings: &mut Findings) -> anyhow::Result<()> {
    for url in &known.evm.rpc {
        let (name, rpc) = (node_name(url), Rpc::of(vec![url.clone()]));
        let asked = async {
            let endpoints = Endpoints::new(ChainId::ZERO, &rpc, known.finality())?;
            endpoints.identify().await
        };
        match asked.await {
            Ok((id, genesis))
                if (id, genesis.to_string())
                    == (known.evm.evm_chain_id, known.evm.genesis.clone()) =>
            {
                findings.good("node", format!("{name} serves chain {id}"));
            }
            Ok((id, genesis)) => findings.fault(
                "node",
                format!("{name} serves chain {id} with genesis {genesis}"),
                format!("give a node of chain {}", known.evm.evm_chain_id),
            ),
            Err(error) => {
                let remedy = match error.class() {
                    Class::Auth => "correct user and password in `rpc`, or have them admitted",
                    _ => "start the node, or take it out of `rpc`",
                };
                findings.fault("node", format!("{name}: {error}"), remedy);
            }
        }
    }
    Ok(())
}

async fn chain(known: &Known, deployer: &Deployer, findings: &mut Findings) {
    let endpoints = deployer.endpoints();
    let tip = endpoints.tip().await;
    match &tip {
        Ok(tip) => {
            let (ahead, age) = (tip.time.since(now()), now().since(tip.time));
            let found = format!("newest block {} is {age} ms old, {ahead} ms ahead", tip.number);
            let remedy = "see whether the chain makes blocks, and set the clocks";
            findings.judge("clock", age < STALE_MS && ahead < STALE_MS, found, remedy);
        }
        Err(error) => findings.fault("clock", error, "start the node"),
    }
    match (&tip, endpoints.newest().await) {
        (Ok(tip), Ok(newest)) => findings.good(
            "finality",
            format!(
                "block {} is final, {} blocks and {} ms behind",
                newest.number,
                tip.number.saturating_sub(newest.number),
                tip.time.since(newest.time)
            ),
        ),
        (_, Err(error)) => findings.fault(
            "finality",
            error,
            "wait for the chain's first final block; a chain that marks none needs --finality-depth",
        ),
        (Err(_), Ok(_)) => {}
    }
    if let Ok(tip) = &tip {
        let most = u128::from(known.evm.max_fee_gwei.unwrap_or(500)) * 1_000_000_000;
        let found = format!("base fee {} wei, at the most {most} are paid", tip.base_fee);
        findings.judge("gas", tip.base_fee < most, found, "raise `max_fee_gwei`, or wait");
        match deployer.balance().await {
            Ok(balance) => {
                let fee = tip.base_fee.saturating_add(1_000_000_000);
                let needed = fee.saturating_mul(DELIVERY_GAS * DELIVERIES);
                let enough = u128::try_from(balance).unwrap_or(u128::MAX) >= needed;
                let found = format!(
                    "{balance} wei, {DELIVERIES} full deliveries take {needed} at this fee"
                );
                findings.judge("balance", enough, found, "send coins to the account");
            }
            Err(error) => findings.fault("balance", error, "start the node"),
        }
    }
}

async fn link(
    network: &Network,
    known: &Known,
    key: &tombolo_crypto::secp256k1::SecretKey,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let adapter = known.adapter(key).await?;
    let hub = network.ledger(HUB)?;
    let links = hub.client.links().await.context("asking the hub")?.links;
    let Some(view) = links.into_iter().find(|view| view.id == adapter.link()) else {
        let found = format!("the hub has not registered link {}", adapter.link());
        findings.fault("link", found, "register it by quorum; another gateway is another link");
        return Ok(());
    };
    let opened = view.status == LinkStatus::Open;
    let remedy = "`tombolo relayer status`; a quorum opens what is proposed or paused";
    findings.judge("link", opened, format!("{} is {:?} at the hub", view.id, view.status), remedy);
    let head = adapter.head(view.id, &view.client).await?;
    let standing = head.standing == Standing::Open;
    let found = format!("the gateway is {:?}", head.standing);
    findings.judge("gateway", standing, found, "wait for the hub's Hello; is a relayer running?");
    let there = adapter.client_status(view.id).await?;
    for (what, client) in [("client here", &view.client), ("client there", &there)] {
        let found = format!(
            "{:?} at height {}, {} ms old",
            client.status,
            client.height,
            now().since(client.newest_time)
        );
        let remedy = "a relayer brings it up to date; lost, it takes the quorum or the council";
        findings.judge(what, client.status == ClientStatus::Active, found, remedy);
    }
    for lane in &view.lanes {
        let proved = head.lanes.iter().find(|proved| proved.leaf.lane == lane.lane);
        let Some(leaf) = proved.map(|proved| &proved.leaf) else { continue };
        let found = format!(
            "lane {}: {} sent there, {} taken; {} sent here, {} taken",
            lane.lane, lane.size, leaf.received, leaf.size, lane.received
        );
        findings.good("lane", found);
    }
    contract(network, known, &adapter, findings).await
}

/// Who attests for the link in modes 2 and 3, as the hub counts them. It is told whatever the chain's
/// nodes say.
async fn nodes_of_link(
    network: &Network,
    known: &Known,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (hub, chain) = (network.ledger(HUB)?, known.chain()?);
    let links = hub.client.links().await.context("asking the hub")?.links;
    let to_chain = |view: &&LinkView| view.chain_id == chain && view.status != LinkStatus::Closed;
    for view in links.iter().filter(to_chain) {
        let link = hub.query(&format!("link/{}", view.id)).await?.unwrap_or_default();
        for node in link["nodes"].as_array().into_iter().flatten() {
            let found = format!("node {} attests", node["hub_key"].as_str().unwrap_or_default());
            match node["suspended"] == true {
                false => findings.good("attests", found),
                true => findings.fault(
                    "attests",
                    format!("{found} no more: it has signed what no other node has seen"),
                    "see to its nodes of both ledgers; then a quorum replaces the link's nodes",
                ),
            }
        }
    }
    Ok(())
}

/// Whether the gateway is the code that a quorum has registered.
async fn contract(
    network: &Network,
    known: &Known,
    adapter: &EvmAdapter,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let hub = network.ledger(HUB)?;
    let registered = hub.query(&format!("link/{}", adapter.link())).await?.unwrap_or_default();
    let code = adapter.code_hash().await?.to_string();
    let found = format!("gateway {} has code {code}", known.evm.gateway);
    let same = registered["code_hash"] == code;
    findings.judge("contract", same, found, "do not use it: the hub has registered other code");
    Ok(())
}

fn report(arguments: &Arguments, findings: &Findings) -> anyhow::Result<()> {
    let faults = findings.0.iter().filter(|finding| finding.remedy.is_some()).count();
    if arguments.json {
        let all = findings.0.iter().map(|finding| {
            let mut it = json!({
                "what": finding.what, "good": finding.remedy.is_none(), "found": finding.found,
            });
            if let Some(remedy) = &finding.remedy {
                it["remedy"] = remedy.as_str().into();
            }
            it
        });
        output::json(&json!({
            "chain": arguments.chain, "faults": faults, "findings": all.collect::<Vec<_>>(),
        }));
    } else {
        for finding in &findings.0 {
            let mark = if finding.remedy.is_none() { "good " } else { "FAULT" };
            println!("{mark}  {:<12}  {}", finding.what, finding.found);
            if let Some(remedy) = &finding.remedy {
                println!("       {:<12}  do: {remedy}", "");
            }
        }
    }
    anyhow::ensure!(faults == 0, "{} has {faults} faults", arguments.chain);
    Ok(())
}
