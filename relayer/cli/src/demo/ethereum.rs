//! The part with Ethereum: an islet and a real node of it, all or nothing by the hub's decision, and
//! then without anybody's decision, by a secret.

use super::{
    calibration::{coins, finished, link as islet_link, status},
    timeline::{Done, Timeline},
};
use crate::{
    anvil,
    evm::{self, Created, Known, declare},
    network::{STAKEHOLDERS, coin},
    party::{Party, until},
    process::{Lives, Process},
    setup::{Parties, Running},
    swap::{config::Config, deploy, desk::Desk, offer::Proposal},
};
use alloy_primitives::{Address as EvmAddress, U256};
use anyhow::{Context as _, ensure};
use std::{path::Path, time::Duration};
use tombolo_crypto::digest;
use tombolo_evm::deploy::Deployer;
use tombolo_hub::{HubCall, govern::Act};
use tombolo_islet::signer::{now, random};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Amount,
    action::{Action, Authorisation, Branch, Pay, Terms},
    id::{AssetId, LinkId, OrderId},
};

/// The chain's name in this network.
const NAME: &str = "ethereum";
/// The native coin of the chain.
const ETHER: AssetId = AssetId::ZERO;
/// What each stakeholder gets there for a start, in wei.
const FUNDS: u128 = 2 * WEI;
const WEI: u128 = 1_000_000_000_000_000_000;
/// What the observatory gives each time, in wei: a twentieth of an ether.
const GIVEN_WEI: u128 = WEI / 20;
/// What the city gives for it, in the coin's smallest unit.
const GIVEN_COINS: u128 = 100_000;
/// How long something may take that waits for blocks of both chains, several times.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// How long an undecided commit may take.
const DEADLINE_MS: u64 = 600_000;
/// The nonces on which the parties offer and accept: the first series is that of their other acts
/// here, the second that of their services.
const NONCES: u8 = 2;

/// A node of Ethereum that runs, and the chain as the network knows it.
struct Ethereum {
    known: Known,
    deployer: Deployer,
}

/// Links a node of Ethereum, exchanges with it by two-phase commit, and by hash-timelock.
pub(super) async fn show(
    running: &mut Running,
    program: &Path,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let mut ethereum = start(running, program, timeline).await?;
    let Created { deployed, link, .. } = linked(running, &mut ethereum, timeline).await?;
    committed(running, &ethereum, (link, deployed.vault), timeline).await?;
    ready_to_swap(running, &mut ethereum, timeline).await?;
    swapped(running, &ethereum, timeline).await
}

async fn start(
    running: &mut Running,
    program: &Path,
    timeline: &mut Timeline,
) -> anyhow::Result<Ethereum> {
    let mut started = None;
    timeline
        .step("start anvil, a node of Ethereum", async {
            let known = anvil::start(running, program, NAME, None).await?;
            let key = anvil::key()?;
            let deployer = known.deployer(&key).await?;
            deploy::fund(&running.network, &deployer, FUNDS).await?;
            let done = Done::so(format!(
                "at {}, a block each second; each party has {} ether",
                known.evm.rpc.join(", "),
                FUNDS / WEI
            ));
            started = Some(Ethereum { known, deployer });
            Ok(done)
        })
        .await?;
    started.context("anvil was not started")
}

/// A link in mode 2: nobody can prove the heads of a development node.
async fn linked(
    running: &mut Running,
    ethereum: &mut Ethereum,
    timeline: &mut Timeline,
) -> anyhow::Result<Created> {
    let mut created = None;
    timeline
        .step("link ethereum to the hub, by one trusted node", async {
            let link = evm::link(running, ethereum.known.clone(), 2).await?;
            // With its gateway.
            ethereum.known = Known::read(&running.network, NAME)?;
            let done = Done::so("four contracts; nothing bounds the node, and each record says so");
            let done = done.under(link.link);
            created = Some(link);
            Ok(done)
        })
        .await?;
    created.context("no link was created")
}

/// Coins against ether, all or nothing.
async fn committed(
    running: &Running,
    ethereum: &Ethereum,
    (link, vault): (LinkId, EvmAddress),
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    timeline
        .step("two-phase commit: coins against ether", async {
            let Parties { city, observatory, .. } = &running.parties;
            let wallet = ethereum.known.deployer(observatory.key()).await?;
            wallet.deposit(vault, GIVEN_WEI).await?;
            let before = coins(&running.seattle, observatory).await?;
            let pay = |from: &Party, to: &Party, asset, amount| {
                let (from, to, amount) = (from.address(), to.address(), Amount(amount));
                Action::Pay(Pay { from, to, asset, amount })
            };
            let there = pay(city, observatory, coin(), GIVEN_COINS);
            let back = pay(observatory, city, ETHER, GIVEN_WEI);
            let branches = vec![
                Branch::new(islet_link(running, &running.seattle), &[there]),
                Branch::new(link, &[back]),
            ];
            let terms = Terms {
                hub: running.hub.chain,
                beginner: city.identity(),
                salt: random(),
                deadline: now().saturating_add(DEADLINE_MS),
                branches: branches.iter().map(digest::branch).collect(),
            };
            let xid = digest::xid(&terms);
            let consent = digest::authorisation(xid);
            let authorisations = (0..).zip([city, observatory]).map(|(branch, payer)| {
                let (account, signature) = (payer.address(), payer.key().sign(consent));
                Authorisation { branch, account, signature }
            });
            let begin = Begin { authorisations: authorisations.collect(), branches, terms };
            city.call(&running.hub, HubCall::Begin(Box::new(begin))).await?;
            let end = finished(running, xid, ENDS_WITHIN).await?;
            ensure!(status(&end) == "committed", "it ended as {end}");
            let paid = coins(&running.seattle, observatory).await?.saturating_sub(before);
            ensure!(paid == GIVEN_COINS, "the observatory got {paid} coins");
            for (party, expected) in [(city, GIVEN_WEI), (observatory, 0)] {
                let held = ethereum.deployer.deposited(vault, on_chain(party.address())).await?;
                ensure!(held == expected, "{} has {held} wei in the vault", party.name);
            }
            Ok(Done::so(format!(
                "committed on both: {GIVEN_COINS} coins to the observatory, 0.05 ether to the city"
            ))
            .under(xid))
        })
        .await
}

