//! Mode 1: a gateway on a Clique chain and the hub believe each other by their own consensus.

use crate::hub::{TestHub, key};
use alloy::signers::local::PrivateKeySigner;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::{Sink as _, Source as _};
use tombolo_crypto::digest;
use tombolo_evm::{
    Config, EvmAdapter, Finality, Proof, Rpc,
    deploy::{Believes, Deployer, NewGateway},
    sender::FeePolicy,
};
use tombolo_hub::govern::{Act, NewLink};
use tombolo_ledger::lanes::LinkStatus;
use tombolo_relayer::{Endpoint, LinkTask, Metrics, Reports, Settings};
use tombolo_test_nodes::{Clique, alone, hash};
use tombolo_types::Hash;

/// Blocks on top that make one final: more than half of three signers.
const DEPTH: u64 = 2;
const FUNDED: u8 = 0x11;

async fn until(what: &str, reports: &Reports, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not within two minutes: {what}; {:?}", reports.all());
}

/// Deployed, registered by a quorum, carried by the relayer's own task: the link opens on both
/// sides.
///
/// Req: Y4560-10.2-1.1
#[test]
fn a_link_opens_between_a_hub_and_a_clique_chain() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(open(&network));
}

async fn open(network: &Clique) {
    let hub = TestHub::start();
    let block = network.rpc().call("eth_getBlockByNumber", serde_json::json!(["0x0", false]));
    let genesis = hash(&block["hash"]);
    let chain = (network.chain_id(), genesis.0.into());
    let rpc = Rpc::of(network.signers.iter().map(|signer| signer.rpc.url().to_owned()).collect());
    let finality = Finality::Depth(DEPTH);
    let fees = FeePolicy::default();
    let account = PrivateKeySigner::from_slice(&key(FUNDED).to_bytes()).unwrap();
    let deployer = Deployer::connect(chain, &rpc, finality, fees, account.clone()).await.unwrap();
    let council: Vec<_> = [31, 32, 33].map(|number| key(number).address()).to_vec();
    let mut council: Vec<_> = council.into_iter().map(|member| member.0.into()).collect();
    council.sort_unstable();
    let deployed = deployer
        .gateway(&NewGateway {
            believes: Believes::Certificates,
            anchor: hub.anchor(),
            incarnation: 1,
            trusting_period_ms: 14 * 24 * 3_600_000,
            weight_max: 20,
            backlog_max: 1_024,
            council,
            council_threshold: 2,
            council_delay_ms: 3_600_000,
            release_period_ms: 24 * 3_600_000,
            identity_view_ms: 3_600_000,
            policy_hash: Hash::ZERO,
            callees: Vec::new(),
        })
        .await
        .unwrap();
    let config = Config {
        evm_chain_id: network.chain_id(),
        genesis: genesis.0.into(),
        rpc,
        finality,
        proof: Proof::Clique,
        gateway: deployed.gateway,
        from_block: 0,
        fees,
    };
    let anchor = deployer.clique_anchor(network.period, network.epoch).await.unwrap();
    let gateway = tombolo_types::Address(deployed.gateway.0.0);
    let id = config.chain();
    let adapter = Arc::new(EvmAdapter::connect(config, account).await.unwrap());
    assert_eq!(adapter.link(), digest::link_id(hub.chain.chain_id(), id, gateway, 1));
    hub.enact(Act::RegisterLink(Box::new(NewLink {
        chain: id,
        gateway,
        incarnation: 1,
        mode: 1,
        verifier: "clique".into(),
        anchor: anchor.encode(),
        code_hash: Hash(deployed.code_hash.0),
        identification_method: tombolo_islet_core::IDENTIFICATION_METHOD.into(),
        nodes: Vec::new(),
    })))
    .await;
    let link = adapter.link();
    assert_eq!(hub.link(link).status, LinkStatus::Proposed);
    let task = LinkTask {
        id: link,
        hub: Endpoint { name: "hub".into(), chain: Arc::new(hub.adapter()) },
        chain: Endpoint { name: "clique".into(), chain: adapter.clone() },
        settings: Settings::default(),
        metrics: Metrics::default(),
        reports: Reports::default(),
        join: None,
    };
    let reports = task.reports.clone();
    let cancel = CancellationToken::new();
    let running = tokio::spawn(task.run(cancel.clone()));
    until("the chain's Hello reaches the hub", &reports, async || hub.link(link).greeted).await;
    hub.enact(Act::OpenLink { link }).await;
    until("the hub's Hello reaches the chain", &reports, async || {
        let head = adapter.head(link, &hub.adapter().client_status(link).await.unwrap()).await;
        head.is_ok_and(|head| head.standing == tombolo_adapter::Standing::Open)
    })
    .await;
    assert_eq!(hub.link(link).status, LinkStatus::Open);
    cancel.cancel();
    running.await.unwrap();
}