/// The contract, and what the chains promise at the worst.
async fn ready_to_swap(
    running: &Running,
    ethereum: &mut Ethereum,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    timeline
        .step("create hash-timelocks on ethereum, declare both chains", async {
            let Ethereum { known, deployer } = ethereum;
            let contract = deploy::deploy(&running.network, known, deployer).await?;
            let given = declare::Given {
                block_fastest: Some(1_000),
                block_slowest: Some(5_000),
                ..declare::Given::default()
            };
            let declaration = declare::declaration(&running.network, NAME, given)?;
            running.declare(&running.seattle).await?;
            let done = running.govern(Act::DeclareChain(Box::new(declaration))).await?;
            Ok(Done::so(format!("contract {contract}; worst cases by quorum")).by(&done))
        })
        .await
}

/// Coins against ether, by a secret.
async fn swapped(
    running: &mut Running,
    ethereum: &Ethereum,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let mut agreed = None;
    timeline
        .step("hash-timelock swap: offered and accepted", async {
            let network = &running.network;
            let desk = |name| Desk::of(Config::read(&network.config(name))?, NONCES);
            let [city, observatory, _] = STAKEHOLDERS.map(desk);
            let (city, observatory) = (city?, observatory?);
            let (order, ..) = city.offer(&proposal(running), false).await?;
            observatory.accept(order, false).await?;
            agreed = Some((order, city, observatory));
            Ok(Done::so("the same exchange again, and no coordinator; weaker, not all or nothing")
                .under(order))
        })
        .await?;
    let (order, city, observatory) = agreed.context("nothing was agreed")?;
    timeline
        .step("each party locks, claims and is paid", async {
            let account = on_chain(running.parties.city.address());
            let before = balances(running, ethereum, account).await?;
            for party in ["city", "observatory"] {
                let service = service(running, party)?;
                running.nodes.push(service);
            }
            completed(order, &city).await?;
            completed(order, &observatory).await?;
            // Credited by the contract, and paid out by the service; its fees are less than a tenth.
            let least = U256::from(GIVEN_WEI - GIVEN_WEI / 10);
            until("the ether is paid out", ENDS_WITHIN, || async {
                let after = balances(running, ethereum, account).await?;
                let coins = before.0.saturating_sub(after.0);
                ensure!(coins == GIVEN_COINS, "the city gave {coins} coins");
                Ok((after.1.saturating_sub(before.1) >= least).then_some(()))
            })
            .await?;
            Ok(Done::so("completed for both; the secret that paid one has paid the other")
                .under(order))
        })
        .await
}

fn proposal(running: &Running) -> Proposal {
    const MINUTE_MS: u64 = 60_000;
    Proposal {
        to: running.parties.observatory.identity(),
        give: GIVEN_COINS,
        give_asset: coin(),
        give_on: running.seattle.name.clone(),
        take: GIVEN_WEI,
        take_asset: ETHER,
        take_on: NAME.into(),
        accept_within: MINUTE_MS,
        spare: MINUTE_MS,
        // Each is the account that is bound to the party's identity.
        give_from: None,
        give_to: None,
        take_from: None,
        take_to: None,
    }
}

fn service(running: &Running, party: &str) -> anyhow::Result<Process> {
    let network = &running.network;
    let config = network.config(party);
    let config = config.to_str().context("the folder's path is not UTF-8")?;
    let log = network.home.join("logs").join(format!("{party}.log"));
    Process::start(party, &["swap", "start", "--config", config], &log, Lives::WithParent)
}

async fn completed(order: OrderId, desk: &Desk) -> anyhow::Result<()> {
    let ended =
        until("the swap is over", ENDS_WITHIN, || async { Ok(desk.report(order).await?.outcome) });
    let outcome = ended.await?;
    ensure!(outcome == "completed", "it ended as {outcome}");
    Ok(())
}

/// What the city has: coins in Seattle, and wei in its account on the chain.
async fn balances(
    running: &Running,
    ethereum: &Ethereum,
    account: EvmAddress,
) -> anyhow::Result<(u128, U256)> {
    let coins = coins(&running.seattle, &running.parties.city).await?;
    Ok((coins, ethereum.deployer.balance_of(account).await?))
}

fn on_chain(address: Address) -> EvmAddress {
    address.0.into()
}
